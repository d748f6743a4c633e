"""Rows of documents: remembered as far as there is room."""

from __future__ import annotations

import msgsync
from msgsync.store import documentrows


def test_more_conversations_than_rows_are_remembered(phone, monkeypatch):
    monkeypatch.setattr(documentrows, "_ROWS", 4)
    for _ in range(2):
        phone.ingest(
            msgsync.Incoming(f"c{number % 20}", "ben", "hi", number, str(number))
            for number in range(60)
        )
    for number in range(20):
        phone.conversation(f"c{number}").send("more")
    assert phone.check().ok
