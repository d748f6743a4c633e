"""``msgsync recent``: what was deleted and can still be restored."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from msgsync.cli.options import ask, command, reading, shared, writing
from msgsync.cli.output import count, message_fields, message_line, say_json, time
from msgsync.cli.progress import bar, counting


@command()
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="At most so many.")
@click.option("--empty", is_flag=True, help="Erase all of it now, on all devices, for good.")
@click.option("--expired", is_flag=True, help="Erase what was kept for long enough.")
@click.option("--yes", is_flag=True, help="Do not ask before --empty.")
@shared
def recent(
    path: Path, limit: int | None, *, empty: bool, expired: bool, yes: bool, as_json: bool
) -> None:
    """List Recently Deleted, the last deleted first.

    Each line ends with the earliest time at which the message may be erased by itself.

      msgsync recent
      msgsync restore family 01hqz3v9k2m4n6p8r0st
      msgsync recent --empty

    --json, a line each: a message with "erased_from"; with --empty or --expired {"erased": N}.
    """
    if empty or expired:
        if empty and not yes:
            click.echo("This erases all deleted messages on all devices, for good.", err=True)
            ask("Erase them?")
        with writing(path) as replica, bar("Erasing") as show:
            everything = partial(replica.empty_recently_deleted, on_progress=counting(show))
            erased = everything() if empty else replica.erase_expired()
        if as_json:
            say_json({"erased": erased})
        else:
            print(f"Erased {count(erased, 'message')}.")
        return
    with reading(path) as replica:
        found = replica.recently_deleted(limit=limit)
    for one in found:
        until = time(one.erased_from_ms)
        if as_json:
            say_json(message_fields(one.message) | {"erased_from": until})
        else:
            print(f"{message_line(one.message, conversation=True)}  (kept until {until})")
    if not found and not as_json:
        click.echo("Nothing was deleted recently.", err=True)
