"""A folder as a mailbox, and what programs that sync folders do to it."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

import msgsync
from msgsync import (
    InvalidValue,
    Mailbox,
    MailboxDamaged,
    MailboxForbidden,
    MailboxFull,
    MailboxReadOnly,
    MailboxUnreachable,
    NoSuchObject,
    limits,
    open_mailbox,
)
from msgsync.mailbox.folder import FolderMailbox
from msgsync.mailbox.trouble import file_error
from msgsync.testing import check_mailbox


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "mail box ä"
    folder.mkdir()
    return folder


@pytest.fixture
def mailbox(place: Path) -> Mailbox:
    return open_mailbox(place.as_uri())


def test_it_passes_the_acceptance_suite(place):
    check_mailbox(lambda: open_mailbox(place.as_uri()))
    assert all(path.is_dir() for path in place.rglob("*"))


def test_what_programs_that_sync_folders_leave_there_is_passed_over(mailbox, place):
    mailbox.put("log/ab/01", b"mine")
    for other in (
        ".stfolder/x",
        "log/.syncthing.02.tmp",
        "log/ab/~syncthing~02.tmp",
        "log/ab/01.sync-conflict-20261125-010203-ABCDEFG",
        "log/ab/01 (Ann's conflicted copy)",
        "log/ab/.DS_Store",
        "log/ab/desktop.ini",
        "log/AB/02",
        "log/ab/01.part",
    ):
        (place / other).parent.mkdir(exist_ok=True)
        (place / other).write_bytes(b"theirs")
    assert mailbox.list("log") == ["log/ab/01"]
    assert mailbox.get("log/ab/01") == b"mine"


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    mailbox = open_mailbox((tmp_path / "stick").as_uri())
    for verb in (
        lambda: mailbox.put("log/a", b"x"),
        lambda: mailbox.get("log/a"),
        lambda: mailbox.list("log"),
        lambda: mailbox.delete("log/a"),
    ):
        with pytest.raises(MailboxUnreachable, match="plug in or mount"):
            verb()
    assert not (tmp_path / "stick").exists()


def test_a_folder_where_an_object_belongs_is_nothing(mailbox, place):
    (place / "log" / "a").mkdir(parents=True)
    with pytest.raises(NoSuchObject):
        mailbox.get("log/a")
    mailbox.delete("log/a")
    with pytest.raises(MailboxDamaged, match="not a file"):
        mailbox.put("log/a", b"x")


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_what_is_no_file_is_not_read(mailbox, place, make):
    (place / "log").mkdir()
    make(place / "log" / "a")
    with pytest.raises(MailboxDamaged, match="not a file"):
        mailbox.get("log/a")
    assert mailbox.list("log") == []


def test_a_link_among_the_folders_is_not_followed(mailbox, place, tmp_path):
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "01").write_bytes(b"x")
    (place / "log").mkdir()
    (place / "log" / "ab").symlink_to(tmp_path / "elsewhere")
    assert mailbox.list("log") == []


def test_a_file_longer_than_any_object_is_not_read(mailbox, place):
    (place / "log").mkdir()
    with (place / "log" / "a").open("wb") as file:
        file.truncate(limits.MAILBOX_OBJECT_BYTES + 1)
    with pytest.raises(MailboxDamaged, match="longer than"):
        mailbox.get("log/a")


def test_a_file_where_a_folder_belongs_is_nothing(mailbox, place):
    (place / "log").write_bytes(b"x")
    assert mailbox.list("log") == []
    with pytest.raises(NoSuchObject):
        mailbox.get("log/a")
    mailbox.delete("log/a")


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOSPC, MailboxFull),
        (errno.EDQUOT, MailboxFull),
        (errno.EROFS, MailboxReadOnly),
        (errno.EACCES, MailboxForbidden),
        (errno.EIO, MailboxUnreachable),
        (errno.ESTALE, MailboxUnreachable),
    ],
)
def test_what_the_system_says_has_a_name_and_a_remedy(number, kind):
    error = file_error(OSError(number, os.strerror(number)), "log/a")
    assert type(error) is kind
    assert os.strerror(number) in str(error)


def test_a_full_disk_leaves_nothing_and_what_was_there_stays(place):
    program = """
import resource, signal, sys
from msgsync import MailboxFull, open_mailbox
mailbox = open_mailbox(sys.argv[1])
mailbox.put("log/a", b"before")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    mailbox.put("log/a", bytes(5000))
except MailboxFull as error:
    print("full:", mailbox.get("log/a").decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, place.as_uri()], capture_output=True, text=True, check=True
    )
    assert done.stdout == "full: before\n"
    assert sorted(path.name for path in place.iterdir()) == ["log"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may everything")
def test_a_folder_that_may_not_be_written_says_so(mailbox, place):
    place.chmod(0o500)
    with pytest.raises(MailboxForbidden, match="change who may"):
        mailbox.put("log/a", b"x")


def test_folders_that_are_empty_go(mailbox, place):
    mailbox.put("log/ab/01", b"x")
    mailbox.put("log/cd/01", b"x")
    mailbox.delete("log/ab/01")
    assert sorted(path.name for path in (place / "log").iterdir()) == ["cd"]


@pytest.mark.parametrize(
    "url", ["file://", "file:///", "file://host/path", "ftp://host/path", "folder", "tcp://a:1"]
)
def test_what_names_no_folder_is_refused(url):
    with pytest.raises(InvalidValue):
        open_mailbox(url)


def test_a_path_with_zeros_is_refused():
    with pytest.raises(InvalidValue):
        FolderMailbox("/a\0b")


@pytest.mark.parametrize("given", [str, Path])
def test_a_path_in_place_of_an_address_is_refused_with_the_address(phone, tmp_path, given):
    for call in (msgsync.sync, lambda replica, place: msgsync.doctor(replica, [place])):
        with pytest.raises(InvalidValue, match=f"a folder {tmp_path.as_uri()}$"):
            call(phone, given(tmp_path))
    with pytest.raises(InvalidValue, match=r"a device is tcp://HOST:PORT, a folder file:///PATH$"):
        msgsync.sync(phone, "127.0.0.1:7700")
