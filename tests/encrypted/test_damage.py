"""Encrypted files that are damaged anywhere: said in typed errors, and repaired of what is whole."""

from __future__ import annotations

import random
import shutil

import pytest

import msgsync
from msgsync import MsgSyncError
from tests.encrypted.conftest import WORDS
from tests.encrypted.test_files import PAGE, found, traces

SEEDS = range(12)


def hurt(raw: bytes, rng: random.Random) -> bytes:
    """A file with something wrong with it."""
    kind = rng.choice(["flip", "wipe", "noise", "cut", "swap"])
    pages = [bytearray(raw[at : at + PAGE]) for at in range(0, len(raw), PAGE)]
    one, other = rng.randrange(len(pages)), rng.randrange(len(pages))
    if kind == "flip":
        pages[one][rng.randrange(PAGE)] ^= 1 << rng.randrange(8)
    elif kind == "wipe":
        pages[one] = bytearray(PAGE)
    elif kind == "noise":
        pages[one] = bytearray(rng.randbytes(PAGE))
    elif kind == "cut":
        return raw[: rng.randrange(len(raw))]
    else:
        pages[one], pages[other] = pages[other], pages[one]
    return b"".join(pages)


@pytest.fixture(scope="module")
def template(tmp_path_factory):
    """A closed replica, and what must not be seen of it."""
    from msgsync.account import filekey
    from tests.encrypted.conftest import CHEAP

    folder = tmp_path_factory.mktemp("template")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filekey, "DEAR", CHEAP)
        replica = msgsync.open(folder / "phone.db", author="ann", passphrase=WORDS, encrypted=True)
        with replica:
            family = replica.create_conversation("Family", id="family-of-ann")
            for number in range(200):
                family.send(f"Dinner at eight? {number} " * 5)
            return (
                folder / "phone.db",
                traces(replica),
                {one.text for one in family.messages(limit=1000)},
            )


@pytest.mark.parametrize("seed", SEEDS)
def test_damage_is_said_and_what_is_whole_is_saved(template, tmp_path, seed):
    source, what, texts = template
    path = tmp_path / "phone.db"
    path.write_bytes(hurt(source.read_bytes(), random.Random(seed)))
    try:
        with msgsync.open(path, passphrase=WORDS, readonly=True) as replica:
            is_well = replica.check().ok
    except MsgSyncError:
        is_well = False
    try:
        report = msgsync.repair(path, passphrase=WORDS)
    except MsgSyncError:  # the beginning is gone, or nearly all
        assert not is_well
        return
    assert report.damaged is not is_well
    assert found(tmp_path, what) == []
    with msgsync.open(path, passphrase=WORDS) as replica:
        assert replica.encrypted
        assert replica.check().ok
        left = replica.conversation("family-of-ann").messages(limit=1000)
        assert {one.text for one in left} <= texts
        assert report.messages == len(left)


def test_a_damaged_log_leaves_what_was_committed_before(template, tmp_path):
    source, _, texts = template
    path = tmp_path / "phone.db"
    shutil.copy(source, path)
    replica = msgsync.open(path, author="ann", passphrase=WORDS)
    family = replica.conversation("family-of-ann")
    for number in range(20):
        family.send(f"late {number}")
    log = path.with_name("phone.db-wal")
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    raw = bytearray(log.read_bytes())
    raw[len(raw) // 2] ^= 1
    copy.with_name("copy.db-wal").write_bytes(raw)
    replica.close()
    with msgsync.open(copy, passphrase=WORDS) as again:
        assert again.check().ok
        shown = {one.text for one in again.conversation("family-of-ann").messages(limit=1000)}
        assert texts <= shown
        assert len(shown) < len(texts) + 20


def test_a_backup_is_made_while_others_write(phone, family, tmp_path):
    for number in range(400):
        family.send(f"Dinner at eight? {number} " * 60)
    assert phone.path.stat().st_size + phone.path.with_name("phone.db-wal").stat().st_size > 1 << 20
    written = []

    def write(_progress):
        written.append(family.send("meanwhile"))

    report = phone.backup(tmp_path / "phone.backup", on_progress=write)
    assert len(written) > 2
    assert 400 <= report.messages < 400 + len(written)
    assert phone.check().ok
    with msgsync.restore(tmp_path / "phone.backup", tmp_path / "new.db", passphrase=WORDS) as again:
        assert again.status().messages == report.messages
        assert again.check().ok
