"""Rows are read from the pages of a file as SQLite reads them, and from what is left of it."""

from __future__ import annotations

import random
from pathlib import Path

import apsw
import pytest

from msgsync.store.pagefile import PageFile, Value

PAGE = 4096


def write(path: Path, rows: int) -> dict[int, tuple[Value, ...]]:
    """A table of rows of all kinds and lengths, and an index of them; what it holds, by key."""
    draw = random.Random(rows)
    with_all: dict[int, tuple[Value, ...]] = {}
    for key in range(1, rows + 1):
        number = draw.choice(
            [0, 1, -1, 127, -128, 32767, 2**23, -(2**31), 2**47, -(2**63), 2**63 - 1]
        )
        text = "ü" * draw.choice([0, 1, 40, 400, 3000, 30_000])
        with_all[key] = (
            None,
            number,
            draw.random(),
            text,
            draw.randbytes(draw.choice([0, 9, 5000])),
        )
    connection = apsw.Connection(str(path))
    connection.execute(f"pragma page_size = {PAGE}")
    connection.execute("create table t(key integer primary key, number, real, text, blob)")
    connection.execute("create table u(text primary key, number) without rowid")
    connection.executemany(
        "insert into t values(?,?,?,?,?)", [(key, *row[1:]) for key, row in with_all.items()]
    )
    connection.executemany("insert into u values(?,?)", [(f"{n}" * 700, n) for n in range(50)])
    connection.close()
    return with_all


def read(path: Path) -> dict[int, tuple[Value, ...]]:
    return {
        row.key: row.values for row in PageFile(path).rows() if row.key and len(row.values) == 5
    }


def test_every_row_is_read_as_it_was_written(tmp_path):
    path = tmp_path / "file"
    written = write(path, 300)
    found = {key: values for key, values in read(path).items() if values[0] is None}
    assert found == written
    without_rowid = {row.values for row in PageFile(path).rows() if row.key is None}
    assert without_rowid == {(f"{n}" * 700, n) for n in range(50)}


def test_pages_that_are_lost_take_only_their_own_rows_with_them(tmp_path):
    path = tmp_path / "file"
    written = write(path, 300)
    raw = bytearray(path.read_bytes())
    raw[: 3 * PAGE] = bytes(3 * PAGE)  # the list of tables, and the pages that lead to others
    path.write_bytes(raw)
    found = {key: values for key, values in read(path).items() if values[0] is None}
    assert found
    assert found == {key: written[key] for key in found}
    assert len(found) > 290


@pytest.mark.parametrize("seed", range(30))
def test_any_bytes_are_read_without_an_error(tmp_path, seed):
    path = tmp_path / "file"
    write(path, 60)
    draw = random.Random(seed)
    raw = bytearray(path.read_bytes())
    for _ in range(40):
        at = draw.randrange(len(raw))
        raw[at : at + draw.choice([1, 4, 200])] = draw.randbytes(draw.choice([1, 4, 200]))
    path.write_bytes(raw[: draw.randrange(len(raw))])
    read(path)


def test_an_endless_chain_of_pages_ends(tmp_path):
    path = tmp_path / "file"
    write(path, 60)
    raw = bytearray(path.read_bytes())
    for at in range(PAGE, len(raw), PAGE):
        if raw[at] == 0:  # the rest of a long row
            raw[at : at + 4] = (at // PAGE + 1).to_bytes(4, "big")
    path.write_bytes(raw)
    assert read(path)


def test_whole_commits_in_the_write_ahead_log_count_and_no_others(tmp_path):
    path = tmp_path / "file"
    connection = apsw.Connection(str(path))
    connection.pragma("journal_mode", "wal")
    connection.execute("create table t(key integer primary key, a, b, c, d)")
    log = path.with_name("file-wal")
    sizes = []
    for number in range(5):
        connection.execute("insert into t values(?, ?, ?, ?, ?)", (number + 1, *range(4)))
        sizes.append(log.stat().st_size)
    raw, raw_log = path.read_bytes(), log.read_bytes()
    connection.close()
    copy, log = tmp_path / "copy", tmp_path / "copy-wal"
    copy.write_bytes(raw)
    for size, count in ((0, 0), (sizes[1], 2), (sizes[1] + 500, 2), (sizes[4], 5)):
        log.write_bytes(raw_log[:size])
        assert sorted(read(copy)) == [*range(1, count + 1)]
    log.write_bytes(raw_log[: sizes[2] - 10] + b"x" + raw_log[sizes[2] - 9 :])
    assert sorted(read(copy)) == [1, 2]
