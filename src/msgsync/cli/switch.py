"""``msgsync off`` and ``on``: whether this device syncs; ``msgsync forget``: and where not any more."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import say_json, shown, time
from msgsync.cli.progress import bar, syncing


@command()
@click.option(
    "--keep-everything",
    is_flag=True,
    help="First sync with all places that are known, until nothing is missing here.",
)
@click.option(
    "--place",
    "places",
    multiple=True,
    metavar="ADDRESS",
    help="With --keep-everything: sync with this place instead; can be given several times.",
)
@click.option(
    "--attachments",
    is_flag=True,
    help="Only attachments stay where they are; messages go on.",
)
@shared
def off(
    path: Path,
    *,
    keep_everything: bool,
    places: tuple[str, ...],
    attachments: bool,
    as_json: bool,
) -> None:
    """Switch sync off on this device: nothing leaves it and nothing enters.

    Everything else goes on, and what is written meanwhile goes out when sync is switched on again:
    msgsync on. Other devices are as they were. It stays off until then, however often the app is
    started. With --keep-everything it is done only once all is here that is known of.

      msgsync off
      msgsync off --keep-everything
      msgsync off --attachments

    --json: one object with "sync_off", since when; with --attachments, "attachments_paused".
    """
    if attachments:
        if keep_everything or places:
            raise click.UsageError("--attachments leaves sync on: it goes with no other option")
        _pause(path, paused=True, as_json=as_json)
        return
    with writing(path) as replica:
        with bar("Syncing") as show:
            replica.sync.disable(
                keep="everything" if keep_everything else "what is here",
                places=places or None,
                on_event=syncing(show),
            )
        since_ms = replica.sync.off_since_ms
    assert since_ms is not None
    if as_json:
        say_json({"sync_off": time(since_ms)})
    else:
        print(f"Sync is off since {time(since_ms)}; on again: msgsync on.")


def _pause(path: Path, *, paused: bool, as_json: bool) -> None:
    with writing(path) as replica:
        if paused:
            replica.sync.pause_attachments()
        else:
            replica.sync.resume_attachments()
    if as_json:
        say_json({"attachments_paused": paused})
    elif paused:
        print("Attachments stay where they are; they go on with: msgsync on --attachments.")
    else:
        print("Attachments follow their messages.")


@command()
@click.option(
    "--attachments", is_flag=True, help="Only let attachments follow their messages again."
)
@shared
def on(path: Path, *, attachments: bool, as_json: bool) -> None:
    """Switch sync on again on this device.

    The next sync brings what happened here and elsewhere together: nothing is lost, and nothing is
    there twice. Nothing is synced by this itself.

      msgsync on
      msgsync on --attachments

    --json: one object with "sync_off": null; with --attachments, "attachments_paused".
    """
    if attachments:
        _pause(path, paused=False, as_json=as_json)
        return
    with writing(path) as replica:
        replica.sync.enable()
    if as_json:
        say_json({"sync_off": None})
    else:
        print("Sync is on.")


@command()
@click.argument("address")
@shared
def forget(path: Path, address: str, *, as_json: bool) -> None:
    """Forget a place where this device has synced, or has tried to.

    A mailbox that is not used any more, or an address that was mistyped or is an old one: status does
    not name it then, and doctor does not look there. Nothing is removed there, and nothing is lost:
    syncing with it again makes it known again. For a device that is gone see retire and revoke.

      msgsync forget file:///media/stick/messages

    --json: {"forgotten"}.
    """
    with writing(path) as replica:
        replica.sync.forget(address)
    if as_json:
        say_json({"forgotten": address})
    else:
        print(f"Forgot {shown(address)}.")
