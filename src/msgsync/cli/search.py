"""``msgsync search``: find messages by their words."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import say_messages


@command()
@click.argument("words", nargs=-1, required=True)
@click.option("--conversation", metavar="ID", help="Only in this one.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@shared
def search(
    path: Path, words: tuple[str, ...], conversation: str | None, limit: int, *, as_json: bool
) -> None:
    """Find messages by their words.

    Shown are those in which all WORDS occur, the newest first. Texts are searched as they are
    shown: edited ones by the last edit, deleted ones not at all.

      msgsync search dinner nine
      msgsync search --conversation work 会议

    --json, a line each: as for messages.
    """
    with reading(path) as replica:
        if conversation is not None:
            replica.conversation(conversation)  # raises if it is not here
        found = replica.search(" ".join(words), conversation=conversation, limit=limit)
    say_messages(found, as_json=as_json, conversation=conversation is None)
