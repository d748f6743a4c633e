"""The files of a replica, looked at from outside."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd


@contextmanager
def database(path: Path) -> Iterator[apsw.Connection]:
    """The file of a replica in the hands of somebody else."""
    connection = apsw.Connection(str(path))
    try:
        yield connection
    finally:
        connection.close()


def change(path: Path, sql: str, *values: object) -> None:
    """Change a closed replica behind its back."""
    with database(path) as connection:
        connection.execute(sql, values)


def look(path: Path, sql: str, *values: object) -> list[tuple[object, ...]]:
    """Ask a replica's file, as another program would while it is open."""
    with database(path) as connection:
        return [tuple(row) for row in connection.execute(sql, values)]


def bodies(path: Path) -> list[bytes]:
    """What all documents are stored as, as it lies: packs and small updates."""
    stored = "select key, body from packs union all select key, body from log order by key"
    return [bytes(body) for _, body in look(path, stored)]  # type: ignore[call-overload]


def remains(path: Path, *traces: bytes) -> list[tuple[str, bytes]]:
    """Which traces are left, and where: in any file of the replica, or in what its documents are stored as."""
    files = {one.name: one.read_bytes() for one in path.parent.glob(f"{path.name}*")}
    found = [(name, trace) for name, raw in files.items() for trace in traces if trace in raw]
    for body in bodies(path):
        raw = zstd.decompress(body)
        found += [("a document", trace) for trace in traces if trace in raw]
    return found


def words(path: Path) -> set[str]:
    """Every word that a replica's search index has."""
    with database(path) as connection:
        connection.execute(
            "create virtual table temp.words using fts5vocab('main', 'search', 'row')"
        )
        return {term for (term,) in connection.execute("select term from temp.words")}
