"""Which checkpoint a device begins with, and which it need not read. Source: design 9, docs/specification.md.

A checkpoint lies where a listing shows that it is one, and its last object is its manifest. So one request for each
tells what they hold: whoever has read all that one covers passes it; of the others, the newest is read first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from msgsync import limits
from msgsync.account.head import LogEnd
from msgsync.account.seal import is_checkpoint_name
from msgsync.protocol.correspondent import Log
from msgsync.protocol.manifest import Manifest


class Candidate(NamedTuple):
    """A checkpoint that is whole, as far as a listing shows."""

    folder: str
    log: Log
    """As it will be once all of it was read."""
    manifest: Manifest


def is_whole(manifest: Manifest, last: int, listed: Sequence[int]) -> bool:
    """Whether a listing has all objects of a checkpoint up to its last one."""
    return sum(manifest.first <= one <= last for one in listed) == last + 1 - manifest.first


def brings_nothing(one: Candidate, logs: Mapping[str, Log]) -> bool:
    """Whether all that a checkpoint holds is here, from the logs that it covers."""
    covers = one.manifest.covers
    if one.manifest.contents.adds or not 0 < len(covers) < limits.POSITIONS:
        return False
    return all(
        folder in logs and _has(logs[folder], folder, end.position.sequence)
        for folder, end in covers.items()
    )


def _has(log: Log, folder: str, sequence: int) -> bool:
    """Whether a log was read up to there; a checkpoint of which the beginning was missing does not count."""
    if log.position.sequence < sequence or log.hole:
        return False
    return not is_checkpoint_name(folder) or log.since <= log.position.sequence


def is_farther(
    one: Candidate, logs: Mapping[str, Log], listed: Mapping[str, Sequence[int]]
) -> bool:
    """Whether fewer objects than it has are missing here of the logs that it covers, and all of them are there."""
    missing = 0
    for folder, end in one.manifest.covers.items():
        there = listed.get(folder, [])
        behind = there[0] - 1 if there else end.position.sequence
        known = logs[folder].position.sequence if folder in logs else behind
        count = max(end.position.sequence - known, 0)
        if (folder not in logs and not there) or count != sum(
            known < sequence <= end.position.sequence for sequence in there
        ):
            return False
        missing += count
    return 0 < missing < one.log.position.sequence - one.manifest.first


def newest(candidates: Sequence[Candidate]) -> Candidate | None:
    """The one to read first: none that another one covers, and of several the one that goes farthest.

    It covers what those cover that it covers: they need not be read, and logs may be gone that only they name. What
    may be missing in those may be missing in it.
    """
    left = [
        one
        for one in candidates
        if not any(_covers(other.manifest, one) for other in candidates if other is not one)
    ]
    if not left:
        return None
    first = max(left, key=_reach)
    covers: dict[str, LogEnd] = {}
    holes = {*first.manifest.holes}
    for one in candidates:
        if _covers(first.manifest, one):
            covers |= one.manifest.covers
            holes.update(one.manifest.holes)
    covers |= first.manifest.covers
    manifest = first.manifest._replace(covers=covers, holes=tuple(sorted(holes)))
    return first._replace(manifest=manifest)


def _covers(manifest: Manifest, one: Candidate) -> bool:
    end = manifest.covers.get(one.folder)
    return end is not None and end.position.sequence >= one.log.position.sequence


def _reach(one: Candidate) -> tuple[int, str]:
    """How many objects of all devices it takes the place of: each device counts its own."""
    known = {one.log.device: one.log.position.sequence}
    for device, position in one.manifest.covers.values():
        known[device] = max(known.get(device, 0), position.sequence)
    return sum(known.values()), one.folder
