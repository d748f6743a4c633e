"""``msgsync messages``: read a conversation."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import note, say_messages


@command()
@click.argument("conversation")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@click.option("--before", metavar="ID", help="Only messages before this one.")
@click.option(
    "--after", metavar="ID", help="Only messages after this one; 'start' reads from the first."
)
@click.option("--deleted", is_flag=True, help="Show deleted messages too.")
@shared
def messages(
    path: Path,
    conversation: str,
    limit: int,
    before: str | None,
    after: str | None,
    *,
    deleted: bool,
    as_json: bool,
) -> None:
    """Show the messages of a conversation.

    Without options the newest 50 of CONVERSATION, in the order in which they were sent. Each line
    has the id, by which to go on, to reply and to delete; the time (UTC); who and what.

      msgsync messages family
      msgsync messages family --before 01hqz3v9k2m4n6p8r0st
      msgsync messages family --after start --limit 1000

    Where older ones are not on this device, that is said on standard error.

    --json, a line each: the fields of docs/jsonlines.md; "text" is what is shown now,
    "original_text" what was sent.
    """
    with reading(path) as replica:
        chosen = replica.conversation(conversation)
        page = chosen.messages(
            before=None if before is None else chosen.message(before),
            after=_place(chosen, after),
            limit=limit,
            include_deleted=deleted,
        )
        months = chosen.months_elsewhere if page.elsewhere else ()
    say_messages(page, as_json=as_json)
    if page.elsewhere:
        what = "some between these or before them" if after else "older ones"
        how = "msgsync fetch-months, then msgsync sync" if months else "msgsync sync"
        note(f"({what} are not on this device: {how})")
    if not as_json and sys.stdout.isatty():
        if page.older is not None and not page.elsewhere:
            note(f"(there are older ones: --before {page[0].id})")
        if page.newer is not None:
            note(f"(there are newer ones: --after {page[-1].id})")


def _place(
    conversation: msgsync.Conversation, after: str | None
) -> msgsync.Cursor | msgsync.Message | None:
    if after is None:
        return None
    return msgsync.Cursor.START if after == "start" else conversation.message(after)
