"""Objects of logs that are missing or damaged: named, read past, looked for again, put again by whoever has them."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import MemoryMailbox, limits
from msgsync.account.seal import is_checkpoint_name
from msgsync.document.codec import Block, entries_of
from msgsync.document.crdt import resolved
from msgsync.document.schema import Entry
from msgsync.testing import SimulatedSystem, assert_converged

DAY_MS = 86_400_000
HOUR_MS = 3_600_000


@pytest.fixture
def devices(tmp_path):
    with (
        msgsync.open(tmp_path / "a.db", author="ann", system=SimulatedSystem(1)) as phone,
        phone.new_device(tmp_path / "b.db", system=SimulatedSystem(2)) as tablet,
        phone.new_device(tmp_path / "c.db", system=SimulatedSystem(3)) as laptop,
    ):
        phone.create_conversation("Family", id="family")
        yield phone, tablet, laptop


def later(ms, devices):
    for replica in devices:
        replica.system.advance(ms)


def write(replica, box, *texts):
    """Put each message as an object of its own; return their names."""
    names = []
    for text in texts:
        before = set(box.list("log"))
        replica.conversation("family").send(text)
        msgsync.sync(replica, box)
        names += sorted(set(box.list("log")) - before)
    return names


def damage(box, name):
    raw = box.get(name)
    box.put(name, raw[:-1] + bytes((raw[-1] ^ 1,)))


def shown(replica):
    return [each.text for each in replica.conversation("family").messages()]


def test_what_comes_behind_a_damaged_object_waits_an_hour_and_is_read(devices, box):
    phone, tablet, _ = devices
    _, second, _ = write(phone, box, "one", "two", "three")
    damage(box, second)
    report = msgsync.sync(tablet, box)
    assert not report.complete
    assert second in report.refused[0]
    assert shown(tablet) == ["one"]
    later(limits.STOPPED_LOG_MS, devices)
    report = msgsync.sync(tablet, box)
    assert not report.complete
    assert shown(tablet) == ["one", "three"]


def test_who_put_what_is_damaged_is_told_and_puts_it_again(devices, box):
    phone, tablet, _ = devices
    _, second, _ = write(phone, box, "one", "two", "three")
    damage(box, second)
    msgsync.sync(tablet, box)
    later(limits.STOPPED_LOG_MS, devices)
    msgsync.sync(tablet, box)
    [loss] = msgsync.sync(phone, box).losses
    assert loss.device == phone.device
    msgsync.sync(tablet, box)
    assert shown(tablet) == ["one", "two", "three"]
    assert_converged(phone, tablet)


def test_an_object_that_nobody_could_read_yet_is_told_of_as_well(devices, box):
    """Seed 114: nobody knew whose log it was."""
    phone, tablet, _ = devices
    [name] = write(phone, box, "one")
    damage(box, name)
    msgsync.sync(tablet, box)
    later(limits.STOPPED_LOG_MS, devices)
    msgsync.sync(tablet, box)
    msgsync.sync(phone, box)
    msgsync.sync(tablet, box)
    assert_converged(phone, tablet)


def test_a_damaged_object_of_a_lost_device_holds_up_nobody_for_ever(devices, box):
    phone, tablet, laptop = devices
    _, second, _ = write(phone, box, "one", "two", "three")
    msgsync.sync(laptop, box)  # it has read all of it
    damage(box, second)
    for _ in range(3):
        msgsync.sync(tablet, box)
        later(limits.LOST_LOG_MS, devices)
    tablet.conversation("family").send("four")
    assert msgsync.sync(tablet, box).refused == ()
    assert [loss.device for loss in msgsync.sync(laptop, box).losses] == [phone.device]
    msgsync.sync(tablet, box)
    assert_converged(laptop, tablet)
    assert shown(tablet) == ["one", "two", "three", "four"]


def test_who_missed_the_checkpoint_that_names_a_lost_log_hears_of_it_by_the_next(devices, box):
    """The next one took its place and did not name the log: who had put it never put it again."""
    phone, tablet, _ = devices
    _, second, _ = write(phone, box, "one", "two", "three")
    damage(box, second)
    for _ in range(3):
        msgsync.sync(tablet, box)
        later(limits.LOST_LOG_MS, devices)
    doomed = tablet.conversation("family").send("four")
    msgsync.sync(tablet, box)
    [first] = checkpoints(box)
    later(DAY_MS, devices)
    tablet.conversation("family").erase(doomed)  # so the next one is due at once
    for _ in range(3):
        msgsync.sync(tablet, box)
        later(HOUR_MS, devices)
    assert first not in checkpoints(box)
    assert not any(second.split("/")[1] in name for name in box.list("log"))
    assert [loss.device for loss in msgsync.sync(phone, box).losses] == [phone.device]
    msgsync.sync(tablet, box)
    assert shown(tablet) == ["one", "two", "three"]
    assert_converged(phone, tablet)


def checkpoints(box):
    folders = {name.split("/")[1] for name in box.list("log")}
    return {folder for folder in folders if is_checkpoint_name(folder)}


def test_who_put_a_lost_object_into_a_checkpoint_that_is_damaged_as_well_puts_it_again(
    devices, box, monkeypatch
):
    """Seed 1007670: it took its own checkpoint, which nobody could read, for what others would have it from."""
    phone, tablet, _ = devices
    _, second, _ = write(phone, box, "one", "two", "three")
    damage(box, second)
    msgsync.sync(tablet, box)
    with monkeypatch.context() as patch:
        patch.setattr(limits, "CHECKPOINT_OBJECTS", 1)
        write(phone, box, "four")
    damage(box, next(name for name in box.list("log") if is_checkpoint_name(name.split("/")[1])))
    later(limits.LOST_LOG_MS + HOUR_MS, devices)
    msgsync.sync(tablet, box)
    for replica in (phone, tablet):
        msgsync.sync(replica, box)
    assert shown(tablet) == ["one", "two", "three", "four"]
    assert_converged(phone, tablet)


def test_an_object_that_comes_after_those_behind_it_is_read(devices, box):
    """Seed 5: the beginning of a log came late, and was taken for one that a checkpoint had replaced."""
    phone, tablet, _ = devices
    first, _ = write(phone, box, "one", "two")
    raw = box.get(first)
    box.delete(first)
    report = msgsync.sync(tablet, box)
    assert not report.complete
    assert shown(tablet) == ["two"]
    box.put(first, raw)
    msgsync.sync(tablet, box)
    assert shown(tablet) == ["one", "two"]
    assert msgsync.sync(tablet, box).complete


def test_what_a_mailbox_has_lost_is_counted_and_put_again(devices, box):
    phone, tablet, _ = devices
    names = write(phone, box, "one", "two", "three")
    for name in names:
        box.delete(name)
    [loss] = msgsync.sync(phone, box).losses
    assert (loss.device, loss.objects) == (phone.device, 3)
    assert msgsync.sync(phone, box).losses == ()
    msgsync.sync(tablet, box)
    assert_converged(phone, tablet)


def test_who_misses_statements_gets_them_though_telling_was_broken_off(devices, box):
    """A key object that was lost while all others were put was never put again."""
    phone, tablet, laptop = devices

    class Losing(MemoryMailbox):
        lost = 0

        def put(self, name, body):
            if name.startswith("keys/") and self.lost < 2:
                self.lost += 1
                return
            super().put(name, body)

    losing = Losing()
    msgsync.sync(phone, losing)
    for replica in (phone, tablet, laptop):
        msgsync.sync(replica, losing)
    assert_converged(phone, tablet, laptop)


def test_two_items_of_one_key_are_resolved_wherever_their_writers_go_on():
    """A plan with mailboxes and sessions, seed 2: what began above nothing was refused as a form never written."""
    entry = Entry("messages", b"0" * 20, b"text")
    other = Entry("messages", b"1" * 20, b"more")
    found = resolved([Block(5, 3, [entry, other]), Block(9, 0, [entry])])
    assert sorted(block.clock for block in found) == [0, 3]
    assert sorted(entries_of(found)) == [entry, other]
