"""Import and export of JSON Lines: streaming, gzip aware, repeatable. The format is docs/jsonlines.md.

Importing commits batch by batch and keeps no note of how far it came: it is resumed by running it again, as what is
there already stays as it is. A bad line is reported by its number and left out; the rest goes in.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final, NamedTuple, TypeAlias

from msgsync import limits
from msgsync.errors import AttachmentDamaged, FutureTimestamp, InvalidValue, UnknownConversation
from msgsync.importers.beside import FolderBeside
from msgsync.importers.files import (
    LINE_BYTES,
    CutOff,
    LineSource,
    PathOrFile,
    open_source,
    open_target,
)
from msgsync.importers.reading import ConversationLine, LineReader
from msgsync.importers.writing import conversation_line, message_line
from msgsync.replica.conversation import Conversation
from msgsync.replica.replica import Replica
from msgsync.replica.values import Cursor, Incoming, IngestReport, Message

BATCH_LINES: Final = limits.BATCH_MESSAGES
"""Lines a transaction: large enough to pay for a commit once, small enough to bound memory."""
BATCH_BYTES: Final = 8 * limits.MIB
"""A transaction is filled to about this much where lines are long."""
BAD_LINES: Final = 1_000
"""Bad lines of which a report says the reason; the rest is counted, so a hopeless file does not fill memory."""
PAGE_MESSAGES: Final = 1_000


@dataclass(frozen=True, slots=True)
class BadLine:
    """A line that was left out, and why."""

    line: int
    """From 1; of the uncompressed file."""
    reason: str
    """In words, without anything of the line's text."""


@dataclass(frozen=True, slots=True)
class ImportProgress:
    """How far an import is: after each transaction, and at the end."""

    lines: int
    messages: int
    """Added, already here, or erased here."""
    bytes_read: int
    """Of the file as it lies on disk, so of the compressed form if it is gzipped."""
    bytes_total: int | None
    """In the same measure; None if the source cannot say (a pipe)."""


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the lines of a file."""

    lines: int
    """All of them: messages, conversations, blank and bad ones."""
    added: int
    """Messages that are new here."""
    present: int
    """Messages that were here already."""
    erased: int
    """Messages that were erased here and stay erased."""
    bad: tuple[BadLine, ...]
    """The first 1,000 lines that were left out, ascending."""
    bad_count: int
    """All lines that were left out."""
    attachments: int = 0
    """Files that were taken in from the folder beside."""
    attachments_left: int = 0
    """Files that lines refer to and that were not taken in: no folder was given, or it is among the bad ones."""
    bad_files: tuple[BadLine, ...] = ()
    """The first 1,000 files that could not be taken in, by the lines that refer to them. Their messages are in."""


@dataclass(frozen=True, slots=True)
class ExportProgress:
    """How far an export is: after each page."""

    conversations: int
    """Done."""
    conversations_total: int
    messages: int


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported."""

    conversations: int
    messages: int
    months_elsewhere: int = 0
    """Months of these conversations that are not in it, as this device has let go of them; see
    `Replica.fetch_history`."""
    attachments: int = 0
    """Files in the folder beside."""
    attachments_left: int = 0
    """Files that are not in it: their bytes are not on this device, or damaged."""


class _File(NamedTuple):
    """What a line says of a file beside."""

    line: int
    record: bytes
    name: str


ImportListener: TypeAlias = Callable[[ImportProgress], object]
ExportListener: TypeAlias = Callable[[ExportProgress], object]


def import_jsonlines(
    replica: Replica,
    source: PathOrFile,
    *,
    attachments: str | PathLike[str] | None = None,
    on_progress: ImportListener | None = None,
) -> ImportReport:
    """Take the messages of a JSON Lines file into a replica.

    The file is read once, in order, in bounded memory (a few hundred bytes a conversation and a transaction's worth of
    messages), plain or gzipped. Each 8,192 lines (fewer if they are long) are one transaction: durable before the next
    are read. Importing a file again, or the rest of it after an interruption, changes nothing that is there already.
    What is wrong with single lines is in the report, and raises nothing.

    Args:
        replica: open for writing.
        source: a path, or a binary file, which is read from where it stands and stays open.
        attachments: the folder with the files that lines refer to, as `export_jsonlines` wrote it. Each has to be what
            its message says; nothing outside the folder is read.
        on_progress: called after each transaction and at the end, in this thread; what it raises ends the import.

    Raises:
        OSError: the file cannot be opened or read. What was committed stays.
        ReadOnly, ReplicaClosed, StorageError: the replica cannot be written; the same.

    Source: docs/jsonlines.md.
    """
    with open_source(source) as lines:
        beside = None if attachments is None else FolderBeside(Path(attachments))
        return _Import(replica, lines, beside, on_progress).run()


class _Import:
    """One run over one file."""

    def __init__(
        self,
        replica: Replica,
        source: LineSource,
        beside: FolderBeside | None,
        on_progress: ImportListener | None,
    ) -> None:
        self._replica = replica
        self._source = source
        self._beside = beside
        self._files: list[_File] = []
        """Of the messages of this batch."""
        self._files_count = self._files_left = 0
        self._bad_files: list[BadLine] = []
        self._on_progress = on_progress
        self._lines = 0
        self._done = IngestReport()
        self._bad: list[BadLine] = []
        self._bad_count = 0
        self._messages: list[Incoming] = []
        self._numbers: list[int] = []
        """Of the lines of `_messages`."""
        self._refused: list[BadLine] = []
        """Of this batch; they are found out of order."""
        self._conversations: dict[str, dict[str, Any]] = {}
        """What lines said about conversations that had no message yet, by id."""

    def run(self) -> ImportReport:
        try:
            self._read_lines()
        except CutOff as cut_off:
            self._refuse(self._lines + 1, str(cut_off))
        self._commit(last=True)
        return ImportReport(
            self._lines,
            self._done.added,
            self._done.present,
            self._done.erased,
            tuple(self._bad),
            self._bad_count,
            self._files_count,
            self._files_left,
            tuple(self._bad_files),
        )

    def _read_lines(self) -> None:
        reader = LineReader(self._replica.system.now_ms() + limits.FUTURE_MS)
        read = reader.read
        batch_lines = batch_bytes = 0
        for raw in self._source:
            self._lines += 1
            batch_lines += 1
            if raw is None:
                self._refuse(self._lines, f"the line has more than {LINE_BYTES} bytes")
                continue
            batch_bytes += len(raw)
            try:
                value = read(raw)
            except InvalidValue as error:
                self._refuse(self._lines, str(error))
            else:
                if type(value) is Incoming:
                    self._messages.append(value)
                    self._numbers.append(self._lines)
                    if value.attachments:
                        self._files += [
                            _File(self._lines, record, name)
                            for record, name in zip(value.attachments, reader.files, strict=True)
                            if name is not None
                        ]
                elif type(value) is ConversationLine:
                    self._conversations.setdefault(value.id, {}).update(value.fields)
            if batch_lines >= BATCH_LINES or batch_bytes >= BATCH_BYTES:
                self._commit()
                batch_lines = batch_bytes = 0

    def _refuse(self, line: int, reason: str) -> None:
        self._refused.append(BadLine(line, reason))

    def _set_up(self, ids: Iterable[str]) -> None:
        """Do what the lines about these conversations say. What was said here before stays.

        Messages come first: they make the conversation without a date of its own, so importing an old one does not
        make it the last active.
        """
        for one in ids:
            fields = self._conversations.pop(one)
            try:
                conversation = self._replica.conversation(one)
            except UnknownConversation:
                conversation = self._replica.create_conversation(id=one)
            conversation.suggest(fields)

    def _commit(self, *, last: bool = False) -> None:
        """Ingest what was read since the last time, note what was bad, and say how far we are."""
        pending = [(self._messages, self._numbers)] if self._messages else []
        while pending:
            messages, numbers = pending.pop()
            try:
                self._done += self._replica.ingest(messages)
            except (InvalidValue, FutureTimestamp) as error:
                # The reader accepts what the replica refuses only in rare cases, so halving is soon done.
                if len(messages) == 1:
                    self._refuse(numbers[0], str(error))
                    continue
                half = len(messages) // 2
                pending.append((messages[half:], numbers[half:]))
                pending.append((messages[:half], numbers[:half]))
        here = self._conversations.keys() & {message.conversation for message in self._messages}
        self._set_up(list(self._conversations) if last else here)
        self._messages, self._numbers = [], []
        self._take_files()
        self._bad_count += len(self._refused)
        self._refused.sort(key=lambda bad: bad.line)
        self._bad += self._refused[: BAD_LINES - len(self._bad)]
        self._refused = []
        if self._on_progress is not None:
            done = self._done.added + self._done.present + self._done.erased
            source = self._source
            self._on_progress(
                ImportProgress(self._lines, done, source.bytes_read, source.total_bytes)
            )

    def _take_files(self) -> None:
        """Take in the files of the messages that are here by now."""
        files, self._files = self._files, []
        if self._beside is None:
            self._files_left += len(files)
            return
        for one in files:
            try:
                self._files_count += self._beside.read(self._replica, one.record, one.name)
            except (InvalidValue, AttachmentDamaged, OSError) as error:
                self._files_left += 1
                if len(self._bad_files) < BAD_LINES:
                    self._bad_files.append(BadLine(one.line, str(error)))


def export_jsonlines(
    replica: Replica,
    target: PathOrFile,
    *,
    conversations: Iterable[str] | None = None,
    attachments: str | PathLike[str] | None = None,
    on_progress: ExportListener | None = None,
) -> ExportReport:
    """Write conversations as JSON Lines: importing the file into an empty replica gives the same messages.

    Written are the title, then the messages in order, deleted ones included, erased ones not. Page by page in bounded
    memory; a message that another thread or process sends meanwhile may or may not be in it.

    Args:
        replica: may be open for reading only.
        target: a path or a binary file, which stays open. A path that ends in ``.gz`` is gzipped. A regular file takes
            its name only when it is complete, so a failed export leaves the last one as it is.
        conversations: ids; None for all, the last active first.
        attachments: a folder for the files of the messages, each once, under a safe name that only it has. It is made
            if it is not there; what an earlier export wrote there stays as it is. Of files that are not on this device
            the lines say as much as without a folder, and the report counts them.
        on_progress: called after each page, in this thread; what it raises ends the export.

    Raises:
        UnknownConversation: one of ``conversations`` is not here; nothing is written.
        FileExists: the folder has another file of such a name.
        OSError: the file cannot be written.
        StorageError: the replica cannot be read.

    Source: docs/jsonlines.md.
    """
    wanted = replica.conversations(include_deleted=True) if conversations is None else conversations
    chosen = [replica.conversation(one if isinstance(one, str) else one.id) for one in wanted]
    beside = None if attachments is None else FolderBeside(Path(attachments))
    with open_target(target) as file:
        return _write(chosen, file, beside, on_progress)


def _write(
    conversations: Sequence[Conversation],
    file: BinaryIO,
    beside: FolderBeside | None,
    on_progress: ExportListener | None,
) -> ExportReport:
    messages = 0
    for number, conversation in enumerate(conversations):
        file.write(conversation_line(conversation))
        after: Cursor | None = Cursor.START
        while after is not None:
            page = conversation.messages(after=after, limit=PAGE_MESSAGES, include_deleted=True)
            file.write(b"".join([_line(message, beside) for message in page]))
            messages += len(page)
            after = page.newer
            if on_progress is not None:
                done = number + (after is None)
                on_progress(ExportProgress(done, len(conversations), messages))
    months = sum(len(one.months_elsewhere) for one in conversations)
    if beside is None:
        return ExportReport(len(conversations), messages, months)
    return ExportReport(len(conversations), messages, months, beside.count, beside.left_count)


def _line(message: Message, beside: FolderBeside | None) -> bytes:
    if beside is None or not message.attachments:
        return message_line(message)
    return message_line(message, [beside.write(one) for one in message.attachments])
