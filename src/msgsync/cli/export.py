"""``msgsync export``: write conversations as JSON Lines."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import count, note, say_json, shown
from msgsync.cli.progress import bar


@command()
@click.argument("file", type=click.Path(dir_okay=False, allow_dash=True), default="-")
@click.option(
    "--conversation",
    "conversations",
    metavar="ID",
    multiple=True,
    help="Only this one; may be given several times.",
)
@click.option(
    "--attachments",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the files of the messages into this folder.",
)
@shared
@click.pass_context
def export(
    context: click.Context,
    path: Path,
    file: str,
    conversations: tuple[str, ...],
    attachments: Path | None,
    *,
    as_json: bool,
) -> None:
    """Write all messages to a file, or to standard output.

    FILE becomes JSON Lines, as import reads them. Importing the file into an empty replica gives
    the same messages: same ids, edits, reactions, replies and deletions. A FILE that ends in .gz is
    gzipped; it takes its name only when complete. With --attachments the files that went with
    messages lie in FOLDER, each once, and import takes them in again. This is the archive: what is
    deleted or erased on devices later stays in it. A backup is for getting a device back: see backup.

      msgsync export archive.jsonl.gz
      msgsync export archive.jsonl.gz --attachments archive-files
      msgsync export --conversation family | less

    The exit code is 1 if files are not on this device, so that they are not in the folder.

    --json, with FILE: {"conversations", "messages", "months_elsewhere", "attachments",
    "attachments_left"}. Standard output carries only the export.
    """
    to_output = file == "-"
    with reading(path) as replica, bar("Exporting") as show:
        total = replica.status().messages

        def on_progress(progress: msgsync.ExportProgress) -> None:
            show(
                progress.messages,
                None if conversations else total,
                count(progress.messages, "message"),
            )

        report = msgsync.export_jsonlines(
            replica,
            sys.stdout.buffer if to_output else file,
            conversations=conversations or None,
            attachments=attachments,
            on_progress=on_progress,
        )
    if as_json and not to_output:
        say_json(report)
    elif not as_json:
        say = note if to_output else print
        say(
            f"{count(report.messages, 'message')} of {count(report.conversations, 'conversation')}."
        )
        if report.months_elsewhere:
            months = count(report.months_elsewhere, "month")
            note(f"{months} are not on this device: msgsync fetch-months, sync, and export again")
        if attachments is not None:
            say(f"{count(report.attachments, 'file')} in {shown(str(attachments))}.")
    if report.attachments_left:
        note(
            f"{count(report.attachments_left, 'file')} left out, not on this device or damaged: msgsync attachments "
            "says which, msgsync save --from ADDRESS brings one back"
        )
        context.exit(1)
