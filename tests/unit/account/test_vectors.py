"""Bytes of version 1 that stay as they are for ever: what devices hold, and what they say when one joins.

Sealed objects have theirs in `test_seal`. HPKE draws keys of its own, so what is sealed to a key is only read here.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from msgsync.account.code import Code
from msgsync.account.device import Device
from msgsync.account.epochs import commitment_of
from msgsync.account.handshake import Compare
from msgsync.account.host import Host, Invitation
from msgsync.account.joiner import Joiner
from msgsync.account.keyobject import key_object_name, open_key_object, seal_key_object
from msgsync.account.keys import SecretKeys
from msgsync.account.passphrase import unwrap, wrap
from msgsync.account.recovery import RecoveryPhrase
from msgsync.account.seal import log_name
from tests.unit.account.accounts import CHEAP, NOW_MS, PHRASE, drawn, keyring_of, keys_of, roster_of

VECTORS = Path(__file__).parents[2] / "vectors" / "account.json"
ROSTER = roster_of("phone")
PHONE, TABLET = keys_of("phone"), keys_of("tablet")
TYPED, SCANNED = Code.to_type(drawn("code", 8)), Code.to_scan(drawn("code", 16))


def pairing() -> dict[str, Any]:
    """The frames of a pairing up to the last that does not depend on keys that HPKE draws."""
    host = Host(
        Invitation(TYPED, now_ms=NOW_MS, cost=CHEAP),
        keys=PHONE,
        nonce=drawn("nonce"),
    )
    joiner = Joiner(
        TYPED.secrets(cost=CHEAP),
        keys=TABLET,
        device=Device.of(TABLET, "Tablet", "linux"),
        nonces=drawn("nonces", 64),
        typed=True,
    )
    frames = [joiner.next_frame() or b""]
    host.receive(frames[-1], now_ms=NOW_MS)
    frames.append(host.next_frame() or b"")
    (compare,) = joiner.receive(frames[-1])
    assert isinstance(compare, Compare)
    frames.append(joiner.next_frame() or b"")
    host.receive(frames[-1], now_ms=NOW_MS)
    host.approve(ROSTER, now_ms=NOW_MS)
    frames.append(host.next_frame() or b"")
    joiner.receive(frames[-1])
    frames.append(joiner.next_frame() or b"")
    return {"emoji": compare.emoji, "frames": [frame.hex() for frame in frames]}


def vector() -> dict[str, Any]:
    phrase = RecoveryPhrase(drawn("phrase"))
    return {
        "what": "the account of sealed.json before its second device, and what belongs to it",
        "device secret": PHONE.export().hex(),
        "wrapped": wrap(PHONE.export(), "correct horse", salt=drawn("salt", 16), cost=CHEAP).hex(),
        "phrase": " ".join(phrase.words),
        "phrase secret": phrase.keys().export().hex(),
        "key object name": key_object_name(PHONE.public),
        "account": ROSTER.account.raw.hex(),
        "commitment": commitment_of(drawn("epoch 1"), ROSTER.account).hex(),
        "log": log_name(drawn("epoch 1"), ROSTER.account, PHONE.device_id, drawn("i", 16)),
        "codes": [
            [code.text(), code.secrets(cost=CHEAP).rendezvous, code.secrets(cost=CHEAP).root.hex()]
            for code in (TYPED, SCANNED)
        ],
        "pairing": pairing(),
    }


def sealed_to_keys() -> dict[str, str]:
    """What differs each time it is made."""
    keyring = keyring_of(ROSTER)
    return {
        "key object": seal_key_object(
            PHRASE.public, keys=PHONE, roster=ROSTER, keyring=keyring
        ).hex(),
    }


@pytest.fixture(scope="module")
def golden() -> dict[str, Any]:
    read: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return read


def test_the_same_bytes_are_made(golden):
    made = vector()
    assert made == {name: golden[name] for name in made}


def test_what_was_sealed_to_keys_is_read(golden):
    keys = SecretKeys(bytes.fromhex(golden["device secret"]))
    assert unwrap(bytes.fromhex(golden["wrapped"]), "correct horse") == keys.export()
    got = open_key_object(bytes.fromhex(golden["key object"]), PHRASE)
    assert (got.roster, got.keyring) == (ROSTER, keyring_of(ROSTER))
    assert [*got.keyring] == [bytes.fromhex(golden["commitment"])]
