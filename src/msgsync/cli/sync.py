"""``msgsync sync``: exchange everything with another device."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, insecure, shared, writing
from msgsync.cli.output import count, note, say_json
from msgsync.cli.progress import bar


@command()
@click.argument("address", metavar="tcp://HOST:PORT")
@insecure
@shared
@click.pass_context
def sync(
    context: click.Context, path: Path, address: str, *, insecure: bool, as_json: bool
) -> None:
    """Exchange everything with another device.

    That one serves at the address; afterwards both hold the same. Broken off, it goes on where it
    was the next time. Only devices of one account sync.

      msgsync sync tcp://127.0.0.1:7700

    --json: {"messages_received", "documents_received", "documents_sent", "bytes_received",
    "bytes_sent", "complete", "refused": [TEXT, ...]}.
    """
    with writing(path) as replica, bar("Syncing") as show:

        def on_event(event: object) -> None:
            if isinstance(event, msgsync.Progress):
                show(event.messages, event.total_messages, count(event.messages, "message"))

        report = msgsync.sync(replica, address, insecure=insecure, on_event=on_event)
    if as_json:
        say_json(report)
    else:
        print(f"{'Synced' if report.complete else 'Not all is synced'}: {in_words(report)}.")
        for refused in report.refused:
            note(f"refused: {refused}")
    if not report.complete:
        context.exit(msgsync.PeerError.exit_code)


def in_words(report: msgsync.SyncReport) -> str:
    """Return what went over the line."""
    return (
        f"{count(report.messages_received, 'message')} received, "
        f"{count(report.documents_sent, 'document')} sent "
        f"({report.bytes_received:,} bytes in, {report.bytes_sent:,} bytes out)"
    )
