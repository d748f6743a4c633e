"""Exchanges that break: what came through stays, nothing is torn, and the next one goes on from there."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.testing import assert_sound
from msgsync.testing.machine import fast_directory
from msgsync.testing.reference.replica import Document, segment
from tests.property.carrier import FIRST_OF_FEBRUARY
from tests.property.exchange import exchange
from tests.property.world import fewer

DAY_MS = 86_400_000
Months = dict[Document, list[msgsync.Message]]


@dataclass(frozen=True)
class Apart:
    """Two closed replicas that differ in every document, and what they show once they have met."""

    paths: tuple[Path, Path]
    before: tuple[Months, Months]
    after: Months

    @contextmanager
    def copies(self) -> Iterator[tuple[msgsync.Replica, msgsync.Replica]]:
        """Open copies of the two."""
        with fast_directory() as directory, ExitStack() as stack:
            phone, tablet = (
                stack.enter_context(
                    msgsync.open(shutil.copy(path, directory), author="ann", durability="relaxed")
                )
                for path in self.paths
            )
            yield phone, tablet


def history(author: str, number: int, *, one_month: bool) -> Iterator[msgsync.Incoming]:
    """Give messages of one source: many small documents, and long messages of one month or of several.

    Those of one month make a document that is larger than a frame; those of several do not.
    """
    drawn = random.Random(number)
    for at in range(8):
        for each in range(3):
            sent_ms = FIRST_OF_FEBRUARY + (40 * at + 20 * each + number) * DAY_MS
            yield msgsync.Incoming(
                f"c{at}", author, f"{author} {each}", sent_ms, external_id=f"{number}.{each}"
            )
    for each in range(6):
        text = f"{author} {drawn.randbytes(60_000).hex()}"
        sent_ms = FIRST_OF_FEBRUARY + each * (1 if one_month else 31 * DAY_MS)
        yield msgsync.Incoming("long", author, text, sent_ms, external_id=f"{number}.{each}")


def months(replica: msgsync.Replica) -> Months:
    """Return what a replica shows, by document."""
    found: Months = {}
    for summary in replica.conversations(include_deleted=True):
        conversation = replica.conversation(summary.id)
        for message in conversation.messages(limit=10_000, include_deleted=True):
            found.setdefault(segment(summary.id, message.id.ms), []).append(message)
    return found


@contextmanager
def two_apart(*, one_month: bool) -> Iterator[Apart]:
    """Make two replicas that each have what the other lacks of every document."""
    with fast_directory() as name:
        paths = Path(name) / "phone.db", Path(name) / "tablet.db"
        with (
            msgsync.open(paths[0], author="ann", durability="relaxed") as phone,
            phone.new_device(paths[1]) as tablet,
        ):
            for number, replica in enumerate((phone, tablet)):
                replica.ingest(history(("ben", "cleo")[number], number, one_month=one_month))
                replica.ingest(history("dora", 2, one_month=one_month))
                some = replica.conversation("c0")
                some.edit(some.messages()[0], f"edited on {number}")
                gone = replica.conversation("c1")
                gone.delete(*gone.messages()[:1])
            before = months(phone), months(tablet)
        met = Apart(paths, before, {})
        with met.copies() as (phone, tablet):
            assert msgsync.sync(phone, tablet).complete
            met.after.update(months(phone))
            assert months(tablet) == met.after
        yield met


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    """Two replicas with a document that does not fit into one frame."""
    with two_apart(one_month=True) as apart:
        yield apart


@pytest.fixture(scope="module")
def apart_in_small_documents() -> Iterator[Apart]:
    """Two replicas whose documents fit into frames, though not all into one."""
    with two_apart(one_month=False) as apart:
        yield apart


def assert_whole(replica: msgsync.Replica, before: Months, after: Months) -> None:
    """Assert that every document is as before the exchange or as after it, and that the rest fits."""
    shown = months(replica)
    assert before.keys() <= shown.keys() <= after.keys(), "documents are missing"
    torn = [
        name for name, messages in shown.items() if messages not in (before.get(name), after[name])
    ]
    assert not torn, f"half of an exchange shows in {torn}"
    assert_sound(replica)


def assert_met(apart: Apart, replicas: tuple[msgsync.Replica, msgsync.Replica]) -> None:
    """Assert that both are where an exchange without a fault ends."""
    for replica in replicas:
        assert months(replica) == apart.after
        assert_sound(replica)
    assert replicas[0].digest == replicas[1].digest


def finish(
    apart: Apart,
    replicas: tuple[msgsync.Replica, msgsync.Replica],
    *,
    seed: int = 0,
) -> None:
    """Let the two meet without a fault, and assert that they are where they should be."""
    assert exchange(*replicas, seed=seed)
    assert_met(apart, replicas)


def test_an_exchange_that_breaks_at_any_frame_tears_nothing_and_can_be_repeated(apart):
    frames, complete = 0, False
    while not complete:
        with apart.copies() as pair:
            complete = exchange(*pair, frames=frames)
            for replica, before in zip(pair, apart.before, strict=True):
                assert_whole(replica, before, apart.after)
            finish(apart, pair)
        frames += 1
    assert frames > 10, "too few frames for this to say anything"


@settings(fewer(8))
@given(
    breaks=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1000)), min_size=1, max_size=5),
    reopened=st.booleans(),
)
def test_several_breaks_at_any_pace_tear_nothing(apart, breaks, reopened):
    with apart.copies() as pair:
        for frames, seed in breaks:
            exchange(*pair, frames=frames, seed=seed)
            for replica, before in zip(pair, apart.before, strict=True):
                assert_whole(replica, before, apart.after)
        if not reopened:
            finish(apart, pair, seed=breaks[0][1])
            return
        for replica in pair:
            replica.close()
        with (
            msgsync.open(pair[0].path, author="ann", durability="relaxed") as phone,
            msgsync.open(pair[1].path, author="ann", durability="relaxed") as tablet,
        ):
            finish(apart, (phone, tablet), seed=breaks[0][1])


# Saying hello, comparing, offering and asking takes eight frames; then come documents.
@pytest.mark.parametrize("frames", [10, 12, 16])
def test_a_line_that_always_breaks_after_a_few_frames_gets_there(apart_in_small_documents, frames):
    with apart_in_small_documents.copies() as pair:
        attempts = 0
        while not exchange(*pair, frames=frames):
            attempts += 1
            assert attempts < 100, "no progress"
        assert_met(apart_in_small_documents, pair)


def test_a_new_device_whose_line_always_breaks_keeps_what_it_got(apart_in_small_documents):
    with apart_in_small_documents.copies() as (phone, other):
        msgsync.sync(phone, other)
        with fast_directory() as directory, phone.new_device(Path(directory) / "new.db") as new:
            received: dict[str, Any] = {}
            attempts = 0
            while not exchange(new, phone, frames=9):
                attempts += 1
                assert attempts < 100, "no progress"
                here = {
                    str(message.id): message for some in months(new).values() for message in some
                }
                assert received.items() <= here.items(), "something went away again"
                received = here
            assert attempts > 2, "too few breaks for this to say anything"
            assert_met(apart_in_small_documents, (new, phone))
