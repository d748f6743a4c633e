"""Stored updates: what documents consist of, compressed and with checksums. Source: design 4 and 6.

An update lies in one of two places. What a transaction stores is compressed together, the updates of many documents in
one **pack**: tiny streams hardly shrink, and a page of the database holds little else beside one of them. What a single
message appends lies in the **log** by itself, where writing it touches one page. Nothing that was removed stays: a pack
that loses an update is written anew.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from functools import cached_property, partial
from typing import Any, Final

import apsw

from msgsync import limits
from msgsync.errors import ReplicaDamaged
from msgsync.store.database import Database

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_OPTIONS: Final[dict[int, int]] = {
    zstd.CompressionParameter.compression_level: 3,
    zstd.CompressionParameter.checksum_flag: 1,  # SQLite does not notice flipped bits
}
_LOG_BYTES: Final = 1024
"""Up to so much from one transaction goes to the log."""
_INSERT_LOG: Final = "insert into log values(?,?)"
_INSERT_PACK: Final = "insert into packs values(?,?)"
_INSERT_UPDATE: Final = "insert into updates values(?,?,?,?)"

KEYS_PER_DOCUMENT: Final = 1 << 20
"""Room for the keys of one document's updates, which begin at its own key times this; its log is folded long before."""

_Waiting = list[tuple[int, bytes]]


class Updates:
    """Stored updates by key, within the caller's transaction. A document's keys are a range."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._waiting: _Waiting = []
        self._waiting_bytes = 0
        self._next_pack: int | None = None
        self._thinned: set[int] = set()
        self._unpacked: OrderedDict[int, bytes] = OrderedDict()

    # Made when something is written first: who opens a replica to read does not wait for them.

    @cached_property
    def _compressor(self) -> zstd.ZstdCompressor:
        return zstd.ZstdCompressor(options=_OPTIONS)

    @cached_property
    def _packer(self) -> zstd.ZstdCompressor:
        """The second thread's."""
        return zstd.ZstdCompressor(options=_OPTIONS)

    def reset(self) -> None:
        """Forget what is waiting and cached, as after a transaction that was rolled back."""
        self._waiting = []
        self._waiting_bytes = 0
        self._next_pack = None
        self._thinned.clear()
        self._unpacked.clear()

    def append(self, key: int, update: bytes) -> None:
        """Store an update with the next `flush`, or before it if many are waiting."""
        self._waiting.append((key, update))
        self._waiting_bytes += len(update)
        if self._waiting_bytes >= limits.PACK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write what is waiting."""
        waiting, self._waiting = self._waiting, []
        size, self._waiting_bytes = self._waiting_bytes, 0
        if size <= _LOG_BYTES:
            if waiting:
                self._database.later(
                    _INSERT_LOG,
                    [(key, _compressed(self._compressor, update)) for key, update in waiting],
                )
            return
        self._write(waiting)

    def _write(self, group: _Waiting) -> None:
        if self._next_pack is None:
            newest = self._database.one("select max(key) from packs")[0]
            self._next_pack = 1 if newest is None else newest + 1
        pack = self._next_pack
        self._next_pack += 1
        rows = []
        start = 0
        for key, update in group:
            rows.append((key, pack, start, len(update)))
            start += len(update)
        body = b"".join([update for _, update in group])
        if len(body) >= limits.PACK_BYTES:  # compressed beside what is done next
            self._database.start(partial(self._insert_pack, pack, body))
        else:
            self._database.later(_INSERT_PACK, [(pack, _compressed(self._compressor, body))])
        self._database.later(_INSERT_UPDATE, rows)

    def _insert_pack(self, pack: int, body: bytes, connection: apsw.Connection) -> None:
        """In the second thread."""
        connection.execute(_INSERT_PACK, (pack, _compressed(self._packer, body)))

    def read(self, first: int, behind: int) -> list[bytes]:
        """The updates whose keys are in a range, in order.

        Raises:
            ReplicaDamaged: a stored update is not what was written.
        """
        self.flush()
        # The parts of one update in a pack, or the body of one in the log.
        found: list[Any] = self._database.execute(
            "select key, pack, start, size, null from updates where key >= ?1 and key < ?2 union all "
            "select key, null, null, null, body from log where key >= ?1 and key < ?2 order by key",
            (first, behind),
        ).fetchall()
        return [
            expanded(body) if pack is None else self._cut(pack, start, size)
            for _, pack, start, size, body in found
        ]

    def size(self, key: int) -> int:
        """How long the update under a key is, as far as it lies in a pack; else nearly."""
        self.flush()
        found = self._database.first(
            "select size from updates where key = ?1 union all select length(body) from log where key = ?1",
            (key,),
        )
        return 0 if found is None else int(found[0])

    def remove(self, first: int, behind: int) -> None:
        """Remove the updates whose keys are in a range; `finish` sees to it that no pack holds them."""
        self.flush()
        execute = self._database.execute
        packs: list[Any] = execute(
            "select distinct pack from updates where key >= ? and key < ?", (first, behind)
        ).fetchall()
        for table in ("updates", "log"):
            execute(f"delete from {table} where key >= ? and key < ?", (first, behind))
        self._thinned.update(pack for (pack,) in packs)

    def finish(self) -> None:
        """Write what is waiting, and each pack that lost an update anew: once, however many it lost."""
        self.flush()
        thinned, self._thinned = self._thinned, set()
        execute = self._database.execute
        for pack in sorted(thinned):
            members: list[Any] = execute(
                "select key, start, size from updates where pack = ? order by start", (pack,)
            ).fetchall()
            for key, start, size in members:
                self._waiting.append((key, self._cut(pack, start, size)))
                self._waiting_bytes += size
            self._unpacked.pop(pack, None)
            execute("delete from packs where key = ?", (pack,))
            execute("delete from updates where pack = ?", (pack,))
            if self._waiting_bytes >= limits.PACK_BYTES:
                self._repack()
        self._repack()

    def _repack(self) -> None:
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        if waiting:
            self._write(waiting)

    def forget(self) -> None:
        """Forget what is cached: another process may have written it."""
        self._unpacked.clear()

    def _cut(self, pack: int, start: int, size: int) -> bytes:
        update = self._pack(pack)[start : start + size]
        if len(update) != size:
            raise ReplicaDamaged(damaged("it is shorter than it should be"))
        return update

    def _pack(self, pack: int) -> bytes:
        unpacked = self._unpacked.pop(pack, None)
        if unpacked is None:
            found = self._database.first("select body from packs where key = ?", (pack,))
            if found is None:
                raise ReplicaDamaged(damaged("it is not there"))
            unpacked = expanded(found[0])
        self._unpacked[pack] = unpacked
        while (
            len(self._unpacked) > 1
            and sum(map(len, self._unpacked.values())) > limits.PACK_CACHE_BYTES
        ):
            self._unpacked.popitem(last=False)
        return unpacked


def _compressed(compressor: zstd.ZstdCompressor, raw: bytes) -> bytes:
    # Known size: the frame then says how much memory reading it takes.
    compressor.set_pledged_input_size(len(raw))
    return compressor.compress(raw, zstd.ZstdCompressor.FLUSH_FRAME)


def expanded(body: bytes) -> bytes:
    """What a stored frame holds. Raises ReplicaDamaged."""
    try:
        return zstd.decompress(body)
    except zstd.ZstdError as error:
        raise ReplicaDamaged(damaged(str(error))) from error


def damaged(what: str) -> str:
    """What is said of a stored part that is not what was written."""
    return (
        f"a stored part of a conversation is damaged ({what}); "
        "run repair, restore a backup or fill a new replica from another device"
    )
