"""What is exchanged in a session, round by round. The rules are in `protocol.session`. Source: design 7."""

from __future__ import annotations

from typing import Final

from msgsync.errors import (
    ProtocolError,
)
from msgsync.ids import DeviceId
from msgsync.protocol.events import (
    Completed,
    Connected,
    FirstScreen,
)
from msgsync.protocol.frames import (
    Alive,
    Done,
    Hello,
    Known,
    Offers,
    Part,
    Push,
    Start,
    Updates,
    Want,
)
from msgsync.protocol.greeting import (
    agreed_ms,
)
from msgsync.protocol.live import Comparison
from msgsync.protocol.round import Round
from msgsync.protocol.seam import Facts
from msgsync.protocol.side import Side, State
from msgsync.protocol.source import screen_frames
from msgsync.standing import Standings, digest, joined

_MAX_ROUNDS: Final = 8


class Rounds(Side):
    """What a session does once both are known to be in the account; `Session` has it."""

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

    def _on_want(self, want: Want) -> None:
        self._source.want(want)

    def _on_updates(self, updates: Updates) -> None:
        self._sink.updates(updates)
        self._merged()

    def _on_part(self, part: Part) -> None:
        if self._sink.part(part):
            self._merged()

    def _merged(self) -> None:
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
        self._listed = told
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
