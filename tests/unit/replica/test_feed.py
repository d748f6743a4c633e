"""The change feed on one device. Over random histories: tests/property/test_feed.py."""

from __future__ import annotations

import random
import threading

import pytest

import msgsync
from msgsync import Incoming, InvalidValue, ReplicaClosed, StaleCursor
from msgsync.store import changes as changes_module
from tests.unit.machine import START_MS


def kinds(page) -> list[tuple[str, object]]:
    return [(change.kind, change.id) for change in page]


def test_from_the_beginning_everything_is_there_once_in_order_of_commit(phone, family):
    first, second = family.send("one"), family.send("two")
    family.edit(first, "one!")
    page = phone.changes()
    assert [(c.kind, c.id) for c in page] == [
        ("message", second.id),
        ("message", first.id),
        ("conversation", None),
    ]
    assert [c.message.text for c in page if c.message] == ["two", "one!"]
    assert [c.seq for c in page] == sorted(c.seq for c in page)
    assert not page.more
    assert not phone.changes(after=page.cursor)
    assert page.cursor == phone.cursor()


def test_a_change_is_what_the_message_is_now(phone, family):
    sent, cursor = family.send("hello"), phone.cursor()
    for change in (
        lambda: family.edit(sent, "hello!"),
        lambda: family.react(sent, "👍"),
        lambda: family.react(sent, "🎉"),
        lambda: family.unreact(sent, "👍"),
        lambda: family.delete(sent),
        lambda: family.restore(sent),
    ):
        change()
        page = phone.changes(after=cursor)
        assert kinds(page) == [("message", sent.id), ("conversation", None)]
        assert page[0].message == family.message(sent)
        cursor = page.cursor
    family.erase(sent)
    page = phone.changes(after=cursor)
    assert kinds(page) == [("erased", sent.id), ("conversation", None)]
    assert page[0].message is None
    assert {change.conversation for change in page} == {"family"}


def test_a_title_is_a_change_of_the_conversation(phone, family):
    cursor = phone.cursor()
    family.rename("The family")
    assert kinds(phone.changes(after=cursor)) == [("conversation", None)]


def test_what_does_nothing_is_no_change(phone, family):
    family.ingest([Incoming("family", "ben", "x", START_MS, "1")])
    cursor = phone.cursor()
    family.ingest([Incoming("family", "ben", "x", START_MS, "1")])
    assert not phone.changes(after=cursor)


def test_a_message_that_joins_another_is_told_under_the_other_id(phone, family):
    sent = family.send("hello")
    echo = family.ingest("hello", author="ann", sent=START_MS, external_id="17")
    cursor = phone.cursor()
    family.link(sent, "17", START_MS)
    page = phone.changes(after=cursor)
    assert sorted(kinds(page)[:2], key=str) == sorted(
        [("message", sent.id), ("merged", echo.id)], key=str
    )
    assert page[0].message == page[1].message == family.message(sent)


@pytest.mark.parametrize("limit", [1, 3, 7, 1000])
@pytest.mark.parametrize("ahead", [1, 5, 8192])
@pytest.mark.parametrize("is_new", [True, False])
def test_pages_of_any_size_tell_the_same(open_replica, monkeypatch, limit, ahead, is_new):
    monkeypatch.setattr(changes_module, "_AHEAD", ahead)
    phone = open_replica("a.db")
    family, pace = phone.create_conversation(id="family"), random.Random(limit)
    for number in range(30):
        month = START_MS - 86_400_000 * 31 * pace.randrange(4)
        family.ingest(f"text {number}", author="ben", sent=month, external_id=str(number))
    family.erase(*family.messages(limit=3))
    if not is_new:  # nothing is remembered of what another opening has written
        phone.close()
        phone = open_replica("a.db")
    whole = phone.changes()
    assert len(whole) == 27 + 3 + 1
    cursor, seen = None, []
    while True:
        page = phone.changes(after=cursor, limit=limit)
        assert len(page) <= limit
        seen += page
        cursor = page.cursor
        if not page.more:
            break
        assert page
    assert seen == list(whole)
    for start in (0, 9, 26, 29):
        cursor = phone.changes(limit=start).cursor if start else None
        assert list(phone.changes(after=cursor)) == list(whole)[start:]


def test_what_changes_between_pages_comes_at_the_end(phone, family):
    sent = [family.send(f"text {number}") for number in range(4)]
    page = phone.changes(limit=2)
    assert page.more
    family.edit(sent[0], "again")
    family.edit(sent[3], "last")
    rest = phone.changes(after=page.cursor)
    assert [c.id for c in rest] == [sent[2].id, sent[0].id, sent[3].id, None]


def test_many_rows_are_not_remembered_and_found_all_the_same(phone, family, monkeypatch):
    monkeypatch.setattr(changes_module, "_REMEMBERED", 4)
    cursor = phone.cursor()
    family.ingest([Incoming("family", "ben", f"x {n}", START_MS, str(n)) for n in range(20)])
    family.send("y")
    assert len(phone.changes(after=cursor)) == 22


def test_a_cursor_of_another_file_or_of_a_lost_future_is_refused(phone, tablet, family):
    with pytest.raises(StaleCursor, match="after=None"):
        tablet.changes(after=phone.cursor())
    ahead = phone.cursor().replace(f"-{phone.store().seq:x}-", f"-{phone.store().seq + 1:x}-")
    with pytest.raises(StaleCursor):
        phone.changes(after=ahead)
    for wrong in ("", "x", 7, phone.cursor() + "-1", "٣" + phone.cursor()[1:]):
        with pytest.raises(InvalidValue):
            phone.changes(after=wrong)
    with pytest.raises(InvalidValue):
        phone.changes(limit=0)


# Subscribing.


def test_a_subscriber_hears_of_each_commit_once_and_in_order(phone, family):
    heard: list[msgsync.ChangePage] = []
    family.send("before")
    unsubscribe = phone.subscribe(heard.append)
    sent = family.send("one")
    assert [kinds(page) for page in heard] == [[("message", sent.id), ("conversation", None)]]
    family.edit(sent, "two")
    assert [c.message.text for page in heard for c in page if c.message] == ["one", "two"]
    assert heard[-1].cursor == phone.cursor()
    unsubscribe()
    unsubscribe()
    family.edit(sent, "three")
    assert len(heard) == 2


def test_a_failed_write_calls_nobody(phone, family):
    heard: list[msgsync.ChangePage] = []
    phone.subscribe(heard.append)
    with pytest.raises(InvalidValue):
        family.ingest([Incoming("family", "ben", "x", START_MS), Incoming("family", "", "x", 1)])
    assert not heard


def test_an_exchange_is_heard_of(phone, tablet, family):
    heard: list[msgsync.Change] = []
    tablet.subscribe(heard.extend)
    sent = family.send("hello")
    msgsync.sync(phone, tablet)
    assert ("message", sent.id) in kinds(heard)


def test_a_callback_may_write_and_another_thread_may_read_meanwhile(phone, family):
    heard: list[str] = []

    def answer(page: msgsync.ChangePage) -> None:
        reader = threading.Thread(target=lambda: heard.append(f"{len(family.messages())} here"))
        reader.start()
        reader.join(timeout=30)  # would wait for ever if the lock were held
        for change in page:
            if change.message is not None:
                heard.append(change.message.text)
                if len(change.message.text) < 3:
                    family.send(change.message.text + "!")

    phone.subscribe(answer)
    family.send("a")
    assert heard == ["1 here", "a", "2 here", "a!", "3 here", "a!!"]


def test_one_that_raises_harms_neither_the_writer_nor_others(phone, family, monkeypatch):
    heard: list[msgsync.ChangePage] = []
    reported: list[object] = []
    hook = threading.__excepthook__  # the real one gets it as well, and must take it

    def tell(one: threading.ExceptHookArgs) -> None:
        hook(one)
        reported.append(one.exc_value)

    monkeypatch.setattr(threading, "excepthook", tell)

    def fail(page: msgsync.ChangePage) -> None:
        raise ValueError("in the app")

    phone.subscribe(fail)
    phone.subscribe(heard.append)
    family.send("one")
    family.send("two")
    assert [str(error) for error in reported] == ["in the app"] * 2
    assert len(heard) == 2
    assert len(family.messages()) == 2


def test_an_interruption_ends_the_call_and_the_next_write_goes_on(phone, family):
    heard: list[msgsync.Change] = []

    def interrupted(page: msgsync.ChangePage) -> None:
        heard.extend(page)
        if len(heard) == 2:
            raise KeyboardInterrupt

    phone.subscribe(interrupted)
    with pytest.raises(KeyboardInterrupt):
        family.send("one")
    family.send("two")
    assert [c.message.text for c in heard if c.message] == ["one", "two"]


def test_threads_that_write_at_once_are_heard_in_order_of_commits(phone, family):
    seqs: list[int] = []
    inside = threading.Lock()

    def listen(page: msgsync.ChangePage) -> None:
        assert inside.acquire(blocking=False), "two calls at a time"
        seqs.extend(change.seq for change in page if change.kind == "message")
        inside.release()

    phone.subscribe(listen)
    threads = [
        threading.Thread(target=lambda: [family.send("x") for _ in range(20)]) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seqs) == 80
    assert seqs == sorted(seqs)


def test_closing_in_a_callback_ends_it_quietly(open_replica):
    replica = open_replica("a.db")
    family = replica.create_conversation(id="family")
    replica.subscribe(lambda page: replica.close())
    replica.subscribe(lambda page: None)
    family.send("last")
    with pytest.raises(ReplicaClosed):
        replica.cursor()
    with pytest.raises(InvalidValue):
        open_replica("b.db").subscribe("no function")
