"""Erasing in an encrypted file: nothing is left of it for whoever has the passphrase either."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import msgsync
from msgsync.account.filekey import FileKey
from msgsync.store.encryption import salt_of
from tests.encrypted.conftest import WORDS
from tests.encrypted.test_files import PAGE

SECRET = "the place where the treasure lies"


def decrypted(path: Path, words: str = WORDS) -> bytes:
    """What SQLite would read of a file."""
    key = FileKey.opened(salt_of(path), words, os.urandom)
    raw = path.read_bytes()
    pages = [
        key.page(number, raw[(number - 1) * PAGE : number * PAGE])
        for number in range(1, len(raw) // PAGE + 1)
    ]
    return b"".join(page or b"" for page in pages)


def fill(family: msgsync.Conversation, count: int = 300) -> list[msgsync.Message]:
    """Messages enough for pages to be split, every third of them to be erased."""
    sent = [
        family.send(f"{SECRET} {number} " * 8 if number % 3 == 0 else f"hello {number} " * 20)
        for number in range(count)
    ]
    return sent[::3]


def test_nothing_is_left_in_unused_parts_of_pages(phone, family):
    secrets = fill(family)
    family.erase(*[one.id for one in secrets])
    assert not phone.status().erasure_pending
    assert SECRET.encode() not in decrypted(phone.path)
    report = phone.verify_erased(*[one.id for one in secrets], text=SECRET)
    assert report.ok, report.found
    assert report.pages > 50
    assert phone.check().ok


def test_what_is_left_in_a_page_is_found(phone, family):
    [first, *_] = fill(family)
    family.erase(first.id)
    assert phone.verify_erased(first.id).ok
    key = phone.store().database.cipher
    raw = bytearray(phone.path.read_bytes())
    page = key.page(3, bytes(raw[2 * PAGE : 3 * PAGE]))
    at = page.index(bytes(40))  # nothing uses it
    raw[2 * PAGE : 3 * PAGE] = key.sealed(3, page[:at] + SECRET.encode() + page[at + len(SECRET) :])
    phone.path.write_bytes(raw)
    assert any("page 3" in one for one in phone.verify_erased(first.id).found)


def test_while_another_connection_has_it_open_it_is_pending_and_done_afterwards(phone, family):
    with msgsync.open(phone.path, readonly=True, passphrase=WORDS) as reader:
        secrets = fill(family)
        family.erase(*[one.id for one in secrets])
        assert phone.status().erasure_pending
        assert phone.verify_erased(secrets[0].id).pending
        assert reader.conversation("family-of-ann").messages(limit=3)
    family.send("and it goes on")
    assert not phone.status().erasure_pending
    assert SECRET.encode() not in decrypted(phone.path)
    assert phone.verify_erased(*[one.id for one in secrets], text=SECRET).ok
    assert phone.check().ok


def test_what_was_pending_is_done_by_the_next_opening(phone, family, open_replica):
    with msgsync.open(phone.path, readonly=True, passphrase=WORDS):
        secrets = fill(family)
        family.erase(*[one.id for one in secrets])
        phone.close()
    again = open_replica()
    assert again.status().erasure_pending
    again.conversation("family-of-ann").send("and it goes on")
    assert not again.status().erasure_pending
    assert SECRET.encode() not in decrypted(phone.path)


def test_a_reader_that_comes_and_goes_makes_nothing_wait_for_long(phone, family):
    with msgsync.open(phone.path, readonly=True, passphrase=WORDS):
        phone.store().database.truncate_log()
        family.send("hello")
        phone.store().database.truncate_log()
    secret = family.send(SECRET)
    family.erase(secret.id)
    assert not phone.status().erasure_pending
    assert phone.verify_erased(secret.id, text=SECRET).ok


def test_copies_have_nothing_left_either(phone, family, tmp_path):
    secrets = fill(family)
    family.erase(*[one.id for one in secrets])
    phone.backup(tmp_path / "phone.backup")
    assert SECRET.encode() not in decrypted(tmp_path / "phone.backup")
    phone.set_passphrase("another")
    assert SECRET.encode() not in decrypted(phone.path, "another")
    assert phone.verify_erased(secrets[0].id, text=SECRET).ok


def test_erasing_in_what_was_a_plain_backup_leaves_nothing(open_replica, tmp_path):
    plain = open_replica("plain.db", passphrase=None, encrypted=False)
    secrets = fill(plain.create_conversation("Family", id="family-of-ann"))
    plain.backup(tmp_path / "plain.backup")
    with msgsync.restore(
        tmp_path / "plain.backup",
        tmp_path / "phone.db",
        passphrase=WORDS,
        encrypted=True,
        author="ann",
    ) as phone:
        phone.conversation("family-of-ann").erase(*[one.id for one in secrets])
        assert SECRET.encode() not in decrypted(phone.path)
        assert phone.verify_erased(*[one.id for one in secrets], text=SECRET).ok


READ = """
import sys
import msgsync
from msgsync.account import filekey
with msgsync.open(sys.argv[1], readonly=True, passphrase=sys.argv[2]) as reader:
    print("open", flush=True)
    for line in sys.stdin:
        assert reader.check().ok
    print(reader.status().messages, flush=True)
"""


@pytest.mark.parametrize("rounds", [3])
def test_another_process_reads_while_pages_are_rewritten(phone, family, rounds):
    process = subprocess.Popen(
        [sys.executable, "-c", READ, str(phone.path), WORDS],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    with process:
        assert process.stdout.readline() == "open\n"
        for _ in range(rounds):
            process.stdin.write("look\n")
            process.stdin.flush()
            secrets = fill(family, 30)
            family.erase(*[one.id for one in secrets])
        process.stdin.close()
        assert int(process.stdout.readline()) == phone.status().messages
    assert process.returncode == 0
    family.send("and it goes on")
    assert not phone.status().erasure_pending
    assert phone.verify_erased(text=None).ok
