"""``msgsync erase``: erase messages for good."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import ask, command, shared, writing
from msgsync.cli.output import count, say_json


@command()
@click.argument("conversation")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def erase(path: Path, conversation: str, ids: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Erase messages and all that was said about them, on all devices, for good.

    Nothing brings them back: no other device, no backup, no import. Asks first.

      msgsync erase family 01hqz3v9k2m4n6p8r0st

    --json: {"conversation", "erased": [ID, ...]}.
    """
    if not yes:
        click.echo(f"This erases {count(len(ids), 'message')} on all devices, for good.", err=True)
        ask("Erase?")
    with writing(path) as replica:
        replica.conversation(conversation).erase(*ids)
    if as_json:
        say_json({"conversation": conversation, "erased": ids})
    else:
        print(f"Erased {count(len(ids), 'message')}.")
