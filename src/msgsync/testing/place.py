"""A place for mailboxes that does what such places do: it fails, loses, delays, mixes up and damages what it keeps.

Simulated
---------
- Every verb may fail, in each of the ways that `msgsync.MailboxError` has words for, before or after it was done.
- A put that was acknowledged and is lost.
- What is put or removed is seen late, each object by itself: so a later one may be seen before an earlier one.
- Listings as they were before, and old bytes of an object that was put again.
- But a chunk of an attachment that is removed is seen to be gone at once: devices rely on that within half a minute.
- Bytes that are flipped or cut off, on their way or where they lie.
- The whole place: emptied, put back to an earlier state, half of it copied, used by another account.

Not simulated: slow answers, objects that the storage makes up with keys of the account (nobody else has them).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from msgsync import MemoryMailbox
from msgsync.errors import (
    MailboxBusy,
    MailboxError,
    MailboxForbidden,
    MailboxFull,
    MailboxReadOnly,
    MailboxUnreachable,
    NoSuchObject,
)
from msgsync.testing.seed import Seeded

_ANY: Final[tuple[type[MailboxError], ...]] = (
    MailboxUnreachable,
    MailboxForbidden,
    MailboxBusy,
)
_WRITING: Final = (*_ANY, MailboxFull, MailboxReadOnly)


@dataclass(frozen=True, slots=True)
class Habits:
    """How a place fails: chances are one in so many requests, None for never."""

    fails_one_in: int | None = None
    """A request fails; half of those that change something are done all the same."""
    loses_one_in: int | None = None
    """What is put is acknowledged, and not there."""
    delays_one_in: int | None = None
    """What is put or removed is seen only after some of the next `delay_requests`."""
    delay_requests: int = 40
    stale_one_in: int | None = None
    """A listing is the one before; or an object is as it was before it was put again."""
    garbles_one_in: int | None = None
    """What is fetched comes with a flipped bit, or cut off; what lies there is right."""


HONEST: Final = Habits()


@dataclass(frozen=True, slots=True)
class _Version:
    body: bytes | None
    """None if it was removed."""
    seen_at: int
    """From which request on."""


class SimulatedMailbox:
    """A mailbox in memory with bad habits; everything follows from the seed and the requests.

    Args:
        seed: what is drawn follows from it.
        habits: how it fails; by default it does not.
        address: what it is called; a replica tells mailboxes apart by it.
    """

    def __init__(
        self,
        seed: int | str = 0,
        habits: Habits = HONEST,
        *,
        address: str = "simulated:",
    ) -> None:
        self.address = address
        self.habits = habits
        self.requests = 0
        """How many there were."""
        self.faults = 0
        """How many of them were not answered as they should have been."""
        self._seeded = Seeded(seed)
        self._versions: dict[str, list[_Version]] = {}
        self._listings: dict[str, list[str]] = {}

    def __repr__(self) -> str:
        return f"SimulatedMailbox({self._seeded.seed!r}, address={self.address!r})"

    # The verbs of a mailbox.

    def put(self, name: str, body: bytes) -> None:
        """See `msgsync.Mailbox.put`."""
        MemoryMailbox().put(name, body)  # whose rules these are, too
        error = self._begin(_WRITING)
        if (error is None or self._seeded.below(2)) and not self._happens(self.habits.loses_one_in):
            self._set(name, bytes(body))
        if error is not None:
            raise error

    def get(self, name: str) -> bytes:
        """See `msgsync.Mailbox.get`."""
        _check(name)
        error = self._begin(_ANY)
        if error is not None:
            raise error
        seen = [each for each in self._versions.get(name, ()) if each.seen_at <= self.requests]
        is_stale = len(seen) > 1 and self._happens(self.habits.stale_one_in)
        if is_stale and not _is_chunk(name):
            seen.pop()
        if not seen or seen[-1].body is None:
            raise NoSuchObject(f"there is no object {name} in {self.address}")
        body = seen[-1].body
        return self._garbled(body) if self._happens(self.habits.garbles_one_in) else body

    def list(self, folder: str) -> list[str]:
        """See `msgsync.Mailbox.list`."""
        _check(folder)
        error = self._begin(_ANY)
        if error is not None:
            raise error
        fresh = sorted(name for name in self.objects() if name.startswith(f"{folder}/"))
        before, self._listings[folder] = self._listings.get(folder, fresh), fresh
        return before if self._happens(self.habits.stale_one_in) else fresh

    def delete(self, name: str) -> None:
        """See `msgsync.Mailbox.delete`."""
        _check(name)
        error = self._begin(_WRITING)
        if (error is None or self._seeded.below(2)) and name in self._versions:
            self._set(name, None)
        if error is not None:
            raise error

    def _begin(self, kinds: tuple[type[MailboxError], ...]) -> MailboxError | None:
        self.requests += 1
        if not self._happens(self.habits.fails_one_in):
            return None
        kind = self._seeded.choice(kinds)
        return kind(f"{self.address} fails, as simulated; try again")

    def _set(self, name: str, body: bytes | None) -> None:
        late = self._happens(self.habits.delays_one_in) and not (body is None and _is_chunk(name))
        after = 1 + self._seeded.below(self.habits.delay_requests) if late else 0
        versions = self._versions.setdefault(name, [])
        versions.append(_Version(body, self.requests + after))
        del versions[:-3]  # older ones are not even seen where listings are stale

    def _garbled(self, body: bytes) -> bytes:
        place = self._seeded.below(len(body) or 1)
        if self._seeded.below(2):
            return body[:place]
        return body[:place] + bytes((body[place] ^ 1 << self._seeded.below(8),)) + body[place + 1 :]

    def _happens(self, one_in: int | None) -> bool:
        happens = one_in is not None and not self._seeded.below(one_in)
        self.faults += happens
        return happens

    # The whole place.

    def kept(self) -> set[str]:
        """The names of what is there once all is seen that is on its way."""
        return {
            name for name, versions in self._versions.items() if _last(versions).body is not None
        }

    def objects(self) -> dict[str, bytes]:
        """What is seen there now, by name; no request is counted, and nothing fails."""
        found = {}
        for name in sorted(self._versions):
            seen = [each for each in self._versions[name] if each.seen_at <= self.requests]
            if seen and seen[-1].body is not None:
                found[name] = seen[-1].body
        return found

    def replace(self, objects: Mapping[str, bytes]) -> None:
        """Have these objects there and no others: emptied, put back from a copy, half of it copied."""
        self._versions = {name: [_Version(body, 0)] for name, body in objects.items()}

    def damage(self, name: str, seed: int | str) -> None:
        """Flip a bit of an object where it lies, or cut it off."""
        before, self._seeded = self._seeded, Seeded(seed)
        garbled = self._garbled(self.objects()[name])
        self._seeded = before
        self._versions[name] = [_Version(garbled, 0)]

    def settle(self) -> None:
        """Let it be honest from now on: what was on its way is seen, and nothing fails any more."""
        self.habits = HONEST
        for name, versions in self._versions.items():
            self._versions[name] = [_Version(_last(versions).body, 0)]


def _is_chunk(name: str) -> bool:
    return name.startswith("chunk/")


def _last(versions: Sequence[_Version]) -> _Version:
    """The one that is seen in the end."""
    return max(enumerate(versions), key=lambda each: (each[1].seen_at, each[0]))[1]


def _check(name: str) -> None:
    """Raise InvalidValue for what is no name."""
    with suppress(NoSuchObject):
        MemoryMailbox().get(name)
