"""Progress bars on standard error, where it is a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import msgsync
from msgsync.cli.output import count

Show: TypeAlias = Callable[[int, int | None, str], None]
"""Takes how much is done, of how much (None: nobody knows), and the same in words."""


@contextmanager
def bar(label: str) -> Iterator[Show]:
    """Show a bar while the block runs; elsewhere than on a terminal nothing."""
    if not sys.stderr.isatty():
        yield lambda _done, _total, _words: None
        return
    from rich import progress
    from rich.console import Console

    display = progress.Progress(
        progress.TextColumn(label),
        progress.BarColumn(),
        progress.TaskProgressColumn(),
        progress.TextColumn("{task.fields[words]}"),
        progress.TimeRemainingColumn(),
        console=Console(stderr=True),
        transient=True,
    )
    with display:
        task = display.add_task(label, total=None, words="")

        def show(done: int, total: int | None, words: str) -> None:
            display.update(task, completed=done, total=total, words=words)

        yield show


def syncing(show: Show) -> Callable[[object], None]:
    """What shows how far an exchange is: its messages, then its attachments."""

    def on_event(event: object) -> None:
        if isinstance(event, msgsync.Progress):
            show(event.messages, event.total_messages, count(event.messages, "message"))
        elif isinstance(event, msgsync.AttachmentProgress | msgsync.AttachmentPutProgress):
            done, total = event.bytes, event.total_bytes
            put = " put" if isinstance(event, msgsync.AttachmentPutProgress) else ""
            show(done, total, f"{done:,} of {total:,} bytes of attachments{put}")

    return on_event


def counting(show: Show) -> Callable[[msgsync.DeletionProgress], None]:
    """What shows how many messages of a deletion, restoration or erasure are done."""

    def on_progress(progress: msgsync.DeletionProgress) -> None:
        show(progress.messages, progress.messages_total, count(progress.messages, "message"))

    return on_progress
