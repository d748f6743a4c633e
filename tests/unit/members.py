"""Devices that a test plays itself: members of a replica's account, with keys of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from msgsync import Replica
from msgsync.account.device import Device
from msgsync.account.keys import SecretKeys
from msgsync.account.statements import Add
from msgsync.protocol.frames import Hello
from msgsync.protocol.greeting import keys_digest
from tests.unit.account.accounts import keys_of

PLAYED = keys_of("played by a test")


def enrolled(replica: Replica, keys: SecretKeys = PLAYED) -> bytes:
    """The id of a device with these keys, which the replica's device has added to the account."""
    if keys.device_id not in replica.membership.roster().state.members:
        device = Device.of(keys, "played", "test")
        replica.membership.say(Add(device), device=keys)
    return keys.device_id.raw


def changed(hello: Hello, digest: bytes, **changes: Any) -> Hello:
    """Another hello by somebody who knows of the account what has this digest."""
    other = replace(hello, **changes)
    keys = keys_digest(digest, other.device, other.store_id, other.time_ms)
    return replace(other, keys=changes.get("keys", keys))
