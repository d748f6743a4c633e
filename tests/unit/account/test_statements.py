"""Statements: what is read back, and that nothing else is read."""

from __future__ import annotations

from typing import Any

import cbor2
import pytest
from hypothesis import given

from msgsync import limits
from msgsync.account.device import Device, check_device_name
from msgsync.account.statements import (
    Add,
    Epoch,
    Genesis,
    Position,
    Recovery,
    Rename,
    Revoke,
    Statement,
    agree_to_body,
    assemble,
    compose,
    make,
    read_body,
    read_statement,
    sign_body,
)
from msgsync.errors import InvalidValue, StatementRefused
from tests.hostile.mutation import Change, changes, mutated
from tests.unit.account.accounts import drawn, keys_of

PHONE, TABLET, PHRASE, OTHER = map(keys_of, ("phone", "tablet", "phrase", "other"))
NOW_MS = 1_714_579_320_000
GENESIS = make(
    Genesis(Device.of(PHONE, "Phone", "linux"), PHRASE.public),
    PHONE,
    account=None,
    parents=(),
    time_ms=NOW_MS,
    agreed=PHRASE,
)
POSITIONS = (Position(drawn("i1", 16), 7, drawn("h1")), Position(b"\xff" * 16, 1, drawn("h2")))
CONTENTS = [
    (Add(Device.of(TABLET, "Tablet \N{FAMILY}", "linux")), TABLET),
    (Revoke(TABLET.public.signing, POSITIONS), None),
    (Epoch(drawn("commitment")), None),
    (Recovery(OTHER.public), OTHER),
    (Rename(TABLET.public.signing, "Küche"), None),
]


def said(content: Any, agreed: Any = None) -> Statement:
    return make(
        content,
        PHONE,
        account=GENESIS.account,
        parents=[GENESIS.id],
        time_ms=NOW_MS,
        agreed=agreed,
    )


@pytest.mark.parametrize(("content", "agreed"), CONTENTS)
def test_a_statement_is_read_as_it_was_said(content, agreed):
    statement = said(content, agreed)
    assert read_statement(statement.raw) == statement
    assert statement.content == content
    assert (statement.account, statement.parents) == (GENESIS.account, (GENESIS.id,))
    assert (statement.signer, statement.time_ms) == (PHONE.public.signing, NOW_MS)


def test_the_account_is_named_by_a_hash_of_its_genesis():
    assert read_statement(GENESIS.raw) == GENESIS
    later = make(
        GENESIS.content, PHONE, account=None, parents=(), time_ms=NOW_MS + 1, agreed=PHRASE
    )
    assert len(GENESIS.account.raw) == 16
    assert later.account != GENESIS.account


@pytest.mark.parametrize(
    "statement",
    [GENESIS, *(said(*one) for one in CONTENTS)],
    ids=lambda one: type(one.content).__name__,
)
def test_a_statement_that_was_changed_or_cut_anywhere_is_refused(statement):
    raw = statement.raw
    for at in range(len(raw)):
        for damaged in (raw[:at], raw[:at] + bytes((raw[at] ^ 1 << at % 8,)) + raw[at + 1 :]):
            with pytest.raises(StatementRefused):
                read_statement(damaged)
    with pytest.raises(StatementRefused):
        read_statement(raw + b"\0")


@given(found=changes)
def test_hostile_bytes_are_refused_and_nothing_else_happens(found: list[Change]):
    raw = said(*CONTENTS[1]).raw
    damaged = mutated(raw, found)
    if damaged != raw:
        with pytest.raises(StatementRefused):
            read_statement(damaged)


def test_whoever_is_added_has_to_agree():
    content = Add(Device.of(TABLET, "Tablet", "linux"))
    body = compose(
        content, signer=PHONE.public, account=GENESIS.account, parents=[GENESIS.id], time_ms=NOW_MS
    )
    signature = sign_body(body, PHONE)
    assert assemble(body, signature, agree_to_body(body, TABLET)).content == content
    for others in (
        [],  # somebody else's key is put into the account
        [agree_to_body(body, OTHER)],
        [sign_body(body, TABLET)],  # agreed to something else
        [agree_to_body(body, TABLET)] * 2,
    ):
        with pytest.raises(StatementRefused, match="did not sign"):
            assemble(body, signature, *others)


def test_a_phrase_that_did_not_agree_is_not_put_in():
    for content in (Recovery(OTHER.public), Genesis(Device.of(PHONE, "Phone", "x"), OTHER.public)):
        genesis = isinstance(content, Genesis)
        with pytest.raises(StatementRefused):
            make(
                content,
                PHONE,
                account=None if genesis else GENESIS.account,
                parents=() if genesis else [GENESIS.id],
                time_ms=0,
                agreed=PHRASE,
            )


def body_of(statement: Statement) -> dict[int, Any]:
    fields: dict[int, Any] = cbor2.loads(cbor2.loads(statement.raw)[0])
    return fields


def resigned(fields: Any) -> bytes:
    """A body as its signer might write it, whatever it says."""
    body = cbor2.dumps(fields, canonical=True)
    return cbor2.dumps([body, sign_body(body, PHONE)], canonical=True)


@pytest.mark.parametrize(
    "change",
    [
        {0: 2},  # another suite
        {0: True},
        {1: 7},  # another kind
        {1: [1]},
        {2: bytes(15)},
        {3: []},
        {3: [bytes(31)]},
        {3: [GENESIS.id, GENESIS.id]},
        {3: [b"\1" * 32, b"\0" * 32]},
        {3: sorted(drawn(str(n)) for n in range(limits.PARENTS + 1))},
        {4: bytes(31)},
        {5: -1},
        {5: 2**48},
        {5: 1.0},
        {8: bytes(31)},
        {9: None},
        {9: [[bytes(16), 0, bytes(32)]]},
        {9: [[bytes(16), 2**64, bytes(32)]]},
        {9: [[bytes(16), 1, bytes(32)]] * 2},
        {9: [[n.to_bytes(16, "big"), 1, bytes(32)] for n in range(limits.POSITIONS + 1)]},
        {12: b"more"},
    ],
)
def test_a_member_cannot_say_what_has_no_meaning(change):
    fields = body_of(said(*CONTENTS[1])) | change
    with pytest.raises(StatementRefused):
        read_statement(resigned(fields))


def test_a_field_may_not_be_missing():
    for key in body_of(said(*CONTENTS[1])):
        fields = body_of(said(*CONTENTS[1]))
        del fields[key]
        with pytest.raises(StatementRefused):
            read_statement(resigned(fields))


def test_only_the_first_form_of_the_same_content_is_read():
    fields = body_of(said(*CONTENTS[2]))
    body = cbor2.dumps(dict(reversed(fields.items())))
    with pytest.raises(StatementRefused):
        read_statement(cbor2.dumps([body, sign_body(body, PHONE)]))


def test_an_account_is_begun_by_its_first_device():
    with pytest.raises(InvalidValue, match="another device"):
        compose(GENESIS.content, signer=OTHER.public, account=None, parents=(), time_ms=0)


@pytest.mark.parametrize(
    "name",
    ["", " ", "a\nb", "a\0", "x" * 129, "evil\N{RIGHT-TO-LEFT OVERRIDE}", "a\N{LINE SEPARATOR}", 5],
)
def test_names_that_do_not_look_like_themselves_are_refused(name):
    with pytest.raises(InvalidValue):
        check_device_name(name)


def test_a_body_can_be_read_before_it_is_agreed_to():
    body = cbor2.loads(said(*CONTENTS[0]).raw)[0]
    assert read_body(body) == CONTENTS[0][0]
    with pytest.raises(StatementRefused):
        read_body(body[:-1])
