"""``msgsync free-space``: let attachments go from one device."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Final

import click

from msgsync import Replica, Space
from msgsync.cli.options import command, reading, shared, writing
from msgsync.cli.output import count, note, say_json

_EVERYTHING: Final = 2**62


@command("free-space")
@click.argument("keep", required=False, default=0, type=click.IntRange(min=0), metavar="[BYTES]")
@click.option("--preview", is_flag=True, help="Say what would go, and let nothing go.")
@click.option(
    "--budget",
    type=click.IntRange(min=-1),
    metavar="BYTES",
    help="Keep it at that from now on; -1 for no budget any more.",
)
@click.option(
    "--days",
    type=click.IntRange(min=1),
    metavar="DAYS",
    help="Keep what was sent or read in the last DAYS from now on; with --budget both.",
)
@shared
def free_space(
    path: Path, keep: int, budget: int | None, days: int | None, *, preview: bool, as_json: bool
) -> None:
    """Let attachments and old months go from this device alone.

    Until those that stay take no more than BYTES, least recently used first. They come back when
    somebody reads them. Nothing is deleted: see delete and erase for that. Only what is in a mailbox
    or what another device has promised to keep goes; devices are asked for that when they sync, from
    the first time on that this is run. After keep-months, months of messages go as well that are
    beyond that. --budget and --days say what is kept from now on, in place of what was said before.

      msgsync free-space --preview
      msgsync free-space
      msgsync free-space --budget 1000000000
      msgsync free-space --days 30

    --json: {"bytes_here", "bytes_free", "bytes_freed", "months_elsewhere", "months_free",
    "months_freed"}.
    """
    if preview and (budget is not None or days is not None):
        raise click.UsageError(
            "a budget is not previewed: leave out --preview, or --budget and --days"
        )
    if preview:
        with reading(path) as replica:
            space = replica.free_space(keep, preview=True)
    else:
        with writing(path) as replica:
            if budget is None and days is None:
                space = replica.free_space(keep)
            else:
                space = _keep_to(replica, None if budget == -1 else budget, days)
    if as_json:
        say_json(space)
        return
    went = "would go" if preview else "went"
    print(f"{space.bytes_freed:,} bytes {went}; {space.bytes_here:,} are here.")
    if space.months_freed or space.months_elsewhere:
        months = count(space.months_freed, "month")
        print(f"{months} of messages {went}; {space.months_elsewhere:,} are elsewhere.")
    allowed = keep if budget is None and days is None else budget
    stays = space.bytes_here - space.bytes_free
    if stays and allowed is not None and 0 <= allowed < space.bytes_here:
        note(
            f"{stays:,} bytes stay: nobody else is bound to keep them, as far as is known here; sync, "
            "with a mailbox twice with a minute in between, and try again"
        )


def _keep_to(replica: Replica, size: int | None, days: int | None) -> Space:
    """Set a budget for attachments; return what went for it. Months stay: they have a budget of their own."""
    before = replica.free_space(_EVERYTHING, preview=True).bytes_here
    replica.set_attachment_budget(size, days=days)
    space = replica.free_space(_EVERYTHING, preview=True)
    return replace(space, bytes_freed=before - space.bytes_here, months_freed=0)
