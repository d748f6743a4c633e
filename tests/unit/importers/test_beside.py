"""Files beside an export: written once each under safe names, and taken in again, whatever anybody made of them."""

from __future__ import annotations

import base64
import hashlib
import io
import json
from pathlib import Path
from typing import Any

import pytest

import msgsync
from msgsync import Attach, AttachmentState, FileExists, Replica, limits
from msgsync.importers.jsonlines import ImportReport
from tests.unit.conftest import Opener
from tests.unit.replica.test_attachments import files_of, noise

CHUNK = limits.CHUNK_BYTES


def exported(replica: Replica, folder: Path) -> tuple[list[dict[str, Any]], msgsync.ExportReport]:
    """The lines of messages, and what was reported."""
    file = io.BytesIO()
    report = msgsync.export_jsonlines(replica, file, attachments=folder)
    lines = [json.loads(line) for line in file.getvalue().splitlines()]
    return [line for line in lines if "type" not in line], report


def imported(replica: Replica, lines: list[dict[str, Any]], folder: Path | None) -> ImportReport:
    text = "".join(json.dumps(line) + "\n" for line in lines)
    return msgsync.import_jsonlines(replica, io.BytesIO(text.encode()), attachments=folder)


@pytest.fixture
def other(open_replica: Opener) -> Replica:
    """Of another account."""
    return open_replica("other.db")


def test_everything_comes_back_in_another_account(phone, family, other, tmp_path):
    data = noise(2 * CHUNK + 7)
    family.send("two", attachments=[Attach(data, "a.bin"), Attach(b"", "empty")])
    family.send("again", attachments=[Attach(data, "the same.bin"), Attach(b"x", "a.bin")])
    family.send("none")
    lines, report = exported(phone, tmp_path / "out")
    assert (report.attachments, report.attachments_left) == (4, 0)

    taken = imported(other, lines, tmp_path / "out")
    assert (taken.attachments, taken.attachments_left, taken.bad_files) == (2, 0, ())
    mine, theirs = (one.conversation("family").messages() for one in (phone, other))
    assert list(mine) == list(theirs)
    for message in theirs:
        for one in message.attachments:
            assert one.open().read() in (data, b"", b"x")
    assert [one.name for one in files_of(other)] == [one.name for one in files_of(phone)]
    assert other.check().problems == ()


def test_names_are_safe_and_each_file_lies_there_once(phone, family, tmp_path):
    hostile = "../../x\0\n.png"
    family.send("", attachments=[Attach(b"one", hostile), Attach(b"one", hostile)])
    family.send("", attachments=[Attach(b"two", hostile), Attach(b"three", "NUL")])
    family.send("", attachments=[Attach(b"long", "ä" * 120 + ".jpeg"), Attach(b"dot", ".x")])
    lines, report = exported(phone, tmp_path / "out" / "deep")
    names = [name for line in lines for name in line["attachment_files"]]
    assert len(names) == 6
    assert len(set(names)) == report.attachments == 5
    assert sorted(set(names)) == sorted(one.name for one in (tmp_path / "out" / "deep").iterdir())
    for name in names:
        assert len(name.encode()) <= 255
        assert not set(name) & set("/\\\0\n:")
    assert [name.rpartition(".")[2] for name in names[:3]] == ["png"] * 3
    assert names[4].endswith(".jpeg")


def test_a_second_export_leaves_the_files_as_they_are(phone, family, tmp_path):
    family.send("", attachments=[b"x"])
    first, _ = exported(phone, tmp_path / "out")
    [file] = (tmp_path / "out").iterdir()
    written = file.stat()
    second, report = exported(phone, tmp_path / "out")
    assert first == second
    assert file.stat() == written
    assert report.attachments == 1


def test_another_file_of_the_name_is_not_overwritten(phone, family, tmp_path):
    family.send("", attachments=[b"x"])
    exported(phone, tmp_path / "out")
    [file] = (tmp_path / "out").iterdir()
    file.write_bytes(b"y")
    with pytest.raises(FileExists, match="choose another folder"):
        exported(phone, tmp_path / "out")
    assert file.read_bytes() == b"y"


def test_what_is_not_here_or_gone_is_left_out_and_its_message_is_not(
    phone, family, other, tmp_path
):
    kept, lost, gone = (family.send(text, attachments=[text.encode()]) for text in "abc")
    family.erase_attachment(gone, gone.attachments[0])
    [name] = lost.attachments
    for path in files_of(phone):
        if not _opens(phone, kept, path):
            path.unlink()
    lines, report = exported(phone, tmp_path / "out")
    assert (report.attachments, report.attachments_left) == (1, 1)
    assert name.size == 1
    assert ["attachment_files" in line for line in lines] == [True, False, False]
    imported(other, lines, tmp_path / "out")
    states = [one.attachments[0].state for one in other.conversation("family").messages()]
    assert states == [
        AttachmentState.ONLY_HERE,
        AttachmentState.DOWNLOADING,
        AttachmentState.GONE,
    ]


def _opens(replica: Replica, message: msgsync.Message, path: Path) -> bool:
    """Whether a file in the folder is what a message needs."""
    moved = path.with_suffix(".moved")
    path.rename(moved)
    try:
        replica.message(message.id).attachments[0].open().read()
    except msgsync.AttachmentElsewhere:
        return True
    finally:
        moved.rename(path)
        with replica.writing() as store:
            store.attachments.survey()
    return False


def test_without_a_folder_the_files_are_counted_and_left(phone, family, other, tmp_path):
    family.send("", attachments=[b"x"])
    lines, _ = exported(phone, tmp_path / "out")
    report = imported(other, lines, None)
    assert (report.added, report.attachments, report.attachments_left) == (1, 0, 1)
    again = imported(other, lines, tmp_path / "out")  # the messages are there by now
    assert (again.present, again.attachments, again.attachments_left) == (1, 1, 0)
    third = imported(other, lines, tmp_path / "out")
    assert (third.attachments, third.attachments_left) == (0, 0)


def test_an_erased_message_takes_nothing_in(phone, family, tmp_path):
    sent = family.send("", attachments=[b"x"])
    lines, _ = exported(phone, tmp_path / "out")
    family.erase(sent)
    report = imported(phone, lines, tmp_path / "out")
    assert (report.erased, report.attachments) == (1, 0)
    assert not files_of(phone)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "a\0b", "missing.txt", "..", "", "link", "folder"]
)
def test_nothing_outside_the_folder_is_read(phone, family, other, tmp_path, name):
    family.send("", attachments=[b"secret"])
    lines, _ = exported(phone, tmp_path / "out")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "out" / "link").symlink_to(tmp_path / "secret")
    (tmp_path / "out" / "folder").mkdir()
    lines[0]["attachment_files"] = [name]
    report = imported(other, lines, tmp_path / "out")
    assert (report.added, report.attachments, report.attachments_left) == (1, 0, 1)
    [bad] = report.bad_files
    assert bad.line == 1
    assert "there is no file" in bad.reason
    assert not files_of(other)


@pytest.mark.parametrize("change", [b"y", b"", b"x" * (CHUNK + 1)])
def test_a_file_that_is_another_one_is_not_taken(phone, family, other, tmp_path, change):
    family.send("", attachments=[b"x"])
    lines, _ = exported(phone, tmp_path / "out")
    (tmp_path / "out" / lines[0]["attachment_files"][0]).write_bytes(change)
    report = imported(other, lines, tmp_path / "out")
    [bad] = report.bad_files
    assert "is not the file that was exported" in bad.reason
    assert not files_of(other)
    state = other.conversation("family").messages()[0].attachments[0].state
    assert state is AttachmentState.DOWNLOADING


def test_a_file_that_changes_while_it_is_read_leaves_nothing(
    phone, family, other, tmp_path, monkeypatch
):
    family.send("", attachments=[b"x"])
    lines, _ = exported(phone, tmp_path / "out")
    path = tmp_path / "out" / lines[0]["attachment_files"][0]
    take = msgsync.replica.refilling._take

    def change(*arguments: Any) -> None:
        path.write_bytes(b"y")
        take(*arguments)

    monkeypatch.setattr(msgsync.replica.refilling, "_take", change)
    [bad] = imported(other, lines, tmp_path / "out").bad_files
    assert "changed while it was read" in bad.reason
    assert not files_of(other)


def test_a_file_that_changes_while_it_is_read_takes_nothing_away(
    phone, family, other, tmp_path, monkeypatch
):
    data = noise(2 * CHUNK)
    family.send("", attachments=[data])
    lines, _ = exported(phone, tmp_path / "out")
    imported(other, lines, tmp_path / "out")
    [first] = other.conversation("family").messages()[0].attachments
    with other.writing() as store:
        [name] = store.database.one("select name from chunks where size = ?", (CHUNK,))
        store.attachments.vanish(name, damaged=True)
    path = tmp_path / "out" / lines[0]["attachment_files"][0]
    take = msgsync.replica.refilling._take

    def change(*arguments: Any) -> None:
        path.write_bytes(bytes(2 * CHUNK))
        take(*arguments)

    with monkeypatch.context() as patched:
        patched.setattr(msgsync.replica.refilling, "_take", change)
        [bad] = imported(other, lines, tmp_path / "out").bad_files
    assert "changed while it was read" in bad.reason
    shown = other.conversation("family").messages()[0].attachments[0]
    assert shown.bytes_here == first.size - CHUNK
    path.write_bytes(data)
    assert imported(other, lines, tmp_path / "out").attachments == 1
    assert shown.open().read() == data


@pytest.mark.parametrize("files", [["a", "b"], "a", [1], {}, [[]]])
def test_names_that_are_no_list_of_names_make_a_bad_line(phone, family, other, tmp_path, files):
    family.send("", attachments=[b"x"])
    lines, _ = exported(phone, tmp_path / "out")
    lines[0]["attachment_files"] = files
    report = imported(other, lines, tmp_path / "out")
    assert report.bad_count == 1
    assert "`attachment_files`" in report.bad[0].reason


def test_a_record_that_is_of_another_file_with_the_keys_of_one_takes_nothing(
    phone, family, other, tmp_path
):
    sent = family.send("", attachments=[b"x"])
    lines, _ = exported(phone, tmp_path / "out")
    imported(other, lines, None)
    raw = base64.b64decode(lines[0]["attachments"][0])
    true, lie = (hashlib.sha256(text).digest() for text in (b"x", b"y"))
    lines[0]["attachments"] = [base64.b64encode(raw.replace(true, lie)).decode()]
    (tmp_path / "out" / lines[0]["attachment_files"][0]).write_bytes(b"y")
    report = imported(other, lines, tmp_path / "out")
    assert (report.present, report.attachments) == (1, 0)
    assert not files_of(other)
    assert sent.attachments[0].open().read() == b"x"


def test_a_lying_record_takes_only_what_it_says(phone, family, other, tmp_path):
    family.send("", attachments=[b"x"])
    lines, _ = exported(phone, tmp_path / "out")
    raw = bytearray(base64.b64decode(lines[0]["attachments"][0]))
    digest = family.messages()[0].attachments[0].digest
    at = raw.index(bytes.fromhex(digest))
    raw[at] ^= 1
    lines[0]["attachments"] = [base64.b64encode(raw).decode()]
    report = imported(other, lines, tmp_path / "out")
    assert len(report.bad_files) == 1
    assert not files_of(other)
