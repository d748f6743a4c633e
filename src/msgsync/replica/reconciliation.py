"""Which of a peer's documents are asked for in one exchange, and in which form, by what came before. Source: design 7.

Digests say which documents differ; what is asked for is what the state vector of the one here does not cover. Some
digests go on differing all the same: a document that was refused, one of which a month was let go of, or one whose
clocks say that nothing is missing (decision 15). So it is remembered what became of each.
"""

from __future__ import annotations

from collections.abc import Sequence

from msgsync.document.codec import encode_state
from msgsync.document.frozen import NEVER_FROZEN, Label
from msgsync.document.schema import DocumentId
from msgsync.protocol.frames import Offer
from msgsync.protocol.seam import Comparison
from msgsync.replica import history
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store


class Reconciliation:
    """Of one exchange; within the caller's reading or transaction."""

    def __init__(self) -> None:
        """Nothing was compared yet."""
        self._merged: dict[DocumentId, tuple[bytes, bytes]] = {}
        """The peer's digest and ours, once a document had been merged in this exchange and they still differed."""
        self._stuck: set[DocumentId] = set()
        """Documents whose digests still differ although clocks said that nothing is missing: asked for whole."""
        self._refused: set[tuple[DocumentId, bytes]] = set()
        """Documents that were refused in this exchange, and their digests: they may be better in the next one."""
        self._asked: dict[DocumentId, Label] = {}
        """The form of documents, that are on their way, to which the peer was asked to add."""
        self.trees = 0
        """How often trees were compared: what one such round leaves different is asked for anew by the next one."""
        self.lesser: set[DocumentId] = set()
        """Documents of which the peer has a lesser form than ours: offered to it after this exchange."""
        self.elsewhere: dict[DocumentId, bytes] = {}
        """Documents of which nothing is here and that the peer has let go of, with their digests."""

    def compare(self, store: Store, device: bytes, offers: Sequence[Offer]) -> list[Comparison]:
        """See `Peerable.compare`."""
        comparisons = []
        source_only = store.database.readonly
        refused = store.missing.refused(device)
        for offer in offers:
            row = store.documents.find(offer.document)
            here = bytes(16) if row is None else row.digest.to_bytes(16, "big")
            if row is None and not offer.bytes and not source_only:
                self.elsewhere[offer.document] = offer.digest
            wanted = (
                not source_only
                and offer.bytes > 0  # else the peer does not have it either
                and refused.get(offer.document) != offer.digest
                and (offer.document, offer.digest) not in self._refused
                and (self._lacks(store, row, device, offer) or self._has_less(row, offer))
            )
            is_whole = row is None or row.lacks is None
            if wanted and is_whole and self._merged.get(offer.document) == (offer.digest, here):
                self._stuck.add(offer.document)
            comparisons.append(Comparison(wanted, 0 if row is None else row.messages))
        return comparisons

    def _lacks(self, store: Store, row: DocumentRow | None, device: bytes, offer: Offer) -> bool:
        """Whether a peer has entries that may be missing here."""
        if row is not None and row.lacks is not None:
            return self._brings_back(store, row, device, offer)
        if row is None or row.digest.to_bytes(16, "big") == offer.digest:
            return row is None
        # What is noted as taken whole is believed once: somebody else may have said that it was all.
        return self.trees > 1 or row.merged != device + offer.digest

    def _brings_back(self, store: Store, row: DocumentRow, device: bytes, offer: Offer) -> bool:
        """Whether a peer has anything of a month that was let go of here, but for what is known to be elsewhere."""
        if row.known_digest.to_bytes(16, "big") == offer.digest:
            return False
        if history.restores(store, row, device, offer.digest):
            return True
        is_new = row.digest.to_bytes(16, "big") != offer.digest
        return is_new and (self.trees > 1 or row.merged != device + offer.digest)

    def _has_less(self, row: DocumentRow | None, offer: Offer) -> bool:
        """Whether a document that has changed lies here in a lesser form. Trees offer what has not, too."""
        if row is None or row.lacks is not None or self.trees:
            return False
        return offer.label > row.label

    def state(self, store: Store, document: DocumentId) -> tuple[Label, bytes]:
        """See `Peerable.state`."""
        self._asked.pop(document, None)
        row = store.documents.find(document)
        if document in self._stuck or row is None or row.is_new or row.lacks is not None:
            return NEVER_FROZEN, b""
        self._asked[document] = row.label
        return row.label, encode_state(store.documents.state(row))

    def asked(self, document: DocumentId) -> Label | None:
        """The form to which the peer was asked to add in a document that has come; None if it was asked for whole."""
        return self._asked.pop(document, None)

    def takes_whole(self, document: DocumentId) -> bool:
        """Whether a document that has come was asked for whole although something of it was here."""
        is_stuck = document in self._stuck
        self._stuck.discard(document)
        return is_stuck

    def refuse(self, offer: Offer) -> None:
        """A document was refused: as it is it is not asked for again."""
        self._refused.add((offer.document, offer.digest))

    def note(self, store: Store, offer: Offer, form: Label, all_from: bytes) -> None:
        """Note what came of a document that was merged.

        Args:
            store: of this replica.
            offer: what was offered of it.
            form: in which it came.
            all_from: the device that sent all that it has of it, or nothing.
        """
        row = store.documents.find(offer.document)
        if row is not None and row.label > form:
            self.lesser.add(offer.document)
        here = bytes(16) if row is None else row.digest.to_bytes(16, "big")
        if here == offer.digest:
            self._merged.pop(offer.document, None)
            return
        self._merged[offer.document] = offer.digest, here
        if all_from and row is not None:
            # Not to be sent again, though this exchange may break.
            row.merged = all_from + offer.digest
            store.documents.touch(row)
