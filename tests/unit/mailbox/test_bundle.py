"""One file as a mailbox, and what becomes of it on the way."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

from msgsync import (
    InvalidValue,
    Mailbox,
    MailboxDamaged,
    MailboxUnreachable,
    NoSuchObject,
    Replica,
    limits,
    open_mailbox,
    sync,
)
from msgsync.mailbox.bundle import BundleMailbox
from msgsync.testing import assert_converged, check_mailbox


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "carried.bundle"


@pytest.fixture
def mailbox(path: Path) -> Mailbox:
    return BundleMailbox(path)


def test_it_passes_the_acceptance_suite(path):
    address = BundleMailbox(path).address
    assert address == f"bundle://{path}"
    check_mailbox(lambda: open_mailbox(address))


def test_it_is_made_with_the_first_object(mailbox, path):
    assert mailbox.list("log") == []
    with pytest.raises(NoSuchObject):
        mailbox.get("log/a")
    mailbox.delete("log/a")
    assert not path.exists()
    mailbox.put("log/a", b"x")
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_folder_that_is_not_there_is_not_made(tmp_path):
    mailbox = BundleMailbox(tmp_path / "stick" / "carried.bundle")
    for verb in (lambda: mailbox.put("log/a", b"x"), lambda: mailbox.list("log")):
        with pytest.raises(MailboxUnreachable, match="plug in or mount"):
            verb()
    assert not (tmp_path / "stick").exists()


def test_a_file_that_ends_early_has_what_is_whole_and_goes_on_from_there(mailbox, path):
    mailbox.put("log/a", b"one")
    mailbox.put("log/b", b"two" * 100)
    whole = path.read_bytes()
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        fresh = BundleMailbox(path)
        names = fresh.list("log")
        assert names in ([], ["log/a"])
        fresh.put("log/c", b"three")
        again = BundleMailbox(path)
        assert again.list("log") == [*names, "log/c"]
        assert all(again.get(name) in (b"one", b"three") for name in again.list("log"))


def test_a_flipped_byte_is_noticed_wherever_it_is(mailbox, path):
    mailbox.put("log/a", b"one")
    mailbox.put("log/b", b"two")
    whole = path.read_bytes()
    for place in range(len(whole)):
        path.write_bytes(whole[:place] + bytes((whole[place] ^ 1,)) + whole[place + 1 :])
        with pytest.raises(MailboxDamaged):
            read_all(BundleMailbox(path))


def read_all(mailbox: Mailbox) -> None:
    """Every object that a listing names, and that was put."""
    names = mailbox.list("log")
    for name in names:
        mailbox.get(name)
    if names != ["log/a", "log/b"]:
        raise MailboxDamaged("a name is not what it was")


def test_another_file_is_left_alone(path):
    path.write_bytes(b"a letter to a friend")
    with pytest.raises(MailboxDamaged, match="no bundle"):
        BundleMailbox(path).put("log/a", b"x")
    assert path.read_bytes() == b"a letter to a friend"


def test_a_link_or_a_folder_is_no_bundle(path, tmp_path):
    path.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(MailboxDamaged, match="not a file"):
        BundleMailbox(path).put("log/a", b"x")
    with pytest.raises(MailboxDamaged, match="not a file"):
        BundleMailbox(tmp_path).put("log/a", b"x")


def test_what_was_replaced_does_not_stay_in_the_file_for_ever(mailbox, path):
    for number in range(40):
        mailbox.put("log/a", bytes((number,)) * 200_000)
        mailbox.put(f"log/b{number}", b"x")
    assert path.stat().st_size < 3 * limits.MIB
    assert mailbox.get("log/a") == bytes((39,)) * 200_000
    assert len(BundleMailbox(path).list("log")) == 41
    assert [*path.parent.iterdir()] == [path]


def test_a_damaged_object_is_not_made_whole_by_writing_the_file_anew(mailbox, path):
    mailbox.put("log/hurt", b"as it was")
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b"as it was", b"as it is."))
    for number in range(40):
        mailbox.put("log/a", bytes((number,)) * 200_000)
    with pytest.raises(MailboxDamaged, match="not as it was put"):
        mailbox.get("log/hurt")


def test_processes_take_turns(path):
    program = """
import sys
from msgsync import open_mailbox
box = open_mailbox(sys.argv[1])
for number in range(60):
    box.put(f"log/{sys.argv[2]}/{number}", sys.argv[2].encode() * 30_000)
    if number % 2:
        box.delete(f"log/{sys.argv[2]}/{number}")
"""
    address = BundleMailbox(path).address
    started = [
        subprocess.Popen([sys.executable, "-c", program, address, name]) for name in ("a", "b", "c")
    ]
    assert [one.wait() for one in started] == [0, 0, 0]
    box = open_mailbox(address)
    assert len(box.list("log")) == 90
    for name in box.list("log"):
        assert set(box.get(name).decode()) == {name.split("/")[1]}


def test_a_full_disk_leaves_what_was_there(path):
    program = """
import resource, signal, sys
from msgsync import MailboxFull, open_mailbox
mailbox = open_mailbox(sys.argv[1])
mailbox.put("log/a", b"before")
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
try:
    mailbox.put("log/b", bytes(5000))
except MailboxFull:
    print(mailbox.list("log"), mailbox.get("log/a").decode())
"""
    done = subprocess.run(
        [sys.executable, "-c", program, BundleMailbox(path).address],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "['log/a'] before\n"


def test_devices_sync_by_it(phone: Replica, tablet: Replica, family, path):
    family.send("Hello")
    assert sync(phone, BundleMailbox(path)).complete
    moved = path.with_name("moved.bundle")
    path.rename(moved)
    assert sync(tablet, f"bundle://{moved}").complete
    assert_converged(phone, tablet)


def test_the_bytes_are_those_of_the_specification(mailbox, path):
    mailbox.put("log/a", b"one")
    head = b"\1\5" + (3).to_bytes(4, "big")
    check = hashlib.sha256(head).digest()[:16]
    body = b"log/aone" + hashlib.sha256(b"log/aone").digest()
    assert path.read_bytes() == b"msgsync-bundle-1" + head + check + body


@pytest.mark.parametrize("url", ["bundle://", "bundle:///", "bundle://host/path"])
def test_what_names_no_file_is_refused(url):
    with pytest.raises(InvalidValue):
        open_mailbox(url)
