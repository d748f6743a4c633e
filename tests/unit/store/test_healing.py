"""What stays right when things come together badly: found in review, kept as examples."""

from __future__ import annotations

import sqlite3

import pytest

import msgsync
from msgsync import Incoming
from msgsync.document.codec import Block, compose
from msgsync.document.schema import MESSAGES, DocumentId, Entry
from msgsync.ids import encode_id, external_tail
from tests.unit.parts import never_frozen, parts_of

T = 1_700_000_000_000
MONTH = DocumentId("c", "2023-11")
SECRET = "zebra-quagga"


def stored(replica: msgsync.Replica) -> bytes:
    parts = parts_of(replica, MONTH)
    return b"".join((parts.frozen, *parts.updates))


def test_an_erasure_that_arrives_with_a_differing_record_leaves_nothing(tmp_path):
    with msgsync.open(tmp_path / "a.db", author="a") as a, a.new_device(tmp_path / "b.db") as b:
        for replica, text in ((a, "one"), (b, "two")):
            replica.ingest(Incoming("c", "carrier", text, T, "m1"))
            replica.ingest(Incoming("c", "carrier", SECRET, T + 5, "m2"))
        secret = a.conversation("c").find("m2")
        assert secret is not None
        a.conversation("c").erase(secret)
        assert msgsync.sync(a, b).complete
        for replica in (a, b):
            assert SECRET.encode() not in stored(replica)
            assert replica.check().ok
        assert a.status().differing + b.status().differing


def test_a_link_to_a_replica_has_no_lock_of_its_own(tmp_path):
    with msgsync.open(tmp_path / "a.db"):
        (tmp_path / "link.db").symlink_to(tmp_path / "a.db")
        with pytest.raises(msgsync.ReplicaLocked):
            msgsync.open(tmp_path / "link.db")


def test_a_file_whose_making_was_cut_off_is_made_anew(tmp_path):
    path = tmp_path / "a.db"
    file = sqlite3.connect(path)
    file.execute("pragma journal_mode = wal")  # writes the first page, and nothing else
    file.close()
    assert path.stat().st_size
    with msgsync.open(path, author="a") as replica:
        assert replica.create_conversation().send("hello").text == "hello"


def test_a_record_that_cannot_be_read_is_not_written_again_by_ingesting_it(tmp_path):
    """A later version's record: its key is taken, though nothing of it is shown."""
    message_id = T.to_bytes(6, "big") + external_tail("c", "m1")
    later = Entry(MESSAGES, encode_id(message_id), b"\xa1\x01\x05")
    with msgsync.open(tmp_path / "a.db", author="a") as replica:
        with replica.writing() as store:
            store.merge(MONTH, never_frozen(compose([Block(7, 0, [later])])))
        assert replica.ingest(Incoming("c", "carrier", "one", T, "m1")).present == 1
        assert replica.check().ok
        assert replica.status().unreadable == 1


def test_an_erasure_that_waited_at_closing_is_finished_by_the_next_opening(tmp_path):
    path = tmp_path / "a.db"
    replica = msgsync.open(path, author="a")
    family = replica.create_conversation(id="c")
    secret = family.send(SECRET)
    with msgsync.open(path, readonly=True) as reader, reader.reading() as view:
        view.database.one("select count(*) from messages")
        family.erase(secret)
        replica.close()
        with msgsync.open(path) as again:
            assert again.status().erasure_pending
    with msgsync.open(path) as replica:
        assert not replica.status().erasure_pending
        files = [one.read_bytes() for one in tmp_path.iterdir()]
        assert not any(SECRET.encode() in content for content in files)
