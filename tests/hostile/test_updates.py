"""Updates against a real replica: every known attack on the CRDT library, and mutants. Source: security A1, A4."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pycrdt
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import msgsync
from msgsync import Incoming, Reaction, Replica
from msgsync.document.admission import admit
from msgsync.document.codec import Block, compose, decode_state, scan
from msgsync.document.schema import DocumentId, Entry, segment_of
from msgsync.errors import Inadmissible
from msgsync.ids import encode_id
from msgsync.records import MessageRecord, encode_erased, encode_message, erased_key
from tests.hostile.mutation import changes, mutated
from tests.hostile.peer import Liar, update_of
from tests.unit.document import yjs
from tests.unit.machine import START_MS, Machine

MONTH = DocumentId("family", segment_of(START_MS))
HEAD = DocumentId("family", "head")
FUTURE = DocumentId("family", "polls")
FIND = (Phase.explicit, Phase.reuse, Phase.generate)
"""Making an example smaller takes as long as finding a hundred, with replicas in files."""
NAMES = {"month": MONTH, "head": HEAD, "of a later version": FUTURE}


def entry(number: int, text: str = "by the peer") -> Entry:
    one = START_MS.to_bytes(6, "big") + number.to_bytes(6, "big")
    return Entry("messages", encode_id(one), encode_message(MessageRecord("eve", text)))


def nested(levels: int) -> bytes:
    """One value (Any) of arrays inside each other."""
    return b"\x01" + b"\x75\x01" * levels + b"\x7e"


def gathered(build: Any) -> bytes:
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    build(doc)
    return doc.get_update()


def text(doc: Any) -> None:
    doc["messages"] = pycrdt.Text("hidden")


def array(doc: Any) -> None:
    doc["messages"] = pycrdt.Array([b"x", pycrdt.Map({"a": 1})])


def nested_map(doc: Any) -> None:
    doc["messages"] = pycrdt.Map({"a": pycrdt.Map({"b": pycrdt.Text("c")})})


def number_value(doc: Any) -> None:
    doc["messages"] = pycrdt.Map({"a": 1.5})


def overwritten(doc: Any) -> None:
    root: pycrdt.Map[Any] = pycrdt.Map({})
    doc["messages"] = root
    root["a"] = b"one"
    root["b"] = b"two"
    root["a"] = b"three"


ATTACKS: dict[str, bytes] = {
    "nothing": b"",
    "a byte": b"\x00",
    "41 bytes that end in SIGBUS": bytes.fromhex("010205ffffffffffffffff7f4605") + bytes(27),
    "nesting of a few levels": yjs.one(yjs.item(content=nested(2))),
    "nesting that kills a small stack": yjs.one(yjs.item(content=nested(1600))),
    "nesting that kills any stack": yjs.one(yjs.item(content=nested(200_000))),
    "a length of 2^32": yjs.one(yjs.item(content=b"\x01\x74" + yjs.varint(2**32))),
    "a length of 2^63": yjs.one(yjs.item(content=b"\x01\x74" + yjs.varint(2**63))),
    "2^31 writers": yjs.varint(2**31),
    "2^53 structs": yjs.update(yjs.section(1, 0, count=2**53)),
    "a key that is no UTF-8": yjs.one(yjs.item(b"\xff" * 20)),
    "a root that is no UTF-8": yjs.one(yjs.item(root=b"\xc0\x80")),
    "a text": gathered(text),
    "an array": gathered(array),
    "maps in maps": gathered(nested_map),
    "a number": gathered(number_value),
    "an item that overwrites another": gathered(overwritten),
    "a muted writer": yjs.update(yjs.section(7, 0, yjs.dead(2**31))),
    "a writer muted for good": yjs.update(yjs.section(7, 0, yjs.dead(2**32 - 1))),
    "a skipped run": yjs.one(b"\x0a" + yjs.varint(5)),
    "a gap in the clocks": yjs.update(yjs.section(7, 3, yjs.item())),
    "a writer beyond 53 bits": yjs.update(yjs.section(2**53, 0, yjs.item())),
    "writers in the wrong order": yjs.update(yjs.section(1, 0, yjs.item()), yjs.section(2, 0, yjs.item(b"k"))),
    "one writer twice": yjs.update(yjs.section(1, 0, yjs.item()), yjs.section(1, 1, yjs.item(b"k"))),
    "one key twice": yjs.update(yjs.section(2, 0, yjs.item()), yjs.section(1, 0, yjs.item())),
    "bytes behind the end": yjs.one(yjs.item()) + b"\0",
    "a number longer than it needs": yjs.long_varint(1) + yjs.section(1, 0, yjs.item()) + b"\0",
    "a delete set that is cut off": yjs.update(yjs.section(1, 0, yjs.item()), deletions=b"\x01\x05"),
    "more writers than one update may have": yjs.varint(2**16 + 1) + bytes(2**18),
}  # fmt: skip


def content(replica: Replica) -> object:
    return list(replica.conversation("family").messages(limit=10_000, include_deleted=True))


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("document", NAMES)
def test_an_attack_is_refused_in_words_and_the_replica_stays_as_it_was(
    phone, family, name, document
):
    family.react(family.send("kept"), "👍")
    before = phone.digest, content(phone)
    report = Liar(phone).push_one(NAMES[document], ATTACKS[name])
    [reason] = report.refused
    assert reason.startswith(f"family {NAMES[document].kind}: ")
    assert (phone.digest, content(phone)) == before
    assert phone.status().refused == report.refused
    assert phone.check().ok
    family.send("goes on")


def test_one_attack_among_good_documents_is_refused_alone(phone, tablet, family):
    family.send("kept")
    good = [DocumentId("family", kind) for kind in ("2020-01", "2020-02")]
    report = Liar(phone).push(
        {
            good[0]: lambda _: [update_of(Entry("polls", b"k", b"v"))],
            MONTH: lambda _: [ATTACKS["a muted writer"]],
            good[1]: lambda _: [update_of(Entry("polls", b"k", b"v"))],
        }
    )
    assert len(report.refused) == 1
    assert phone.status().documents == 4  # the head and the month were there
    msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest


@pytest.mark.parametrize("range_", [(0, 1), (0, 2**31), (1, 1), (2**31, 2**31), (0, 2**32 - 1)])
def test_no_delete_set_removes_anything_now_or_later(phone, tablet, family, range_):
    """Security A4: a delete set over a writer's future wipes what it will write, even at home."""
    family.send("kept")
    with phone.reading() as store:
        client = store.documents.client
    deletions = yjs.delete_set((client, [range_]))
    for update in (
        yjs.update(deletions=deletions),
        yjs.update(yjs.section(9, 0, yjs.item(b"k", root=b"polls")), deletions=deletions),
    ):
        assert not Liar(phone).push_one(MONTH, update).refused
    family.send("later")
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert [one.text for one in replica.conversation("family").messages()] == ["kept", "later"]
        assert replica.check().ok


@pytest.mark.parametrize("client", [1, 2**53 - 1])
def test_a_forged_record_under_an_id_that_is_here_is_one_everywhere_and_counted(
    phone, tablet, family, client
):
    sent = family.send("ours")
    msgsync.sync(phone, tablet)
    forged = Entry(
        "messages", encode_id(sent.id.raw), encode_message(MessageRecord("eve", "forged"))
    )
    assert not Liar(tablet).push_one(MONTH, update_of(forged, client=client)).refused
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    assert content(phone) == content(tablet)
    assert tablet.status().differing == 1
    assert phone.check().ok
    assert tablet.check().ok


def test_a_dead_item_with_the_key_of_a_message_takes_it_from_nobody(phone, tablet, family):
    sent = family.send("kept")
    poison = yjs.update(yjs.section(2**53 - 1, 0, yjs.deleted(encode_id(sent.id.raw))))
    assert not Liar(phone).push_one(MONTH, poison).refused
    msgsync.sync(phone, tablet)
    assert [one.text for one in tablet.conversation("family").messages()] == ["kept"]
    assert phone.check().ok


def test_a_hundred_thousand_roots_and_keys_are_taken_in_proportion(phone, tablet, family):
    """Kept as they lie, not shown, passed on, and the replica goes on. Security A4."""
    family.send("kept")
    strange = [Entry(f"r{n % 5000}", b"k%d" % n, b"") for n in range(20_000)]
    assert not Liar(phone).push_one(MONTH, update_of(*strange)).refused
    msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    assert [one.text for one in tablet.conversation("family").messages()] == ["kept"]
    assert tablet.check().ok


# Mutants.

incoming = st.lists(
    st.builds(
        lambda n, text, emoji: Incoming(
            "family",
            "ben",
            text,
            START_MS + n,
            external_id=str(n),
            reactions=(Reaction("ann", emoji, START_MS),) if emoji else (),
        ),
        st.integers(0, 9),
        st.text(max_size=4),
        st.sampled_from(["", "👍"]),
    ),
    max_size=4,
)
EXTRA = [
    update_of(entry(1), 3, entry(2), client=5),
    compose([Block(9, 0, [entry(3)]), Block(5, 0, [2, entry(4)])]),
    update_of(Entry("erased", erased_key(encode_erased([START_MS.to_bytes(6, "big") + bytes(5) + b"\1"])),
                    encode_erased([START_MS.to_bytes(6, "big") + bytes(5) + b"\1"])), entry(1), client=6),
]  # fmt: skip


def replica_in(folder: str, name: str, machine: Machine, **options: Any) -> Replica:
    return Replica(
        Path(folder) / name, author="ann", durability="relaxed", system=machine, **options
    )


@settings(max_examples=40, phases=FIND)
@given(incoming, incoming, st.data())
def test_what_a_replica_takes_of_mutants_lets_it_converge_with_another(ours, theirs, data):
    """Whatever of a mutated update is admitted: no crash, the check is clean, and two replicas end equal."""
    with tempfile.TemporaryDirectory() as folder:
        machine = Machine()
        with (
            replica_in(folder, "a.db", machine) as phone,
            replica_in(folder, "b.db", machine, member=phone) as tablet,
            replica_in(folder, "c.db", machine, member=phone) as source,
        ):
            phone.create_conversation("Family", id="family")
            phone.ingest(ours)
            source.ingest(theirs)
            msgsync.sync(phone, tablet)
            seeds = list(EXTRA)
            with source.reading() as store:
                for row in list(store.documents.select("")):
                    seeds += store.documents.parts(row).updates if row.id == MONTH else ()
            for victim in (phone, tablet):
                for _ in range(3):
                    hostile = mutated(data.draw(st.sampled_from(seeds)), data.draw(changes))
                    before = victim.digest
                    report = Liar(victim).push_one(MONTH, hostile)
                    assert not (report.refused and victim.digest != before)
            phone.conversation("family").send("after")
            for _ in range(2):
                msgsync.sync(phone, tablet)
            assert phone.digest == tablet.digest
            assert content(phone) == content(tablet)
            assert phone.check().ok
            assert tablet.check().ok


def test_two_records_that_a_liar_gave_in_one_place_become_one(tmp_path):
    machine = Machine()
    with (
        replica_in(str(tmp_path), "a.db", machine) as phone,
        replica_in(str(tmp_path), "b.db", machine, member=phone) as tablet,
    ):
        phone.create_conversation("Family", id="family").send("before")
        msgsync.sync(phone, tablet)
        other = bytearray(EXTRA[0])
        other[-2] = ord("!")  # the end of a text
        assert not Liar(phone).push_one(MONTH, EXTRA[0]).refused
        assert not Liar(tablet).push_one(MONTH, bytes(other)).refused
        assert phone.digest != tablet.digest
        for _ in range(2):
            msgsync.sync(phone, tablet)
        assert phone.digest == tablet.digest
        assert content(phone) == content(tablet)
        assert phone.check().ok
        assert tablet.check().ok


@settings(max_examples=300)
@given(st.sampled_from(EXTRA), changes)
def test_an_admitted_mutant_reads_the_same_in_pycrdt_as_in_the_scan(seed, found):
    hostile = mutated(seed, found)
    try:
        admitted = admit(MONTH, [hostile], {})
        blocks = scan(hostile)
    except Inadmissible:
        return
    doc: pycrdt.Doc[Any] = pycrdt.Doc()
    doc.apply_update(admitted.update())
    assert decode_state(doc.get_state()) == {block.client: block.end for block in blocks}
    shown = {
        Entry(root, key.encode(), bytes(value))
        for root in {one.root for one in admitted.entries} | {"messages"}
        for key, value in doc.get(root, type=pycrdt.Map).to_py().items()
    }
    assert shown == set(admitted.entries)
