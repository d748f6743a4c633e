"""``msgsync off`` and ``msgsync on``: whether this device syncs."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import count, say_json, time
from msgsync.cli.progress import bar


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
@shared
def off(path: Path, *, keep_everything: bool, places: tuple[str, ...], as_json: bool) -> None:
    """Switch sync off on this device: nothing leaves it and nothing enters.

    Everything else goes on, and what is written meanwhile goes out when sync is switched on again:
    msgsync on. Other devices are as they were. It stays off until then, however often the app is
    started. With --keep-everything it is done only once all is here that is known of.

      msgsync off
      msgsync off --keep-everything

    --json: one object with "sync_off", since when.
    """
    with writing(path) as replica:
        with bar("Syncing") as show:

            def on_event(event: object) -> None:
                if isinstance(event, msgsync.Progress):
                    show(event.messages, event.total_messages, count(event.messages, "message"))

            replica.sync.disable(
                keep="everything" if keep_everything else "what is here",
                places=places or None,
                on_event=on_event,
            )
        since_ms = replica.sync.off_since_ms
    assert since_ms is not None
    if as_json:
        say_json({"sync_off": time(since_ms)})
    else:
        print(f"Sync is off since {time(since_ms)}; on again: msgsync on.")


@command()
@shared
def on(path: Path, *, as_json: bool) -> None:
    """Switch sync on again on this device.

    The next sync brings what happened here and elsewhere together: nothing is lost, and nothing is
    there twice. Nothing is synced by this itself.

      msgsync on

    --json: one object with "sync_off": null.
    """
    with writing(path) as replica:
        replica.sync.enable()
    if as_json:
        say_json({"sync_off": None})
    else:
        print("Sync is on.")
