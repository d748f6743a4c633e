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
from tests.model.replica import Document, segment
from tests.property.carrier import FIRST_OF_FEBRUARY
from tests.property.exchange import exchange
from tests.property.expectation import view
from tests.property.world import assert_sound, fast_directory, fewer

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


def history(author: str, number: int) -> Iterator[msgsync.Incoming]:
    """Give messages of one source: many small documents, and one that is larger than a frame."""
    drawn = random.Random(number)
    for at in range(12):
        for each in range(4):
            sent_ms = FIRST_OF_FEBRUARY + (40 * at + 15 * each + number) * DAY_MS
            yield msgsync.Incoming(
                f"c{at}", author, f"{author} {each}", sent_ms, external_id=f"{number}.{each}"
            )
    for each in range(8):
        text = f"{author} {drawn.randbytes(60_000).hex()}"
        yield msgsync.Incoming(
            "large", author, text, FIRST_OF_FEBRUARY + each, external_id=f"{number}.{each}"
        )


def months(replica: msgsync.Replica) -> Months:
    """Return what a replica shows, by document."""
    found: Months = {}
    for name, _, _, messages in view(replica):
        for message in messages:
            found.setdefault(segment(name, message.id.ms), []).append(message)
    return found


@pytest.fixture(scope="module")
def apart() -> Iterator[Apart]:
    """Make the two once."""
    with fast_directory() as name:
        paths = Path(name) / "phone.db", Path(name) / "tablet.db"
        with (
            msgsync.open(paths[0], author="ann", durability="relaxed") as phone,
            phone.new_device(paths[1]) as tablet,
        ):
            for number, replica in enumerate((phone, tablet)):
                replica.ingest(history(("ben", "cleo")[number], number))
                replica.ingest(history("dora", 2))
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


def test_an_exchange_that_breaks_at_any_frame_tears_nothing_and_can_be_repeated(apart):
    frames, complete = 0, False
    while not complete:
        with apart.copies() as pair:
            complete = exchange(*pair, frames=frames)
            for replica, before in zip(pair, apart.before, strict=True):
                assert_whole(replica, before, apart.after)
            assert exchange(*pair)
            assert_met(apart, pair)
        frames += 1
    assert frames > 10, "too few frames for this to say anything"


@settings(fewer(4))
@given(
    breaks=st.lists(st.tuples(st.integers(0, 30), st.integers(0, 1000)), min_size=1, max_size=5),
    reopened=st.booleans(),
)
def test_several_breaks_at_any_pace_tear_nothing(apart, breaks, reopened):
    with apart.copies() as pair, ExitStack() as stack:
        for frames, seed in breaks:
            exchange(*pair, frames=frames, pace=random.Random(seed))
            for replica, before in zip(pair, apart.before, strict=True):
                assert_whole(replica, before, apart.after)
            if reopened:
                pair = tuple(stack.enter_context(_reopened(replica)) for replica in pair)
        assert exchange(*pair, pace=random.Random(breaks[0][1]))
        assert_met(apart, pair)


def _reopened(replica: msgsync.Replica) -> msgsync.Replica:
    replica.close()
    return msgsync.open(replica.path, author="ann", durability="relaxed")


@pytest.mark.parametrize("frames", [8, 12, 16])
def test_a_line_that_always_breaks_after_a_few_frames_gets_there(apart, frames):
    with apart.copies() as pair:
        attempts = 0
        while not exchange(*pair, frames=frames):
            attempts += 1
            assert attempts < 100, "no progress"
        assert_met(apart, pair)


def test_a_new_device_whose_line_always_breaks_keeps_what_it_got(apart):
    with apart.copies() as (phone, other):
        msgsync.sync(phone, other)
        with fast_directory() as directory, phone.new_device(Path(directory) / "new.db") as new:
            received: dict[str, Any] = {}
            attempts = 0
            while not exchange(new, phone, frames=7):
                attempts += 1
                assert attempts < 100, "no progress"
                here = {str(message.id): message for some in months(new).values() for message in some}
                assert received.items() <= here.items(), "something went away again"
                received = here
            assert attempts > 2, "too few breaks for this to say anything"
            assert_met(apart, (new, phone))
