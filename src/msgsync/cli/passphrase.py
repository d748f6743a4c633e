"""``msgsync passphrase``: put the keys of a device under a passphrase."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import say_json


@command()
@click.option(
    "--remove", is_flag=True, help="Take it away: the keys lie in the file in clear then."
)
@shared
def passphrase(path: Path, *, remove: bool, as_json: bool) -> None:
    """Put the keys of this device under a passphrase, or under another one.

    Whoever has the file alone can then not be this device. Messages are not encrypted by it, unless
    the replica was made with --encrypted: then the whole file is written anew, under the new one.
    Each command that writes asks for it, and of an encrypted file each command, unless
    MSGSYNC_PASSPHRASE has it; a forgotten one nobody can help with: revoke the device from another
    one.

      msgsync passphrase
      msgsync passphrase --remove

    --json: {"passphrase": true or false}.
    """
    with writing(path) as replica:
        words = None
        if not remove:
            words = click.prompt(
                "New passphrase", err=True, hide_input=True, confirmation_prompt="Once more"
            )
        replica.set_passphrase(words)
        what = "The file is" if replica.encrypted else "The keys are"
    if as_json:
        say_json({"passphrase": words is not None})
    elif words is None:
        print("The keys are under no passphrase any more.")
    else:
        print(f"{what} under the passphrase now.")
