"""One document as a CRDT: a thin, strict skin over a `pycrdt.Doc` whose roots are flat maps. Source: design 4 and 5."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pycrdt

from msgsync.document.codec import (
    Block,
    compose,
    decode_state,
    encode_state,
    entries_of,
    scan,
)
from msgsync.document.schema import (
    DELETIONS,
    EDITS,
    ERASED,
    FIELDS,
    MESSAGES,
    REACTIONS,
    Entry,
)
from msgsync.errors import Inadmissible

_ROOTS = (MESSAGES, EDITS, REACTIONS, DELETIONS, ERASED, FIELDS)


class Document:
    """A loaded document. Not thread-safe; after any exception from it, drop it and load it again."""

    def __init__(self, updates: Iterable[bytes] = ()) -> None:
        """Load from successive updates in normal form (from our own store, or admitted)."""
        self._doc: pycrdt.Doc[Any] = pycrdt.Doc()
        self._roots: dict[str, pycrdt.Map[bytes]] = {}
        for update in updates:
            self.apply(update)
        for name in _ROOTS:
            self._root(name)

    def _root(self, name: str) -> pycrdt.Map[bytes]:
        root = self._roots.get(name)
        if root is None:
            root = self._roots[name] = self._doc.get(name, type=pycrdt.Map)
        return root

    def apply(self, update: bytes) -> None:
        """Apply an admitted update.

        Raises:
            Inadmissible: pycrdt refuses it all the same; this object must be dropped, for it may be half-applied.
        """
        try:
            self._doc.apply_update(update)
        except BaseException as error:
            # pyo3's PanicException is a BaseException; whatever it was, this document is not to be read again.
            del self._doc, self._roots
            if isinstance(error, KeyboardInterrupt | SystemExit | MemoryError):
                raise
            raise Inadmissible(f"pycrdt refused an update ({type(error).__name__})") from error

    def get(self, root: str, key: bytes) -> bytes | None:
        """The value under a key, or None."""
        value = self._root(root).get(key.decode("ascii"))
        return None if value is None else bytes(value)

    def remove(self, root: str, keys: Iterable[bytes]) -> None:
        """Remove entries that the fold calls irrelevant; garbage collection drops their bytes."""
        items = self._root(root)
        with self._doc.transaction():
            for key in keys:
                del items[key.decode("ascii")]

    def state(self) -> dict[int, int]:
        """The state vector: for each client the clock behind its last struct."""
        return decode_state(self._doc.get_state())

    def blocks(self, state: dict[int, int] | None = None) -> list[Block]:
        """What a peer with this state vector lacks, in normal form: no delete set, removed items as dead runs."""
        if state is None:
            return scan(self._doc.get_update())
        return scan(self._doc.get_update(encode_state(state)))

    def update(self, state: dict[int, int] | None = None) -> bytes:
        """`blocks` as bytes."""
        return compose(self.blocks(state))

    def entries(self) -> list[Entry]:
        """Every live entry, roots that this version does not know included."""
        return entries_of(self.blocks())


def resolved(blocks: Sequence[Block]) -> list[Block]:
    """The same with one live item a key, as pycrdt decides it. They may go on from anywhere."""
    padded = [
        Block(block.client, 0, [block.clock, *block.structs]) if block.clock else block
        for block in blocks
    ]
    state = {block.client: block.clock for block in blocks if block.clock}
    return Document([compose(padded)]).blocks(state)
