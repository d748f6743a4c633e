"""Whatever a replica holds, its export makes the same messages elsewhere."""

from __future__ import annotations

import io
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.ids import MessageId

YEAR_MS = 365 * 24 * 3_600_000
BASE_MS = 50 * YEAR_MS

characters = st.characters(codec="utf-8")
words = st.text(characters, max_size=12)
names = st.text(characters, min_size=1, max_size=8)
emoji = st.sampled_from(["👍", "❤️", "👨‍👩‍👧‍👦", "🏳️‍🌈", "x"])
near = st.integers(BASE_MS, BASE_MS + 3)
times = near | st.integers(0, BASE_MS + YEAR_MS)
ids = st.builds(
    lambda ms, tail: MessageId(ms.to_bytes(6, "big") + tail),
    near,
    st.binary(min_size=6, max_size=6),
)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**64), 2**64 - 1)
    | st.floats(allow_nan=False)
    | words
    | st.binary(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


def some(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


@st.composite
def incoming(draw: st.DrawFn) -> msgsync.Incoming:
    message_id = draw(some(ids))
    return msgsync.Incoming(
        conversation=draw(st.sampled_from(["family", "work", "+44 7700 900142", "\n"])),
        author=draw(names),
        text=draw(words),
        sent_ms=draw(times),
        external_id=draw(some(names | ids.map(str))),
        message_id=message_id,
        order=draw(st.integers(0, 5) | st.just(2**48 - 1)),
        kind=draw(st.sampled_from(["text", "action", "🙂"])),
        reply_external=(reply := draw(some(names | ids.map(str)))),
        reply_to=draw(some(ids)) if message_id is not None and reply is None else None,
        edits=tuple(draw(st.lists(st.builds(msgsync.Edit, words, times), max_size=3))),
        reactions=tuple(
            draw(st.lists(st.builds(msgsync.Reaction, names, emoji, times), max_size=3))
        ),
        deleted_ms=draw(some(times)),
        extra=draw(some(st.dictionaries(words, values, max_size=3))),
    )


def export(replica: msgsync.Replica) -> bytes:
    file = io.BytesIO()
    msgsync.export_jsonlines(replica, file)
    return file.getvalue()


def messages(replica: msgsync.Replica) -> dict[str, list[msgsync.Message]]:
    found = {}
    for one in replica.conversations():
        page = replica.conversation(one.id).messages(
            after=msgsync.Cursor.START, limit=1000, include_deleted=True
        )
        assert page.newer is None
        found[one.id] = list(page)
    return found


@settings(max_examples=60)
@given(st.lists(incoming(), max_size=12))
def test_an_export_makes_the_same_messages_elsewhere(history):
    with (
        tempfile.TemporaryDirectory() as folder,
        msgsync.open(Path(folder) / "a.db", durability="relaxed") as here,
        msgsync.open(Path(folder) / "b.db", durability="relaxed") as there,
    ):
        for conversation in {one.conversation for one in history}:
            here.create_conversation("A title", id=conversation)
        here.ingest(history)
        written = export(here)
        report = msgsync.import_jsonlines(there, io.BytesIO(written))
        assert report.bad == ()
        assert messages(there) == messages(here)
        digest = there.digest
        again = msgsync.import_jsonlines(there, io.BytesIO(written))
        assert (again.added, again.bad) == (0, ())
        assert there.digest == digest


lines = st.fixed_dictionaries(
    {
        "conversation": st.sampled_from(["family", "work"]),
        "author": st.sampled_from(["ann", "ben"]),
        "text": st.sampled_from(["ok", "no", "ok?"]),
        "sent": near,
    },
    optional={
        "id": st.sampled_from(["1", "2", "3"]),
        "order": st.integers(0, 3),
        "deleted": st.booleans() | near,
        "edits": st.lists(st.fixed_dictionaries({"text": words, "at": near}), max_size=2),
    },
)


@settings(max_examples=60)
@given(st.lists(lines, max_size=30), st.integers(1, 40))
def test_two_devices_that_read_one_file_hold_the_same(history, batch):
    """One of them in pieces: interrupted somewhere, then again from the start."""
    raw = [json.dumps(one).encode() + b"\n" for one in history]
    with (
        tempfile.TemporaryDirectory() as folder,
        msgsync.open(Path(folder) / "a.db", durability="relaxed") as here,
        msgsync.open(Path(folder) / "b.db", durability="relaxed") as there,
    ):
        msgsync.import_jsonlines(here, io.BytesIO(b"".join(raw)))
        msgsync.import_jsonlines(there, io.BytesIO(b"".join(raw[:batch])))
        msgsync.import_jsonlines(there, io.BytesIO(b"".join(raw)))
        assert here.digest == there.digest
        assert messages(here) == messages(there)


def test_what_is_said_about_conversations_comes_back(phone, open_replica, tmp_path):
    other = open_replica("other.db")
    family = phone.create_conversation("Family", id="family")
    family.pin()
    family.mute(1_714_579_320_000 + 10**12)
    family.add_participant("Ben")
    family.set_metadata("colour", {"name": "blue"})
    msgsync.export_jsonlines(phone, tmp_path / "out.jsonl")
    kept = other.create_conversation("Kin", id="family")
    kept.remove_participant("Ben")
    for _ in range(2):
        report = msgsync.import_jsonlines(other, tmp_path / "out.jsonl")
        assert report.bad_count == 0
        line = kept.info()
        assert (line.title, line.pinned, line.muted) == ("Kin", True, True)
        assert line.muted_until_ms == family.info().muted_until_ms
        assert kept.participants == ()
        assert kept.metadata == {"colour": {"name": "blue"}}
