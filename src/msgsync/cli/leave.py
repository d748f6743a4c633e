"""``msgsync leave``: take this device out of its account."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import ask, command, shared, writing
from msgsync.cli.output import note, say_json, shown
from msgsync.cli.progress import bar, syncing


@command()
@click.option("--wipe", is_flag=True, help="Delete the replica as well, with its keys.")
@click.option(
    "--even-if-only-copy",
    is_flag=True,
    help="Do it even if something is not known to be on any other device.",
)
@click.option(
    "--place",
    "places",
    multiple=True,
    metavar="ADDRESS",
    help="Sync with this place instead of those that are known; can be given several times.",
)
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def leave(
    path: Path,
    *,
    wipe: bool,
    even_if_only_copy: bool,
    places: tuple[str, ...],
    yes: bool,
    as_json: bool,
) -> None:
    """Take this device out of its account: it is given away, or not used any more.

    It syncs, so that others have what it has; refuses to go on if it may be the only one that has
    something; says to the others that it leaves, so that nothing waits for it; and then takes part in
    nothing any more. The file stays to be read, or goes with --wipe. Revoke it on another device
    afterwards: msgsync revoke.

      msgsync leave --wipe

    --json: one object with "told": [ADDRESS, ...], "not_told": [TEXT, ...], "only_here": [TEXT, ...],
    "wiped".
    """
    with writing(path) as replica, bar("Syncing") as show:
        if not yes:
            end = " and delete it here, for good" if wipe else ""
            ask(f"Take {shown(str(path))} out of its account{end}?")
        device = replica.device
        done = replica.leave(
            wipe=wipe,
            even_if_only_copy=even_if_only_copy,
            places=places or None,
            on_event=syncing(show),
        )
    if as_json:
        say_json(done)
        return
    print(f"{shown(str(path))} has left its account{', and is wiped' if done.wiped else ''}.")
    for one in done.told:
        print(f"Told by {shown(one)}.")
    for one in (*done.not_told, *done.only_here):
        note(shown(one))
    print(f"On another device: msgsync revoke {device}")
