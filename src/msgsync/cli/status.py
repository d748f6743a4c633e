"""``msgsync status``: the replica in figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import columns, plain, say_json, shown


@command()
@shared
def status(path: Path, *, as_json: bool) -> None:
    """Show the replica in figures.

    Whose it is, how much it holds, and what is wrong with it, if anything. Two replicas with equal
    digests hold the same.

      msgsync status --replica phone.db

    --json: one object, with "revoked" and "recovery_confirmed" of the account.
    """
    with reading(path) as replica:
        found = replica.status()
        account = {
            "revoked": replica.revoked,
            "recovery_confirmed": replica.account_status().recovery_confirmed,
        }
    if as_json:
        say_json(plain(found) | account)
        return
    rows = [
        (field.name.replace("_", " "), _words(getattr(found, field.name)))
        for field in dataclasses.fields(found)
    ]
    rows += [
        ("revoked", "yes: it takes part in nothing any more" if account["revoked"] else "no"),
        (
            "recovery phrase",
            "confirmed" if account["recovery_confirmed"] else "not confirmed: msgsync recovery",
        ),
    ]
    for line in columns(rows):
        print(line)


def _words(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return "; ".join(shown(str(one)) for one in value) or "none"
    return shown(str(value))
