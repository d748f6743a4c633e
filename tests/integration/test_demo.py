"""The demo, as a user runs it, and what it takes for equal."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import pytest

import msgsync
from examples import device, inside, never_online, photos, two_devices

pytestmark = pytest.mark.timeout(240)  # seconds; the first test waits for the whole demo
OUTCOMES = (
    "The phone shows a code: ",
    "and the phone's person says yes",
    "both have both, in the same order",
    "in its history",
    "it is deleted on both; were it restored, it would show the edit",
    "both show one 👍 and one 🧺",
    "both show it: in doubt nothing is taken away",
    "it is gone from both for good, and the edit with it",
    "both show 1, 2, 3, 4, and with 3 the reactions of either device",
    "verified: nothing of it is left in any of the phone's",
    "the phone knows that it is erased on both",
    "documents are frozen anew",
    "it has all of it, and what was erased meanwhile is gone from it as well",
    "The tablet is stolen. The phone revokes it, and writes a message.",
)


def run_demo(
    temporary: Path, *arguments: str, act: ModuleType = two_devices
) -> subprocess.CompletedProcess[str]:
    """Run an act with ``temporary`` as the place for temporary files."""
    return subprocess.run(
        [sys.executable, "-m", act.__name__, *arguments],
        cwd=device.HOME,
        env={**os.environ, "TMPDIR": str(temporary), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


@pytest.fixture(scope="module")
def temporary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("temporary")


@pytest.fixture(scope="module")
def demo(temporary: Path) -> subprocess.CompletedProcess[str]:
    """One run on the sample."""
    return run_demo(temporary)


def test_the_demo_on_the_sample_keeps_every_promise(demo):
    assert demo.returncode == 0, demo.stdout + demo.stderr
    assert demo.stderr == ""
    assert "The phone imports 294 messages of sample.jsonl" in demo.stdout
    assert "cannot be read" not in demo.stdout
    assert [outcome for outcome in OUTCOMES if outcome not in demo.stdout] == []
    *_, equal, stolen, refused = demo.stdout.splitlines()
    assert equal.startswith("Equal to the last message: 30,")
    assert stolen.startswith("The tablet is stolen.")
    assert refused.endswith("is refused and told why, and has not got the message")


def test_the_demo_leaves_nothing_behind(demo, temporary):
    assert demo.returncode == 0
    assert list(temporary.iterdir()) == []


def test_the_killed_tablet_keeps_what_it_had_and_receives_only_the_rest(demo):
    at, total = numbers(r"killed \(SIGKILL\) at ([\d,]+) of ([\d,]+) messages", demo.stdout)
    (kept,) = numbers(r"started again and still has ([\d,]+) of them", demo.stdout)
    (received,) = numbers(r"received only the ([\d,]+) that it lacked", demo.stdout)

    assert 0 < at < total
    assert 0 < kept < inside.PARCEL_COUNT
    assert kept + received == inside.PARCEL_COUNT


def numbers(pattern: str, said: str) -> list[int]:
    """Return the numbers of the one line that ``pattern`` describes."""
    found = re.search(pattern, said)
    assert found is not None, said
    return [int(group.replace(",", "")) for group in found.groups()]


# The second act.

APART = (
    "The phone shows a code: ",
    "nothing of it is left there",
    "From now on only one of them is on at a time.",
    *OUTCOMES[2:9],
    "the phrase makes it a device of the account, with nobody there to ask",
    "filling: ",
    "came in one piece: it is not much",
)


@pytest.fixture(scope="module")
def apart(temporary: Path) -> subprocess.CompletedProcess[str]:
    """One run of the second act on the sample."""
    return run_demo(temporary, act=never_online)


def test_the_second_act_keeps_every_promise_with_only_a_folder_between(apart):
    assert apart.returncode == 0, apart.stdout + apart.stderr
    assert apart.stderr == ""
    assert "A phone imports 294 messages" in apart.stdout
    assert [outcome for outcome in APART if outcome not in apart.stdout] == []
    equal = [line for line in apart.stdout.splitlines() if line.startswith("Equal to the last")]
    assert len(equal) == 3
    assert len(set(equal)) == 1
    assert apart.stdout.splitlines()[-2:] == equal[:2]


def test_the_second_act_leaves_nothing_behind(apart, temporary):
    assert apart.returncode == 0
    assert list(temporary.iterdir()) == []


def test_in_the_second_act_too_a_difference_fails(monkeypatch, capsys):
    monkeypatch.setattr(never_online, "recover", _write_on_one)

    assert never_online.main([]) == 1
    assert "DIFFERENT: " in capsys.readouterr().out


def _write_on_one(laptop: Path, phrase: str, mailbox: str) -> None:
    """Recover, and write what no other device hears of."""
    with msgsync.recover(laptop, phrase, via=mailbox, author="Mina") as replica:
        msgsync.sync(replica, mailbox)
        replica.conversation(inside.PICNIC).send("Only here.")


# The third act.

ALBUM = (
    "It shows all messages, with names, sizes and previews",
    "the bytes come out of the folder",
    "At first nothing goes",
    "bytes go from the phone",
    "it comes back, the same to the last byte",
    "it is back on both, and the phone opens its file",
    "from the phone, the tablet and the folder",
)


def test_the_third_act_brings_every_byte_back(tmp_path):
    played = run_demo(tmp_path, act=photos)
    assert played.returncode == 0, played.stdout + played.stderr
    assert played.stderr == ""
    assert "snowstorm.png: image/png, 1,441,103 bytes, 800 x 600 pixels" in played.stdout
    assert [outcome for outcome in ALBUM if outcome not in played.stdout] == []
    assert played.stdout.splitlines()[-1].startswith("Equal to the last message: 2 ")
    assert list(tmp_path.iterdir()) == []


def test_in_the_third_act_a_byte_that_differs_fails(monkeypatch, capsys, tmp_path):
    def change(phone: never_online.Alone, album: photos.Album, files: list[Path]) -> None:
        send(phone, album, files)
        album.files["photo.jpg"] = b"something elsE"

    send = photos.send
    monkeypatch.setattr(photos, "send", change)
    (tmp_path / "photo.jpg").write_bytes(b"something else")

    assert photos.main([str(tmp_path)]) == 1
    assert "FAILED: photo.jpg came out otherwise on the tablet" in capsys.readouterr().out


def test_a_missing_file_is_a_usage_error(tmp_path):
    result = run_demo(tmp_path, str(tmp_path / "nothing.jsonl"))

    assert result.returncode == 2
    assert "nothing.jsonl is not a file" in result.stderr


# What the comparison must notice. Each is done on one of two equal replicas.

Change = Callable[[msgsync.Conversation, msgsync.Message], object]

CHANGES: dict[str, Change] = {
    "a message more": lambda talk, _: talk.send("Only here."),
    "a conversation renamed": lambda talk, _: talk.rename("Another title"),
    "a message edited": lambda talk, message: talk.edit(message.id, "Another text"),
    "a reaction": lambda talk, message: talk.react(message.id, "👀"),
    "a message deleted": lambda talk, message: talk.delete(message.id),
    "a message erased": lambda talk, message: talk.erase(message.id),
}


@pytest.fixture
def equal(tmp_path: Path) -> tuple[Path, Path, msgsync.Message]:
    """Two replicas with the same three messages, and the first of these."""
    paths = tmp_path / "phone.db", tmp_path / "tablet.db"
    with msgsync.open(paths[0], author="Mina") as phone, phone.new_device(paths[1]) as tablet:
        talk = phone.create_conversation("Talk", id="talk")
        first, *_ = [talk.send(text) for text in ("One", "Two", "Three")]
        msgsync.sync(phone, tablet)
    return *paths, first


def test_equal_replicas_are_found_equal(equal, capsys):
    phone, tablet, _ = equal

    assert device.verdict(phone, tablet) == 0
    assert "Equal to the last message: 3 in 1 conversations." in capsys.readouterr().out


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_any_difference_is_found_and_fails_the_demo(equal, change, capsys):
    phone, tablet, message = equal
    with msgsync.open(tablet, author="Mina") as replica:
        change(replica.conversation("talk"), message)

    assert device.verdict(phone, tablet) == 1
    said = capsys.readouterr().out
    assert "DIFFERENT: " in said
    assert "Equal" not in said


def test_a_conversation_on_one_device_alone_is_named(equal, capsys):
    phone, tablet, _ = equal
    with msgsync.open(phone, author="Mina") as replica:
        replica.create_conversation("Secrets", id="secrets")

    assert device.verdict(phone, tablet) == 1
    assert "DIFFERENT: secrets: only one device has it" in capsys.readouterr().out


def test_a_broken_promise_fails_the_demo(monkeypatch, capsys):
    def nothing_is_kept(phone: device.Device, tablet: device.Device) -> Iterator[str]:
        sent = phone.do("send", "On one device")
        yield "ready"
        tablet.do("delete", sent)
        yield "the tablet deletes a message"
        device.promise(
            not two_devices.on_both(phone, tablet, sent).deleted, "it is expected to stay"
        )
        yield "never said"

    monkeypatch.setattr(two_devices, "SCENES", (nothing_is_kept,))

    assert two_devices.main([]) == 1
    said = capsys.readouterr().out
    assert said.splitlines()[-1] == "FAILED: it is expected to stay"
    assert "never said" not in said
