"""The flat subset of updates: what we write is what pycrdt writes, and nothing else is read."""

from __future__ import annotations

from typing import Any

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.document.codec import (
    NO_UPDATE,
    Block,
    append_dead,
    compose,
    decode_state,
    encode_state,
    entries_of,
    join,
    scan,
    scan_form,
    trim,
)
from msgsync.document.schema import Entry
from msgsync.errors import Inadmissible
from tests.unit.document import crdt, yjs
from tests.unit.document.crdt import played, shown

entries = st.builds(lambda slot, value: Entry(slot[0], slot[1], value), crdt.slots, crdt.values)


def test_an_update_that_brings_nothing_is_what_pycrdt_writes_of_an_empty_document():
    assert NO_UPDATE == compose([]) == pycrdt.Doc().get_update()
    assert scan(NO_UPDATE) == []


@st.composite
def structs(draw: st.DrawFn) -> list[Entry | int]:
    """Structs in normal form: dead runs never touch."""
    found: list[Entry | int] = []
    for struct in draw(st.lists(entries | st.integers(1, 2**20), min_size=1, max_size=8)):
        if isinstance(struct, int) and found and isinstance(found[-1], int):
            continue
        found.append(struct)
    return found


blocks = st.lists(
    st.builds(Block, st.integers(0, limits.CLIENT_ID), st.integers(0, 2**23), structs()),
    max_size=4,
    unique_by=lambda block: block.client,
).map(lambda found: sorted(found, key=lambda block: -block.client))


def writer(client: int, items: list[Entry]) -> pycrdt.Doc[Any]:
    doc: pycrdt.Doc[Any] = pycrdt.Doc(client_id=client)
    for root, key, value in items:
        doc.get(root, type=pycrdt.Map)[key.decode()] = value
    return doc


# Writing.


@given(crdt.clients, st.lists(entries, min_size=1, max_size=8, unique_by=lambda entry: entry[:2]))
def test_composed_bytes_are_those_of_pycrdt(client, items):
    assert compose([Block(client, 0, list(items))]) == writer(client, items).get_update()


@given(
    st.lists(
        st.tuples(crdt.clients, st.lists(entries, min_size=1, max_size=4)),
        max_size=3,
        unique_by=lambda one: one[0],
    )
)
def test_composed_bytes_of_several_writers_are_those_of_pycrdt(written):
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    composed = []
    used: set[tuple[str, bytes]] = set()
    for client, items in written:
        new = [
            entry
            for entry in {entry[:2]: entry for entry in items}.values()
            if entry[:2] not in used
        ]
        used |= {entry[:2] for entry in new}
        if new:
            doc.apply_update(writer(client, new).get_update())
            composed.append(Block(client, 0, list(new)))
    assert compose(composed) == doc.get_update()


@given(blocks)
def test_what_is_composed_is_scanned_back(found):
    assert scan(compose(found)) == found


@given(blocks)
def test_blocks_may_be_given_in_any_order(found):
    assert compose(reversed(found)) == compose(found)


@pytest.mark.parametrize("size", [127, 128])
def test_sizes_that_take_another_byte_are_written_as_pycrdt_does(size):
    for key, value in ((b"k" * size, b"v"), (b"k", b"v" * size), (b"k" * size, b"v" * size)):
        items = [Entry("polls", key, value)]
        assert compose([Block(1, 0, list(items))]) == writer(1, items).get_update()


# Reading what pycrdt writes.


@given(crdt.steps)
def test_a_scan_of_a_document_is_what_pycrdt_shows(history):
    doc = played(history)
    found = scan(doc.get_update())
    assert set(entries_of(found)) == shown(doc)
    assert {block.client: block.end for block in found} == decode_state(doc.get_state())
    assert crdt.applied(compose(found)) == shown(doc)


@given(crdt.steps, crdt.steps)
def test_a_scan_of_a_diff_is_what_the_other_lacks(before, after):
    old, new = played(before), played([*before, *after])
    missing = scan(new.get_update(old.get_state()))
    old_shown, new_shown = shown(old), shown(new)
    assert new_shown - old_shown <= set(entries_of(missing)) <= new_shown
    state = decode_state(old.get_state())
    assert all(block.clock == state.get(block.client, 0) for block in missing)
    old.apply_update(compose(missing))
    assert decode_state(old.get_state()) == decode_state(new.get_state())
    assert shown(old) == new_shown | old_shown  # a removal never travels


def test_two_writers_of_one_key_are_both_in_an_update_and_only_pycrdt_knows_who_shows():
    doc = writer(1, [Entry("messages", yjs.KEY, b"low")])
    doc.apply_update(writer(2, [Entry("messages", yjs.KEY, b"high")]).get_update())
    found = scan(doc.get_update())
    # The loser is a dead item once pycrdt has seen both.
    assert entries_of(found) == [Entry("messages", yjs.KEY, b"high")]
    assert [block.end for block in found] == [1, 1]


def test_a_removed_item_is_dead_whether_or_not_its_key_is_kept():
    for update in (
        yjs.one(yjs.deleted(), yjs.item(b"1" * 20)),
        yjs.one(yjs.dead(), yjs.item(b"1" * 20)),
    ):
        assert scan(update) == [Block(1, 0, [1, Entry("messages", b"1" * 20, yjs.VALUE)])]


def test_dead_runs_that_touch_are_one():
    assert scan(yjs.one(yjs.dead(2), yjs.deleted(length=3), yjs.dead(4))) == [Block(1, 0, [9])]


@given(
    st.lists(
        st.tuples(
            st.integers(0, 9),
            st.lists(st.tuples(st.integers(0, 99), st.integers(1, 99)), max_size=3),
        ),
        max_size=3,
    )
)
def test_a_delete_set_is_dropped(ranges):
    update = yjs.update(yjs.section(1, 0, yjs.item()), deletions=yjs.delete_set(*ranges))
    assert compose(scan(update)) == yjs.one(yjs.item())


def test_roots_and_keys_of_later_versions_are_entries_too():
    found = scan(yjs.one(yjs.item(b"k", root=b"polls"), yjs.item(b"~" * 512, root=b"r" * 64)))
    assert [entry[:2] for entry in entries_of(found)] == [("polls", b"k"), ("r" * 64, b"~" * 512)]


def test_the_largest_of_everything_is_read():
    large = yjs.value(b"x" * limits.VALUE_BYTES)
    assert len(entries_of(scan(yjs.one(yjs.item(content=large))))[0].value) == limits.VALUE_BYTES
    assert scan(yjs.one(yjs.dead(limits.DEAD_RUN))) == [Block(1, 0, [limits.DEAD_RUN])]
    assert scan(yjs.update(yjs.section(2**53 - 1, 0, yjs.dead())))[0].client == 2**53 - 1
    assert scan(yjs.update(yjs.section(1, limits.CLOCK - 1, yjs.dead())))[0].end == limits.CLOCK


def test_a_number_has_up_to_63_bits():
    """Only a delete set may hold one, and it is dropped."""
    greatest = 2**63 - 1
    deletions = yjs.delete_set((greatest, [(greatest, 2**56)]))
    assert scan(yjs.update(yjs.section(1, 0, yjs.item()), deletions=deletions))
    with pytest.raises(Inadmissible, match="63 bits"):
        scan(yjs.update(deletions=yjs.delete_set((greatest + 1, []))))


@pytest.mark.parametrize(
    ("update", "is_normal"),
    [
        (yjs.one(yjs.item()), True),
        (yjs.update(), True),
        (yjs.update(yjs.section(2, 0, yjs.item()), yjs.section(1, 5, yjs.item(b"1" * 20))), True),
        (yjs.one(yjs.item(), yjs.item(b"rare")), False),
        (yjs.one(yjs.dead(), yjs.item()), False),
        (yjs.update(yjs.section(2, 0, yjs.dead()), yjs.section(1, 0, yjs.item())), False),
        (yjs.update(yjs.section(1, 0, yjs.item()), deletions=yjs.delete_set((1, []))), False),
    ],
)
def test_bytes_that_are_surely_normal_are_known_to_be(update, is_normal):
    blocks, found = scan_form(update)
    assert found is is_normal
    assert compose(blocks) == update or not is_normal


@pytest.mark.parametrize(
    "root", ["messages", "edits", "reactions", "deletions", "erased", "fields", "reads"]
)
def test_every_root_that_is_written_is_read_the_fast_way(root):
    for key in (b"z" * 20, b"z" * 48, b"z" * 27, b"z" * 26):
        assert scan_form(yjs.one(yjs.item(key, root=root.encode())))[1]


def test_limits_of_an_update_are_reached_before_they_are_passed(monkeypatch):
    two = yjs.update(yjs.section(2, 0, yjs.item()), yjs.section(1, 0, yjs.item(b"1" * 20)))
    deleting = yjs.update(deletions=yjs.delete_set((1, []), (2, [])))
    vector = encode_state({1: 1, 2: 1})
    monkeypatch.setattr(limits, "CLIENTS", 2)
    assert len(scan(two)) == 2
    assert scan(deleting) == []
    assert decode_state(vector) == {1: 1, 2: 1}
    monkeypatch.setattr(limits, "CLIENTS", 1)
    with pytest.raises(Inadmissible, match="of 2 writers"):
        scan(two)
    with pytest.raises(Inadmissible, match="a delete set beyond"):
        scan(deleting)
    with pytest.raises(Inadmissible, match="a state vector beyond"):
        decode_state(vector)


def test_limits_of_an_entry_are_reached_before_they_are_passed(monkeypatch):
    """Of those that are read the fast way (200 bytes: two for their length) and of others."""
    updates = [yjs.one(yjs.item(key, yjs.value(b"x" * 200))) for key in (yjs.KEY, b"rare")]
    monkeypatch.setattr(limits, "VALUE_BYTES", 200)
    for update in updates:
        assert len(entries_of(scan(update))) == 1
    monkeypatch.setattr(limits, "VALUE_BYTES", 199)
    for update in updates:
        with pytest.raises(Inadmissible, match="beyond the limit"):
            scan(update)


def test_what_stands_behind_an_entry_is_not_part_of_it():
    for key in (yjs.KEY, b"rare"):
        for size in (0, 127, 128):
            value = bytes(range(size))
            found = entries_of(scan(yjs.one(yjs.item(key, yjs.value(value)), yjs.item(b"1" * 20))))
            assert found == [Entry("messages", key, value), Entry("messages", b"1" * 20, yjs.VALUE)]


# Refusing everything else.

NESTED_MAP = yjs.item(content=b"\x01", info=0x27)
DEEP = b"\x75\x01" * 30_000 + b"\x7f"

REFUSED = {
    "nothing": b"",
    "cut off in a number": b"\x80",
    "cut off before the sections": b"\x01",
    "cut off in an item": yjs.one(yjs.item())[:-8],
    "cut off before the delete set": yjs.one(yjs.item())[:-1],
    "cut off in the delete set": yjs.update(yjs.section(1, 0, yjs.item()), deletions=b"\x01\x01"),
    "fewer structs than promised": yjs.update(yjs.section(1, 0, yjs.item(), count=2)),
    "more structs than promised": yjs.update(
        yjs.section(1, 0, yjs.item(), yjs.item(b"1" * 20), count=1)
    ),
    "bytes behind the end": yjs.one(yjs.item()) + b"\0",
    "no struct in a section": yjs.update(yjs.section(1, 0)),
    "a long number of sections": yjs.long_varint(1) + yjs.section(1, 0, yjs.item()) + b"\0",
    "a long number of structs": b"\x01" + yjs.long_varint(1) + b"\x01\x00" + yjs.item() + b"\0",
    "a long client": b"\x01\x01" + yjs.long_varint(1) + b"\x00" + yjs.item() + b"\0",
    "a long clock": b"\x01\x01\x01" + yjs.long_varint(0) + yjs.item() + b"\0",
    "a long length of a value": yjs.one(
        yjs.item(content=b"\x01\x74" + yjs.long_varint(5) + b"value")
    ),
    "a long length of a key": yjs.one(
        b"\x28\x01\x08messages" + yjs.long_varint(20) + yjs.KEY + yjs.value()
    ),
    "a long length of a root": yjs.one(
        b"\x28\x01" + yjs.long_varint(8) + b"messages" + yjs.string(yjs.KEY) + yjs.value()
    ),
    "a long dead run": yjs.one(b"\0" + yjs.long_varint(3)),
    "a number of more than 63 bits": b"\xff" * 12 + b"\x01",
    "too many writers": yjs.varint(limits.CLIENTS + 1) + yjs.section(1, 0, yjs.dead()) + b"\0",
    "a writer twice": yjs.update(yjs.section(1, 0, yjs.dead()), yjs.section(1, 1, yjs.dead())),
    "writers ascending": yjs.update(yjs.section(1, 0, yjs.dead()), yjs.section(2, 0, yjs.dead())),
    "a writer of 54 bits": yjs.update(yjs.section(2**53, 0, yjs.dead())),
    "a clock beyond 31 bits": yjs.update(yjs.section(1, 2**31, yjs.dead())),
    "clocks that run over": yjs.update(yjs.section(1, limits.CLOCK, yjs.dead(1))),
    "an empty dead run": yjs.one(yjs.dead(0)),
    "a huge dead run": yjs.one(yjs.dead(limits.DEAD_RUN + 1)),
    "a dead run of 2^63": yjs.one(yjs.dead(2**63 - 1)),
    "dead runs that are huge together": yjs.one(yjs.dead(limits.DEAD_RUN), yjs.dead(1)),
    "removed items that are huge together": yjs.one(yjs.dead(limits.DEAD_RUN), yjs.deleted()),
    "a removed item of no length": yjs.one(yjs.deleted(length=0)),
    "a skip": yjs.one(b"\x0a\x05"),
    "a skip before an item": yjs.one(b"\x0a\x05", yjs.item()),
    "a nested map": yjs.one(NESTED_MAP),
    "a nested text": yjs.one(yjs.item(content=b"\x02", info=0x27)),
    "an item in an item": yjs.one(NESTED_MAP, yjs.item(parent=b"\0\x01\x00")),
    "a parent that is an item": yjs.one(yjs.item(parent=b"\0\x01\x00")),
    "a parent of another form": yjs.one(yjs.item(parent=b"\x02" + yjs.string(b"messages"))),
    "a parent of another form, the slow way": yjs.one(
        yjs.item(b"rare", parent=b"\0" + yjs.string(b"messages"))
    ),
    "no key": yjs.one(b"\x08\x01\x08messages" + yjs.value()),
    "an empty key": yjs.one(yjs.item(b"")),
    "a key beyond its limit": yjs.one(yjs.item(b"k" * (limits.KEY_BYTES + 1))),
    "a key with a space": yjs.one(yjs.item(b"0" * 19 + b" ")),
    "a key with a newline behind it": yjs.one(yjs.item(b"key\n")),
    "a key that is not ASCII": yjs.one(yjs.item("ключ".encode())),
    "a key that is not UTF-8": yjs.one(yjs.item(b"\xff")),
    "an empty root": yjs.one(yjs.item(root=b"")),
    "a root beyond its limit": yjs.one(yjs.item(root=b"r" * 65)),
    "a root that is not ASCII": yjs.one(yjs.item(root="ключ".encode())),
    "a left origin": yjs.one(b"\xa8\x01\x00" + yjs.string(yjs.KEY) + yjs.value()),
    "a right origin": yjs.one(b"\x68\x01\x00" + yjs.string(yjs.KEY) + yjs.value()),
    "both origins": yjs.one(b"\xe8\x01\x00\x01\x00" + yjs.string(yjs.KEY) + yjs.value()),
    "a removed item with an origin": yjs.one(b"\xa1\x01\x00\x01"),
    "two values": yjs.one(yjs.item(content=b"\x02\x74\x01a\x74\x01b")),
    "no value": yjs.one(yjs.item(content=b"\x00")),
    "a string for a value": yjs.one(yjs.item(content=b"\x01\x77\x01a")),
    "a number for a value": yjs.one(yjs.item(content=b"\x01\x7d\x05")),
    "a mapping for a value": yjs.one(yjs.item(content=b"\x01\x76\x00")),
    "a deeply nested value": yjs.one(yjs.item(content=b"\x01" + DEEP)),
    "a deeply nested value without a key": yjs.one(b"\x08\x01\x08messages\x01" + DEEP),
    "a value beyond its limit": yjs.one(
        yjs.item(content=yjs.value(b"x" * (limits.VALUE_BYTES + 1)))
    ),
    "a value that claims 2^40": yjs.one(yjs.item(content=b"\x01\x74" + yjs.varint(2**40))),
    "a value that is cut off": yjs.update(
        yjs.section(1, 0, yjs.item(content=b"\x01\x74\x7f")), deletions=b""
    ),
    "a string as content": yjs.one(yjs.item(content=yjs.string(b"hi"), info=0x24)),
    "JSON as content": yjs.one(yjs.item(content=b"\x01" + yjs.string(b"1"), info=0x22)),
    "binary as content": yjs.one(yjs.item(content=yjs.string(b"hi"), info=0x23)),
    "an embed as content": yjs.one(yjs.item(content=yjs.string(b"{}"), info=0x25)),
    "a format as content": yjs.one(
        yjs.item(content=yjs.string(b"b") + yjs.string(b"1"), info=0x26)
    ),
    "a document as content": yjs.one(yjs.item(content=yjs.string(b"id") + b"\x76\x00", info=0x29)),
    "a move as content": yjs.one(yjs.item(content=b"\x00\x00\x01\x00", info=0x2B)),
    "a delete set of 2^50 ranges": yjs.update(deletions=b"\x01\x01" + yjs.varint(2**50)),
    "a delete set of too many writers": yjs.update(deletions=yjs.varint(2**40)),
    "the input that ends in SIGBUS": bytes.fromhex("010205ffffffffffffffff7f4605"),
}


@pytest.mark.parametrize("update", REFUSED.values(), ids=REFUSED)
def test_another_shape_is_refused(update):
    with pytest.raises(Inadmissible):
        scan(update)


@pytest.mark.parametrize("info", [info for info in range(256) if info not in (0, 0x21, 0x28)])
def test_no_other_kind_of_item_is_read(info):
    with pytest.raises(Inadmissible):
        scan(yjs.one(yjs.item(info=info)))


def test_what_pycrdt_writes_for_other_uses_is_refused():
    def text(doc: pycrdt.Doc[Any]) -> None:
        doc.get("messages", type=pycrdt.Text).insert(0, "hello")

    def array(doc: pycrdt.Doc[Any]) -> None:
        doc.get("messages", type=pycrdt.Array).append(b"hello")

    def nested(doc: pycrdt.Doc[Any]) -> None:
        doc.get("messages", type=pycrdt.Map)["a"] = pycrdt.Map({"b": b"c"})

    def overwritten(doc: pycrdt.Doc[Any]) -> None:
        doc.get("messages", type=pycrdt.Map)["a"] = b"1"
        doc.get("messages", type=pycrdt.Map)["a"] = b"2"

    def number(doc: pycrdt.Doc[Any]) -> None:
        doc.get("messages", type=pycrdt.Map)["a"] = 1.5

    for misuse in (text, array, nested, overwritten, number):
        doc: pycrdt.Doc[Any] = pycrdt.Doc()
        misuse(doc)
        with pytest.raises(Inadmissible):
            scan(doc.get_update())


# Joining and trimming.


@given(blocks, st.lists(st.integers(0, 9), max_size=3))
def test_joining_what_was_cut_gives_the_whole(found, cuts):
    """Cut between any two items of each writer, inside a dead run too."""
    pieces = [found]
    for cut in cuts:
        last = pieces.pop()
        ends = {block.client: min(block.clock + cut, block.end) for block in last}
        pieces.append([part for block in last if (part := upto(block, ends[block.client])).structs])
        pieces.append(trim(last, ends))
    assert compose(join(pieces)) == compose(found)


def upto(block: Block, end: int) -> Block:
    kept: list[Entry | int] = []
    room = end - block.clock
    for struct in block.structs:
        if room <= 0:
            break
        kept.append(min(struct, room) if isinstance(struct, int) else struct)
        room -= struct if isinstance(struct, int) else 1
    return Block(block.client, block.clock, kept)


@given(blocks, st.integers(0, 9))
def test_trimming_leaves_what_is_beyond_the_state(found, known):
    state = {block.client: block.clock + known for block in found}
    left = {block.client: block for block in trim(found, state)}
    for block in found:
        if block.clock + known >= block.end:
            assert block.client not in left
            continue
        rest = left[block.client]
        assert (rest.clock, rest.end) == (block.clock + known, block.end)
        kept = entries_of([rest])
        assert entries_of([block])[-len(kept) :] == kept or not kept
        assert len(kept) == len(entries_of([block])) - len(entries_of([upto(block, rest.clock)]))


def test_a_gap_before_an_update_is_refused():
    with pytest.raises(Inadmissible, match="gap"):
        trim([Block(1, 5, [1])], {1: 4})
    with pytest.raises(Inadmissible, match="gap"):
        trim([Block(1, 1, [1])], {})


@pytest.mark.parametrize("clock", [0, 1, 3])
def test_updates_with_a_gap_or_an_overlap_are_not_joined(clock):
    with pytest.raises(Inadmissible):
        join([[Block(1, 0, [2])], [Block(1, clock, [2])]])


def test_joining_leaves_what_it_was_given_as_it_was():
    first, second = [Block(1, 0, [1])], [Block(1, 1, [1])]
    assert join([first, second]) == [Block(1, 0, [2])]
    assert (first, second) == ([Block(1, 0, [1])], [Block(1, 1, [1])])


def test_dead_runs_are_bounded_when_joined_too():
    with pytest.raises(Inadmissible):
        join([[Block(1, 0, [limits.DEAD_RUN])], [Block(1, limits.DEAD_RUN, [1])]])
    run: list[Entry | int] = [1]
    append_dead(run, 2)
    assert run == [3]


# State vectors.


@given(st.dictionaries(st.integers(0, limits.CLIENT_ID), st.integers(0, limits.CLOCK), max_size=5))
def test_a_state_vector_round_trips(state):
    assert decode_state(encode_state(state)) == state


def test_a_state_vector_has_its_clients_in_descending_order():
    assert encode_state({1: 2, 300: 1, 7: 128}) == b"\x03\xac\x02\x01\x07\x80\x01\x01\x02"


@given(crdt.steps)
def test_a_state_vector_is_that_of_pycrdt(history):
    doc = played(history)
    assert decode_state(encode_state(decode_state(doc.get_state()))) == decode_state(
        doc.get_state()
    )


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\x01",
        b"\x01\x01",
        b"\x01\x01\x80",
        b"\x00\x00",
        b"\x02\x01\x01\x01\x02",
        b"\x01\x81\x00\x01",
        b"\x01" + yjs.varint(2**53) + b"\x01",
        b"\x01\x01" + yjs.varint(2**31),
        yjs.varint(limits.CLIENTS + 1),
        b"\xff" * 20,
    ],
)
def test_a_bad_state_vector_is_refused(raw):
    with pytest.raises(Inadmissible):
        decode_state(raw)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_state_vector_or_refused(raw):
    try:
        state = decode_state(raw)
    except Inadmissible:
        return
    assert decode_state(encode_state(state)) == state
