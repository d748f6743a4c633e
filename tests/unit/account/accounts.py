"""Invented devices and accounts, the same every time."""

from __future__ import annotations

import hashlib
from functools import cache

from msgsync.account.device import Device
from msgsync.account.epochs import Keyring, commitment_of
from msgsync.account.keys import SecretKeys
from msgsync.account.passphrase import Cost
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Epoch

CHEAP = Cost(memory_kib=8, iterations=1, lanes=1)
"""What a guess costs in tests: nothing."""


def drawn(name: str, count: int = 32) -> bytes:
    """Bytes that look random, one piece for each name."""
    return hashlib.shake_256(name.encode()).digest(count)


@cache
def keys_of(name: str) -> SecretKeys:
    """The keys of a device called ``name``."""
    return SecretKeys(drawn(f"keys of {name}", 64))


NOW_MS = 1_714_579_320_000
PHRASE = SecretKeys(drawn("phrase", 64))


@cache
def roster_of(*names: str) -> Roster:
    """The roster of an account with devices of these names and one epoch, which is called `epoch 1`."""
    first, *others = names
    roster = Roster.begin(keys_of(first), PHRASE, name=first, platform="test", now_ms=NOW_MS)
    for name in others:
        content = Add(Device.of(keys_of(name), name, "test"))
        roster = roster.say(content, keys_of(first), now_ms=NOW_MS, agreed=keys_of(name))
    return rotated(roster, first, "epoch 1")


def rotated(roster: Roster, by: str, name: str) -> Roster:
    """A roster with one more epoch."""
    commitment = commitment_of(drawn(name), roster.account)
    return roster.say(Epoch(commitment), keys_of(by), now_ms=NOW_MS)


def keyring_of(roster: Roster, *names: str) -> Keyring:
    """The secrets of epochs of these names."""
    return Keyring(roster.account, [drawn(name) for name in names or ("epoch 1",)])
