"""``msgsync sync``: exchange everything with another device, or by a mailbox."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Final

import click

import msgsync
from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import count, note, say_json, say_json_now, shown
from msgsync.cli.progress import bar, syncing

_SHOWN: Final = 5
"""So many of what was refused are named: of a mailbox of another account it is all there is."""


@command()
@click.argument("address")
@click.option(
    "--watch",
    is_flag=True,
    help="Stay connected: send and take what is new at once, and connect again when the line breaks.",
)
@shared
@click.pass_context
def sync(
    context: click.Context,
    path: Path,
    address: str,
    *,
    watch: bool,
    as_json: bool,
) -> None:
    """Exchange everything with another device, or by a mailbox.

    That one serves at the address; afterwards both hold the same. Broken off, it goes on where it
    was the next time. Only devices of one account sync.

      msgsync sync tcp://127.0.0.1:7700

    A mailbox is a folder or a bucket where devices that are never online together leave sealed
    objects for each other: file:///PATH, s3://BUCKET/FOLDER, gs:// or az://. What others left is
    read, and what is not there yet is put. bundle:///PATH is one file, to be carried by hand. With
    --watch this goes on after every change, and now and then for what others leave.

      msgsync sync file:///media/stick/messages

    --json: {"messages_received", "documents_received", "documents_sent", "bytes_received",
    "bytes_sent", "complete", "refused": [TEXT, ...], "reason"}; "reason" is why it is not complete, or
    null. With --watch, which ends by Ctrl-C or SIGTERM, a line each: {"event": "connected",
    "device"}, {"event": "completed", "report"} whenever both sides have compared everything,
    {"event": "received", "messages"} in between, and {"event": "disconnected", "reason",
    "retry_in_s"}.
    """
    if watch:
        _watch(path, address, as_json=as_json)
        return
    with writing(path) as replica, bar("Syncing") as show:
        is_whole = replica.progress.done
        plainly = syncing(show)

        def on_event(event: object) -> None:
            if is_whole or not isinstance(event, msgsync.Progress):
                plainly(event)
            else:
                filling = replica.progress
                here = count(filling.messages, "message")
                show(round(1000 * filling.fraction), 1000, f"{here}, {filling.doing}")

        report = msgsync.sync(replica, address, on_event=on_event)
        remedy = remedy_at(replica, address)
    if as_json:
        say_json(report)
    else:
        print(f"{'Synced' if report.complete else 'Not all is synced'}: {in_words(report)}.")
        say_refused(report, remedy)
        for loss in report.losses:
            what = f"lost {loss.objects:,} objects" if loss.objects else "damaged objects"
            note(f"the mailbox has {what} of device {loss.device}; what is here was put again")
        if report.reason is not None:
            note(report.reason)
    if not report.complete:
        context.exit(msgsync.PeerError.exit_code)


def _watch(path: Path, address: str, *, as_json: bool) -> None:
    messages = 0
    complete = False

    def on_event(event: object) -> None:
        nonlocal messages, complete
        if isinstance(event, msgsync.Completed):
            complete = True
            if as_json:
                say_json_now({"event": "completed", "report": event.report})
            else:
                note(f"Synced: {in_words(event.report)}.")
        elif isinstance(event, msgsync.Progress):
            if complete and event.messages > messages:
                if as_json:
                    say_json_now({"event": "received", "messages": event.messages - messages})
                else:
                    note(f"{count(event.messages - messages, 'message')} received.")
            messages = event.messages
        else:
            if isinstance(event, msgsync.Connected):
                messages, complete = 0, False
            tell_connection(event, replica, as_json=as_json)

    with until_told(), writing(path) as replica:
        msgsync.sync(replica, address, on_event=on_event, watch=True)


def tell_connection(event: object, replica: msgsync.Replica, *, as_json: bool) -> None:
    """Say that a device that stays has come or gone; nothing of other events."""
    if isinstance(event, msgsync.Connected):
        if as_json:
            say_json_now({"event": "connected", "device": event.device})
        else:
            names = {str(one.id): one.name for one in replica.devices()}
            note(f"Connected to device {shown(names.get(event.device) or event.device)}.")
    elif isinstance(event, msgsync.Disconnected):
        again = event.retry_in_s
        if as_json:
            waiting = {} if again is None else {"retry_in_s": round(again, 3)}
            say_json_now({"event": "disconnected", "reason": event.reason, **waiting})
        else:
            ending = "" if again is None else f"; next attempt in {again:.0f} s"
            note(f"Disconnected: {event.reason}{ending}.")


def in_words(report: msgsync.SyncReport) -> str:
    """Return what went over the line."""
    files = report.attachment_bytes_received
    return (
        f"{count(report.messages_received, 'message')} received, "
        f"{count(report.documents_sent, 'document')} sent "
        f"({report.bytes_received:,} bytes in{f', {files:,} of them attachments' if files else ''}, "
        f"{report.bytes_sent:,} bytes out)"
    )


def remedy_at(replica: msgsync.Replica, address: str) -> str:
    """Return what to do about a place, if anything."""
    return next((one.remedy for one in replica.status().places if one.address == address), "")


def say_refused(report: msgsync.SyncReport, remedy: str) -> None:
    """Name what was not taken, and say what to do about it."""
    for refused in report.refused[:_SHOWN]:
        note(f"refused: {refused}")
    if len(report.refused) > _SHOWN:
        note(f"and {len(report.refused) - _SHOWN:,} more")
    if report.refused and remedy:
        note(f"what to do: {remedy}")


@contextmanager
def until_told() -> Iterator[None]:
    """End the block well on SIGINT and SIGTERM alike."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        signal.raise_signal(signal.SIGINT)  # the event loop has its own way of ending by it

    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell may have had it ignored
    signal.signal(signal.SIGTERM, interrupt)
    with suppress(KeyboardInterrupt):
        yield
