"""Saying hello, and why two replicas do not talk. Source: design 7."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from typing import Final

from msgsync import limits
from msgsync.errors import (
    AccountError,
    AccountMismatch,
    MsgSyncError,
    NotAMember,
    ProtocolError,
    VersionMismatch,
)
from msgsync.ids import DeviceId
from msgsync.protocol.frames import ACCOUNT_BYTES, VERSION, Hello, Reason, Refuse
from msgsync.protocol.seam import Facts
from msgsync.standing import DIGEST_BYTES, digest

_WITHHELD: Final = bytes(DIGEST_BYTES)
"""No digest is that, but one of 2^48."""
_KINDS: Final[dict[int, type[MsgSyncError]]] = {
    Reason.VERSION: VersionMismatch,
    Reason.ACCOUNT: AccountMismatch,
    Reason.MEMBER: NotAMember,
}


def hello(
    facts: Facts, counts: tuple[int, int], keys: bytes, *, live: bool, asks: bool = False
) -> Hello:
    """The first frame of a side.

    Args:
        facts: about it.
        counts: of its documents and messages.
        keys: its `Keyholder.digest`.
        live: whether it wants to stay.
        asks: whether it lacks chunks of attachments.
    """
    return Hello(
        VERSION,
        facts.account[:ACCOUNT_BYTES],
        facts.device,
        facts.now_ms,
        facts.root,
        facts.store_id,
        *counts,
        live,
        digest(facts.known),
        keys_digest(keys, facts.device, facts.store_id, facts.now_ms),
        asks,
    )


def curt(said: Hello) -> Hello:
    """The same for a device that is not known to be in the account: it is not told what there is here.

    If it is found to be in it, the whole hello follows; of a device that was revoked the session ends before that.
    """
    return replace(
        said, root=bytes(16), documents=0, messages=0, live=False, known=_WITHHELD, asks=False
    )


def is_curt(said: Hello) -> bool:
    """Whether a peer keeps to itself what it has until it knows who is here."""
    return said.known == _WITHHELD


def keys_digest(keys: bytes, device: bytes, store_id: bytes, time_ms: int) -> bytes:
    """6 bytes of a hello by which the other side sees whether it knows the same of the account.

    Who says hello, and when, is hashed with it: so nobody can prepare statements that hide a difference.
    """
    words = hashlib.sha256(keys + device + store_id + time_ms.to_bytes(8, "big"))
    return words.digest()[:DIGEST_BYTES]


def knows_the_same(peer: Hello, keys: bytes) -> bool:
    """Whether a peer knows of the account what this side does, whose `Keyholder.digest` this is."""
    return peer.keys == keys_digest(keys, peer.device, peer.store_id, peer.time_ms)


def agreed_ms(ours_ms: int, theirs_ms: int) -> int:
    """The time by two clocks, the same on both sides; 0 if they do not agree."""
    agree = abs(ours_ms - theirs_ms) <= limits.CLOCKS_AGREE_MS
    return min(ours_ms, theirs_ms) if agree else 0


def objection(
    peer: Hello, facts: Facts, authenticated: DeviceId | None
) -> tuple[MsgSyncError, Reason] | None:
    """Why this side does not talk to a peer; None if it does. ``authenticated``: who it is, if the channel knows."""
    if peer.version != VERSION:
        words = (
            f"the peer speaks protocol {peer.version}, this msgsync speaks {VERSION}; "
            "update the older of the two"
        )
        return VersionMismatch(words), Reason.VERSION
    if peer.account != facts.account[:ACCOUNT_BYTES]:
        words = (
            "the peer's replica belongs to another account; only devices of one account sync; "
            "let the new device join: invite on a device of the account, join on the new one"
        )
        return AccountMismatch(words), Reason.ACCOUNT
    if authenticated is not None and peer.device != authenticated.raw:
        words = "the peer says that it is another device than its certificate shows"
        return ProtocolError(words), Reason.PROTOCOL
    return None


def reason_of(error: AccountError) -> Reason:
    """What the peer is told."""
    if isinstance(error, NotAMember):
        return Reason.MEMBER
    return Reason.ACCOUNT if isinstance(error, AccountMismatch) else Reason.PROTOCOL


def objected(refuse: Refuse) -> MsgSyncError:
    """What a peer's refusal means here."""
    return _KINDS.get(refuse.reason, ProtocolError)(f"the peer refused: {refuse.words}")
