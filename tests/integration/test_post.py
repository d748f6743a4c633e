"""Devices that never run at the same time, each a process of its own, with a folder or a bucket between them."""

from __future__ import annotations

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import msgsync
from msgsync import Completed, Disconnected, Event, MemoryMailbox, aio, open_mailbox
from msgsync.testing import assert_converged
from tests.integration import commandline
from tests.integration.bucket import Bucket, Fault, bucket_behind
from tests.integration.commandline import Ended
from tests.integration.test_buckets import HASTE

COMMAND = (sys.executable, "-m", "msgsync.cli")
FAST = aio.Timing(poll_s=0.05, retry_first_s=0.05)


def run(*arguments: str, check: bool = True, words: str = "", **environment: str) -> Ended:
    """Run a command to its end; with ``check``, it has to succeed."""
    ended = commandline.run(arguments, environment={**os.environ, **environment}, text=words)
    assert ended.code == 0 or not check, ended.err
    return ended


@pytest.fixture
def folder(tmp_path: Path) -> str:
    (tmp_path / "box").mkdir()
    return (tmp_path / "box").as_uri()


def test_two_processes_that_never_run_together_come_to_show_the_same(tmp_path, folder):
    phone, tablet = str(tmp_path / "phone.db"), str(tmp_path / "tablet.db")
    with msgsync.open(phone, author="ann") as replica:
        family = replica.create_conversation("Family", id="family")
        for number in range(1000):
            family.send(f"message {number}")
        replica.new_device(tablet).close()
    out = run("sync", folder, "--replica", phone).out
    assert out.startswith("Synced: 0 messages received")
    report = json.loads(run("sync", folder, "--replica", tablet, "--json").out)
    assert (report["messages_received"], report["complete"]) == (1000, True)
    with msgsync.open(tablet, author="ann") as replica:
        replica.conversation("family").send("from the tablet")
    run("sync", folder, "--replica", tablet)
    run("sync", folder, "--replica", phone)
    with msgsync.open(phone) as one, msgsync.open(tablet) as other:
        assert_converged(one, other)


def test_a_new_device_recovers_from_the_folder_with_the_phrase_alone(tmp_path, folder):
    phone, laptop = str(tmp_path / "phone.db"), str(tmp_path / "laptop.db")
    run("init", "--replica", phone, "--name", "Phone")
    phrase = json.loads(run("recovery", "--replica", phone, "--json").out)["phrase"]
    run("send", "family", "Dinner at eight?", "--replica", phone, "--author", "ann")
    run("sync", "--replica", phone, folder)
    Path(phone).unlink()

    command = ["recover", "--replica", laptop, "--via", folder, "--name", "Laptop"]
    refused = run(*command, check=False, words="zoo")
    assert refused.code == msgsync.WrongPhrase.exit_code
    made = run(*command, words=phrase)
    assert "1 message received" in made.out
    assert "msgsync recovery --replace" in made.out
    assert "Dinner at eight?" in run("messages", "family", "--replica", laptop).out
    run("revoke", "Phone", "--yes", "--replica", laptop)
    run("recovery", "--replace", "--yes", "--replica", laptop)
    run("sync", "--replica", laptop, folder)

    again = [*command[:2], str(tmp_path / "again.db"), *command[3:]]
    old = run(*again, "--json", check=False, words=phrase)
    assert old.code == msgsync.WrongPhrase.exit_code
    assert "was replaced" in json.loads(old.err)["message"]
    new = json.loads(run("recovery", "--replica", laptop, "--json").out)["phrase"]
    report = json.loads(run(*again, "--json", words=new).out)["report"]
    assert (report["messages_received"], report["complete"]) == (1, True)


def test_a_process_that_is_killed_in_a_round_goes_on_in_the_next(tmp_path, folder):
    phone, tablet = str(tmp_path / "phone.db"), str(tmp_path / "tablet.db")
    with msgsync.open(phone, author="ann") as replica:
        for number in range(60):
            conversation = replica.create_conversation(f"number {number}")
            conversation.send(f"{number} " + os.urandom(20_000).hex())
        replica.new_device(tablet).close()
    box = Path(folder.removeprefix("file://"))
    for path in (phone, tablet) * 3:
        with subprocess.Popen(
            [*COMMAND, "sync", folder, "--replica", path], stdout=-3, stderr=-3
        ) as process:
            before = len([*box.rglob("*")])
            while process.poll() is None and len([*box.rglob("*")]) == before and path == phone:
                time.sleep(0.005)  # until it has put something
            process.send_signal(signal.SIGKILL)
    for path in (phone, tablet, phone, tablet):
        run("sync", folder, "--replica", path)
    with msgsync.open(phone) as one, msgsync.open(tablet) as other:
        assert_converged(one, other)


@pytest.mark.parametrize(
    ("address", "words", "exit_code"),
    [
        ("file:///not/there", "plug in or mount", 3),
        ("file://", "names no folder", 2),
        ("s3://bucket/x", "is the network there", 3),
    ],
)
def test_a_mailbox_that_cannot_be_used_is_named(tmp_path, address, words, exit_code):
    msgsync.open(tmp_path / "phone.db").close()
    done = run(
        *("sync", address, "--replica", str(tmp_path / "phone.db")),
        check=False,
        AWS_ENDPOINT_URL="http://127.0.0.1:1",
        AWS_ALLOW_HTTP="true",
        AWS_ACCESS_KEY_ID="a",
        AWS_SECRET_ACCESS_KEY="b",
        AWS_REGION="us-east-1",
    )
    assert (done.code, words in done.err) == (exit_code, True), done.err


@pytest.fixture
def bucket(server: str) -> Iterator[Bucket]:
    with bucket_behind(server, "post") as found:
        yield found


def test_a_bucket_that_fails_now_and_then_does_the_same(phone, tablet, bucket):
    options: dict[str, Any] = {"endpoint": bucket.endpoint, **HASTE}
    box = open_mailbox("s3://post/a/folder", **options)
    family = phone.create_conversation("Family", id="family")
    family.send("Dinner at eight?")
    for code in ("SlowDown", "InternalError", "SlowDown"):
        bucket.faults.extend([Fault(503, code), Fault(), Fault(500, code), Fault()])
    assert msgsync.sync(phone, box).complete
    bucket.faults.extend([Fault(cut_bytes=100)] * 2)
    assert msgsync.sync(tablet, box).complete
    assert_converged(phone, tablet)


def test_two_devices_pair_by_a_bucket_and_a_third_recovers_from_it(phone, bucket, tmp_path):
    options: dict[str, Any] = {"endpoint": bucket.endpoint, **HASTE}
    box = open_mailbox("s3://post/another/folder", **options)
    phone.create_conversation("Family", id="family").send("Dinner at eight?")
    codes: queue.Queue[msgsync.Invited] = queue.Queue()
    inviting = threading.Thread(
        target=phone.invite,
        kwargs={"via": box, "on_code": codes.put, "on_request": lambda _request: True}
        | {"scanned": True},
    )
    inviting.start()
    shown = codes.get(timeout=30)
    bucket.faults.extend([Fault(), Fault(503, "SlowDown"), Fault(), Fault(500, "InternalError")])
    with msgsync.join(tmp_path / "tablet.db", shown.code, box, author="ann") as tablet:
        inviting.join(30)
        assert box.list("pairing") == []
        for replica in (phone, tablet):
            assert msgsync.sync(replica, box).complete
        assert_converged(phone, tablet)
    phrase = phone.recovery_phrase()
    assert phrase is not None
    with msgsync.recover(tmp_path / "laptop.db", phrase, via=box) as laptop:
        assert msgsync.sync(laptop, box).messages_received == 1


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, "it did not come to that"
        time.sleep(0.01)


def test_devices_that_watch_a_folder_get_what_others_leave_there(phone, tablet, folder):
    family = phone.create_conversation("Family", id="family")
    with (
        msgsync.Watcher(phone, folder, timing=FAST),
        msgsync.Watcher(tablet, folder, timing=FAST),
    ):
        family.send("Hello")
        until(lambda: tablet.digest == phone.digest)
        tablet.conversation("family").send("Hi")
        until(lambda: tablet.digest == phone.digest and len(list(family.messages())) == 2)


def test_a_folder_that_is_watched_is_looked_into_at_once(phone, tablet, folder):
    """Long before anybody would look by himself."""
    pytest.importorskip("watchfiles")
    rarely = aio.Timing(poll_s=3_600)
    family = phone.create_conversation("Family", id="family")
    msgsync.sync(phone, folder)
    with msgsync.Watcher(tablet, folder, timing=rarely):
        until(lambda: tablet.digest == phone.digest)
        family.send("Hello")
        msgsync.sync(phone, folder)
        until(lambda: tablet.digest == phone.digest)


def test_who_watches_a_mailbox_that_fails_is_told_and_goes_on(phone, tmp_path):
    events: list[Event] = []
    box = open_mailbox((tmp_path / "stick").as_uri())
    phone.create_conversation("Family")
    with msgsync.Watcher(phone, box.address, on_event=events.append, timing=FAST):
        until(lambda: any(isinstance(one, Disconnected) for one in [*events]))
        (tmp_path / "stick").mkdir()
        until(lambda: any(isinstance(one, Completed) for one in [*events]))
    [first, *_] = events
    assert isinstance(first, Disconnected)
    assert "plug in or mount" in first.reason
    assert len(box.list("log")) == 1


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_on_either_event_loop(phone, tablet, backend):
    box = MemoryMailbox()
    phone.create_conversation("Family").send("Hello")
    events: list[tuple[Event, int]] = []

    async def both() -> None:
        await aio.sync(phone, box)
        await aio.sync(
            tablet, box, on_event=lambda one: events.append((one, threading.get_ident()))
        )

    anyio.run(both, backend=backend)
    assert_converged(phone, tablet)
    assert isinstance(events[-1][0], Completed)
    assert {thread for _, thread in events} == {threading.get_ident()}


def test_what_on_event_raises_ends_the_round_and_what_was_read_stays(phone, tablet):
    box = MemoryMailbox()
    phone.create_conversation("Family").send("Hello")
    msgsync.sync(phone, box)

    def raising(_event: Event) -> None:
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        msgsync.sync(tablet, box, on_event=raising)
    assert len(tablet.conversations()) == 1
    assert msgsync.sync(tablet, box).complete
