"""``msgsync delete``: delete messages, or a whole conversation, on all devices."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import ask, command, shared, writing
from msgsync.cli.output import count, say_json, shown
from msgsync.cli.progress import bar, counting


@command()
@click.argument("conversation")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--yes", is_flag=True, help="Delete a whole conversation without asking.")
@shared
def delete(
    path: Path, conversation: str, ids: tuple[str, ...], *, yes: bool, as_json: bool
) -> None:
    """Delete messages, or a whole conversation, on all devices.

    Here now, and elsewhere as devices sync. With IDs exactly these messages, either all of them or
    none, without a question. Without IDs the whole conversation: it says what that is, and asks. A
    message that nobody has seen yet brings the conversation back with that message alone.

      msgsync delete family 01hqz3v9k2m4n6p8r0st
      msgsync delete family

    What was deleted is in Recently Deleted (msgsync recent) until it is erased.

    --json: {"conversation", "deleted": [ID, ...]}, or {"conversation", "messages": N}.
    """
    with writing(path) as replica:
        chosen = replica.conversation(conversation)
        if ids:
            chosen.delete(*ids)
            if as_json:
                say_json({"conversation": conversation, "deleted": ids})
            else:
                print(f"Deleted {count(len(ids), 'message')}.")
            return
        preview = chosen.preview_deletion()
        if not yes:
            _ask(preview)
        with bar("Deleting") as show:
            deleted = chosen.delete_all(preview.token, on_progress=counting(show))
    if as_json:
        say_json({"conversation": conversation, "messages": deleted})
    else:
        print(f"Deleted the conversation with {count(deleted, 'message')}.")


def _ask(preview: msgsync.DeletionPreview) -> None:
    name = shown(preview.title or preview.conversation)
    more = (
        "" if preview.complete else " Not all of it is on this device; the rest goes as it comes."
    )
    click.echo(
        f"This deletes {name} on all devices: {count(preview.messages, 'message')}.{more}", err=True
    )
    ask("Delete it?")
