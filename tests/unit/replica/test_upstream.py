"""What a source says becomes entries: the same on every device, whatever else comes with it."""

from __future__ import annotations

from pathlib import Path

import pytest

import msgsync
from msgsync.document.schema import (
    DELETIONS,
    EDITS,
    REACTIONS,
    DocumentId,
    Entry,
    about_of,
    stamp_of,
)
from msgsync.errors import InvalidValue
from msgsync.records import carrier_stamp
from msgsync.replica.upstream import said_upstream, sayings_of

AT_MS = 1_714_500_000_000
ONE, OTHER = AT_MS.to_bytes(6, "big") + b"one...", AT_MS.to_bytes(6, "big") + b"other."


def told(**said: object) -> msgsync.Incoming:
    return msgsync.Incoming("family", "ben", "hi", AT_MS, "1", **said)  # type: ignore[arg-type]


def said(path: Path, *telling: tuple[bytes, msgsync.Incoming]) -> list[Entry]:
    with msgsync.open(path) as replica, replica.writing() as store:
        row = store.row(DocumentId("family", "2024-04"))
        return said_upstream(store.readmodel, row, sayings_of(telling), set())[1]


def test_keys_name_the_message_and_the_stamp_that_the_value_gives(tmp_path):
    incoming = told(
        edits=(msgsync.Edit("ho", AT_MS + 1),),
        reactions=(msgsync.Reaction("ann", "👍", AT_MS + 2),),
        deleted_ms=AT_MS + 3,
    )
    edit, reaction, deletion = said(tmp_path / "a.db", (ONE, incoming))
    assert [entry.root for entry in (edit, reaction, deletion)] == [EDITS, REACTIONS, DELETIONS]
    assert about_of(edit.key) == (ONE, carrier_stamp(AT_MS + 1, edit.value))
    assert about_of(reaction.key) == (ONE, carrier_stamp(AT_MS + 2, reaction.value))
    assert stamp_of(deletion.key) == carrier_stamp(AT_MS + 3, deletion.value)


def test_edits_keep_the_order_of_the_source_though_its_clock_went_back(tmp_path):
    edits = (msgsync.Edit("second", AT_MS + 9), msgsync.Edit("third", AT_MS + 5))
    first, then = said(tmp_path / "a.db", (ONE, told(edits=edits)))
    assert stamp_of(first.key[21:]) < stamp_of(then.key[21:])


def test_what_is_said_twice_is_one_entry_and_what_is_said_of_another_is_another(tmp_path):
    reaction = told(reactions=(msgsync.Reaction("ann", "👍", AT_MS),))
    entries = said(tmp_path / "a.db", (ONE, reaction), (ONE, reaction), (OTHER, reaction))
    assert [about_of(entry.key).id for entry in entries] == [ONE, OTHER]
    assert len({entry.value for entry in entries}) == 1


def test_what_cannot_be_said_is_refused(tmp_path):
    with pytest.raises(InvalidValue):
        said(tmp_path / "a.db", (ONE, told(reactions=(msgsync.Reaction("", "👍", AT_MS),))))


def test_an_edit_that_is_told_again_is_the_same_in_one_batch_and_in_two(tmp_path):
    edits = (
        msgsync.Edit("other", AT_MS),
        msgsync.Edit("again", AT_MS),
    )  # the second a moment later
    lines = [told(edits=edits), told(edits=edits[1:])]
    with (
        msgsync.open(tmp_path / "a.db") as one,
        msgsync.open(tmp_path / "b.db") as other,
    ):
        one.ingest(lines)
        for line in lines:
            other.ingest(line)
        assert one.digest == other.digest
