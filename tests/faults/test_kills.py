"""Real processes, killed with SIGKILL at random moments: what they acknowledged is there, and the work goes on.

``--kills`` says how many, shared by the tests of this file; `make kills` takes 300.
"""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

import msgsync
from msgsync import Replica
from msgsync.store.compaction import Compaction
from tests.faults import programs
from tests.faults.ledger import Ledger, shown
from tests.faults.victim import Moments, Victim
from tests.unit import files
from tests.unit.replica.test_attachments import is_tidy

pytestmark = pytest.mark.timeout(3600)

KINDS = 5
LINES = 6000
BATCH = 250
"""Lines a transaction, and of one history: 24 transactions."""


@pytest.fixture
def kills(request) -> int:
    """How many processes each test has to kill."""
    whole: int = request.config.getoption("--kills")
    return -(-whole // KINDS)


@pytest.fixture
def draw(record_property) -> random.Random:
    seed = random.randrange(2**32)
    record_property("seed", seed)
    return random.Random(seed)


def settle(ledger: Ledger, replica: Replica, words: list[list[object]]) -> Ledger:
    """What was acknowledged is there, and what was not is there whole or not at all. Return which."""
    other = ledger.add(words)
    found = shown(replica, "family", "irc")
    if found != ledger.messages:
        assert other is not None
        assert found == other.messages
        ledger = other
    assert replica.check().problems == ()
    return ledger


def traces(ledger: Ledger) -> list[bytes]:
    return [text.split(">")[0].encode() + b">" for text in ledger.erased]


def test_a_process_killed_while_it_writes_loses_no_verb_that_returned(tmp_path, kills, draw):
    path, ledger = tmp_path / "0.db", Ledger()
    verbs = within = 0
    for number in range(kills):
        if number % 25 == 0:
            path, ledger = tmp_path / f"{number}.db", Ledger()
            with msgsync.open(path, author="ann") as replica:
                replica.create_conversation("Family", id="family")
        victim = Victim(programs.write, path, number)
        assert victim.kill_within(draw.uniform(0, 0.4)), "it writes for ever"
        words = victim.words()
        verbs += len(words) // 2
        within += len(words) % 2
        with msgsync.open(path, author="ann") as replica:
            ledger = settle(ledger, replica, words)
        assert files.remains(path, *traces(ledger)) == []
    print(f"{kills} kills after {verbs} verbs, {within} within one")


def test_a_process_killed_while_it_attaches_keeps_what_was_sent_and_nothing_else(
    tmp_path, kills, draw
):
    """Of what was only begun the message is there with its files, or nothing of it; nothing stays in the folder."""
    path = tmp_path / "0.db"
    with msgsync.open(path, author="ann") as replica:
        replica.create_conversation("Family", id="family")
    acknowledged: set[str] = set()
    within = 0
    for number in range(kills):
        victim = Victim(programs.attach, path, number)
        assert victim.kill_within(draw.uniform(0, 0.4)), "it writes for ever"
        words = victim.words()
        done, begun = (
            [tuple(one[1:]) for one in words if one[0] == what] for what in ("done", "will")
        )
        within += len(begun) - len(done)
        erased = {text for verb, text in begun if verb == "erase"}
        acknowledged |= {text for verb, text in done if verb == "send"}
        with msgsync.open(path, author="ann") as replica:
            assert replica.check().problems == ()
            assert is_tidy(replica)
            here = {}
            for message in replica.conversation("family").messages(limit=10**6):
                here[message.text] = [one.open().read() for one in message.attachments]
        assert acknowledged - erased <= here.keys()
        assert here.keys() <= acknowledged | {text for verb, text in begun if verb == "send"}
        assert not here.keys() & {text for verb, text in done if verb == "erase"}
        for text, found in here.items():
            seed, _, nth = text.partition(".")
            assert found == [programs.content(int(seed), int(nth)), b"same"]
        acknowledged = set(here)
    print(f"{kills} kills, {within} within a verb")


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    path: Path = tmp_path_factory.mktemp("history") / "history.jsonl"
    programs.history(path, LINES)
    return path


@pytest.fixture(scope="module")
def imported(source: Path) -> Path:
    """A replica into which all of the history went without a kill."""
    path = source.with_name("imported.db")
    with msgsync.open(path, author="ann") as replica:
        assert msgsync.import_jsonlines(replica, source).added == LINES
        replica.create_conversation("Family", id="family")
    return path


def test_a_process_killed_while_it_imports_keeps_each_transaction_and_the_next_one_goes_on(
    tmp_path, source, kills, draw
):
    moments = Moments(draw, 5.0)
    path, here = tmp_path / "0.db", 0
    digests = set()
    killed = within = 0
    for run in range(10 * kills):
        path, here, is_done = tmp_path / f"{run}.db", 0, False
        while not is_done and killed < kills:
            victim = Victim(programs.import_, path, source, BATCH)
            if victim.kill_within(moments.next()):
                killed += 1
            else:
                moments.ended(victim)
                is_done = True
            acknowledged = max((words[1] for words in victim.words()), default=0)
            with msgsync.open(path, author="ann") as replica:
                count = replica.status().messages
                assert count >= max(acknowledged, here)
                assert count % BATCH == 0
                ids = {
                    int(one.external_id or -1)
                    for conversation in replica.conversations()
                    for one in replica.conversation(conversation.id).messages(limit=LINES)
                }
                assert ids == set(range(count))
                assert replica.check().problems == ()
                here = count
            within += not is_done and 0 < here < LINES
        if killed == kills:
            break
        assert here == LINES
    with msgsync.open(path, author="ann") as replica:
        report = msgsync.import_jsonlines(replica, source)
        assert (report.present, report.added) == (here, LINES - here)
        digests.add(replica.digest)
    with msgsync.open(tmp_path / "whole.db", author="ann") as whole:
        msgsync.import_jsonlines(whole, source)
        assert digests == {whole.digest}
    print(f"{killed} kills, {within} of them with a part of the history there")
    assert killed == kills


@pytest.fixture(scope="module")
def loose(imported: Path) -> Path:
    """A replica in which every month was written to since it was frozen, and from which much was erased."""
    path = imported.with_name("loose.db")
    shutil.copy(imported, path)
    with msgsync.open(path, author="ann", durability="relaxed") as replica:
        old = replica.create_conversation("Old", id="old")
        letters = [chr(97 + number % 26) * 9000 for number in range(250)]
        old.erase(*[old.send(text) for text in letters])
        with replica.writing():
            for conversation in [one for one in replica.conversations() if one.id[0] == "c"]:
                for message in replica.conversation(conversation.id).messages(limit=LINES)[::5]:
                    replica.conversation(conversation.id).react(message, "👍")
        assert due(replica) >= 300
    return path


def documents(replica: Replica) -> dict[object, int]:
    with replica.reading() as store:
        rows = store.documents.select("")
        return {row.id: row.digest for row in rows if row.id.conversation not in ("family", "")}


def due(replica: Replica) -> int:
    with replica.reading() as store:
        return Compaction(store, replica.system.now_ms(), eager=True).total


def test_a_process_killed_while_it_compacts_changes_nothing_and_the_next_one_goes_on(
    tmp_path, loose, kills, draw
):
    moments = Moments(draw, 5.0)
    path, before = loose, dict[object, int]()
    killed = within = 0
    for run in range(10 * kills):
        path, ledger = tmp_path / f"{run}.db", Ledger()
        shutil.copy(loose, path)
        with msgsync.open(path, author="ann") as replica:
            before, left = documents(replica), due(replica)
            total = left
        is_done = False
        while not is_done and killed < kills:
            victim = Victim(programs.compact, path, killed)
            if victim.kill_within(moments.next()):
                killed += 1
            else:
                moments.ended(victim)
                is_done = True
            words = victim.words()
            frozen = max((one[1] for one in words if one[0] == "frozen"), default=0)
            with msgsync.open(path, author="ann") as replica:
                assert documents(replica) == before
                assert due(replica) <= left - frozen
                left = due(replica)
                within += not is_done and 0 < left < total
                sent = [one for one in words if one[1] == "send"]
                ledger = settle(ledger, replica, sent)
        if killed == kills:
            break
        assert left == 0
        assert path.stat().st_size < loose.stat().st_size / 2
    with msgsync.open(path, author="ann") as replica:
        assert replica.compact().left == ()
        assert due(replica) == 0
        assert documents(replica) == before
    print(f"{killed} kills, {within} of them with a part of the documents frozen")
    assert killed == kills


def sent(victim: Victim) -> tuple[set[str], set[str]]:
    """The texts that a program sent for certain, and those that it began to send."""
    words = victim.words()
    return tuple({one[2] for one in words if one[0] == what} for what in ("done", "will"))  # type: ignore[return-value]


def texts(replica: Replica) -> set[str]:
    return set(shown(replica, "family"))


def test_processes_killed_while_they_sync_lose_nothing_and_meet_again(
    tmp_path, imported, kills, draw
):
    """A new device fills from another, and both write meanwhile; either is killed, or both."""
    killed = number = within = 0
    while killed < kills:
        folder = tmp_path / str(number)
        folder.mkdir()
        phone, tablet = folder / "phone.db", folder / "tablet.db"
        shutil.copy(imported, phone)
        with msgsync.open(phone, author="ann") as replica:
            replica.new_device(tablet).close()
        done: set[str] = set()
        begun: set[str] = set()
        for _ in range(3):
            number += 2
            server = Victim(programs.serve, phone, number)
            client = Victim(programs.sync, tablet, number + 1, server.ready)
            first, second = draw.choice(((server, client), (client, server)))
            client.wait_for_words(draw.randrange(15), 5.0)  # while it fills, or a little later
            killed += first.kill()
            killed += second.kill_within(draw.uniform(0, 0.05))
            for victim in (server, client):
                done |= sent(victim)[0]
                begun |= sent(victim)[1]
            for victim, path in ((server, phone), (client, tablet)):
                with msgsync.open(path, author="ann") as replica:
                    assert sent(victim)[0] <= texts(replica) <= begun
                    said = [one[1] for one in victim.words() if one[0] == "has"]
                    here = replica.status().messages
                    assert here >= max(said, default=0)
                    within += victim is client and 0 < here < LINES
                    assert replica.check().problems == ()
        with msgsync.open(phone, author="ann") as one, msgsync.open(tablet, author="ann") as other:
            assert msgsync.sync(one, other).complete
            assert one.digest == other.digest
            assert done <= texts(one) == texts(other) <= begun
            assert one.status().messages == LINES + len(texts(one))
            assert other.check().problems == ()
    print(f"{killed} kills, after {within} of them the new device had a part of the history")
