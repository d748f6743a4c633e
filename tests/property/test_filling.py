"""How far a new device is never runs backwards and never stops short, whatever it fills from and whenever it stops."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from hypothesis import given, settings
from hypothesis import strategies as st

import msgsync
from msgsync import FillProgress, Incoming, MemoryMailbox, NoSuchObject, Replica, limits
from msgsync.mailbox.carrying import perform
from msgsync.protocol.courier import Courier
from msgsync.protocol.errand import Put
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.replica.mailing import Mailing
from msgsync.testing import SimulatedSystem, assert_converged, assert_sound
from msgsync.testing.system import START_MS

DAY_MS = 86_400_000
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["mailbox", "mailbox", "peer", "reopen", "write", "erase", "more", "send"]),
        st.integers(1, 12),
    ),
    max_size=25,
)


def history(replica: Replica, months: int, name: str) -> None:
    replica.ingest(
        Incoming(
            f"{name}{place}",
            "bob",
            f"{month} {number}",
            START_MS - month * 30 * DAY_MS - number * 1000,
            f"{month} {number}",
        )
        for place in range(2)
        for month in range(months)
        for number in range(4)
    )


def some_of_a_round(replica: Replica, box: MemoryMailbox, count: int) -> None:
    """So many requests of a round, or all of it; the last one is answered or not."""
    errand = Courier(Mailing(replica, box.address)).run()
    try:
        request = next(errand)
        for _ in range(count):
            try:
                answer = perform(box, request)
            except NoSuchObject as error:
                request = errand.throw(error)
            else:
                request = errand.send(answer)
        if isinstance(request, Put):  # nobody knows whether it is there
            perform(box, request)
    except StopIteration:
        pass
    finally:
        errand.close()


def some_of_a_session(replica: Replica, peer: Replica, count: int) -> None:
    """So many frames each way, or all of it."""
    sides = Session(Exchange(replica)), Session(Exchange(peer))
    for _ in range(count):
        for sender, receiver in (sides, sides[::-1]):
            raw = sender.next_frame()
            if raw is not None:
                receiver.receive(raw[4:])


def listening(replica: Replica, seen: list[FillProgress]) -> Callable[[], None]:
    return replica.on_progress(lambda: seen.append(replica.progress))


@given(STEPS, st.integers(1, 14), st.booleans())
@settings(max_examples=30)
def test_it_never_runs_backwards_and_reaches_its_end(steps, months, has_checkpoint):
    before = limits.BATCH_FILL_BYTES
    limits.BATCH_FILL_BYTES = 900 if has_checkpoint else 2**20  # type: ignore[misc]
    try:
        with TemporaryDirectory() as folder:
            _play(Path(folder), steps, months)
    finally:
        limits.BATCH_FILL_BYTES = before  # type: ignore[misc]


def _open(folder: Path, system: SimulatedSystem) -> Replica:
    return msgsync.open(folder / "new.db", author="ann", durability="relaxed", system=system)


def _play(folder: Path, steps: list[tuple[str, int]], months: int) -> None:
    system = SimulatedSystem(seed="new")
    first = msgsync.open(
        folder / "first.db",
        author="ann",
        durability="relaxed",
        system=SimulatedSystem(seed="first"),
    )
    box = MemoryMailbox()
    history(first, months, "old")
    some_of_a_round(first, box, 10_000)
    first.new_device(folder / "new.db", system=system).close()
    new = _open(folder, system)
    seen = [new.progress]
    unsubscribe = listening(new, seen)
    try:
        for step, count in steps:
            system.advance(count * 1000)
            if step == "mailbox":
                some_of_a_round(new, box, count)
            elif step == "peer":
                some_of_a_session(new, first, count)
            elif step == "reopen":
                unsubscribe()
                new.close()
                new = _open(folder, system)
                unsubscribe = listening(new, seen)
            elif step == "write":
                first.conversation("old0").send("more")
                some_of_a_round(first, box, 10_000)
            elif step == "erase":
                if any(one.id == "old1" for one in first.conversations(include_deleted=True)):
                    page = first.conversation("old1").messages(limit=count)
                    first.conversation("old1").erase(*[message.id for message in page])
                some_of_a_round(first, box, 10_000)
            elif step == "more":
                history(first, months + count, "more")
            elif new.conversations():
                new.conversation(new.conversations()[0].id).send("from the new one", author="ann")
            seen.append(new.progress)
        some_of_a_round(new, box, 10_000)
        seen.append(new.progress)
        assert seen[-1].done
        msgsync.sync(new, first)
        seen.append(new.progress)
        fractions = [one.fraction for one in seen]
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        assert all((one.fraction == 1.0) is one.done for one in seen)
        assert all(one.messages >= 0 for one in seen)
        filling = [one for one in seen if not one.done and one.total_messages is not None]
        assert all(one.messages <= (one.total_messages or 0) for one in filling)
        assert_converged(first, new)
        assert_sound(new)
    finally:
        new.close()
        first.close()
