"""Two forms of a document meet: the union of their entries, from either side. Source: design 8."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import Inadmissible
from msgsync.document.admission import erased_ids
from msgsync.document.codec import Block, compose, entries_of, scan
from msgsync.document.fold import fold
from msgsync.document.frozen import (
    NEVER_FROZEN,
    Label,
    Parts,
    arrange,
    base_of,
    decode_frozen,
    encode_frozen,
    freeze,
)
from msgsync.document.schema import DELETIONS, ERASED, DocumentId, Entry
from msgsync.ids import encode_id
from msgsync.store.union import Meeting, meet
from tests.unit.document.said import (
    HEAD,
    MONTH,
    delete,
    edit,
    erase,
    id_of,
    message,
    react,
    restore,
)
from tests.unit.document.test_fold import entry as any_entry
from tests.unit.document.test_head import entries as any_head_entry

LATER = DocumentId("c", "polls")


def updates_of(entries: list[Entry], writers: int = 1) -> tuple[bytes, ...]:
    """One update of so many writers, each with its share of the entries."""
    shares = [entries[start::writers] for start in range(writers)]
    blocks = [Block(n, 0, list(share)) for n, share in enumerate(shares, 1) if share]
    return (compose(blocks[::-1]),) if blocks else ()


def parts_of(entries: list[Entry], behind: list[Entry], document: DocumentId = MONTH) -> Parts:
    """A frozen document with updates beside it."""
    content = encode_frozen(arrange(document, entries))
    return Parts(Label(1, base_of(content)), content, updates_of(behind, 2))


def entries_in(parts: Parts, document: DocumentId = MONTH) -> list[Entry]:
    frozen = decode_frozen(document, parts.frozen).entries() if parts.frozen else []
    return [*frozen, *(one for update in parts.updates for one in entries_of(scan(update)))]


def one_a_key(entries: list[Entry]) -> list[Entry]:
    return list({one[:2]: one for one in entries}.values())


def met(here: list[Entry], there: Parts, document: DocumentId = MONTH) -> Meeting:
    return meet(document, here, there, erased_ids(document, here))


def test_each_side_gets_what_it_lacks():
    here = [message(1), message(2), edit(1, (1, 1), "a")]
    meeting = met(here, parts_of([message(2), message(3)], [react(3, (1, 2))]))
    assert sorted(meeting.missing) == sorted([message(3), react(3, (1, 2))])
    assert sorted(meeting.ours) == sorted([message(1), edit(1, (1, 1), "a")])
    assert meeting.differing == []
    assert sorted(meeting.union) == sorted([*here, message(3), react(3, (1, 2))])


@pytest.mark.parametrize("document", [MONTH, HEAD, LATER])
def test_equal_forms_have_nothing_to_say(document):
    entries = [message(1), Entry("polls", b"k", b"x")]
    parts = parts_of(entries, [], document)
    meeting = met(entries, parts, document)
    assert (meeting.missing, meeting.ours, meeting.differing) == ([], [], [])
    assert meeting.theirs == parts


def test_what_lost_is_not_taken_and_not_given():
    here = [message(1), delete((1, 1), 1), restore((2, 1), 1, names=((1, 1),))]
    old = react(1, (1, 1))
    meeting = met([*here, react(1, (2, 2))], parts_of([message(1), delete((1, 1), 1), old], []))
    assert meeting.missing == []
    assert sorted(meeting.ours) == sorted([here[2], react(1, (2, 2))])


def test_what_is_erased_here_does_not_come_in_and_its_bytes_are_nowhere():
    there = parts_of([message(1, "secret"), message(2)], [edit(1, (1, 1), "secret")])
    meeting = met([erase(1)], there)
    assert meeting.missing == [message(2)]
    assert b"secret" not in meeting.theirs.frozen + b"".join(meeting.theirs.updates)
    assert meeting.theirs.label == there.label
    assert meeting.ours == [erase(1)]


def test_what_is_said_about_an_erased_message_that_is_not_there_does_not_come_in():
    there = parts_of([edit(1, (1, 1), "secret"), react(2, (1, 1))], [])
    meeting = met([erase(1)], there)
    assert meeting.missing == [react(2, (1, 1))]
    assert b"secret" not in meeting.theirs.frozen


@pytest.mark.parametrize("frozen", [True, False])
def test_what_is_erased_there_leaves_both_sides(frozen):
    said = [message(1, "secret"), edit(1, (1, 1), "secret")]
    there = parts_of([erase(1), *said], []) if frozen else parts_of(said, [erase(1)])
    meeting = met([message(1, "secret"), react(1, (1, 1)), message(2)], there)
    assert meeting.missing == [erase(1)]
    assert meeting.ours == [message(2)]
    assert b"secret" not in meeting.theirs.frozen + b"".join(meeting.theirs.updates)


def test_of_two_values_under_one_key_both_sides_keep_the_greater():
    less, greater = message(1, "a"), message(1, "b")
    ours = met([less, message(2)], parts_of([greater], []))
    theirs = met([greater], parts_of([less, message(2)], []))
    assert ours.differing == [greater]
    assert theirs.differing == [less]
    assert sorted(ours.union) == sorted(theirs.union) == sorted([greater, message(2)])
    assert ours.missing == theirs.ours == []


def test_a_value_beside_a_frozen_form_counts_if_it_is_the_greater():
    less, greater = message(1, "a"), message(1, "b")
    for there in (parts_of([less], [greater]), parts_of([greater], [less])):
        assert met([], there).missing == [greater]
        assert met([greater], there).differing == []


@pytest.mark.parametrize(
    "parts",
    [
        Parts(Label(1, bytes(16)), b"\x80", ()),
        Parts(Label(1, bytes(16)), b"\x80", updates_of([message(1)])),
        Parts(Label(1, bytes(16)), b"", (b"\xff\xff",)),
        parts_of([message(1)], [])._replace(updates=(b"\1",)),
        parts_of([message(1)], [])._replace(updates=(compose([Block(1, 5, [message(2)])]),)),
        Parts(NEVER_FROZEN, b"", updates_of([message(1)]) * 2),
        parts_of([message(1)], [], DocumentId("c", "1970-01"))._replace(frozen=b"\x8f\x02"),
    ],
)
def test_what_is_no_document_is_refused(parts):
    with pytest.raises(Inadmissible):
        met([message(1)], parts)


def test_a_message_of_another_month_is_refused_in_columns():
    with pytest.raises(Inadmissible):
        met([], parts_of([message(1)], []), DocumentId("c", "1970-02"))


@st.composite
def sides(
    draw: st.DrawFn, entries: st.SearchStrategy[Entry], document: DocumentId
) -> tuple[list[Entry], Parts, list[Entry]]:
    """What is here, what a peer has, in any form, and the entries of that."""
    pool = one_a_key(draw(st.lists(entries, max_size=14)))
    places = [draw(st.integers(1, 3)) for _ in pool]
    here = [one for one, place in zip(pool, places, strict=True) if place & 1]
    there = [one for one, place in zip(pool, places, strict=True) if place & 2]
    cut = draw(st.integers(0, len(there)))
    if draw(st.booleans()):
        base = freeze(document, there[:cut]).entries()
        taken = {one[:2] for one in base}
        behind = [one for one in there[cut:] if one[:2] not in taken]
        return here, parts_of(base, behind, document), there
    return here, Parts(NEVER_FROZEN, b"", updates_of(there, 3)), there


def check(here: list[Entry], parts: Parts, there: list[Entry], document: DocumentId) -> None:
    """Both ways lead to what the fold makes of all entries together."""
    meeting = met(here, parts, document)
    assert meeting.differing == []
    everything = one_a_key([*here, *there])
    wanted = fold(document, everything)
    for result in (
        [*here, *meeting.missing],
        one_a_key([*entries_in(meeting.theirs, document), *meeting.ours]),
        meeting.union,
    ):
        assert fold(document, result).digest == wanted.digest
    lost = {one[:2] for one in wanted.irrelevant}
    for one in (*meeting.missing, *meeting.ours):
        assert one[:2] not in lost
    frozen = encode_frozen(freeze(document, everything))
    assert encode_frozen(freeze(document, meeting.union)) == frozen


@given(sides(any_entry, MONTH))
def test_any_two_forms_of_a_month_make_one_state_from_either_side(both):
    here, parts, there = both
    check(here, parts, there, MONTH)
    meeting = met(here, parts)
    texts = {encode_id(one) for one in erased_ids(MONTH, [*here, *there])}
    for one in (*entries_in(meeting.theirs), *meeting.missing, *meeting.ours):
        assert one.root in (DELETIONS, ERASED) or one.key[:20] not in texts


@given(sides(any_head_entry, HEAD))
def test_any_two_forms_of_a_head_make_one_state_from_either_side(both):
    here, parts, there = both
    check(here, parts, there, HEAD)


@given(sides(any_entry, LATER))
def test_any_two_forms_of_an_unknown_kind_keep_everything(both):
    here, parts, there = both
    check(here, parts, there, LATER)
    assert set(met(here, parts, LATER).union) == {*here, *there}


def test_an_id_may_be_erased_by_what_the_store_knows():
    """What was erased before counts, although no entry of it is among those that are handed in."""
    meeting = meet(MONTH, [], parts_of([message(1), message(2)], []), {id_of(1)})
    assert meeting.missing == [message(2)]
    assert decode_frozen(MONTH, meeting.theirs.frozen).ids == [id_of(2)]


def test_a_form_with_clocks_of_this_very_opening_is_from_before_a_rollback(phone):
    """A machine that was rolled back hears, beside a form it does not know, what it wrote before."""
    with phone.writing() as store:
        store.merge(MONTH, Parts(NEVER_FROZEN, b"", updates_of([message(1)])))
        client = store.documents.client
    there = parts_of([message(1)], [])
    before = compose([Block(client, 0, [message(2), message(3)])])
    with phone.writing() as store:
        store.merge(MONTH, there._replace(updates=(before,)))
    assert phone.status().cloned
    with phone.writing() as store:
        row = store.documents.find(MONTH)
        assert row is not None
        assert store.documents.client != client
        store.write(row, [message(4)])
    assert len(phone.conversation("c").messages()) == 4
    assert phone.check().problems == ()


def test_what_lost_counts_for_the_lamport_number_all_the_same(phone):
    """It lies in the form that was taken over, so its stamp was given away."""
    with phone.writing() as store:
        store.merge(MONTH, Parts(NEVER_FROZEN, b"", updates_of([erase(1), message(2)])))
        store.merge(MONTH, parts_of([message(2)], [delete((7, 1), 1)]))
        row = store.documents.find(MONTH)
        assert row is not None
        assert row.label.generation == 1
        assert row.lamport == 7
    assert phone.check().problems == ()
