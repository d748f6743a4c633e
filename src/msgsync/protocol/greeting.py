"""Saying hello, and why two replicas do not talk. Source: design 7."""

from __future__ import annotations

from typing import Final

from msgsync import limits
from msgsync.errors import AccountMismatch, MsgSyncError, ProtocolError, VersionMismatch
from msgsync.ids import DeviceId
from msgsync.protocol.frames import VERSION, Hello, Reason, Refuse
from msgsync.protocol.seam import Facts
from msgsync.standing import digest

_KINDS: Final[dict[int, type[MsgSyncError]]] = {
    Reason.VERSION: VersionMismatch,
    Reason.ACCOUNT: AccountMismatch,
}


def hello(facts: Facts, counts: tuple[int, int], *, live: bool) -> Hello:
    """The first frame of a side; ``counts``: of its documents and messages."""
    return Hello(
        VERSION,
        facts.account,
        facts.device,
        facts.now_ms,
        facts.root,
        facts.store_id,
        *counts,
        live,
        digest(facts.known),
    )


def agreed_ms(ours_ms: int, theirs_ms: int) -> int:
    """The time by two clocks, the same on both sides; 0 if they do not agree."""
    agree = abs(ours_ms - theirs_ms) <= limits.CLOCKS_AGREE_MS
    return min(ours_ms, theirs_ms) if agree else 0


def objection(
    peer: Hello, facts: Facts, authenticated: DeviceId | None
) -> tuple[MsgSyncError, Reason] | None:
    """Why this side does not talk to a peer; None if it does."""
    if peer.version != VERSION:
        words = (
            f"the peer speaks protocol {peer.version}, this msgsync speaks {VERSION}; "
            "update the older of the two"
        )
        return VersionMismatch(words), Reason.VERSION
    if peer.account != facts.account:
        words = (
            "the peer's replica belongs to another account; only devices of one account sync. "
            "Make the new device with new_device(), or init --member"
        )
        return AccountMismatch(words), Reason.ACCOUNT
    if authenticated is not None and peer.device != authenticated.raw:
        words = "the peer says that it is another device than its certificate shows"
        return ProtocolError(words), Reason.PROTOCOL
    return None


def objected(refuse: Refuse) -> MsgSyncError:
    """What a peer's refusal means here."""
    return _KINDS.get(refuse.reason, ProtocolError)(f"the peer refused: {refuse.words}")
