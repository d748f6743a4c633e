"""Other forms of the same document: frozen, folded, without what is gone. Source: design 4, 6 and 8."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync import Inadmissible, Incoming, Replica, ReplicaDamaged, limits
from msgsync.document.codec import Block, compose, entries_of, scan
from msgsync.document.fold import fold
from msgsync.document.frozen import Label, Parts, arrange, base_of, decode_frozen, encode_frozen
from msgsync.document.schema import ACCOUNT, HEAD, READS, DocumentId, Entry
from msgsync.store.rewriting import freeze_document, rewrite
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store
from tests.unit import files
from tests.unit.document import said
from tests.unit.document.test_fold import entry as any_entry
from tests.unit.document.test_head import entries as any_head_entry
from tests.unit.machine import START_MS
from tests.unit.parts import freeze, never_frozen, parts_of

JANUARY = DocumentId("family", "2024-01")
FAMILY = DocumentId("family", HEAD)
SECRET = b"zyxwvutsrq0987"


def row_of(store: Store, document: DocumentId) -> DocumentRow:
    row = store.documents.find(document)
    assert row is not None
    return row


def shown(replica: Replica) -> object:
    return [
        (one, list(replica.conversation(one.id).messages(limit=500)))
        for one in replica.conversations()
    ]


@pytest.fixture
def path(phone: Replica) -> Path:
    return Path(phone.path)


@pytest.fixture
def talk(phone, family) -> msgsync.Conversation:
    """A month with something of everything."""
    first = family.send("first")
    second = family.send("second")
    family.edit(first, "first, edited")
    for on in (True, False, True):
        (family.react if on else family.unreact)(second, "👍", user="ben")
    family.delete(family.send("deleted"))
    family.erase(family.send("erased"))
    talk: msgsync.Conversation = family
    return talk


def test_a_frozen_document_says_the_same_and_has_no_updates(phone, talk):
    before, digest, cursor = shown(phone), phone.digest, phone.cursor()
    seq = row_seq(phone)
    parts = freeze(phone, JANUARY)
    assert parts.label == Label(1, base_of(parts.frozen))
    assert parts.updates == ()
    assert (shown(phone), phone.digest) == (before, digest)
    assert phone.check().problems == ()
    assert list(phone.changes(after=cursor)) == []
    assert row_seq(phone) == seq, "another form of the same entries is no change"


def row_seq(replica: Replica) -> int:
    with replica.reading() as store:
        return row_of(store, JANUARY).changed_seq


def test_the_size_of_a_document_is_that_of_its_parts(phone, talk):
    for _ in range(2):
        parts = freeze(phone, JANUARY)
        with phone.reading() as store:
            row = row_of(store, JANUARY)
            assert (row.bytes, row.log_rows) == (parts.size_bytes, 1)
        talk.send("more")
        with phone.reading() as store:
            row = row_of(store, JANUARY)
            assert (row.bytes, row.log_rows) == (parts_of(phone, JANUARY).size_bytes, 2)


def test_writing_goes_on_beside_the_frozen_form(phone, talk, open_replica):
    frozen = freeze(phone, JANUARY)
    [first, second] = talk.messages()
    talk.edit(first, "again")
    talk.react(second, "❤")
    third = talk.send("third")
    parts = parts_of(phone, JANUARY)
    assert (parts.label, parts.frozen) == (frozen.label, frozen.frozen)
    assert len(parts.updates) == 3
    assert [one.text for one in talk.messages()] == ["again", "second", "third"]
    assert phone.check().problems == ()
    before = shown(phone)
    phone.close()
    phone = open_replica("phone.db")
    assert shown(phone) == before
    assert phone.conversation("family").message(third.id).text == "third"
    assert phone.check().problems == ()


def test_freezing_again_counts_on_and_takes_in_what_was_written(phone, talk):
    once = freeze(phone, JANUARY)
    talk.send("third")
    before = shown(phone)
    twice = freeze(phone, JANUARY)
    assert twice.label == Label(2, base_of(twice.frozen))
    assert twice.updates == ()
    assert len(decode_frozen(JANUARY, twice.frozen).ids) == 1 + len(
        decode_frozen(JANUARY, once.frozen).ids
    )
    assert shown(phone) == before
    assert phone.check().problems == ()


def test_what_does_not_matter_is_not_in_the_frozen_form(phone, family):
    one = family.send("hello")
    for number in range(50):
        (family.react if number % 2 else family.unreact)(one, "👍", user="ben")
    with phone.reading() as store:
        assert row_of(store, JANUARY).superseded
    frozen = decode_frozen(JANUARY, freeze(phone, JANUARY).frozen)
    assert len(frozen.entries()) == 2
    with phone.reading() as store:
        assert not row_of(store, JANUARY).superseded


def test_of_many_marks_one_is_left(phone, family):
    for number in range(40):
        family.ingest(f"{number}", author="ben", sent=START_MS + number, external_id=str(number))
        family.mark_read()
    assert phone.check().problems == ()
    before = shown(phone)
    frozen = decode_frozen(FAMILY, freeze(phone, FAMILY).frozen)
    assert sum(one.root == READS for one in frozen.others) == 1
    assert shown(phone) == before
    assert phone.check().problems == ()


def test_the_account_document_is_frozen_like_any_other(phone):
    phone.set_setting("retention_days", 7)
    document = DocumentId("", ACCOUNT)
    freeze(phone, document)
    assert phone.check().problems == ()
    phone.set_setting("retention_days", 9)
    assert parts_of(phone, document).updates
    assert freeze(phone, document).label.generation == 2
    assert phone.check().problems == ()


def test_two_replicas_in_one_state_freeze_to_equal_bytes_and_go_on_by_differences(
    phone, tablet, talk
):
    msgsync.sync(phone, tablet)
    tablet.conversation("family").send("from the tablet")
    msgsync.sync(phone, tablet)
    both = freeze(phone, JANUARY), freeze(tablet, JANUARY)
    assert both[0] == both[1]
    talk.send("one")
    tablet.conversation("family").send("two")
    report = msgsync.sync(phone, tablet)
    assert report.complete
    assert phone.digest == tablet.digest
    assert shown(phone) == shown(tablet)
    for replica in (phone, tablet):
        parts = parts_of(replica, JANUARY)
        assert (parts.label, parts.frozen) == (both[0].label, both[0].frozen)
        assert replica.check().problems == ()


def test_this_opening_writes_under_another_client_once_its_clocks_are_gone(phone, talk):
    with phone.reading() as store:
        before = store.documents.client
    freeze(phone, JANUARY)
    talk.send("more")
    with phone.reading() as store:
        assert store.documents.client != before
    [update] = parts_of(phone, JANUARY).updates
    assert [block.clock for block in scan(update)] == [0]


def test_this_opening_goes_on_under_its_client_where_a_log_was_only_folded(phone, talk):
    with phone.writing() as store:
        client = store.documents.client
        rewrite(store.documents, row_of(store, JANUARY))
    talk.send("more")
    updates = parts_of(phone, JANUARY).updates
    assert [block.client for update in updates for block in scan(update)] == [client, client]
    assert phone.check().problems == ()


# Erasing.


@pytest.mark.parametrize("beside", [False, True])
def test_erased_text_leaves_the_frozen_form_and_every_file(phone, family, path, beside):
    kept = family.send("kept")
    one = family.send(f"the word is {SECRET.decode()}")
    frozen = freeze(phone, JANUARY)
    if beside:
        family.edit(one, f"edited: {SECRET.decode()}")
    assert files.remains(path, SECRET[-9:])
    family.erase(one)
    assert files.remains(path, SECRET[-9:]) == []
    parts = parts_of(phone, JANUARY)
    assert parts.label == frozen.label, "what is erased leaves the form, not its name"
    assert decode_frozen(JANUARY, parts.frozen).ids == [kept.id.raw]
    assert encode_frozen(arrange(JANUARY, decode_frozen(JANUARY, parts.frozen).entries())) == (
        parts.frozen
    )
    assert [one.text for one in family.messages()] == ["kept"]
    assert phone.check().problems == ()


def test_everything_may_be_erased(phone, family, path):
    ids = [family.send(f"{number} {SECRET.decode()}") for number in range(20)]
    freeze(phone, JANUARY)
    for one in ids:
        family.erase(one)
    assert files.remains(path, SECRET[-9:]) == []
    assert phone.check().problems == ()
    parts = freeze(phone, JANUARY)
    [erased] = decode_frozen(JANUARY, parts.frozen).entries()
    assert len(erased.value) <= 12 * 20 + 3
    assert phone.check().problems == ()


def test_an_erased_title_leaves_the_frozen_head(phone, family, path):
    family.rename(SECRET.decode())
    frozen = freeze(phone, FAMILY)
    assert files.remains(path, SECRET[-9:])
    family.delete_all(family.preview_deletion().token)
    phone.empty_recently_deleted()
    assert parts_of(phone, FAMILY).label == frozen.label
    assert files.remains(path, SECRET[-9:]) == []
    assert phone.check().problems == ()


# Folding.


def test_many_updates_beside_a_frozen_form_are_folded_into_one(phone, family):
    family.send("first")
    frozen = freeze(phone, JANUARY)
    for number in range(limits.LOG_ROWS + 2):
        family.send(f"{number}")
    parts = parts_of(phone, JANUARY)
    assert (parts.label, parts.frozen) == (frozen.label, frozen.frozen)
    assert len(parts.updates) < limits.LOG_ROWS
    assert len(list(family.messages(limit=1000))) == limits.LOG_ROWS + 3
    assert phone.check().problems == ()


def test_rewriting_a_form_without_updates_leaves_it_as_it_is(phone, talk):
    frozen = freeze(phone, JANUARY)
    with phone.writing() as store:
        rewrite(store.documents, row_of(store, JANUARY))
    assert parts_of(phone, JANUARY) == frozen
    assert phone.check().problems == ()


def test_what_was_superseded_leaves_the_frozen_form_when_it_is_rewritten(phone, family):
    one = family.send("hello")
    family.react(one, "👍", user="ben")
    freeze(phone, JANUARY)
    family.unreact(one, "👍", user="ben")
    with phone.writing() as store:
        rewrite(store.documents, row_of(store, JANUARY))
    with phone.reading() as store:
        assert not row_of(store, JANUARY).superseded
    parts = parts_of(phone, JANUARY)
    assert len(decode_frozen(JANUARY, parts.frozen).entries()) == 1
    assert [one.root for update in parts.updates for one in entries_of(scan(update))] == [
        "reactions"
    ]
    assert phone.check().problems == ()


# What is replaced by something else than it should be stays.


def stored(replica: Replica) -> tuple[Parts, int]:
    with replica.reading() as store:
        return parts_of(replica, JANUARY), row_of(store, JANUARY).digest


def test_a_rewriting_that_failed_leaves_a_loaded_document_as_it_was(phone, family):
    """Entries that were to go are there still, also for who goes on in the same transaction."""
    one = family.send("hello")
    family.react(one, "👍", user="ben")
    family.unreact(one, "👍", user="ben")
    with phone.writing() as store:
        row = row_of(store, JANUARY)
        assert row.superseded
        before = sorted(store.documents.load(row).entries())
        row.add_digest(1)
        with pytest.raises(ReplicaDamaged):
            rewrite(store.documents, row)
        row.add_digest(-1)
        assert sorted(store.documents.load(row).entries()) == before
        assert row.superseded
    assert phone.check().problems == ()


@pytest.mark.parametrize("frozen_before", [False, True])
@pytest.mark.parametrize("rewriting", [freeze_document, rewrite])
def test_nothing_is_replaced_by_what_says_something_else(phone, talk, frozen_before, rewriting):
    if frozen_before:
        freeze(phone, JANUARY)
        talk.send("beside")
    before = stored(phone)

    def change() -> None:
        with phone.writing() as store:
            row = row_of(store, JANUARY)
            row.add_digest(1)  # as if an entry were here that is not
            rewriting(store.documents, row)

    with pytest.raises(ReplicaDamaged):
        change()
    assert stored(phone) == before
    assert phone.check().problems == ()
    talk.send("and it goes on")
    assert phone.check().problems == ()


def test_a_document_too_large_to_be_frozen_stays_as_it_is(phone, talk, monkeypatch):
    before = stored(phone)
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", 100)
    with phone.writing() as store, pytest.raises(Inadmissible, match="100 bytes"):
        freeze_document(store.documents, row_of(store, JANUARY))
    assert stored(phone) == before
    assert phone.check().problems == ()


def test_a_damaged_form_is_said_to_be_damaged(phone, talk):
    frozen = freeze(phone, JANUARY)
    with phone.writing() as store:
        row = row_of(store, JANUARY)
        broken = frozen.frozen[:-1]
        store.documents.replace(row, Parts(Label(9, base_of(broken)), broken, ()))
    with phone.writing() as store, pytest.raises(ReplicaDamaged):
        freeze_document(store.documents, row_of(store, JANUARY))
    assert len(phone.check().problems) >= 1


# Given entries.


def test_a_document_may_be_frozen_of_other_entries(phone, talk):
    entries = [said.message(1), said.erase(2)]
    document = DocumentId("family", "1970-01")
    with phone.writing() as store:
        store.merge(document, never_frozen(compose([Block(7, 0, [said.message(3)])])))
        freeze_document(store.documents, row_of(store, document), entries, 12)
        digest = row_of(store, document).digest
        assert digest == fold(document, entries).digest
    parts = parts_of(phone, document)
    assert parts.label == Label(12, base_of(parts.frozen))
    assert sorted(decode_frozen(document, parts.frozen).entries()) == sorted(entries)
    with phone.reading() as store:
        assert row_of(store, document).digest == digest


def test_generations_end_at_their_limit(phone, talk):
    with phone.writing() as store:
        row = row_of(store, JANUARY)
        freeze_document(store.documents, row, generation=limits.GENERATION)
    assert parts_of(phone, JANUARY).label.generation == limits.GENERATION
    talk.send("more")
    assert freeze(phone, JANUARY).label.generation == limits.GENERATION
    assert phone.check().problems == ()


# Any history.


@settings(max_examples=60)
@given(
    st.sampled_from([(said.MONTH, any_entry), (said.HEAD, any_head_entry)]).flatmap(
        lambda kind: st.tuples(
            st.just(kind[0]), st.lists(kind[1], max_size=16, unique_by=lambda one: one[:2])
        )
    ),
    st.lists(
        st.tuples(st.integers(0, 15), st.sampled_from(["freeze", "rewrite", "load"])), max_size=4
    ),
)
def test_any_entries_in_any_forms_leave_rows_that_a_rebuild_would_make(
    tmp_path_factory, drawn, changes
):
    document, entries = drawn
    with msgsync.open(tmp_path_factory.mktemp("forms") / "a.db", durability="relaxed") as phone:
        places = sorted({0, *(place for place, _ in changes), len(entries)})
        clocks: dict[Label, int] = {}
        for low, high in pairwise(places):
            _give(phone, document, entries[low:high], clocks)
            for what in [what for place, what in changes if place == high]:
                _change(phone, document, what)
            assert phone.check().problems == ()


def _give(
    replica: Replica, document: DocumentId, piece: list[Entry], clocks: dict[Label, int]
) -> None:
    """Have the next entries come in beside the form that is here."""
    with replica.writing() as store:
        row = store.documents.find(document)
        label = Label() if row is None else row.label
        clock = clocks.get(label, 0)
        update = compose([Block(7, clock, list(piece))]) if piece else compose([])
        clocks[label] = clock + len(piece)
        store.merge(document, Parts(label, b"", (update,)))


def _change(replica: Replica, document: DocumentId, what: str) -> None:
    with replica.writing() as store:
        row = store.documents.find(document)
        if row is None or row.is_new:
            return
        digest = row.digest
        if what == "freeze":
            freeze_document(store.documents, row)
        elif what == "rewrite":
            rewrite(store.documents, row)
        else:
            store.documents.load(row)
        assert row.digest == digest


def test_incoming_months_meet_a_frozen_one(phone, family):
    """The same messages come again from a carrier, and one more: only that is new."""
    first = [Incoming("family", "ben", f"{n}", START_MS + n, str(n)) for n in range(5)]
    phone.ingest(first)
    freeze(phone, JANUARY)
    report = phone.ingest([*first, Incoming("family", "ben", "new", START_MS + 9, "9")])
    assert (report.present, report.added) == (5, 1)
    assert len(parts_of(phone, JANUARY).updates) == 1
    assert phone.check().problems == ()
