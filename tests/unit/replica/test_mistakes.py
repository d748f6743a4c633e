"""Natural mistakes are refused in words, and leave nothing behind."""

from __future__ import annotations

from typing import Any

import pytest

import msgsync
from msgsync import Incoming, InvalidValue


@pytest.fixture
def replica(tmp_path):
    with msgsync.open(tmp_path / "a.db", author="ann", durability="relaxed") as replica:
        yield replica


def test_a_message_of_another_conversation_is_not_erased_in_silence(replica):
    one, other = replica.create_conversation(id="one"), replica.create_conversation(id="other")
    secret = other.send("secret")
    with pytest.raises(msgsync.UnknownMessage, match="other"):
        one.erase(secret)
    assert other.message(secret).text == "secret"
    assert replica.status().erased == 0


def test_a_message_that_was_erased_is_named_so_everywhere(replica):
    family = replica.create_conversation()
    hello = family.send("hello")
    family.erase(hello)
    for ask in (replica.message, family.message, family.edit):
        with pytest.raises(msgsync.ErasedMessage):
            ask(*((hello.id, "x") if ask == family.edit else (hello.id,)))


@pytest.mark.parametrize("title", ["", "x" * 1025, 5])
def test_a_title_that_could_not_be_imported_again_is_not_taken(replica, title: Any):
    family = replica.create_conversation("Family")
    with pytest.raises(InvalidValue, match="title"):
        family.rename(title)
    with pytest.raises(InvalidValue, match="title"):
        replica.create_conversation(title, id="new")
    assert family.title == "Family"
    with pytest.raises(msgsync.UnknownConversation):
        replica.conversation("new")


def test_a_page_begins_at_a_message_an_id_or_its_text(replica):
    family = replica.create_conversation()
    first, second, third = (family.send(text) for text in ("1", "2", "3"))
    for place in (third, third.id, str(third.id), third.cursor):
        assert list(family.messages(before=place)) == [first, second]
    other = replica.create_conversation()
    with pytest.raises(msgsync.UnknownMessage):
        other.messages(before=third)


@pytest.mark.parametrize("limit", [0, -1, 10**30, 1.5, "5"])
def test_a_limit_that_is_none_is_refused(replica, limit: Any):
    family = replica.create_conversation()
    for ask in (
        lambda: family.messages(limit=limit),
        lambda: replica.conversations(limit=limit),
        lambda: replica.search("x", limit=limit),
    ):
        with pytest.raises(InvalidValue, match="limit"):
            ask()


def test_what_is_no_text_is_refused(replica):
    family = replica.create_conversation()
    for ask in (
        lambda: replica.conversation("\ud800"),
        lambda: family.find("\ud800"),
        lambda: replica.search(None),
        lambda: family.ingest(["a"]),
        lambda: replica.ingest(["a"]),
        lambda: msgsync.open("", author="ann"),
        lambda: msgsync.open("b.db", author=""),
    ):
        with pytest.raises(InvalidValue):
            ask()


def test_one_incoming_message_needs_no_list(replica):
    assert replica.ingest(Incoming("irc", "ben", "hello", 1, "1")).added == 1
    irc = replica.conversation("irc")
    assert irc.ingest(Incoming("", "ben", "hello", 1, "1")).present == 1


@pytest.mark.parametrize("name", ["a.db", "a.db-wal", "a.db.lock"])
def test_an_export_replaces_no_replica(replica, tmp_path, name):
    replica.create_conversation("Family")
    before = (tmp_path / name).read_bytes()
    with pytest.raises(InvalidValue, match="another name"):
        msgsync.export_jsonlines(replica, tmp_path / name)
    assert (tmp_path / name).read_bytes() == before


def test_long_messages_are_indexed_without_waiting_for_many(replica):
    family = replica.create_conversation()
    for number in range(12):
        family.send(f"number{number} {'word ' * 6_000}")
    with replica.reading() as store:
        waiting = "select total(length(text)) from messages where key > (select indexed from state)"
        assert store.database.one(waiting)[0] <= 256 * 1024
    assert [found.text[:8] for found in replica.search("number7")] == ["number7 "]


@pytest.mark.parametrize("timeout", [-1, float("nan"), float("inf"), 1e12, "3", True])
def test_a_time_to_wait_that_is_none_is_said(phone, family, timeout):
    message = family.send("here")
    with pytest.raises(InvalidValue, match="timeout is"):
        phone.wait_for(message, timeout=timeout)


def test_there_is_no_replica_in_memory_and_nothing_is_left_of_asking_for_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for ask in (msgsync.open, msgsync.repair):
        with pytest.raises(InvalidValue, match="a replica is a file, there is none in memory"):
            ask(":memory:")
    assert [*tmp_path.iterdir()] == []
