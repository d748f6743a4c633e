"""The page on reading a mailbox with the phrase: its program reads one that replicas have made, without msgsync."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import mnemonic
import pytest

import msgsync
from msgsync.account.keyobject import key_object_name
from msgsync.account.recovery import RecoveryPhrase
from tests.docs.page import DOCS, blocks

PAGE = DOCS / "spec" / "mailbox.md"
SHOWN = "".join(block.text for block in blocks(PAGE) if block.language == "text")
ALONE = "import sys\nsys.modules['msgsync'] = None  # whoever imports it fails\n"


def read(folder: Path, box: Path, phrase: str) -> subprocess.CompletedProcess[str]:
    """Run the page's program in a process of its own."""
    words = Path(mnemonic.__file__).parent / "wordlist" / "english.txt"
    (folder / "english.txt").write_bytes(words.read_bytes())
    given = f"MAILBOX, PHRASE = {json.dumps(str(box))}, {json.dumps(phrase)}\n"
    program = "".join(block.text for block in blocks(PAGE) if block.language == "python")
    return subprocess.run(
        [sys.executable, "-c", ALONE + given + program],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def box(tmp_path: Path) -> Path:
    (tmp_path / "box").mkdir()
    return tmp_path / "box"


@pytest.fixture
def phrase(tmp_path: Path, box: Path) -> str:
    """Of an account of two devices that said a few things by a mailbox, in every form there is."""
    with (
        msgsync.open(tmp_path / "phone.db", author="ann") as phone,
        phone.new_device(tmp_path / "tablet.db", author="ben") as tablet,
    ):
        words = phone.recovery_phrase()
        assert words is not None
        family = phone.create_conversation("Family", id="family")
        dinner = family.send("Dinner at eight?")
        secret = family.send("The door opens with 4711.")
        wrong, back = family.send("sorry, wrong window"), None
        msgsync.sync(phone, box.as_uri())
        msgsync.sync(tablet, box.as_uri())
        phone.rotate()
        there = tablet.conversation("family")
        there.send("Yes!")
        family.edit(dinner.id, "Dinner at nine?")
        family.delete(wrong.id)
        family.erase(secret.id)
        msgsync.sync(phone, box.as_uri())
        msgsync.sync(tablet, box.as_uri())
        msgsync.sync(phone, box.as_uri())
        recipe = msgsync.Attach(b"Cucumber, dill, vinegar.", name="salad.txt")
        back = family.send("Bring the salad.", attachments=[recipe])
        family.delete(back.id)
        family.restore(back.id)
        phone.compact()
        phone.rotate()  # of the first epoch nothing is left
        msgsync.sync(phone, box.as_uri())
    return words


def test_the_page_and_the_phrase_read_what_the_devices_left(tmp_path, box, phrase):
    done = read(tmp_path, box, phrase)
    assert done.stderr == ""
    assert done.stdout == SHOWN


def test_another_phrase_reads_nothing(tmp_path, box, phrase):
    other = " ".join(RecoveryPhrase(bytes(32)).words)
    done = read(tmp_path, box, other)
    assert done.returncode == 1
    assert "FileNotFoundError" in done.stderr
    assert "a word is wrong" in read(tmp_path, box, "zoo " * 24).stderr


def test_a_key_object_of_somebody_else_is_not_believed(tmp_path, box, phrase):
    name = key_object_name(RecoveryPhrase.parse(phrase).keys().public)
    place = box / name
    raw = place.read_bytes()
    place.write_bytes(raw[:-1] + bytes((raw[-1] ^ 1,)))
    done = read(tmp_path, box, phrase)
    assert done.returncode == 1
    assert "InvalidTag" in done.stderr
