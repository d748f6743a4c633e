"""What peers send becomes part of the documents that are here; the ways of it, one by one."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgsync import Inadmissible, Replica
from msgsync.document.codec import Block, compose, entries_of, scan
from msgsync.document.fold import fold
from msgsync.document.frozen import Label, Parts, arrange, base_of, encode_frozen
from msgsync.document.gonefiles import gone_entry
from msgsync.document.head import fold_head
from msgsync.document.schema import DocumentId, Entry
from msgsync.store.rewriting import rewrite
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store
from tests.unit import files
from tests.unit.document import said
from tests.unit.document.test_gonefiles import SECRET as FILE
from tests.unit.document.test_gonefiles import with_files
from tests.unit.document.test_head import erase as erase_field
from tests.unit.parts import never_frozen, parts_of

POLLS = DocumentId("c", "polls")
"""Of a later version: this one keeps and passes on what lies in it."""
EACH = pytest.mark.parametrize("document", [said.MONTH, said.HEAD, POLLS])


def one(document: DocumentId, number: int, value: str = "text") -> Entry:
    """An entry of a document, its key by a number."""
    if document.is_segment:
        return said.message(number, value)
    if document.has_fields:
        return said.field((number, 1), f"meta.{number}", value)
    return Entry("polls", b"%d" % number, value.encode())


def some(document: DocumentId, *numbers: int) -> list[Entry]:
    return [one(document, number) for number in numbers]


def written(*entries: Entry, client: int = 7, clock: int = 0) -> bytes:
    return compose([Block(client, clock, list(entries))])


def form(document: DocumentId, entries: list[Entry], *updates: bytes, generation: int = 1) -> Parts:
    """A frozen form and what lies beside it."""
    content = encode_frozen(arrange(document, entries))
    return Parts(Label(generation, base_of(content)), content, updates)


def merge(replica: Replica, document: DocumentId, parts: Parts, *, whole: bool = False) -> int:
    with replica.writing() as store:
        gained = store.merge(document, parts, whole=whole)
        assert isinstance(gained, int)
        return gained


def row_of(store: Store, document: DocumentId) -> DocumentRow:
    row = store.documents.find(document)
    assert row is not None
    return row


def label_of(replica: Replica, document: DocumentId) -> Label:
    return parts_of(replica, document).label


def clients_of(replica: Replica, document: DocumentId) -> list[int]:
    updates = parts_of(replica, document).updates
    return [block.client for update in updates for block in scan(update)]


def assert_holds(replica: Replica, document: DocumentId, entries: list[Entry]) -> None:
    """These entries and no others, and all that follows from them."""
    with replica.reading() as store:
        row = row_of(store, document)
        assert sorted(store.documents.reread(row)) == sorted(entries)
        assert row.digest == fold(document, entries).digest
        if document.is_head:
            held = fold_head(document, entries).fields
            assert store.heads.fields(row.key, "") == {name: held[name][1] for name in held}
    assert replica.check().problems == ()


@pytest.mark.parametrize(
    "document",
    [*(DocumentId("c", kind) for kind in ("Month", "", "x" * 33)), DocumentId("\0", "head")],
)
def test_what_is_no_document_by_its_name_is_not_begun(phone, document):
    """Of any kind would be kept as it lies: nothing else looks at the name."""
    update = compose([Block(9, 0, [said.message(1)])])
    with phone.writing() as store:
        with pytest.raises(Inadmissible):
            store.merge(document, never_frozen(update))
        assert store.documents.find(document) is None


# Beginning.


@EACH
def test_updates_begin_a_document_and_others_go_on_from_them(phone, document):
    assert merge(phone, document, never_frozen(written(*some(document, 1, 2)))) == 2
    assert merge(phone, document, never_frozen(written(one(document, 3), clock=2))) == 1
    assert_holds(phone, document, some(document, 1, 2, 3))
    assert len(parts_of(phone, document).updates) == 2


@EACH
def test_what_brings_nothing_begins_nothing(phone, document):
    assert merge(phone, document, never_frozen(compose([]))) == 0
    with phone.reading() as store:
        assert store.documents.find(document) is None


@EACH
def test_what_is_here_already_is_no_gain(phone, document):
    update = written(*some(document, 1, 2))
    assert merge(phone, document, never_frozen(update)) == 2
    assert merge(phone, document, never_frozen(update)) == 0
    assert_holds(phone, document, some(document, 1, 2))


@EACH
def test_a_frozen_form_begins_a_document_with_what_lies_beside_it(phone, document):
    parts = form(document, some(document, 1, 2), written(*some(document, 3, 4, 5)))
    assert merge(phone, document, parts) == 5
    assert parts_of(phone, document) == parts
    assert_holds(phone, document, some(document, 1, 2, 3, 4, 5))


@EACH
def test_a_frozen_form_alone_begins_a_document(phone, document):
    parts = form(document, some(document, 1, 2))
    assert merge(phone, document, parts) == 2
    assert parts_of(phone, document) == parts
    assert_holds(phone, document, some(document, 1, 2))


def test_all_that_a_frozen_month_says_counts_as_gained(phone):
    assert merge(phone, said.MONTH, form(said.MONTH, [said.message(1), said.react(1, (1, 1))])) == 2


@EACH
def test_a_document_of_which_nothing_is_left_here_is_begun_again(phone, document):
    with phone.writing() as store:
        store.documents.make(document)
    assert merge(phone, document, form(document, some(document, 1))) == 1
    assert_holds(phone, document, some(document, 1))


def test_closing_sees_to_what_is_due_if_nothing_but_a_frozen_form_came(
    phone, machine, open_replica
):
    merge(phone, said.MONTH, never_frozen(written(said.message(1))))
    phone.close()
    machine.clock_ms += 40 * 86_400_000
    again = open_replica("phone.db")
    later = DocumentId("c", "1970-02")
    merge(again, later, form(later, [Entry("polls", b"1", b"x")]))
    assert not label_of(again, said.MONTH).generation
    again.close()
    assert label_of(open_replica("phone.db"), said.MONTH).generation == 1


@pytest.mark.parametrize("beside", [False, True])
def test_a_frozen_form_is_begun_without_what_it_or_an_update_beside_it_erases(phone, beside):
    said_of_it = [said.message(1, "secret"), said.edit(1, (1, 1), "secret"), said.message(2)]
    erasure = [said.erase(1)]
    content = encode_frozen(arrange(said.MONTH, said_of_it + erasure * (not beside)))
    updates = (compose([Block(9, 0, list(erasure))]),) * beside
    with phone.writing() as store:
        store.merge(said.MONTH, Parts(Label(1, base_of(content)), content, updates))
    assert [one.text for one in phone.conversation("c").messages()] == ["text"]
    parts = parts_of(phone, said.MONTH)
    assert b"secret" not in parts.frozen + b"".join(parts.updates)
    assert phone.check().problems == ()


@EACH
def test_of_two_values_in_what_begins_a_document_the_greater_one_is_kept(phone, document):
    less, greater = one(document, 1, "less"), one(document, 1, "more")
    for number, (inside, beside) in enumerate([(less, greater), (greater, less)]):
        there = DocumentId(f"c{number}", document.kind)
        assert merge(phone, there, form(there, [inside], written(beside))) == 1
        assert phone.status().differing == number + 1
        with phone.reading() as store:
            assert store.documents.entries(row_of(store, there)) == [greater]
    assert phone.check().problems == ()


# Going on from what is here.


@EACH
def test_of_two_values_under_one_key_the_crdt_shows_one_and_the_other_is_counted(phone, document):
    """Which one follows from the clients; what is told of it is what lies there."""
    merge(phone, document, never_frozen(written(*some(document, 1, 2), client=7)))
    cursor = phone.cursor()
    assert merge(phone, document, never_frozen(written(one(document, 1, "new"), client=8))) == 0
    assert phone.status().differing == 1
    with phone.reading() as store:
        row = row_of(store, document)
        entries = store.documents.entries(row)
        assert row.changed_seq == store.seq
    assert len(entries) == 2
    assert_holds(phone, document, entries)
    assert {change.kind for change in phone.changes(after=cursor)} <= {"message", "conversation"}


@EACH
def test_of_two_values_under_one_key_a_greater_one_that_is_frozen_stays(
    phone, document, open_replica
):
    """What rows were made anew is the same for who reads on and for who begins again: all are of this commit."""
    merge(phone, document, form(document, [one(document, 1, "zzz"), one(document, 2)]))
    cursor = phone.cursor()
    update = written(one(document, 1, "aaa"))
    assert merge(phone, document, Parts(label_of(phone, document), b"", (update,))) == 0
    assert phone.status().differing == 1
    with phone.reading() as store:
        row = row_of(store, document)
        assert row.changed_seq == store.seq
        assert sorted(store.documents.entries(row)) == sorted(
            [one(document, 1, "zzz"), one(document, 2)]
        )
    changes = list(phone.changes(after=cursor))
    assert phone.check().problems == ()
    phone.close()
    again = open_replica("phone.db")
    assert list(again.changes(after=cursor)) == changes
    assert again.check().problems == ()


def test_what_only_clocks_hide_is_taken_where_all_of_it_was_sent(phone):
    """One writer's clocks were given away twice: by them nothing is missing here."""
    merge(phone, said.MONTH, never_frozen(written(said.message(1))))
    sent = never_frozen(compose([Block(8, 0, [said.message(3)]), Block(7, 0, [said.message(2)])]))
    assert merge(phone, said.MONTH, sent) == 1
    assert_holds(phone, said.MONTH, some(said.MONTH, 1, 3))
    assert merge(phone, said.MONTH, sent, whole=True) == 1
    assert_holds(phone, said.MONTH, some(said.MONTH, 1, 2, 3))


def test_what_goes_on_and_what_clocks_hide_are_gained_together(phone):
    merge(phone, said.MONTH, never_frozen(written(said.message(1))))
    sent = never_frozen(
        compose([Block(8, 0, [said.message(3), said.message(4)]), Block(7, 0, [said.message(2)])])
    )
    assert merge(phone, said.MONTH, sent, whole=True) == 3
    assert merge(phone, said.MONTH, sent, whole=True) == 0
    assert_holds(phone, said.MONTH, some(said.MONTH, 1, 2, 3, 4))


def test_whoever_knows_clocks_of_this_opening_beside_others_makes_it_draw_another(phone):
    with phone.reading() as store:
        client = store.documents.client
    blocks = [Block(n, 0, [said.message(n % 7)]) for n in sorted((client, 8, 9), reverse=True)]
    merge(phone, said.MONTH, never_frozen(compose(blocks)))
    assert phone.status().cloned
    with phone.reading() as store:
        assert store.documents.client != client


def test_clocks_of_others_leave_this_opening_its_client(phone):
    with phone.reading() as store:
        client = store.documents.client
    merge(phone, said.MONTH, never_frozen(written(said.message(1))))
    merge(phone, said.MONTH, form(said.MONTH, [said.message(2)], written(said.message(3))))
    assert not phone.status().cloned
    with phone.reading() as store:
        assert store.documents.client == client


# Meeting.


@EACH
def test_a_form_of_a_higher_generation_is_taken_and_what_is_only_here_goes_beside_it(
    phone, document
):
    merge(phone, document, form(document, some(document, 1, 2), written(one(document, 3))))
    there = form(document, some(document, 2, 4), written(one(document, 5)), generation=2)
    assert merge(phone, document, there) == 2
    parts = parts_of(phone, document)
    assert (parts.label, parts.frozen, parts.updates[0]) == (
        there.label,
        there.frozen,
        *there.updates,
    )
    beside = entries_of(scan(parts.updates[1]))
    assert sorted(beside) == some(document, 1, 3)
    assert_holds(phone, document, some(document, 1, 2, 3, 4, 5))


@EACH
def test_a_form_of_a_higher_generation_that_says_the_same_is_taken_as_it_is(phone, document):
    merge(phone, document, never_frozen(written(*some(document, 1, 2))))
    there = form(document, some(document, 1, 2))
    assert merge(phone, document, there) == 0
    assert parts_of(phone, document) == there
    assert_holds(phone, document, some(document, 1, 2))


@EACH
def test_of_a_form_of_a_lower_generation_what_is_missing_is_written_beside_ours(phone, document):
    ours = form(document, some(document, 1, 2), generation=2)
    merge(phone, document, ours)
    there = form(document, some(document, 2, 4), written(one(document, 5)))
    assert merge(phone, document, there) == 2
    parts = parts_of(phone, document)
    assert (parts.label, parts.frozen) == (ours.label, ours.frozen)
    with phone.reading() as store:
        assert clients_of(phone, document) == [store.documents.client]
    assert_holds(phone, document, some(document, 1, 2, 4, 5))


@EACH
def test_updates_beside_another_form_are_taken_as_a_set(phone, document):
    """Their clocks say nothing of what is here: the same writer's, of before the form was frozen."""
    ours = form(document, some(document, 1, 2), written(one(document, 3)))
    merge(phone, document, ours)
    assert merge(phone, document, never_frozen(written(one(document, 4)))) == 1
    beyond = Parts(Label(9, bytes(16)), b"", (written(one(document, 5)),))
    assert merge(phone, document, beyond) == 1
    parts = parts_of(phone, document)
    assert (parts.label, parts.frozen) == (ours.label, ours.frozen)
    assert_holds(phone, document, some(document, 1, 2, 3, 4, 5))


@EACH
def test_another_content_under_the_same_label_adds_to_ours(phone, document):
    """As where somebody erased something of it, or lies."""
    ours = form(document, some(document, 1, 2))
    merge(phone, document, ours)
    with phone.writing() as store:
        store.write(row_of(store, document), some(document, 3))
        client = store.documents.client
    there = form(document, some(document, 1, 4))._replace(label=ours.label)
    assert merge(phone, document, there) == 1
    parts = parts_of(phone, document)
    assert (parts.label, parts.frozen) == (ours.label, ours.frozen)
    assert clients_of(phone, document) == [client, client]
    assert_holds(phone, document, some(document, 1, 2, 3, 4))


@EACH
@pytest.mark.parametrize("greater_is_here", [True, False])
def test_forms_with_two_values_under_one_key_make_a_new_form_of_the_greater_ones(
    phone, document, greater_is_here
):
    values = ["zzz", "aaa"] if greater_is_here else ["aaa", "zzz"]
    ours, theirs = [one(document, 1, value) for value in values]
    merge(phone, document, form(document, [ours, one(document, 2)]))
    with phone.reading() as store:
        before = row_of(store, document).changed_seq
    assert merge(phone, document, form(document, [theirs, one(document, 3)], generation=7)) == 1
    entries = [one(document, 1, "zzz"), *some(document, 2, 3)]
    assert label_of(phone, document).generation == 7
    assert_holds(phone, document, entries)
    assert phone.status().differing == 1
    with phone.reading() as store:
        assert row_of(store, document).changed_seq == store.seq > before
    assert merge(phone, document, form(document, [ours], generation=3)) == 0
    assert label_of(phone, document).generation == 8 - greater_is_here


def test_what_lost_in_a_form_that_was_taken_leaves_it_when_it_is_rewritten(phone):
    lost = said.react(1, (1, 1))
    won = said.react(1, (2, 2), on=False)
    merge(phone, said.MONTH, never_frozen(written(said.message(1), won)))
    merge(phone, said.MONTH, form(said.MONTH, [said.message(1), lost]))
    assert_holds(phone, said.MONTH, [said.message(1), lost, won])
    with phone.writing() as store:
        rewrite(store.documents, row_of(store, said.MONTH))
    assert_holds(phone, said.MONTH, [said.message(1), won])


def test_no_lamport_number_is_forgotten_when_forms_meet(phone):
    """Whose entry lost, and is gone since: its number was given away all the same."""
    merge(phone, said.MONTH, never_frozen(written(said.message(1), said.react(1, (9, 1)))))
    with phone.writing() as store:
        store.write(row_of(store, said.MONTH), [said.erase(1)])
    merge(phone, said.MONTH, form(said.MONTH, [said.message(2), said.react(2, (3, 1))]))
    with phone.reading() as store:
        assert row_of(store, said.MONTH).lamport == 9


def test_a_field_that_was_erased_here_leaves_a_form_that_is_taken(phone):
    title = said.field((1, 1), "title", "zyxwvutsrq")
    merge(phone, said.HEAD, never_frozen(written(erase_field({"title": (1, 1)}))))
    assert merge(phone, said.HEAD, form(said.HEAD, [title])) == 0
    assert phone.conversations() == []
    assert files.remains(Path(phone.path), b"zyxwvutsrq") == []
    assert_holds(phone, said.HEAD, [erase_field({"title": (1, 1)})])


# Erased, and of two values at once.

SECRET = b"zyxwvutsrq0987"


@pytest.mark.parametrize("frozen", [False, True])
def test_what_a_peer_erases_leaves_every_file_though_another_value_came_with_it(phone, frozen):
    here = [said.message(1, SECRET.decode()), said.edit(1, (1, 1), SECRET.decode())]
    merge(phone, said.MONTH, never_frozen(written(*here, said.message(2, "aaa"))))
    assert files.remains(Path(phone.path), SECRET)
    theirs = [said.erase(1), said.message(2, "zzz")]
    there = form(said.MONTH, theirs) if frozen else never_frozen(written(*theirs, client=9))
    assert merge(phone, said.MONTH, there) == 1
    assert phone.status().differing == 1
    assert files.remains(Path(phone.path), SECRET) == []
    with phone.reading() as store:
        left = store.documents.reread(row_of(store, said.MONTH))
    assert sorted(entry.root for entry in left) == ["erased", "messages"]
    assert phone.check().problems == ()


@pytest.mark.parametrize("frozen", [False, True])
def test_a_file_that_a_peer_erases_leaves_every_file_though_another_value_came_with_it(
    phone, frozen
):
    here = [with_files(1), said.message(2, "aaa")]
    merge(phone, said.MONTH, never_frozen(written(*here)))
    assert files.remains(Path(phone.path), FILE)
    theirs = [gone_entry(said.id_of(1), 0), gone_entry(said.id_of(1), 1), said.message(2, "zzz")]
    there = form(said.MONTH, theirs) if frozen else never_frozen(written(*theirs, client=9))
    assert merge(phone, said.MONTH, there) == 2
    assert phone.status().differing == 1
    assert files.remains(Path(phone.path), FILE) == []
    assert phone.check().problems == ()


@pytest.mark.parametrize(("ours", "theirs"), [(0, 0), (0, 1), (1, 0), (2, 1)])
def test_a_message_without_a_file_that_is_gone_is_no_other_value(phone, ours, theirs):
    """Here it is whole still; who erased the file sends the message without it. By generations of the forms."""

    def parts(generation: int, client: int, *entries: Entry) -> Parts:
        if not generation:
            return never_frozen(written(*entries, client=client))
        return form(said.MONTH, [*entries], generation=generation)

    merge(phone, said.MONTH, parts(ours, 7, with_files(1, 1)))
    there = parts(theirs, 8, gone_entry(said.id_of(1), 0), with_files(1, 1))
    assert merge(phone, said.MONTH, there) == 1
    assert phone.status().differing == 0
    assert files.remains(Path(phone.path), FILE) == []
    assert phone.check().problems == ()


def test_files_that_are_gone_before_their_message_comes_never_are_here(phone):
    gone = gone_entry(said.id_of(1), 0)
    parts = form(said.MONTH, [said.message(2)], written(gone, with_files(1, 1)))
    assert merge(phone, said.MONTH, parts) == 3
    assert files.remains(Path(phone.path), FILE) == []
    assert phone.check().problems == ()


@pytest.mark.parametrize("theirs", [0, 1])
def test_files_that_are_gone_here_stay_so_when_their_message_comes(phone, theirs):
    merge(phone, said.MONTH, never_frozen(written(gone_entry(said.id_of(1), 0))))
    there = (
        form(said.MONTH, [with_files(1, 1)])
        if theirs
        else never_frozen(written(with_files(1, 1), client=8))
    )
    assert merge(phone, said.MONTH, there) == 1
    assert files.remains(Path(phone.path), FILE) == []
    again = Parts(label_of(phone, said.MONTH), b"", (written(with_files(1, 1), client=9),))
    assert merge(phone, said.MONTH, again) == 0
    assert phone.status().differing == 0, "without the file it is the message that is here"
    assert files.remains(Path(phone.path), FILE) == []
    assert phone.check().problems == ()


@EACH
def test_what_erases_nothing_is_added_and_nothing_is_rewritten(phone, document):
    for number in range(3):
        merge(phone, document, never_frozen(written(one(document, number), clock=number)))
    assert len(parts_of(phone, document).updates) == 3
