"""``msgsync compact``: make the file smaller."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import count, note, say_json
from msgsync.cli.progress import bar


@command()
@shared
@click.pass_context
def compact(context: click.Context, path: Path, *, as_json: bool) -> None:
    """Make the replica's file smaller.

    Months that are hardly written to any more are stored in their smallest form, and space that
    became free is given back to the disk. Nothing that is shown changes. It happens by itself,
    little by little; run it after importing or erasing much.

      msgsync compact --replica phone.db

    --json: {"frozen", "bytes_before", "bytes_after", "left": [TEXT, ...]}. The exit code is 3 if a part of the
    replica had to be left as it is; see msgsync check.
    """
    with writing(path) as replica, bar("Compacting") as show:

        def on_progress(progress: msgsync.CompactionProgress) -> None:
            words = count(progress.documents, "document")
            show(progress.documents, progress.documents_total, words)

        report = replica.compact(on_progress=on_progress)
    if as_json:
        say_json(report)
    else:
        print(
            f"{count(report.frozen, 'document')} frozen; the file had {report.bytes_before:,} bytes, "
            f"now it has {report.bytes_after:,}."
        )
        for problem in report.left:
            note(problem)
    if report.left:
        context.exit(msgsync.ReplicaDamaged.exit_code)
