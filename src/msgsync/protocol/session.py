"""A session between two replicas: who needs what, and when both have everything. Sans-IO. Source: design 7.

Rules
-----
- Both sides run this same machine. Each says `Hello` at once; equal digests end it there, after one round trip.
- Before anything else both bring together what they know of the account (`protocol.keys`), and see that both are in it.
  From then on that is looked at before each frame: who is revoked in the middle is told so, and gets no more.
- To a device that this side has not heard of, or that was revoked, the hello says nothing of what there is here; it
  comes again, whole, once both are known to be in the account.
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
- **Done** tells also what this side knows of devices (`msgsync.standing`). Replicas that are equal at once say it
  only if they do not know the same. Staying connected, each push is followed by it (`Known`), and who has merged the
  push says the same: then what was pushed is known to be there, and others are told.
- Then come chunks of attachments, if either side has said that it lacks some (`protocol.chunks`); the session ends when
  both have asked for all they can get (`Enough`). On a live session they go whenever there is nothing else to say.
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
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from msgsync.errors import (
    AccountError,
    ConnectionLost,
    Inadmissible,
    MsgSyncError,
    NotAMember,
    ProtocolError,
)
from msgsync.ids import DeviceId
from msgsync.protocol.chunks import Chunks
from msgsync.protocol.events import (
    AttachmentProgress,
    Completed,
    Connected,
    Event,
    FirstScreen,
    Stopped,
    SyncReport,
)
from msgsync.protocol.frames import (
    Alive,
    Ask,
    Bye,
    Done,
    Enough,
    Frame,
    Hello,
    Keep,
    Kept,
    Keys,
    Known,
    Offers,
    Part,
    Piece,
    Push,
    Reason,
    Refuse,
    Start,
    Stored,
    Stranger,
    Updates,
    Want,
    decode_frame,
    encode_frame,
)
from msgsync.protocol.greeting import (
    agreed_ms,
    curt,
    hello,
    is_curt,
    knows_the_same,
    objected,
    objection,
    reason_of,
)
from msgsync.protocol.keys import KeyExchange, revoked
from msgsync.protocol.live import Comparison, Live
from msgsync.protocol.round import Round
from msgsync.protocol.seam import Facts, Peerable, Relation
from msgsync.protocol.sink import Sink
from msgsync.protocol.source import Source, screen_frames
from msgsync.standing import Standings, digest, joined

_MAX_ROUNDS: Final = 8


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


_BEGUN: Final = frozenset(
    {
        State.INTRODUCED,
        State.EQUAL,
        State.START,
        State.EXCHANGE,
        State.CHUNKS,
        State.LIVE,
    }
)
"""Both sides are known to be in the account."""


class Session:
    """One side of an exchange. Feed it frames, send what it gives, until `finished`."""

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

    # What happens on this side.

    def changed(self) -> None:
        """The replica was written to; the next frame may push it. May be called from any thread."""
        self._pushing.changed = True
        self._chunks.look = True

    def keep_alive(self) -> None:
        """Nothing has been sent for a while: let the peer know that this side is there."""
        if self.idle:
            self._replica.idle()
            facts = self._replica.facts()
            self._out.append(Alive(facts.root, facts.now_ms))
            self._pushing.note(facts)

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
            self._look_at_keys()
            frame = decode_frame(raw)
            handler = _TRANSITIONS.get((self._state, type(frame)))
            if handler is None:
                raise self._not_due(frame)
            self._handle(handler, frame)
        except ProtocolError as error:
            self._refuse(error, Reason.PROTOCOL)
        except AccountError as error:
            self._refuse(error, reason_of(error))
        return self.take_events()

    def _handle(self, handler: Callable[[Session, Frame], None], frame: Frame) -> None:
        try:
            handler(self, frame)
        except NotAMember:
            self._look_at_keys()  # revoked this moment: the peer is told
            raise

    def take_events(self) -> list[Event]:
        """What happened since this was last asked; `receive` asks for itself, after `next_frame` somebody else may."""
        events, self._events = self._events, []
        return events

    def _not_due(self, frame: Frame) -> ProtocolError:
        return ProtocolError(
            f"the peer sent {type(frame).__name__} while {self._state.name} was due"
        )

    def _on_hello(self, peer: Hello) -> None:
        self._peer = peer
        against = objection(peer, self._facts, self._authenticated)
        if against is not None:
            self._refuse(*against)
        elif knows_the_same(peer, self._keys.digest):
            self._keys.agree(peer.device)
            self._introduced()
        else:
            self._state = State.KEYS
            self._out.extend(self._keys.differ(peer.device))

    # Who is in the account.

    def _on_stranger(self, stranger: Stranger) -> None:
        self._out.extend(self._keys.on_stranger(stranger))

    def _on_keys(self, keys: Keys) -> None:
        if not self._keys.on_keys(keys):
            return
        self._keys.check()
        if self._keys.due:
            self._out.extend(self._keys.tell())
        if self._state is State.KEYS and self._keys.settled:
            self._introduced()

    def _introduced(self) -> None:
        """Both are in the account: whoever said less in its hello than it has to say says the rest."""
        if self._withheld is not None:
            self._out.append(self._withheld)
        if is_curt(self._their):
            self._state = State.INTRODUCED
        else:
            self._meet(self._their)

    def _on_hello_again(self, peer: Hello) -> None:
        said = self._their
        if is_curt(peer) or curt(peer) != said:
            raise ProtocolError("the peer says hello anew, and something else than before")
        self._peer = peer
        self._meet(peer)

    def _look_at_keys(self) -> None:
        """If what is known here of the account has changed, tell the peer, if it is still in it."""
        if self._state in _BEGUN and self._keys.due:
            self._out.extend(self._keys.notice())
            self._keys.check()
            self._out.extend(self._keys.tell())

    # What is exchanged.

    def _meet(self, peer: Hello) -> None:
        self._replica.heard(peer.time_ms - self._facts.now_ms)
        self.live = self._wants_to_stay and peer.live
        self._chunks_asked = self._chunks_asked or peer.asks
        if self.live:
            self._events.append(Connected(str(DeviceId(peer.device))))
        self._sink.meet(peer)
        if peer.root == self._facts.root:
            self._meet_equal(peer)
        elif not peer.documents or self._is_empty:
            self._sink.expect_all(peer, screen=self._is_empty)
            if not peer.documents:
                self._out.extend(screen_frames(self._replica.first_screen()))
            self._exchange(self._replica.all_documents())
        else:
            self._begin_round(by_tree=self._recall() is None)

    def _meet_equal(self, peer: Hello) -> None:
        """There is nothing to exchange; perhaps there is something to tell about devices."""
        ours = self._facts
        if peer.known == digest(ours.known):
            self._complete(ours, ours.known)
        else:
            self._state = State.EQUAL
            self._round.our_done = ours
            self._out.append(self._done(ours))

    def _recall(self) -> int | None:
        return self._replica.recall(self._their.device, self._their.store_id)

    def _begin_round(self, *, by_tree: bool) -> None:
        self._round = Round()
        self._rounds += 1
        self._state = State.START
        self._sink.begin()
        self._listed = self._replica.facts().seq
        if by_tree:
            self._round.our_bins = self._replica.bins()
        self._out.append(Start(self._round.our_bins or b""))

    def _on_start(self, start: Start) -> None:
        this = self._round
        this.take_start(start)
        if start.bins and this.our_bins is None:  # they do not remember: compare trees after all
            this.our_bins = self._replica.bins()
            self._out.append(Start(this.our_bins))
        if this.our_bins is None:
            self._exchange(self._replica.documents_since(self._recall() or 0))
        elif this.their_bins is not None:
            self._exchange(self._replica.documents_in(this.differing()))

    def _on_live_start(self, start: Start) -> None:
        self._begin_round(by_tree=self._recall() is None)
        self._on_start(start)

    def _exchange(self, keys: list[int]) -> None:
        self._state = State.EXCHANGE
        self._source.begin(keys)

    def _on_offers(self, page: Offers) -> None:
        self._sink.offers(page, first_round=self._rounds == 0)
        self._settle()

    def _on_push(self, push: Push) -> None:
        if self._pushing.begun:
            self._on_news(push)
        elif self._sink.screen_due:
            self._sink.screen(push)
            self._events.append(self._sink.progress(self.bytes_received))
            if push.screen:
                done = self._sink.documents, self._sink.messages
                self._events.append(FirstScreen(*done, self.bytes_received))
        else:
            raise self._not_due(push)

    def _on_news(self, push: Push) -> None:
        taken = self._sink.push(push)
        self._chunks.look = True
        self._pushing.took(taken)
        self._events.append(self._sink.progress(self.bytes_received))
        if taken.gaps and self._state is State.LIVE:
            self._begin_round(by_tree=self._recall() is None)

    def _on_alive(self, alive: Alive) -> None:
        """Compare digests where nothing is on its way from here; remember that both are equal, or mend it."""
        if not self._pushing.begun:
            raise self._not_due(alive)
        if self._state is not State.LIVE or self._pushing.changed:
            return
        facts = self._replica.facts()
        comparison = self._pushing.compare(facts.root, alive.root)
        self.complete = self.complete or facts.root == alive.root
        if facts.root == alive.root:
            self._replica.heard(alive.time_ms - facts.now_ms)
            self._equal(facts, facts.known, agreed_ms(facts.now_ms, alive.time_ms))
            self._replica.complete(self._their.device)
        elif comparison is Comparison.DIFFERENT:
            self._begin_round(by_tree=True)

    def _on_known(self, known: Known) -> None:
        """Learn what the peer knows; and that it has all of this side, if both were equal a moment ago."""
        if not self._pushing.begun:
            raise self._not_due(known)
        theirs = self._pushing.heard(known)
        facts = self._replica.facts()
        self._replica.heard(known.time_ms - facts.now_ms)
        ours = facts if facts.root == known.root else self._pushing.ours_at(known.root)
        if ours is None:
            self._replica.hear(self._their.device, theirs)
        else:
            at_ms = agreed_ms(facts.now_ms, known.time_ms)
            self._replica.met(self._their.device, ours.known, theirs, at_ms)
        self._pushing.changed = True

    def _on_bye(self, _bye: Bye) -> None:
        if self._state is State.LIVE:
            self._state = State.FINISHED
        else:
            self._stop(ConnectionLost("the peer left early; sync again to go on from there"))

    def _on_want(self, want: Want) -> None:
        self._source.want(want)

    def _on_updates(self, updates: Updates) -> None:
        self._sink.updates(updates)
        self._merged()

    def _on_part(self, part: Part) -> None:
        if self._sink.part(part):
            self._merged()

    def _merged(self) -> None:
        self._chunks.look = True
        self._events.append(self._sink.progress(self.bytes_received))
        self._settle()

    def _settle(self) -> None:
        """Say that this side is done, once it is."""
        if self._sink.satisfied and self._round.our_done is None:
            facts = self._replica.facts()
            self._round.our_done = facts
            self._out.append(self._done(facts))
            self._end_round()

    def _done(self, facts: Facts) -> Done:
        asks = facts.takes and self._replica.attachments.asks()
        self._chunks_asked = self._chunks_asked or asks
        return Done(facts.root, facts.known, asks)

    def _on_done(self, done: Done) -> None:
        if self._round.their_done is not None:
            raise ProtocolError("the peer was done twice")
        self._round.their_done = done
        self._chunks_asked = self._chunks_asked or done.asks
        self._end_round()

    def _end_round(self) -> None:
        this = self._round
        if this.our_done is None or this.their_done is None:
            return
        ours, theirs = this.our_done, this.their_done
        self._pushing.share(joined(ours.known, theirs.known))
        if ours.root == theirs.root:
            self._complete(ours, theirs.known)
            return
        self._replica.hear(self._their.device, theirs.known)
        pair = ours.root, theirs.root
        if pair in self._compared or self._rounds >= _MAX_ROUNDS:
            self._replica.filled(self._their.device)
            self._finish(self._listed, complete=False)
            return
        self._compared.add(pair)
        self._begin_round(by_tree=True)

    def _complete(self, ours: Facts, theirs: Standings) -> None:
        """Both were equal when they knew this."""
        self._equal(ours, theirs, agreed_ms(self._facts.now_ms, self._their.time_ms))
        self._replica.complete(self._their.device)
        self._finish(ours.seq, complete=True)

    def _equal(self, ours: Facts, theirs: Standings, at_ms: int) -> None:
        """Both sides found, of themselves, that they were equal when they knew this."""
        self._pushing.share(self._replica.met(self._their.device, ours.known, theirs, at_ms))

    def _finish(self, told: int, *, complete: bool) -> None:
        self.complete = complete
        self._reason = None if complete else self._why_different()
        self._sink.end()
        if self.live:
            self._state = State.LIVE
            self._pushing.begin(told)
            self._chunks.begin(self._their.device, self._their.store_id)
            self._rounds = 0
            self._compared.clear()
        elif self._chunks_asked:
            self._state = State.CHUNKS
            self._chunks.begin(self._their.device, self._their.store_id)
            return
        else:
            self._state = State.FINISHED
        self._events.append(Completed(self.report()))

    # Attachments.

    def _on_ask(self, ask: Ask) -> None:
        self._see_chunks(ask)
        self._chunks.ask(ask)

    def _on_piece(self, piece: Piece) -> None:
        self._see_chunks(piece)
        if self._chunks.piece(piece):
            done = self._chunks.text_bytes
            missing = self._replica.attachments.bytes_missing()
            self._events.append(AttachmentProgress(done, done + missing))

    def _on_stored(self, stored: Stored) -> None:
        self._see_chunks(stored)
        self._chunks.stored(stored)

    def _on_keep(self, keep: Keep) -> None:
        self._see_chunks(keep)
        self._chunks.keep(keep)

    def _on_kept(self, kept: Kept) -> None:
        self._see_chunks(kept)
        self._chunks.kept(kept)

    def _see_chunks(self, frame: Frame) -> None:
        if not self._chunks.begun:
            raise self._not_due(frame)

    def _on_enough(self, _enough: Enough) -> None:
        if self._heard_enough:
            raise ProtocolError("the peer had enough twice")
        self._heard_enough = True
        self._end_chunks()

    def _next_of_chunks(self) -> Frame | None:
        if self._said_enough:
            self._chunks.look = False
        frame = self._chunks.next()
        if frame is None and self._chunks.satisfied and not self._said_enough:
            self._said_enough = True
            self._end_chunks()
            return Enough()
        return frame

    def _end_chunks(self) -> None:
        if self._said_enough and self._heard_enough:
            self._state = State.FINISHED
            self._events.append(Completed(self.report()))

    def _on_refuse(self, refuse: Refuse) -> None:
        error = objected(refuse)
        self._stop(revoked() if self._keys.is_revoked else error)

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
        try:
            self._look_at_keys()
            if not self._out:
                frame = self._read_next()
                self._look_at_keys()  # what was read may be of after the peer was revoked
                if frame is not None or not self._out:
                    return frame
        except AccountError as error:
            self._refuse(error, reason_of(error))
        return self._out.popleft()

    def _read_next(self) -> Frame | None:
        if self._state is State.LIVE:
            return self._next_push() or self._chunks.next()
        if self._state is State.CHUNKS:
            return self._next_of_chunks()
        if self._state is not State.EXCHANGE:
            return None
        return self._sink.next() or self._source.next()

    def _next_push(self) -> Frame | None:
        if self._pushing.changed and not self._pushing.has_news:
            push = self._pushing.next()
            if push is None:
                self._begin_round(by_tree=self._recall() is None)
                return self._out.popleft()
            self._source.documents_sent += len(push.documents)
            if push.documents:
                return push
        return self._pushing.next_known()


_TRANSITIONS: Final[dict[tuple[State, type[Any]], Any]] = {
    (State.HELLO, Hello): Session._on_hello,
    (State.HELLO, Refuse): Session._on_refuse,
    (State.KEYS, Stranger): Session._on_stranger,
    (State.KEYS, Keys): Session._on_keys,
    (State.KEYS, Refuse): Session._on_refuse,
    (State.KEYS, Bye): Session._on_bye,
    (State.INTRODUCED, Hello): Session._on_hello_again,
    (State.INTRODUCED, Keys): Session._on_keys,
    (State.INTRODUCED, Refuse): Session._on_refuse,
    (State.INTRODUCED, Bye): Session._on_bye,
    (State.EQUAL, Keys): Session._on_keys,
    (State.START, Keys): Session._on_keys,
    (State.EXCHANGE, Keys): Session._on_keys,
    (State.LIVE, Keys): Session._on_keys,
    (State.EQUAL, Done): Session._on_done,
    (State.EQUAL, Refuse): Session._on_refuse,
    (State.EQUAL, Bye): Session._on_bye,
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
    (State.START, Known): Session._on_known,
    (State.EXCHANGE, Known): Session._on_known,
    (State.LIVE, Known): Session._on_known,
    **{
        (state, kind): handler
        for state in (State.START, State.EXCHANGE, State.CHUNKS, State.LIVE)
        for kind, handler in (
            (Ask, Session._on_ask),
            (Piece, Session._on_piece),
            (Stored, Session._on_stored),
            (Keep, Session._on_keep),
            (Kept, Session._on_kept),
        )
    },
    (State.CHUNKS, Enough): Session._on_enough,
    (State.CHUNKS, Keys): Session._on_keys,
    (State.CHUNKS, Refuse): Session._on_refuse,
    (State.CHUNKS, Bye): Session._on_bye,
    (State.HELLO, Bye): Session._on_bye,
    (State.START, Bye): Session._on_bye,
    (State.EXCHANGE, Bye): Session._on_bye,
    (State.LIVE, Bye): Session._on_bye,
}
