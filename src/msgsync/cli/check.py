"""``msgsync check``: compare what is shown with what is stored, and look for what was erased."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, reading, shared, writing
from msgsync.cli.output import count, note, say_json, time


@command()
@click.argument("ids", nargs=-1, metavar="[ID]...")
@click.option("--erased", is_flag=True, help="Look whether anything is left of erased messages.")
@shared
@click.pass_context
def check(
    context: click.Context, path: Path, ids: tuple[str, ...], *, erased: bool, as_json: bool
) -> None:
    """Look for damage, or with --erased for what is left of erased messages.

    Everything is read, and what is shown compared with what is stored. It changes nothing. The exit
    code is 3 if something is wrong; then see repair.

      msgsync check --replica phone.db
      msgsync check --erased 01hqz3v9k2m4n6p8r0st
      msgsync check --erased

    With --erased it is looked whether anything is left of these messages, or of all erased ones, or of
    erased attachments, in any of the replica's files. The exit code is 3 if something is left, or a
    message is not erased, or another process reads the file, so that this cannot be said. Of each
    mailbox it is said whether they are gone from it as well.

    --json: {"ok", "documents", "entries", "problems": [TEXT, ...], "lost": [TEXT, ...]}. With
    --erased: {"ok", "checked", "attachments", "not_erased": [ID, ...], "found": [TEXT, ...], "pending",
    "documents", "parts", "indexed", "pages", "free_pages", "files": [NAME, ...], "text_searched",
    "mailboxes": [{"address", "gone", "due_ms"}, ...]}.
    """
    if ids and not erased:
        raise click.UsageError("ids are for --erased: without it everything is checked")
    is_well = _check_erased(path, ids, as_json=as_json) if erased else _check(path, as_json=as_json)
    if not is_well:
        context.exit(msgsync.ReplicaDamaged.exit_code)


def _check(path: Path, *, as_json: bool) -> bool:
    with reading(path) as replica:
        report = replica.check()
    if as_json:
        say_json(
            {
                "ok": report.ok,
                "documents": report.documents,
                "entries": report.entries,
                "problems": report.problems,
                "lost": report.lost,
            }
        )
    else:
        what = f"{count(report.documents, 'document')}, {report.entries:,} entries"
        if not report.ok:
            print(f"Something is wrong: {what}.")
        elif report.lost:
            print(f"The file is well, but something was lost: {what}.")
        else:
            print(f"All is well: {what}.")
        for problem in report.problems:
            note(problem)
        for lost in report.lost:
            note(f"lost in a repair, and not come back: {lost}")
    return report.ok


def _check_erased(path: Path, ids: tuple[str, ...], *, as_json: bool) -> bool:
    with _best(path) as replica:
        report = replica.verify_erased(*ids)
    if as_json:
        shown = {name: getattr(report, name) for name in report.__slots__}
        shown["mailboxes"] = [asdict(one) for one in report.mailboxes]
        say_json({"ok": report.ok, **shown})
        return report.ok
    what = count(report.checked, "erased message")
    if report.attachments:
        what += f" and {count(report.attachments, 'erased attachment')}"
    if report.ok:
        pages = f"{report.pages:,} pages and {count(report.parts, 'stored part')} looked at"
        print(f"Nothing is left of {what}: {pages}.")
    else:
        print(f"Looked for {what}:")
    for one in report.not_erased:
        note(f"{one} is not erased here")
    for found in report.found:
        note(f"left in {found}")
    for mailbox in report.mailboxes if report.checked or report.attachments else ():
        if mailbox.due_ms is None:
            note(f"gone from {mailbox.address}")
        else:
            since = f" from {time(mailbox.due_ms)} on" if mailbox.due_ms else ""
            note(f"still in {mailbox.address}, or not seen to be gone: a sync{since} takes it out")
    if report.pending:
        note(
            "another process has the file open, and text may wait in its log; ask again when it is closed"
        )
    return report.ok


@contextmanager
def _best(path: Path) -> Iterator[msgsync.Replica]:
    """The replica open for writing, since then its log can be emptied first; else, and a backup, for reading."""
    with ExitStack() as stack:
        try:
            replica = stack.enter_context(writing(path))
        except (msgsync.ReplicaLocked, msgsync.ReadOnly):
            replica = stack.enter_context(reading(path))
        yield replica
