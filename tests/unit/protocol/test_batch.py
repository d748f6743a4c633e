"""Batches as bytes."""

from __future__ import annotations

import cbor2
import pytest

from msgsync import ObjectDamaged, limits
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.protocol.batch import cut, decode_batch, encode_batch, read_piece

DOCUMENTS = [
    (DocumentId("family", "head"), Parts(NEVER_FROZEN, b"", (b"one", b"two"))),
    (DocumentId("", "account"), Parts(Label(3, bytes(16)), b"frozen", ())),
]


def test_a_batch_is_read_as_it_was_written():
    assert decode_batch(encode_batch(DOCUMENTS)) == DOCUMENTS


def test_a_short_batch_is_one_piece():
    [body] = cut(encode_batch(DOCUMENTS))
    assert read_piece(body) == (encode_batch(DOCUMENTS), True)


def test_a_long_batch_is_cut_into_pieces_that_fit_an_object(monkeypatch):
    monkeypatch.setattr(limits, "BATCH_PIECE_BYTES", 10)
    batch = encode_batch(DOCUMENTS)
    pieces = [read_piece(body) for body in cut(batch)]
    assert b"".join(piece for piece, _ in pieces) == batch
    assert [is_last for _, is_last in pieces] == [False] * (len(pieces) - 1) + [True]
    assert all(0 < len(piece) <= 10 for piece, _ in pieces)


def test_a_later_version_may_say_more():
    plain = cbor2.loads(encode_batch(DOCUMENTS))
    assert decode_batch(cbor2.dumps([*plain, "more"], canonical=True)) == DOCUMENTS


@pytest.mark.parametrize("body", [b"", b"\2", b"\2abc"])
def test_a_piece_of_another_form_is_refused(body):
    with pytest.raises(ObjectDamaged, match="update msgsync"):
        read_piece(body)


@pytest.mark.parametrize(
    "plain",
    [
        [],
        {},
        [[["family", "head", 0, b"", b""]]],
        [[["family", "head", 0, b"", b"", [], 1]]],
        [[[1, "head", 0, b"", b"", []]]],
        [[["family", b"head", 0, b"", b"", []]]],
        [[["family", "head", -1, b"", b"", []]]],
        [[["family", "head", True, bytes(16), b"", []]]],
        [[["family", "head", limits.GENERATION + 1, bytes(16), b"", []]]],
        [[["family", "head", 0, bytes(16), b"", []]]],
        [[["family", "head", 1, b"", b"", []]]],
        [[["family", "head", 0, b"", b"frozen", []]]],
        [[["family", "head", 0, b"", b"", ["text"]]]],
        [[["family", "head", 0, b"", b"", 3]]],
        [[["f" * (limits.NAME_BYTES + 1), "head", 0, b"", b"", []]]],
    ],
)
def test_what_is_no_batch_is_refused(plain):
    with pytest.raises(ObjectDamaged, match="cannot be read"):
        decode_batch(cbor2.dumps(plain, canonical=True))


@pytest.mark.parametrize("raw", [b"", b"\xff", encode_batch(DOCUMENTS) + b"\0", b"\x82"])
def test_bytes_that_are_no_cbor_are_refused(raw):
    with pytest.raises(ObjectDamaged, match="cannot be read"):
        decode_batch(raw)
