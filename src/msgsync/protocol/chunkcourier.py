"""Chunks of attachments in a mailbox: what a replica fetches, puts and removes there. Sans-IO. Source: design 11.

Rules
-----
- Objects are named ``chunk/<2 hex digits>/<32>``, after the name of the chunk, and are the chunk as it is stored. Equal
  chunks are one object, whoever puts it. Nothing in them says whose they are.
- It happens at the end of a courier's round: what others have written was read, what was written here was put. So a
  message is there before its chunks, and chunks do not keep messages waiting; a round takes so many chunks at most.
- First goes what no message needs any more: whoever took in the erasure removes the object, unless a message needs it
  anew. Only in a round that read all there is, and not long after it did.
- What another source is asked for at that moment is left to it, and the other way round.
- The folder is listed only if something is to be fetched or put, now and then, and for what another message came to
  need after it was found there: whether it is there still.
- What cannot be opened, and is the same when it is read again, is removed: who has the chunk puts it anew once it is
  not listed any more. What is listed, and is not there or another one each time, is asked for more and more rarely.
- What was put, or found there, counts as there. A device lets go of a chunk for it only once it has read it again, at
  least `limits.CONFIRM_MS` after a later round had put all that was written here, the message that needs it too: by
  then everybody who might have removed it, because that message had not come to him, has read it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Final, Protocol

from msgsync import limits
from msgsync.errors import AttachmentDamaged, MailboxDamaged, NoSuchObject
from msgsync.protocol.errand import Delete, Errand, List, Round

CHUNKS: Final = "chunk"
_OBJECT: Final = re.compile(r"chunk/([0-9a-f]{2})/(\1[0-9a-f]{30})")


class ChunkCorrespondent(Protocol):
    """A replica and one mailbox, as far as chunks go. Every method is one consistent step."""

    def rubbish(self) -> list[bytes]:
        """One that may lie there and that no message needs any more; none once the round has taken too long."""

    def removed(self, name: bytes) -> None:
        """One of those is not there any more."""

    def is_listing_due(self) -> bool:
        """Whether there is something to put, to look for again, or to fetch that was not looked for just now."""

    def note_listed(self, names: Collection[bytes]) -> None:
        """These lie there, and no others."""

    def to_fetch(self, limit: int) -> list[bytes]:
        """Chunks that lie there and are to be fetched, what somebody waits for first.

        Not what the mailbox refused again and again, for a while.
        """

    def claim(self, names: Sequence[bytes]) -> list[bytes]:
        """Those of these chunks that no other source is asked for at this moment: this one is."""

    def bytes_to_come(self) -> int:
        """How many bytes of files are to be fetched, from whomever; not what a budget or a pause leaves where it is."""

    def fetched(self) -> None:
        """All that is to be fetched and lies there was asked for."""

    def settle_here(self, *, wait: bool) -> None:
        """Begin to bring to the disk what was taken; ``wait`` until all of it is there, and noted, here and there."""

    def take(self, name: bytes, sealed: bytes) -> int | None:
        """Take a chunk; see `protocol.chunks.Attachable.take`. Raises AttachmentDamaged."""

    def to_put(self, limit: int) -> list[bytes]:
        """Chunks that are here and do not lie there."""

    def bytes_to_put(self) -> int:
        """How many bytes of files are here and do not lie there."""

    def sealed(self, name: bytes) -> bytes | None:
        """A chunk as it is stored; None if it is not here any more."""

    def noted(self, name: bytes, *, confirmed: bool) -> None:
        """A chunk lies there; ``confirmed``: and was read again, long enough after that was dated."""

    def date(self) -> None:
        """What was noted in earlier rounds lies there while the messages that need it do, from now on."""

    def gone(self, name: bytes) -> None:
        """A chunk does not lie there, or not as it should."""

    def to_confirm(self, limit: int) -> list[bytes]:
        """Chunks that could be let go of here if it was certain that they lie there."""


class ChunkCourier:
    """The part of a round that is about chunks; see the rules above.

    Args:
        replica: with the mailbox.
        this_round: kept account of.
        most: how many chunks to carry, at most; None for all.
    """

    def __init__(
        self, replica: ChunkCorrespondent, this_round: Round, most: int | None = None
    ) -> None:
        self._replica = replica
        self._round = this_round
        self._left = most
        self.has_more = False
        """Whether something was left for the next round."""
        self._passed: set[bytes] = set()

    def run(self, *, all_put: bool) -> Errand[None]:
        """Carry what is due; ``all_put``: all that was written here before this round is there. Raises MailboxError."""
        if all_put:
            self._replica.date()
        if self._round.complete:
            yield from self._remove()
        if self._replica.is_listing_due():
            listed = yield List(CHUNKS)
            self._replica.note_listed(set(_names(listed)))
            yield from self._fetch()
            if all_put:
                yield from self._put()
        if all_put:
            yield from self._confirm()

    def _remove(self) -> Errand[None]:
        while names := self._replica.rubbish():
            for name in names:
                yield Delete(object_name(name))
                self._replica.removed(name)

    def _next(self, names: Iterable[bytes]) -> list[bytes]:
        """The next chunks to carry, as many as go into one step of the round."""
        most = limits.CHUNKS_TOGETHER
        if self._left is not None:
            most = min(most, self._left)
        found = list(islice((name for name in names if name not in self._passed), most))
        self.has_more = self.has_more or (
            most == 0 and any(name not in self._passed for name in names)
        )
        if self._left is not None:
            self._left -= len(found)
        return found

    def _fetch(self) -> Errand[None]:
        while names := self._next(self._replica.to_fetch(limits.CHUNKS_PER_FRAME)):
            self._passed.update(names)  # once a round, whatever comes of it
            names = self._replica.claim(names)
            ahead = tuple(map(object_name, names[1:]))
            for number, name in enumerate(names):
                raw = None
                try:
                    raw = yield from self._round.get(object_name(name), ahead[number:])
                    size = self._replica.take(name, raw)
                except (AttachmentDamaged, MailboxDamaged, NoSuchObject) as error:
                    self._replica.gone(name)
                    self._round.note_chunk(name, error)
                    if not isinstance(error, NoSuchObject):
                        yield from self._remove_damaged(name, raw)
                    continue
                if size is not None:
                    self._round.took_chunk(len(raw), size, self._replica.bytes_to_come())
            self._replica.settle_here(wait=False)
        self._replica.settle_here(wait=True)
        if not self.has_more:
            self._replica.fetched()
        self._passed.clear()

    def _remove_damaged(self, name: bytes, raw: bytes | None) -> Errand[None]:
        """Remove what is no chunk, so that it is put anew; not what was only read wrongly: it may be the last copy."""
        again = None
        try:
            again = yield from self._round.get(object_name(name))
        except NoSuchObject:
            return
        except MailboxDamaged:
            pass
        if again == raw:
            yield Delete(object_name(name))

    def _put(self) -> Errand[None]:
        total_bytes, done_bytes = self._replica.bytes_to_put(), 0
        while names := self._next(self._replica.to_put(limits.CHUNKS_PER_FRAME)):
            for name in names:
                self._passed.add(name)
                sealed = self._replica.sealed(name)
                if sealed is not None:
                    yield from self._round.leave(object_name(name), sealed)
                    self._replica.noted(name, confirmed=False)
                    done_bytes += len(sealed)
                    self._round.put_chunk(done_bytes, total_bytes)
        self._passed.clear()

    def _confirm(self) -> Errand[None]:
        while names := self._next(self._replica.to_confirm(limits.CHUNKS_PER_FRAME)):
            ahead = tuple(map(object_name, names[1:]))
            for number, name in enumerate(names):
                self._passed.add(name)
                try:
                    raw = yield from self._round.get(object_name(name), ahead[number:])
                except (MailboxDamaged, NoSuchObject):
                    raw = b""
                sealed = self._replica.sealed(name)
                if raw == sealed:
                    self._replica.noted(name, confirmed=True)
                    continue
                self._replica.gone(name)
                if sealed is not None:
                    yield from self._round.leave(object_name(name), sealed)
                    self._replica.noted(name, confirmed=False)
        self._passed.clear()


def object_name(name: bytes) -> str:
    """Where a chunk lies in a mailbox."""
    text = name.hex()
    return f"{CHUNKS}/{text[:2]}/{text}"


def _names(listed: Iterable[str]) -> Iterator[bytes]:
    for one in listed:
        if match := _OBJECT.fullmatch(one):
            yield bytes.fromhex(match[2])
