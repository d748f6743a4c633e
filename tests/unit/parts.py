"""Parts of documents by hand."""

from __future__ import annotations

from msgsync import Replica
from msgsync.document.frozen import NEVER_FROZEN, Parts
from msgsync.document.schema import DocumentId
from msgsync.store.rewriting import freeze_document


def never_frozen(*updates: bytes) -> Parts:
    """A document, or what somebody lacks of it, that consists of updates alone."""
    return Parts(NEVER_FROZEN, b"", updates)


def parts_of(replica: Replica, document: DocumentId) -> Parts:
    """What a document consists of, that is here."""
    with replica.reading() as store:
        row = store.documents.find(document)
        assert row is not None
        return store.documents.parts(row)


def freeze(replica: Replica, document: DocumentId) -> Parts:
    """Freeze a document that is here; return what it consists of then."""
    with replica.writing() as store:
        row = store.documents.find(document)
        assert row is not None
        freeze_document(store.documents, row)
    return parts_of(replica, document)
