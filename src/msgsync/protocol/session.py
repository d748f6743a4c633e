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

from collections.abc import Callable
from typing import Any, Final

from msgsync.errors import (
    AccountError,
    ConnectionLost,
    NotAMember,
    ProtocolError,
)
from msgsync.protocol.events import (
    AttachmentProgress,
    Completed,
    Event,
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
)
from msgsync.protocol.greeting import (
    curt,
    is_curt,
    knows_the_same,
    objected,
    objection,
    reason_of,
)
from msgsync.protocol.keys import revoked
from msgsync.protocol.rounds import Rounds
from msgsync.protocol.side import State
from msgsync.protocol.wire import decode_frame, encode_frame

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


class Session(Rounds):
    """One side of an exchange. Feed it frames, send what it gives, until `finished`."""

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

    def _on_bye(self, _bye: Bye) -> None:
        if self._state is State.LIVE:
            self._state = State.FINISHED
        else:
            self._stop(ConnectionLost("the peer left early; sync again to go on from there"))

    # Attachments.

    def _on_ask(self, ask: Ask) -> None:
        self._see_chunks(ask)
        self._chunks.ask(ask)

    def _on_piece(self, piece: Piece) -> None:
        self._see_chunks(piece)
        if self._chunks.piece(piece):
            done = self._chunks.text_bytes
            to_come = self._replica.attachments.bytes_to_come()
            self._events.append(AttachmentProgress(done, done + to_come))

    def _on_stored(self, stored: Stored) -> None:
        self._see_chunks(stored)
        self._chunks.stored(stored)

    def _on_keep(self, keep: Keep) -> None:
        self._see_chunks(keep)
        self._chunks.given = self._given
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
        self._chunks.given = self._given
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
