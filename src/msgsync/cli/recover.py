"""``msgsync recover``: a new device by a mailbox and the recovery phrase, when all others are gone."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, new_passphrase, passphrase_options, secret, shared
from msgsync.cli.output import note, say_json
from msgsync.cli.progress import bar, syncing
from msgsync.cli.sync import in_words, remedy_at, say_refused


@command()
@click.option(
    "--via",
    required=True,
    metavar="URL",
    help="The mailbox that the devices synced by: file:///PATH, s3://BUCKET/FOLDER ...",
)
@click.option("--name", metavar="NAME", help="What this device is called, on all devices.")
@passphrase_options
@shared
@click.pass_context
def recover(
    context: click.Context,
    path: Path,
    via: str,
    name: str | None,
    *,
    locked: bool,
    encrypted: bool,
    as_json: bool,
) -> None:
    """Make a new device with the recovery phrase and a mailbox, and fill it.

    When all devices are gone. The replica must not exist. The phrase is asked for; where standard
    input is no terminal, its first line is the phrase. Broken off while it fills, it goes on with
    msgsync sync. Of a backup in place of a mailbox: msgsync restore-backup --recover.

      msgsync recover --replica new.db --via file:///home/ann/Sync/messages

    --json: {"replica", "account", "device", "report"}; the report is that of msgsync sync.
    """
    phrase = secret("Recovery phrase")
    words = new_passphrase() if locked or encrypted else None
    with (
        msgsync.recover(
            path, phrase, via=via, name=name, passphrase=words, encrypted=encrypted
        ) as replica,
        bar("Filling") as show,
    ):
        try:
            report = msgsync.sync(replica, via, on_event=syncing(show))
        except msgsync.MsgSyncError:
            note(f"{path} is made, but not filled: {_again(path, via)}")
            raise
        remedy = remedy_at(replica, via)
        others = sum(not one.is_this and not one.revoked_ms for one in replica.devices())
    if as_json:
        made = {"replica": str(path), "account": replica.account, "device": replica.device}
        say_json(made | {"report": report})
    else:
        print(f"Made {path}: device {replica.device}. {in_words(report)}.")
        say_refused(report, remedy)
        if others:
            print(
                "Revoke the devices that are lost: msgsync devices, msgsync revoke. Then make another"
            )
            print(
                "phrase, confirm it, and sync: msgsync recovery --replace, msgsync recovery --confirm"
            )
    if not report.complete:
        note(f"Not all is here: {_again(path, via)}")
        context.exit(msgsync.PeerError.exit_code)


def _again(path: Path, via: str) -> str:
    return f"msgsync sync --replica {shlex.quote(str(path))} {shlex.quote(via)}"
