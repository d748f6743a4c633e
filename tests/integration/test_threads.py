"""One replica in several threads, and the functions that block."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import msgsync
from msgsync import Replica

EACH = 30
START_MS = 1_706_745_000_000


def together(*verbs: Callable[[], object]) -> None:
    """Run all of them at once, each in a thread; raises what any of them raises."""
    start = threading.Barrier(len(verbs))

    def run(verb: Callable[[], object]) -> object:
        start.wait()
        return verb()

    with ThreadPoolExecutor(len(verbs)) as pool:
        for done in [pool.submit(run, verb) for verb in verbs]:
            done.result()


def test_four_threads_share_a_replica(phone):
    family = phone.create_conversation("Family", id="family")
    first = family.send("first")

    def talk(name: str) -> None:
        for number in range(EACH):
            mine = family.send(f"{name} {number}", author=name)
            family.react(mine, "👍", user=name)
            family.react(first, f"{name}", user=name)
            family.unreact(first, f"{name}", user=name)
            assert family.message(mine).reactions[0].user == name
            if number % 5 == 0:
                family.edit(mine, f"{name} {number} edited")
            if number % 7 == 0:
                family.delete(mine)
                family.restore(mine)
            assert [one for one in phone.search(f"{name} {number}") if one.id == mine.id]
            assert len(family.messages(limit=5)) >= 1
            assert phone.conversations()[0].id == "family"

    names = ["ann", "ben", "cleo", "dan"]
    together(*[lambda name=name: talk(name) for name in names])
    page = family.messages(limit=1000)
    assert len(page) == len(names) * EACH + 1
    for name in names:
        mine = [one for one in page if one.author == name and one.id != first.id]
        assert len(mine) == EACH
        assert [int(one.text.split()[1]) for one in mine] == list(range(EACH))
        assert all([each.user for each in one.reactions] == [name] for one in mine)
    assert phone.check().ok


def test_devices_sync_while_their_threads_write(phone, tmp_path):
    phone.create_conversation("Family", id="family")
    with phone.new_device(tmp_path / "tablet.db", author="ben") as tablet:
        msgsync.sync(phone, tablet)

        def write(replica: Replica) -> None:
            for number in range(EACH):
                replica.conversation("family").send(f"{replica.author} {number}")

        def meet() -> None:
            for _ in range(4):
                msgsync.sync(phone, tablet)

        together(lambda: write(phone), lambda: write(tablet), meet)
        assert msgsync.sync(phone, tablet).complete
        for replica in (phone, tablet):
            assert len(replica.conversation("family").messages(limit=1000)) == 2 * EACH
            assert replica.check().ok
        assert phone.digest == tablet.digest


def test_backups_are_made_while_threads_write_and_each_is_what_one_commit_left(phone, tmp_path):
    """Each batch is one commit; a thread's messages are numbered, so a backup has its first ones, and whole batches."""
    phone.create_conversation("Family", id="family")
    names, size, batches = ["ann", "ben"], 7, 12

    def write(name: str) -> None:
        for batch in range(batches):
            numbers = range(batch * size, (batch + 1) * size)
            phone.ingest(
                [
                    msgsync.Incoming("family", name, str(n), START_MS + n, external_id=f"{name}{n}")
                    for n in numbers
                ]
            )

    backups = [tmp_path / f"{number}.backup" for number in range(5)]
    together(
        *[lambda name=name: write(name) for name in names],
        lambda: [phone.backup(path) for path in backups],
    )
    before = 0
    for path in backups:
        with msgsync.restore(path, path.with_suffix(".db")) as restored:
            here = restored.conversation("family").messages(limit=1000)
            for name in names:
                mine = [int(one.text) for one in here if one.author == name]
                assert mine == list(range(len(mine)))
                assert len(mine) % size == 0
            assert len(here) >= before
            before = len(here)
            msgsync.sync(restored, phone)
            assert restored.digest == phone.digest


def test_closing_a_replica_while_it_is_backed_up_harms_neither(phone, tmp_path):
    family = phone.create_conversation("Family", id="family")
    family.send("hello")
    digest = phone.digest.hex()
    report = phone.backup(tmp_path / "it.backup", on_progress=lambda _: phone.close())
    assert report.digest == digest
    with msgsync.open(phone.path) as again:
        assert again.digest.hex() == digest
        assert again.check().ok


def test_closing_in_one_thread_is_an_error_in_the_others_and_nothing_worse(phone):
    family = phone.create_conversation("Family", id="family")
    sent = []
    closed = threading.Event()

    def write() -> None:
        try:
            while True:
                sent.append(family.send("hello").id)
                if len(sent) == 5:
                    closed.set()
        except msgsync.ReplicaClosed:
            pass

    def close() -> None:
        closed.wait()
        phone.close()

    together(write, close)
    with msgsync.open(phone.path) as again:
        here = {one.id for one in again.conversation("family").messages(limit=10_000)}
        assert here == set(sent)
        assert again.check().ok
