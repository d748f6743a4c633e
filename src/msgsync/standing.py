"""What devices are known to have: acknowledged state, joined, and carried along. Pure. Source: design 7 and 9.

Rules
-----
- A replica numbers its commits. "Up to commit n of device X" means all that X's replica held when it had made it.
- A **standing** says of one device, by device, up to which commit it is known to have everything; of itself, its own
  last commit. Standings of all devices travel in sessions, so A learns of C through B.
- An exchange that was completed found both sides equal: each then has what the other had, and what the other was known
  to have. Who finds that part of what is here is all that X had (a mailbox tells that, see `protocol.tidings`) has what
  X had, and was known to have. Nothing else makes a standing grow, but that who has all of X up to X's last known
  commit also has all that X is known to have.
- What a replica holds only grows (erased things are known to be erased). So standings only grow, and joining two
  accounts of them takes the greater number each time. Order, repetition and detours do not matter.
- The numbers are of one store. A device whose replica was put back from a backup begins anew, with a new store id: what
  was known of it, or counted in its old numbers, is void where that is heard.
- **Heard** is when a device was last in an exchange, by two clocks that agreed within a day; 0 if never.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Mapping
from typing import Final, NamedTuple

from msgsync import limits

DAY_MS: Final = 86_400_000
DIGEST_BYTES: Final = 6
"""Of all standings: equal ones have nothing to tell each other. An accident costs a delay, at one in 10^14."""


class Standing(NamedTuple):
    """What is known of one device."""

    store_id: bytes
    """16 bytes: whose commits its numbers count."""
    renewals: int
    """How often the device began anew: of two stores the one with more is the later one."""
    heard_ms: int
    """Unix milliseconds; 0 if never, or if clocks disagreed each time."""
    has: Mapping[bytes, int]
    """By device: up to which commit of it this one has everything; of itself, its last."""


Standings = dict[bytes, Standing]
"""By device, 8 bytes each."""


def _rank(standing: Standing) -> tuple[int, bytes]:
    return standing.renewals, standing.store_id


def joined(
    *sides: Standings, first: Collection[bytes] = (), until_ms: int = limits.MS
) -> Standings:
    """What all sides together know; of a device that began anew only what is known since.

    Of more than `limits.DEVICES` devices those that were not heard for longest are left out.

    Args:
        sides: what each one knows.
        first: devices that are left out last, whenever they were heard.
        until_ms: what was heard later keeps nobody from being left out.
    """
    latest: Standings = {}
    for side in sides:
        for device, standing in side.items():
            known = latest.get(device)
            if known is None or _rank(standing) > _rank(known):
                latest[device] = standing
    heard = {
        device: max(
            side[device].heard_ms
            for side in sides
            if device in side and side[device].store_id == standing.store_id
        )
        for device, standing in latest.items()
    }

    def place(device: bytes) -> tuple[bool, int, bytes]:
        believed_ms = heard[device] if heard[device] <= until_ms else 0
        return device not in first, -believed_ms, device

    has: dict[bytes, dict[bytes, int]] = {
        device: {} for device in sorted(latest, key=place)[: limits.DEVICES]
    }
    for side in sides:
        current = {
            device
            for device, standing in side.items()
            if device in has and standing.store_id == latest[device].store_id
        }
        for device in current:
            numbers = side[device].has
            if not has[device] and numbers.keys() <= current:
                has[device] = dict(numbers)
            elif has[device] != numbers:  # of most nothing is new, which is soon seen
                _raise_to(has[device], numbers, current)
    return {
        device: latest[device]._replace(heard_ms=heard[device], has=has[device])
        for device in sorted(has)
    }


def _raise_to(has: dict[bytes, int], other: Mapping[bytes, int], of: Iterable[bytes]) -> None:
    for device in of:
        number = other.get(device, 0)
        if number > has.get(device, 0):
            has[device] = number


def met(ours: Standings, theirs: Standings, pair: tuple[bytes, bytes], at_ms: int) -> Standings:
    """What both sides know once they were found equal; both reckon the same from the same.

    If nothing is known of one of the two, no more than what is told.

    Args:
        ours: what this side knew at the moment for which they were compared.
        theirs: what the other knew then.
        pair: the two devices.
        at_ms: when that was, if their clocks agreed; else 0.
    """
    both = joined(ours, theirs, first=pair)
    if not both.keys() >= set(pair):
        return both
    together: dict[bytes, int] = {}
    for device in pair:
        _raise_to(together, both[device].has, both)
    for device in pair:
        heard_ms = max(both[device].heard_ms, at_ms)
        both[device] = both[device]._replace(heard_ms=heard_ms, has=together)
    return _closed(both)


def included(
    ours: Standings, theirs: Standings, pair: tuple[bytes, bytes], at_ms: int
) -> Standings:
    """What this side knows once all that another had when it knew ``theirs`` was found to be here.

    If nothing is known of one of the two, no more than what is told.

    Args:
        ours: what this side knows now.
        theirs: what the other knew then.
        pair: this device and the other one.
        at_ms: when that was, if their clocks agreed; else 0.
    """
    own, other = pair
    # What is known of the other one by now may be later than what it had then.
    both = joined({each: ours[each] for each in ours if each != other}, theirs, first=pair)
    if not both.keys() >= set(pair):
        return both
    has = dict(both[own].has)
    _raise_to(has, both[other].has, both)
    both[own] = both[own]._replace(has=has)
    both[other] = both[other]._replace(heard_ms=max(both[other].heard_ms, at_ms))
    return _closed(both)


def _closed(standings: Standings) -> Standings:
    """Who has all of a device up to its last known commit also has all that the device is known to have."""
    for device, standing in standings.items():
        last = standing.has.get(device, 0)
        for other, behind in standings.items():
            if other != device and last and behind.has.get(device, 0) >= last:
                has = dict(behind.has)
                _raise_to(has, standing.has, standings)
                standings[other] = behind._replace(has=has)
    return standings


def tell_the_same(ours: Standings, theirs: Standings) -> bool:
    """Whether two have the same digest; found in a tenth of the time."""
    return ours.keys() == theirs.keys() and all(
        standing[:2] == theirs[device][:2]
        and standing.heard_ms // DAY_MS == theirs[device].heard_ms // DAY_MS
        and _numbers_agree(standing.has, theirs[device].has, ours)
        for device, standing in ours.items()
    )


def _numbers_agree(
    ours: Mapping[bytes, int], theirs: Mapping[bytes, int], of: Iterable[bytes]
) -> bool:
    return ours == theirs or all(ours.get(device, 0) == theirs.get(device, 0) for device in of)


def digest(standings: Standings) -> bytes:
    """A hash of what is worth telling: when a device was heard counts by the day."""
    words = hashlib.sha256()
    for device, (store_id, renewals, heard_ms, has) in sorted(standings.items()):
        numbers = ",".join(str(has.get(other, 0)) for other in sorted(standings))
        words.update(device + store_id)
        words.update(f"{renewals},{heard_ms // DAY_MS},{numbers};".encode())
    return words.digest()[:DIGEST_BYTES]
