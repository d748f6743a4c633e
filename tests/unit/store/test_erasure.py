"""Erased text is gone: from every file, when the call returns. Source: design 4 and 6, security A5."""

from __future__ import annotations

from pathlib import Path

import pytest

import msgsync
from msgsync import Incoming, limits
from tests.unit import files
from tests.unit.machine import START_MS

FILLERS = [
    Incoming("family", "ben", f"nothing {number}", START_MS + number, external_id=str(number))
    for number in range(2 * limits.UNINDEXED_MESSAGES)
]
SENT, EDITED, LATER = "zyxwvutsrq0987", "jihgfedcba6543", "ponmlkjihg2109"
TRACES = [word[-9:].encode() for word in (SENT, EDITED, LATER)]
"""Index pages leave out what words begin with alike, so the ends of words are looked for."""


@pytest.fixture
def path(phone) -> Path:
    return Path(phone.path)


@pytest.fixture(params=["newest", "indexed", "folded"])
def secret(request, phone, family, path) -> msgsync.Message:
    """A message with words that occur nowhere else, edited twice, in one of the places where messages lie."""
    sent = family.send(f"the word is {SENT}")
    family.edit(sent, f"no, it is {EDITED}")
    family.react(sent, "👍", user="ben")
    last: msgsync.Message = family.edit(sent, f"no, {LATER}")
    if request.param == "indexed":
        phone.ingest(FILLERS)
    if request.param == "folded":
        for number in range(limits.LOG_ROWS + 1):
            family.send(f"nothing {number}")
    assert {trace for _, trace in files.remains(path, *TRACES)} == set(TRACES)
    return last


def test_nothing_of_an_erased_message_is_left_when_the_call_returns(phone, family, path, secret):
    before = files.bodies(path)
    family.erase(secret)
    assert files.remains(path, *TRACES) == []
    gone = [body for body in before if body not in files.bodies(path)]
    assert gone, "something must have been rewritten"
    assert files.remains(path, *gone) == []
    assert not phone.status().erasure_pending
    assert phone.check().ok
    phone.close()
    assert files.remains(path, *TRACES) == []


def test_nothing_is_left_of_a_message_that_was_deleted_before(phone, family, path, secret):
    family.delete(secret)
    family.erase(secret)
    assert files.remains(path, *TRACES) == []
    assert phone.check().ok


def test_nothing_is_left_on_a_device_that_hears_of_it(phone, family, tablet, secret):
    msgsync.sync(phone, tablet)
    there = Path(tablet.path)
    assert files.remains(there, *TRACES)
    family.erase(secret)
    msgsync.sync(phone, tablet)
    assert files.remains(there, *TRACES) == []
    assert tablet.digest == phone.digest
    assert tablet.check().ok


def test_a_message_that_was_erased_elsewhere_never_touches_the_disk(phone, family, tablet, secret):
    """The tablet knows of the erasure before it hears what a device says that does not."""
    stale = phone.new_device(Path(phone.path).with_name("stale.db"))
    with stale:
        msgsync.sync(phone, stale)
        family.erase(secret)
        msgsync.sync(phone, tablet)
        msgsync.sync(tablet, stale)
        assert tablet.digest == stale.digest == phone.digest
        assert files.remains(Path(tablet.path), *TRACES) == []
        assert files.remains(Path(stale.path), *TRACES) == []


def test_the_other_messages_are_as_they_were(phone, family, secret):
    others = [one for one in family.messages(limit=10_000) if one.id != secret.id]
    kept = family.send(f"kept {'x' * 2000}")
    family.react(kept, "❤️")
    kept = family.edit(kept, "kept")
    family.erase(secret)
    assert list(family.messages(limit=10_000)) == [*others, kept]


def test_text_waits_for_a_reader_in_another_connection_and_is_gone_when_it_stops(
    phone, family, path, open_replica
):
    secret = family.send(f"the word is {SENT}")
    reader = open_replica("phone.db", readonly=True)
    with phone.reading() as store:
        store.database.connection.set_busy_timeout(1)
    with reader.reading() as store:
        store.database.one("select count(*) from messages")
        family.erase(secret)
        assert phone.status().erasure_pending
        with pytest.raises(msgsync.ErasedMessage):
            phone.message(secret.id)
    family.send("the next write tries again")
    assert not phone.status().erasure_pending
    assert files.remains(path, *TRACES) == []


def test_closing_waits_for_no_reader_but_opening_again_finishes_the_erasure(
    phone, family, path, open_replica
):
    secret = family.send(f"the word is {SENT}")
    reader = open_replica("phone.db", readonly=True)
    with phone.reading() as store:
        store.database.connection.set_busy_timeout(1)
    with reader.reading() as store:
        store.database.one("select count(*) from messages")
        family.erase(secret)
    phone.close()
    reader.close()
    assert files.remains(path, *TRACES) == []


def test_an_erasure_that_fails_erases_nothing(phone, family, path):
    secret = family.send(f"the word is {SENT}")
    with phone.reading() as store:
        connection = store.database.connection
    connection.set_commit_hook(lambda: True)  # SQLite rolls back instead
    with pytest.raises(Exception, match="constraint"):
        family.erase(secret)
    connection.set_commit_hook(None)
    assert phone.message(secret.id) == secret
    assert phone.check().ok
    family.erase(secret)
    assert files.remains(path, *TRACES) == []
