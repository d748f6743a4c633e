"""The journal: what the latest commits wrote, and when that is not known."""

from __future__ import annotations

import threading

import pytest

import msgsync
from msgsync.document.schema import DocumentId
from msgsync.store import journal
from msgsync.store.journal import Journal

HEAD = DocumentId("family", "head")
PEER = object()
MAY = DocumentId("family", "2024-05")


def test_the_first_clock_of_each_writer_is_kept():
    one = Journal()
    one.begin(5)
    one.wrote(HEAD, 7, 3)
    one.wrote(HEAD, 7, 4)
    one.wrote(HEAD, 8, 0)
    assert one.commit(6)
    one.wrote(HEAD, 7, 5)
    one.wrote(MAY, 7, 0)
    assert one.commit(7)
    assert one.since(5, PEER) == {HEAD: {7: 3, 8: 0}, MAY: {7: 0}}
    assert one.since(6, PEER) == {HEAD: {7: 5}, MAY: {7: 0}}
    assert one.since(7, PEER) == {}
    assert one.since(4, PEER) is None


def test_what_one_origin_wrote_is_left_out_for_that_origin():
    one, peer = Journal(), object()
    one.come_from(peer)
    one.wrote(HEAD, 7, 0)
    one.commit(1)
    one.wrote(MAY, 8, 0)
    one.commit(2)
    assert one.since(0, peer) == {MAY: {8: 0}}
    assert one.since(0, object()) == {HEAD: {7: 0}, MAY: {8: 0}}


def test_what_we_wrote_as_it_came_in_is_told_to_that_origin_too():
    one, peer = Journal(), object()
    one.come_from(peer)
    one.wrote(HEAD, 7, 0)
    one.wrote(HEAD, 9, 4, by_us=True)
    one.wrote(HEAD, 9, 5, by_us=True)
    one.commit(1)
    one.come_from(peer)
    one.wrote(MAY, 7, 0)
    one.commit(2)
    assert one.since(0, peer) == {HEAD: {9: 4}}
    assert one.since(0, object()) == {HEAD: {7: 0, 9: 4}, MAY: {7: 0}}


def test_a_commit_that_wrote_nothing_and_one_that_failed_leave_nothing():
    one = Journal()
    assert not one.commit(1)
    one.wrote(HEAD, 7, 0)
    one.forget()
    assert not one.commit(2)
    assert one.since(0, PEER) == {}


def test_it_is_bounded_in_commits_and_documents(monkeypatch):
    monkeypatch.setattr(journal, "_COMMITS", 3)
    monkeypatch.setattr(journal, "_DOCUMENTS", 2)
    one = Journal()
    for seq in range(1, 6):
        one.wrote(HEAD, 7, seq)
        one.commit(seq)
    assert one.since(1, PEER) is None
    assert one.since(2, PEER) == {HEAD: {7: 3}}
    for number in range(3):
        one.wrote(DocumentId(f"c{number}", "head"), 7, 0)
    assert one.commit(6)
    assert one.since(5, PEER) is None
    assert one.since(6, PEER) == {}


def test_listeners_hear_of_each_commit_that_changed_a_document_without_the_lock(tmp_path):
    with msgsync.open(tmp_path / "a.db", author="ann") as replica:
        heard: list[int] = []
        free: list[bool] = []

        def try_it() -> None:
            free.append(replica.lock.acquire(timeout=5))
            replica.lock.release()

        def listen(seq: int) -> None:
            heard.append(seq)
            asked = threading.Thread(target=try_it)
            asked.start()
            asked.join()

        unsubscribe = replica.on_commit(listen)
        conversation = replica.create_conversation("Family")
        conversation.send("one")
        with pytest.raises(msgsync.InvalidValue):
            conversation.send("x" * 2_000_000)
        conversation.messages()
        assert len(heard) == 2
        assert heard == sorted(set(heard))
        assert free == [True, True]
        unsubscribe()
        unsubscribe()
        conversation.send("two")
        assert len(heard) == 2


def test_what_a_listener_raises_does_not_reach_the_writer(tmp_path, monkeypatch):
    reported: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: reported.append(args.exc_value))
    error = ValueError("mine")

    def listen(_seq: int) -> None:
        raise error

    with msgsync.open(tmp_path / "a.db", author="ann") as replica:
        replica.on_commit(listen)
        heard: list[int] = []
        replica.on_commit(heard.append)
        replica.create_conversation("Family", id="family").send("one")
        assert len(heard) == 2
        assert reported == [error, error]
        assert len(replica.conversation("family").messages()) == 1
