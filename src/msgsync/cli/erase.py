"""``msgsync erase``: erase messages for good."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import ask, command, shared, writing
from msgsync.cli.output import count, say_json


@command()
@click.argument("conversation")
@click.argument("ids", nargs=-1, required=True, metavar="ID...")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def erase(path: Path, conversation: str, ids: tuple[str, ...], *, yes: bool, as_json: bool) -> None:
    """Erase messages and all that was said about them, on all devices, for good.

    Nothing brings them back: no other device, no backup, no import. Asks first. An id that is not
    here is erased in advance: its message never comes.

      msgsync erase family 01hqz3v9k2m4n6p8r0st

    --json: {"conversation", "erased": [ID, ...], "not_here": [ID, ...], "erased_before": [ID, ...]}.
    """
    with writing(path) as replica:
        chosen = replica.conversation(conversation)
        here, unknown, before = _sorted(chosen, dict.fromkeys(ids))
        if not yes:
            click.echo(
                f"This erases {count(len(here), 'message')} on all devices, for good.", err=True
            )
            if unknown:
                click.echo(_in_advance(unknown), err=True)
            ask("Erase?")
        chosen.erase(*here, *unknown)
    if as_json:
        say_json(
            {
                "conversation": conversation,
                "erased": here,
                "not_here": unknown,
                "erased_before": before,
            }
        )
        return
    print(f"Erased {count(len(here), 'message')}.")
    if unknown:
        print(_in_advance(unknown))
    if before:
        print(f"Erased before: {', '.join(before)}.")


def _sorted(
    conversation: msgsync.Conversation, ids: dict[str, None]
) -> tuple[list[str], list[str], list[str]]:
    """The ids of messages that are here, of those that are not, and of those that are erased already."""
    here: list[str] = []
    unknown: list[str] = []
    before: list[str] = []
    for one in ids:
        try:
            conversation.message(one)
        except msgsync.ErasedMessage:
            before.append(one)
        except msgsync.UnknownMessage:
            unknown.append(one)
        else:
            here.append(one)
    return here, unknown, before


def _in_advance(unknown: list[str]) -> str:
    return f"Not here, and erased should it ever come: {', '.join(unknown)}."
