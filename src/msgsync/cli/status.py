"""``msgsync status``: the replica in figures."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import columns, say_json, shown


@command()
@shared
def status(path: Path, *, as_json: bool) -> None:
    """Show the replica in figures.

    Whose it is, how much it holds, and what is wrong with it, if anything. Two replicas with equal
    digests hold the same.

      msgsync status --replica phone.db

    --json: one object.
    """
    with reading(path) as replica:
        found = replica.status()
    if as_json:
        say_json(found)
        return
    rows = [
        (field.name.replace("_", " "), _words(getattr(found, field.name)))
        for field in dataclasses.fields(found)
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
