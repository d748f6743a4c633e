"""``msgsync conversations``: what is there."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import columns, message_fields, say_json, shown, time


@command()
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@shared
def conversations(path: Path, limit: int | None, *, as_json: bool) -> None:
    """List the conversations, the last active first.

    Each line has id, time of the last activity, title and last message.

      msgsync conversations --limit 10

    --json, a line each: {"conversation", "title", "activity", "last_message"}.
    """
    with reading(path) as replica:
        found = replica.conversations(limit=limit)
    if as_json:
        for one in found:
            last = one.last_message
            say_json(
                {
                    "conversation": one.id,
                    "title": one.title,
                    "activity": time(one.activity_ms),
                    "last_message": None if last is None else message_fields(last),
                }
            )
        return
    rows = []
    for one in found:
        last = one.last_message
        said = "" if last is None else shown(f"{last.author}: {last.text}".replace("\n", " "))
        rows.append((shown(one.id), time(one.activity_ms), shown(one.title or ""), said))
    for line in columns(rows):
        print(line)
