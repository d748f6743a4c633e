"""``msgsync import``: take the messages of a JSON Lines file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

import click

import msgsync
from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import count, note, say_json
from msgsync.cli.progress import bar

_SHOWN: Final = 20
"""So many bad lines are named: of a file that is something else all are."""


@command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, allow_dash=True))
@click.option(
    "--attachments",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Take in the files that lie in this folder, as export wrote them.",
)
@shared
@click.pass_context
def import_(
    context: click.Context, path: Path, file: str, attachments: Path | None, *, as_json: bool
) -> None:
    """Take the messages of a file into the replica.

    FILE is JSON Lines, plain or gzipped; - is standard input. One object a line, at least with
    conversation, author, text and sent (ISO 8601 or Unix milliseconds); docs/jsonlines.md has all
    fields. Importing a file again, or going on after an interruption, changes nothing that is
    there. Lines that cannot be read are left out, and reported by number; the exit code is 1 then.
    So it is if a file in FOLDER is not what its line says.

      msgsync import history.jsonl.gz
      msgsync import archive.jsonl.gz --attachments archive-files
      zcat 2023.jsonl.gz 2024.jsonl.gz | msgsync import -

    --json: {"lines", "added", "present", "erased", "bad": [{"line", "reason"}], "bad_count",
    "attachments", "attachments_left", "bad_files": [{"line", "reason"}]}.
    """
    with writing(path) as replica, bar("Importing") as show:

        def on_progress(progress: msgsync.ImportProgress) -> None:
            show(progress.bytes_read, progress.bytes_total, count(progress.messages, "message"))

        source = sys.stdin.buffer if file == "-" else file
        report = msgsync.import_jsonlines(
            replica, source, attachments=attachments, on_progress=on_progress
        )
    if as_json:
        say_json(report)
    else:
        _say(report)
    if report.bad_count or report.bad_files:
        context.exit(1)


def _say(report: msgsync.ImportReport) -> None:
    print(
        f"{count(report.lines, 'line')}: {count(report.added, 'message')} added, "
        f"{report.present:,} already here, {report.erased:,} erased here and left out, "
        f"{count(report.bad_count, 'bad line')}."
    )
    if report.attachments:
        print(f"{count(report.attachments, 'file')} taken in.")
    bad = sorted(report.bad + report.bad_files, key=lambda bad: bad.line)
    for one in bad[:_SHOWN]:
        note(f"line {one.line}: {one.reason}")
    more = report.bad_count + len(report.bad_files) - len(bad[:_SHOWN])
    if more:
        note(f"and {count(more, 'more bad line')}; --json names the first thousand")
    if report.bad_count == report.lines and report.bad_count:
        note(
            "no line is a message: is it JSON Lines, as docs/jsonlines.md has them? Of a backup: msgsync restore-backup"
        )
    if report.attachments_left and not report.bad_files:
        note(
            f"{count(report.attachments_left, 'file')} beside it not taken in: say --attachments FOLDER"
        )
