"""Rows of chunks: which messages need, and which are here. Source: design 11.

Nothing here reads what a chunk holds: the store keeps bytes, and who holds the keys sees to them. Whatever is written
or removed is noted as **loose** before, so that nothing stays behind when a process ends in between.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from typing import Any, Final, NamedTuple, Protocol

import apsw

from msgsync.errors import ReplicaDamaged
from msgsync.store.chunkfiles import ChunkFiles
from msgsync.store.database import Database
from msgsync.store.filesystem import REAL_FILES, FileSystem

MISSING: Final = 0
"""It is to be fetched."""
HERE: Final = 1
"""It lies in the folder."""
AWAY: Final = 2
"""It was let go of; it comes back when somebody reads it."""
DAMAGED: Final = 3
"""It was found to be not what was stored; it is to be fetched."""
HAD_BEFORE: Final = -2
"""In place of a time: a device had it before a message came that needs it, and may not know that message."""


class Wanted(NamedTuple):
    """A chunk that a message needs and that is not here."""

    name: bytes
    key: bytes
    size: int
    """Bytes of the file that it holds."""
    used_ms: int
    """When it was last read here, or the newest message that needs it was sent: Unix milliseconds."""


class ChunkSource(Protocol):
    """What reads chunks for an app."""

    def read(self, name: bytes) -> bytes | None:
        """A chunk as it is stored; None if it is not here."""

    def is_here(self, name: bytes) -> bool:
        """Whether a chunk lies in the folder."""

    def is_needed(self, name: bytes) -> bool:
        """Whether any message needs a chunk: of what was erased none does."""

    def damaged(self, name: bytes) -> None:
        """A chunk was found to be not what was stored."""

    def missing(self, name: bytes) -> None:
        """A chunk that should be here is not."""

    def fetch(
        self,
        names: Collection[bytes],
        timeout: float | None,
        on_arrival: Callable[[], object] | None = None,
    ) -> None:
        """Block until these are here, or none came for so many seconds. Raises AttachmentElsewhere."""

    def news(self) -> None:
        """Something came, or will not come any more."""

    def pause(self, names: Collection[bytes]) -> None:
        """Do not fetch these any more, neither by themselves nor for who waits for them."""

    def resume(self, names: Collection[bytes]) -> None:
        """Fetch these by themselves again."""


class ChunkRows:
    """Writes and asks within the caller's transaction."""

    def __init__(self, database: Database, files: FileSystem = REAL_FILES) -> None:
        """Args: where the rows are, and the file system under the folder that lies beside it."""
        self._database = database
        self.files = ChunkFiles(database.connection.filename, files)
        self.source: ChunkSource | None = None
        """Of the replica, once that is open."""
        self._pinned: Counter[bytes] = Counter()
        """Names of chunks that a message about to be sent will refer to."""
        self._held: Counter[bytes] = Counter()
        """Names of chunks that somebody waits for: they do not go for others that come, but with their message."""
        self.reset()

    def reset(self) -> None:
        """Forget what a transaction did that was rolled back."""
        self._unlinked: list[bytes] = []
        """Chunks that go from the folder when this is committed."""
        self._ended = False
        """Whether a chunk came to be needed by no message."""

    # What is here.

    def here(self, names: Collection[bytes]) -> set[bytes]:
        """Those of these chunks that lie in the folder, as far as is known."""
        if not names:
            return set()
        found = self._database.execute(
            "select name from carray(?) join chunks on name = value where state = ?",
            (apsw.carray(tuple(names)), HERE),
        )
        return {name for (name,) in found}

    def states(self, names: Collection[bytes]) -> dict[bytes, int]:
        """Where these chunks are, as far as is known here."""
        if not names:
            return {}
        found = self._database.execute(
            "select name, state from carray(?) join chunks on name = value",
            (apsw.carray(tuple(names)),),
        )
        return dict(found)

    def find(self, name: bytes) -> Wanted | None:
        """A chunk that some message needs, here or not."""
        found = self._database.first(
            "select name, secret, size, used_ms from chunks where name = ?", (name,)
        )
        return None if found is None else Wanted(*found)

    def bytes_here(self) -> int:
        """How many bytes of files lie in the folder."""
        here = "select coalesce(sum(size), 0) from chunks where state = ?"
        return int(self._database.one(here, (HERE,))[0])

    def bytes_missing(self) -> int:
        """How many bytes of files are to be fetched, now or once there is room for them."""
        missing = "select coalesce(sum(size), 0) from chunks where state in (?,?)"
        return int(self._database.one(missing, (MISSING, DAMAGED))[0])

    def use(self, names: Iterable[bytes], at_ms: int) -> None:
        """Note that these were read."""
        self._database.executemany(
            "update chunks set used_ms = max(used_ms, ?) where name = ?",
            [(at_ms, name) for name in names],
        )

    def strangers(self) -> list[str]:
        """Names of files in the folder that no row knows."""
        known = {
            name.hex()
            for (name,) in self._database.execute(
                "select name from chunks where state = ? union select name from loose", (HERE,)
            )
        }
        return [one for one in self.files.names() if one.partition(".")[0] not in known]

    def left_over(self) -> list[str]:
        """Names of files in the folder that no message needs, nor one about to be sent."""
        needed = {name.hex() for (name,) in self._database.execute("select name from chunks")}
        needed |= {name.hex() for name in self._pinned}
        return [one for one in self.files.names() if one.partition(".")[0] not in needed]

    # Coming and going.

    def loosen(self, names: Iterable[bytes]) -> None:
        """Note chunks that are about to be written into the folder."""
        self._database.executemany(
            "insert or ignore into loose values(?)", [(one,) for one in names]
        )

    def arrive(self, names: Iterable[bytes]) -> None:
        """Note that these lie in the folder; they are not loose any more, if any message needs them."""
        for name in names:
            found = self._database.first(
                "update chunks set state = ? where name = ? returning key", (HERE, name)
            )
            if found is not None:
                self._database.execute("delete from loose where name = ?", (name,))

    def take_up(self, names: Iterable[bytes]) -> bool:
        """Note those of these that lie in the folder; return whether any does.

        Their names are brought to the disk first: whoever wrote them may have failed before that.

        Raises:
            OSError: that failed; nothing was noted.
        """
        here = [name for name in names if self.files.size(name) is not None]
        self.files.sync_names(here)
        self.arrive(here)
        return bool(here)

    def vanish(self, name: bytes, *, damaged: bool) -> None:
        """Note that a chunk is not in the folder, or is not what was stored: then it goes.

        Nothing happens if it was not noted as here: what lies there is just being written, perhaps.
        """
        found = self._database.first(
            "update chunks set state = ? where name = ? and state = ? returning key",
            (DAMAGED if damaged else MISSING, name, HERE),
        )
        if damaged and found is not None:
            self.unlink([name])

    def unlink(self, names: Collection[bytes]) -> None:
        """Remove these from the folder once the transaction is committed."""
        self.loosen(names)
        self._unlinked += names

    def pause(self, names: Iterable[bytes]) -> None:
        """Do not fetch these by themselves; those that are here stay."""
        self._database.executemany(
            "update chunks set state = ? where name = ? and state in (?,?)",
            [(AWAY, name, MISSING, DAMAGED) for name in names],
        )

    def resume(self, names: Iterable[bytes]) -> None:
        """Fetch these by themselves again, those that are not here."""
        self._database.executemany(
            "update chunks set state = ? where name = ? and state = ?",
            [(MISSING, name, AWAY) for name in names],
        )

    def come_back(self) -> int:
        """Fetch by itself again whatever was let go of or paused; return how many bytes of files that is."""
        back = self._database.execute(
            "update chunks set state = ? where state = ? returning size", (MISSING, AWAY)
        )
        return sum(size for (size,) in back)

    def is_pinned(self, name: bytes) -> bool:
        """Whether a message about to be sent will refer to a chunk, or somebody waits for it."""
        return name in self._pinned or name in self._held

    def survey(self) -> None:
        """See which chunks lie in the folder: in a file that was put back or made anew, rows do not know.

        What lies there is loose, for `sweep` to see to: that what was damaged was removed, or what is whole given its
        name, need not be on the disk yet.
        """
        rows: list[Any] = self._database.execute("select name, state from chunks").fetchall()
        for name, state in rows:
            is_here = self.files.size(name) is not None
            if is_here == (state == HERE):
                continue
            if state != DAMAGED:
                self._database.execute(
                    "update chunks set state = ? where name = ?", (MISSING, name)
                )
            if is_here:
                self.loosen([name])

    def pin(self, names: Iterable[bytes]) -> None:
        """Keep these, whether or not any message refers to them: one is about to."""
        self._pinned.update(names)

    def hold(self, names: Iterable[bytes]) -> None:
        """Somebody waits for these."""
        self._held.update(names)

    def let(self, names: Iterable[bytes]) -> None:
        """He waits no longer."""
        self._held.subtract(names)
        self._held += Counter()

    def release(self, names: Iterable[bytes]) -> None:
        """Let go of what was pinned and is referred to by now."""
        self._pinned.subtract(names)
        self._pinned += Counter()  # those that nobody holds any more

    def unpin(self, names: Collection[bytes]) -> None:
        """Let go of what was pinned. Within a transaction: what nothing refers to goes."""
        self.release(names)
        self._collect_chunks(
            [
                key
                for name in names
                for (key,) in self._database.execute(
                    "select key from chunks where name = ?", (name,)
                )
            ]
        )

    # What nothing refers to.

    def _collect_chunks(self, chunks: Iterable[int]) -> None:
        for chunk in set(chunks):
            found = self._database.first(
                "select name, state from chunks where key = ?1 "
                "and not exists(select 1 from parts where chunk = ?1)",
                (chunk,),
            )
            if found is None or found[0] in self._pinned:
                continue
            self._database.execute(
                "insert or ignore into rubbish select address, ? from mailboxes", (found[0],)
            )
            self._ended = True
            for table, column in (("chunks", "key"), ("copies", "chunk"), ("promises", "chunk")):
                self._database.execute(f"delete from {table} where {column} = ?", (chunk,))
            if found[1] == HERE:
                self.unlink([found[0]])

    def committed(self) -> None:
        """Remove from the folder what the transaction let go of. What cannot be removed stays loose."""
        ended, self._ended = self._ended, False
        if ended and self.source is not None:
            self.source.news()  # nobody is to wait for it any more
        unlinked, self._unlinked = self._unlinked, []
        for name in unlinked:
            with suppress(OSError):
                self.files.remove(name)

    def has_loose(self) -> bool:
        """Whether there is anything to `sweep`."""
        found = self._database.execute("select name from loose")
        return not {name for (name,) in found} <= self.files.expected()

    def sweep(self) -> bool:
        """See to what is loose and not about to be used: what is needed is here, the rest goes. Within a transaction.

        What cannot be removed stays noted.

        Returns:
            Whether anything that is needed was found to be here.

        Raises:
            ReplicaDamaged: what is noted is no name of a chunk.
        """
        loose: list[Any] = self._database.execute("select name from loose").fetchall()
        expected = self.files.expected()
        come: list[bytes] = []
        gone: list[bytes] = []
        for (name,) in loose:
            if type(name) is not bytes:
                raise ReplicaDamaged("what is said of chunks is not what it was; run repair")
            if name in expected:
                continue
            state = self.states([name]).get(name)
            if state == MISSING and self.files.size(name) is not None:
                come.append(name)  # it was given its name when it was whole
                continue
            if name in self._pinned:
                continue
            with suppress(OSError):
                self.files.remove_parts(name)
                if state != HERE:  # nor what was found damaged, and came back with a power loss
                    self.files.remove(name)
                gone.append(name)
        with suppress(OSError):
            self.files.sync_names(gone)
            self._database.executemany("delete from loose where name = ?", [(one,) for one in gone])
        with suppress(OSError):
            return self.take_up(come)
        return False
