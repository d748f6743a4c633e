"""``msgsync conversations``: what is there."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import author as author_option
from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import columns, message_fields, say_json, shown, time


@command()
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@click.option("--deleted", is_flag=True, help="Deleted conversations too.")
@author_option
@shared
def conversations(
    path: Path, limit: int | None, author: str | None, *, deleted: bool, as_json: bool
) -> None:
    """List the conversations, the last active first.

    Each line has id, time of the last activity, title and last message.

      msgsync conversations --limit 10

    A number in brackets says how many messages are unread; --author says whose messages are not.

    --json, a line each: {"conversation", "title", "activity", "last_message", "unread", "pinned",
    "archived", "muted", "deleted"}.
    """
    with reading(path, author=author) as replica:
        found = replica.conversations(limit=limit, include_deleted=deleted)
    if as_json:
        for one in found:
            last = one.last_message
            say_json(
                {
                    "conversation": one.id,
                    "title": one.title,
                    "activity": time(one.activity_ms),
                    "last_message": None if last is None else message_fields(last),
                    "unread": one.unread,
                    "pinned": one.pinned,
                    "archived": one.archived,
                    "muted": one.muted,
                    "deleted": one.deleted,
                }
            )
        return
    rows = []
    for one in found:
        last = one.last_message
        said = "" if last is None else shown(f"{last.author}: {last.text}".replace("\n", " "))
        marks = [f"({one.unread:,})"] if one.unread and author else []
        flags = (("pinned", one.pinned), ("archived", one.archived), ("muted", one.muted))
        marks += [name for name, on in (*flags, ("deleted", one.deleted)) if on]
        title = " ".join([shown(one.title or ""), *marks]).strip()
        rows.append((shown(one.id), time(one.activity_ms), title, said))
    for line in columns(rows):
        print(line)
