"""Backups that are damaged anywhere: refused in words, with nothing left of the attempt."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import msgsync
from msgsync import Incoming, StorageError
from tests.unit.machine import START_MS

DAY_MS = 86_400_000


@pytest.fixture
def backup(phone: msgsync.Replica, family: msgsync.Conversation, tmp_path: Path) -> Path:
    """A backup in which a little of everything lies, in a folder of its own."""
    one = family.send("kept")
    family.react(family.edit(one, "edited"), "👍")
    family.delete(family.send("deleted"))
    family.erase(family.send("erased"))
    phone.ingest(
        [
            Incoming(f"c{n % 7}", "ben", f"hello {n}", START_MS - n * DAY_MS, external_id=str(n))
            for n in range(200)
        ]
    )
    path = tmp_path / "kept" / "it.backup"
    path.parent.mkdir()
    phone.backup(path)
    return path


def damaged(raw: bytes, draw: random.Random) -> bytes:
    changed = bytearray(raw)
    for _ in range(draw.choice([1, 4, 40])):
        at = draw.randrange(len(changed))
        length = draw.choice([1, 1, 8, 500])
        changed[at : at + length] = draw.randbytes(len(changed[at : at + length]))
    return bytes(changed)


@pytest.mark.parametrize("seed", range(10))
def test_damage_anywhere_is_refused(backup, seed):
    backup.write_bytes(damaged(backup.read_bytes(), random.Random(seed)))
    with pytest.raises(StorageError):
        msgsync.restore(backup, backup.with_name("new.db"))
    assert [*backup.parent.iterdir()] == [backup]


@pytest.mark.parametrize("seed", range(20))
def test_without_a_seal_damage_is_an_error_in_words_or_changes_nothing_that_is_shown(
    phone, backup, seed
):
    """As in a copy of a closed replica: what SQLite and the documents' checksums do not see is in nothing shown."""
    backup.write_bytes(damaged(backup.read_bytes()[:-48], random.Random(seed)))
    said = ""
    try:
        with msgsync.restore(backup, backup.with_name("new.db")) as restored:
            assert restored.digest == phone.digest
            assert restored.check().ok
    except StorageError as error:
        said = str(error)
    assert "hello" not in said
    assert ([*backup.parent.iterdir()] == [backup]) == bool(said)
