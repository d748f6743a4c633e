"""Lines from files, and files that appear whole."""

from __future__ import annotations

import gzip
import io
import os
import threading

import pytest

from msgsync.importers import files
from msgsync.importers.files import CutOff, LineSource, open_source, open_target


class Pipe(io.RawIOBase):
    """Bytes that come a few at a time, from something that cannot seek."""

    def __init__(self, content: bytes) -> None:
        self._rest = io.BytesIO(content)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._rest.read(1 if self._rest.tell() < 2 else min(size, 3))


TEXT = b"one\r\n\ntwo\nthree"
LINES = [b"one\r\n", b"\n", b"two\n", b"three"]


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
@pytest.mark.parametrize("kind", ["path", "file", "pipe"])
def test_lines_come_from_anything(tmp_path, pack, kind):
    content = pack(TEXT)
    path = tmp_path / "lines"  # no .gz: the bytes tell
    path.write_bytes(content)
    sources = {"path": path, "file": io.BytesIO(content), "pipe": Pipe(content)}
    with open_source(sources[kind]) as source:
        assert list(source) == LINES
        assert source.bytes_read == len(content)
        assert source.total_bytes == (None if kind == "pipe" else len(content))


def test_a_file_is_read_from_where_it_stands_and_stays_open():
    file = io.BytesIO(b"before\n" + TEXT)
    file.readline()
    with open_source(file) as source:
        assert source.total_bytes == len(TEXT)
        assert list(source) == LINES
    assert not file.closed


def test_files_one_after_another_in_one_gzip_are_one():
    content = gzip.compress(b"one\ntw") + gzip.compress(b"o\n")
    assert list(LineSource(io.BytesIO(content))) == [b"one\n", b"two\n"]


def test_a_byte_order_mark_is_skipped_at_the_start_alone():
    mark = b"\xef\xbb\xbf"
    assert list(LineSource(io.BytesIO(mark + b"one\n" + mark))) == [b"one\n", mark]


@pytest.mark.parametrize(
    "content", [b"", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)], ids=["empty", "mark", "gzip"]
)
def test_nothing_has_no_lines(content):
    assert list(LineSource(io.BytesIO(content))) == []


def test_an_oversized_line_is_skipped_without_being_held(monkeypatch):
    monkeypatch.setattr(files, "LINE_BYTES", 10)
    monkeypatch.setattr(files, "BUFFER_BYTES", 4)
    content = b"short\n" + b"x" * 100 + b"\n" + b"123456789\n" + b"1234567890\n" + b"y" * 11
    assert list(LineSource(io.BytesIO(content))) == [
        b"short\n",
        None,
        b"123456789\n",
        b"1234567890",
        None,
    ]


@pytest.mark.parametrize("damage", [lambda raw: raw[:-20], lambda raw: raw + b"rubbish"])
def test_a_damaged_gzip_gives_what_can_be_read_and_says_so(damage):
    lines = [os.urandom(50).hex().encode() + b"\n" for _ in range(2_000)]
    source = LineSource(io.BytesIO(damage(gzip.compress(b"".join(lines)))))
    read: list[bytes | None] = []
    with pytest.raises(CutOff, match="damaged or cut off"):
        read.extend(source)  # what came before the error stays in the list
    assert len(read) > 1_900
    assert read == lines[: len(read)]


def test_flipped_bits_in_a_gzip_are_noticed():
    raw = bytearray(gzip.compress(b"one line of text\n" * 5_000))
    raw[len(raw) // 2] ^= 0x10
    with pytest.raises(CutOff):
        list(LineSource(io.BytesIO(bytes(raw))))


def test_a_target_appears_when_it_is_complete(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"{old}")
    with open_target(path) as file:
        file.write(b"new")
        assert path.read_bytes() == b"{old}"
    assert path.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "out"
    path.write_bytes(b"{old}")
    with pytest.raises(TypeError), open_target(path) as file:
        file.writelines([b"new", None])  # type: ignore[list-item]
    assert path.read_bytes() == b"{old}"
    assert list(tmp_path.iterdir()) == [path]


def test_a_link_goes_on_pointing_at_what_is_replaced(tmp_path):
    path, link = tmp_path / "out", tmp_path / "link"
    link.symlink_to(path)
    with open_target(link) as file:
        file.write(b"new")
    assert link.is_symlink()
    assert path.read_bytes() == b"new"


def test_a_name_that_ends_in_gz_is_packed_the_same_each_time(tmp_path):
    packed = []
    for name in ("a.gz", "b.gz"):
        with open_target(tmp_path / name) as file:
            file.write(TEXT)
        packed.append((tmp_path / name).read_bytes())
    assert gzip.decompress(packed[0]) == TEXT
    assert packed[0] == packed[1]


def test_a_pipe_is_written_into_not_replaced(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    heard = []
    reader = threading.Thread(target=lambda: heard.append(path.read_bytes()))
    reader.start()
    with open_target(path) as file:
        file.write(TEXT)
    reader.join()
    assert heard == [TEXT]
    assert path.is_fifo()
