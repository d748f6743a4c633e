"""``msgsync wipe``: delete a replica."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import ask, command, shared, writing
from msgsync.cli.output import say_json, shown


@command()
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def wipe(path: Path, *, yes: bool, as_json: bool) -> None:
    """Delete this device's replica: its keys are erased, then the file and all that lies beside it.

    For a device that was revoked, or is given away. Nothing is told to the others, which keep what
    they have: `msgsync devices` says whether they have all. It cannot be undone.

      msgsync wipe --replica old.db

    --json: {"wiped"}.
    """
    with writing(path) as replica:
        if not yes:
            removal = replica.safe_to_remove(replica.device)
            if not removal.safe:
                click.echo(f"Not safe: {shown('; '.join(removal.reasons))}.", err=True)
            ask(f"Delete {shown(str(path))}, for good?")
        replica.wipe()
    if as_json:
        say_json({"wiped": str(path)})
    else:
        print(f"Wiped {path}.")
