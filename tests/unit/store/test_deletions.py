"""Deletions of many messages: what they cost grows with them, not with their square."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from msgsync import Conversation, Incoming, MessageId, limits, sync
from msgsync.document.schema import DocumentId, segment_of
from tests.unit.conftest import Opener
from tests.unit.machine import Machine
from tests.unit.parts import parts_of
from tests.unit.work import Work, work_of

FEW, MANY = 120, 480
GROWTH = 1.5 * MANY / FEW
"""What is quadratic grows by 16 between the two."""


class Devices:
    """Two devices that have a conversation of so many messages."""

    def __init__(self, open_replica: Opener, machine: Machine, count: int) -> None:
        self.phone = open_replica(f"phone{count}.db")
        self.tablet = open_replica(f"tablet{count}.db", member=self.phone)
        self.family = self.phone.create_conversation("Family", id="family")
        now = machine.now_ms() - 86_400_000
        self.family.ingest(
            [Incoming("family", "bob", str(n), now + n, str(n)) for n in range(count)]
        )
        sync(self.phone, self.tablet)
        self.messages = self.family.messages(limit=count)
        self.document = DocumentId("family", segment_of(now))

    def on_tablet(self) -> Conversation:
        return self.tablet.conversation("family")

    def bring(self) -> Work:
        """What it takes the phone to merge the tablet's messages."""
        parts = parts_of(self.tablet, self.document)

        def merge() -> None:
            with self.phone.writing() as store:
                store.merge(self.document, parts)

        return work_of(self.phone, merge)


def delete_on_both(two: Devices) -> Work:
    delete_all(two.family)
    delete_all(two.on_tablet())
    return two.bring()


def delete(two: Devices) -> Work:
    return work_of(two.phone, lambda: delete_all(two.family))


def restore(two: Devices) -> Work:
    delete_on_both(two)
    return work_of(two.phone, two.family.restore_all)


def erase(two: Devices) -> Work:
    delete_on_both(two)
    return work_of(two.phone, two.phone.empty_recently_deleted)


def look(two: Devices) -> Work:
    delete_on_both(two)
    return work_of(two.phone, two.phone.recently_deleted)


def check(two: Devices) -> Work:
    delete_on_both(two)
    return work_of(two.phone, two.phone.check)


def delete_all(family: Conversation) -> None:
    family.delete_all(family.preview_deletion().token)


@pytest.mark.parametrize("pack", [40, 4096])
@pytest.mark.parametrize("verb", [delete, delete_on_both, restore, erase, look, check])
def test_work_grows_with_the_messages_that_are_deleted(
    open_replica: Opener,
    machine: Machine,
    monkeypatch: pytest.MonkeyPatch,
    verb: Callable[[Devices], Work],
    pack: int,
) -> None:
    monkeypatch.setattr(limits, "IDS_PER_ENTRY", pack)  # 40: some entries, as of tens of thousands
    few = verb(Devices(open_replica, machine, FEW))
    many = verb(Devices(open_replica, machine, MANY))
    assert many.calls < GROWTH * few.calls
    assert many.statements < GROWTH * few.statements
    assert many.steps < GROWTH * few.steps


@pytest.mark.parametrize("verb", ["restore", "erase"])
@pytest.mark.parametrize("order", [1, -1])
def test_work_grows_with_messages_that_were_deleted_together_and_are_settled_one_by_one(
    open_replica: Opener, machine: Machine, verb: str, order: int
) -> None:
    def one_by_one(two: Devices) -> Work:
        delete_all(two.family)
        document = two.phone.store().row(two.document)
        rows = two.phone.store().readmodel.deletions
        ids = [message.id.raw for message in two.messages][::order]

        def each() -> None:
            for one in ids:
                if verb == "restore":
                    two.family.restore(MessageId(one))
                else:
                    rows.forget(document, [one])

        with two.phone.writing():
            return work_of(two.phone, each)

    few = one_by_one(Devices(open_replica, machine, FEW))
    many = one_by_one(Devices(open_replica, machine, MANY))
    assert many.statements < GROWTH * few.statements
    assert many.steps < GROWTH * few.steps
