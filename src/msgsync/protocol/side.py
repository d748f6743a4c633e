"""What one side of a session knows while it goes on, and whether it is over. The rules are in `protocol.session`."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto

from msgsync.errors import (
    Inadmissible,
    MsgSyncError,
    ProtocolError,
)
from msgsync.ids import DeviceId
from msgsync.protocol.chunks import Chunks
from msgsync.protocol.events import (
    Event,
    Stopped,
    SyncReport,
)
from msgsync.protocol.frames import (
    Frame,
    Hello,
    Keys,
    Reason,
    Refuse,
    Stranger,
)
from msgsync.protocol.greeting import (
    curt,
    hello,
)
from msgsync.protocol.keys import KeyExchange
from msgsync.protocol.live import Live
from msgsync.protocol.round import Round
from msgsync.protocol.seam import Facts, Peerable, Relation
from msgsync.protocol.sink import Sink
from msgsync.protocol.source import Source


class State(Enum):
    """What this side waits for."""

    HELLO = auto()
    KEYS = auto()
    INTRODUCED = auto()
    EQUAL = auto()
    START = auto()
    EXCHANGE = auto()
    CHUNKS = auto()
    LIVE = auto()
    FINISHED = auto()


class Side:
    """`Session` is one; here is what all of it goes by."""

    def __init__(
        self, replica: Peerable, *, live: bool = False, authenticated: DeviceId | None = None
    ) -> None:
        """Begin: the first `next_frame` is this side's hello.

        Args:
            replica: this side.
            live: stay, if the peer stays as well.
            authenticated: the device that the channel has shown the peer to be; None within one process.
        """
        self._replica = replica
        self._authenticated = authenticated
        self._state = State.HELLO
        self._facts: Facts = replica.facts()
        counts = replica.counts()
        self._is_empty = not counts[0]
        self._peer: Hello | None = None
        self._round = Round()
        self._rounds = 0
        self._wants_to_stay = live
        self.live = False
        """Whether both sides stay connected; known once the peer has said hello."""
        self._listed = self._facts.seq
        """The commit up to which the peer knows everything once the round is over, even if it was in vain."""
        self._compared: set[tuple[bytes, bytes]] = set()
        self._keys = KeyExchange(replica.keys, self._facts.device)
        asks = self._facts.takes and replica.attachments.asks()
        first = hello(self._facts, counts, self._keys.digest, live=live, asks=asks)
        self._withheld: Hello | None = None
        if authenticated and replica.keys.relation(authenticated.raw) is not Relation.MEMBER:
            first, self._withheld = curt(first), first
        self._out: deque[Frame] = deque([first])
        self._events: list[Event] = []
        self._source = Source(replica)
        self._sink = Sink(replica)
        self._pushing = Live(replica, self._facts.seq)
        self._chunks = Chunks(replica.attachments, self._facts.device)
        self._chunks_asked = asks
        """Whether either side has said that it will ask for chunks."""
        self._said_enough = self._heard_enough = False
        self.error: MsgSyncError | None = None
        self.complete = False
        self._reason: str | None = None
        self.bytes_received = 0
        self.bytes_sent = 0

    @property
    def finished(self) -> bool:
        """Whether nothing more will be sent or is waited for."""
        return self._state is State.FINISHED and not self._out

    @property
    def idle(self) -> bool:
        """Whether this side waits for something to happen on either side."""
        waits = self._state is State.LIVE and not self._pushing.changed
        return waits and not self._out and not self._keys.due and not self._chunks.due

    @property
    def pending(self) -> bool:
        """Whether the replica was written to and nothing was made of it yet."""
        return self._state is State.LIVE and self._pushing.changed

    @property
    def _given(self) -> int | None:
        """The commit up to which the peer has everything that is here, once all that was sent has come; else None."""
        if not self.complete or self._state not in (State.CHUNKS, State.LIVE):
            return None
        return self._pushing.told if self._state is State.LIVE else self._listed

    def report(self) -> SyncReport:
        """What was done so far."""
        return SyncReport(
            documents_received=self._sink.documents,
            messages_received=self._sink.messages,
            bytes_received=self.bytes_received,
            bytes_sent=self.bytes_sent,
            documents_sent=self._source.documents_sent,
            complete=self.complete,
            refused=tuple(self._sink.refused),
            reason=None if self.complete else self._reason,
            codes=(Inadmissible.code,) * len(self._sink.refused),
            attachment_bytes_received=self._chunks.bytes,
            chunks_refused=tuple(self._chunks.refused),
        )

    def _why_different(self) -> str:
        if not self._facts.takes:
            return "this replica is open for reading only: it gave what it has, and took nothing"
        if self._sink.refused:
            return "documents of the peer were refused"
        return (
            "the peer did not take everything (it refused something, or is open for reading only), or something was "
            "written meanwhile; sync again"
        )

    def take_events(self) -> list[Event]:
        """What happened since this was last asked; `receive` asks for itself, after `next_frame` somebody else may."""
        events, self._events = self._events, []
        return events

    def _not_due(self, frame: Frame) -> ProtocolError:
        return ProtocolError(
            f"the peer sent {type(frame).__name__} while {self._state.name} was due"
        )

    def _refuse(self, error: MsgSyncError, reason: Reason) -> None:
        told = [frame for frame in self._out if isinstance(frame, Hello | Keys | Stranger)]
        self._out = deque([*told, Refuse(reason, str(error))])
        self._stop(error)

    def _stop(self, error: MsgSyncError) -> None:
        self.error = error
        self.complete = False
        self._state = State.FINISHED
        self._events.append(Stopped(error))

    @property
    def _their(self) -> Hello:
        assert self._peer is not None
        return self._peer
