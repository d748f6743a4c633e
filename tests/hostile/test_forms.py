"""Frozen forms against a real replica: what no honest device freezes, and mutants. Source: design 8, security A1."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

import msgsync
from msgsync import Replica, limits
from msgsync.document.codec import Block, compose
from msgsync.document.frozen import (
    NEVER_FROZEN,
    Label,
    Parts,
    arrange,
    base_of,
    decode_frozen,
    encode_frozen,
)
from msgsync.document.schema import DocumentId, Entry
from msgsync.errors import Inadmissible
from tests.hostile.mutation import changes, mutated
from tests.hostile.peer import Liar
from tests.unit.document import said
from tests.unit.document.said import HEAD, MONTH
from tests.unit.document.test_fold import entry as any_entry
from tests.unit.document.test_frozen import EVERY_HEAD, EVERYTHING
from tests.unit.document.test_head import entries as any_head_entry
from tests.unit.machine import Machine
from tests.unit.parts import freeze, never_frozen, parts_of

FIND = (Phase.explicit, Phase.reuse, Phase.generate)
"""Making an example smaller takes as long as finding a hundred, with replicas in files."""
labels = st.builds(
    Label, st.integers(1, 3) | st.just(limits.GENERATION), st.integers(0, 2).map(lambda n: bytes([n]) * 16)
)  # fmt: skip


def update_of(entries: list[Entry], client: int) -> tuple[bytes, ...]:
    return (compose([Block(client, 0, list(entries))]),) if entries else ()


def open_pair(folder: str) -> tuple[Replica, Replica]:
    machine = Machine()
    phone = Replica(Path(folder, "a.db"), author="ann", durability="relaxed", system=machine)
    tablet = Replica(
        Path(folder, "b.db"),
        author="ann",
        durability="relaxed",
        system=machine,
        member=phone,
    )
    return phone, tablet


def content(replica: Replica) -> object:
    return [
        (one, list(replica.conversation(one.id).messages(limit=1000, include_deleted=True)))
        for one in replica.conversations()
    ]


def converge(*replicas: Replica) -> None:
    for _ in range(2):
        msgsync.sync(*replicas)
    for replica in replicas:
        assert replica.check().problems == ()
    assert len({replica.digest for replica in replicas}) == 1
    assert content(replicas[0]) == content(replicas[1])


@st.composite
def lies(draw: st.DrawFn) -> tuple[DocumentId, list[list[Entry]], Label]:
    """A document, and entries of it for: here before, there before, in a frozen form, beside it.

    The form is of whatever entries, erased and beaten ones included; the same key may have two values.
    """
    document, kind = draw(st.sampled_from([(MONTH, any_entry), (HEAD, any_head_entry)]))
    lists = [draw(st.lists(kind, max_size=6, unique_by=lambda one: one[:2])) for _ in range(4)]
    if draw(st.booleans()):
        extra = EVERYTHING if document == MONTH else EVERY_HEAD
        known = {one[:2] for one in lists[2]}
        lists[2] += [one for one in extra if one[:2] not in known]
    return document, lists, draw(labels)


@settings(max_examples=80, phases=FIND)
@given(lies(), st.booleans(), st.booleans())
def test_whatever_a_form_holds_it_is_taken_or_refused_and_all_converge(lie, frozen, again):
    document, (here, there, held, beside), label = lie
    form = encode_frozen(arrange(document, held))
    with tempfile.TemporaryDirectory() as folder:
        phone, tablet = open_pair(folder)
        with phone, tablet:
            for replica, entries, client in ((phone, here, 11), (tablet, there, 12)):
                if entries:
                    with replica.writing() as store:
                        store.merge(document, never_frozen(*update_of(entries, client)))
                    if frozen:
                        freeze(replica, document)
            parts = Parts(label, form, update_of(beside, 13))
            before = phone.digest
            report = Liar(phone).push_parts(document, parts)
            assert not report.refused
            assert phone.check().problems == ()
            assert before != phone.digest or not (held or beside) or here
            if again:
                assert not Liar(phone).push_parts(document, parts, b"\xdd" * 16).refused
                assert not Liar(tablet).push_parts(document, parts).refused
            converge(phone, tablet)
            with phone.reading() as store:
                is_here = store.documents.find(document) is not None
            if is_here:
                freeze(phone, document)
            converge(phone, tablet)


SEEDS = [(document, encode_frozen(arrange(document, entries))) for document, entries in (
    (MONTH, EVERYTHING), (MONTH, [said.message(1)]), (HEAD, EVERY_HEAD),
)]  # fmt: skip


@settings(max_examples=60, phases=FIND)
@given(st.sampled_from(SEEDS), changes, labels)
def test_a_mutated_form_is_refused_alone_or_taken_and_all_converge(seed, found, label):
    document, form = seed
    hostile = mutated(form, found)
    try:
        decode_frozen(document, hostile)
        is_form = True
    except Inadmissible:
        is_form = False
    with tempfile.TemporaryDirectory() as folder:
        phone, tablet = open_pair(folder)
        with phone, tablet:
            phone.create_conversation("C", id="c").send("mine")
            before = phone.digest
            liar = Liar(phone)
            report = liar.push_parts(document, Parts(label, hostile, ()))
            if hostile:
                assert bool(report.refused) == (not is_form)
            if report.refused:
                assert phone.digest == before
            converge(phone, tablet)


@pytest.mark.parametrize("label", [Label(1, bytes(16)), Label(limits.GENERATION, b"\xff" * 16)])
def test_a_label_that_nothing_exceeds_does_no_harm(phone, tablet, label):
    """A peer claims the last generation there is: both still freeze, write, erase and converge."""
    family = phone.create_conversation("Family", id="c")
    form = encode_frozen(arrange(MONTH, [said.message(1), said.message(2)]))
    assert not Liar(phone).push_parts(MONTH, Parts(label, form, ())).refused
    assert parts_of(phone, MONTH).label == label != Label(label.generation, base_of(form))
    converge(phone, tablet)
    freeze(phone, MONTH)
    family.edit(msgsync.MessageId(said.id_of(1)), "edited")
    tablet.conversation("c").react(msgsync.MessageId(said.id_of(2)), "👍")
    freeze(tablet, MONTH)
    converge(phone, tablet)
    family.erase(msgsync.MessageId(said.id_of(2)))
    converge(phone, tablet)
    assert [one.text for one in tablet.conversation("c").messages()] == ["edited"]


def test_two_forms_under_one_label_still_converge(phone, tablet):
    """A label is a claim. Who believes that the peer's form is its own is mended by the comparison of digests."""
    label = Label(2, b"\xaa" * 16)
    for replica, number in ((phone, 1), (tablet, 2)):
        form = encode_frozen(arrange(MONTH, [said.message(number), said.message(3)]))
        assert not Liar(replica).push_parts(MONTH, Parts(label, form, ())).refused
    converge(phone, tablet)
    assert len(phone.conversation("c").messages()) == 3


def test_a_form_of_nothing_is_a_form(phone, tablet):
    for document in (MONTH, HEAD):
        empty = encode_frozen(arrange(document, []))
        assert not Liar(phone).push_parts(document, Parts(Label(1, bytes(16)), empty, ())).refused
        assert phone.check().problems == ()
    phone.create_conversation("C", id="c")
    assert parts_of(phone, HEAD).label > NEVER_FROZEN
    converge(phone, tablet)
