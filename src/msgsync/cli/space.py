"""``msgsync free-space`` and ``fetch-attachments``: attachments go from one device, and come back."""

from __future__ import annotations

import re
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Final

import click

from msgsync import Replica, Space
from msgsync.cli.options import command, reading, shared, writing
from msgsync.cli.output import count, note, say_json, shown

_EVERYTHING: Final = 2**62
_NO_BUDGET: Final = -1
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?) ?([kmgt]?)b?", re.IGNORECASE)
_POWERS: Final = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}


class _Size(click.ParamType[int]):
    """A number of bytes, as 2000000000 or 2GB."""

    name = "size"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> int:
        """Return how many bytes it says."""
        if value in (_NO_BUDGET, str(_NO_BUDGET)) and param is not None and param.name == "budget":
            return _NO_BUDGET
        found = _SIZE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no number of bytes, as 2000000000 or 2GB", param, ctx)
        return min(int(Decimal(found[1]) * 1000 ** _POWERS[found[2].lower()]), _EVERYTHING)


@command("free-space")
@click.argument("keep", required=False, default=0, type=_Size(), metavar="[BYTES]")
@click.option("--preview", is_flag=True, help="Say what would go, and let nothing go.")
@click.option(
    "--budget",
    type=_Size(),
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
    somebody reads them, or all with fetch-attachments. Nothing is deleted: see delete and erase for
    that. Only what is in a mailbox or what another device has promised to keep goes; devices are asked
    for that when they sync, from the first time on that this is run. After keep-months, months of
    messages go as well that are beyond that. --budget and --days say what is kept from now on, in
    place of what was said before.

      msgsync free-space --preview
      msgsync free-space
      msgsync free-space --budget 2GB
      msgsync free-space --days 30

    --json: {"bytes_here", "bytes_free", "bytes_freed", "months_elsewhere", "months_free",
    "months_freed", "months_stay", "months_wait_for": [DEVICE, ...]}.
    """
    if preview and (budget is not None or days is not None):
        raise click.UsageError(
            "a budget is not previewed: leave out --preview, or --budget and --days"
        )
    with reading(path) if preview else writing(path) as replica:
        if budget is None and days is None:
            allowed: int | None = keep
            space = replica.free_space(keep, preview=preview)
        else:
            allowed = None if budget == _NO_BUDGET else budget
            space = _keep_to(replica, allowed, days)
        waited_for = [
            one.name or str(one.id)
            for one in replica.devices()
            if str(one.id) in space.months_wait_for
        ]
    if as_json:
        say_json(space)
        return
    went = "would go" if preview else "went"
    print(f"{space.bytes_freed:,} bytes {went}; {space.bytes_here:,} are here.")
    if space.months_freed or space.months_elsewhere:
        months = count(space.months_freed, "month")
        print(f"{months} of messages {went}; {space.months_elsewhere:,} are elsewhere.")
    stays = space.bytes_here - space.bytes_free
    if stays and allowed is not None and allowed < space.bytes_here:
        note(
            f"{stays:,} bytes stay: nobody else is bound to keep them, as far as is known here; sync, "
            "with a mailbox twice with a minute in between, and try again"
        )
    if space.months_stay:
        note(
            f"{count(space.months_stay, 'month')} of messages stay: no other device has promised to keep them and no "
            "mailbox has them in a checkpoint, as far as is known here; sync with a device that keeps all, or go on "
            "syncing with a mailbox until there is a checkpoint with them"
        )
    if waited_for:
        note(
            f"no month goes before these devices are known to have heard of it: {shown(', '.join(waited_for))}; "
            "have them sync, or, if they are lost: msgsync retire"
        )


@command("fetch-attachments")
@shared
def fetch_attachments(path: Path, *, as_json: bool) -> None:
    """Have all attachments come back to this device.

    Those that it has let go of, and those that were paused by themselves. They come with the next
    syncs with a device or a mailbox that has them; with a budget, as far as that allows.

      msgsync free-space --budget -1
      msgsync fetch-attachments
      msgsync sync tcp://laptop.local:7654

    --json: {"bytes"}: how many are to come that would not have.
    """
    with writing(path) as replica:
        coming = replica.fetch_attachments()
    if as_json:
        say_json({"bytes": coming})
        return
    print(f"{count(coming, 'byte')} of attachments {'is' if coming == 1 else 'are'} to come.")
    if coming:
        note("sync with a device or a mailbox that has them: msgsync sync ADDRESS")


def _keep_to(replica: Replica, size: int | None, days: int | None) -> Space:
    """Set a budget for attachments; return what went for it. Months stay: they have a budget of their own."""
    before = replica.free_space(_EVERYTHING, preview=True).bytes_here
    replica.set_attachment_budget(size, days=days)
    space = replica.free_space(_EVERYTHING, preview=True)
    freed = before - space.bytes_here
    return replace(space, bytes_freed=freed, months_freed=0, months_stay=0, months_wait_for=())
