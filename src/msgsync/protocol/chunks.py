"""Chunks of attachments in a session: what this side lacks and what it gives. Sans-IO. Source: design 11.

Rules
-----
- Chunks travel once both sides have each other's documents, and never before a frame of documents or of what has just
  been written: a message is there at once, its attachment follows.
- Each side asks for what it lacks, of the newest messages first, at most `limits.CHUNKS_ASKED` chunks at a time. The
  other answers in turn, piece by piece, and reads a piece when it is its turn to go: memory is bounded on both sides.
- A chunk is taken once it is whole and the key in the message's record opens it. It is told to the other side
  (`Stored`) when it is on the disk, and not before: who hears it may count on it.
- What the other side does not have, or has damaged, is not asked of it again in this session, unless it says that it
  has it now.
- Cut anywhere, whole chunks stay; the next session asks for the rest.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from typing import Protocol

from msgsync import limits
from msgsync.errors import AttachmentDamaged, ProtocolError
from msgsync.protocol.frames import Ask, Frame, Piece, Stored


class Attachable(Protocol):
    """The attachments of a replica, as a session sees them. Every method is one consistent step."""

    def lacks_any(self) -> bool:
        """Whether there is anything to ask for. Not if the replica is open for reading only."""

    def lacking(self, without: Collection[bytes], limit: int) -> list[bytes]:
        """The names of chunks to ask for, but for some, at most so many."""

    def read(self, name: bytes, start: int, count: int) -> tuple[int, bytes] | None:
        """The size of a chunk as it is stored, and a piece of it; None if it is not here."""

    def take(self, name: bytes, sealed: bytes) -> bool:
        """Take a chunk that was asked for; return whether it is on the disk. It is not if nobody needs it any more.

        Raises:
            AttachmentDamaged: it is not what the record says.
        """

    def confirmed(self, device: bytes, names: Sequence[bytes]) -> None:
        """A device has these on its disk."""


class Chunks:
    """What one side asks and gives."""

    def __init__(self, attachments: Attachable) -> None:
        """Nothing is asked for before `begin`."""
        self._attachments = attachments
        self._device = b""
        self._asked: dict[bytes, bytearray] = {}
        self._passed: set[bytes] = set()
        """What the peer cannot give."""
        self._served: deque[bytes] = deque()
        self._sent = 0
        """Bytes of the first of those that have gone."""
        self._stored: list[bytes] = []
        self.begun = False
        self.look = False
        """Whether something may have come to be missing here since it was last looked."""
        self.refused: list[str] = []
        """Chunks that the peer could not give or gave damaged, in words."""
        self.chunks = self.bytes = 0
        """What was taken."""

    def begin(self, device: bytes) -> None:
        """Both sides have each other's documents."""
        self._device = device
        self.begun = self.look = True

    @property
    def satisfied(self) -> bool:
        """Whether this side waits for nothing and has nothing to ask for."""
        return not (self.look or self._asked)

    @property
    def due(self) -> bool:
        """Whether there is something to say."""
        return self.begun and bool(self._served or self._stored or self.look)

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
        held += piece.piece
        if len(held) > piece.size or not piece.piece:
            raise ProtocolError("the peer sent a piece of a chunk that does not fit it")
        if len(held) < piece.size:
            return False
        del self._asked[piece.name]
        self.look = True
        try:
            is_stored = self._attachments.take(piece.name, bytes(held))
        except AttachmentDamaged as error:
            self._pass(piece.name, str(error))
            return False
        if is_stored:
            self._stored.append(piece.name)
            self.chunks += 1
            self.bytes += piece.size
        return is_stored

    def _pass(self, name: bytes, why: str) -> None:
        self._asked.pop(name, None)
        self._passed.add(name)
        self.refused.append(f"chunk {name.hex()}: {why}")
        self.look = True

    def stored(self, stored: Stored) -> None:
        """The peer has these now."""
        self._attachments.confirmed(self._device, stored.names)
        if not self._passed.isdisjoint(stored.names):
            self._passed.difference_update(stored.names)
            self.look = True

    # Out.

    def next(self) -> Frame | None:
        """The next frame, if there is something to say."""
        if not self.begun:
            return None
        if self._stored:
            names, self._stored = tuple(self._stored), []
            return Stored(names)
        return self._next_ask() or self._next_piece()

    def _next_ask(self) -> Ask | None:
        room = limits.CHUNKS_ASKED - len(self._asked)
        if not self.look or room <= 0:
            return None
        names = self._attachments.lacking(self._passed | self._asked.keys(), room)
        self.look = False
        self._asked.update((name, bytearray()) for name in names)
        return Ask(tuple(names)) if names else None

    def _next_piece(self) -> Piece | None:
        if not self._served:
            return None
        name = self._served[0]
        found = self._attachments.read(name, self._sent, limits.FRAME_FILL_BYTES)
        if found is None or not found[1]:
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
