"""Indexes of checkpoints as bytes."""

from __future__ import annotations

import cbor2
import pytest

from msgsync import ObjectDamaged
from msgsync.document.schema import DocumentId
from msgsync.protocol.index import read_index, write_index

PLACES = [
    (DocumentId("family", "2024-02"), 7),
    (DocumentId("work", "2024-02"), 7),
    (DocumentId("family", "2023-11"), 9),
]


def test_an_index_is_read_as_it_was_written():
    assert read_index(5, write_index(5, PLACES)) == {
        "family": [("2024-02", 7), ("2023-11", 9)],
        "work": [("2024-02", 7)],
    }


def test_an_index_of_nothing_is_one():
    assert read_index(1, write_index(1, [])) == {}


@pytest.mark.parametrize(
    "plain",
    [
        3,
        [3],
        [["family"]],
        [["family", 3]],
        [["family", ["2024-02"]]],
        [["family", ["2024-02", -1]]],
        [["family", ["2024-02", True]]],
        [["family", [1, 2]]],
        [[b"family", ["2024-02", 1]]],
        [["family", ["2024-02", 1], 3]],
    ],
)
def test_what_is_no_index_is_refused(plain):
    with pytest.raises(ObjectDamaged, match="cannot be read"):
        read_index(1, cbor2.dumps(plain, canonical=True))


@pytest.mark.parametrize("raw", [b"", b"\xff", write_index(1, PLACES) + b"\0"])
def test_bytes_that_are_no_index_are_refused(raw):
    with pytest.raises(ObjectDamaged, match="cannot be read"):
        read_index(1, raw)
