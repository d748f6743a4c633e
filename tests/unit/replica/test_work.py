"""How much work opening, reading and sending are, in counts: times differ between machines. Source: decision 43."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import FrozenInstanceError, fields

import apsw
import pytest

from msgsync import Incoming, Message, Reaction
from msgsync.replica.values import message_of
from tests.unit.machine import START_MS

FRAME_BYTES = 24 + 4096
"""Of a page in the write-ahead log."""


@contextmanager
def asked() -> Iterator[list[str]]:
    """The statements that connections opened meanwhile run, each text once, without those that set something."""
    statements: list[str] = []

    def watch(connection: apsw.Connection) -> None:
        def trace(_: apsw.Cursor, sql: str, __: object) -> bool:
            if sql not in statements and not sql.startswith("pragma"):
                statements.append(sql)
            return True

        connection.exec_trace = trace

    apsw.connection_hooks.append(watch)
    try:
        yield statements
    finally:
        apsw.connection_hooks.remove(watch)


@pytest.fixture
def full(phone, family):
    """A history with something said about every message, in three months."""
    phone.ingest(
        Incoming(
            "family",
            "ben",
            f"message {number}",
            START_MS + number * 10**9,
            external_id=f"{number}",
            reactions=(Reaction("ann", "x", START_MS),),
        )
        for number in range(-6, 1)
    )
    for message in family.messages():
        family.edit(message, f"{message.text} again")
    family.delete(family.messages()[0])
    phone.close()
    return phone.path


def test_opening_asks_little_and_writes_nothing(full, open_replica):
    before = full.read_bytes()
    with asked() as statements, open_replica(full.name):
        assert len(statements) <= 5, statements
        assert not full.with_name(f"{full.name}-wal").stat().st_size
    assert full.read_bytes() == before


def test_a_page_asks_little_however_much_was_said_about_its_messages(full, open_replica):
    with asked() as statements, open_replica(full.name) as replica:
        conversation = replica.conversation("family")
        opening = len(statements)
        page = conversation.messages(limit=5)
        assert [bool(one.edits and one.reactions) for one in page] == [True] * 5
        assert page.older is not None
        assert len(statements) - opening <= 4, statements[opening:]


def test_a_send_writes_eight_pages(phone, family):
    for number in range(8):
        family.send(f"message {number}")
    log = phone.path.with_name(f"{phone.path.name}-wal")
    before = log.stat().st_size
    family.send("one more")
    assert log.stat().st_size - before <= 8 * FRAME_BYTES


def test_a_message_that_is_made_of_all_its_values_is_like_any_other(family):
    message = family.send("hello", extra={"a": 1})
    made = message_of(*[getattr(message, one.name) for one in fields(Message)])
    assert type(made) is Message
    assert made == message
    with pytest.raises(FrozenInstanceError):
        made.text = "another"  # type: ignore[misc]
