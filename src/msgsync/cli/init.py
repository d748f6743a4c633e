"""``msgsync init``: make a replica."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, is_missing, shared
from msgsync.cli.output import say_json


class ReplicaExists(msgsync.UsageError):
    """There is a file at the path already."""

    code = "replica-exists"


@command()
@click.option(
    "--account",
    metavar="ID",
    help="The account of your other devices, as init and status show it there; without it a new one "
    "is made.",
)
@shared
def init(path: Path, account: str | None, *, as_json: bool) -> None:
    """Make a replica: an empty file for one device's messages.

    The first device of a person makes a new account, and shows its id. Each other device is given
    that id, and fills by syncing. An existing file is never touched, unless it is empty.

      msgsync init --replica phone.db
      msgsync init --replica tablet.db --account 0123456789abcdefghjkmnpqrs
    """
    if not is_missing(path):
        raise ReplicaExists(
            f"{path} exists; to see what it is: msgsync status --replica {shlex.quote(str(path))}"
        )
    with msgsync.open(path, account=account) as replica:
        if as_json:
            say_json({"replica": str(path), "account": replica.account, "device": replica.device})
            return
        print(f"Made {path}: device {replica.device} of account {replica.account}.")
        if account is None:
            print(f"On your other devices: msgsync init --replica FILE --account {replica.account}")
        else:
            print("To fill it: msgsync sync tcp://HOST:PORT, while another device serves.")
