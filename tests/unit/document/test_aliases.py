"""Which messages are one: the pure rule, and what aliases have to look like."""

from __future__ import annotations

import pytest

from msgsync.document.aliases import carriers_name, chosen, joined
from msgsync.document.fold import fold_segment
from msgsync.document.reader import Alias, EntryReader
from msgsync.document.schema import ALIASES, ERASED, DocumentId, Entry
from msgsync.errors import InvalidValue
from msgsync.ids import ingested_id
from msgsync.records import (
    AliasRecord,
    alias_key,
    decode_alias,
    encode_alias,
    encode_erased,
    erased_key,
)
from tests.unit.machine import START_MS

A, B, C, D = (START_MS.to_bytes(6, "big") + bytes([number] * 6) for number in range(1, 5))
JANUARY = DocumentId("family", "2024-01")
ECHO = ingested_id("family", "17", START_MS)


def links(*pairs: tuple[bytes, bytes], half: tuple[tuple[bytes, bytes], ...] = ()):
    """Aliases by id: own and carrier's ids, as `link` writes them; of ``half`` the first half alone."""
    aliases: dict[bytes, list[Alias]] = {}
    for own, carriers in (*pairs, *half):
        aliases.setdefault(own, []).append(Alias(carriers, carriers.hex(), 1, own=True))
    for own, carriers in pairs:
        aliases.setdefault(carriers, []).append(Alias(own, carriers.hex(), 1, own=False))
    return lambda one: aliases.get(one, [])


def test_two_ids_are_one_once_each_names_the_other():
    assert joined(A, links((A, B))).keys() == joined(B, links((A, B))).keys() == {A, B}
    assert joined(A, links(half=((A, B),))).keys() == {A}
    assert joined(B, links(half=((A, B),))).keys() == {B}


@pytest.mark.parametrize(
    "pairs", [((A, B), (B, C)), ((A, B), (C, B)), ((A, B), (B, C), (C, A)), ((B, A), (B, C))]
)
def test_chains_and_circles_are_groups(pairs):
    for one in (A, B, C):
        assert joined(one, links(*pairs)).keys() == {A, B, C}
    assert joined(D, links(*pairs)).keys() == {D}


def test_the_least_own_id_that_is_here_is_shown():
    group = joined(B, links((B, A), (C, A)))
    assert chosen(group, [A, B, C]) == B
    assert chosen(group, [A, C]) == C
    assert chosen(group, [A]) == A
    circle = joined(A, links((A, B), (B, A)))
    assert chosen(circle, [B, A]) == A
    assert carriers_name(group, B) == A.hex()
    assert carriers_name(joined(D, links()), D) is None


def test_an_id_that_any_alias_calls_the_carriers_is_not_shown_before_an_own_one():
    group = joined(A, links((A, B), (B, D)))  # B is somebody's echo, and was linked to D
    assert chosen(group, [A, B]) == A
    assert chosen(joined(A, links((C, A), (A, B), (D, C))), [A, D]) == D


def test_of_several_names_the_least_is_told():
    group = joined(C, links((C, B), (C, A)))
    assert carriers_name(group, C) == A.hex()


def entry(one: bytes, other: bytes, external_id: str = "17", sent_ms: int = START_MS) -> Entry:
    value = encode_alias(AliasRecord(other, external_id, sent_ms))
    return Entry(ALIASES, alias_key(one, value), value)


def test_an_alias_is_read_as_it_was_written_and_says_which_id_is_the_carriers():
    reader = EntryReader(JANUARY)
    assert decode_alias(entry(A, ECHO).value) == AliasRecord(ECHO, "17", START_MS)
    assert reader.alias(entry(A, ECHO)) == (A, Alias(ECHO, "17", START_MS, own=True))
    assert reader.alias(entry(ECHO, A)) == (ECHO, Alias(A, "17", START_MS, own=False))


@pytest.mark.parametrize(
    "wrong",
    [
        entry(A, B),
        entry(ECHO, ECHO),
        entry(A, ECHO, "18"),
        entry(A, ECHO, sent_ms=START_MS + 1),
        entry(bytes(12), ECHO),
        entry(A, ECHO)._replace(key=entry(A, B).key),
        entry(A, ECHO)._replace(key=entry(A, ECHO).key[:20]),
        entry(A, ECHO)._replace(value=b"\xa0"),
        entry(A, ECHO[:11]),
    ],
)
def test_an_alias_that_joins_nothing_is_unreadable_and_kept(wrong):
    with pytest.raises(InvalidValue):
        EntryReader(JANUARY).alias(wrong)
    state = fold_segment(JANUARY, [wrong])
    assert not state.aliases
    assert list(state.unreadable) == [wrong]
    assert state.digest


def test_the_fold_keeps_aliases_until_their_id_is_erased():
    value = encode_erased([A])
    erasure = Entry(ERASED, erased_key(value), value)
    both = [entry(A, ECHO), entry(ECHO, A)]
    assert fold_segment(JANUARY, both).aliases.keys() == {A, ECHO}
    state = fold_segment(JANUARY, [*both, erasure])
    assert state.aliases.keys() == {ECHO}
    assert state.irrelevant == [both[0]]
