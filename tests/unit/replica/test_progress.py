"""How far a new device is in filling itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial

import anyio
import pytest

import msgsync
from msgsync import FillProgress, Incoming, MemoryMailbox, ReplicaClosed, aio, sync
from msgsync.protocol.courier import Courier
from msgsync.replica.mailing import Mailing
from tests.unit.conftest import Opener
from tests.unit.machine import Machine
from tests.unit.protocol.test_courier import visit
from tests.unit.protocol.test_filling import history, rounds, small  # noqa: F401 - fixtures


def never_less(values: list[FillProgress]) -> bool:
    fractions = [one.fraction for one in values]
    return fractions == sorted(fractions)


def test_a_device_that_is_alone_has_all(phone):
    progress = phone.progress
    assert (progress.done, progress.fraction, progress.doing) == (True, 1.0, "all is here")


def test_a_new_device_waits(phone, tablet, family):
    family.send("Hello")
    progress = tablet.progress
    assert (progress.done, progress.fraction) == (False, 0.0)
    assert progress.doing == "waiting for another device or a mailbox"
    assert phone.progress.done


def test_after_a_sync_all_is_here(phone, tablet, family):
    family.send("Hello")
    sync(tablet, phone)
    assert (tablet.progress.done, tablet.progress.fraction) == (True, 1.0)
    assert (tablet.progress.messages, tablet.progress.total_messages) == (1, 1)


def test_after_a_sync_of_nothing_all_is_here_too_also_when_it_is_opened_again(
    open_replica: Opener, phone, tablet
):
    sync(tablet, phone)
    assert tablet.progress.done
    tablet.close()
    assert open_replica("tablet.db").progress.done


def test_from_a_mailbox_it_says_what_it_reads(small, phone, tablet, box):  # noqa: F811
    history(phone, 15)
    visit(phone, box)
    seen = [tablet.progress]
    for _ in rounds(tablet, box):
        if tablet.progress != seen[-1]:
            seen.append(tablet.progress)
    seen.append(tablet.progress)
    assert never_less(seen)
    assert [one.done for one in seen] == [False] * (len(seen) - 1) + [True]
    assert seen[-1].fraction == 1.0
    assert max(one.fraction for one in seen[:-1]) > 0.9
    words = [one.doing for one in seen]
    assert words[0] == "waiting for another device or a mailbox"
    assert words[1] == "newest messages"
    assert "history back to October 2023" in words
    assert words[-1] == "all is here"
    totals = {one.total_messages for one in seen[1:]}
    assert totals == {180}
    [total] = {one.total_bytes for one in seen if one.total_bytes}
    sizes = [one.bytes for one in seen]
    assert sizes == sorted(sizes)
    assert sizes[-1] == total


def test_from_a_mailbox_without_a_checkpoint_it_reads_what_others_left(phone, tablet, box):
    history(phone, 1)
    visit(phone, box)
    seen: list[str] = []
    tablet.on_progress(lambda: seen.append(tablet.progress.doing))
    visit(tablet, box)
    assert list(dict.fromkeys(seen)) == ["what others left", "all is here"]


def test_what_came_after_a_checkpoint_is_read_before_its_history(small, phone, tablet, box):  # noqa: F811
    history(phone, 5)
    visit(phone, box)
    phone.create_conversation(id="later").send("written since")
    visit(phone, box)
    seen: list[str] = []
    tablet.on_progress(lambda: seen.append(tablet.progress.doing))
    visit(tablet, box)
    stages = list(dict.fromkeys(one.split(" to ")[0] for one in seen))
    assert stages == ["newest messages", "what was written since", "history back", "all is here"]


def test_from_a_device_it_does_so_too(small, phone, tablet):  # noqa: F811
    history(phone, 15)
    seen: list[FillProgress] = []
    tablet.on_progress(lambda: seen.append(tablet.progress))
    sync(tablet, phone)
    assert seen[0].doing == "newest messages"
    assert any(one.doing.startswith("history back to") for one in seen), [one.doing for one in seen]
    assert never_less(seen)
    assert seen[-1].done
    assert {one.total_messages for one in seen} == {180}


def test_it_goes_on_where_it_was_when_it_is_opened_again(
    small,  # noqa: F811
    open_replica: Opener,
    phone,
    box,
):
    history(phone, 15)
    visit(phone, box)
    tablet = open_replica("tablet.db", member=phone)
    seen = []
    done = False
    while not done:
        done = True
        for number, _ in enumerate(rounds(tablet, box)):
            seen.append(tablet.progress)
            if number > 6:
                done = False
                break
        seen.append(tablet.progress)
        tablet.close()
        tablet = open_replica("tablet.db")
        seen.append(tablet.progress)
    assert never_less(seen)
    assert seen[-1].done
    assert seen[-2].messages == 180


def test_rate_and_estimate_are_told_once_they_are_known(
    small,  # noqa: F811
    machine: Machine,
    phone,
    tablet,
    box,
):
    history(phone, 15)
    visit(phone, box)
    estimates = []
    for _ in rounds(tablet, box):
        machine.clock_ms += 500
        now = tablet.progress
        estimates.append(now.seconds_left)
        if now.rate is not None and now.seconds_left is not None:
            assert now.total_messages is not None
            left = now.total_messages - now.messages
            assert now.seconds_left == pytest.approx(left / now.rate)
    assert estimates[:5] == [None] * 5
    assert estimates[-3] is not None
    assert tablet.progress.seconds_left is None
    machine.clock_ms += 3_600_000
    assert tablet.progress.rate is None


def test_what_is_erased_meanwhile_does_not_keep_it_from_its_end(small, phone, tablet, box):  # noqa: F811
    history(phone, 15)
    visit(phone, box)
    conversation = phone.conversation("number1")
    conversation.erase(*[message.id for message in conversation.messages(limit=1000)])
    visit(phone, box)
    seen = [tablet.progress for _ in rounds(tablet, box)]
    seen.append(tablet.progress)
    assert never_less(seen)
    assert (seen[-1].fraction, seen[-1].messages) == (1.0, 120)


def test_the_first_of_two_sources_may_know_less(small, phone, tablet, open_replica: Opener, box):  # noqa: F811
    history(phone, 3)
    laptop = open_replica("laptop.db", member=phone)
    visit(phone, box)
    visit(laptop, box)
    laptop.ingest(
        Incoming("more", "bob", f"text {n}", 1_700_000_000_000 + n, str(n)) for n in range(300)
    )
    errand = Courier(Mailing(tablet, box.address)).run()
    request = next(errand)
    seen = []
    for _ in range(5):
        request = errand.send(perform_of(box)(request))
        seen.append(tablet.progress)
    errand.close()
    assert seen[-1].total_messages == 36
    tablet.on_progress(lambda: seen.append(tablet.progress))
    sync(tablet, laptop)
    assert never_less(seen)
    assert seen[-1].done
    assert max(one.total_messages or 0 for one in seen) == 336


def perform_of(box: MemoryMailbox) -> Callable[..., object]:
    from msgsync.mailbox.carrying import perform

    return partial(perform, box)


# Iterating.


def test_progress_is_iterated_until_all_is_here(small, phone, tablet, box):  # noqa: F811
    history(phone, 15)
    visit(phone, box)
    filling = threading.Thread(target=partial(visit, tablet, box))
    seen: list[FillProgress] = []
    for progress in msgsync.progress(tablet):
        if not seen:
            filling.start()
        seen.append(progress)
    filling.join()
    assert never_less(seen)
    assert [one.done for one in seen] == [False] * (len(seen) - 1) + [True]


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_progress_is_iterated_in_an_event_loop(small, phone, tablet, box, backend):  # noqa: F811
    history(phone, 15)
    visit(phone, box)

    async def both() -> list[FillProgress]:
        seen: list[FillProgress] = []
        async with anyio.create_task_group() as tasks:
            async for progress in aio.progress(tablet):
                if not seen:
                    tasks.start_soon(aio.sync, tablet, box)
                seen.append(progress)
        return seen

    seen = anyio.run(both, backend=backend)
    assert never_less(seen)
    assert seen[-1].done


def test_who_iterates_is_told_that_the_replica_was_closed(phone, tablet, family):
    family.send("Hello")
    iterator = msgsync.progress(tablet)
    assert not next(iterator).done
    closing = threading.Timer(0.05, tablet.close)
    closing.start()
    with pytest.raises(ReplicaClosed):
        next(iterator)
    closing.join()


def test_where_all_is_here_one_is_iterated(phone):
    assert [one.done for one in msgsync.progress(phone)] == [True]
