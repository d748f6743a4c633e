"""Files that are cut off, damaged, somebody else's or in use: said in words, and left as they are. Source: A5."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import msgsync
from msgsync import (
    Incoming,
    MsgSyncError,
    Replica,
    ReplicaDamaged,
    ReplicaLocked,
    SchemaTooNew,
    StorageError,
)
from msgsync.store.schema import VERSION
from tests.hostile.peer import Liar, update_of
from tests.unit import files
from tests.unit.machine import START_MS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

SENTINEL = "zyxwvutsrqponm"


def tiny(count: int, text: str = "hello") -> list[Incoming]:
    """Messages of many conversations: their documents lie in packs together."""
    return [
        Incoming(f"c{n % 97}", "ben", f"{text} {n} of many", START_MS + n, external_id=str(n))
        for n in range(count)
    ]


@pytest.fixture
def path(phone: Replica, family: msgsync.Conversation) -> Path:
    """A closed replica in which a little of everything lies."""
    family.react(family.send("kept"), "👍")
    phone.ingest(tiny(2000))
    assert phone.check().ok
    phone.close()
    return Path(phone.path)


def use(path: Path) -> list[str]:
    """Open a replica, read all of it, write into it, sync it, check it: only typed errors come out."""
    said: list[str] = []
    try:
        with msgsync.open(path, author="ann") as replica:
            for verb in (
                lambda: [list(replica.conversation(one.id).messages()) for one in replica.conversations()],
                lambda: replica.search("many"),
                replica.status,
                lambda: said.extend(replica.check().problems),
                lambda: Liar(replica),
                lambda: replica.create_conversation("New").send("new"),
                lambda: replica.ingest(tiny(100)),
            ):  # fmt: skip
                try:
                    verb()
                except MsgSyncError as error:
                    said.append(str(error))
    except MsgSyncError as error:
        said.append(str(error))
    return said


# Cut off and damaged.


@pytest.mark.parametrize("size", [1, 15, 16, 17, 99, 100, 512, 4095, 4096, 4097, 8192, 30_000])
def test_a_file_that_is_cut_off_is_said_to_be_damaged(path, size):
    raw = path.read_bytes()
    path.write_bytes(raw[:size])
    with pytest.raises(StorageError) as raised:
        msgsync.open(path)
    assert str(path) in str(raised.value)
    assert path.read_bytes() == raw[:size]


def test_a_file_cut_off_within_its_pages_is_said_so_and_never_crashes(path):
    raw = path.read_bytes()
    for part in (3, 5, 7, 9):
        cut = raw[: len(raw) * part // 10 // 4096 * 4096]
        path.write_bytes(cut)
        assert use(path)


@pytest.mark.parametrize("seed", range(8))
def test_damage_anywhere_is_an_error_in_words_or_found_by_check_or_no_matter(path, seed):
    """Bytes are changed all over the file; whatever is done with it then raises nothing but typed errors."""
    draw = random.Random(seed)
    raw = bytearray(path.read_bytes())
    for _ in range(draw.choice([1, 4, 40])):
        at = draw.randrange(len(raw))
        length = draw.choice([1, 1, 8, 500])
        raw[at : at + length] = draw.randbytes(len(raw[at : at + length]))
    path.write_bytes(raw)
    for sentence in use(path):
        assert "kept" not in sentence
        assert "of many" not in sentence


def test_a_damaged_log_beside_the_file_loses_no_more_than_itself(phone, family, tmp_path):
    """What was moved into the file stays; the write-ahead log is read as far as it is whole."""
    family.send("kept")
    phone.close()
    with msgsync.open(phone.path, author="ann") as again:
        again.conversation("family").send("in the log")
        for name in ("phone.db", "phone.db-wal"):
            shutil.copy(tmp_path / name, tmp_path / name.replace("phone", "copy"))
    log = tmp_path / "copy.db-wal"
    raw = bytearray(log.read_bytes())
    raw[len(raw) // 2] ^= 0xFF
    log.write_bytes(raw)
    with msgsync.open(tmp_path / "copy.db", author="ann") as copy:
        texts = [one.text for one in copy.conversation("family").messages()]
        assert texts in (["kept"], ["kept", "in the log"])
        assert copy.check().ok


def test_flipped_bits_of_a_pack_are_noticed_by_check_and_by_who_reads_it(path, open_replica):
    [(key, body)] = files.look(
        path, "select key, body from packs order by length(body) desc limit 1"
    )
    assert isinstance(body, bytes)
    for bit in range(5, 8 * len(body), 8 * len(body) // 25):
        flipped = bytearray(body)
        flipped[bit // 8] ^= 1 << bit % 8
        files.change(path, "update packs set body = ? where key = ?", bytes(flipped), key)
        with open_replica(path.name) as replica:
            assert any("damaged" in problem for problem in replica.check().problems), f"bit {bit}"
            with pytest.raises(ReplicaDamaged, match="restore a backup or fill a new replica"):
                replica.conversation("c1").erase(replica.conversation("c1").messages()[0].id)
            assert len(list(replica.conversation("c1").messages())) > 1
    files.change(path, "update packs set body = ? where key = ?", body, key)
    with open_replica(path.name) as replica:
        assert replica.check().ok


def test_a_damaged_document_stops_an_exchange_in_words_and_is_not_passed_on(path, open_replica):
    files.change(path, "update packs set body = zeroblob(length(body))")
    with open_replica(path.name) as replica:
        fresh = open_replica("fresh.db", member=replica)
        with pytest.raises(ReplicaDamaged, match="fill a new replica"):
            msgsync.sync(replica, fresh)
        assert fresh.check().ok


def test_stored_bytes_that_admission_would_refuse_are_damage_not_the_peers_fault(
    path, open_replica
):
    """Bytes of the right checksum and the wrong form: somebody wrote into the file."""
    wrong = zstd.compress(update_of(3, client=5, clock=7)[:-1])
    files.change(path, "update log set body = ? where key = (select min(key) from log)", wrong)
    with open_replica(path.name) as replica:
        assert any("damaged" in problem for problem in replica.check().problems)
        documents = {row.id for row in replica.store().documents.select("")}
        raised = 0
        for document in documents:
            try:
                report = Liar(replica).push_one(document, update_of(1, client=9))
                assert not report.refused
            except ReplicaDamaged as error:
                raised += "restore a backup" in str(error)
        assert raised == 1
        assert not replica.status().refused


# Somebody else's, newer, in use.


def test_a_newer_replica_is_left_alone_whoever_asks(path):
    files.change(path, f"pragma user_version = {VERSION + 1}")
    before = path.read_bytes()
    for readonly in (False, True):
        with pytest.raises(SchemaTooNew, match="update msgsync"):
            msgsync.open(path, readonly=readonly)
    assert path.read_bytes() == before


@pytest.mark.parametrize("sql", [
    "delete from meta where name = 'device'",
    "update meta set value = x'00' where name = 'account'",
    "delete from meta",
    "delete from state",
    "drop table documents",
    "drop table meta",
])  # fmt: skip
def test_a_replica_that_lost_who_it_is_says_so(path, sql):
    files.change(path, sql)
    said = use(path)
    assert said
    assert any("fill a new replica" in one or "restore" in one or "damaged" in one for one in said)


@pytest.mark.parametrize(
    "raw", [b"\0" * 5000, b"%PDF-1.7 " * 600, b"SQLite format 3\0" + b"\0" * 84]
)
def test_a_file_that_is_something_else_is_left_as_it_is(tmp_path, raw):
    path = tmp_path / "other"
    path.write_bytes(raw)
    for readonly in (False, True):
        with pytest.raises(StorageError) as raised:
            msgsync.open(path, readonly=readonly)
        assert str(path) in str(raised.value)
    assert path.read_bytes() == raw


SECOND = """
import sys, msgsync
try:
    msgsync.open(sys.argv[1])
except msgsync.ReplicaLocked as error:
    print(error)
with msgsync.open(sys.argv[1], readonly=True) as reader:
    print(reader.status().messages)
"""


def test_a_second_process_is_told_who_writes_and_may_read(phone, family):
    family.send("hello")
    done = subprocess.run(
        [sys.executable, "-c", SECOND, str(phone.path)],
        capture_output=True,
        text=True,
        timeout=50,
        check=True,
    )
    words, count = done.stdout.splitlines()
    assert "readonly=True" in words
    assert count == "1"
    with pytest.raises(ReplicaLocked):
        msgsync.open(phone.path)
    family.send("goes on")


def test_a_replica_where_nothing_may_be_written_says_so(tmp_path):
    for name in ("there/is/no/folder.db", "x" * 300 + ".db"):
        with pytest.raises(StorageError):
            msgsync.open(tmp_path / name)
    assert list(tmp_path.iterdir()) == []
    for name in ("", "nul\0.db"):
        with pytest.raises(MsgSyncError):
            msgsync.open(f"{tmp_path}/{name}" if name else "")


# Erasing from packs.


def test_nothing_is_left_of_a_message_whose_document_shares_a_pack_with_others(phone, tablet):
    """In a large import the documents of many conversations are compressed together."""
    messages = tiny(3000)
    secret = Incoming("c5", "ben", f"the word is {SENTINEL}", START_MS + 1500, external_id="secret")
    messages.insert(1500, secret)
    phone.ingest(messages)
    msgsync.sync(phone, tablet)
    path = Path(phone.path)
    trace = SENTINEL[-9:].encode()
    shared = files.look(
        path,
        "select count(distinct u.key >> 20) from updates u where u.pack in (select x.pack from updates x"
        " join documents d on x.key >> 20 = d.key join conversations c on c.key = d.conversation"
        " where c.id = 'c5')",
    )
    assert shared[0][0] > 5, "the document must share its pack"  # type: ignore[operator]
    assert files.remains(path, trace)
    [found] = phone.search(SENTINEL)
    before = {
        one.id: len(list(phone.conversation(one.id).messages(limit=100)))
        for one in phone.conversations()
    }
    phone.conversation("c5").erase(found.id)
    assert files.remains(path, trace) == []
    msgsync.sync(phone, tablet)
    assert files.remains(Path(tablet.path), trace) == []
    after = {
        one.id: len(list(phone.conversation(one.id).messages(limit=100)))
        for one in phone.conversations()
    }
    assert after == before | {"c5": before["c5"] - 1}
    assert phone.check().ok
    assert tablet.check().ok
    assert phone.digest == tablet.digest
    phone.close()
    assert files.remains(path, trace) == []
