"""``msgsync init``: make a replica."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import (
    command,
    is_missing,
    new_passphrase,
    passphrase_options,
    shared,
    writing,
)
from msgsync.cli.output import say_json


class ReplicaExists(msgsync.UsageError):
    """There is a file at the path already."""

    code = "replica-exists"


@command()
@click.option(
    "--member",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The replica of another of your devices, on this machine: it adds this one to its account. "
    "Without it a new account is made.",
)
@click.option("--name", metavar="NAME", help="What this device is called, on all devices.")
@passphrase_options
@shared
def init(
    path: Path,
    member: Path | None,
    name: str | None,
    *,
    locked: bool,
    encrypted: bool,
    as_json: bool,
) -> None:
    """Make a replica: an empty file for one device's messages, and the device's keys.

    The first device of a person makes a new account. Each other one is added by a device that is in
    the account, and fills by syncing. The keys are in the file, so let nobody else have it; or
    put them, or all of it, under a passphrase. An existing file is never touched, unless it is empty.

      msgsync init --replica phone.db
      msgsync init --replica tablet.db --member phone.db
      msgsync init --replica laptop.db --encrypted

    For a device on another machine there is `msgsync invite`.
    """
    if not is_missing(path):
        raise ReplicaExists(
            f"{path} exists; to see what it is: msgsync status --replica {shlex.quote(str(path))}"
        )
    words = new_passphrase() if locked or encrypted else None
    with _made(path, member, words, encrypted=encrypted) as replica:
        if name is not None:
            replica.rename_device(name)
        if as_json:
            say_json({"replica": str(path), "account": replica.account, "device": replica.device})
            return
        print(f"Made {path}: device {replica.device} of account {replica.account}.")
        if member is None:
            here = shlex.quote(str(path))
            print(f"Write the recovery phrase down: msgsync recovery --replica {here}")
            print(f"For another device: msgsync invite --replica {here}")
            print(f"If it is on this machine: msgsync init --replica FILE --member {here}")
        else:
            print("To fill it: msgsync sync ADDRESS, of a device that serves, or of a mailbox.")


def _made(
    path: Path, member: Path | None, words: str | None, *, encrypted: bool
) -> msgsync.Replica:
    if member is None:
        return msgsync.open(path, passphrase=words, encrypted=encrypted)
    with writing(member) as other:
        return other.new_device(path, passphrase=words, encrypted=encrypted)
