"""Whole files into replicas and out of them."""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import msgsync
from msgsync.importers import jsonlines
from msgsync.importers.jsonlines import BadLine, ExportProgress, ImportProgress, ImportReport

SAMPLE = Path(__file__).parents[3] / "examples" / "data" / "sample.jsonl"
FORMAT = Path(__file__).parents[3] / "docs" / "jsonlines.md"
SENT_MS = 1_714_579_320_000


@pytest.fixture
def replica(tmp_path) -> Iterator[msgsync.Replica]:
    with msgsync.open(tmp_path / "replica.db", author="ann", durability="relaxed") as replica:
        yield replica


@pytest.fixture
def other(tmp_path) -> Iterator[msgsync.Replica]:
    with msgsync.open(tmp_path / "other.db", author="ann", durability="relaxed") as replica:
        yield replica


def line(number: int, **fields: object) -> dict[str, Any]:
    return {
        "conversation": "family",
        "id": str(number),
        "author": "ann",
        "sent": SENT_MS,
        "text": f"message {number}",
        **fields,
    }


def without_id(number: int, **fields: object) -> dict[str, Any]:
    one = line(number, **fields)
    del one["id"]
    return one


def packed(*lines: object) -> io.BytesIO:
    return io.BytesIO(
        b"".join(
            (one if isinstance(one, bytes) else json.dumps(one).encode()) + b"\n" for one in lines
        )
    )


def take(replica: msgsync.Replica, *lines: object) -> ImportReport:
    return msgsync.import_jsonlines(replica, packed(*lines))


def everything(replica: msgsync.Replica) -> dict[str, tuple[str | None, list[msgsync.Message]]]:
    """Return title and messages of every conversation."""
    return {
        one.id: (one.title, all_messages(replica.conversation(one.id)))
        for one in replica.conversations()
    }


def all_messages(conversation: msgsync.Conversation) -> list[msgsync.Message]:
    messages: list[msgsync.Message] = []
    after: msgsync.Cursor | None = msgsync.Cursor.START
    while after is not None:
        page = conversation.messages(after=after, limit=100, include_deleted=True)
        messages += page
        after = page.newer
    return messages


def texts(replica: msgsync.Replica, conversation: str = "family") -> list[str]:
    return [one.text for one in all_messages(replica.conversation(conversation))]


def exported(replica: msgsync.Replica) -> bytes:
    file = io.BytesIO()
    msgsync.export_jsonlines(replica, file)
    return file.getvalue()


def test_a_file_goes_in(replica):
    report = take(replica, line(1), line(2), {"type": "conversation", "conversation": "family"})
    assert report == ImportReport(3, added=2, present=0, erased=0, bad=(), bad_count=0)
    assert texts(replica) == ["message 1", "message 2"]


def test_the_sample_goes_in_from_a_path_and_a_second_time_changes_nothing(replica):
    first = msgsync.import_jsonlines(replica, SAMPLE)
    assert (first.bad, first.present, first.erased) == ((), 0, 0)
    assert first.added == replica.status().messages == 294
    before = everything(replica), replica.digest
    second = msgsync.import_jsonlines(replica, str(SAMPLE))
    assert (second.added, second.present) == (0, first.added)
    assert (everything(replica), replica.digest) == before


def test_the_example_of_the_documentation_goes_in(replica):
    example = FORMAT.read_text(encoding="utf-8").partition("```json\n")[2].partition("```")[0]
    report = msgsync.import_jsonlines(replica, io.BytesIO(example.encode()))
    assert (report.lines, report.added, report.bad) == (3, 2, ())
    assert replica.conversation("family").title == "Family"
    question, answer = all_messages(replica.conversation("family"))
    assert (question.text, answer.reply_to) == ("Dinner at eight?", question.id)
    assert answer.reactions[0].at_ms == answer.sent_ms + 20_000


def test_two_devices_that_import_the_same_file_hold_the_same(replica, other):
    lines = [
        line(1),
        without_id(2),
        without_id(2),
        line(3, deleted=True, edits=[{"text": "x", "at": 5}]),
    ]
    take(replica, *lines)
    take(other, *lines)
    assert replica.digest == other.digest


def test_a_gzipped_file_is_known_by_its_bytes(replica, tmp_path):
    path = tmp_path / "history"
    path.write_bytes(gzip.compress(packed(line(1)).getvalue()))
    assert msgsync.import_jsonlines(replica, path).added == 1


def test_an_interrupted_import_goes_on_where_it_was(replica, other, monkeypatch):
    monkeypatch.setattr(jsonlines, "BATCH_LINES", 10)
    lines = [without_id(number % 3) for number in range(55)]

    def interrupt(progress: ImportProgress) -> None:
        if progress.lines >= 30:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        msgsync.import_jsonlines(replica, packed(*lines), on_progress=interrupt)
    assert len(texts(replica)) == 30
    report = take(replica, *lines)
    assert (report.added, report.present) == (25, 30)
    take(other, *lines)
    assert replica.digest == other.digest


@pytest.mark.parametrize("batch", [1, 2, 3, 7, 1000])
def test_how_lines_are_batched_changes_nothing(replica, other, monkeypatch, batch):
    lines = [
        without_id(number % 2, conversation=f"c{number % 3}", sent=SENT_MS + number // 12)
        for number in range(60)
    ]
    take(replica, *lines)
    monkeypatch.setattr(jsonlines, "BATCH_LINES", batch)
    take(other, *lines)
    assert len(texts(replica, "c1")) == 20
    assert replica.digest == other.digest


def test_long_lines_make_short_transactions(replica, monkeypatch):
    monkeypatch.setattr(jsonlines, "BATCH_BYTES", 1_000)
    heard: list[ImportProgress] = []
    lines = packed(*(line(number, text="x" * 400) for number in range(9)))
    msgsync.import_jsonlines(replica, lines, on_progress=heard.append)
    assert [one.lines for one in heard] == [3, 6, 9, 9]


def test_ids_made_up_are_those_that_ingesting_makes(replica, other):
    lines = [without_id(number % 2) for number in range(5)]
    take(replica, *lines)
    other.ingest(
        msgsync.Incoming("family", "ann", one["text"], SENT_MS, order=order)
        for order, one in enumerate(lines)
    )
    assert replica.digest == other.digest


def test_messages_of_one_minute_keep_the_order_of_the_file(replica):
    take(replica, *(line(number) for number in range(200)))
    assert texts(replica) == [f"message {number}" for number in range(200)]


def test_bad_lines_are_reported_and_the_rest_goes_in(replica):
    report = take(
        replica,
        line(1),
        b"{",
        line(3, sent="yesterday"),
        b"",
        line(5),
        {"type": "poll"},
        b"\xff",
        line(8, sent=2**45),
    )
    assert (report.lines, report.added, report.bad_count) == (8, 2, 5)
    assert [bad.line for bad in report.bad] == [2, 3, 6, 7, 8]
    assert "36 hours" in report.bad[-1].reason
    assert texts(replica) == ["message 1", "message 5"]


def test_what_only_the_replica_refuses_is_found_and_left_out(replica, monkeypatch):
    refused = {3, 4, 11, 19}

    ingest_all: Callable[[list[msgsync.Incoming]], msgsync.IngestReport] = replica.ingest

    def ingest(messages: list[msgsync.Incoming]) -> msgsync.IngestReport:
        if any(int(message.external_id or 0) in refused for message in messages):
            raise msgsync.InvalidValue("not this one")
        return ingest_all(messages)

    monkeypatch.setattr(replica, "ingest", ingest)
    report = take(replica, *(line(number) for number in range(1, 21)), b"{")
    assert report.bad[:-1] == tuple(BadLine(number, "not this one") for number in sorted(refused))
    assert report.bad[-1].line == 21
    assert report.added == len(texts(replica)) == 16


def test_a_million_bad_lines_do_not_fill_memory(replica, monkeypatch):
    monkeypatch.setattr(jsonlines, "BATCH_LINES", 7)
    monkeypatch.setattr(jsonlines, "BAD_LINES", 10)
    report = take(replica, *[b"{"] * 100, line(1))
    assert [bad.line for bad in report.bad] == list(range(1, 11))
    assert (report.bad_count, report.added) == (100, 1)


def test_a_cut_off_gzip_is_read_up_to_there_and_reported(replica):
    whole = gzip.compress(packed(*(line(number) for number in range(5_000))).getvalue())
    report = msgsync.import_jsonlines(replica, io.BytesIO(whole[:-100]))
    assert report.bad_count == 1
    assert report.bad[0].line == report.lines + 1
    assert "cut off" in report.bad[0].reason
    assert 0 < report.added == report.lines < 5_000


def test_an_error_of_the_replica_ends_the_import(tmp_path, replica):
    with (
        msgsync.open(replica.path, readonly=True) as reader,
        pytest.raises(msgsync.ReadOnly),
    ):
        take(reader, line(1))


def test_a_missing_file_is_an_error(replica, tmp_path):
    with pytest.raises(FileNotFoundError):
        msgsync.import_jsonlines(replica, tmp_path / "nothing.jsonl")


def test_progress_counts_lines_messages_and_bytes_of_the_file(replica, monkeypatch):
    monkeypatch.setattr(jsonlines, "BATCH_LINES", 2)
    heard: list[ImportProgress] = []
    file = io.BytesIO(gzip.compress(packed(line(1), b"{", line(3), line(1), line(5)).getvalue()))
    msgsync.import_jsonlines(replica, file, on_progress=heard.append)
    size = len(file.getvalue())
    assert heard == [
        ImportProgress(2, 1, size, size),
        ImportProgress(4, 3, size, size),
        ImportProgress(5, 4, size, size),
    ]


def test_erased_messages_stay_erased(replica):
    take(replica, line(1), line(2))
    family = replica.conversation("family")
    family.erase(family.messages()[0])
    report = take(replica, line(1), line(2))
    assert (report.added, report.present, report.erased) == (0, 1, 1)
    assert texts(replica) == ["message 2"]


def test_what_the_file_says_does_not_undo_what_was_done_here(replica):
    lines = [line(1, deleted=True), line(2), line(3, edits=[{"text": "theirs", "at": SENT_MS}])]
    take(replica, *lines)
    family = replica.conversation("family")
    first, second, third = all_messages(family)
    family.restore(first)
    family.delete(second)
    family.edit(third, "ours")
    before = everything(replica)
    take(replica, *lines)
    assert everything(replica) == before


def test_a_later_file_adds_what_was_said_since(replica):
    take(replica, line(1), line(2))
    said = {"edits": [{"text": "better", "at": SENT_MS + 5}], "deleted": SENT_MS + 9}
    report = take(replica, line(1, **said))
    message, _ = all_messages(replica.conversation("family"))
    assert (report.added, report.present) == (0, 1)
    assert (message.text, message.original_text) == ("better", "message 1")
    assert message.deleted_ms == SENT_MS + 9


def test_a_conversation_line_gives_a_title_once(replica):
    titled = {"type": "conversation", "conversation": "family", "title": "Family"}
    take(replica, titled)
    family = replica.conversation("family")
    assert family.title == "Family"
    family.rename("Us")
    take(replica, titled, line(1))
    assert family.title == "Us"


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_conversation_line_may_stand_anywhere(replica, monkeypatch, place):
    monkeypatch.setattr(jsonlines, "BATCH_LINES", 2)
    lines: list[object] = [line(number) for number in range(4)]
    lines.insert(place, {"type": "conversation", "conversation": "family", "title": "Family"})
    take(replica, *lines)
    assert replica.conversation("family").title == "Family"


def test_an_imported_conversation_was_last_active_when_its_last_message_was_sent(replica):
    take(
        replica,
        {"type": "conversation", "conversation": "family", "title": "Family"},
        line(1),
    )
    (summary,) = replica.conversations()
    assert summary.activity_ms == SENT_MS


def test_export_and_import_give_the_same_messages(replica, other):
    msgsync.import_jsonlines(replica, SAMPLE)
    family = replica.conversation("family")
    hello = family.send("Hello", reply_to=family.messages(limit=1)[0], extra={"n": 1.5})
    family.edit(hello, "Hello!")
    family.edit(hello, "Hello?")
    family.react(hello, "👋")
    family.delete(family.send("Oops"))
    family.restore(family.messages(limit=5)[0])
    replica.create_conversation("Nobody said a word", id="empty")
    first = exported(replica)
    report = msgsync.import_jsonlines(other, io.BytesIO(first))
    assert report.bad == ()
    assert everything(other) == everything(replica)
    assert exported(other) == first


def test_an_export_into_the_replica_it_came_from_changes_no_message(replica):
    family = replica.create_conversation("Family", id="family")
    hello = family.send("Hello")
    family.edit(hello, "Hello!")
    family.react(hello, "👋")
    family.delete(hello)
    before = everything(replica)
    report = msgsync.import_jsonlines(replica, io.BytesIO(exported(replica)))
    assert (report.added, report.present) == (0, 1)
    assert everything(replica) == before


def test_deleted_messages_of_an_unlisted_conversation_are_exported_too(replica):
    take(replica, line(1, deleted=True))
    assert replica.conversations() == []
    assert b"message 1" in exported(replica)


def test_the_form_of_an_export(replica):
    replica.create_conversation("Family 🏡", id="family")
    take(replica, line(1, sent="2024-05-01T18:02:00.5+02:00", kind="action", deleted=True))
    title, message = exported(replica).decode().splitlines()
    assert title == '{"type":"conversation","conversation":"family","title":"Family 🏡"}'
    (one,) = all_messages(replica.conversation("family"))
    assert json.loads(message) == {
        "conversation": "family",
        "message_id": str(one.id),
        "id": "1",
        "author": "ann",
        "text": "message 1",
        "sent": "2024-05-01T16:02:00.500Z",
        "order": 0,
        "kind": "action",
        "deleted": "2024-05-01T16:02:00.500Z",
    }


def test_an_external_id_in_the_form_of_a_msgsync_id_stays_external(replica, other):
    strange = "0123456789abcdefghjk"
    take(
        replica, line(1, id=strange), line(2, reply_to=strange), line(3, reply_to="1" + strange[1:])
    )
    msgsync.import_jsonlines(other, io.BytesIO(exported(replica)))
    assert everything(other) == everything(replica)
    assert all_messages(other.conversation("family"))[1].reply_external == strange


@pytest.mark.parametrize(
    "extra",
    [
        {},
        {"text": "x", "list": [1, 2.0, True, None], "deep": {"deeper": {}}},
        {"bytes": b"\x00\xff"},
        {"inf": float("inf")},
        {"keys": {b"1": "one", "1": "eins"}},
        {"big": 2**64 - 1, "small": -(2**64)},
    ],
)
def test_any_extra_survives(replica, other, extra):
    replica.create_conversation(id="family").send("Hello", extra=extra)
    msgsync.import_jsonlines(other, io.BytesIO(exported(replica)))
    (message,) = other.conversation("family").messages()
    assert message.extra is not None
    assert sorted(map(repr, message.extra.items())) == sorted(map(repr, extra.items()))


def test_only_the_conversations_asked_for_are_exported(replica):
    take(replica, line(1), line(2, conversation="work"))
    file = io.BytesIO()
    report = msgsync.export_jsonlines(replica, file, conversations=["work"])
    assert (report.conversations, report.messages) == (1, 1)
    assert {json.loads(one)["conversation"] for one in file.getvalue().splitlines()} == {"work"}


def test_an_unknown_conversation_leaves_the_last_export_alone(replica, tmp_path):
    path = tmp_path / "export.jsonl"
    path.write_bytes(b"old")
    with pytest.raises(msgsync.UnknownConversation):
        msgsync.export_jsonlines(replica, path, conversations=["nobody"])
    assert path.read_bytes() == b"old"


def test_an_export_is_gzipped_by_its_name(replica, tmp_path):
    take(replica, line(1))
    msgsync.export_jsonlines(replica, tmp_path / "export.jsonl.gz")
    assert gzip.decompress((tmp_path / "export.jsonl.gz").read_bytes()) == exported(replica)


def test_export_reads_beside_a_writer_and_in_pages(replica, monkeypatch):
    take(replica, *(line(number) for number in range(25)), line(0, conversation="work"))
    monkeypatch.setattr(jsonlines, "PAGE_MESSAGES", 10)
    heard: list[ExportProgress] = []
    file = io.BytesIO()
    with msgsync.open(replica.path, readonly=True) as reader:
        report = msgsync.export_jsonlines(reader, file, on_progress=heard.append)
    assert report.messages == 26
    assert heard[-1] == ExportProgress(conversations=2, conversations_total=2, messages=26)
    assert len(heard) == 4
    assert file.getvalue() == exported(replica)


def test_an_empty_replica_is_an_empty_file(replica):
    assert exported(replica) == b""
    assert take(replica).lines == 0
