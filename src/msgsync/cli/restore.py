"""``msgsync restore``: bring deleted messages, or a whole conversation, back."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import count, say_json
from msgsync.cli.progress import bar, counting


@command()
@click.argument("conversation")
@click.argument("ids", nargs=-1, metavar="[ID]...")
@shared
def restore(path: Path, conversation: str, ids: tuple[str, ...], *, as_json: bool) -> None:
    """Restore deleted messages, or a whole conversation, on all devices.

    With IDs these messages. Without, the conversation with exactly what was deleted with it. What
    was erased cannot be restored. (A replica is made of a backup with restore-backup.)

      msgsync restore family 01hqz3v9k2m4n6p8r0st
      msgsync restore family

    --json: {"conversation", "restored": N}.
    """
    with writing(path) as replica:
        chosen = replica.conversation(conversation)
        if ids:
            chosen.restore(*ids)
            restored = len(ids)
        else:
            with bar("Restoring") as show:
                restored = chosen.restore_all(on_progress=counting(show))
    if as_json:
        say_json({"conversation": conversation, "restored": restored})
    else:
        print(f"Restored {count(restored, 'message')}.")
