"""A session that stays: what is pushed, and whether both sides are known to be equal. Source: design 7."""

from __future__ import annotations

from collections import deque
from enum import Enum, auto
from typing import Final

from msgsync.errors import ProtocolError
from msgsync.protocol.frames import Known, Push
from msgsync.protocol.seam import Facts, Peerable, Taken
from msgsync.standing import Standings, joined, tell_the_same

_MOMENTS: Final = 64
"""So many pushes may be on their way before a peer's word on them is not understood any more."""


class Comparison(Enum):
    """What a sign of life from the peer shows."""

    KNOWN = auto()
    """Both are equal, and were when last compared."""
    EQUAL = auto()
    """Both are equal again."""
    CROSSED = auto()
    """They differ, but what was pushed may have crossed it."""
    DIFFERENT = auto()
    """They differ, and nothing is on its way."""


class Live:
    """What this side pushes once both have compared everything."""

    def __init__(self, replica: Peerable, seq: int) -> None:
        """The peer knows this side's commits up to ``seq``, so far."""
        self._replica = replica
        self.told = seq
        """The commit up to which the peer knows what is here."""
        self._unsettled: tuple[bytes, bytes] | None = None
        self._quiet = True
        """Whether nothing was pushed or taken since both were known to be equal."""
        self._shared: Standings = {}
        self._said: Standings = {}
        """What this side last had to say of devices."""
        self._sent: Standings = {}
        """What it last said, and what the peer did: what is the same is not said again."""
        self._heard: Standings = {}
        self._news: Known | None = None
        self._known_is_due = False
        """Whether the peer pushed, and will say what it knew then."""
        self._moments: deque[Facts] = deque(maxlen=_MOMENTS)
        self.begun = False
        self.changed = False
        """Whether the replica was written to and nothing was made of it yet."""

    def begin(self, seq: int) -> None:
        """Push from now on what is written after that commit."""
        self.told = seq
        self.begun = self.changed = True

    def took(self, taken: Taken) -> None:
        """Note what the peer pushed."""
        self._quiet = self._quiet and not taken.documents
        self._known_is_due = self._known_is_due or bool(taken.documents)

    def compare(self, ours: bytes, theirs: bytes) -> Comparison:
        """Compare the digests of both sides."""
        was_quiet, self._quiet = self._quiet, True
        if ours == theirs:
            return Comparison.KNOWN if was_quiet else Comparison.EQUAL
        if was_quiet and (ours, theirs) != self._unsettled:
            self._unsettled = ours, theirs  # a refused document differs for good: once is enough
            return Comparison.DIFFERENT
        return Comparison.CROSSED

    def next(self) -> Push | None:
        """What has changed since the last push; of no documents if nothing has, None if it is too much for one."""
        self.changed = False
        changes = self._replica.changes(self.told)
        if changes is None:
            return None
        self.told = changes.facts.seq
        self._quiet = self._quiet and not changes.documents
        if changes.documents or not self._known_is_due:
            self.note(changes.facts)
        return Push(changes.documents, False)

    # What is known of devices.

    def note(self, facts: Facts) -> None:
        """Have it said what is known now, if the peer does not know it: after a push it is what both have then."""
        known = facts.known
        if not (tell_the_same(known, self._shared) or tell_the_same(known, self._said)):
            self._said = known
            self._moments.append(facts)
            self._news = Known(facts.root, facts.now_ms, facts.known)

    @property
    def has_news(self) -> bool:
        """Whether something is to be said about devices before anything more is pushed."""
        return self._news is not None

    def next_known(self) -> Known | None:
        """What the peer does not know about devices yet."""
        news, self._news = self._news, None
        if news is None:
            return None
        self.share(news.known)
        sent, self._sent = self._sent, news.known
        if sent.keys() != news.known.keys():
            return news
        same = frozenset(device for device in sent if sent[device] == news.known[device])
        changed = {device: one for device, one in news.known.items() if device not in same}
        return Known(news.root, news.time_ms, changed, same)

    def heard(self, known: Known) -> Standings:
        """The peer has said what it knows, as it does after each push; return all of it.

        Raises:
            ProtocolError: it never said what is the same as before.
        """
        if not known.same <= self._heard.keys():
            raise ProtocolError("the peer says that the same is known of a device as never before")
        self._known_is_due = False
        self._heard = {device: self._heard[device] for device in known.same} | known.known
        self.share(self._heard)
        return self._heard

    def share(self, known: Standings) -> None:
        """The peer knows this: one side said it, or both concluded it."""
        self._shared = joined(self._shared, known)

    def ours_at(self, root: bytes) -> Facts | None:
        """This side as it was when it had this digest, if that was not long ago."""
        return next((one for one in reversed(self._moments) if one.root == root), None)
