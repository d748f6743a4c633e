"""What SQLite leaves in the unused part of its pages, and how it is removed. Source: design 6, security A5.

``secure_delete`` overwrites a row that is deleted, where it lies then. But when a page is split rows move to another
one, and copies of them stay behind in the space between the page's list of rows and its rows: nothing refers to them,
nothing overwrites them, and a row that is deleted later leaves its copy there (seen with SQLite 3.54: texts of erased
messages in six pages of five hundred). So whenever pages are moved from the write-ahead log into the file that space is
overwritten, and the log is not emptied before. Only bytes that mean nothing to SQLite are written, so it makes no
difference when, or whether half of it, reaches the disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import groupby
from typing import Final

import apsw

from msgsync.store.encryption import FileCipher

_LOG_HEADER_BYTES: Final = 32
_FRAME_HEADER_BYTES: Final = 24
_FILE_HEADER_BYTES: Final = 100
_INTERIOR: Final = (2, 5)
_LEAF: Final = (10, 13)
"""The first byte of a page of a b-tree. Of any other page it is the high byte of a page's number, or nothing."""
_MOST_PAGES: Final = 0x2000000
"""Below so many pages (128 GiB) the high byte of a number cannot be mistaken for the type of a page."""
_RUN: Final = 256
"""So many pages are read at once."""


@contextmanager
def opened(
    connection: apsw.Connection, vfs: str | None = None, *, log: bool = False, write: bool = False
) -> Iterator[apsw.VFSFile]:
    """The file of a connection, or its write-ahead log, as SQLite opens it, or through the file system ``vfs``.

    Closing what `open` gives would end the locks that SQLite holds on the file in this process. Raises apsw.Error.
    """
    kind = apsw.SQLITE_OPEN_WAL if log else apsw.SQLITE_OPEN_MAIN_DB
    mode = apsw.SQLITE_OPEN_READWRITE if write else apsw.SQLITE_OPEN_READONLY
    name = connection.filename + ("-wal" if log else "")
    file = apsw.VFSFile(vfs or connection.open_vfs, name, [kind | mode, 0])
    try:
        yield file
    finally:
        file.xClose()


def pages_in_log(connection: apsw.Connection, vfs: str | None = None) -> list[int]:
    """The numbers of all pages of which the write-ahead log, which is there, holds a version; ascending."""
    found: set[int] = set()
    with opened(connection, vfs, log=True) as log:
        step = _FRAME_HEADER_BYTES + connection.pragma("page_size")
        for offset in range(_LOG_HEADER_BYTES, log.xFileSize(), step):
            found.add(int.from_bytes(log.xRead(4, offset), "big"))
    return sorted(found)


def unused(page: bytes, number: int) -> tuple[int, int]:
    """Where in a page of a b-tree lie bytes that mean nothing: from, to. Nowhere in any other page."""
    header = _FILE_HEADER_BYTES if number == 1 else 0
    kind = page[header] if page else 0
    if kind not in _INTERIOR and kind not in _LEAF:
        return 0, 0
    rows = int.from_bytes(page[header + 3 : header + 5], "big")
    first = int.from_bytes(page[header + 5 : header + 7], "big") or 65536
    start = header + (12 if kind in _INTERIOR else 8) + 2 * rows
    return (start, first) if start < first <= len(page) else (0, 0)


def overwrite(connection: apsw.Connection, numbers: Iterable[int], *, sync: bool) -> None:
    """Overwrite the unused parts of these pages with zeros, in the file.

    Nobody may be moving pages into the file meanwhile. With ``sync`` it is on disk at the end. Raises apsw.Error.
    """
    page_bytes = connection.pragma("page_size")
    zeros = bytes(page_bytes)
    wrote = False
    with opened(connection, write=True) as file:
        pages = min(file.xFileSize() // page_bytes, _MOST_PAGES)
        for first, count in _runs(number for number in numbers if 1 <= number <= pages):
            run = file.xRead(count * page_bytes, (first - 1) * page_bytes)
            for index in range(count):
                page = run[index * page_bytes : (index + 1) * page_bytes]
                start, end = unused(page, first + index)
                if page[start:end] != zeros[: end - start]:
                    file.xWrite(zeros[: end - start], (first + index - 1) * page_bytes + start)
                    wrote = True
        if wrote and sync:
            file.xSync(apsw.SQLITE_SYNC_NORMAL)


def rewrite(
    connection: apsw.Connection, cipher: FileCipher, numbers: Iterable[int], vfs: str | None = None
) -> None:
    """Overwrite the unused parts of these pages of an encrypted file, by other ones in their place; on disk at the end.

    Nobody may have the file open meanwhile; see `store.sweep`. Raises apsw.Error.
    """
    page_bytes = connection.pragma("page_size")
    wrote = False
    with opened(connection, vfs, write=True) as file:
        pages = min(file.xFileSize() // page_bytes, _MOST_PAGES)
        for number in numbers:
            if not 1 <= number <= pages:
                continue
            text = cipher.page(number, file.xRead(page_bytes, (number - 1) * page_bytes))
            if text is None:
                continue  # it is damaged, and stays as it is
            start, end = unused(text, number)
            if text[start:end] != bytes(end - start):
                clean = text[:start] + bytes(end - start) + text[end:]
                file.xWrite(cipher.sealed(number, clean), (number - 1) * page_bytes)
                wrote = True
        if wrote:
            file.xSync(apsw.SQLITE_SYNC_NORMAL)


def _runs(numbers: Iterable[int]) -> Iterator[tuple[int, int]]:
    """Ascending numbers as stretches: the first, and how many follow one another."""
    for _, stretch in groupby(enumerate(numbers), lambda pair: pair[1] - pair[0]):
        members = [number for _, number in stretch]
        for start in range(0, len(members), _RUN):
            yield members[start], len(members[start : start + _RUN])
