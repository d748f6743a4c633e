"""Rows of a damaged SQLite file, read page by page without SQLite: what a broken page leads to is read all the same.

Every page that holds rows says by itself where they lie, so no way to it is needed: neither the list of tables nor the
pages above it. Freed pages are zeros here, so nothing that was deleted is found. What is found may be damaged still:
the caller believes what a checksum or a digest confirms. Of an encrypted file, only pages that are as they were written
are read. Source: the SQLite documentation, "Database File Format".
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from msgsync.store.encryption import CIPHER_BYTES, Encrypt, leave_plain, salt_in

Value = int | float | str | bytes | None

_HEADER_BYTES: Final = 100
_USUAL_PAGE_BYTES: Final = 4096
_TABLE_LEAF: Final = 13
_INDEX: Final = (2, 10)
"""Types of pages of indexes, and of tables without rowid, that hold rows: interior and leaf."""
_MOST_COLUMNS: Final = 64
_INTEGER_BYTES: Final = (0, 1, 2, 3, 4, 6, 8)
_LOG_MAGIC: Final = (0x377F0682, 0x377F0683)
_LOG_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24


class PageRow(NamedTuple):
    """A row as it lies in a page."""

    key: int | None
    """The rowid; None in an index and in a table without rowids."""
    values: tuple[Value, ...]


class PageFile:
    """The pages of a file, in memory, those in its write-ahead log in front. Nothing else has it open for writing."""

    def __init__(self, path: Path, encrypt: Encrypt = leave_plain) -> None:
        """Read the file. Raises OSError, and what ``encrypt`` does if the file is encrypted."""
        self._raw = path.read_bytes()
        salt = salt_in(self._raw)
        self._cipher = encrypt(salt) if salt else None
        log = path.with_name(path.name + "-wal")
        raw_log = log.read_bytes() if log.exists() else b""
        self._page_bytes = self._find_page_bytes(raw_log)
        self._used_bytes = self._page_bytes - (0 if self._cipher is None else CIPHER_BYTES)
        self._newer = dict(_logged(raw_log, self._page_bytes))

    def _find_page_bytes(self, log: bytes) -> int:
        """What the header says if it can be, else the log, else what SQLite makes today."""
        for raw, start, size in ((self._raw, 16, 2), (log, 8, 4)):
            if len(raw) > _HEADER_BYTES:
                found = int.from_bytes(raw[start : start + size], "big")
                if 512 <= found <= 32768 and found & (found - 1) == 0:
                    return found
        return _USUAL_PAGE_BYTES

    def _page(self, number: int) -> bytes:
        start = (number - 1) * self._page_bytes
        raw = self._newer.get(number) or self._raw[start : start + self._page_bytes]
        if self._cipher is None:
            return raw
        return self._cipher.page(number, raw) or b""

    def rows(self) -> Iterator[PageRow]:
        """Every row of every page that holds any; those of which a part is missing are left out."""
        last = max([-(-len(self._raw) // self._page_bytes), *self._newer])
        for number in range(1, last + 1):
            page = self._page(number)
            if len(page) == self._used_bytes:
                yield from self._rows_of(page, _HEADER_BYTES if number == 1 else 0)

    def _rows_of(self, page: bytes, header: int) -> Iterator[PageRow]:
        kind = page[header]
        if kind != _TABLE_LEAF and kind not in _INDEX:
            return
        count = int.from_bytes(page[header + 3 : header + 5], "big")
        first = header + (12 if kind == _INDEX[0] else 8)
        for at in range(first, min(first + 2 * count, len(page) - 1), 2):
            try:
                row = self._row(page, int.from_bytes(page[at : at + 2], "big"), kind)
            except (IndexError, ValueError, struct.error):
                continue
            yield row

    def _row(self, page: bytes, pos: int, kind: int) -> PageRow:
        if kind == _INDEX[0]:
            pos += 4  # the page with smaller rows
        size, pos = _varint(page, pos)
        key = None
        most = (self._used_bytes - 12) * 64 // 255 - 23
        if kind == _TABLE_LEAF:
            key, pos = _varint(page, pos)
            most = self._used_bytes - 35
        return PageRow(key, _record(self._payload(page, pos, size, most)))

    def _payload(self, page: bytes, pos: int, size: int, most: int) -> bytes:
        """The bytes of a row, of which what is more than ``most`` lies in pages of its own."""
        if size <= most:
            here = page[pos : pos + size]
            if len(here) < size:
                raise ValueError("cut off")
            return here
        room = self._used_bytes - 4
        least = (self._used_bytes - 12) * 32 // 255 - 23
        local = least + (size - least) % room
        if local > most:
            local = least
        parts = [page[pos : pos + local]]
        following = int.from_bytes(page[pos + local : pos + local + 4], "big")
        left = size - local
        seen: set[int] = set()
        while left > 0:
            more = self._page(following) if following > 1 and following not in seen else b""
            if len(more) < self._used_bytes:
                raise ValueError("a page is missing")
            seen.add(following)
            parts.append(more[4 : 4 + min(left, room)])
            left -= room
            following = int.from_bytes(more[:4], "big")
        return b"".join(parts)


def _varint(raw: bytes, pos: int) -> tuple[int, int]:
    number = 0
    for _ in range(8):
        byte = raw[pos]
        pos += 1
        number = number << 7 | byte & 127
        if byte < 128:
            return number, pos
    return number << 8 | raw[pos], pos + 1


def _record(raw: bytes) -> tuple[Value, ...]:
    """The columns of a row. Raises ValueError or IndexError if it is none."""
    header_bytes, pos = _varint(raw, 0)
    kinds = []
    while pos < header_bytes:
        kind, pos = _varint(raw, pos)
        kinds.append(kind)
    if pos != header_bytes or not 1 <= len(kinds) <= _MOST_COLUMNS:
        raise ValueError("no row")
    values: list[Value] = []
    for kind in kinds:
        value, pos = _column(raw, pos, kind)
        values.append(value)
    if pos != len(raw):
        raise ValueError("a row of another length")
    return tuple(values)


def _column(raw: bytes, pos: int, kind: int) -> tuple[Value, int]:
    if kind == 0:
        return None, pos
    if kind in (8, 9):
        return kind - 8, pos
    if kind >= 12:
        end = pos + (kind - 12) // 2
        piece = raw[pos:end]
        if len(piece) < end - pos:
            raise ValueError("cut off")
        return (piece.decode() if kind % 2 else piece), end
    if kind == 7:
        return struct.unpack_from(">d", raw, pos)[0], pos + 8
    end = pos + _INTEGER_BYTES[kind]
    return int.from_bytes(raw[pos:end], "big", signed=True), end


def _logged(log: bytes, page_bytes: int) -> Iterator[tuple[int, bytes]]:
    """The pages of all whole commits in a write-ahead log, in order, so that the last one of a number counts."""
    magic = int.from_bytes(log[:4], "big")
    if len(log) < _LOG_HEADER_BYTES or magic not in _LOG_MAGIC:
        return
    order = ">" if magic & 1 else "<"
    sums = _checksum(log[:24], (0, 0), order)
    waiting: list[tuple[int, bytes]] = []
    for at in range(_LOG_HEADER_BYTES, len(log), _FRAME_HEADER_BYTES + page_bytes):
        header = log[at : at + _FRAME_HEADER_BYTES]
        page = log[at + _FRAME_HEADER_BYTES : at + _FRAME_HEADER_BYTES + page_bytes]
        if len(page) < page_bytes or header[8:16] != log[16:24]:
            return
        sums = _checksum(page, _checksum(header[:8], sums, order), order)
        if sums != struct.unpack(">II", header[16:24]):
            return
        waiting.append((int.from_bytes(header[:4], "big"), page))
        if header[4:8] != bytes(4):  # the last frame of a commit
            yield from waiting
            waiting.clear()


def _checksum(raw: bytes, sums: tuple[int, int], order: str) -> tuple[int, int]:
    first, second = sums
    words = struct.unpack(f"{order}{len(raw) // 4}I", raw)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
