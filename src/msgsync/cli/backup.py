"""``msgsync backup`` and ``msgsync restore-backup``: a copy of the replica, and a replica of the copy."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

import msgsync
from msgsync.cli.options import command, new_passphrase, reading, secret, shared, with_passphrase
from msgsync.cli.output import count, note, say_json
from msgsync.cli.progress import Show, bar


@command()
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@shared
def backup(path: Path, file: Path, *, as_json: bool) -> None:
    """Write a backup of the replica into a new file, also while others use the replica.

    FILE must not exist. It is one file, complete and verified, with a checksum, and only you can
    read it; what was erased before is not in it. To get a replica back of it: restore-backup. What
    is erased later disappears from a restored backup again when it syncs; an archive that keeps
    everything is made with export. Attachments are not in it: they lie in the folder beside the
    replica, REPLICA.attachments, of which any program can make a copy.

      msgsync backup phone-2024-03-01.backup

    --json: {"backup", "documents", "messages", "file_bytes", "digest", "months_elsewhere",
    "attachment_bytes_left"}.
    """
    with reading(path) as replica, bar("Backing up") as show:
        report = replica.backup(file, on_progress=_listener(show))
    if as_json:
        say_json(
            {
                "backup": str(file),
                "documents": report.documents,
                "messages": report.messages,
                "file_bytes": report.file_bytes,
                "digest": report.digest,
                "months_elsewhere": report.months_elsewhere,
                "attachment_bytes_left": report.attachment_bytes_left,
            }
        )
    else:
        print(f"{file}: {count(report.messages, 'message')}, {count(report.file_bytes, 'byte')}.")
        if report.attachment_bytes_left:
            note(
                f"{report.attachment_bytes_left:,} bytes of attachments are not in it; they lie in {path}.attachments: "
                "copy that folder as well, unless another device or a mailbox has them"
            )
        if report.months_elsewhere:
            note(
                f"{count(report.months_elsewhere, 'month')} are not in it: this device let go of them"
            )


@command("restore-backup")
@click.argument("backup", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--new-device",
    is_flag=True,
    help="Be another device of the account: if the device that was backed up still lives.",
)
@click.option(
    "--recover",
    is_flag=True,
    help="Ask for the recovery phrase, which adds another device: if the one that was backed up is in other hands.",
)
@click.option("--name", metavar="NAME", help="What this device is called, on all devices.")
@click.option(
    "--encrypted",
    is_flag=True,
    help="Encrypt the whole file, also if the backup is not; needs msgsync[encrypted].",
)
@shared
def restore_backup(
    path: Path,
    backup: Path,
    *,
    new_device: bool,
    recover: bool,
    name: str | None,
    encrypted: bool,
    as_json: bool,
) -> None:
    """Make a replica of a backup.

    The replica must not exist, and BACKUP is left as it is. Sync, and what only the backup had
    comes back on all devices, while what was erased meanwhile disappears again. (Deleted messages
    are brought back with restore.)

      msgsync restore-backup phone-2024-03-01.backup --replica phone.db
      msgsync restore-backup phone-2024-03-01.backup --replica laptop.db --new-device
      msgsync restore-backup phone-2024-03-01.backup --replica new.db --recover

    The phrase is asked for; where standard input is no terminal, its first line is the phrase.
    What the backup, or the keys in it, are under is asked for too, unless MSGSYNC_PASSPHRASE has it;
    with --encrypted that is what the new file is under, and has to be the same.

    --json: {"replica", "account", "device", "messages"}.
    """
    phrase = secret("Recovery phrase") if recover else None
    with (
        bar("Restoring") as show,
        _made(backup, path, phrase, show, new_device=new_device, encrypted=encrypted) as replica,
    ):
        if name is not None:
            replica.rename_device(name)
        messages = replica.status().messages
    if as_json:
        say_json(
            {
                "replica": str(path),
                "account": replica.account,
                "device": replica.device,
                "messages": messages,
            }
        )
    else:
        print(f"Made {path}: {count(messages, 'message')}, device {replica.device}.")
        print("To catch up: msgsync sync ADDRESS, of a device that serves, or of a mailbox.")
        if recover:
            print(
                "Revoke all devices that are lost, also those that were revoked after the backup was"
            )
            print(
                "made: msgsync devices, msgsync revoke. Then make another phrase, and confirm it:"
            )
            print("msgsync recovery --replace, msgsync recovery --confirm")


def _made(
    backup: Path, path: Path, phrase: str | None, show: Show, *, new_device: bool, encrypted: bool
) -> msgsync.Replica:
    def make(words: str | None) -> msgsync.Replica:
        options: Any = {
            "passphrase": words,
            "encrypted": encrypted,
            "on_progress": _listener(show),
        }
        if phrase is not None:
            return msgsync.recover(path, phrase, backup=backup, **options)
        return msgsync.restore(backup, path, as_new_device=new_device, **options)

    return make(new_passphrase()) if encrypted else with_passphrase(make)


def _listener(show: Show) -> Callable[[msgsync.BackupProgress], None]:
    def on_progress(progress: msgsync.BackupProgress) -> None:
        if progress.documents_total is None:
            show(progress.bytes_copied, progress.bytes_total, "copying")
        else:
            show(progress.documents_verified, progress.documents_total, "verifying")

    return on_progress
