"""Pages say whether older messages are elsewhere, and have them come first."""

from __future__ import annotations

import threading
from functools import partial

import anyio
import pytest

from msgsync import Conversation, NotThereYet, Page, Replica, ReplicaClosed, aio, sync
from msgsync.protocol.errand import Get
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from tests.unit.conftest import Opener
from tests.unit.protocol.test_courier import visit
from tests.unit.protocol.test_filling import history, rounds, small  # noqa: F401 - fixtures


def pages(conversation: Conversation) -> list[Page]:
    """All that is here, newest page first."""
    found = [conversation.messages(limit=5)]
    while found[-1].older is not None:
        found.append(conversation.messages(before=found[-1].older, limit=5))
    return found


def until_here(replica: Replica, box, conversation: str, texts: int):
    """A round, as far as so many messages of a conversation are here."""
    going = rounds(replica, box)
    for _ in going:
        here = any(one.id == conversation for one in replica.conversations())
        if here and len(replica.conversation(conversation).messages(limit=1000)) >= texts:
            return going
    raise AssertionError("it ended before")


def test_where_all_is_here_nothing_is_elsewhere(phone, tablet, family):
    assert not family.messages().elsewhere
    family.send("Hello")
    assert not family.messages().elsewhere
    sync(tablet, phone)
    assert not tablet.conversation("family").messages().elsewhere


def test_while_a_device_fills_the_last_page_says_that_there_may_be_more(small, phone, tablet, box):  # noqa: F811
    history(phone, 20)
    visit(phone, box)
    going = until_here(tablet, box, "number0", 6)
    conversation = tablet.conversation("number0")
    assert [page.elsewhere for page in pages(conversation)] == [False] * (
        len(pages(conversation)) - 1
    ) + [True]
    oldest = pages(conversation)[-1][0]
    assert conversation.messages(before=oldest.cursor).elsewhere
    assert len(conversation.messages(before=oldest.cursor)) == 0
    assert not conversation.messages(after=oldest.cursor, limit=2).elsewhere
    assert not conversation.messages(before=pages(conversation)[0][-1].cursor, limit=1).elsewhere
    assert [*going]
    assert not any(page.elsewhere for page in pages(conversation))


def test_an_older_page_is_fetched_from_a_mailbox_before_all_else(small, phone, tablet, box):  # noqa: F811
    history(phone, 40)
    visit(phone, box)
    going = until_here(tablet, box, "number2", 6)
    conversation = tablet.conversation("number2")
    while (page := pages(conversation)[-1]).elsewhere and len(pages(conversation)) < 3:
        next(going)
    asked = []
    with tablet.wants.wanting("number2"):
        while not conversation.messages(before=page[0].cursor):
            asked.append(next(going))
    assert len(asked) <= 4  # one that was due, the index, the object
    assert conversation.messages(before=page[0].cursor)[-1].text.startswith("message")
    assert [*going]
    gets = [one.name for one in rounds(tablet, box) if isinstance(one, Get)]
    assert not any(name.startswith("log/") for name in gets)
    assert pages(conversation)[-1][0].text == "message 3 of month 39 in 2"


def test_who_waits_for_the_oldest_gets_it_month_by_month(small, phone, tablet, box):  # noqa: F811
    """The others' months wait meanwhile."""
    history(phone, 30, conversations=12)
    visit(phone, box)
    going = until_here(tablet, box, "number1", 4)
    conversation = tablet.conversation("number1")
    with tablet.wants.wanting("number1"):
        for _ in going:
            if conversation.messages(limit=1000)[0].text == "message 3 of month 29 in 1":
                break
    others = tablet.conversation("number9").messages(limit=1000)
    assert len(others) < 100  # of 120


def test_older_waits_until_it_is_here(small, phone, tablet, box):  # noqa: F811
    history(phone, 20)
    visit(phone, box)
    going = until_here(tablet, box, "number0", 6)
    conversation = tablet.conversation("number0")
    page = pages(conversation)[-1]
    filling = threading.Thread(target=lambda: [*going])
    found: list[Page] = []
    asking = threading.Thread(
        target=lambda: found.append(conversation.older(page[0].cursor, limit=3, timeout=50))
    )
    asking.start()
    filling.start()
    asking.join()
    filling.join()
    assert len(found[0]) > 0
    assert found[0][-1].id < page[0].id
    assert tablet.wants.now() == []


def test_older_than_the_oldest_is_an_empty_page_once_that_is_known(small, phone, tablet, box):  # noqa: F811
    history(phone, 20)
    visit(phone, box)
    visit(tablet, box)
    conversation = tablet.conversation("number0")
    page = conversation.older(pages(conversation)[-1][0].cursor)
    assert (len(page), page.elsewhere) == (0, False)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_older_in_an_event_loop(small, phone, tablet, box, backend):  # noqa: F811
    history(phone, 20)
    visit(phone, box)
    until_here(tablet, box, "number0", 6).close()
    conversation = tablet.conversation("number0")
    page = pages(conversation)[-1]

    found: list[Page] = []

    async def both() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(aio.sync, tablet, box)
            found.append(await aio.older(conversation, page[0].cursor, limit=3))

    anyio.run(both, backend=backend)
    assert len(found[0]) == 3


def test_older_that_does_not_come_in_time_is_told(small, phone, tablet, box):  # noqa: F811
    history(phone, 20)
    visit(phone, box)
    until_here(tablet, box, "number0", 6).close()
    conversation = tablet.conversation("number0")
    page = pages(conversation)[-1]
    with pytest.raises(NotThereYet, match="number0"):
        conversation.older(page[0].cursor, timeout=0)


def test_who_waits_is_told_that_the_replica_was_closed(small, phone, tablet, box):  # noqa: F811
    history(phone, 20)
    visit(phone, box)
    until_here(tablet, box, "number0", 6).close()
    conversation = tablet.conversation("number0")
    page = pages(conversation)[-1]
    closing = threading.Timer(0.05, tablet.close)
    closing.start()
    with pytest.raises(ReplicaClosed):
        conversation.older(page[0].cursor)
    closing.join()


def test_from_a_device_what_is_wanted_is_asked_for_first(phone, open_replica: Opener):
    history(phone, 30, conversations=5)
    tablet = open_replica("tablet.db", member=phone)
    sides = Session(Exchange(tablet)), Session(Exchange(phone))
    first: list[str] = []
    real = sides[0]._sink._replica.state

    def watched(document):
        first.append(document.conversation)
        return real(document)

    sides[0]._sink._replica.state = watched  # type: ignore[method-assign]
    with tablet.wants.wanting("number3"):
        while True:
            moved = False
            for sender, receiver in (sides, sides[::-1]):
                raw = sender.next_frame()
                if raw is not None:
                    moved = True
                    receiver.receive(raw[4:])
            if not moved:
                break
    months = first.count("number3")
    assert first[:months] == ["number3"] * months
    assert months > 10  # the newest ones came with the first screen


def test_a_wish_of_two_lasts_until_both_have_it(phone):
    wanting = partial(phone.wants.wanting, "family")
    with wanting():
        with wanting():
            assert phone.wants.now() == ["family"]
        assert phone.wants.now() == ["family"]
    assert phone.wants.now() == []
