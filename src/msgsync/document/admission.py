"""Admission: what bytes from outside must be before pycrdt or the store sees them. Source: design 4, security A1, A4.

The scan of `codec` admits the shape we write and nothing else. On top of it: clocks start at or below our state
vector, so nothing is ever pending; a key is live at most once an update; entries about erased messages become dead
runs before they are applied, and of erased attachments nothing but what they were called is left, so what was erased
does not even touch the disk. Delete sets are dropped by the scan.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Final

from msgsync import limits
from msgsync.document.codec import (
    Block,
    Struct,
    append_dead,
    compose,
    entries_of,
    join,
    scan_form,
    trim,
)
from msgsync.document.gonefiles import (
    NOTHING_GONE,
    GoneFiles,
    both,
    by_text,
    entry_without,
    gone_files,
)
from msgsync.document.reader import EntryReader
from msgsync.document.schema import ERASED, DocumentId, Entry, is_about
from msgsync.errors import Inadmissible, InvalidValue
from msgsync.ids import encode_ids

TOO_LARGE: Final = f"a document of more than {limits.DOCUMENT_BYTES} bytes"


@dataclass(frozen=True, slots=True)
class Admitted:
    """An update that may be applied: in normal form, nothing of it known already."""

    blocks: list[Block]
    entries: list[Entry]
    ambiguous: bool
    """Whether a key is live twice across the joined updates; then only pycrdt knows which one shows."""
    writers: int
    """How many of its writers are new."""
    raw: bytes | None = None
    """What was received, if that is in normal form and new to its end."""

    def update(self) -> bytes:
        """The bytes to apply and to store."""
        return compose(self.blocks) if self.raw is None else self.raw


def admit(
    document: DocumentId,
    updates: Sequence[bytes],
    state: dict[int, int],
    erased: AbstractSet[bytes] = frozenset(),
    gone_here: GoneFiles = NOTHING_GONE,
) -> Admitted:
    """Check the successive updates of one document and return what of them is new.

    Args:
        document: which one they belong to.
        updates: bytes from outside, in order.
        state: our state vector of the document; empty if it is not here.
        erased: ids erased here (12 bytes each). Those erased by the updates themselves are added.
        gone_here: attachments erased here; likewise.

    Raises:
        Inadmissible: see `codec.scan`; or a gap, a key live twice in one update, too many writers in all.
    """
    if sum(map(len, updates)) > limits.DOCUMENT_BYTES:
        raise Inadmissible(TOO_LARGE)
    scanned = []
    plain = not state and len(updates) == 1
    for update in updates:
        blocks, is_plain = scan_form(update)
        plain = plain and is_plain
        if _repeats(blocks):
            raise Inadmissible("an update in which a key is live twice")
        scanned.append(blocks)
    joined = scanned[0] if len(scanned) == 1 else join(scanned)
    blocks = trim(joined, state)
    writers = _check_writers(blocks, state)
    entries = entries_of(blocks)
    gone = erased | erased_ids(document, entries)
    files = both(gone_here, gone_files(document, entries))
    if gone or files:
        blocks = without(blocks, gone) if gone else blocks
        blocks = blocks_without_files(blocks, files) if files else blocks
        return Admitted(blocks, entries_of(blocks), len(scanned) > 1 and _repeats(blocks), writers)
    repeats = len(scanned) > 1 and _repeats(blocks)
    return Admitted(blocks, entries, repeats, writers, updates[0] if plain else None)


def _check_writers(blocks: Iterable[Block], state: dict[int, int]) -> int:
    """Count new writers, and bound those of the document, not of the update alone: they stay in every state vector."""
    new = sum(block.client not in state for block in blocks)
    if new and len(state) + new > limits.WRITERS:
        raise Inadmissible(
            f"an update that would bring a document to more than {limits.WRITERS} writers"
        )
    return new


def erased_ids(document: DocumentId, entries: Iterable[Entry]) -> set[bytes]:
    """The ids that readable ``erased`` entries among these name."""
    gone: set[bytes] = set()
    if not document.is_segment:
        return gone
    reader = EntryReader(document)
    for entry in entries:
        if entry.root == ERASED:
            try:
                gone.update(reader.erased(entry))
            except InvalidValue:
                continue  # unreadable: kept as it lies, erases nothing, reported by the fold
    return gone


def without(blocks: list[Block], gone: AbstractSet[bytes]) -> list[Block]:
    """Return the blocks with every entry about these ids turned into a dead run."""
    texts = set(encode_ids(list(gone)))
    return [Block(block.client, block.clock, _without(block.structs, texts)) for block in blocks]


def blocks_without_files(blocks: list[Block], gone: GoneFiles) -> list[Block]:
    """Return the blocks without what was in these attachments: the same entries, at the same clocks."""
    texts = by_text(gone)
    return [
        Block(
            block.client,
            block.clock,
            [one if type(one) is int else entry_without(one, texts) for one in block.structs],  # type: ignore[arg-type]
        )
        for block in blocks
    ]


def _without(structs: list[Struct], gone: set[bytes]) -> list[Struct]:
    kept: list[Struct] = []
    for struct in structs:
        if type(struct) is int:
            append_dead(kept, struct)
        elif is_about(struct, gone):  # type: ignore[arg-type]
            append_dead(kept, 1)
        else:
            kept.append(struct)
    return kept


def _repeats(blocks: list[Block]) -> bool:
    count = 0
    keys = set()
    for block in blocks:
        for struct in block.structs:
            if type(struct) is not int:
                count += 1
                keys.add(struct[:2])  # type: ignore[index]
    return len(keys) != count
