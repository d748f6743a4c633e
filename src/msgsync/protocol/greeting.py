"""Saying hello, and why two replicas do not talk. Source: design 7."""

from __future__ import annotations

from typing import Final

from msgsync.errors import AccountMismatch, MsgSyncError, ProtocolError, VersionMismatch
from msgsync.protocol.frames import VERSION, Hello, Reason, Refuse
from msgsync.protocol.seam import Facts

_KINDS: Final[dict[int, type[MsgSyncError]]] = {
    Reason.VERSION: VersionMismatch,
    Reason.ACCOUNT: AccountMismatch,
}


def hello(facts: Facts, *, live: bool) -> Hello:
    """The first frame of a side."""
    return Hello(
        VERSION,
        facts.account,
        facts.device,
        facts.now_ms,
        facts.root,
        facts.store_id,
        facts.documents,
        facts.messages,
        live,
    )


def objection(peer: Hello, facts: Facts) -> tuple[MsgSyncError, Reason] | None:
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
            "Make the new device with new_device(), or init --account"
        )
        return AccountMismatch(words), Reason.ACCOUNT
    return None


def objected(refuse: Refuse) -> MsgSyncError:
    """What a peer's refusal means here."""
    return _KINDS.get(refuse.reason, ProtocolError)(f"the peer refused: {refuse.words}")
