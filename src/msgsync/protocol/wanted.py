"""Months that somebody waits for, fetched from a checkpoint before their turn. Sans-IO. Source: design 9 and 12."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgsync.document.schema import DocumentId
from msgsync.errors import AccountError, MailboxDamaged, NoSuchObject
from msgsync.protocol.batch import Documents
from msgsync.protocol.candidates import Candidate
from msgsync.protocol.correspondent import Correspondent, Log
from msgsync.protocol.errand import Errand, Round
from msgsync.protocol.index import Places, read_index
from msgsync.protocol.objects import Objects, batch_of

_NOT_TO_BE_HAD: Final = (AccountError, NoSuchObject, MailboxDamaged)
"""What is wrong with an object is named when it is its turn."""


class Wanted:
    """Those of one checkpoint that is being read. Its index is read once somebody waits for something."""

    def __init__(
        self, replica: Correspondent, this_round: Round, objects: Objects, checkpoint: Candidate
    ) -> None:
        self._replica = replica
        self._round = this_round
        self._objects = objects
        self._checkpoint = checkpoint
        self._index: Mapping[str, Places] | None = None
        self._asked: set[int] = set()
        """The sequences of objects that were fetched for this."""

    def read(self) -> Errand[None]:
        """Read the next month that is waited for, if there is one that is not here."""
        conversations = self._replica.wanted()
        if not conversations:
            return
        if self._index is None:
            self._index = yield from self._read_index()
        for conversation in conversations:
            for kind, sequence in self._index.get(conversation, ()):
                lacks = self._replica.lacks(DocumentId(conversation, kind))
                if lacks and sequence not in self._asked:
                    self._asked.add(sequence)
                    yield from self._read_batch(sequence)
                    return

    def read_months(self, due: Sequence[DocumentId]) -> Errand[None]:
        """Read these months, which this device has let go of, as far as this checkpoint has them."""
        manifest = self._checkpoint.manifest
        covers = manifest.covers.keys() - {*manifest.holes}
        for sequence in (yield from self._sequences(due)):
            found = yield from self._batch(sequence)
            if found is not None:
                log, documents = found
                taken = self._replica.take_months(log, documents, self._checkpoint.folder, covers)
                self._round.took(taken.documents, taken.messages)

    def confirm_months(self, due: Sequence[DocumentId]) -> Errand[None]:
        """See which of these months this checkpoint has as they are here."""
        for sequence in (yield from self._sequences(due)):
            found = yield from self._batch(sequence)
            if found is not None:
                documents = [one for one in found[1] if one[0] in due]
                self._replica.confirm_months(self._checkpoint.folder, documents)

    def _sequences(self, due: Sequence[DocumentId]) -> Errand[list[int]]:
        """Where the batches with these documents begin."""
        index = yield from self._read_index()
        found = {
            sequence
            for document in due
            for kind, sequence in index.get(document.conversation, ())
            if kind == document.kind
        }
        return sorted(found)

    def _read_index(self) -> Errand[Mapping[str, Places]]:
        manifest = self._checkpoint.manifest
        if not manifest.contents.places:
            return {}
        try:
            found = yield from self._objects.look_at(
                self._checkpoint.folder, manifest.contents.places
            )
            return read_index(manifest.first, found.body)
        except _NOT_TO_BE_HAD:
            return {}

    def _read_batch(self, sequence: int) -> Errand[None]:
        """Read the batch that begins there, without noting that."""
        found = yield from self._batch(sequence)
        if found is not None:
            taken = self._replica.take_early(*found)
            self._round.took(taken.documents, taken.messages)

    def _batch(self, sequence: int) -> Errand[tuple[Log, Documents] | None]:
        """The batch that begins there; None if it is not to be had."""
        pieces: list[bytes] = []
        try:
            opened = yield from self._objects.look_at(self._checkpoint.folder, sequence)
            while (batch := batch_of(opened, pieces)) is None:
                sequence += 1
                opened = yield from self._objects.look_at(self._checkpoint.folder, sequence)
        except _NOT_TO_BE_HAD:
            return None
        return Log(opened.head.device, 0, opened.position, 0), batch.documents
