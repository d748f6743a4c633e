"""``msgsync keep-months`` and ``fetch-months``: old months of messages on one device."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Final

import click

from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import count, note, say_json

_ALL: Final = "all"


@command("keep-months")
@click.argument("months", metavar="MONTHS|all")
@shared
def keep_months(path: Path, months: str, *, as_json: bool) -> None:
    """Keep the last MONTHS months of messages on this device.

    Besides the present one. What is older goes from this device alone: other devices keep it, and it
    comes back with fetch-months. Nothing is deleted: see delete and erase for that. Only what another
    device has promised to keep goes, or what a checkpoint in a mailbox has; both is found out while
    this device syncs, so sync it after this. It goes a day after it came or changed, or at once with
    free-space. 'all' brings everything back with the next sync.

      msgsync keep-months 12
      msgsync keep-months all

    --json: {"history_months", "months_elsewhere"}.
    """
    with writing(path) as replica:
        replica.set_history_budget(None if months == _ALL else _number(months))
        status = replica.status()
    if as_json:
        say_json(
            {"history_months": status.history_months, "months_elsewhere": status.months_elsewhere}
        )
        return
    kept = "all months" if status.history_months is None else count(status.history_months, "month")
    print(f"Kept here: {kept}; elsewhere: {count(status.months_elsewhere, 'month')}.")
    note("sync now: msgsync sync ADDRESS; what goes by then goes at once with: msgsync free-space")


@command("fetch-months")
@click.argument("conversation", required=False)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m", "%Y-%m-%d"]),
    metavar="MONTH",
    help="From this month on, as 2024-05; without it all.",
)
@shared
def fetch_months(
    path: Path, conversation: str | None, since: datetime | None, *, as_json: bool
) -> None:
    """Have old months come back to this device.

    Those of CONVERSATION that it has let go of, or of all. They come with the next sync with a device
    or a mailbox that has them, and stay for a day.

      msgsync fetch-months family --since 2021-03
      msgsync sync tcp://laptop.local:7654

    --json: {"months"}: how many are to come.
    """
    with writing(path) as replica:
        coming = replica.fetch_history(0 if since is None else since, conversation=conversation)
    if as_json:
        say_json({"months": coming})
        return
    print(f"{count(coming, 'month')} {'is' if coming == 1 else 'are'} to come.")
    if coming:
        note("sync with a device or a mailbox that has them: msgsync sync ADDRESS")


def _number(months: str) -> int:
    if not (months.isascii() and months.isdigit()):
        raise click.BadParameter(f"a number of months, or 'all', not {months!r}")
    return int(months)
