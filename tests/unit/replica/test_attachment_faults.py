"""What goes wrong with attachments on one device, and with what a peer or a mailbox says of them."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

import pytest

import msgsync
from msgsync import AttachmentDamaged, AttachmentElsewhere, AttachmentState, Replica, limits
from msgsync.errors import InvalidValue, StorageError, StorageFull
from msgsync.protocol.frames import Kept
from msgsync.records import AttachmentRecord, decode_attachments, encode_attachments
from msgsync.replica.exchange import Exchange
from msgsync.store.filesystem import REAL_FILES
from tests.unit.machine import Machine
from tests.unit.replica.test_attachments import files_of, is_tidy, noise

CHUNK = limits.CHUNK_BYTES


def state_of(replica: Replica, message: msgsync.Message) -> AttachmentState:
    return replica.message(message.id).attachments[0].state


def data_of(replica: Replica, message: msgsync.Message) -> bytes:
    return replica.message(message.id).attachments[0].open().read()


class Bounded:
    """A file system with room for so many chunks more, and for a part of the next one."""

    def __init__(self, room: int) -> None:
        self.room = room

    def write(self, path: Path, data: bytes) -> None:
        if self.room <= 0:
            REAL_FILES.write(path, bytes(data)[:9000])
            raise OSError(errno.ENOSPC, "No space left on device")
        self.room -= 1
        REAL_FILES.write(path, data)

    def __getattr__(self, name: str) -> object:
        return getattr(REAL_FILES, name)


@pytest.fixture
def disk(machine: Machine, monkeypatch) -> Bounded:
    bounded = Bounded(1000)
    monkeypatch.setattr(machine, "files", bounded, raising=False)
    return bounded


# Disks and folders.


@pytest.mark.parametrize("room", [0, 1, 2])
def test_attaching_on_a_full_disk_is_refused_in_words_and_messages_go_on(disk, open_replica, room):
    replica = open_replica("full.db")
    family = replica.create_conversation("Family", id="family")
    disk.room = room
    with pytest.raises(StorageFull, match=r"disk of .* is full"):
        family.send("look", attachments=[noise(3 * CHUNK)])
    family.send("words alone")
    assert [one.text for one in family.messages()] == ["words alone"]
    assert not files_of(replica)
    assert replica.check().ok
    disk.room = 3
    assert data_of(replica, family.send("look", attachments=[noise(3 * CHUNK)])) == noise(3 * CHUNK)


def test_fetching_on_a_full_disk_pauses_messages_come_and_it_goes_on_with_room(
    disk, phone, family, open_replica
):
    tablet = open_replica("tablet.db", member=phone)
    sent = family.send("look", attachments=[noise(3 * CHUNK)])
    disk.room = 0
    with pytest.raises(StorageFull, match=r"disk of .* is full"):
        msgsync.sync(tablet, phone)
    assert tablet.message(sent.id).text == "look"
    assert state_of(tablet, sent) is AttachmentState.DOWNLOADING
    assert files_of(tablet) == [], "what has no room leaves it to messages"
    assert tablet.check().ok
    disk.room = 3
    assert msgsync.sync(tablet, phone).complete
    assert data_of(tablet, sent) == noise(3 * CHUNK)
    assert is_tidy(tablet)


def test_a_folder_that_cannot_be_written_is_said_in_words_and_messages_go_on(phone, family):
    phone.path.with_name(f"{phone.path.name}.attachments").write_text("not a folder")
    with pytest.raises(StorageError, match="check the path, the disk and the permissions"):
        family.send("look", attachments=[b"x"])
    family.send("words alone")
    assert [one.text for one in family.messages()] == ["words alone"]


def test_a_folder_that_vanished_is_made_anew_and_what_was_in_it_comes_back(phone, tablet, family):
    sent = family.send("look", attachments=[noise(CHUNK + 1)])
    msgsync.sync(phone, tablet)
    shutil.rmtree(phone.path.with_name(f"{phone.path.name}.attachments"))
    assert len(phone.check().problems) == 2
    with pytest.raises(AttachmentElsewhere):
        data_of(phone, sent)
    assert state_of(phone, sent) is AttachmentState.DOWNLOADING
    assert data_of(phone, family.send("new", attachments=[b"another"])) == b"another"
    phone.repair()
    msgsync.sync(phone, tablet)
    assert data_of(phone, sent) == noise(CHUNK + 1)
    assert phone.check().ok


@pytest.mark.parametrize("how", ["a flipped bit", "cut off", "empty", "longer"])
def test_a_damaged_chunk_is_found_said_and_comes_anew(phone, tablet, family, how):
    sent = family.send("look", attachments=[noise(100)])
    msgsync.sync(phone, tablet)
    [path] = files_of(phone)
    raw = path.read_bytes()
    path.write_bytes(
        {
            "a flipped bit": raw[:50] + bytes([raw[50] ^ 1]) + raw[51:],
            "cut off": raw[:-1],
            "empty": b"",
            "longer": raw + b"x",
        }[how]
    )
    [problem] = phone.check().problems
    assert "is not what was stored" in problem
    with pytest.raises(AttachmentDamaged):
        data_of(phone, sent)
    assert state_of(phone, sent) is AttachmentState.DAMAGED
    msgsync.sync(phone, tablet)
    assert state_of(phone, sent) is AttachmentState.HERE
    assert data_of(phone, sent) == noise(100)


@pytest.mark.parametrize("more", [b"", b"more"], ids=["the same file", "one that begins like it"])
@pytest.mark.parametrize("how", [lambda raw: raw[:-1], None], ids=["damaged", "vanished"])
def test_what_is_sent_again_is_whole_though_what_is_here_is_not(phone, family, more, how):
    data = noise(CHUNK)
    first = family.send("look", attachments=[data])
    [path] = files_of(phone)
    if how is None:
        path.unlink()
    else:
        path.write_bytes(how(path.read_bytes()))
    again = family.send("once more", attachments=[data + more])
    assert data_of(phone, again) == data + more
    assert data_of(phone, first) == data
    assert phone.check().problems == ()


def test_a_chunk_that_was_only_read_wrongly_stays(phone, family):
    sent = family.send("look", attachments=[noise(100)])
    [path] = files_of(phone)
    raw = path.read_bytes()
    phone.fetching.damaged(bytes.fromhex(path.name))
    assert state_of(phone, sent) is AttachmentState.ONLY_HERE
    assert data_of(phone, sent) == noise(100)
    path.write_bytes(raw[::-1])
    phone.fetching.damaged(bytes.fromhex(path.name))
    assert state_of(phone, sent) is AttachmentState.DAMAGED
    assert not files_of(phone)


def test_what_is_written_anew_stays_though_somebody_still_finds_it_damaged(phone, family):
    sent = family.send("look", attachments=[noise(100)])
    [path] = files_of(phone)
    raw, name = path.read_bytes(), bytes.fromhex(path.name)
    with phone.writing() as store:
        store.attachments.vanish(name, damaged=True)
        store.attachments.vanish(name, damaged=True)
    path.write_bytes(raw)  # it comes anew, and is not noted yet
    with phone.writing() as store:
        store.attachments.vanish(name, damaged=True)
        store.attachments.arrive([name])
    assert data_of(phone, sent) == noise(100)


def test_a_damaged_chunk_that_a_power_loss_brought_back_is_not_taken_for_whole(
    phone, tablet, family, open_replica
):
    sent = family.send("look", attachments=[noise(100)])
    msgsync.sync(phone, tablet)
    [path] = files_of(phone)
    path.write_bytes(b"damaged")
    with pytest.raises(AttachmentDamaged):
        data_of(phone, sent)
    path.write_bytes(b"damaged")  # its removal had not been synced
    phone.close()
    again = open_replica("phone.db")
    assert state_of(again, sent) is AttachmentState.DAMAGED
    assert not files_of(again)
    msgsync.sync(again, tablet)
    assert data_of(again, sent) == noise(100)


# Promises.


def test_a_damaged_chunk_is_not_promised(phone, tablet, family):
    """Or the last good copy would be let go of for it."""
    sent = family.send("look", attachments=[noise(CHUNK)])
    msgsync.sync(phone, tablet)
    [path] = files_of(tablet)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    phone.free_space()
    msgsync.sync(phone, tablet)
    assert phone.free_space().bytes_freed == 0
    assert state_of(tablet, sent) in (AttachmentState.DAMAGED, AttachmentState.HERE)
    msgsync.sync(phone, tablet)
    assert data_of(tablet, sent) == noise(CHUNK)
    msgsync.sync(phone, tablet)
    assert phone.free_space().bytes_freed == CHUNK


def test_nor_is_one_that_is_gone(phone, tablet, family):
    family.send("look", attachments=[noise(CHUNK)])
    msgsync.sync(phone, tablet)
    [path] = files_of(tablet)
    path.unlink()
    phone.free_space()
    msgsync.sync(phone, tablet)
    assert phone.free_space().bytes_freed == 0


def test_a_promise_that_was_broken_is_noticed_and_a_third_device_has_it(
    phone, tablet, family, open_replica
):
    third = open_replica("third.db", member=phone)
    sent = family.send("look", attachments=[noise(CHUNK)])
    msgsync.sync(phone, third)
    msgsync.sync(phone, tablet)
    phone.free_space()
    msgsync.sync(phone, tablet)
    assert phone.free_space().bytes_freed == CHUNK
    [path] = files_of(tablet)
    path.unlink()  # as a liar would
    phone.set_attachment_budget(None)
    with phone.writing() as store:
        store.database.execute("update chunks set state = 0")  # somebody reads it
    report = msgsync.sync(phone, tablet)
    assert any("does not have it" in words for words in report.chunks_refused)
    msgsync.sync(phone, third)
    assert data_of(phone, sent) == noise(CHUNK)


def test_a_promise_that_nobody_asked_for_ends_the_session(phone, tablet):
    chunks = msgsync.protocol.chunks.Chunks(Exchange(phone).attachments, phone.device.raw)
    with pytest.raises(msgsync.errors.ProtocolError):
        chunks.kept(Kept((b"n" * 16,)))


# Records that lie.


def record(size: int, keys: int) -> AttachmentRecord:
    return AttachmentRecord(
        "a", "text/plain", size, bytes(32), bytes(32) * keys, None, None, None, None
    )


@pytest.mark.parametrize(("size", "keys"), [(10, 2), (10, 0), (0, 1), (CHUNK + 1, 1), (2**32, 1)])
def test_more_or_fewer_chunks_than_declared_are_no_record(size, keys):
    with pytest.raises(InvalidValue):
        decode_attachments(encode_attachments([record(size, keys)]))


def test_of_four_gigabytes_declared_and_ten_bytes_sent_nothing_is_taken(phone, tablet, family):
    sent = family.send("look", attachments=[noise(10)])
    with phone.writing() as store:
        store.database.execute("update chunks set size = ?", (CHUNK,))
    with phone.reading() as store:
        [(name,)] = store.database.execute("select name from chunks").fetchall()
        sealed = store.attachments.files.read(name)
    holder = Exchange(phone).attachments
    with pytest.raises(AttachmentDamaged, match="another size than its record says"):
        holder.take(name, sealed)
    assert phone.message(sent.id).text == "look"
