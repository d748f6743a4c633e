"""``msgsync edit`` and ``msgsync react``: say something about a message."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import author as author_option
from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import say_messages


@command()
@click.argument("conversation")
@click.argument("message", metavar="ID")
@click.argument("text")
@shared
def edit(path: Path, conversation: str, message: str, text: str, *, as_json: bool) -> None:
    """Give a message another text, on all devices.

    The last edit is shown, also if two devices edit at the same time; all are kept.

      msgsync edit family 01hqz3v9k2m4n6p8r0st "Dinner at nine?"

    --json: the message.
    """
    with writing(path) as replica:
        edited = replica.conversation(conversation).edit(message, text)
    say_messages([edited], as_json=as_json)


@command()
@click.argument("conversation")
@click.argument("message", metavar="ID")
@click.argument("emoji")
@author_option
@click.option("--off", is_flag=True, help="Take the reaction back.")
@shared
def react(
    path: Path,
    conversation: str,
    message: str,
    emoji: str,
    author: str | None,
    *,
    off: bool,
    as_json: bool,
) -> None:
    """React to a message, or take a reaction back.

      msgsync react family 01hqz3v9k2m4n6p8r0st 👍 --author Ann

    --json: the message.
    """
    with writing(path, author=author) as replica:
        chosen = replica.conversation(conversation)
        reacted = chosen.unreact(message, emoji) if off else chosen.react(message, emoji)
    say_messages([reacted], as_json=as_json)
