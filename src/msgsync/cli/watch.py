"""``msgsync watch``: messages as they come."""

from __future__ import annotations

import threading
from contextlib import suppress
from pathlib import Path
from typing import Final

import click

import msgsync
from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import message_fields, message_line, say_json_now, shown

_LOOK_EVERY_S: Final = 0.3
"""Another process writes; SQLite tells nobody, and asking costs next to nothing if nothing changed."""


@command()
@click.argument("conversation", required=False)
@click.option("--all", "everything", is_flag=True, help="Begin with all that is there.")
@shared
def watch(path: Path, conversation: str | None, *, everything: bool, as_json: bool) -> None:
    """Show messages as they come, are edited or go, until Ctrl-C.

    Whoever writes the replica: sync --watch, serve, or your app. Without CONVERSATION, of all.

      msgsync watch family

    --json, a line each: {"change": "message", "merged", "erased" or "conversation", "conversation",
    "id", "message"}.
    """
    never = threading.Event()
    with reading(path) as replica:
        cursor = None if everything else replica.cursor()
        with suppress(KeyboardInterrupt):
            while True:
                page = replica.changes(after=cursor)
                for change in page:
                    if conversation in (None, change.conversation):
                        _say(change, as_json=as_json)
                cursor = page.cursor
                if not page.more:
                    never.wait(_LOOK_EVERY_S)


def _say(change: msgsync.Change, *, as_json: bool) -> None:
    if as_json:
        message = None if change.message is None else message_fields(change.message)
        say_json_now(
            {
                "change": change.kind,
                "conversation": change.conversation,
                "id": None if change.id is None else str(change.id),
                "message": message,
            }
        )
    elif change.message is not None:
        print(message_line(change.message, conversation=True), flush=True)
    elif change.kind == "erased":
        print(f"{change.id}  {shown(change.conversation)}  erased", flush=True)
