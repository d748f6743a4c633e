"""Nothing that was deleted stays in the unused part of a page. Source: security A5."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from msgsync.store.residue import overwrite, unused
from tests.unit import files

PAGE = 4096


def left_over(path: Path) -> list[bytes]:
    """What lies in the unused parts of the pages of a file, but for zeros."""
    raw = path.read_bytes()
    found = []
    for number in range(1, len(raw) // PAGE + 1):
        page = raw[(number - 1) * PAGE : number * PAGE]
        start, end = unused(page, number)
        if page[start:end].strip(b"\0"):
            found.append(page[start:end])
    return found


def texts(seed: int, count: int = 700) -> list[str]:
    """Texts of very different lengths, so that pages of them are split in every way."""
    draw = random.Random(seed)
    return [f"[{n:04d}]" + "x" * draw.choice([5, 50, 300, 900, 5000]) for n in range(count)]


def test_sqlite_leaves_copies_of_rows_in_unused_parts_of_pages(tmp_path):
    """Why all this is done; if this fails one day, look whether it still has to be."""
    path = tmp_path / "plain.db"
    with files.database(path) as connection:
        connection.pragma("secure_delete", True)
        connection.execute("create table t(key integer primary key, text)")
        order = list(enumerate(texts(1)))
        random.Random(2).shuffle(order)
        connection.executemany("insert into t values(?,?)", order)
        connection.execute("delete from t")
        connection.executemany("insert into t values(?,?)", [(n, "y" * 300) for n in range(300)])
        connection.executemany(
            "insert into t values(?,?)", [(n * 7 + 1000, text) for n, text in enumerate(texts(3))]
        )
        connection.execute("update t set text = text || text where key % 3 = 0")
        left = left_over(path)
        assert any(b"xxx" in one or b"yyy" in one for one in left)
        before = connection.execute("select key, text from t order by key").fetchall()
        overwrite(connection, range(1, path.stat().st_size // PAGE + 1), sync=True)
        assert left_over(path) == []
        connection.pragma("shrink_memory")
        assert connection.execute("select key, text from t order by key").fetchall() == before
        assert connection.pragma("integrity_check") == "ok"


@pytest.mark.parametrize("seed", range(3))
def test_a_replica_has_none_after_an_erasure_and_when_it_is_closed(phone, family, seed):
    path = Path(phone.path)
    draw = random.Random(seed)
    sent = [family.send(text) for text in texts(seed, 120)]
    for one in draw.sample(sent, 40):
        family.edit(one, "edited" + "z" * draw.choice([10, 400, 3000]))
    gone = draw.sample(sent, 30)
    family.erase(*gone)
    assert left_over(path) == []
    family.send("the next write carries nothing of it into the log")
    for name in (path, path.with_name(path.name + "-wal")):
        raw = name.read_bytes()
        assert not [one.id for one in gone if one.text[:6].encode() in raw]
    for one in draw.sample(sent, 40):
        if one not in gone:
            family.edit(one, "z" * draw.choice([10, 400, 3000]))
    phone.close()
    assert left_over(path) == []


def test_a_replica_that_is_opened_by_a_link_has_none(tmp_path, open_replica):
    path = tmp_path / "phone.db"
    (tmp_path / "link.db").symlink_to(path)
    open_replica().close()
    with open_replica("link.db") as phone:
        family = phone.create_conversation(id="family")
        sent = [family.send(text) for text in texts(5, 120)]
        family.erase(*sent[20:60])
        assert left_over(path) == []
        assert phone.verify_erased(text=sent[30].text).ok
    assert left_over(path) == []


def test_a_page_of_no_tree_has_no_unused_part():
    assert unused(bytes(PAGE), 2) == (0, 0)
    overflow = (7).to_bytes(4, "big") + b"text" * 1023
    assert unused(overflow, 2) == (0, 0)


@pytest.mark.parametrize("first", [0, 4, 4097, 65535])
def test_a_damaged_page_is_left_as_it_is(first):
    page = bytes([13, 0, 0, 0, 3]) + first.to_bytes(2, "big") + bytes(PAGE - 7)
    start, end = unused(page, 2)
    assert (start, end) == (0, 0)
