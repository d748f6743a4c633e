"""What the search index holds, compared with what the texts say. Source: design 6, decision 8.

SQLite cannot verify an index without content. But it can list which term is filed under which message, and each text,
cut again, says the same of itself. Neither list is kept: hashes of (term, message) are added up for both, and where the
two differ the sums do.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

from msgsync.store.database import Database
from msgsync.store.words import Tokenizer

_SUMS: Final = 8192
"""Messages are spread over so many sums by their keys: memory is bounded, and a few wrong ones are told apart."""


def wrongly_filed(database: Database, tokenizer: Tokenizer) -> int:
    """How many messages, at least, the search index knows by other words than their texts have.

    Reads the whole index and every text: decision 8 has the cost.

    Raises:
        apsw.CorruptError: the index cannot be read.
    """
    sums = [0] * _SUMS
    with _filed(database) as filed:
        for term, key in filed:
            sums[key % _SUMS] += hash((term, key))
    indexed = database.one("select indexed from state")[0]
    for key, text in database.execute("select key, text from messages where key <= ?", (indexed,)):
        sums[key % _SUMS] -= sum([hash((term, key)) for term in tokenizer.terms(text)])
    return sum(map(bool, sums))


@contextmanager
def _filed(database: Database) -> Iterator[Iterator[Any]]:
    """Terms, in UTF-8, with the key of each message under which they are filed."""
    database.execute("create virtual table temp.filed using fts5vocab(main, search, instance)")
    cursor = database.connection.cursor()
    try:
        yield cursor.execute("select coalesce(cast(term as blob), x''), doc from temp.filed")
    finally:
        cursor.close(True)  # else what was wrong is said once more, and the table stays
        database.execute("drop table temp.filed")
