"""``msgsync serve``: let other devices sync with this one."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import note, say_json_now
from msgsync.cli.sync import in_words, tell_connection, until_told


@command()
@click.option(
    "--listen",
    default="tcp://127.0.0.1:0",
    show_default=True,
    metavar="tcp://HOST:PORT",
    help="Where; port 0 takes a free one.",
)
@shared
def serve(path: Path, listen: str, *, as_json: bool) -> None:
    """Let other devices of the account sync with this one.

    A device that stays connected (sync --watch) is sent what is new at once. It ends by Ctrl-C, or
    SIGTERM. The first line of output is the address it listens on. Other commands that only read
    (messages, search, status, export ...) work on the replica meanwhile; those that write do not.

      msgsync serve --replica phone.db --listen tcp://127.0.0.1:7700

    --json, a line each: {"event": "listening", "address"}, then for each exchange {"event":
    "completed", "report"} or {"event": "stopped", "error", "message"}; for a device that stays, also
    {"event": "connected", "device"} and {"event": "disconnected", "reason"}.
    """

    def on_listening(address: str) -> None:
        if as_json:
            say_json_now({"event": "listening", "address": address})
        else:
            print(address, flush=True)

    def on_event(event: object) -> None:
        if isinstance(event, msgsync.Completed):
            if as_json:
                say_json_now({"event": "completed", "report": event.report})
            else:
                note(f"Synced: {in_words(event.report)}.")
        elif isinstance(event, msgsync.Stopped):
            code = getattr(event.error, "code", "peer")
            if as_json:
                say_json_now({"event": "stopped", "error": code, "message": str(event.error)})
            else:
                note(f"msgsync: a sync stopped: {event.error}")
        else:
            tell_connection(event, replica, as_json=as_json)

    with until_told(), writing(path) as replica:
        msgsync.serve(replica, listen, on_listening=on_listening, on_event=on_event)
