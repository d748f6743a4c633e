"""What a courier asks of a mailbox, and what it keeps account of while it does. Source: design 9."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from msgsync.errors import MsgSyncError
from msgsync.ids import DeviceId
from msgsync.protocol.events import (
    AttachmentProgress,
    AttachmentPutProgress,
    Event,
    FirstScreen,
    MailboxLoss,
    Progress,
    SyncReport,
)


@dataclass(frozen=True, slots=True)
class Put:
    """Leave an object; answered with None."""

    name: str
    body: bytes = field(repr=False)


@dataclass(frozen=True, slots=True)
class Get:
    """Answered with its bytes."""

    name: str
    ahead: tuple[str, ...] = ()
    """What will probably be asked for next, in this order: whoever carries this out may fetch it meanwhile."""


@dataclass(frozen=True, slots=True)
class List:
    """Answered with a list of names."""

    folder: str


@dataclass(frozen=True, slots=True)
class Delete:
    """Remove an object; answered with None."""

    name: str


Request = Put | Get | List | Delete
_T = TypeVar("_T")
Errand = Generator[Request, Any, _T]
"""Something that takes requests: sent the answers, or thrown the `MailboxError`."""

_PROBLEMS: Final = 100
"""Named in one report: a mailbox may hold any number of things that are not ours."""


class Round:
    """What was done in one round until now.

    Args:
        on_event: told of `Progress`.
    """

    def __init__(self, on_event: Callable[[Event], None] | None = None) -> None:
        self._on_event = on_event
        self._problems: list[str] = []
        self._codes: list[str] = []
        self._received = self._sent = self._taken = self._messages = 0
        self._total_documents = self._total_messages = 0
        self._losses: dict[DeviceId, int] = {}
        self.put = 0
        """How many documents."""
        self._chunk_bytes = self._text_bytes = 0
        self._chunks_refused: list[str] = []

    @property
    def complete(self) -> bool:
        """Whether nothing was left out."""
        return not self._problems

    def note(self, where: str, error: MsgSyncError) -> None:
        """Name something that was left out, and why."""
        if len(self._problems) < _PROBLEMS:
            self._problems.append(f"{where}: {error}")
            self._codes.append(error.code)

    def get(self, name: str, ahead: tuple[str, ...] = ()) -> Errand[bytes]:
        """Fetch an object; these will probably be asked for next."""
        raw: bytes = yield Get(name, ahead)
        self._received += len(raw)
        return raw

    def leave(self, name: str, raw: bytes) -> Errand[None]:
        """Put an object."""
        yield Put(name, raw)
        self._sent += len(raw)

    def took(self, documents: int, messages: int) -> None:
        """So many documents brought something, and so many messages came with them."""
        self._taken += documents
        self._messages += messages
        if self._on_event is not None and documents:
            self._on_event(
                Progress(
                    self._taken,
                    max(self._taken, self._total_documents),
                    self._messages,
                    max(self._messages, self._total_messages),
                    self._received,
                )
            )

    def expect(self, documents: int, messages: int) -> None:
        """So many documents and messages are about to come, as far as is known."""
        self._total_documents = self._taken + documents
        self._total_messages = self._messages + messages

    def show_screen(self, documents: int, messages: int) -> None:
        """The first screen can be shown, of so many documents and messages."""
        if self._on_event is not None and documents:
            self._on_event(FirstScreen(documents, messages, self._received))

    def lose(self, device: DeviceId, objects: int) -> None:
        """So many objects of a device are gone from the mailbox."""
        self._losses[device] = self._losses.get(device, 0) + objects

    def took_chunk(self, stored_bytes: int, text_bytes: int, to_come_bytes: int) -> None:
        """A chunk of an attachment came, as long as this as it is stored, and with so much of a file in it."""
        self._chunk_bytes += stored_bytes
        self._text_bytes += text_bytes
        if self._on_event is not None:
            total = self._text_bytes + to_come_bytes
            self._on_event(AttachmentProgress(self._text_bytes, total))

    def put_chunk(self, done_bytes: int, total_bytes: int) -> None:
        """A chunk of an attachment was put: so much by now, as it is stored, of about so much."""
        if self._on_event is not None:
            self._on_event(AttachmentPutProgress(done_bytes, max(done_bytes, total_bytes)))

    def note_chunk(self, name: bytes, error: MsgSyncError) -> None:
        """Name a chunk that did not come, and why."""
        if len(self._chunks_refused) < _PROBLEMS:
            self._chunks_refused.append(f"chunk {name.hex()}: {error}")

    def report(self) -> SyncReport:
        """All of it."""
        return SyncReport(
            documents_received=self._taken,
            messages_received=self._messages,
            bytes_received=self._received,
            bytes_sent=self._sent,
            documents_sent=self.put,
            complete=self.complete,
            refused=tuple(self._problems),
            codes=tuple(self._codes),
            losses=tuple(MailboxLoss(*one) for one in sorted(self._losses.items())),
            attachment_bytes_received=self._chunk_bytes,
            chunks_refused=tuple(self._chunks_refused),
        )
