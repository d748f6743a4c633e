"""Sealed objects, and everything that an attacker who keeps them can try."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.account import seal as module
from msgsync.account.epochs import Keyring
from msgsync.account.head import NOTHING, Head, Kind, LogEnd
from msgsync.account.padding import pad
from msgsync.account.roster import Roster
from msgsync.account.seal import (
    Opened,
    Sealed,
    Sealer,
    checkpoint_name,
    is_checkpoint_name,
    is_clone,
    log_name,
    object_hash,
    open_object,
)
from msgsync.account.statements import Position, Rename, Revoke
from msgsync.errors import (
    AccountError,
    InvalidValue,
    LogForked,
    NotAMember,
    ObjectDamaged,
    ObjectMissing,
    ObjectReplayed,
    RotationDue,
    UnknownEpoch,
    UnknownRoster,
)
from msgsync.ids import DeviceId
from tests.hostile.mutation import Change, changes, mutated
from tests.unit.account.accounts import (
    NOW_MS,
    drawn,
    keyring_of,
    keys_of,
    roster_of,
    rotated,
)

VECTORS = Path(__file__).parents[2] / "vectors" / "sealed.json"
ROSTER = roster_of("phone", "tablet")
KEYRING = keyring_of(ROSTER)
PHONE, TABLET = keys_of("phone"), keys_of("tablet")
HERE = drawn("incarnation", 16)
TEXT = b"See you at the harbour at noon. " * 20


def sealed(body: bytes = TEXT, after: Position | None = None, **changed: Any) -> Sealed:
    sealer: dict[str, Any] = {
        "keys": PHONE,
        "keyring": KEYRING,
        "roster": ROSTER,
        "incarnation": HERE,
    }
    options: dict[str, Any] = {"kind": Kind.BATCH, "salt": drawn("salt")}
    for name, value in changed.items():
        (sealer if name in sealer else options)[name] = value
    return Sealer(**sealer).seal(body, after=after, **options)


def opened(raw: bytes, *known: tuple[DeviceId, Position], **changed: Any) -> Opened:
    arguments: dict[str, Any] = {
        "keyring": KEYRING,
        "roster": ROSTER,
        "positions": {(device, position.incarnation): position for device, position in known},
    }
    return open_object(raw, **(arguments | changed))


def test_what_was_sealed_is_read_with_what_its_head_says():
    ends = (LogEnd(TABLET.device_id, Position(drawn("i", 16), 4, drawn("h"))),)
    one = sealed(ends=ends)
    got = opened(one.raw)
    assert (got.body, got.head, got.position) == (TEXT, one.head, one.position)
    assert got.head.ends == ends
    assert got.member is not None
    assert got.member.name == "phone"
    assert (one.head.sequence, one.head.previous) == (1, NOTHING)


@given(body=st.binary(max_size=2_000))
def test_any_body_is_read_back(body):
    assert opened(sealed(body).raw).body == body


def test_nothing_shows_to_whoever_keeps_it():
    raw = sealed().raw
    shown = [
        TEXT[:20],
        PHONE.device_id.raw,
        HERE,
        PHONE.public.signing,
        ROSTER.account.raw,
        *ROSTER.heads,
    ]
    assert not [one for one in shown if one in raw]
    lengths = {len(sealed(b"x" * size).raw) for size in range(1, 200)}
    assert len(lengths) == 1  # a word looks like a sentence


# Bytes that were changed.


def test_an_object_that_was_changed_or_cut_anywhere_is_refused():
    raw = sealed().raw
    for at in range(len(raw)):
        for bit in range(8):
            with pytest.raises(AccountError):
                opened(raw[:at] + bytes((raw[at] ^ 1 << bit,)) + raw[at + 1 :])
        with pytest.raises(AccountError):
            opened(raw[:at])
    with pytest.raises(ObjectDamaged):
        opened(raw + b"\0")


@given(found=changes)
def test_hostile_bytes_are_refused_and_nothing_else_happens(found: list[Change]):
    raw = sealed().raw
    damaged = mutated(raw, found)
    if damaged != raw:
        with pytest.raises(AccountError):
            opened(damaged)


@given(raw=st.binary(max_size=500))
def test_noise_is_refused(raw):
    with pytest.raises(AccountError):
        opened(b"\1" + raw)


def test_parts_of_two_objects_make_no_third():
    one, two = sealed(b"one").raw, sealed(b"two", salt=drawn("another")).raw
    for at in range(7, len(one), 7):
        with pytest.raises(AccountError):
            opened(one[:at] + two[at:])


# Objects of others.


def test_an_object_of_another_account_is_refused():
    elsewhere = roster_of("tablet", "phone")  # the same devices, the same secret
    with pytest.raises(UnknownEpoch):
        opened(sealed().raw, roster=elsewhere, keyring=keyring_of(elsewhere))


def test_an_object_is_not_taken_for_another_devices(monkeypatch):
    real = Head
    monkeypatch.setattr(
        module, "Head", lambda *fields: real(fields[0], fields[1], TABLET.device_id, *fields[3:])
    )
    forged = sealed().raw  # by phone, in the name of tablet
    monkeypatch.undo()
    with pytest.raises(ObjectDamaged, match="did not sign"):
        opened(forged)


def test_an_object_is_not_taken_for_one_of_another_epoch(monkeypatch):
    later = rotated(ROSTER, "phone", "epoch 2")
    both = keyring_of(later, "epoch 1", "epoch 2")
    monkeypatch.setattr(Keyring, "secret", lambda *_: drawn("epoch 1"))
    forged = sealed(roster=later, keyring=both).raw  # says it is of the second epoch
    monkeypatch.undo()
    with pytest.raises(ObjectDamaged, match="another epoch"):
        opened(forged, roster=later, keyring=both)


def test_a_stranger_with_the_secret_is_refused():
    stranger = keys_of("stranger")
    with pytest.raises(NotAMember):
        sealed(keys=stranger)
    forged = module._sealed(
        Head(
            Kind.BATCH,
            ROSTER.state.sealing_epoch(),
            stranger.device_id,
            HERE,
            1,
            NOTHING,
            ROSTER.heads,
            256,
        ),
        pad(b"\0text", least=256),
        stranger,
        drawn("epoch 1"),
        ROSTER.account,
        drawn("salt"),
    )
    with pytest.raises(NotAMember):
        opened(forged)


def test_an_object_that_knows_more_than_this_device_waits_for_the_statements():
    later = ROSTER.say(Rename(PHONE.public.signing, "x"), PHONE, now_ms=NOW_MS)
    raw = sealed(roster=later).raw
    with pytest.raises(UnknownRoster):
        opened(raw)
    assert opened(raw, roster=later).body == TEXT


# Logs.


def test_a_log_is_read_in_order_and_once():
    first = sealed(b"first")
    second = sealed(b"second", after=first.position)
    third = sealed(b"third", after=second.position)
    device = PHONE.device_id
    assert opened(second.raw, (device, first.position)).position == second.position
    with pytest.raises(ObjectMissing, match="objects 2 to 2"):
        opened(third.raw, (device, first.position))
    for again in (first, second):
        with pytest.raises(ObjectReplayed):
            opened(again.raw, (device, second.position))


def test_a_device_that_signs_two_things_for_one_place_is_named():
    first = sealed(b"first")
    one, other = (sealed(body, after=first.position) for body in (b"one", b"other"))
    device = PHONE.device_id
    with pytest.raises(LogForked):
        opened(other.raw, (device, one.position))
    with pytest.raises(LogForked):
        opened(sealed(b"next", after=other.position).raw, (device, one.position))


def test_a_new_incarnation_goes_on_with_the_sequence():
    first = sealed(b"first")
    next_open = sealed(b"second", after=first.position, incarnation=drawn("next", 16))
    assert next_open.head.sequence == 2
    assert opened(next_open.raw, (PHONE.device_id, first.position)).body == b"second"


def test_a_copied_replica_is_noticed_by_its_original():
    first = sealed(b"first")
    copy = opened(sealed(b"copy", incarnation=drawn("copy", 16)).raw).head
    assert is_clone(copy, PHONE.device_id, {HERE}, first.head.sequence)
    assert not is_clone(first.head, PHONE.device_id, {HERE}, first.head.sequence)
    assert not is_clone(copy, TABLET.device_id, {HERE}, first.head.sequence)


def test_a_machine_that_was_rolled_back_never_uses_a_key_twice():
    one, other = sealed(b"one" * 99, salt=drawn("a")), sealed(b"two" * 99, salt=drawn("b"))
    assert one.head.sequence == other.head.sequence
    at = len(one.raw) - one.head.size_bytes - 16
    same = sum(x == y for x, y in zip(one.raw[at:], other.raw[at:], strict=True))
    assert same < len(one.raw[at:]) / 16


def test_objects_that_are_in_no_log_are_read_in_any_order():
    one, other = (sealed(body, listed=True, kind=Kind.PACK) for body in (b"one", b"other"))
    known = (PHONE.device_id, Position(HERE, 9, drawn("h")))
    assert [opened(each.raw, known).body for each in (other, one, one)] == [
        b"other",
        b"one",
        b"one",
    ]
    assert (one.head.sequence, one.head.previous) == (0, NOTHING)


def test_logs_are_named_so_that_only_the_account_can_tell_whose_they_are():
    names = {
        log_name(secret, ROSTER.account, device, incarnation)
        for secret in (drawn("epoch 1"), drawn("epoch 2"))
        for device in (PHONE.device_id, TABLET.device_id)
        for incarnation in (HERE, drawn("next", 16))
    }
    assert len(names) == 8
    assert {len(name) for name in names} == {32}


def test_a_checkpoint_has_a_name_that_no_log_has():
    place = drawn("epoch 1"), ROSTER.account, PHONE.device_id, HERE
    assert is_checkpoint_name(checkpoint_name(*place))
    assert not is_checkpoint_name(log_name(*place))
    assert checkpoint_name(*place)[:32] != log_name(*place)


# Revocation and forgetting.


def revoked(*accepted: Position) -> tuple[Roster, Keyring]:
    """Phone revokes tablet, having read so far in its logs; the account goes on in a second epoch."""
    roster = ROSTER.say(Revoke(TABLET.public.signing, accepted), PHONE, now_ms=NOW_MS)
    roster = rotated(roster, "phone", "epoch 2")
    return roster, keyring_of(roster, "epoch 1", "epoch 2")


def test_a_revoked_device_with_a_copy_of_everything_reads_nothing_written_afterwards():
    roster, keyring = revoked()
    raw = sealed(roster=roster, keyring=keyring).raw
    with pytest.raises(UnknownEpoch):
        opened(raw, roster=roster, keyring=KEYRING)


def test_nothing_it_writes_afterwards_is_accepted_but_what_was_accepted_stands():
    first = sealed(b"first", keys=TABLET)
    second = sealed(b"second", keys=TABLET, after=first.position)
    roster, keyring = revoked(first.position)
    new: dict[str, Any] = {"roster": roster, "keyring": keyring}
    got = opened(first.raw, **new)
    assert (got.body, got.member) == (b"first", None)
    for raw in (
        second.raw,
        sealed(keys=TABLET, incarnation=drawn("next", 16)).raw,
        sealed(keys=TABLET, listed=True).raw,
    ):
        with pytest.raises(NotAMember, match="not in the account any more"):
            opened(raw, **new)
    with pytest.raises(NotAMember):
        sealed(keys=TABLET, **new)


def test_a_pack_of_a_revoked_device_is_read_if_a_manifest_that_was_accepted_lists_it():
    pack = sealed(keys=TABLET, listed=True, kind=Kind.PACK)
    roster, keyring = revoked()
    listed = {object_hash(pack.raw)}
    assert opened(pack.raw, roster=roster, keyring=keyring, listed=listed).body == TEXT


def test_nothing_is_sealed_between_a_revocation_and_the_next_epoch():
    roster = ROSTER.say(Revoke(TABLET.public.signing, ()), PHONE, now_ms=NOW_MS)
    with pytest.raises(RotationDue):
        sealed(roster=roster)
    with pytest.raises(UnknownEpoch):
        sealed(roster=rotated(roster, "phone", "epoch 2"))


def test_what_is_sealed_anew_is_read_when_the_old_epoch_is_forgotten_and_the_old_copy_is_not():
    old = sealed()
    roster, keyring = revoked()
    body = opened(old.raw, roster=roster, keyring=keyring).body
    new = sealed(body, roster=roster, keyring=keyring, after=old.position)
    forgotten = keyring.without(ROSTER.state.sealing_epoch())
    assert opened(new.raw, roster=roster, keyring=forgotten).body == TEXT
    with pytest.raises(UnknownEpoch):
        opened(old.raw, roster=roster, keyring=forgotten)


# Limits.


@pytest.mark.parametrize(
    "changed",
    [{"kind": 0}, {"kind": 256}, {"incarnation": b"short"}, {"salt": bytes(31)}],
)
def test_what_is_out_of_range_is_not_sealed(changed):
    with pytest.raises(InvalidValue):
        sealed(**changed)


def test_an_object_has_a_limit(monkeypatch):
    monkeypatch.setattr(limits, "OBJECT_BYTES", 1_000)
    assert len(sealed(b"x" * 1_000).raw) < 1_000
    with pytest.raises(InvalidValue, match="at most 1000"):
        sealed(b"x" * 1_001)
    with pytest.raises(InvalidValue, match="at most 1000"):
        sealed(drawn("noise", 999))


def test_a_body_that_grows_beyond_its_limit_is_refused(monkeypatch):
    bomb = sealed(bytes(2_000_000)).raw
    assert len(bomb) < 2_000
    monkeypatch.setattr(limits, "OBJECT_BYTES", 1_000_000)
    with pytest.raises(ObjectDamaged, match="body cannot be read"):
        opened(bomb)


def test_an_object_shows_no_secret():
    one = sealed()
    shown = repr(one.head) + repr(opened(one.raw).head)
    assert repr(one.head.epoch)[2:-1] not in shown


# Bytes that stay as they are for ever.


def vector() -> dict[str, Any]:
    noise = drawn("noise", 300)
    one = sealed(noise)
    two = sealed(TEXT, after=one.position, salt=drawn("salt 2"))
    return {
        "what": "an account of two devices, and two objects of the first: not compressed, and compressed",
        "statements": [raw.hex() for raw in ROSTER.raws()],
        "secret": drawn("epoch 1").hex(),
        "device secret": PHONE.export().hex(),
        "incarnation": HERE.hex(),
        "salts": [drawn("salt").hex(), drawn("salt 2").hex()],
        "bodies": [noise.hex(), TEXT.hex()],
        "objects": [one.raw.hex(), two.raw.hex()],
    }


def test_golden_objects_are_read():
    golden = json.loads(VECTORS.read_text())
    roster = Roster.read(map(bytes.fromhex, golden["statements"]))
    assert len(roster.state.members) == 2
    keyring = Keyring(roster.account, [bytes.fromhex(golden["secret"])])
    known: dict[tuple[DeviceId, bytes], Position] = {}
    for raw, body in zip(golden["objects"], golden["bodies"], strict=True):
        got = open_object(bytes.fromhex(raw), keyring=keyring, roster=roster, positions=known)
        assert got.body.hex() == body
        known[got.head.device, got.head.incarnation] = got.position


def test_golden_objects_are_sealed_alike():
    golden, now = json.loads(VECTORS.read_text()), vector()
    golden["objects"][1] = now["objects"][1]  # what zstd makes of it may change with its version
    assert now == golden
