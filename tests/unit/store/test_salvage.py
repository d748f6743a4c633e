"""What is left of a file is told apart by its shape; a whole file is read as what it is."""

from __future__ import annotations

from pathlib import Path

import pytest

from msgsync import Edit, Incoming, Reaction
from msgsync.store.salvage import Salvage, Saved, Whole
from tests.unit import files
from tests.unit.machine import START_MS

OLD_MS = START_MS - 90 * 86_400_000


@pytest.fixture
def path(phone, family, tablet) -> Path:
    """A closed replica in which live and frozen documents lie, and rows of every kind."""
    first = family.send("first")
    family.edit(first, "edited")
    family.react(first, "👍")
    family.delete(family.send("second"))
    family.erase(family.send("third"))
    own = family.send("linked")
    family.link(own, "echo", START_MS + 40)
    phone.ingest(
        [
            Incoming(
                f"c{n % 5}",
                "ben",
                f"text {n}",
                OLD_MS + n,
                str(n),
                edits=(Edit("x", OLD_MS + n),),
                reactions=(Reaction("ann", "y", OLD_MS),),
                deleted_ms=OLD_MS if n % 3 == 0 else None,
                extra={"n": n},
            )
            for n in range(100)
        ]
    )
    phone.close()
    return Path(phone.path)


def saved(salvage: Salvage) -> list[Saved]:
    return [*salvage.documents()]


def test_every_document_of_a_whole_file_is_whole_and_all_is_known(phone, path):
    """Also after somebody has changed the tables: what has another shape than expected would not be found."""
    salvage = Salvage(path)
    documents = saved(salvage)
    assert {one.whole for one in documents} == {Whole.AS_STORED}
    [[count]] = files.look(path, "select count(*) from documents")
    assert len(documents) == count
    assert (salvage.missing, salvage.all_known) == ([], True)
    assert salvage.meta == {"account": phone.account.raw, "device": phone.device.raw}
    assert {one.parts.label.generation > 0 for one in documents} == {False, True}


def test_every_segment_can_be_made_again_from_rows_alone(path):
    """So the rows say all that the entries of messages said, to the byte."""
    files.change(path, "delete from packs")
    files.change(path, "delete from updates")
    files.change(path, "delete from log")
    salvage = Salvage(path)
    documents = saved(salvage)
    made = {one.id for one in documents if one.whole is Whole.FROM_ROWS}
    segments = files.look(path, "select kind from documents where kind like '____-__'")
    assert len([one for one in made if one.is_segment]) == len(segments)
    assert all(missing.kind == "head" for missing in salvage.missing)


def test_a_message_row_that_is_not_what_it_was_is_not_believed(path):
    files.change(path, "delete from packs")
    files.change(path, "update messages set ms = ms + 1 where text = 'x' and key % 9 = 0")
    salvage = Salvage(path)
    whole = {one.id.conversation for one in saved(salvage) if one.whole is Whole.FROM_ROWS}
    lost = {one.conversation for one in salvage.missing if one.kind == "2023-11"}
    assert lost
    assert lost.isdisjoint(whole)


def test_rows_in_a_month_that_no_document_has_are_no_loss(path):
    files.change(path, "update messages set ms = 0 where key = (select max(key) from messages)")
    salvage = Salvage(path)
    assert {one.whole for one in saved(salvage)} == {Whole.AS_STORED}
    assert (salvage.missing, salvage.all_known) == ([], True)


def test_of_what_documents_there_are_nothing_is_known_without_their_tables(path):
    """That nothing is named as missing must not be taken for a sign that all is there."""
    raw = path.read_bytes()
    path.write_bytes(raw[: 2 * 4096])
    salvage = Salvage(path)
    assert (saved(salvage), salvage.missing, salvage.all_known) == ([], [], False)
