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
- If both sides want to **stay** the session is then live: what either writes is pushed at once, as updates that begin
  where the document was before. A side that has not all that lies before them, or has too much to push, starts another
  round. What came from the peer is not pushed back. Either side may leave at any time, with `Bye`.
- To an empty replica the newest messages of the most recent conversations are pushed before anything is offered.
- Every frame of updates is merged in one transaction. Cut anywhere, what was merged stays, and the next session goes
  on from there: by digest tree, since nothing is remembered of an exchange that was not completed.
- A frame that does not fit the state is the peer's error; the session ends with `Refuse`.

Theory of operation
-------------------
`receive` takes a frame from the peer and returns events; `next_frame` returns the next bytes to send, or None if it
is the peer's turn. `changed` says that the replica has been written to, `keep_alive` that nothing has been sent for a
while, `stop` that this side leaves. `finished` says that nothing more will come or go; then `error` tells why, if it
did not end well. Nothing here knows sockets, threads or clocks.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from enum import Enum, auto
from typing import Any, Final

from msgsync import limits
from msgsync.document.schema import DocumentId
from msgsync.errors import (
    AccountMismatch,
    ConnectionLost,
    MsgSyncError,
    ProtocolError,
    VersionMismatch,
)
from msgsync.ids import DeviceId
from msgsync.protocol.events import (
    Completed,
    Connected,
    Event,
    FirstScreen,
    Progress,
    Stopped,
    SyncReport,
)
from msgsync.protocol.frames import (
    VERSION,
    Alive,
    Bye,
    Done,
    Frame,
    Hello,
    Offers,
    Part,
    Push,
    Reason,
    Refuse,
    Start,
    Updates,
    Want,
    decode_frame,
    encode_frame,
)
from msgsync.protocol.round import Round, weight
from msgsync.protocol.seam import Facts, Peerable
from msgsync.protocol.source import ROOM_BYTES, Source

_MAX_ROUNDS: Final = 8


class State(Enum):
    """What this side waits for."""

    HELLO = auto()
    START = auto()
    EXCHANGE = auto()
    LIVE = auto()
    FINISHED = auto()


class Session:
    """One side of an exchange. Feed it frames, send what it gives, until `finished`."""

    def __init__(self, replica: Peerable, *, live: bool = False) -> None:
        """Begin: the first `next_frame` is this side's hello. ``live``: stay, if the peer stays as well."""
        self._replica = replica
        self._state = State.HELLO
        self._facts: Facts = replica.facts()
        self._peer: Hello | None = None
        self._round = Round()
        self._rounds = 0
        self._wants_to_stay = live
        self.live = False
        """Whether both sides stay connected; known once the peer has said hello."""
        self._was_live = False
        self._changed = False
        self._screen_due = False
        self._screen_bytes = 0
        # Commits of this side up to which the peer knows everything: in a round, and when it began.
        self._told = self._listed = self._facts.seq
        self._offers_due = 0
        self._unsettled: tuple[bytes, bytes] | None = None
        self._quiet = True  # whether nothing was pushed or taken since both were known to be equal
        self._compared: set[tuple[bytes, bytes]] = set()
        self._out: deque[Frame] = deque([_hello(self._facts, live=live)])
        self._events: list[Event] = []
        self._documents = self._messages = 0
        self._source = Source(replica)
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

    @property
    def idle(self) -> bool:
        """Whether this side waits for something to happen on either side."""
        return self._state is State.LIVE and not self._changed and not self._out

    @property
    def pending(self) -> bool:
        """Whether the replica was written to and nothing was made of it yet."""
        return self._state is State.LIVE and self._changed

    def report(self) -> SyncReport:
        """What was done so far."""
        return SyncReport(
            documents_received=self._documents,
            messages_received=self._messages,
            bytes_received=self.bytes_received,
            bytes_sent=self.bytes_sent,
            documents_sent=self._source.documents_sent,
            complete=self.complete,
            refused=tuple(self._refused),
        )

    # What happens on this side.

    def changed(self) -> None:
        """The replica was written to; the next frame may push it. May be called from any thread."""
        self._changed = True

    def keep_alive(self) -> None:
        """Nothing has been sent for a while: let the peer know that this side is there."""
        if self.idle:
            self._out.append(Alive(self._replica.facts().root))

    def stop(self) -> None:
        """Leave: the next frame says so, and nothing is taken any more. What was merged stays."""
        if self._state is not State.FINISHED:
            self._out.append(Bye())
            self._state = State.FINISHED

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
                raise self._not_due(frame)
            handler(self, frame)
        except ProtocolError as error:
            self._refuse(error, Reason.PROTOCOL)
        events, self._events = self._events, []
        return events

    def _not_due(self, frame: Frame) -> ProtocolError:
        return ProtocolError(
            f"the peer sent {type(frame).__name__} while {self._state.name} was due"
        )

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
        self._meet(peer)

    def _meet(self, peer: Hello) -> None:
        self.live = self._wants_to_stay and peer.live
        if self.live:
            self._events.append(Connected(str(DeviceId(peer.device))))
        self._offers_due = peer.documents + limits.OFFERS_BEYOND
        if peer.root == self._facts.root:
            self._complete(self._facts.seq)
        elif not peer.documents or not self._facts.documents:
            self._total_documents, self._total_messages = peer.documents, peer.messages
            self._screen_due = not self._facts.documents
            if not peer.documents:
                self._out.extend(_screen(self._replica.first_screen()))
            self._exchange(self._replica.all_documents())
        else:
            self._begin_round(by_tree=self._recall() is None)

    def _recall(self) -> int | None:
        return self._replica.recall(self._their.device, self._their.store_id)

    def _begin_round(self, *, by_tree: bool) -> None:
        self._round = Round()
        self._rounds += 1
        self._state = State.START
        self._screen_due = False
        self._listed = self._replica.facts().seq
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
            self._exchange(self._replica.documents_since(self._recall() or 0))
            return
        if this.our_bins is not None and this.their_bins is not None:
            ours, theirs = this.our_bins, this.their_bins
            differing = frozenset(
                n for n in range(256) if ours[16 * n : 16 * n + 16] != theirs[16 * n : 16 * n + 16]
            )
            self._exchange(self._replica.documents_in(differing))

    def _on_live_start(self, start: Start) -> None:
        self._begin_round(by_tree=self._recall() is None)
        self._on_start(start)

    def _exchange(self, keys: list[int]) -> None:
        self._state = State.EXCHANGE
        self._source.begin(keys)

    def _on_offers(self, page: Offers) -> None:
        this = self._round
        if this.offered_all:
            raise ProtocolError("the peer offered more after its last offer")
        if not page.offers and not page.last:
            raise ProtocolError("the peer sent a page of no offers that is not its last")
        if this.offered + len(page.offers) > self._offers_due:
            raise ProtocolError(f"the peer offered more than {self._offers_due} documents")
        if this.offered == 0 and page.offers and self._rounds == 0:
            self._total_documents, self._total_messages = self._documents, self._messages
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

    def _on_push(self, push: Push) -> None:
        if not self._was_live:
            if not self._screen_due:
                raise self._not_due(push)
            size = sum(len(update) for _, updates in push.documents for update in updates)
            self._screen_bytes += size
            self._screen_due = not push.screen
            if self._screen_bytes > limits.SCREEN_BYTES:
                raise ProtocolError("the peer sent a first screen without end")
        taken = self._replica.take(push.documents)
        for one in taken.refused:
            self._refused[f"{one.document.conversation} {one.document.kind}: {one.reason}"] = None
        self._documents += taken.documents
        self._messages += taken.messages
        if self._was_live:
            self._total_documents += taken.documents
            self._total_messages += taken.messages
        self._quiet = self._quiet and not taken.documents
        self._events.append(self._progress())
        if push.screen and not self._was_live:
            self._events.append(FirstScreen(self._documents, self._messages, self.bytes_received))
        if taken.gaps and self._state is State.LIVE:
            self._begin_round(by_tree=self._recall() is None)

    def _on_alive(self, alive: Alive) -> None:
        """Compare digests where nothing is on its way from here; remember that both are equal, or mend it."""
        if not self._was_live:
            raise self._not_due(alive)
        if self._state is not State.LIVE or self._changed:
            return
        facts = self._replica.facts()
        pair = facts.root, alive.root
        if facts.root == alive.root:
            self.complete = True
            if not self._quiet:
                self._quiet = True
                self._replica.remember(self._their.device, self._their.store_id, facts.seq)
        elif self._quiet and pair != self._unsettled:
            self._unsettled = pair  # a refused document differs for good: once is enough
            self._begin_round(by_tree=True)
        else:
            self._quiet = True  # what was pushed may have crossed this

    def _on_bye(self, _bye: Bye) -> None:
        if self._state is State.LIVE:
            self._state = State.FINISHED
        else:
            self._stop(ConnectionLost("the peer left early; sync again to go on from there"))

    def _on_want(self, want: Want) -> None:
        self._source.want(want)

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
            this.coming_bytes -= weight(offer)
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
            self._replica.filled()
            self._finish(self._listed, complete=False)
            return
        self._compared.add(pair)
        self._begin_round(by_tree=True)

    def _complete(self, seq: int) -> None:
        peer = self._their
        self._replica.remember(peer.device, peer.store_id, seq)
        self._finish(seq, complete=True)

    def _finish(self, told: int, *, complete: bool) -> None:
        self.complete = complete
        self._screen_due = False
        if self.live:
            self._state = State.LIVE
            self._was_live = self._changed = True
            self._told = told
            self._rounds = 0
            self._compared.clear()
            self._offers_due = max(self._offers_due, self._round.offered + limits.OFFERS_BEYOND)
        else:
            self._state = State.FINISHED
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
        self.complete = False
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
        if self._state is State.LIVE:
            return self._next_push()
        if self._state is not State.EXCHANGE:
            return None
        return self._next_want() or self._source.next()

    def _next_push(self) -> Frame | None:
        if not self._changed:
            return None
        self._changed = False
        changes = self._replica.changes(self._told)
        if changes is None:
            self._begin_round(by_tree=self._recall() is None)
            return self._out.popleft()
        self._told = changes.seq
        if not changes.documents:
            return None
        self._quiet = False
        self._source.documents_sent += len(changes.documents)
        return Push(changes.documents, False)

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
            if wanted and filled + len(state) + ROOM_BYTES > limits.FRAME_BYTES:
                break  # a document of many writers has a frame for itself
            this.queue.popleft()
            wanted.append((number, state))
            filled += len(state) + 16
            this.coming[number] = offer, ours
            this.coming_bytes += weight(offer)
        return Want(tuple(wanted)) if wanted else None


def _screen(documents: Sequence[tuple[DocumentId, tuple[bytes, ...]]]) -> list[Frame]:
    """The frames of a first screen: each holds as many documents as fit the first frame of updates."""
    frames: list[Frame] = []
    page: list[tuple[DocumentId, tuple[bytes, ...]]] = []
    filled = 0
    for number, document in enumerate(documents, 1):
        page.append(document)
        filled += sum(map(len, document[1])) + ROOM_BYTES
        if filled >= limits.FIRST_FILL_BYTES or number == len(documents):
            frames.append(Push(tuple(page), number == len(documents)))
            page, filled = [], 0
    return frames


def _hello(facts: Facts, *, live: bool) -> Hello:
    return Hello(
        VERSION,
        facts.account,
        facts.device,
        facts.now_ms,
        facts.root,
        facts.store_id,
        facts.documents,
        facts.messages,
        live,
    )


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
    (State.LIVE, Refuse): Session._on_refuse,
    (State.EXCHANGE, Push): Session._on_push,
    (State.START, Push): Session._on_push,
    (State.LIVE, Push): Session._on_push,
    (State.START, Alive): Session._on_alive,
    (State.LIVE, Alive): Session._on_alive,
    (State.LIVE, Start): Session._on_live_start,
    (State.HELLO, Bye): Session._on_bye,
    (State.START, Bye): Session._on_bye,
    (State.EXCHANGE, Bye): Session._on_bye,
    (State.LIVE, Bye): Session._on_bye,
}
