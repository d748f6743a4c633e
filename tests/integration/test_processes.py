"""Replicas in processes that hold them, and that are killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import msgsync
from msgsync import ReplicaLocked

HOLD = """
import sys, msgsync
with msgsync.open(sys.argv[1]) as replica:
    print("open", flush=True)
    sys.stdin.read()
"""
SEND = """
import sys, msgsync
replica = msgsync.open(sys.argv[1], author="ann", durability=sys.argv[2])
family = replica.conversation("family")
number = 0
while True:
    sent = family.send(f"message {number}")
    if number % 3 == 0:
        family.edit(sent, f"message {number} edited")
    print(sent.id, flush=True)
    number += 1
"""
ERASE = """
import sys, msgsync
replica = msgsync.open(sys.argv[1], author="ann")
family = replica.conversation("family")
for message in list(family.messages(limit=1000)):
    family.erase(message)
    print(message.id, flush=True)
"""


FOLLOW = """
import sys, msgsync
with msgsync.open(sys.argv[1], readonly=True) as replica:
    cursor = replica.cursor()
    print("following", flush=True)
    for line in sys.stdin:
        page = replica.changes(after=cursor)
        cursor = page.cursor
        print(*[f"{one.kind}:{one.message.text if one.message else ''}" for one in page], flush=True)
"""


BACK_UP = """
import sys, msgsync
with msgsync.open(sys.argv[1], readonly=True) as replica:
    def told(progress):
        print("told", flush=True)
        sys.stdin.readline()
    replica.backup(sys.argv[2], on_progress=told)
"""


@contextmanager
def process(program: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        try:
            yield child
        finally:
            child.kill()


def lines_until_killed(child: subprocess.Popen[str], *, after: int) -> list[str]:
    """Kill the process after it printed so many lines; return all that it printed."""
    assert child.stdout is not None
    printed = [child.stdout.readline() for _ in range(after)]
    os.kill(child.pid, signal.SIGKILL)
    printed += child.stdout.readlines()
    assert child.wait() == -signal.SIGKILL
    return [line.strip() for line in printed if line.endswith("\n")]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with msgsync.open(tmp_path / "phone.db", author="ann") as replica:
        replica.create_conversation("Family", id="family")
    return tmp_path / "phone.db"


def test_a_writer_in_another_process_is_named_and_its_death_frees_the_replica(path):
    with process(HOLD, path) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "open\n"
        with pytest.raises(ReplicaLocked, match=rf"process {child.pid}\b"):
            msgsync.open(path)
        with msgsync.open(path, readonly=True) as reader:
            assert reader.conversations()[0].id == "family"
        os.kill(child.pid, signal.SIGKILL)
        child.wait()
        with msgsync.open(path) as replica:
            assert replica.check().ok


@pytest.mark.parametrize("durability", ["full", "relaxed"])
@pytest.mark.parametrize("after", [1, 40])
def test_a_message_whose_send_returned_survives_a_kill(path, after, durability):
    """Beyond 40 messages of two updates each, logs fold and pages move: the kill comes in the middle of things."""
    acknowledged: list[str] = []
    for _ in range(2):
        with process(SEND, path, durability) as child:
            acknowledged += lines_until_killed(child, after=after)
        with msgsync.open(path) as replica:
            here = {
                str(one.id): one for one in replica.conversation("family").messages(limit=100_000)
            }
            assert set(acknowledged) <= set(here)
            assert len(here) <= len(acknowledged) + 2
            for (
                one
            ) in acknowledged:  # after the edit; the kill may come between sending and editing
                number = int(here[one].text.split()[1])
                assert here[one].text.endswith("edited") == (number % 3 == 0)
            assert replica.check().ok


def test_a_message_whose_erasure_returned_stays_erased_after_a_kill(path):
    with msgsync.open(path, author="ann") as replica:
        for number in range(60):
            replica.conversation("family").send(f"message {number}")
    with process(ERASE, path) as child:
        erased = lines_until_killed(child, after=10)
    with msgsync.open(path) as replica:
        family = replica.conversation("family")
        for one in erased:
            with pytest.raises(msgsync.ErasedMessage):
                family.message(one)
        assert replica.check().ok


def test_a_killed_sender_and_its_peer_agree_afterwards(path, tmp_path):
    with msgsync.open(path) as phone, phone.new_device(tmp_path / "tablet.db") as tablet:
        msgsync.sync(phone, tablet)
    with process(SEND, path, "full") as child:
        acknowledged = lines_until_killed(child, after=20)
    with msgsync.open(path) as phone, msgsync.open(tmp_path / "tablet.db") as tablet:
        assert msgsync.sync(tablet, phone).complete
        assert phone.digest == tablet.digest
        for one in acknowledged:
            assert tablet.message(one).conversation == "family"


def test_a_reader_in_another_process_follows_the_writer(path):
    with process(FOLLOW, path) as child, msgsync.open(path, author="ann") as phone:
        assert child.stdin is not None
        assert child.stdout is not None
        assert child.stdout.readline() == "following\n"

        def ask() -> list[str]:
            print(file=child.stdin, flush=True)
            return child.stdout.readline().split()  # type: ignore[union-attr]

        family = phone.conversation("family")
        assert ask() == []
        sent = family.send("one")
        assert ask() == ["message:one", "conversation:"]
        assert ask() == []
        family.edit(sent, "two")
        family.send("three")
        assert ask() == ["message:two", "message:three", "conversation:"]
        family.erase(sent)
        assert ask() == ["erased:", "conversation:"]


def test_a_backup_is_made_beside_a_writer_in_another_process(path, tmp_path):
    with process(SEND, path, "full") as child:
        assert child.stdout is not None
        counts = []
        for number in range(3):
            acknowledged = child.stdout.readline().strip()
            with msgsync.open(path, readonly=True) as replica:
                replica.backup(tmp_path / f"{number}.backup")
            with msgsync.restore(
                tmp_path / f"{number}.backup", tmp_path / f"{number}.db"
            ) as restored:
                family = restored.conversation("family")
                assert str(family.message(acknowledged).id) == acknowledged
                counts.append(len(family.messages(limit=100_000)))
        assert counts == sorted(counts)


def test_a_backup_that_is_killed_has_not_its_name_and_the_next_one_has(path, tmp_path):
    backup = tmp_path / "kept" / "it.backup"
    backup.parent.mkdir()
    with process(BACK_UP, path, backup) as child:
        lines_until_killed(child, after=1)
    left = [*backup.parent.iterdir()]
    assert backup not in left
    assert sorted(one.suffix for one in left) == [".lock", ".part"], "it was killed in the middle"
    with msgsync.open(path, author="ann") as replica:
        replica.conversation("family").send("the replica does not notice")
        replica.backup(backup)
    assert [*backup.parent.iterdir()] == [backup], "the next one clears up"
    msgsync.restore(backup, tmp_path / "new.db").close()
