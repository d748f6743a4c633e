"""Chunks of attachments in a session: what this side lacks and what it gives. Sans-IO. Source: design 11.

Rules
-----
- Chunks travel once both sides have each other's documents, and never before a frame of documents or of what has just
  been written: a message is there at once, its attachment follows.
- Each side asks for what it lacks, of the newest messages first, at most `limits.CHUNKS_ASKED` chunks at a time. The
  other answers in turn, piece by piece, and reads a piece when it is its turn to go: memory is bounded on both sides.
- A chunk is taken once it is whole and the key in the message's record opens it. It is told to the other side
  (`Stored`) when it is on the disk, and not before: who hears it may count on it. It is told many at a time, and at
  once when nothing more comes.
- A side that would let chunks go asks the other one to keep them (`Keep`), which answers with those it promises
  (`Kept`). Where both ask for one chunk at a time the side with the lesser device id gets the promise. It is asked,
  and promises, only while it has all that is here: for a message that it does not know it would keep nothing.
- Several sources give one file at a time: each is asked for chunks that no other one was asked for. If one ends, or
  cannot give what it was asked for, the others are.
- What the other side does not have, or has damaged, is not asked of it again in this session, unless it says that it
  has it now. Who could not give what was asked for says so once it can.
- Chunks are brought to the disk some at a time, while the next ones come, and all of them when nothing is on its way.
  Cut anywhere, those stay; the next session asks for the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from msgsync import limits
from msgsync.errors import AttachmentDamaged, ProtocolError
from msgsync.protocol.frames import Ask, Frame, Keep, Kept, Piece, Stored


class Attachable(Protocol):
    """The attachments of a replica, as a session sees them. Every method is one consistent step."""

    def asks(self) -> bool:
        """Whether there is anything to ask for. Not if the replica is open for reading only."""

    def lacking(
        self, passed: Collection[bytes], asked: Collection[bytes], limit: int
    ) -> list[bytes]:
        """The names of chunks to ask for, at most so many, but for some that are passed over or on their way.

        What another source was asked for is left to it, and of few chunks so many that each of them gives its share. If
        it cannot give them this is told as a change, and they may be asked for here.
        """

    def read(self, name: bytes, start: int, count: int) -> tuple[int, bytes] | None:
        """The size of a chunk as it is stored, and a piece of it; None if it is not here."""

    def can_give(self, names: Collection[bytes]) -> set[bytes]:
        """Those of these chunks of which `read` gives something: asked for many at a time."""

    def bytes_to_come(self) -> int:
        """How many bytes of files are to be fetched, from whomever; not what a budget or a pause leaves where it is."""

    def take(self, name: bytes, sealed: bytes) -> int | None:
        """Take a chunk that was asked for; return how many bytes of a file it holds.

        None if nobody needs it any more: then it is not taken.

        Raises:
            AttachmentDamaged: it is not what the record says.
        """

    def settle(self, place: bytes, store_id: bytes, *, wait: bool) -> list[bytes]:
        """Begin to bring to the disk what was taken since this was called last.

        Args:
            place: the device that it came from: noted as one that has it.
            store_id: its store.
            wait: until all of it is there, instead of only what was begun before.

        Returns:
            What has come to be on the disk, and is noted: names.
        """

    def confirmed(
        self, device: bytes, store_id: bytes, names: Sequence[bytes], *, promised: bool = False
    ) -> None:
        """A device, as this store, has these on its disk; and has promised to keep them."""

    def denied(self, device: bytes, name: bytes) -> None:
        """A device does not have a chunk that it was asked for, or has it damaged."""

    def to_keep(self, given: int, limit: int) -> list[bytes] | None:
        """The names of chunks that others should keep, so that they can go from here; none if nothing is to go.

        None if a message came to need a chunk after the commit ``given``: the other side has what was written by then.
        """

    def grant(self, device: bytes, names: Sequence[bytes]) -> tuple[bytes, ...]:
        """Promise a device to keep these; return those that are here and can be promised."""


@dataclass(slots=True)
class _Held:
    """What has come of a chunk."""

    pieces: list[bytes] = field(default_factory=list)
    size: int = 0


class Chunks:
    """What one side asks and gives."""

    def __init__(self, attachments: Attachable, own: bytes) -> None:
        """Nothing is asked for before `begin`; ``own`` is this side's device."""
        self._attachments = attachments
        self._own = own
        self._device = self._store_id = b""
        self._to_be_kept: set[bytes] | None = None
        """What the other side was asked to keep and has not answered yet."""
        self._asked_to_keep = False
        self._kept: deque[tuple[bytes, ...]] = deque()
        """Answers that are to be sent."""
        self._asked: dict[bytes, _Held] = {}
        self._passed: set[bytes] = set()
        """What the peer cannot give."""
        self._served: deque[bytes] = deque()
        self._withheld: set[bytes] = set()
        """What the peer asked for and this side could not give."""
        self._sent = 0
        """Bytes of the first of those that have gone."""
        self._stored: list[bytes] = []
        self._taken: set[bytes] = set()
        """Chunks that were taken since the last ones began to be brought to the disk."""
        self._settling: set[bytes] = set()
        """Chunks that are being brought there."""
        self.begun = False
        self.given: int | None = None
        """The commit up to which the peer has everything that is here; None if it may lack something."""
        self.look = False
        """Whether something may have come to be missing here since it was last looked."""
        self.refused: list[str] = []
        """Chunks that the peer could not give or gave damaged, in words."""
        self.bytes = self.text_bytes = 0
        """What was taken, as it is stored, and of files."""

    def begin(self, device: bytes, store_id: bytes) -> None:
        """Both sides have each other's documents; the other one is this device, as this store."""
        self._device, self._store_id = device, store_id
        self.begun = self.look = True

    @property
    def satisfied(self) -> bool:
        """Whether this side waits for nothing and has nothing to ask for."""
        return not (self.look or self._asked or self._to_be_kept is not None)

    @property
    def due(self) -> bool:
        """Whether there is something to say."""
        return self.begun and bool(self._served or self._is_to_tell or self._kept or self.look)

    @property
    def _is_to_tell(self) -> bool:
        """Whether to say what is stored here: much at a time, but at once when nothing more comes."""
        is_last = bool(self._stored) and not (self._asked or self._settling)
        return is_last or len(self._stored) >= limits.CHUNKS_TOLD

    # In.

    def ask(self, ask: Ask) -> None:
        """The peer lacks these.

        Raises:
            ProtocolError: it asks for more than it may.
        """
        if len(self._served) + len(ask.names) > limits.CHUNKS_ASKED:
            raise ProtocolError("the peer asks for more chunks at once than it may")
        self._served.extend(ask.names)

    def piece(self, piece: Piece) -> bool:
        """Take a piece; return whether a chunk is whole by that.

        Raises:
            ProtocolError: it was not asked for, or is longer than it said.
        """
        held = self._asked.get(piece.name)
        if held is None:
            raise ProtocolError("the peer sent a chunk that nobody asked for")
        if piece.size == 0:
            self._pass(piece.name, "the peer does not have it")
            return False
        held.pieces.append(piece.piece)
        held.size += len(piece.piece)
        if held.size > piece.size or not piece.piece:
            raise ProtocolError("the peer sent a piece of a chunk that does not fit it")
        if held.size < piece.size:
            return False
        del self._asked[piece.name]
        self.look = True
        try:
            taken = self._attachments.take(piece.name, b"".join(held.pieces))
        except AttachmentDamaged as error:
            self._pass(piece.name, str(error))
            return False
        if taken is None:
            self._settle()
            return False
        self._taken.add(piece.name)
        self.bytes += piece.size
        self.text_bytes += taken
        self._settle()
        return True

    def _settle(self) -> None:
        """Bring what was taken to the disk, many at a time, and all of it once nothing is on its way."""
        is_last = not self._asked and bool(self._taken or self._settling)
        if is_last or len(self._taken) >= limits.CHUNKS_TOGETHER:
            self._settling = set() if is_last else self._taken
            self._taken = set()
            self._stored += self._attachments.settle(self._device, self._store_id, wait=is_last)

    def _pass(self, name: bytes, why: str) -> None:
        self._asked.pop(name, None)
        self._passed.add(name)
        self._attachments.denied(self._device, name)
        self.refused.append(f"chunk {name.hex()}: {why}")
        self.look = True
        self._settle()

    def keep(self, keep: Keep) -> None:
        """The peer would let these go."""
        names = keep.names if self.given is not None else ()
        if self._to_be_kept is not None:  # both ask at a time: one of them gets it
            if self._own < self._device:
                names = tuple(name for name in names if name not in self._to_be_kept)
            else:
                self._to_be_kept.difference_update(names)
        self._kept.append(self._attachments.grant(self._device, names) if names else ())

    def kept(self, kept: Kept) -> None:
        """The peer keeps these.

        Raises:
            ProtocolError: it was not asked.
        """
        asked, self._to_be_kept = self._to_be_kept, None
        if asked is None:
            raise ProtocolError("the peer promises what nobody asked it for")
        names = [name for name in kept.names if name in asked]
        if names:
            self._attachments.confirmed(self._device, self._store_id, names, promised=True)

    def stored(self, stored: Stored) -> None:
        """The peer has these now."""
        self._attachments.confirmed(self._device, self._store_id, stored.names)
        if not self._passed.isdisjoint(stored.names):
            self._passed.difference_update(stored.names)
            self.look = True

    # Out.

    def next(self) -> Frame | None:
        """The next frame, if there is something to say."""
        if not self.begun:
            return None
        if self.look and self._withheld:
            came = self._attachments.can_give(self._withheld)
            self._withheld -= came
            self._stored += sorted(came)
        if self._is_to_tell:
            names, self._stored = tuple(self._stored), []
            return Stored(names)
        if self._kept:
            return Kept(self._kept.popleft())
        return self._next_keep() or self._next_ask() or self._next_piece()

    def _next_keep(self) -> Keep | None:
        """What the peer should keep, once a session."""
        if self._asked_to_keep or self.given is None:
            return None
        names = self._attachments.to_keep(self.given, limits.CHUNKS_PER_FRAME)
        self._asked_to_keep = names is not None
        if not names:
            return None
        self._to_be_kept = set(names)
        return Keep(tuple(names))

    def _next_ask(self) -> Ask | None:
        room = limits.CHUNKS_ASKED - len(self._asked)
        if not self.look or room < limits.CHUNKS_TOGETHER:
            return None
        coming = self._asked.keys() | self._taken | self._settling
        names = self._attachments.lacking(self._passed, coming, room)
        self.look = False
        self._asked.update((name, _Held()) for name in names)
        return Ask(tuple(names)) if names else None

    def _next_piece(self) -> Piece | None:
        if not self._served:
            return None
        name = self._served[0]
        found = self._attachments.read(name, self._sent, limits.FRAME_FILL_BYTES)
        if found is None or not found[1]:
            if (
                len(self._withheld) < limits.CHUNKS
            ):  # as many as one file has; of others the next session tells
                self._withheld.add(name)
            self._serve_next()
            return Piece(name, 0, b"")
        size, piece = found
        self._sent += len(piece)
        if self._sent >= size:
            self._serve_next()
        return Piece(name, size, piece)

    def _serve_next(self) -> None:
        self._served.popleft()
        self._sent = 0
