"""``msgsync search``: find messages by their words."""

from __future__ import annotations

import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import click

import msgsync
from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import message_fields, note, say_json, shown, time

_DAY: Final = len("2024-05-31")


def _since(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Any:
    return None if text is None else _moment(text)


def _until(_context: click.Context, _parameter: click.Parameter, text: str | None) -> Any:
    """A day alone means its end, not its beginning."""
    if text is None:
        return None
    return _moment(text, timedelta(days=1) if len(text) <= _DAY else timedelta())


def _moment(text: str, more: timedelta = timedelta()) -> datetime:
    try:
        moment = datetime.fromisoformat(text) + more
    except (ValueError, OverflowError):
        raise click.BadParameter(
            f"{text!r} is no time; write 2024-05-31 or 2024-05-31T18:30Z"
        ) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


@command()
@click.argument("words", nargs=-1, required=True)
@click.option("--conversation", metavar="ID", help="Only in this one.")
@click.option("--author", metavar="NAME", help="Only what this author wrote.")
@click.option("--since", callback=_since, metavar="TIME", help="Not before this day or time.")
@click.option(
    "--until",
    callback=_until,
    metavar="TIME",
    help="Until the end of this day, or this time.",
)
@click.option("--before", metavar="ID", help="Only hits older than this message.")
@click.option("--limit", type=click.IntRange(min=1), default=50, show_default=True, metavar="N")
@shared
def search(
    path: Path,
    words: tuple[str, ...],
    conversation: str | None,
    before: str | None,
    *,
    as_json: bool,
    **scope: Any,
) -> None:
    """Find messages by their words.

    Shown are those in which all WORDS occur, the newest first, each with the place where they
    occur. din* stands for words that begin so, "dinner at eight" in quotes for these words in
    this order; shells want quotes around both. Case and accents do not matter. Texts are searched
    as they are shown: edited ones by the last edit, deleted ones not at all.

      msgsync search dinner nine
      msgsync search '"dinner at"' 'eig*'
      msgsync search --conversation work --since 2024-05-01 --until 2024-05-31 会议

    Times are days or times in ISO 8601, in UTC unless they say otherwise.

    --json, a line each: as for messages, and "snippet": its "text", and the "marks" of the matches
    in it, in characters.
    """
    with reading(path) as replica:
        if conversation is not None:
            replica.conversation(conversation)  # raises if it is not here
        page = replica.search(
            " ".join(words),
            conversation=conversation,
            before=None if before is None else replica.message(before),
            **scope,
        )
    if as_json:
        for hit in page.hits:
            say_json(message_fields(hit.message) | {"snippet": hit.snippet})
    else:
        _say_hits(page.hits, conversation=conversation is None)
    _say_more(page, as_json=as_json)


def _say_hits(hits: tuple[msgsync.Hit, ...], *, conversation: bool) -> None:
    """Print hits, a line each; on a terminal the matches stand out."""
    if not hits:
        return
    from rich.console import Console
    from rich.text import Text

    console = Console(file=sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=True)
    for hit in hits:
        message = hit.message
        place = f"{shown(message.conversation)}  " if conversation else ""
        line = Text(
            f"{message.id}  {place}{time(message.sent_ms)}  {shown(message.author)}: ",
            end="\n",
        )
        for text, is_match in hit.snippet.parts():
            line.append(shown(text), style="bold reverse" if is_match else None)
        console.print(line)


def _say_more(page: msgsync.SearchPage, *, as_json: bool) -> None:
    if page.complete_from is not None:
        note(
            f"(searched is what is on this device, which is all from {page.complete_from} on: msgsync fetch-months)"
        )
    elif not page.complete:
        note("(not all messages could be searched: see msgsync status)")
    if as_json:
        return
    if not page.hits:
        note("(nothing found)")
    elif page.older is not None and sys.stdout.isatty():
        note(f"(there are older ones: --before {page[-1].id})")
