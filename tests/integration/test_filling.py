"""A new device fills itself, in processes that are killed, and from several sources at once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import pytest

import msgsync
from msgsync import FillProgress, Incoming, MemoryMailbox, Replica
from msgsync.testing import assert_converged, assert_sound
from tests.integration.test_post import COMMAND, folder, run  # noqa: F401 - a fixture

NEWEST_MS = 1_700_000_000_000
MONTH_MS = 30 * 86_400_000


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Replica]:
    """With some megabytes that nothing compresses, in forty months of five conversations."""
    with msgsync.open(tmp_path / "phone.db", author="ann", durability="relaxed") as replica:
        chance = random.Random(1)
        replica.ingest(
            Incoming(
                f"number{place}",
                "bob",
                chance.randbytes(4000).hex(),
                NEWEST_MS - month * MONTH_MS - number * 1000,
                f"{month} {number}",
            )
            for place in range(5)
            for month in range(40)
            for number in range(5)
        )
        yield replica


def progress_of(path: Path) -> FillProgress:
    with msgsync.open(path, readonly=True) as replica:
        return replica.progress


def test_a_process_that_is_killed_while_it_fills_goes_on_where_it_was(tmp_path, phone, folder):  # noqa: F811
    msgsync.sync(phone, folder)
    tablet = tmp_path / "tablet.db"
    phone.new_device(tablet, author="ann").close()
    whole = tmp_path / "whole.db"
    phone.new_device(whole, author="ann").close()
    everything = json.loads(run("sync", folder, "--json", "--replica", str(whole)).out)
    seen = [progress_of(tablet)]
    for _ in range(5):
        command = [*COMMAND, "sync", folder, "--replica", str(tablet)]
        with subprocess.Popen(command, stdout=-3, stderr=-3) as process:
            while process.poll() is None and progress_of(tablet).messages < seen[-1].messages + 50:
                time.sleep(0.002)
            process.send_signal(signal.SIGKILL)
        seen.append(progress_of(tablet))
    assert seen[0].fraction == 0
    assert seen[-1].fraction > 0.1
    rest = json.loads(run("sync", folder, "--json", "--replica", str(tablet)).out)
    seen.append(progress_of(tablet))
    fractions = [one.fraction for one in seen]
    assert fractions == sorted(fractions)
    assert seen[-1].done
    assert rest["bytes_received"] < 0.95 * everything["bytes_received"]
    with msgsync.open(tablet, author="ann") as replica:
        assert_converged(phone, replica)
        assert_sound(replica)


def test_a_device_fills_from_a_device_and_a_folder_at_once(tmp_path, phone, folder):  # noqa: F811
    msgsync.sync(phone, folder)
    objects = len([*Path(folder.removeprefix("file://")).rglob("*")])
    with (
        phone.new_device(tmp_path / "tablet.db", author="ann") as tablet,
        msgsync.Server(phone) as server,
        ThreadPoolExecutor() as pool,
    ):
        seen = [tablet.progress]
        tablet.on_progress(lambda: seen.append(tablet.progress))
        ways = [pool.submit(partial(msgsync.sync, tablet, one)) for one in (server.address, folder)]
        reports = [way.result() for way in ways]
        assert all(report.complete for report in reports)
        assert sum(report.messages_received for report in reports) == 1000
        assert_converged(phone, tablet)
        assert_sound(tablet)
        assert tablet.progress.done
        assert max(one.messages for one in seen) == 1000
        msgsync.sync(tablet, folder)
    keys = 1
    assert len([*Path(folder.removeprefix("file://")).rglob("*")]) <= objects + keys


def test_a_watcher_fills_a_device_and_an_older_page_comes_first(tmp_path, phone):
    slow = Slow()
    msgsync.sync(phone, slow)
    with phone.new_device(tmp_path / "tablet.db", author="ann") as tablet:
        slow.pause_s = 0.03
        with msgsync.Watcher(tablet, slow):
            for _ in msgsync.progress(tablet):
                if any(one.id == "number3" for one in tablet.conversations()):
                    break
            conversation = tablet.conversation("number3")
            page = conversation.messages(limit=50)
            conversation.send("while it fills")
            while page.older is not None or page.elsewhere:
                page = conversation.older(page[0].cursor, limit=50, timeout=50)
                if not page:
                    break
            for progress in msgsync.progress(tablet):
                assert progress.fraction <= 1
            assert progress.done
        msgsync.sync(tablet, slow)
        msgsync.sync(phone, slow)
        assert_converged(phone, tablet)


class Slow(MemoryMailbox):
    """A mailbox where each object takes a while, as in a bucket far away."""

    pause_s = 0.0

    def get(self, name: str) -> bytes:
        time.sleep(self.pause_s)
        return super().get(name)
