"""Rows of messages and their words: written many at a time, beside what is done next."""

from __future__ import annotations

import msgsync
from msgsync.ids import ingested_id

AT_MS = 1_600_000_000_000
MONTH_MS = 30 * 86_400_000


def history(count: int) -> list[msgsync.Incoming]:
    """Messages of two conversations over some years, a part of them edited, reacted to or deleted."""
    return [
        msgsync.Incoming(
            f"family {number % 2}",
            "ben",
            f"word{number} 🎉",
            AT_MS + number * MONTH_MS // 20,
            str(number),
            edits=(msgsync.Edit(f"mended{number}", AT_MS + number),) if number % 7 == 0 else (),
            reactions=(msgsync.Reaction("ann", "👍", AT_MS),) if number % 5 == 0 else (),
            deleted_ms=AT_MS if number % 31 == 0 else None,
        )
        for number in range(count)
    ]


def found(replica: msgsync.Replica, words: str) -> list[str]:
    return [message.text for message in replica.search(words)]


def test_what_changes_before_it_is_indexed_is_indexed_as_it_became(tmp_path):
    def id_of(number: int) -> msgsync.MessageId:
        conversation, sent_ms = f"family {number % 2}", AT_MS + number * MONTH_MS // 20
        return msgsync.MessageId(ingested_id(conversation, str(number), sent_ms))

    with msgsync.open(tmp_path / "phone.db", author="ann") as replica:
        with replica.writing():
            replica.ingest(history(700))
            replica.conversation("family 1").edit(id_of(1), "another one")
            replica.conversation("family 1").erase(id_of(3))
        assert found(replica, "word1") == []
        assert found(replica, "another") == ["another one"]
        assert found(replica, "word3") == []
        assert found(replica, "word4") == ["word4 🎉"]
        assert replica.check().ok


def test_many_at_once_are_as_few_at_a_time(tmp_path):
    messages = history(1500)
    roots = set()
    for name, size in (("one", 1500), ("other", 97)):
        with msgsync.open(tmp_path / f"{name}.db", author="ann") as replica:
            added = [
                replica.ingest(messages[start : start + size]).added
                for start in range(0, len(messages), size)
            ]
            assert sum(added) == len(messages)
            assert replica.ingest(reversed(messages)).present == len(messages)
            assert replica.check().ok
            with replica.reading() as store:
                roots.add(store.root)
    assert len(roots) == 1
