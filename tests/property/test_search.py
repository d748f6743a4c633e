"""What is found, and where, is what the definition says: compared with a search that looks at every text."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import apsw
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.replica.found import SNIPPET_CHARACTERS
from msgsync.store.query import parse_query
from msgsync.store.schema import WORDS
from msgsync.store.words import Tokenizer, segmented
from msgsync.testing.reference.search import Asked, marks, things

ATOMS = [
    "tea", "Tea", "te", "TEAS", "t\u00e9", "te\u0301", "ti\u1ebfng", "Tie\u0302\u0301ng",
    "tieng", "8", "80", "x8", "\u039a\u03cc\u03c3\u03bc\u03bf\u03c2",
    "\u03ba\u03cc\u03c3\u03bc\u03bf\u03c3", "\u0439", "\u0438\u0306", "\u0438", "\u0414\u0430",
    "\u0434\u0430", "\u0645\u0631\u062d\u0628\u0627", "\u0627\u0653", "\u0622",
    "\u05e9\u05dc\u05d5\u05dd", "\u0928\u092e\u0938\u094d\u0924\u0947", "\u4e1c", "\u4e1c\u4eac",
    "\u4eac\u90fd", "\u90fd", "\u304c", "\u304b\u3099", "\u304b", "\u30a2\u30a4", "\u3042",
    "\ud55c", "\u1112\u1161\u11ab", "\ud55c\uad6d", "\ud558", "\u1112\u1161",
    "\u0e2a\u0e22\u0e32\u0e21", "\u0e1e\u0e23\u0e38\u0e48\u0e07", "\u0e22\u0e32", "\U0001f44d",
    "\U0001f44d\U0001f3fd", "\U0001f44d\U0001f3ff", "\U0001f469",
    "\U0001f468\u200d\U0001f469\u200d\U0001f467", "\U0001f469\u200d\U0001f467",
    "\U0001f469\U0001f3fd\u200d\U0001f680", "\U0001f680", "\U0001f1e9\U0001f1ea",
    "\U0001f1ea\U0001f1f8", "\U0001f1ea", "\u2764\ufe0f", "\u2764",
    "\u2764\ufe0f\u200d\U0001f525", "\U0001f525", "\U0001fae0",
]  # fmt: skip
GAPS = ["", " ", " ", " ", "  ", "\n", "-", ", ", "...", "!", "/", "\u3000", "\u3002"]

atoms = st.sampled_from(ATOMS)
texts = st.lists(st.tuples(atoms, st.sampled_from(GAPS)), max_size=7).map(
    lambda parts: "".join(atom + gap for atom, gap in parts)
)


@st.composite
def questions(draw: st.DrawFn) -> tuple[list[Asked], str]:
    """Parts of a query, and how they are typed."""
    asked: list[Asked] = []
    typed: list[str] = []
    for _ in range(draw(st.integers(1, 3))):
        quoted = draw(st.booleans())
        gaps = st.sampled_from(GAPS if quoted else ["", "", "-", "/"])
        pieces = draw(st.lists(st.tuples(atoms, gaps), min_size=1, max_size=3))
        text = "".join(atom + gap for atom, gap in pieces[:-1]) + pieces[-1][0]
        if not quoted:
            text = "".join(text.split())
        last = things(text)[-1:]
        part = Asked(text, draw(st.booleans()) and bool(last) and last[0].kind == "word")
        asked.append(part)
        typed.append(part.typed(quoted=quoted))
    return asked, draw(st.sampled_from([" ", "  ", "\n"])).join(typed)


@settings(max_examples=500)
@given(question=questions(), text=texts)
@example(
    ([Asked("\U0001f1ea\U0001f1ea")], "\U0001f1ea\U0001f1ea"),
    "\U0001f1e9\U0001f1ea\U0001f1ea\U0001f1f8",
)
def test_marks_are_where_the_definition_says(question, text):
    asked, typed = question
    query = parse_query(typed, Tokenizer(apsw.Connection(":memory:")))
    assert (query.spans(text) if query else []) == marks(asked, text)


@pytest.fixture(scope="module")
def index() -> apsw.Connection:
    connection = apsw.Connection(":memory:")
    connection.execute(f"create virtual table search using {WORDS}")
    connection.execute("create virtual table filed using fts5vocab(search, instance)")
    return connection


@settings(max_examples=500)
@given(text=texts | st.text() | st.text(st.characters(categories=["Mn", "Me", "So", "Lo"])))
@example("\u10d0" * 20_000)
def test_the_terms_of_a_text_are_those_that_the_index_files_it_under(index, text):
    index.execute("insert into search(search) values('delete-all')")
    index.execute("insert into search(rowid, text) values(1, ?)", (segmented(text),))
    filed = [
        term for (term,) in index.execute("select coalesce(cast(term as blob), x'') from filed")
    ]
    assert sorted(filed) == sorted(Tokenizer(index).terms(text))


@dataclass(frozen=True)
class Said:
    """A message to be searched for."""

    text: str
    conversation: str
    author: str
    ms: int


said = st.builds(
    Said,
    texts,
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["ann", "ben"]),
    st.integers(0, 12),
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("search")


scopes = st.fixed_dictionaries(
    {},
    optional={
        "conversation": st.sampled_from(["a", "b", "none"]),
        "author": st.sampled_from(["ann", "nobody"]),
        "since": st.integers(0, 12),
        "until": st.integers(0, 12),
    },
)


def expected(replica: msgsync.Replica, asked: list[Asked], scope: dict[str, Any]):
    """What is to be found: every message is looked at."""
    everything = [
        message
        for summary in replica.conversations()
        for message in replica.conversation(summary.id).messages(limit=1000)
    ]
    found = [
        message
        for message in everything
        if message.conversation == scope.get("conversation", message.conversation)
        and message.author == scope.get("author", message.author)
        and scope.get("since", 0) <= message.sent_ms < scope.get("until", 1000)
        and marks(asked, message.text)
    ]
    return sorted(found, key=lambda one: (one.cursor, one.conversation), reverse=True)


def walk(replica: msgsync.Replica, typed: str, scope: dict[str, Any], limit: int):
    """All hits, page by page."""
    hits: list[msgsync.Hit] = []
    before = None
    while not hits or before is not None:
        page = replica.search(typed, before=before, limit=limit, **scope)
        hits += page.hits
        before = page.older
        assert len(page) == limit if before is not None else len(page) <= limit
        if not page:
            break
    return hits


@settings(max_examples=60)
@given(
    messages=st.lists(said, max_size=12),
    question=questions(),
    scope=scopes,
    limit=st.integers(1, 4),
    indexed=st.booleans(),
    enough=st.tuples(st.sampled_from([1, 3, 1000]), st.sampled_from([1, 5, 1000])),
)
def test_pages_of_hits_are_what_the_definition_says(
    folder, messages, question, scope, limit, indexed, enough
):
    """Whatever is indexed yet, and whichever way the search takes."""
    asked, typed = question
    for path in folder.iterdir():
        path.unlink()
    with (
        pytest.MonkeyPatch.context() as patch,
        msgsync.open(folder / "a.db", author="ann", durability="relaxed") as replica,
    ):
        patch.setattr("msgsync.store.search.FEW", enough[0])
        patch.setattr("msgsync.store.search.LOOKED_AT", enough[1])
        if indexed:
            patch.setattr("msgsync.limits.UNINDEXED_MESSAGES", 2)
        for number, one in enumerate(messages):
            replica.ingest(
                msgsync.Incoming(one.conversation, one.author, one.text, one.ms, str(number))
            )
        for number, message in enumerate(replica.search(ATOMS[0])):
            if number % 3 == 1:
                replica.conversation(message.conversation).delete(message)
            elif number % 3 == 2:
                replica.conversation(message.conversation).edit(message, ATOMS[-1])
        hits = walk(replica, typed, scope, limit)
        assert [hit.message for hit in hits] == expected(replica, asked, scope)
        for hit in hits:
            if len(hit.message.text) <= SNIPPET_CHARACTERS:
                assert list(hit.snippet.marks) == marks(asked, hit.message.text)
