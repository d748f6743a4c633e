"""``msgsync attachments``, ``save`` and ``erase-attachment``: the files that went with messages."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import ask, command, reading, shared, writing
from msgsync.cli.output import attachment_fields, columns, count, note, say_json, shown
from msgsync.cli.progress import bar


@command()
@click.argument("conversation")
@click.option("--limit", type=click.IntRange(min=1), default=1000, show_default=True, metavar="N")
@shared
def attachments(path: Path, conversation: str, limit: int, *, as_json: bool) -> None:
    """List the files of a conversation's messages.

    Those of its newest N messages, in the order in which they were sent. Each line has the id of the
    message and the number of the file in it, for msgsync save; where its bytes are; how many there
    are; and what it is called.

      msgsync attachments family
      msgsync save 01hqz3v9k2m4n6p8r0st

    States: only-here, uploading, here (and elsewhere), downloading, elsewhere (let go of to make
    room), damaged, gone (erased on all devices).

    --json, a line each: {"message_id", "number", "name", "media_type", "size", "digest", "width",
    "height", "duration_ms", "state", "bytes_here"}.
    """
    with reading(path) as replica:
        messages = replica.conversation(conversation).messages(limit=limit)
    found = [
        (message, number, one)
        for message in messages
        for number, one in enumerate(message.attachments, 1)
    ]
    if as_json:
        for message, number, one in found:
            place = {"message_id": str(message.id), "number": number}
            say_json(place | attachment_fields(one))
        return
    if not found:
        note("No message has a file.")
        return
    rows = [
        (str(message.id), str(number), one.state.value, f"{one.size:,}", shown(one.name))
        for message, number, one in found
    ]
    for line in columns(rows):
        print(line)


@command()
@click.argument("id")
@click.argument("target", required=False, default=".", type=click.Path(path_type=Path))
@click.option("--number", type=click.IntRange(min=1), metavar="N", help="Only this file of it.")
@click.option(
    "--from",
    "address",
    metavar="ADDRESS",
    help="Where to fetch what is not here: a device that serves, or a mailbox.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=60.0,
    show_default=True,
    metavar="SECONDS",
    help="How long to wait there for the next part of it.",
)
@shared
def save(
    path: Path,
    id: str,
    target: Path,
    number: int | None,
    address: str | None,
    timeout: float,
    *,
    as_json: bool,
) -> None:
    """Save the files of a message.

    Into the folder TARGET, or the present one, under names like their own that are safe there; or
    as the file TARGET, if it is one file. Nothing is overwritten. A file that is not on this device
    comes with a sync; one that was let go of to make room comes back with --from.

      msgsync save 01hqz3v9k2m4n6p8r0st
      msgsync save 01hqz3v9k2m4n6p8r0st beach.png --number 2
      msgsync save 01hqz3v9k2m4n6p8r0st --from file:///media/stick/messages

    --json, a line each: {"number", "path"}.
    """
    with reading(path) if address is None else writing(path) as replica:
        files = replica.message(id).attachments
        chosen = list(enumerate(files, 1))
        if number is not None:
            chosen = chosen[number - 1 : number]
        if not chosen:
            which = "" if number is None else f" number {number}"
            raise click.UsageError(f"the message has no file{which}; see msgsync attachments")
        if len(chosen) > 1:
            chosen = _left(chosen)
        if len(chosen) > 1 and not target.is_dir():
            raise click.UsageError(
                f"it has {count(len(chosen), 'file')}: name a folder that is there, or say --number"
            )
        source = nullcontext() if address is None else msgsync.Watcher(replica, address)
        with source:
            for place, one in chosen:
                try:
                    _save(place, one, target, 0 if address is None else timeout, as_json=as_json)
                except msgsync.AttachmentElsewhere as error:
                    if address is not None:
                        raise
                    raise msgsync.AttachmentElsewhere(
                        f"{shown(one.name)} is not on this device, or not all of it; say --from ADDRESS, where a "
                        "device that has it serves, or of a mailbox"
                    ) from error


def _left(files: list[tuple[int, msgsync.Attachment]]) -> list[tuple[int, msgsync.Attachment]]:
    """Those of some files that can be saved; all of them if none can, so that it is said why."""
    gone = [one for _, one in files if one.state is msgsync.AttachmentState.GONE]
    if len(gone) == len(files):
        return files
    for one in gone:
        note(f"{shown(one.name)} was erased")
    return [pair for pair in files if pair[1].state is not msgsync.AttachmentState.GONE]


def _save(
    number: int, one: msgsync.Attachment, target: Path, timeout: float, *, as_json: bool
) -> None:
    with bar("Saving") as show:
        saved = one.save(
            target,
            timeout=timeout,
            on_progress=lambda done, total: show(done, total, f"{done:,} of {total:,} bytes"),
        )
    if as_json:
        say_json({"number": number, "path": str(saved)})
    else:
        print(f"Saved {shown(str(saved))}: {one.size:,} bytes.")


@command("erase-attachment")
@click.argument("conversation")
@click.argument("id")
@click.option("--number", type=click.IntRange(min=1), metavar="N", help="This file of it.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@shared
def erase_attachment(
    path: Path, conversation: str, id: str, number: int | None, *, yes: bool, as_json: bool
) -> None:
    """Erase a file of a message, on all devices, for good; the message stays.

    Its bytes go from all devices and mailboxes, unless another message has the same file. What it
    was called and how large it was stays to be seen. Nothing brings it back. Asks first. To make
    room on this device alone there is msgsync free-space.

      msgsync erase-attachment family 01hqz3v9k2m4n6p8r0st
      msgsync erase-attachment family 01hqz3v9k2m4n6p8r0st --number 2

    --json: {"message_id", "number", "name"}.
    """
    with writing(path) as replica:
        chosen = replica.conversation(conversation)
        message = chosen.message(id)
        one = _only(message, number)
        if not yes:
            name = shown(one.name)
            click.echo(
                f"This erases {name}, {one.size:,} bytes, on all devices, for good.", err=True
            )
            ask("Erase?")
        chosen.erase_attachment(message, one)
    if as_json:
        say_json({"message_id": str(message.id), "number": one.number, "name": one.name})
    else:
        print(f"Erased {shown(one.name)}. The message stays.")


def _only(message: msgsync.Message, number: int | None) -> msgsync.Attachment:
    """The file that is meant. Raises click.UsageError."""
    files = message.attachments
    if number is None and len(files) > 1:
        raise click.UsageError(
            f"it has {count(len(files), 'file')}: say which with --number; see msgsync attachments"
        )
    if not files or (number or 1) > len(files):
        which = "" if number is None else f" number {number}"
        raise click.UsageError(f"the message has no file{which}; see msgsync attachments")
    return files[(number or 1) - 1]
