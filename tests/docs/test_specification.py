"""The specification's programs print what stands below them, its tables are the code's, and its formulas the library's.

The programs are an independent reading of the formats: they use hashlib, cbor2, zstd and sqlite3, not msgsync. Here
their results are compared with what msgsync itself writes.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import fields
from typing import Any, get_args

import pycrdt
import pytest
from hypothesis import given
from hypothesis import strategies as st

import msgsync
from msgsync import limits
from msgsync.cbor import decode_map, load
from msgsync.document import schema
from msgsync.document.codec import Block, compose, encode_state, scan
from msgsync.document.digest import bin_of, document_share, entries_digest, erased_digest
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts, encode_frozen, freeze
from msgsync.document.schema import DocumentId, Entry, segment_of
from msgsync.ids import encode_id
from msgsync.protocol import frames, session, wire
from msgsync.protocol.side import State
from msgsync.records import (
    AliasRecord,
    AttachmentRecord,
    DeletionKind,
    DeletionRecord,
    EditRecord,
    FieldRecord,
    HeadDeletionRecord,
    MessageRecord,
    ReactionRecord,
    ReadKind,
    ReadRecord,
    Stamp,
    carrier_stamp,
    encode_alias,
    encode_attachments,
    encode_deletion,
    encode_edit,
    encode_erased,
    encode_field,
    encode_head_deletion,
    encode_message,
    encode_reaction,
    encode_read,
    erased_key,
)
from msgsync.store.schema import VERSION
from msgsync.store.words import segmented
from tests.docs.page import DOCS, Output, run

PAGE = DOCS / "specification.md"
SENT_MS = 1_714_579_320_000
EDITED_MS = 1_714_579_380_000


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], list[Output]]:
    """Run the programs as one; give their names, and what each printed beside what it should have."""
    names: dict[str, Any] = {}
    return names, run(PAGE, tmp_path_factory.mktemp("specification"), names)


@pytest.fixture(scope="module")
def spec(ran: tuple[dict[str, Any], object]) -> dict[str, Any]:
    """The names that the programs define."""
    return ran[0]


def tables(heading: str) -> Iterator[list[list[str]]]:
    """The tables below a heading and above the next one: rows of cells, without the heading of the table."""
    page = PAGE.read_text(encoding="utf-8")
    start = re.search(rf"^#+ {re.escape(heading)}$", page, re.MULTILINE)
    assert start is not None, heading
    section = re.split(r"^#", page[start.end() :], maxsplit=1, flags=re.MULTILINE)[0]
    for found in re.finditer(r"(?:^\|.*\n)+", section, re.MULTILINE):
        rows = [
            [cell.strip() for cell in line.strip("|").split("|")] for line in found[0].splitlines()
        ]
        yield rows[2:]


def names_in(cell: str) -> list[str]:
    """What stands in a cell as code."""
    return re.findall(r"`([^`]+)`", cell)


# The programs.


def test_each_program_prints_what_stands_below_it(ran):
    for output in ran[1]:
        assert output.printed == output.shown, f"line {output.line}"


def test_there_are_programs_for_every_part(ran):
    assert sum(bool(output.shown) for output in ran[1]) >= 6


@given(
    conversation=st.text(min_size=1, max_size=20).filter(lambda text: "\0" not in text),
    external_id=st.text(min_size=1, max_size=20),
    sent_ms=st.integers(0, SENT_MS),
)
def test_the_id_of_an_ingested_message_is_the_librarys(spec, conversation, external_id, sent_ms):
    from msgsync.ids import external_tail

    raw = spec["ingested_id"](conversation, external_id, sent_ms)
    assert raw == sent_ms.to_bytes(6, "big") + external_tail(conversation, external_id)
    assert spec["base32"](raw, 20) == str(msgsync.MessageId(raw))


def test_made_up_ids_are_the_librarys(spec, tmp_path):
    with msgsync.open(tmp_path / "a.db") as replica:
        same = msgsync.Incoming("family", "ann", "ok", SENT_MS)
        replica.ingest([same, same])
        shown = [message.external_id for message in replica.conversation("family").messages()]
    assert set(shown) == {spec["made_up"]("ann", SENT_MS, "ok", count) for count in range(2)}


def test_records_and_keys_are_the_librarys(spec):
    message = spec["message"]
    assert spec["said"] == encode_message(
        MessageRecord("ann", "Dinner at eight?", external_id="17")
    )
    assert spec["edit"] == encode_edit(EditRecord("Dinner at nine?", EDITED_MS))
    assert spec["erased"] == encode_erased([message])
    assert spec["erased_key"].encode() == erased_key(spec["erased"])
    stamp = carrier_stamp(EDITED_MS, spec["edit"])
    assert spec["edit_key"].encode() == spec["message_key"].encode() + b"." + stamp.key()


def test_digests_are_the_librarys(spec):
    entries = [Entry(root.decode(), key, value) for root, key, value in spec["entries"]]
    document = DocumentId("family", "2024-05")
    assert spec["document"] == entries_digest(entries)
    assert spec["share"] == document_share(document, spec["document"])
    assert spec["after_erasing"] == erased_digest(spec["message"])
    assert bin_of("family") == 175


def test_the_replica_of_the_example_has_its_digest(spec, tmp_path):
    with msgsync.open(tmp_path / "a.db") as replica:
        edits = (msgsync.Edit("Dinner at nine?", EDITED_MS),)
        replica.ingest(
            [msgsync.Incoming("family", "ann", "Dinner at eight?", SENT_MS, "17", edits=edits)]
        )
        assert replica.digest == spec["share"].to_bytes(16, "big")
        replica.conversation("family").erase(msgsync.MessageId(spec["message"]))
        erased = document_share(DocumentId("family", "2024-05"), spec["after_erasing"])
        assert replica.digest == erased.to_bytes(16, "big")


def test_the_update_of_the_example_is_ours_and_means_the_same_to_the_crdt(spec):
    entries = [Entry(root.decode(), key, value) for root, key, value in spec["entries"]]
    update = spec["update"]
    assert compose([Block(spec["WRITER"], 0, list(entries))]) == update
    assert scan(update) == [Block(spec["WRITER"], 0, list(entries))]
    document: pycrdt.Doc[Any] = pycrdt.Doc()
    document.apply_update(update)
    for root, key, value in entries:
        assert document.get(root, type=pycrdt.Map)[key.decode()] == value
    assert document.get_update() == update
    assert document.get_state() == encode_state({spec["WRITER"]: 2})
    state = bytes.fromhex(spec["parts"][2][1].hex()).join((b"\x01", b"\x02"))
    assert document.get_state() == state


def test_of_two_values_under_one_key_that_of_the_greater_writer_is_kept():
    entry = Entry("messages", b"0" * 20, b"")
    updates = [
        compose([Block(writer, 0, [entry._replace(value=bytes([at]))])])
        for at, writer in enumerate((3, 77, 2**52))
    ]
    for order in (updates, updates[::-1], updates[1:] + updates[:1]):
        document: pycrdt.Doc[Any] = pycrdt.Doc()
        for update in order:
            document.apply_update(update)
        assert document.get("messages", type=pycrdt.Map)["0" * 20] == b"\x02"


def test_the_frame_of_the_example_is_ours(spec):
    root = spec["document"].to_bytes(16, "big")
    raw = spec["frame"](frames.Done.TYPE, root, [], False)
    assert wire.encode_frame(frames.Done(root)) == raw
    assert wire.decode_frame(raw[4:]) == frames.Done(root)


def test_the_frames_that_carry_documents_are_ours(ran):
    never, twice = NEVER_FROZEN, Label(2, bytes(range(16)))
    nothing = bytes(2)
    kinds: list[frames.Frame] = [
        frames.Want(((0, never, b""), (1, twice, b"\0"))),
        frames.Updates(((0, Parts(never, b"", (nothing,))), (1, Parts(twice, b"frozen", ())))),
        frames.Part(1, twice, b"piece", False, False),
        frames.Push(((DocumentId("family", "head"), Parts(twice, b"", (nothing,))),), True),
    ]
    [shown] = [one.shown for one in ran[1] if one.shown.startswith("00000016008407")]
    for line, kind in zip(shown.splitlines()[1:], kinds, strict=True):
        assert bytes.fromhex(line) == wire.encode_frame(kind)
        assert wire.decode_frame(bytes.fromhex(line)[4:]) == kind


# The tables.


def test_ids_have_the_sizes_of_the_table():
    [rows] = tables("Ids")
    sizes = {name: (size, text) for name, size, text, _ in rows}
    for name, kind in {
        "message": msgsync.MessageId,
        "device": msgsync.DeviceId,
        "account": msgsync.AccountId,
    }.items():
        size, text = sizes[name]
        assert int(size) == kind.BYTES
        assert int(text.split()[0]) == kind.CHARACTERS


def test_roots_and_kinds_are_those_of_the_code():
    kinds, roots = tables("Documents")
    assert names_in(kinds[0][0]) == [schema.HEAD]
    assert DocumentId("family", names_in(kinds[1][0])[0]).is_segment
    known = [
        schema.MESSAGES,
        schema.EDITS,
        schema.REACTIONS,
        schema.ALIASES,
        schema.DELETIONS,
        schema.GONE,
        schema.ERASED,
        schema.FIELDS,
        schema.READS,
        schema.DELETIONS,
        schema.ERASED,
    ]
    assert [names_in(row[0])[0] for row in roots] == known


DEVICE = bytes(8)
ATTACHMENT = AttachmentRecord("a.png", "image/png", 1, bytes(32), bytes(32), 1, 1, 1, b"x")
FULL: list[tuple[bytes, Callable[[int], bool]]] = [
    (
        encode_message(
            MessageRecord(
                "ann", "text", 1, "17", 1, bytes(12), "action", {"color": "red"}, (ATTACHMENT,)
            )
        ),
        bool,
    ),
    (load(encode_attachments([ATTACHMENT]))[0], bool),
    (encode_edit(EditRecord("text", 1, DEVICE)), bool),
    (encode_reaction(ReactionRecord("ann", "👍", True, 1, DEVICE)), bool),
    (
        encode_deletion(
            DeletionRecord(
                DeletionKind.DELETED, 1, DEVICE, (bytes(12),), frozenset({Stamp(1, bytes(10))})
            )
        ),
        bool,
    ),
    (encode_alias(AliasRecord(bytes(12), "17", 1)), bool),
    (encode_field(FieldRecord("title", "Family")), bool),
    (
        encode_read(ReadRecord(ReadKind.READ, 1, DEVICE, 1, 0, bytes(6), 1, frozenset({bytes(8)}))),
        bool,
    ),
    (
        encode_head_deletion(
            HeadDeletionRecord(
                DeletionKind.DELETED,
                1,
                DEVICE,
                (Stamp(1, bytes(10)),),
                frozenset({Stamp(1, bytes(10))}),
            )
        ),
        bool,
    ),
]


def test_records_have_the_fields_of_the_tables():
    for rows, (value, is_used) in zip(tables("Records"), FULL, strict=True):
        numbers = [int(number) for number, *_ in rows]
        assert list(decode_map(value)) == [number for number in numbers if is_used(number)]


def test_frames_have_the_fields_of_the_table():
    _, rows = tables("Framing")
    shown = {int(number): (names_in(name), names_in(cells)) for number, name, cells in rows}
    kinds: list[Any] = list(get_args(frames.Frame))
    assert shown == {
        kind.TYPE: ([kind.__name__], [field.name for field in fields(kind)]) for kind in kinds
    }


def test_the_session_takes_the_frames_of_the_table():
    [rows] = tables("The session")
    shown = {(names_in(state)[0], *names_in(frame)) for state, frame, _ in rows[:-1]}
    transitions = {(state.name, kind.__name__) for state, kind in session._TRANSITIONS}
    assert shown == transitions
    assert names_in(rows[-1][0]) == [State.FINISHED.name]


def test_the_file_has_the_tables_of_the_table(tmp_path):
    msgsync.open(tmp_path / "a.db").close()
    with contextlib.closing(sqlite3.connect(tmp_path / "a.db")) as file:
        assert file.execute("pragma application_id").fetchone() == (0x6D736773,)
        assert file.execute("pragma user_version").fetchone() == (VERSION,)
        names = [
            name
            for (name,) in file.execute("select name from sqlite_schema where type = 'table'")
            if not re.match(r"search_|sqlite_", name)
        ]
        columns = {
            name: [row[1] for row in file.execute(f"pragma table_info({name})")]
            for name in names
            if name != "search"  # the system's SQLite may be without FTS5
        }
    [rows] = tables("Tables")
    shown = {names_in(table)[0]: names_in(cells) for table, cells in rows}
    assert shown.pop("search") == ["text"]
    assert shown == columns


def test_limits_have_the_values_of_the_table():
    [rows] = tables("Limits")
    units = {"MiB": limits.MIB, "KiB": limits.KIB}
    for name, value, _ in rows:
        text = value.replace(",", "").replace("^", "**").replace("\N{MINUS SIGN}", "-")
        for unit, size in units.items():
            text = text.replace(unit, f"* {size}")
        assert eval(text) == getattr(limits, names_in(name)[0]), name
    caches = {
        "DOCUMENT_CACHE_BYTES",
        "BATCH_MESSAGES",
        "LOG_ROWS",
        "UNINDEXED_MESSAGES",
        "UNINDEXED_BYTES",
        "PACK_BYTES",
        "PACK_CACHE_BYTES",
        "ROWS_WRITTEN_TOGETHER",
        "ROWS_INDEXED_TOGETHER",
    }
    assert {names_in(name)[0] for name, *_ in rows} == {
        name for name in vars(limits) if name.isupper() and name not in caches | {"KIB", "MIB"}
    }


def test_text_is_cut_for_the_index_as_the_table_says():
    [rows] = tables("Search")
    for text, cut in rows:
        assert segmented(names_in(text)[0]).split() == " ".join(names_in(cut)).split()


# What is said in words and is easily broken.


def test_erased_text_is_in_none_of_the_files(tmp_path):
    secret = "xylophone-quartz-nebula"
    with msgsync.open(tmp_path / "a.db", author="ann") as replica:
        conversation = replica.create_conversation("Family")
        others = [
            msgsync.Incoming(conversation.id, "ben", f"something else {number}", SENT_MS + number)
            for number in range(limits.UNINDEXED_MESSAGES + 1)
        ]
        message = conversation.send(f"first {secret}")
        conversation.edit(message, f"then {secret}")
        replica.ingest(others)  # so that the words are in the search index
        assert len(conversation.search("quartz")) == 1
        conversation.erase(message)
        assert not replica.status().erasure_pending
        assert not conversation.search("quartz")
        for path in tmp_path.iterdir():
            content = path.read_bytes().lower()
            for word in secret.split("-"):
                assert word.encode() not in content, path.name


def test_the_frozen_form_of_the_example_is_what_freezing_makes(spec: dict[str, Any]) -> None:
    document = DocumentId("family", "2024-05")
    entries = [
        Entry(root, key.encode(), value)
        for root, key, value in spec["frozen_entries"](spec["EXAMPLE"])
    ]
    for order in (entries, entries[::-1]):
        assert encode_frozen(freeze(document, order)) == spec["EXAMPLE"]


@given(st.lists(st.integers(0, 2**40), unique=True, max_size=40), st.integers(0, 2**20))
def test_the_reader_of_frozen_forms_reads_what_freezing_makes(
    spec: dict[str, Any], times: list[int], order: int
) -> None:
    document = DocumentId("family", segment_of(SENT_MS))
    entries = [
        Entry(
            schema.MESSAGES,
            encode_id((SENT_MS + ms % 86_400_000).to_bytes(6, "big") + ms.to_bytes(6, "big")),
            encode_message(
                MessageRecord(
                    f"author {ms % 3}",
                    f"text {ms}",
                    ms % 2 * order,
                    "x" * (ms % 5) or None,
                    reply_to="17" if ms % 7 == 0 else None,
                )
            ),
        )
        for ms in times
    ]
    read = spec["frozen_entries"](encode_frozen(freeze(document, entries)))
    assert sorted(entries) == [Entry(root, key.encode(), value) for root, key, value in read]
