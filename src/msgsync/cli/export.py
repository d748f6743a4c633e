"""``msgsync export``: write conversations as JSON Lines."""

from __future__ import annotations

import sys
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import count, note, say_json
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
@shared
def export(path: Path, file: str, conversations: tuple[str, ...], *, as_json: bool) -> None:
    """Write all messages to a file, or to standard output.

    FILE becomes JSON Lines, as import reads them. Importing the file into an empty replica gives
    the same messages: same ids, edits, reactions, replies and deletions. A FILE that ends in .gz is
    gzipped; it takes its name only when complete. This is the archive: what is deleted or erased on
    devices later stays in it. A backup is for getting a device back: see backup.

      msgsync export archive.jsonl.gz
      msgsync export --conversation family | less

    --json, with FILE: {"conversations", "messages", "months_elsewhere"}. Standard output carries only the export.
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
