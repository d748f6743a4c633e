"""``msgsync recovery``: the phrase with which a mailbox or a backup makes a device when all others are gone."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import ask, command, reading, shared, writing
from msgsync.cli.output import say_json


@command()
@click.option("--confirm", "confirms", is_flag=True, help="Type back three of its words.")
@click.option(
    "--replace",
    "replaces",
    is_flag=True,
    help="Make a new phrase; devices take the old one no more as soon as they hear of it.",
)
@click.option("--yes", is_flag=True, help="Do not ask before the phrase is replaced.")
@shared
def recovery(path: Path, *, confirms: bool, replaces: bool, yes: bool, as_json: bool) -> None:
    """Show the recovery phrase, confirm that it was written down, or replace it.

    With the 24 words a mailbox (msgsync recover) or a backup (msgsync restore-backup) makes a new
    device of the account when all devices are gone. They are shown on the device that made them until three of them are
    typed back, and never again. Write them on paper: whoever has them is in the account.
    Which words are asked for is drawn each time; four letters are enough.

    After --replace sync all devices: one that has not heard of the new phrase takes the old one still.

      msgsync recovery
      msgsync recovery --confirm
      msgsync recovery --replace

    --json: one object with "confirmed", "phrase"; "phrase" is null where it cannot be shown.
    """
    if confirms and replaces:
        raise click.UsageError("--confirm or --replace, one at a time")
    if confirms:
        with writing(path) as replica:
            _confirm(replica)
            _say(replica, as_json=as_json)
    elif replaces:
        with writing(path) as replica:
            if not yes:
                ask("Make a new phrase? Devices take the one before no more once they hear of it.")
            replica.replace_recovery_phrase()
            _say(replica, as_json=as_json)
            if not as_json:
                print(
                    "Sync all devices and mailboxes: one that has not heard of this takes the phrase before still,\n"
                    "and drops whoever came in with it as soon as it hears."
                )
                print(
                    "Delete backups that others may read: the phrase before still opens them, for reading."
                )
    else:
        with reading(path) as replica:
            _say(replica, as_json=as_json)


def _confirm(replica: msgsync.Replica) -> None:
    answers = {
        place: click.prompt(f"Word {place}", err=True, type=str)
        for place in replica.recovery_places()
    }
    if not sys.stdin.isatty():
        click.echo(err=True)  # who types ends the line of the question; a pipe does not
    replica.confirm_recovery(answers)


def _say(replica: msgsync.Replica, *, as_json: bool) -> None:
    phrase = replica.recovery_phrase()
    confirmed = replica.account_status().recovery_confirmed
    if as_json:
        say_json({"confirmed": confirmed, "phrase": phrase})
        return
    if phrase is not None:
        words = phrase.split()
        for start in range(0, len(words), 4):
            numbered = enumerate(words[start : start + 4], start=start + 1)
            print("  ".join(f"{place:2} {word:<8}" for place, word in numbered).rstrip())
        print("Write them down, then: msgsync recovery --confirm")
    elif confirmed:
        print("The recovery phrase was written down and confirmed; it is not shown again.")
    else:
        print("The recovery phrase was made on another device and is not confirmed yet.")
        print("Confirm it there; or make a new one here: msgsync recovery --replace")
