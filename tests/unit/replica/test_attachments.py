"""Attachments of messages: sending, reading, saving, following over a session, and going when nothing needs them."""

from __future__ import annotations

import hashlib
import io
import os
import random
import sys
from pathlib import Path

import pytest

import msgsync
from msgsync import (
    Attach,
    AttachmentDamaged,
    AttachmentElsewhere,
    AttachmentState,
    FileExists,
    InvalidValue,
    Message,
    Replica,
    limits,
)
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.transport import memory
from tests.unit.conftest import Opener

CHUNK = limits.CHUNK_BYTES


def noise(size: int, seed: int = 1) -> bytes:
    return random.Random(seed).randbytes(size)


def files_of(replica: Replica) -> list[Path]:
    folder = replica.path.with_name(replica.path.name + ".attachments")
    return sorted(one for one in folder.rglob("*") if one.is_file())


def count(replica: Replica, table: str) -> int:
    with replica.reading() as store:
        return int(store.database.one(f"select count(*) from {table}")[0])


def is_tidy(replica: Replica) -> bool:
    """Whether the folder holds the chunks that messages need, as the rows say, and else what is noted as loose."""
    with replica.reading() as store:
        rows = {
            name.hex()
            for (name,) in store.database.execute("select name from chunks where state = 1")
        }
        needed = store.database.one(
            "select count(*) from chunks where not exists(select 1 from parts where chunk = key)"
        )
        loose = {name.hex() for (name,) in store.database.execute("select name from loose")}
    lying = {one.name.partition(".")[0] for one in files_of(replica)}
    return rows <= lying <= rows | loose and needed == (0,)


def mine(replica: Replica, message: Message) -> Message:
    return replica.message(message.id)


# Sending and reading.


@pytest.mark.parametrize("size", [0, 1, 511, CHUNK - 1, CHUNK, CHUNK + 1, 3 * CHUNK + 5])
def test_what_is_sent_can_be_read(family, size):
    data = noise(size)
    message = family.send("look", attachments=[data])
    [attachment] = message.attachments
    assert attachment == family.message(message.id).attachments[0]
    assert attachment.size == attachment.bytes_here == size
    assert attachment.digest == hashlib.sha256(data).hexdigest()
    assert attachment.state is (AttachmentState.ONLY_HERE if size else AttachmentState.HERE)
    with attachment.open() as file:
        assert file.read() == data


def test_it_can_be_a_path_a_file_bytes_or_a_pipe(family, tmp_path):
    path = tmp_path / "photo.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + noise(100))

    class Pipe(io.RawIOBase):
        """Gives a few bytes at a time, and cannot be read twice."""

        left = noise(CHUNK + 10)

        def readable(self) -> bool:
            return True

        def read(self, size: int = -1) -> bytes:
            piece, self.left = self.left[: min(size, 99_991)], self.left[min(size, 99_991) :]
            return piece

    with path.open("rb") as file:
        message = family.send("", attachments=[path, str(path), file, path.read_bytes(), Pipe()])
    names = [(one.name, one.media_type, one.size) for one in message.attachments]
    assert names == [
        *[("photo.png", "image/png", 108)] * 3,
        ("attachment", "image/png", 108),
        ("attachment", "application/octet-stream", CHUNK + 10),
    ]
    assert message.attachments[4].open().read() == noise(CHUNK + 10)


@pytest.mark.skipif(sys.platform == "win32", reason="there pipes always wait")
def test_a_file_that_does_not_wait_for_its_bytes_is_refused(phone, family):
    here, there = os.pipe()
    os.set_blocking(here, False)
    with os.fdopen(here, "rb", buffering=0) as file, os.fdopen(there, "wb") as other:
        with pytest.raises(InvalidValue, match="non-blocking"):
            family.send("", attachments=[file])
        other.write(b"x")
    assert not family.messages()
    assert not files_of(phone)


def test_more_can_be_said_of_a_file(family):
    attach = Attach(b"x", "../a\0.png", "image/png", 640, 480, 12, b"small")
    [one] = family.send("", attachments=[attach]).attachments
    assert (one.name, one.media_type) == ("a.png", "image/png")
    assert (one.width, one.height, one.duration_ms, one.preview) == (640, 480, 12, b"small")


@pytest.mark.parametrize(
    "attachments",
    [
        b"bytes",
        "path",
        [1],
        [None],
        [b"x"] * 65,
        [io.StringIO("text")],
        [Attach(b"x", width=1)],
        [Attach(b"x", preview=bytes(16385))],
        [Attach(b"x", media_type="x" * 128)],
    ],
)
def test_what_cannot_be_attached_is_refused_and_nothing_is_sent(phone, family, attachments):
    with pytest.raises(InvalidValue):
        family.send("look", attachments=attachments)
    assert not family.messages()
    assert not files_of(phone)
    assert count(phone, "loose") == 0


def test_a_file_that_is_not_there_or_fails_in_the_middle_leaves_nothing(phone, family, tmp_path):
    class Broken(io.RawIOBase):
        given = 0

        def read(self, size: int = -1) -> bytes:
            if self.given > 12 * CHUNK:
                raise OSError("the stick was pulled out")
            self.given += size
            return noise(size, self.given)

    for source, words in ((tmp_path / "none", "No such file"), (Broken(), "stick")):
        with pytest.raises(OSError, match=words):
            family.send("look", attachments=[b"whole", source])
    assert not family.messages()
    assert not files_of(phone)
    assert count(phone, "loose") == count(phone, "chunks") == 0


def test_a_file_that_changes_while_it_is_read_is_not_sent(phone, family, tmp_path, monkeypatch):
    path = tmp_path / "log"
    path.write_bytes(noise(CHUNK))
    read = msgsync.replica.intake._fill

    def grow(file: io.BufferedReader, buffer: memoryview) -> int:
        count = read(file, buffer)
        with path.open("ab") as more:
            more.write(b"more")
        return count if file.tell() <= CHUNK else 0

    monkeypatch.setattr(msgsync.replica.intake, "_fill", grow)
    with pytest.raises(InvalidValue, match="changed while it was read"):
        family.send("look", attachments=[path])
    assert not files_of(phone)


def test_a_place_in_it_can_be_read_without_the_rest(family):
    data = noise(3 * CHUNK)
    [one] = family.send("", attachments=[data]).attachments
    with one.open() as file:
        assert file.seekable()
        for start, size in ((CHUNK - 2, 4), (0, 1), (3 * CHUNK - 1, 9), (3 * CHUNK + 5, 1)):
            assert file.seek(start) == start
            assert file.read(size) == data[start : start + size]
        assert file.seek(-3, io.SEEK_END) == 3 * CHUNK - 3
        assert file.read() == data[-3:]
        with pytest.raises(ValueError, match="before the beginning"):
            file.seek(-1)


# Stored once.


def test_an_equal_file_is_stored_once_however_often_it_is_sent(phone, family, tmp_path):
    data = noise(2 * CHUNK)
    (tmp_path / "a").write_bytes(data)
    family.send("", attachments=[data, data])
    family.send("", attachments=[tmp_path / "a"])
    family.send("", attachments=[io.BytesIO(data)])
    assert len(files_of(phone)) == 2


def test_whether_a_large_file_is_here_is_found_out_by_its_beginning_first(phone, family):
    class Counting(io.BytesIO):
        count = 0

        def read(self, size: int | None = -1) -> bytes:
            block = super().read(size)
            self.count += len(block)
            return block

    data = noise(4 * CHUNK + 1)
    family.send("", attachments=[data])
    equal, other, tail = map(Counting, (data, b"o" + data[1:], data[:-1] + b"t"))
    family.send("", attachments=[equal])
    assert (equal.count, len(files_of(phone))) == (len(data), 5)
    family.send("", attachments=[other])
    assert (other.count, len(files_of(phone))) == (0, 6)  # chunks that are equal are stored once
    family.send("", attachments=[tail])
    assert (tail.count, len(files_of(phone))) == (len(data), 7)


def test_so_it_is_after_a_new_epoch_and_nothing_is_sealed_anew(phone, family):
    data = noise(2 * CHUNK)
    family.send("", attachments=[data])
    before = files_of(phone)
    phone.rotate()
    message = family.send("", attachments=[data])
    assert files_of(phone) == before
    assert message.attachments[0].open().read() == data


def test_what_is_added_to_a_file_is_stored_alone(phone, family):
    data = noise(3 * CHUNK)
    family.send("", attachments=[data])
    family.send("", attachments=[data + b"more"])
    assert len(files_of(phone)) == 4


def test_without_an_epoch_in_force_a_file_can_be_sent_all_the_same(phone, tablet, family):
    msgsync.sync(phone, tablet)
    tablet.revoke(phone.device, even_without_recovery=True)
    with pytest.raises(msgsync.DeviceRevoked):
        msgsync.sync(phone, tablet)
    assert family.send("", attachments=[b"mine"]).attachments[0].open().read() == b"mine"


# Saving.


def test_it_is_saved_under_a_path_and_nothing_is_overwritten(family, tmp_path):
    data = noise(CHUNK + 1)
    [one] = family.send("", attachments=[Attach(data, "a.bin")]).attachments
    done: list[tuple[int, int]] = []
    path = one.save(tmp_path / "out.bin", on_progress=lambda *so_far: done.append(so_far))
    assert path.read_bytes() == data
    assert done == [(CHUNK, CHUNK + 1), (CHUNK + 1, CHUNK + 1)]
    with pytest.raises(FileExists):
        one.save(path)
    assert path.read_bytes() == data


def test_in_a_folder_it_gets_a_safe_name_that_is_not_taken(family, tmp_path):
    folder = tmp_path / "out"
    folder.mkdir()
    message = family.send("", attachments=[Attach(b"a", "NUL.txt"), Attach(b"b", "nul.txt")])
    paths = [one.save(folder) for one in (*message.attachments, message.attachments[0])]
    assert [path.name for path in paths] == ["_NUL.txt", "_nul.txt", "_NUL (2).txt"]
    assert sorted(folder.iterdir()) == sorted(paths)


def test_a_name_as_long_as_file_systems_take_can_be_saved(family, tmp_path):
    name = "ф" * 126 + ".md"
    assert len(name.encode()) == 255
    [one] = family.send("", attachments=[Attach(b"a", name)]).attachments
    assert one.save(tmp_path).name == name


def test_who_stops_saving_leaves_no_file(family, tmp_path):
    [one] = family.send("", attachments=[noise(2 * CHUNK)]).attachments
    folder = tmp_path / "out"
    folder.mkdir()

    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        one.save(folder, on_progress=stop)
    assert not list(folder.iterdir())


def test_what_was_changed_in_the_folder_is_found_and_not_given_out(phone, family, tmp_path):
    [one] = family.send("", attachments=[noise(100)]).attachments
    [path] = files_of(phone)
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(AttachmentDamaged):
        one.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()
    with pytest.raises(AttachmentElsewhere):  # it is gone by now, and would be fetched
        one.open().read()


def test_a_record_that_lies_of_the_whole_is_found_when_it_is_saved(family, tmp_path, monkeypatch):
    [one] = family.send("", attachments=[b"something"]).attachments
    other = hashlib.sha256(b"other")
    monkeypatch.setattr("msgsync.replica.attachment.hashlib.sha256", lambda: other)
    with pytest.raises(AttachmentDamaged, match="not what its sender says"):
        one.save(tmp_path / "out")
    assert not (tmp_path / "out").exists()


# Over a session.


def test_a_message_comes_with_its_files(phone, tablet, family, tmp_path):
    data = noise(3 * CHUNK + 100)
    sent = family.send("look", attachments=[data, b"small"])
    report = msgsync.sync(tablet, phone)
    assert report.complete
    assert report.attachment_bytes_received > len(data)
    there = mine(tablet, sent)
    assert there == mine(phone, sent)
    assert [one.state for one in there.attachments] == [AttachmentState.HERE] * 2
    assert there.attachments[0].save(tmp_path / "out").read_bytes() == data
    assert [one.read_bytes() for one in files_of(phone)] == [
        one.read_bytes() for one in files_of(tablet)
    ]
    assert is_tidy(tablet)


def test_when_nothing_is_missing_a_session_is_as_short_as_ever(phone, tablet, family):
    family.send("look", attachments=[b"x"])
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, tablet)
    report = msgsync.sync(phone, tablet)
    assert report.complete
    assert report.bytes_sent < 100


@pytest.mark.parametrize("frames", [4, 20, 50])
def test_cut_anywhere_what_is_on_the_disk_stays_and_the_next_session_brings_the_rest(
    phone, tablet, family, frames
):
    count = limits.CHUNKS_TOGETHER + 1
    sent = family.send("look", attachments=[noise(count * CHUNK)])
    memory.exchange(Session(Exchange(phone)), Session(Exchange(tablet)), frames=frames)
    with tablet.reading() as store:
        store.attachments.files.settle()
    before = len(files_of(tablet))
    assert before == (limits.CHUNKS_TOGETHER if frames > 40 else 0)
    assert is_tidy(tablet)
    report = msgsync.sync(tablet, phone)
    assert report.complete
    received = report.attachment_bytes_received
    assert received == (count - before) * limits.SEALED_CHUNK_BYTES
    assert mine(tablet, sent).attachments[0].open().read() == noise(count * CHUNK)


def test_what_is_not_there_says_so_until_it_is(phone, tablet, family):
    sent = family.send("look", attachments=[noise(2 * CHUNK)])
    for path in files_of(phone)[:1]:
        path.rename(path.with_suffix(".away"))
    report = msgsync.sync(tablet, phone)
    assert report.complete  # the messages are
    assert len(report.chunks_refused) == 1
    [there] = mine(tablet, sent).attachments
    assert there.state is AttachmentState.DOWNLOADING
    assert there.bytes_here == CHUNK
    with pytest.raises(AttachmentElsewhere, match="sync with one that has it"):
        there.open().read()
    for path in files_of(phone):
        if path.suffix:
            path.rename(path.with_suffix(""))
    assert not msgsync.sync(tablet, phone).chunks_refused
    assert mine(tablet, sent).attachments[0].open().read() == noise(2 * CHUNK)


def test_a_chunk_that_is_damaged_at_the_source_is_not_taken(phone, tablet, family):
    sent = family.send("look", attachments=[noise(100)])
    [path] = files_of(phone)
    path.write_bytes(bytes(272))
    report = msgsync.sync(tablet, phone)
    assert len(report.chunks_refused) == 1
    assert "not what was stored" in report.chunks_refused[0]
    assert mine(tablet, sent).attachments[0].state is AttachmentState.DOWNLOADING
    assert not files_of(tablet)
    assert count(tablet, "loose") == 0


def test_those_of_the_newest_messages_come_first(phone, tablet, family):
    chunks = limits.CHUNKS_TOGETHER
    old = family.send("", attachments=[noise((chunks + 1) * CHUNK, 1)])
    new = family.send("", attachments=[noise(chunks * CHUNK, 2)])
    first, second = Session(Exchange(tablet)), Session(Exchange(phone))
    for _ in range(1000):
        if tablet.free_space(preview=True).bytes_here:
            break
        memory.exchange(first, second, frames=1)
    bytes_here = [mine(tablet, one).attachments[0].bytes_here for one in (old, new)]
    assert bytes_here == [0, chunks * CHUNK]


def test_a_replica_that_is_open_for_reading_gives_and_takes_nothing(
    open_replica: Opener, phone, tablet, family
):
    family.send("look", attachments=[b"x"])
    phone.close()
    reader = open_replica("phone.db", readonly=True)
    assert reader.conversation("family").messages()[0].attachments[0].open().read() == b"x"
    assert msgsync.sync(tablet, reader).attachment_bytes_received > 0
    assert tablet.conversation("family").messages()[0].attachments[0].open().read() == b"x"


# What nothing needs.


def test_with_its_message_it_goes_on_all_devices(phone, tablet, family):
    sent = family.send("look", attachments=[noise(2 * CHUNK)])
    msgsync.sync(phone, tablet)
    family.erase(sent)
    assert not files_of(phone)
    msgsync.sync(phone, tablet)
    assert not files_of(tablet)
    for replica in (phone, tablet):
        assert count(replica, "chunks") == count(replica, "files") == count(replica, "parts") == 0


def test_in_recently_deleted_it_stays_and_comes_back_with_its_message(phone, family):
    sent = family.send("look", attachments=[b"photo"])
    family.delete(sent)
    assert len(files_of(phone)) == 1
    family.restore(sent)
    assert mine(phone, sent).attachments[0].open().read() == b"photo"
    family.delete(sent)
    phone.empty_recently_deleted()
    assert not files_of(phone)


def test_what_another_message_has_too_stays(phone, family):
    first = family.send("", attachments=[noise(2 * CHUNK)])
    second = family.send("", attachments=[noise(2 * CHUNK) + b"more"])
    family.erase(first)
    assert mine(phone, second).attachments[0].open().read() == noise(2 * CHUNK) + b"more"
    assert is_tidy(phone)


def test_an_erased_message_that_is_not_here_yet_brings_nothing(phone, tablet, family):
    sent = family.send("look", attachments=[noise(10)])
    tablet.create_conversation("Family", id="family").erase(sent.id)
    assert msgsync.sync(tablet, phone).complete
    assert not files_of(tablet)
    assert not files_of(phone)


def test_what_a_process_left_behind_goes_at_the_next_opening(open_replica: Opener, phone, family):
    family.send("", attachments=[b"kept"])
    with phone.writing() as store:
        store.attachments.loosen([b"n" * 16])
        store.attachments.files.write_all([(b"n" * 16, b"left behind")])
    part = store.attachments.files.path(b"m" * 16)
    with phone.writing() as store:
        store.attachments.loosen([b"m" * 16])
    part.parent.mkdir(exist_ok=True)
    part.with_name(part.name + ".0.part").write_bytes(b"half")
    assert len(files_of(phone)) == 3
    phone.close()
    again = open_replica("phone.db")
    assert len(files_of(again)) == 1
    assert is_tidy(again)
    assert count(again, "loose") == 0


def test_a_write_that_fails_takes_no_file_away(phone, family):
    sent = family.send("", attachments=[b"kept"])

    def erase_and_fail() -> None:
        with phone.writing():
            family.erase(sent)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        erase_and_fail()
    assert mine(phone, sent).attachments[0].open().read() == b"kept"
    assert is_tidy(phone)


def test_wiping_takes_the_folder_too(phone, family):
    family.send("", attachments=[noise(10)])
    folder = phone.path.with_name("phone.db.attachments")
    assert folder.stat().st_mode & 0o777 == 0o700
    phone.wipe()
    assert not folder.exists()


# Looking whether all is well.


@pytest.mark.parametrize("what", ["changed", "gone", "a stranger", "left of writing", "no row"])
def test_check_finds_what_is_wrong_with_attachments_and_repair_mends_it(
    phone, tablet, family, what
):
    sent = family.send("look", attachments=[noise(CHUNK + 1)])
    msgsync.sync(phone, tablet)
    assert phone.check().ok
    first, *_ = files_of(phone)
    if what == "changed":
        first.write_bytes(bytes(len(first.read_bytes())))
    elif what == "gone":
        first.unlink()
    elif what == "a stranger":
        first.with_name("f" * 32).write_bytes(b"?")
    elif what == "left of writing":
        first.with_name("e" * 32 + ".part").write_bytes(b"?")
    else:
        with phone.writing() as store:
            store.database.execute("delete from attached")
    report = phone.check()
    assert not report.ok
    assert all(one.startswith("attachments: ") for one in report.problems)
    phone.repair(tablet)
    if what != "no row":
        assert phone.check().ok
        assert mine(phone, sent).attachments[0].open().read() == noise(CHUNK + 1)
        assert is_tidy(phone)


def test_a_repaired_file_goes_on_with_the_chunks_in_its_folder(open_replica: Opener, phone, family):
    sent = family.send("look", attachments=[noise(CHUNK)])
    family.send("more")
    with phone.writing() as store:
        store.database.execute("update documents set digest = zeroblob(16) where kind != 'head'")
    phone.close()
    report = msgsync.repair(phone.path, system=phone.system)
    assert report.damaged
    again = open_replica("phone.db")
    assert again.check().ok
    assert mine(again, sent).attachments[0].open().read() == noise(CHUNK)


def test_a_backup_says_what_is_not_in_it(phone, family, tmp_path):
    family.send("look", attachments=[noise(CHUNK), b"small"])
    assert phone.backup(tmp_path / "backup").attachment_bytes_left == CHUNK + 5


def test_an_export_carries_what_is_known_of_files(open_replica: Opener, phone, family, tmp_path):
    sent = family.send("look", attachments=[Attach(noise(CHUNK + 1), "a.png", preview=b"x")])
    msgsync.export_jsonlines(phone, tmp_path / "all.jsonl")
    other = open_replica("other.db")
    assert msgsync.import_jsonlines(other, tmp_path / "all.jsonl").added == 1
    there = mine(other, sent)
    assert there.attachments == sent.attachments
    assert there.attachments[0].state is AttachmentState.DOWNLOADING
    with pytest.raises(AttachmentElsewhere):
        there.attachments[0].open().read()


@pytest.mark.parametrize("value", ['"x"', "[1]", '["?"]', '["AA=="]', "[]", "{}"])
def test_records_of_files_that_are_none_make_a_bad_line(phone, tmp_path, value):
    line = (
        '{"conversation": "c", "author": "a", "text": "t", "sent": 1, "id": "1", "attachments": %s}'
    )
    (tmp_path / "bad.jsonl").write_text(line % value + "\n")
    report = msgsync.import_jsonlines(phone, tmp_path / "bad.jsonl")
    assert len(report.bad) == (0 if value in ("[]", "{}") else 1)
