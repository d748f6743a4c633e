"""``msgsync delete``: delete messages on all devices."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import count, say_json


@command()
@click.argument("conversation")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@shared
def delete(path: Path, conversation: str, ids: tuple[str, ...], *, as_json: bool) -> None:
    """Delete messages, on all devices.

    Here now, and elsewhere as devices sync. Either all of them are deleted or none. They can still
    be seen with messages --deleted.

      msgsync delete family 01hqz3v9k2m4n6p8r0st

    --json: {"conversation", "deleted": [ID, ...]}.
    """
    with writing(path) as replica:
        replica.conversation(conversation).delete(*ids)
    if as_json:
        say_json({"conversation": conversation, "deleted": ids})
    else:
        print(f"Deleted {count(len(ids), 'message')}.")
