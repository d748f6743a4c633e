"""The rows that an app reads are those that a rebuild would make. The great properties are in tests/property."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync import Edit, Incoming, Reaction
from msgsync.document.codec import Block, compose
from msgsync.document.schema import DocumentId, Entry
from tests.unit.document import said
from tests.unit.document.test_fold import entry
from tests.unit.machine import START_MS
from tests.unit.parts import never_frozen

MONTH = said.MONTH
verbs = st.sampled_from(
    ["send", "send", "edit", "react", "unreact", "delete", "restore", "erase", "ingest", "rename"]
)


def incoming(number: int, variant: int) -> Incoming:
    return Incoming(
        "family",
        "ben",
        f"ingested {number}",
        START_MS - number * 10**9,
        external_id=str(number),
        reply_external=str(number + 1),
        edits=tuple(Edit(f"edit {n}", START_MS + n) for n in range(variant)),
        reactions=(Reaction("cleo", "👍", START_MS),) * (variant > 1),
        deleted_ms=START_MS if variant > 2 else None,
    )


@settings(max_examples=30)
@given(st.lists(st.tuples(verbs, st.integers(0, 5), st.integers(0, 3)), max_size=25))
def test_random_verbs_leave_rows_that_a_rebuild_would_make(tmp_path_factory, steps):
    with msgsync.open(
        tmp_path_factory.mktemp("model") / "a.db", author="ann", durability="relaxed"
    ) as phone:
        family = phone.create_conversation("Family", id="family")
        here: list[msgsync.MessageId] = []
        for verb, pick, variant in steps:
            if verb == "send":
                here.append(family.send(f"sent {variant}").id)
            elif verb == "ingest":
                message = incoming(pick, variant)
                if phone.ingest([message]).added:
                    found = family.find(str(pick))
                    assert found is not None
                    here.append(found.id)
            elif verb == "rename":
                family.rename(f"title {variant}")
            elif here:
                one = here[pick % len(here)]
                if verb == "edit":
                    assert family.edit(one, f"edit {variant}").text == f"edit {variant}"
                elif verb in ("react", "unreact"):
                    getattr(family, verb)(one, "👍❤"[variant % 2])
                else:
                    getattr(family, verb)(one)
                    if verb == "erase":
                        here.remove(one)
        assert phone.check().problems == ()


@settings(max_examples=60)
@given(
    st.lists(entry, max_size=16, unique_by=lambda one: one[:2]),
    st.lists(st.integers(0, 15), max_size=3),
)
def test_any_entries_from_peers_in_any_pieces_leave_rows_that_a_rebuild_would_make(
    tmp_path_factory, entries, cuts
):
    with msgsync.open(tmp_path_factory.mktemp("model") / "a.db", durability="relaxed") as phone:
        places = sorted({0, *cuts, len(entries)})
        clock = 0
        for low, high in pairwise(places):
            piece = entries[low:high]
            if piece:
                with phone.writing() as store:
                    store.merge(MONTH, never_frozen(compose([Block(7, clock, list(piece))])))
                clock += len(piece)
            assert phone.check().problems == ()


def test_entries_of_any_key_and_value_are_kept_and_reported(phone):
    odd = [
        Entry("messages", b"0" * 19, b"x"),
        Entry("messages", b"0" * 21, b"x"),
        Entry("messages", b"0" * 19 + b"u", said.message(1).value),
        Entry("messages", said.message(2).key, b"\xa3\x01\x61a\x02\x61x\x03\x3b" + b"\xff" * 8),
        Entry("messages", said.message(3).key, b"\xa3\x01\x61a\x02\x61x\x05\x20"),
        Entry("edits", said.edit(1, (1, 1), "x").key, b""),
        Entry("deletions", said.delete((1, 1), 1).key, b"\xa0"),
        Entry("erased", b"0" * 26, b"\x40"),
        Entry("polls", b"~", b"later"),
    ]
    with phone.writing() as store:
        update = compose([Block(7, 0, [*odd, said.message(4, "seen")])])
        store.merge(MONTH, never_frozen(update))
    assert [one.text for one in phone.conversation("c").messages()] == ["seen"]
    assert (
        phone.status().unreadable == len(odd) - 1
    )  # what a later version means is not for us to read
    assert phone.check().problems == ()


def test_heads_hold_odd_things_too(phone):
    odd = [
        Entry("fields", b"0" * 27, b"x"),
        Entry("fields", said.stamp((1, 1)).key(), b"\xa0"),
        Entry("reads", b"later", b"x"),
        said.field((2, 1), "title", 7),
        said.field((3, 1), "created", "yesterday"),
        said.field((4, 1), "muted", {"until": [1, None]}),
        Entry("erased", b"0" * 26, b"\x40"),
    ]
    with phone.writing() as store:
        store.merge(said.HEAD, never_frozen(compose([Block(7, 0, list(odd))])))
    assert phone.check().problems == ()
    assert phone.status().unreadable == 4


def test_documents_of_kinds_that_this_version_does_not_know_are_kept(phone, tablet):
    later = Entry("anything", b"key", b"value")
    for document in (
        DocumentId("c", "index"),
        DocumentId("", "account"),
        DocumentId("", "devices-2"),
    ):
        with phone.writing() as store:
            store.merge(document, never_frozen(compose([Block(7, 0, [later])])))
    assert phone.conversations() == []
    msgsync.sync(phone, tablet)
    assert tablet.digest == phone.digest
    assert tablet.check().problems == ()
