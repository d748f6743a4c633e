"""``msgsync mark``: read and unread."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import author as author_option
from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import say_json


@command()
@click.argument("conversation")
@click.argument("state", type=click.Choice(["read", "unread"]))
@click.argument("message", required=False, metavar="[ID]")
@author_option
@shared
def mark(
    path: Path,
    conversation: str,
    state: str,
    message: str | None,
    author: str | None,
    *,
    as_json: bool,
) -> None:
    """Mark messages as read or unread, on all devices.

    read: all that are here, or up to the message ID. unread: the newest, or from the message ID on.

      msgsync mark family read
      msgsync mark family unread 01hqz3v9k2m4n6p8r0st

    --json: {"conversation", "unread": N}.
    """
    with writing(path, author=author) as replica:
        chosen = replica.conversation(conversation)
        if state == "read":
            chosen.mark_read(message)
        else:
            chosen.mark_unread(message)
        unread = chosen.unread
    if as_json:
        say_json({"conversation": conversation, "unread": unread})
    else:
        print(f"{unread:,} unread.")
