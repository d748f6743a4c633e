"""Whether what is said of attachments is so: rows against records, and chunks against their keys. Source: design 11."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from msgsync.attachment.sealing import open_chunk
from msgsync.document.schema import segment_of
from msgsync.errors import AttachmentDamaged
from msgsync.records import chunk_name, decode_attachments
from msgsync.store.attachments import file_hash
from msgsync.store.chunkrows import HERE
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.opened import Opened


class _Bad(NamedTuple):
    """A chunk that is not as it should be."""

    name: bytes
    is_damaged: bool
    """Or it is missing."""


def problems(store: Store) -> list[str]:
    """What is wrong, in words. Reads every chunk."""
    found = [*of_rows(store)]
    for name, is_damaged in _chunks(store):
        what = "is not what was stored" if is_damaged else "is not in its folder"
        found.append(f"attachments: chunk {name.hex()} {what}; repair has it fetched anew")
    found += [
        f"attachments: {name} lies in the folder and belongs to nothing; repair removes it"
        for name in store.attachments.strangers()
    ]
    return found


def mend(replica: Opened) -> None:
    """Have what is damaged or missing fetched anew, and remove what belongs to nothing."""
    with replica.reading() as store:
        bad, strangers = [*_chunks(store)], [*store.attachments.strangers()]
    if not bad and not strangers:
        return
    with replica.writing() as store:
        for name, is_damaged in bad:
            store.attachments.vanish(name, damaged=is_damaged)
        for text in strangers:
            store.attachments.files.remove_file(text)


def of_rows(store: Store) -> Iterator[str]:
    """Whether messages have the files that their records say, and those the chunks."""
    said: set[tuple[int, bytes, int, bytes]] = set()
    keys = {
        (conversation, kind): key
        for key, conversation, kind in store.database.execute(
            "select key, conversation, kind from documents"
        )
    }
    rows: list[Any] = store.database.execute(
        "select conversation, ms, tail, rest from messages where rest is not null"
    ).fetchall()
    for conversation, ms, tail, rest in rows:
        document = keys.get((conversation, segment_of(ms)), 0)
        for number, record in enumerate(decode_attachments(rest)):
            if record.is_gone:
                continue
            said.add((document, ms.to_bytes(6, "big") + tail, number, file_hash(record)))
            yield from _parts(store, file_hash(record), [*map(chunk_name, record.chunk_keys())])
    shown: set[Any] = set(
        store.database.execute(
            "select document, id, number, hash from attached join files on key = file"
        )
    )
    for _, one, number, _ in sorted(said ^ shown):
        yield f"attachments: file {number} of message {one.hex()} is not as its record says"
    loose_ends = store.database.one(
        "select (select count(*) from files where key not in (select file from attached))"
        " + (select count(*) from chunks where key not in (select chunk from parts))"
    )[0]
    if loose_ends:
        yield f"attachments: {loose_ends} rows that belong to no message"


def _parts(store: Store, told: bytes, names: list[bytes]) -> Iterator[str]:
    found = store.database.execute(
        "select c.name from files f join parts p on p.file = f.key join chunks c on c.key = p.chunk "
        "where f.hash = ? order by number",
        (told,),
    )
    if [name for (name,) in found] != names:
        yield "attachments: a file whose chunks are not those of its record"


def _chunks(store: Store) -> Iterator[_Bad]:
    """Chunks that are said to be here, and are not, or are something else."""
    rows: list[Any] = store.database.execute(
        "select name, secret, size from chunks where state = ?", (HERE,)
    ).fetchall()
    for name, key, size in rows:
        sealed = store.attachments.files.read(name)
        if sealed is None:
            yield _Bad(name, False)
            continue
        try:
            open_chunk(key, sealed, size)
        except AttachmentDamaged:
            yield _Bad(name, True)
