"""``msgsync check``: compare what is shown with what is stored."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import count, note, say_json


@command()
@shared
@click.pass_context
def check(context: click.Context, path: Path, *, as_json: bool) -> None:
    """Look for damage.

    Everything is read, and what is shown compared with what is stored. It changes nothing. The exit
    code is 3 if something is wrong.

      msgsync check --replica phone.db

    --json: {"ok", "documents", "entries", "problems": [TEXT, ...]}.
    """
    with reading(path) as replica:
        report = replica.check()
    if as_json:
        say_json(
            {
                "ok": report.ok,
                "documents": report.documents,
                "entries": report.entries,
                "problems": report.problems,
            }
        )
    else:
        what = f"{count(report.documents, 'document')}, {report.entries:,} entries"
        print(f"All is well: {what}." if report.ok else f"Something is wrong: {what}.")
        for problem in report.problems:
            note(problem)
    if not report.ok:
        context.exit(msgsync.ReplicaDamaged.exit_code)
