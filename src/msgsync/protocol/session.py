"""A session between two replicas: who needs what, and when both have everything. Sans-IO. Source: design 7.

Rules
-----
- Both sides run this same machine. Each says `Hello` at once; equal digests end it there, after one round trip.
- Then comes a **round**. Both sides learn what the other may lack: everything, newest first, if one of them is empty;
  what changed since the last completed exchange, if both remember one; else what the digest trees tell apart. Each
  side **offers** documents (and is their source), **wants** those whose digest differs from its own (and is their
  sink), and is **done** when nothing it wants is missing.
- When both are done their digests are compared. Equal: the exchange is complete, and both remember it. Different
  (something was written or refused meanwhile): another round, by digest tree, once per pair of digests.
- A sink asks for no more than `limits.WINDOW_BYTES` at a time; a source reads a document when it is its turn to go.
  So memory is bounded on both sides, and nothing is decoded to serve a peer that has nothing of a document.
- Every frame of updates is merged in one transaction. Cut anywhere, what was merged stays, and the next session goes
  on from there: by digest tree, since nothing is remembered of an exchange that was not completed.
- A frame that does not fit the state is the peer's error; the session ends with `Refuse`.

Theory of operation
-------------------
`receive` takes a frame from the peer and returns events; `next_frame` returns the next bytes to send, or None if it
is the peer's turn. `finished` says that nothing more will come or go; then `error` tells why, if it did not end well.
Nothing here knows sockets, threads or clocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Any, Final

from msgsync import limits
from msgsync.document.codec import decode_state
from msgsync.errors import (
    AccountMismatch,
    Inadmissible,
    MsgSyncError,
    ProtocolError,
    VersionMismatch,
)
from msgsync.protocol.events import Completed, Event, Progress, Stopped, SyncReport
from msgsync.protocol.frames import (
    VERSION,
    Done,
    Frame,
    Hello,
    Offer,
    Offers,
    Part,
    Reason,
    Refuse,
    Start,
    Updates,
    Want,
    decode_frame,
    encode_frame,
)
from msgsync.protocol.seam import Facts, Peerable

_MAX_ROUNDS: Final = 8
_WHOLE_BYTES: Final = limits.FRAME_BYTES // 2
"""A document up to this size goes in one frame with others; a larger one in parts."""
_ROOM_BYTES: Final = 64
"""What surrounds a document in a frame, at most."""


class State(Enum):
    """What this side waits for."""

    HELLO = auto()
    START = auto()
    EXCHANGE = auto()
    FINISHED = auto()


@dataclass(slots=True)
class _Round:
    """One comparison and exchange."""

    our_bins: bytes | None = None
    their_bins: bytes | None = None
    their_start: bool = False
    # As a source: what we offer, what of it is announced, what the peer wants of it.
    keys: list[int] = field(default_factory=list)
    announced: int = 0
    announced_all: bool = False
    asked: set[int] = field(default_factory=set)
    served: deque[tuple[int, bytes]] = field(default_factory=deque)
    held: tuple[int, tuple[bytes, ...]] | None = None
    parts: deque[Part] = field(default_factory=deque)
    # As a sink: what the peer offers that we want, what is on its way.
    offered: int = 0
    offered_all: bool = False
    queue: deque[tuple[int, Offer, int]] = field(default_factory=deque)
    coming: dict[int, tuple[Offer, int]] = field(default_factory=dict)
    coming_bytes: int = 0
    pieces: list[bytes] = field(default_factory=list)
    whole: list[bytes] = field(default_factory=list)
    pieces_of: int | None = None
    pieces_bytes: int = 0
    pieces_count: int = 0
    our_done: tuple[bytes, int] | None = None
    their_done: bytes | None = None


class Session:
    """One side of an exchange. Feed it frames, send what it gives, until `finished`."""

    def __init__(self, replica: Peerable) -> None:
        """Begin: the first `next_frame` is this side's hello."""
        self._replica = replica
        self._state = State.HELLO
        self._facts: Facts = replica.facts()
        self._peer: Hello | None = None
        self._round = _Round()
        self._rounds = 0
        self._compared: set[tuple[bytes, bytes]] = set()
        self._out: deque[Frame] = deque([_hello(self._facts)])
        self._events: list[Event] = []
        self._documents = self._messages = self._documents_sent = 0
        self._fill = limits.FIRST_FILL_BYTES
        self._total_documents = self._total_messages = 0
        self._refused: dict[str, None] = {}
        self.error: MsgSyncError | None = None
        self.complete = False
        self.bytes_received = 0
        self.bytes_sent = 0

    @property
    def finished(self) -> bool:
        """Whether nothing more will be sent or is waited for."""
        return self._state is State.FINISHED and not self._out

    def report(self) -> SyncReport:
        """What was done so far."""
        return SyncReport(
            documents_received=self._documents,
            messages_received=self._messages,
            bytes_received=self.bytes_received,
            bytes_sent=self.bytes_sent,
            documents_sent=self._documents_sent,
            complete=self.complete,
            refused=tuple(self._refused),
        )

    # In.

    def receive(self, raw: bytes) -> list[Event]:
        """Take a frame (without its length) from the peer; return what happened.

        A peer's fault is not raised: it ends the session, `error` has it, and a last frame tells the peer.

        Raises:
            StorageError: this side cannot store; what was merged before stays.
        """
        self.bytes_received += len(raw) + 4
        if self._state is State.FINISHED:
            return []
        try:
            frame = decode_frame(raw)
            handler = _TRANSITIONS.get((self._state, type(frame)))
            if handler is None:
                raise ProtocolError(
                    f"the peer sent {type(frame).__name__} while {self._state.name} was due"
                )
            handler(self, frame)
        except ProtocolError as error:
            self._refuse(error, Reason.PROTOCOL)
        events, self._events = self._events, []
        return events

    def _on_hello(self, peer: Hello) -> None:
        self._peer = peer
        if peer.version != VERSION:
            self._refuse(
                VersionMismatch(
                    f"the peer speaks protocol {peer.version}, this msgsync speaks {VERSION}; "
                    "update the older of the two"
                ),
                Reason.VERSION,
            )
            return
        if peer.account != self._facts.account:
            self._refuse(
                AccountMismatch(
                    "the peer's replica belongs to another account; only devices of one account sync. "
                    "Make the new device with new_device(), or init --account"
                ),
                Reason.ACCOUNT,
            )
            return
        self._replica.heard(peer.time_ms - self._facts.now_ms)
        if peer.root == self._facts.root:
            self._complete(self._facts.seq)
        elif not peer.documents or not self._facts.documents:
            self._total_documents, self._total_messages = peer.documents, peer.messages
            self._exchange(self._replica.all_documents())
        else:
            seq = self._replica.recall(peer.device, peer.store_id)
            self._begin_round(by_tree=seq is None)

    def _begin_round(self, *, by_tree: bool) -> None:
        self._round = _Round()
        self._rounds += 1
        self._state = State.START
        if by_tree:
            self._round.our_bins = self._replica.bins()
        self._out.append(Start(self._round.our_bins or b""))

    def _on_start(self, start: Start) -> None:
        this = self._round
        if this.their_bins is not None or (this.their_start and not start.bins):
            raise ProtocolError("the peer started a round twice")
        this.their_start = True
        if start.bins:
            this.their_bins = start.bins
            if this.our_bins is None:  # they do not remember: compare trees after all
                this.our_bins = self._replica.bins()
                self._out.append(Start(this.our_bins))
        elif this.our_bins is None:
            seq = self._replica.recall(self._their.device, self._their.store_id)
            self._exchange(self._replica.documents_since(seq or 0))
            return
        if this.our_bins is not None and this.their_bins is not None:
            ours, theirs = this.our_bins, this.their_bins
            differing = frozenset(
                n for n in range(256) if ours[16 * n : 16 * n + 16] != theirs[16 * n : 16 * n + 16]
            )
            self._exchange(self._replica.documents_in(differing))

    def _exchange(self, keys: list[int]) -> None:
        self._state = State.EXCHANGE
        self._round.keys = keys

    def _on_offers(self, page: Offers) -> None:
        this = self._round
        if this.offered_all:
            raise ProtocolError("the peer offered more after its last offer")
        if not page.offers and not page.last:
            raise ProtocolError("the peer sent a page of no offers that is not its last")
        if this.offered + len(page.offers) > limits.OFFERS:
            raise ProtocolError(f"the peer offered more than {limits.OFFERS} documents")
        if this.offered == 0 and page.offers and self._rounds == 0:
            self._total_documents = self._total_messages = 0
        comparisons = self._replica.compare(self._their.device, page.offers)
        for number, (offer, comparison) in enumerate(
            zip(page.offers, comparisons, strict=True), this.offered
        ):
            if comparison.wanted:
                this.queue.append((number, offer, comparison.messages))
                self._total_documents += 1
                self._total_messages += max(offer.messages - comparison.messages, 0)
        this.offered += len(page.offers)
        this.offered_all = page.last
        self._settle()

    def _on_want(self, want: Want) -> None:
        for number, state in want.wanted:
            if number >= self._round.announced or number in self._round.asked:
                raise ProtocolError("the peer wants what was not offered, or wants it twice")
            self._round.asked.add(number)
            try:
                decode_state(state or b"\0")
            except Inadmissible as error:
                raise ProtocolError(f"the peer sent {error}") from error
            self._round.served.append((number, state))

    def _on_updates(self, updates: Updates) -> None:
        taken: dict[int, tuple[bytes, ...]] = {}
        for number, document in updates.documents:
            coming = number in self._round.coming and number != self._round.pieces_of
            if not coming or number in taken:
                raise ProtocolError("the peer sent a document that was not asked for")
            taken[number] = document
        self._merge(list(taken.items()))

    def _on_part(self, part: Part) -> None:
        this = self._round
        if part.number not in this.coming or this.pieces_of not in (None, part.number):
            raise ProtocolError("the peer sent a part of a document that was not asked for")
        this.pieces_of = part.number
        this.pieces_bytes += len(part.piece)
        this.pieces_count += 1
        if this.pieces_count > limits.PIECES or not (part.piece or part.last):
            raise ProtocolError("the peer sent a document in pieces without end")
        too_large = this.pieces_bytes > limits.DOCUMENT_BYTES
        if too_large:  # that document alone is refused, once it has passed by
            this.pieces, this.whole = [], []
        else:
            this.pieces.append(part.piece)
        if part.last:
            this.whole.append(b"".join(this.pieces))
            this.pieces = []
        if part.final:
            document = None if too_large else tuple(this.whole)
            this.whole = []
            this.pieces_of, this.pieces_bytes, this.pieces_count = None, 0, 0
            self._merge([(part.number, document)])

    def _merge(self, taken: Sequence[tuple[int, tuple[bytes, ...] | None]]) -> None:
        this = self._round
        offers = [(*this.coming.pop(number), document) for number, document in taken]
        refused = self._replica.merge(
            self._their.device, [(offer, document) for offer, _, document in offers]
        )
        for one in refused:
            self._refused[f"{one.document.conversation} {one.document.kind}: {one.reason}"] = None
        for offer, ours, _ in offers:
            this.coming_bytes -= _weight(offer)
            self._documents += 1
            self._messages += max(offer.messages - ours, 0)
        self._events.append(self._progress())
        self._settle()

    def _progress(self) -> Progress:
        return Progress(
            self._documents,
            self._total_documents,
            self._messages,
            self._total_messages,
            self.bytes_received,
        )

    def _settle(self) -> None:
        """Say that this side is done, once it is."""
        this = self._round
        if this.offered_all and not this.queue and not this.coming and this.our_done is None:
            facts = self._replica.facts()
            this.our_done = facts.root, facts.seq
            self._out.append(Done(facts.root))
            self._end_round()

    def _on_done(self, done: Done) -> None:
        if self._round.their_done is not None:
            raise ProtocolError("the peer was done twice")
        self._round.their_done = done.root
        self._end_round()

    def _end_round(self) -> None:
        this = self._round
        if this.our_done is None or this.their_done is None:
            return
        root, seq = this.our_done
        if root == this.their_done:
            self._complete(seq)
            return
        pair = root, this.their_done
        if pair in self._compared or self._rounds >= _MAX_ROUNDS:
            self._finish(complete=False)
            return
        self._compared.add(pair)
        self._begin_round(by_tree=True)

    def _complete(self, seq: int) -> None:
        peer = self._their
        self._replica.remember(peer.device, peer.store_id, seq)
        self._finish(complete=True)

    def _finish(self, *, complete: bool) -> None:
        self._state = State.FINISHED
        self.complete = complete
        self._events.append(Completed(self.report()))

    def _on_refuse(self, refuse: Refuse) -> None:
        kinds: dict[int, type[MsgSyncError]] = {
            Reason.VERSION: VersionMismatch,
            Reason.ACCOUNT: AccountMismatch,
        }
        self._stop(kinds.get(refuse.reason, ProtocolError)(f"the peer refused: {refuse.words}"))

    def _refuse(self, error: MsgSyncError, reason: Reason) -> None:
        self._out.append(Refuse(reason, str(error)))
        self._stop(error)

    def _stop(self, error: MsgSyncError) -> None:
        self.error = error
        self._state = State.FINISHED
        self._events.append(Stopped(error))

    @property
    def _their(self) -> Hello:
        assert self._peer is not None
        return self._peer

    # Out.

    def next_frame(self) -> bytes | None:
        """The next bytes to send, with their length in front; None if it is the peer's turn.

        Call it again whenever the last bytes are on their way and after each `receive`.
        """
        frame = self._next()
        if frame is None:
            return None
        raw = encode_frame(frame)
        self.bytes_sent += len(raw)
        return raw

    def _next(self) -> Frame | None:
        if self._out:
            return self._out.popleft()
        if self._state is not State.EXCHANGE:
            return None
        return self._next_want() or self._next_part() or self._next_updates() or self._next_offers()

    def _next_want(self) -> Frame | None:
        this = self._round
        wanted: list[tuple[int, bytes]] = []
        filled = 0
        while (
            this.queue
            and this.coming_bytes < limits.WINDOW_BYTES
            and filled < limits.FRAME_FILL_BYTES
        ):
            number, offer, ours = this.queue[0]
            state = self._replica.state(offer.document)
            if wanted and filled + len(state) + _ROOM_BYTES > limits.FRAME_BYTES:
                break  # a document of many writers has a frame for itself
            this.queue.popleft()
            wanted.append((number, state))
            filled += len(state) + 16
            this.coming[number] = offer, ours
            this.coming_bytes += _weight(offer)
        return Want(tuple(wanted)) if wanted else None

    def _next_part(self) -> Frame | None:
        return self._round.parts.popleft() if self._round.parts else None

    def _next_updates(self) -> Frame | None:
        this = self._round
        filled = 0
        documents = []
        while (this.held or this.served) and filled < self._fill:
            if this.held is None:
                number, state = this.served.popleft()
                this.held = number, tuple(self._replica.read(this.keys[number], state))
            number, updates = this.held
            size = sum(map(len, updates)) + _ROOM_BYTES * (1 + len(updates))
            if filled and filled + size > limits.FRAME_BYTES - _ROOM_BYTES:
                break
            this.held = None
            self._documents_sent += 1
            if size > _WHOLE_BYTES:
                this.parts.extend(_parts(number, updates))
                break
            documents.append((number, updates))
            filled += size
        if documents:
            self._fill = min(2 * self._fill, limits.UPDATES_FILL_BYTES)
            return Updates(tuple(documents))
        return self._next_part()

    def _next_offers(self) -> Frame | None:
        this = self._round
        if this.announced_all:
            return None
        keys = this.keys[this.announced : this.announced + limits.OFFERS_PER_FRAME]
        offers = self._replica.offers(keys)
        this.announced += len(keys)
        this.announced_all = this.announced == len(this.keys)
        return Offers(tuple(offers), this.announced_all)


def _hello(facts: Facts) -> Hello:
    return Hello(
        VERSION,
        facts.account,
        facts.device,
        facts.now_ms,
        facts.root,
        facts.store_id,
        facts.documents,
        facts.messages,
    )


def _weight(offer: Offer) -> int:
    """What an offer counts against the window; the peer's word on the size is not enough to bound the number."""
    return min(max(offer.bytes, 256), limits.DOCUMENT_BYTES)


def _parts(number: int, updates: tuple[bytes, ...]) -> list[Part]:
    parts = []
    for index, update in enumerate(updates):
        for start in range(0, len(update), limits.FRAME_FILL_BYTES):
            end = start + limits.FRAME_FILL_BYTES
            last = end >= len(update)
            final = last and index == len(updates) - 1
            parts.append(Part(number, update[start:end], last, final))
    return parts


_TRANSITIONS: Final[dict[tuple[State, type[Any]], Any]] = {
    (State.HELLO, Hello): Session._on_hello,
    (State.HELLO, Refuse): Session._on_refuse,
    (State.START, Start): Session._on_start,
    (State.START, Refuse): Session._on_refuse,
    (State.EXCHANGE, Offers): Session._on_offers,
    (State.EXCHANGE, Want): Session._on_want,
    (State.EXCHANGE, Updates): Session._on_updates,
    (State.EXCHANGE, Part): Session._on_part,
    (State.EXCHANGE, Done): Session._on_done,
    (State.EXCHANGE, Refuse): Session._on_refuse,
}
