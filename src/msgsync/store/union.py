"""Two forms of a document meet, at least one of them frozen: the union of their entries. Pure. Source: design 8.

Entries are immutable and the fold is a function of their set, so what both have together is what matters of the union,
whatever forms they come in. Of two values under one key the greater one is kept, everywhere.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from typing import NamedTuple

from msgsync.document.admission import admit, erased_ids
from msgsync.document.codec import entries_of
from msgsync.document.fold import fold
from msgsync.document.frozen import Parts, decode_frozen, encode_frozen
from msgsync.document.gonefiles import NOTHING_GONE, GoneFiles, both, gone_files, without_gone
from msgsync.document.schema import DocumentId, Entry, is_about
from msgsync.ids import encode_ids

_Slot = tuple[str, bytes]


class Meeting(NamedTuple):
    """What comes of a meeting."""

    missing: list[Entry]
    """Theirs that are not here and matter."""
    ours: list[Entry]
    """Those here that are not theirs and matter."""
    theirs: Parts
    """What they sent, admitted."""
    differing: list[Entry]
    """Theirs of which another value is here."""
    union: list[Entry]
    """All, one a key."""
    lamport: int
    """The greatest Lamport number among them, of entries that do not matter, too."""


def meet(
    document: DocumentId,
    entries: Iterable[Entry],
    parts: Parts,
    erased: AbstractSet[bytes],
    gone_here: GoneFiles = NOTHING_GONE,
) -> Meeting:
    """Join what is here with all that a peer has.

    Args:
        document: which one.
        entries: what is here of it.
        parts: all that the peer has of it.
        erased: ids erased here (12 bytes each).
        gone_here: attachments erased here.

    Raises:
        Inadmissible: admission refuses what the peer sent.
    """
    there, theirs = _admitted(document, parts, erased, gone_here)
    # What they erased of ours is no other value.
    here = {e[:2]: e for e in without_gone(entries, gone_files(document, there.values()))}
    missing = [entry for slot, entry in there.items() if slot not in here]
    differing = [e for slot, e in there.items() if slot in here and here[slot].value != e.value]
    union = {**there, **here}
    union |= {e[:2]: e for e in differing if e.value > here[e[:2]].value}
    state = fold(document, union.values())
    lost = {entry[:2] for entry in state.irrelevant}
    return Meeting(
        [entry for entry in missing if entry[:2] not in lost],
        [entry for slot, entry in here.items() if slot not in there and slot not in lost],
        theirs,
        differing,
        list(union.values()),
        state.lamport,
    )


def _admitted(
    document: DocumentId, parts: Parts, erased: AbstractSet[bytes], gone_here: GoneFiles
) -> tuple[dict[_Slot, Entry], Parts]:
    """Their entries, one a key, and their parts, without anything about erased messages."""
    frozen = decode_frozen(document, parts.frozen) if parts.frozen else None
    others = [] if frozen is None else frozen.others
    admitted = admit(document, parts.updates, {}, erased, gone_here)
    gone = erased | erased_ids(document, others) | erased_ids(document, admitted.entries)
    files = both(gone_here, gone_files(document, [*others, *admitted.entries]))
    content = parts.frozen
    if gone or files:
        admitted = admit(document, parts.updates, {}, gone, files)
        if frozen is not None:
            left = frozen.without(gone) if _holds(frozen.messages.ids, others, gone) else frozen
            left = left.without_files(files)
            if left != frozen:
                frozen, content = left, encode_frozen(left)
    there = {} if frozen is None else {entry[:2]: entry for entry in frozen.entries()}
    for entry in entries_of(admitted.blocks):
        known = there.get(entry[:2])
        if known is None or entry.value > known.value:
            there[entry[:2]] = entry
    updates = (admitted.update(),) if admitted.blocks else ()
    if admitted.ambiguous:  # one item a key, as admission asks of every single update
        from msgsync.document.crdt import Document

        updates = (Document(updates).update(),)
    return there, Parts(parts.label, content, updates)


def _holds(ids: Sequence[bytes], others: Iterable[Entry], gone: AbstractSet[bytes]) -> bool:
    texts = set(encode_ids(list(gone)))
    return not gone.isdisjoint(ids) or any(is_about(entry, texts) for entry in others)
