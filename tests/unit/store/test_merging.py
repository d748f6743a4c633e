"""What peers send becomes part of the documents that are here; the ways of it, one by one."""

from __future__ import annotations

import pytest

from msgsync import Inadmissible
from msgsync.document.codec import Block, compose
from msgsync.document.frozen import Label, Parts, arrange, base_of, encode_frozen
from msgsync.document.schema import DocumentId
from tests.unit.document import said
from tests.unit.parts import never_frozen, parts_of


@pytest.mark.parametrize(
    "document",
    [*(DocumentId("c", kind) for kind in ("Month", "", "x" * 33)), DocumentId("\0", "head")],
)
def test_what_is_no_document_by_its_name_is_not_begun(phone, document):
    """Of any kind would be kept as it lies: nothing else looks at the name."""
    update = compose([Block(9, 0, [said.message(1)])])
    with phone.writing() as store:
        with pytest.raises(Inadmissible):
            store.merge(document, never_frozen(update))
        assert store.documents.find(document) is None


@pytest.mark.parametrize("beside", [False, True])
def test_a_frozen_form_is_begun_without_what_it_or_an_update_beside_it_erases(phone, beside):
    said_of_it = [said.message(1, "secret"), said.edit(1, (1, 1), "secret"), said.message(2)]
    erasure = [said.erase(1)]
    content = encode_frozen(arrange(said.MONTH, said_of_it + erasure * (not beside)))
    updates = (compose([Block(9, 0, list(erasure))]),) * beside
    with phone.writing() as store:
        store.merge(said.MONTH, Parts(Label(1, base_of(content)), content, updates))
    assert [one.text for one in phone.conversation("c").messages()] == ["text"]
    parts = parts_of(phone, said.MONTH)
    assert b"secret" not in parts.frozen + b"".join(parts.updates)
    assert phone.check().problems == ()
