"""Greetings: what is said, whose clocks agree, and who is not talked to."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import pytest

from msgsync import AccountMismatch, NotAMember, ProtocolError, VersionMismatch, limits
from msgsync.errors import AccountError, DeviceRevoked
from msgsync.ids import DeviceId
from msgsync.protocol.frames import VERSION, Hello, Reason, Refuse
from msgsync.protocol.greeting import (
    agreed_ms,
    curt,
    hello,
    is_curt,
    keys_digest,
    knows_the_same,
    objected,
    objection,
    reason_of,
)
from msgsync.protocol.seam import Facts
from msgsync.standing import Standing, digest

NOW_MS = 1_700_000_000_000
DAY_MS = limits.CLOCKS_AGREE_MS
DEVICE = b"d" * 8
KNOWN = {DEVICE: Standing(b"s" * 16, 0, 0, {DEVICE: 7})}
FACTS = Facts(b"account " * 2, DEVICE, b"s" * 16, b"r" * 16, 7, NOW_MS, KNOWN, True)
KEYS = b"k" * 32
SAID = hello(FACTS, (3, 50), KEYS, live=True, asks=True)


def test_a_hello_says_who_is_here_and_what_there_is():
    said = hello(FACTS, (3, 50), KEYS, live=True, asks=True)
    assert said == Hello(
        version=1,
        account=b"account ",
        device=DEVICE,
        time_ms=NOW_MS,
        root=b"r" * 16,
        store_id=b"s" * 16,
        documents=3,
        messages=50,
        live=True,
        known=digest(KNOWN),
        keys=keys_digest(KEYS, DEVICE, b"s" * 16, NOW_MS),
        asks=True,
    )


def test_who_lacks_nothing_asks_for_nothing():
    assert hello(FACTS, (0, 0), KEYS, live=False) == replace(
        SAID, documents=0, messages=0, live=False, asks=False
    )


def test_a_curt_hello_says_who_is_here_and_nothing_of_what_there_is():
    said = curt(SAID)
    assert said == Hello(
        *(1, b"account ", DEVICE, NOW_MS, bytes(16), b"s" * 16, 0, 0),
        live=False,
        known=bytes(6),
        keys=SAID.keys,
        asks=False,
    )
    assert is_curt(said)
    assert not is_curt(SAID)


def test_the_digest_of_keys_is_of_who_says_hello_and_when():
    """As in the specification."""
    words = KEYS + DEVICE + b"s" * 16 + NOW_MS.to_bytes(8, "big")
    assert keys_digest(KEYS, DEVICE, b"s" * 16, NOW_MS) == hashlib.sha256(words).digest()[:6]
    assert knows_the_same(SAID, KEYS)
    assert not knows_the_same(SAID, b"K" * 32)
    assert not knows_the_same(replace(SAID, time_ms=NOW_MS + 1), KEYS)


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (NOW_MS, NOW_MS, NOW_MS),
        (NOW_MS, NOW_MS + 5, NOW_MS),
        (NOW_MS + 5, NOW_MS, NOW_MS),
        (NOW_MS, NOW_MS + DAY_MS, NOW_MS),
        (NOW_MS + DAY_MS, NOW_MS, NOW_MS),
        (NOW_MS, NOW_MS + DAY_MS + 1, 0),
        (NOW_MS + DAY_MS + 1, NOW_MS, 0),
    ],
)
def test_clocks_that_differ_by_up_to_a_day_agree_on_the_earlier_time(ours, theirs, agreed):
    assert agreed_ms(ours, theirs) == agreed


@pytest.mark.parametrize("authenticated", [None, DeviceId(DEVICE)])
def test_nothing_is_objected_to_a_device_of_the_account(authenticated):
    assert objection(SAID, FACTS, authenticated) is None


@pytest.mark.parametrize(
    ("peer", "kind", "reason", "words"),
    [
        (replace(SAID, version=VERSION + 1), VersionMismatch, Reason.VERSION, "speaks protocol 2"),
        (
            replace(SAID, version=VERSION + 1, account=b"another "),
            *(VersionMismatch, Reason.VERSION, "update the older of the two$"),
        ),
        (
            replace(SAID, account=b"another "),
            *(
                AccountMismatch,
                Reason.ACCOUNT,
                "only devices of one account sync; let .* on the new one$",
            ),
        ),
        (
            replace(SAID, device=b"e" * 8),
            *(ProtocolError, Reason.PROTOCOL, "another device than its certificate shows$"),
        ),
    ],
)
def test_what_is_objected_to_others_is_said_in_words(peer, kind, reason, words):
    found = objection(peer, FACTS, DeviceId(DEVICE))
    assert found is not None
    error, told = found
    assert (type(error), told) == (kind, reason)
    with pytest.raises(kind, match=words):
        raise error


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (NotAMember("x"), Reason.MEMBER),
        (DeviceRevoked("x"), Reason.MEMBER),
        (AccountMismatch("x"), Reason.ACCOUNT),
        (AccountError("x"), Reason.PROTOCOL),
    ],
)
def test_the_peer_is_told_what_kind_of_error_it_is(error, reason):
    assert reason_of(error) is reason


@pytest.mark.parametrize(
    ("reason", "kind"),
    [
        (1, VersionMismatch),
        (2, AccountMismatch),
        (3, ProtocolError),
        (4, NotAMember),
        (255, ProtocolError),
    ],
)
def test_a_refusal_by_number_is_the_same_error_here(reason, kind):
    error = objected(Refuse(reason, "for this reason"))
    assert type(error) is kind
    assert str(error) == "the peer refused: for this reason"
