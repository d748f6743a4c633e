"""Whose a file is, and what a new one begins with. Source: design 3 and 10."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from msgsync.ids import AccountId, DeviceId
from msgsync.store.credentials import Credentials


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a replica is."""

    account: AccountId
    device: DeviceId
    store_id: bytes
    """16 random bytes, drawn anew whenever a database is restored from a backup (design 7)."""


class Fresh(NamedTuple):
    """What a new file begins with."""

    identity: Identity
    credentials: Credentials
