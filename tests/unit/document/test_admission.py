"""Admission: nothing that it lets through can surprise pycrdt or the store."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pycrdt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.document.admission import Admitted, admit, erased_ids, without
from msgsync.document.codec import Block, compose, decode_state, entries_of, scan
from msgsync.document.gonefiles import by_text, entry_without, gone_entry
from msgsync.document.schema import DocumentId, Entry
from msgsync.errors import Inadmissible
from msgsync.ids import encode_id
from msgsync.records import (
    AttachmentRecord,
    MessageRecord,
    encode_erased,
    encode_message,
    erased_key,
)
from tests.unit.document import crdt, yjs

MONTH = DocumentId("c", "1970-01")
SECRET = b"what nobody is to read any more "
IDS = [bytes(5) + bytes((number,)) * 7 for number in range(4)]


def about(number: int, root: str = "messages", value: bytes = b"text", tail: bytes = b"") -> Entry:
    return Entry(root, encode_id(IDS[number]) + tail, value)


def erasure(*numbers: int) -> Entry:
    value = encode_erased([IDS[number] for number in numbers])
    return Entry("erased", erased_key(value), value)


def update_of(*entries: Entry | int, client: int = 1, clock: int = 0) -> bytes:
    return compose([Block(client, clock, list(entries))])


# What is new.


@given(crdt.steps, crdt.steps)
def test_a_diff_is_admitted_and_leads_to_the_same_document(before, after):
    old, new = crdt.played(before), crdt.played([*before, *after])
    state = decode_state(old.get_state())
    for update in (new.get_update(old.get_state()), new.get_update()):
        admitted = admit(MONTH, [update], state)
        replica: pycrdt.Doc[Any] = pycrdt.Doc()
        replica.apply_update(old.get_update())
        replica.apply_update(admitted.update())
        assert decode_state(replica.get_state()) == decode_state(new.get_state())
        assert crdt.shown(replica) == crdt.shown(new) | crdt.shown(old)
        assert not admitted.ambiguous


def test_what_is_known_is_not_admitted_again():
    update = update_of(about(0), about(1))
    assert admit(MONTH, [update], {1: 1}).entries == [about(1)]
    assert admit(MONTH, [update], {1: 2}).blocks == []
    assert admit(MONTH, [update], {1: 9}).blocks == []


def test_successive_updates_are_one():
    updates = [update_of(about(0)), update_of(about(1), clock=1), update_of(about(2), client=5)]
    admitted = admit(MONTH, updates, {})
    assert sorted(admitted.entries) == [about(0), about(1), about(2)]
    assert sorted(entries_of(scan(admitted.update()))) == [about(0), about(1), about(2)]


def test_a_key_that_is_live_twice_in_successive_updates_is_for_pycrdt_to_decide():
    updates = [update_of(about(0, value=b"a")), update_of(about(0, value=b"b"), client=2)]
    assert admit(MONTH, updates, {}).ambiguous
    assert not admit(MONTH, updates, {1: 1}).ambiguous


def test_an_ambiguity_ends_where_the_message_is_erased():
    twice = [update_of(about(0, value=b"a")), update_of(about(0, value=b"b"), client=2)]
    assert admit(MONTH, twice, {}, {IDS[1]}).ambiguous
    assert not admit(MONTH, twice, {}, {IDS[0]}).ambiguous
    apart = [update_of(about(0)), update_of(about(1), client=2)]
    assert not admit(MONTH, apart, {}, {IDS[1]}).ambiguous


def test_of_erased_attachments_nothing_is_admitted_whoever_erased_them():
    file = AttachmentRecord("a.png", "image/png", 5, SECRET, SECRET)
    value = encode_message(MessageRecord("ann", "text", attachments=(file,)))
    one, other, gone = about(0, value=value), about(1, value=value), gone_entry(IDS[0], 0)
    update = update_of(one, other, 3, gone)

    def left(admitted: Admitted) -> list[Entry]:
        [block] = admitted.blocks
        assert (block.client, block.clock) == (1, 0)
        assert block.structs[2:] == [3, gone]
        assert scan(admitted.update()) == admitted.blocks
        assert admitted.entries == [*block.structs[:2], gone]
        return admitted.entries[:2]

    texts = by_text({IDS[0]: {0}, IDS[1]: {0}})
    assert left(admit(MONTH, [update], {})) == [entry_without(one, texts), other]
    both = admit(MONTH, [update], {}, frozenset(), {IDS[1]: {0}})
    assert left(both) == [entry_without(one, texts), entry_without(other, texts)]
    assert SECRET not in both.update()
    whole = update_of(one, other)
    assert admit(MONTH, [whole], {}, frozenset(), {IDS[3]: {0}}).entries == [one, other]
    erased = admit(MONTH, [whole], {}, {IDS[1]})
    assert erased.entries == [one]


def test_what_was_received_is_kept_as_it_is_only_if_all_of_it_is_new_and_in_normal_form():
    whole = update_of(about(0), about(1))
    assert admit(MONTH, [whole], {}).raw == whole
    known = admit(MONTH, [whole], {1: 1})
    assert (known.raw, known.update()) == (None, update_of(about(1), clock=1))
    pair = admit(MONTH, [update_of(about(0)), update_of(about(1), clock=1)], {})
    assert (pair.raw, pair.update()) == (None, whole)
    deleting = yjs.update(yjs.section(1, 0, yjs.item()), deletions=yjs.delete_set((9, [(0, 1)])))
    assert admit(MONTH, [deleting], {}).raw is None
    assert admit(MONTH, [whole], {}, {IDS[0]}).raw is None


def test_new_writers_are_counted():
    two = compose([Block(1, 0, [about(0)]), Block(2, 0, [about(1)])])
    assert admit(MONTH, [two], {}).writers == 2
    assert admit(MONTH, [two], {1: 0}).writers == 1
    assert admit(MONTH, [two], {1: 1, 2: 1}).writers == 0


# What is refused.


@pytest.mark.parametrize(
    ("updates", "state"),
    [
        ([update_of(about(0), clock=1)], {}),
        ([update_of(about(0), clock=7)], {1: 6}),
        ([update_of(about(0)), update_of(about(1), clock=2)], {}),
        ([update_of(about(0)), update_of(about(1))], {}),
        ([update_of(about(0)), update_of(about(0))], {}),
    ],
)
def test_a_gap_or_an_overlap_is_refused(updates, state):
    with pytest.raises(Inadmissible):
        admit(MONTH, updates, state)


def test_a_key_that_is_live_twice_in_one_update_is_refused():
    for blocks in (
        [Block(1, 0, [about(0), about(0)])],
        [Block(1, 0, [about(0)]), Block(2, 0, [about(0)])],
        [Block(1, 0, [about(0, value=b"a"), 3, about(0, value=b"b")])],
    ):
        with pytest.raises(Inadmissible, match="twice"):
            admit(MONTH, [compose(blocks)], {})
    assert admit(MONTH, [update_of(about(0), about(0, root="edits"))], {}).entries


def test_documents_beyond_their_limit_are_refused():
    with pytest.raises(Inadmissible, match="a document of more than"):
        admit(MONTH, [bytes(limits.DOCUMENT_BYTES // 2 + 1)] * 2, {})


def test_limits_are_reached_before_they_are_passed(monkeypatch):
    update = compose([Block(1, 0, [about(0)]), Block(2, 0, [about(1)])])
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", len(update))
    monkeypatch.setattr(limits, "WRITERS", 3)
    assert admit(MONTH, [update], {9: 1}).entries == [about(1), about(0)]
    with pytest.raises(Inadmissible, match="writers"):
        admit(MONTH, [update], {8: 1, 9: 1})
    full = dict.fromkeys(range(1, 9), 1)
    assert not admit(MONTH, [update], full).writers, (
        "a document that is full still takes from its own"
    )
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", len(update) - 1)
    with pytest.raises(Inadmissible, match="bytes"):
        admit(MONTH, [update], {})


def test_one_bad_update_among_good_ones_refuses_them_all():
    with pytest.raises(Inadmissible):
        admit(MONTH, [update_of(about(0)), yjs.one(yjs.item(info=0x27))], {})


# Removals do not travel, and dead items cannot beat live ones.


def test_a_delete_set_removes_nothing():
    victim: pycrdt.Doc[Any] = pycrdt.Doc()
    victim.apply_update(update_of(about(0), about(1)))
    shown = crdt.shown(victim)
    for deletions in (
        yjs.delete_set((1, [(0, 2)])),
        yjs.delete_set((1, [(0, 2**31)]), (9, [(0, 1)])),
    ):
        update = yjs.update(yjs.section(2, 0, yjs.item(b"k")), deletions=deletions)
        admitted = admit(MONTH, [update], {1: 2})
        assert admitted.entries == [Entry("messages", b"k", yjs.VALUE)]
        victim.apply_update(admitted.update())
        assert crdt.shown(victim) == shown | {Entry("messages", b"k", yjs.VALUE)}


@pytest.mark.parametrize("client", [2, 2**53 - 1])
def test_a_dead_item_with_a_key_does_not_beat_the_live_one(client):
    """With its key it would, by its greater client id: that is how an attacker would remove a message."""
    victim: pycrdt.Doc[Any] = pycrdt.Doc()
    victim.apply_update(update_of(about(0)))
    poison = yjs.update(yjs.section(client, 0, yjs.deleted(about(0).key)))
    admitted = admit(MONTH, [poison], {1: 1})
    victim.apply_update(admitted.update())
    assert crdt.shown(victim) == {about(0)}


def test_a_dead_run_over_what_a_writer_will_write_is_bounded():
    with pytest.raises(Inadmissible):
        admit(MONTH, [yjs.update(yjs.section(7, 0, yjs.dead(2**31)))], {})


# Erased messages.


def test_entries_about_erased_messages_become_dead_before_they_are_applied():
    entries = [about(0), about(1), about(0, "edits", tail=b".x"), about(0, "polls", tail=b"-y")]
    admitted = admit(MONTH, [update_of(*entries)], {}, {IDS[0]})
    assert admitted.entries == [about(1)]
    assert admitted.blocks == [Block(1, 0, [1, about(1), 2])]
    assert encode_id(IDS[0]) not in admitted.update()


def test_an_update_that_erases_takes_its_own_entries_along():
    entries = [about(0), erasure(0, 3), about(1), about(3)]
    admitted = admit(MONTH, [update_of(*entries)], {})
    assert admitted.entries == [erasure(0, 3), about(1)]
    later = admit(MONTH, [update_of(about(0)), update_of(erasure(0), clock=1)], {})
    assert later.entries == [erasure(0)]


def test_deletions_and_erasures_are_not_about_a_message_by_their_key():
    entries = [about(0, "deletions"), about(0, "erased")]
    assert admit(MONTH, [update_of(*entries)], {}, {IDS[0]}).entries == entries


def test_an_erasure_that_cannot_be_read_erases_nothing():
    value = encode_erased([IDS[0]])
    for bad in (
        Entry("erased", b"0" * 26, value),  # the key is not the hash
        Entry("erased", erased_key(b"\x41x"), b"\x41x"),
        Entry(
            "erased", erased_key(encode_erased([b"\xff" * 12])), encode_erased([b"\xff" * 12])
        ),  # another month
    ):
        assert erased_ids(MONTH, [bad]) == set()
        assert admit(MONTH, [update_of(about(0), bad)], {}).entries == [about(0), bad]
        assert erased_ids(MONTH, [bad, erasure(1)]) == {IDS[1]}
    assert erased_ids(MONTH, [erasure(0, 1), erasure(2)]) == set(IDS[:3])


def test_erasures_of_other_documents_than_segments_are_not_about_messages():
    head = DocumentId("c", "head")
    assert erased_ids(head, [erasure(0)]) == set()
    assert admit(head, [update_of(erasure(0), about(0))], {}).entries == [erasure(0), about(0)]


def test_taking_erased_entries_out_keeps_every_clock():
    blocks = [Block(1, 3, [2, about(0), about(0, "edits", tail=b"."), 1, about(1)])]
    left = without(blocks, {IDS[0]})
    assert left == [Block(1, 3, [5, about(1)])]
    assert left[0].end == blocks[0].end


# Hostile bytes. Source: security A1, A4.

changes = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "flip", "copy", "cut"]),
        st.integers(0, 10**6),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def mutated(raw: bytes, found: list[tuple[str, int, int]]) -> bytes:
    out = bytearray(raw)
    for what, number, byte in found:
        at = number % (len(out) + 1)
        if what == "insert":
            out.insert(at, byte)
        elif what == "cut":
            del out[at : at + byte % 40]
        elif what == "copy":
            out[at:at] = out[at : at + byte % 90]
        elif at < len(out):
            if what == "delete":
                del out[at]
            else:
                out[at] = byte if what == "set" else out[at] ^ 1 << byte % 8
    return bytes(out)


honest = crdt.steps.map(lambda history: crdt.played(history).get_update())
crafted = st.lists(
    st.builds(
        yjs.section,
        st.sampled_from([1, 2, 2**53 - 1, 2**53]),
        st.sampled_from([0, 0, 0, 1]),
        st.one_of(
            st.builds(yjs.item, st.sampled_from([yjs.KEY, b"1" * 20, b"k"])),
            st.builds(yjs.deleted, st.sampled_from([yjs.KEY, b"k"]), st.integers(0, 3)),
            st.builds(yjs.dead, st.integers(0, 2**25)),
            st.builds(yjs.item, info=st.integers(0, 255)),
        ),
        st.builds(yjs.item, st.sampled_from([b"2" * 20, b"3" * 20])),
    ),
    max_size=3,
).map(lambda sections: yjs.update(*sections))


@given(honest | crafted, changes)
@example(b"\0\0", [("set", 5, 0)])
def test_hostile_bytes_are_refused_or_show_what_was_scanned(raw, found):
    """pycrdt only ever sees what was admitted; what it shows then is what the scan says."""
    hostile = mutated(raw, found)
    try:
        admitted = admit(MONTH, [hostile], {})
    except Inadmissible:
        return
    update = admitted.update()
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(update)
    roots = {*crdt.ROOTS, *(entry.root for entry in admitted.entries)}
    assert crdt.shown(doc, roots) == set(admitted.entries)
    assert decode_state(doc.get_state()) == {block.client: block.end for block in admitted.blocks}
    again: pycrdt.Doc[Any] = pycrdt.Doc()
    again.apply_update(doc.get_update())
    assert crdt.shown(again, roots) == set(admitted.entries)
    assert set(entries_of(scan(doc.get_update()))) == set(admitted.entries)


@given(crdt.steps, honest | crafted, changes)
def test_hostile_bytes_take_nothing_from_a_document_that_is_here(history, raw, found):
    doc = crdt.played(history)
    before = crdt.shown(doc)
    try:
        admitted = admit(MONTH, [mutated(raw, found)], decode_state(doc.get_state()))
    except Inadmissible:
        return
    doc.apply_update(admitted.update())
    roots = {*crdt.ROOTS, *(entry.root for entry in admitted.entries)}
    after = {entry[:2]: entry.value for entry in crdt.shown(doc, roots)}
    offered = {entry[:2]: entry.value for entry in admitted.entries}
    kept = {entry[:2]: entry.value for entry in before}
    assert after.keys() == kept.keys() | offered.keys()
    assert all(value in (kept.get(slot), offered.get(slot)) for slot, value in after.items())


@given(st.binary(max_size=80))
def test_any_bytes_are_admitted_or_refused(raw):
    with suppress(Inadmissible):
        admit(MONTH, [raw], {})
