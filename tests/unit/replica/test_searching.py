"""Searching as an app does it: where, by whom, when, page by page, and with how much work."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest

import msgsync
from msgsync import Cursor, Hit, Incoming, InvalidValue, Replica, SearchPage
from msgsync.document.schema import DocumentId, segment_of
from msgsync.replica.values import Message
from msgsync.store.query import parse_query
from msgsync.store.search import LOOKED_AT, Scope, Search
from tests.unit.machine import START_MS


def texts(page: SearchPage) -> list[str]:
    return [message.text for message in page]


@pytest.fixture
def history(phone: Replica) -> Replica:
    """Ten messages of two people in two conversations, a second apart."""
    phone.ingest(
        Incoming(
            ("family", "work")[number % 2],
            ("ann", "ben", "ben")[number % 3],
            f"tea {number}",
            START_MS + 1000 * number,
            external_id=str(number),
        )
        for number in range(10)
    )
    return phone


def test_a_page_is_a_sequence_of_messages_with_their_hits(history):
    page = history.search("tea", limit=3)
    assert texts(page) == ["tea 9", "tea 8", "tea 7"]
    assert len(page) == 3
    assert isinstance(page[0], Message)
    assert page[0] == page.hits[0].message
    assert page[1:] == (page.hits[1].message, page.hits[2].message)
    assert isinstance(page.hits[0], Hit)
    assert page.hits[0].snippet.highlighted("**", "**") == "**tea** 9"
    assert page.complete


def test_a_search_goes_on_behind_a_hit(history):
    first = history.search("tea", limit=4)
    assert first.older == first.hits[-1].cursor
    second = history.search("tea", before=first.older, limit=4)
    last = history.search("tea", before=second.older, limit=4)
    assert texts(first) + texts(second) + texts(last) == [f"tea {n}" for n in range(9, -1, -1)]
    assert last.older is None
    for place in (first.hits[3], first[3], first[3].cursor):
        assert history.search("tea", before=place, limit=4) == second


def test_messages_of_one_place_in_time_are_all_found_page_by_page(phone):
    same = [Incoming(name, "ann", "tea", START_MS, "1") for name in ("a", "b", "c")]
    phone.ingest(same)
    phone.ingest(
        Incoming(
            name,
            "ann",
            "tea",
            START_MS,
            message_id=msgsync.MessageId(START_MS.to_bytes(6, "big") + b"123456"),
        )
        for name in ("d", "e", "f")
    )
    found = []
    place = None
    while True:
        page = phone.search("tea", before=place, limit=1)
        found += [message.conversation for message in page]
        if page.older is None:
            break
        place = page.older
    assert sorted(found) == ["a", "b", "c", "d", "e", "f"]
    assert [name for name in found if name in "def"] == ["f", "e", "d"]


def test_a_search_is_of_one_author_one_conversation_and_one_time(history):
    start = datetime.fromtimestamp(START_MS / 1000, UTC)
    second = timedelta(seconds=1)
    for scope, found in (
        ({"author": "ann"}, [9, 6, 3, 0]),
        ({"author": "nobody"}, []),
        ({"conversation": "work"}, [9, 7, 5, 3, 1]),
        ({"conversation": "nowhere"}, []),
        ({"since": START_MS + 7000}, [9, 8, 7]),
        ({"until": START_MS + 2000}, [1, 0]),
        ({"since": start + 4 * second, "until": start + 6 * second}, [5, 4]),
        ({"since": (start + 8 * second).replace(tzinfo=None)}, [9, 8]),
        ({"since": START_MS + 5000, "until": START_MS + 5000}, []),
        ({"author": "ann", "conversation": "work", "until": START_MS + 9000}, [3]),
    ):
        assert texts(history.search("tea", **scope)) == [f"tea {number}" for number in found], scope
    family = history.conversation("family")
    assert texts(family.search("tea", author="ben", since=START_MS + 3000, limit=1)) == ["tea 8"]
    older = family.search("tea", author="ben", limit=1).older
    assert texts(family.search("tea", author="ben", until=START_MS + 9000, before=older)) == [
        "tea 4",
        "tea 2",
    ]


@pytest.mark.parametrize(
    "wrong",
    [
        {"conversation": ""},
        {"conversation": 5},
        {"author": ""},
        {"author": 5},
        {"since": "yesterday"},
        {"until": -1},
        {"until": 1.5},
        {"before": "0" * 20},
        {"before": 5},
        {"limit": 0},
    ],
    ids=str,
)
def test_what_no_message_can_have_is_refused(history, wrong: dict[str, Any]):
    for words in ("tea", ""):
        with pytest.raises(InvalidValue):
            history.search(words, **wrong)


@pytest.mark.parametrize("words", ["", "*", '"', '""', "\0", "...", "\u200d", "\ufe0f"])
def test_a_search_without_words_finds_nothing(history, words):
    assert history.search(words) == SearchPage((), None, complete=True)


@pytest.mark.parametrize(
    "words",
    [
        '"tea',
        'tea"',
        "tea\0",
        "(tea",
        "-tea",
        "te*",
        "tea AND",
        "^tea",
        "{tea}: tea",
        "tea " * 10_000,
    ],
)
def test_odd_queries_are_only_words(history, words):
    assert len(history.search(words.replace(" AND", ""))) == 10


def test_a_reader_beside_the_writer_finds_what_is_new(phone, open_replica):
    family = phone.create_conversation(id="family")
    reader = open_replica("phone.db", readonly=True)
    assert not reader.search("tea")
    family.send("tea")
    assert texts(reader.search("tea")) == ["tea"]


def test_a_search_says_when_a_document_was_refused(phone, family):
    family.send("tea")
    with phone.writing() as store:
        store.missing.refuse(b"12345678", DocumentId("family", "2024-01"), b"", "too long")
    page = phone.search("tea")
    assert texts(page) == ["tea"]
    assert not page.complete
    assert not phone.search("").complete


@pytest.mark.parametrize(("root", "complete"), [("messages", False), ("reactions", True)])
def test_a_search_says_when_a_message_cannot_be_read(phone, family, root, complete):
    sent = family.send("tea")
    with phone.writing() as store:
        row = store.documents.find(DocumentId("family", segment_of(sent.id.ms)))
        insert = "insert into unreadable values(?, ?, ?, 'of a later version')"
        store.database.execute(insert, (row.key, root, b"0" * 20))
    assert phone.search("tea").complete is complete


# Work.


def looked_at(replica: Replica, words: str, limit: int, scope: Scope = Scope()) -> int:  # noqa: B008
    """How many messages a search reads for its first hits."""
    with replica.reading() as store:
        query = parse_query(words, store.tokenizer)
        assert query is not None
        search = Search(store.database, query, scope)
        found = search.newest()
        assert len(list(islice(found, limit))) == limit
        return search.looked_at


def steps(replica: Replica, words: str, **options: Any) -> int:
    """How many steps SQLite takes for a search."""
    taken = 0

    def step() -> bool:
        nonlocal taken
        taken += 1
        return False

    with replica.reading() as store:
        store.database.connection.set_progress_handler(step, 10)
        try:
            assert len(replica.search(words, **options)) == options["limit"]
        finally:
            store.database.connection.set_progress_handler(None)
    return 10 * taken


@pytest.fixture(scope="module")
def long(tmp_path_factory):
    """Three conversations that arrived newest first: a word in every message, in every hundredth, in the oldest."""
    count = 3 * LOOKED_AT
    with msgsync.open(
        tmp_path_factory.mktemp("long") / "a.db", author="ann", durability="relaxed"
    ) as replica:
        replica.ingest(
            Incoming(
                f"c{number % 3}",
                "ann",
                "every"
                + (" hundredth" if number % 100 == 0 else "")
                + (" old older" if number < count // 2 else "")
                + (" oldest" if number == 0 else ""),
                START_MS + number,
                str(number),
            )
            for number in range(count - 1, -1, -1)
        )
        yield replica


def test_the_newest_hits_of_a_frequent_word_cost_no_more_than_they_are(long, monkeypatch):
    assert looked_at(long, "every", 10) == 10
    assert looked_at(long, "eve*", 10) == 10
    monkeypatch.setattr("msgsync.store.search.FEW", 100)  # so many are counted
    assert steps(long, "every", limit=10) < 10_000


def test_a_rare_word_is_looked_up(long):
    waiting = msgsync.limits.UNINDEXED_MESSAGES
    assert looked_at(long, "oldest", 1) <= 1 + waiting
    assert looked_at(long, "hundredth", 10) <= 10 + waiting


def test_a_frequent_word_that_only_old_messages_have_costs_at_most_twice_its_messages(long):
    with_it = 3 * LOOKED_AT // 2
    assert looked_at(long, "old", 10) <= 2 * with_it
    assert [one.text for one in long.search("old", limit=1)] == [
        f"every{' hundredth' if (with_it - 1) % 100 == 0 else ''} old older"
    ]
    first = long.search("old older", limit=30)
    again = long.search("old older", limit=30, before=first.older)
    every = long.search("old older", limit=60)
    assert [*first, *again] == [*every]


def test_a_conversation_is_searched_without_the_others(long):
    with long.reading() as store:
        row = store.pages.conversation("c1")
    assert looked_at(long, "every", 10, Scope(conversation=row.key)) == 10


def test_going_on_costs_no_more_than_beginning(long, monkeypatch):
    monkeypatch.setattr("msgsync.store.search.FEW", 100)
    page = long.search("every", limit=10)
    for _ in range(20):
        page = long.search("every", before=page.older, limit=10)
    assert steps(long, "every", before=page.older, limit=10) < 10_000
    assert isinstance(page[0].cursor, Cursor)
