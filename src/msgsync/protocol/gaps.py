"""Objects of logs that are missing or damaged: what is read in spite of it, and looked for again. Source: design 9.

Rules
-----
- For `limits.STOPPED_LOG_MS` the rest of a log waits: a folder that is synced brings files in any order.
- Then what comes behind is taken, as sets of entries. What is missing is a **hole** of the log, and is looked for again
  in each round; so is what lies before the first object that was there, if its log says that it began earlier.
- A hole that stays for `limits.LOST_LOG_MS` asks for a checkpoint, which names its log. Whoever has all of that log
  puts anew what it has; here, and for whoever reads that checkpoint, the log counts as replaced.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from msgsync.account.seal import Opened
from msgsync.errors import AccountError, MailboxDamaged, NoSuchObject, ObjectDamaged, ObjectMissing
from msgsync.protocol.batch import Documents
from msgsync.protocol.correspondent import Correspondent, Log
from msgsync.protocol.errand import Errand, Round
from msgsync.protocol.objects import Objects, batch_of, name_of

Take = Callable[[str, Log, Documents], object]
"""Takes in a batch as sets of entries, and notes how far its log was read."""


class Gaps:
    """Those of one round.

    Args:
        replica: with the mailbox.
        this_round: kept account of.
        objects: opens them.
        take: takes in what was found.
    """

    def __init__(
        self, replica: Correspondent, this_round: Round, objects: Objects, take: Take
    ) -> None:
        self._replica = replica
        self._round = this_round
        self._objects = objects
        self._take = take

    def look_again(self, folder: str, log: Log, listed: Sequence[int]) -> Errand[None]:
        """Read what was missing or damaged when a log was read on, if it is there by now."""
        expected = range(log.hole, log.since)
        found, pieces = 0, list[bytes]()
        for sequence in sorted({*expected}.intersection(listed)):
            opened = yield from self._try_to_open(folder, sequence)
            if opened is None:
                continue
            found += 1
            try:
                batch = batch_of(opened, pieces)
            except ObjectDamaged:  # its beginning is missing
                found -= 1
                pieces.clear()
                continue
            if batch is not None:
                pieces.clear()
                self._take(folder, log, batch.documents)
        if found == len(expected) and not pieces:
            self._take(folder, log._replace(since=log.hole, hole=0), ())
        else:
            missing = ObjectMissing("from here on something of this log is missing or damaged")
            self._round.note(name_of(folder, log.hole), missing)

    def read_past(self, folder: str, log: Log | None, left: Sequence[int]) -> Errand[None]:
        """Take what comes behind objects that are missing or damaged; ``left`` is what was not read."""
        so_far = _SoFar.of(log, left)
        for sequence in left:
            opened = yield from self._try_to_open(folder, sequence)
            batch = so_far.add(sequence, opened)
            if opened is not None and batch is not None:
                begin = so_far.first, opened.position, so_far.since, so_far.hole
                log = Log(opened.head.device, *begin, so_far.covered)
                self._take(folder, log, batch)
        if log is not None and so_far.since > log.since:
            self._take(folder, log._replace(hole=so_far.hole, since=so_far.since), ())

    def _try_to_open(self, folder: str, sequence: int) -> Errand[Opened | None]:
        """An object, wherever its log was left; None if it cannot be read."""
        try:
            return (yield from self._objects.open(folder, sequence, {}))
        except (AccountError, NoSuchObject, MailboxDamaged):
            return None


@dataclass(slots=True)
class _SoFar:
    """What is known of a log while it is read past something."""

    first: int
    since: int
    hole: int
    covered: int
    expected: int
    """The next sequence."""
    pieces: list[bytes] = field(default_factory=list)

    @classmethod
    def of(cls, log: Log | None, left: Sequence[int]) -> _SoFar:
        if log is None:
            return cls(left[0], left[0], 0, 0, left[0])
        return cls(log.first, log.since, log.hole, log.covered, read_so_far(log) + 1)

    def add(self, sequence: int, opened: Opened | None) -> Documents | None:
        """See an object, or that there is none; return what documents are whole by it."""
        if sequence != self.expected:
            self._miss(self.expected - len(self.pieces), sequence)
        self.expected = sequence + 1
        batch = None
        if opened is not None:
            try:
                batch = batch_of(opened, self.pieces)
            except ObjectDamaged:
                opened = None
        if opened is None:
            self._miss(sequence - len(self.pieces), sequence + 1)
            return None
        if batch is None:
            return None
        self.pieces.clear()
        return batch.documents

    def _miss(self, hole: int, since: int) -> None:
        self.hole, self.since = self.hole or hole, since
        self.pieces.clear()


def read_so_far(log: Log | None) -> int:
    """The sequence up to which nothing of a log is to be read any more."""
    return 0 if log is None else max(log.position.sequence, log.covered)


def holes(logs: Mapping[str, Log]) -> dict[str, Log]:
    """The logs of which something may be missing."""
    return {folder: log for folder, log in logs.items() if log.hole}
