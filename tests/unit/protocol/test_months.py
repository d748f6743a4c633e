"""Old months at a mailbox: what comes back from a checkpoint, what is passed over, and what a device does not make."""

from __future__ import annotations

import pytest

import msgsync
from msgsync import MemoryMailbox, Replica, limits
from msgsync.account.seal import is_checkpoint_name
from msgsync.document.schema import month_bounds
from msgsync.mailbox.carrying import carry
from msgsync.protocol.courier import Courier
from msgsync.replica.mailing import Mailing
from tests.unit.protocol.test_courier import objects, visit, visits
from tests.unit.replica.test_history import MONTHS, elsewhere, fill, one_of, texts

DAY_MS = 86_400_000


@pytest.fixture
def trimmed(phone, tablet, box, monkeypatch, family):
    """The phone's conversation, after it has let go of old months that the tablet keeps and a checkpoint has."""
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 300)
    monkeypatch.setattr(limits, "BATCH_PIECE_BYTES", 400)
    monkeypatch.setattr(limits, "SCREEN_MESSAGES", 2)
    fill(family)
    visits(box, phone, tablet, phone)
    assert any(is_checkpoint_name(name.split("/")[1]) for name in objects(box))
    phone.set_history_budget(3)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    visits(box, phone, tablet, phone)
    assert phone.free_space().months_elsewhere == 3
    return family


def test_a_round_brings_nothing_back_by_itself(phone, tablet, box, trimmed):
    visits(box, phone, tablet, phone)
    assert len(elsewhere(phone)) == 3
    assert phone.digest == tablet.digest
    assert phone.check().ok


def test_what_was_asked_for_comes_from_a_checkpoint(phone, tablet, box, trimmed):
    phone.fetch_history(conversation="family")
    visit(phone, box)
    assert not elsewhere(phone)
    assert len(texts(trimmed)) == 3 * len(MONTHS)
    assert phone.digest == tablet.digest
    assert phone.check().ok


def test_one_month_comes_without_the_others(phone, tablet, box, trimmed):
    phone.fetch_history(month_bounds("2023-04")[0])
    visit(phone, box)
    assert elsewhere(phone) == {"2023-01", "2023-02", "2023-03"}
    phone.fetch_history(month_bounds("2023-03")[0])
    visit(phone, box)
    assert elsewhere(phone) == {"2023-01", "2023-02"}
    assert phone.digest == tablet.digest


def test_an_edit_that_a_log_brings_leads_to_the_whole_month(phone, tablet, box, trimmed):
    others = tablet.conversation("family")
    edited = one_of(others, "2023-02 number1")
    others.edit(edited, "changed")
    visits(box, tablet, phone)
    assert elsewhere(phone) == {"2023-01", "2023-03"}
    assert phone.message(edited.id).text == "changed"
    assert phone.digest == tablet.digest
    assert phone.check().ok


def test_an_erasure_that_a_log_brings_sticks(phone, tablet, box, trimmed):
    others = tablet.conversation("family")
    doomed = one_of(others, "2023-02 number1")
    others.erase(doomed)
    visits(box, tablet, phone, tablet, phone)
    with pytest.raises(msgsync.ErasedMessage):
        phone.message(doomed.id)
    msgsync.sync(phone, tablet)
    assert phone.digest == tablet.digest
    assert phone.check().ok


def test_a_device_that_has_let_go_makes_no_checkpoint(phone, tablet, box, trimmed, machine):
    before = {name for name in objects(box) if is_checkpoint_name(name.split("/")[1])}
    for _ in range(3):
        machine.clock_ms += DAY_MS
        for number in range(8):
            trimmed.send(f"new {number}")
            visit_with_few(phone, box)
    after = {name for name in objects(box) if is_checkpoint_name(name.split("/")[1])}
    assert after == before
    machine.clock_ms += DAY_MS
    visit_with_few(tablet, box)
    after = {name for name in objects(box) if is_checkpoint_name(name.split("/")[1])}
    assert after > before
    visits(box, phone)
    assert len(elsewhere(phone)) == 3
    assert phone.digest == tablet.digest


def visit_with_few(replica: Replica, box: MemoryMailbox) -> None:
    """A round that makes a checkpoint as soon as a few objects lie there."""
    carry(Courier(Mailing(replica, box.address, checkpoint_objects=2)).run(), box)


@pytest.fixture
def alone(phone, tablet, box, monkeypatch, family):
    """Two devices that keep the last months only, and a mailbox that has everything."""
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 300)
    monkeypatch.setattr(limits, "BATCH_PIECE_BYTES", 400)
    monkeypatch.setattr(limits, "SCREEN_MESSAGES", 2)
    monkeypatch.setattr(limits, "TIDINGS_MS", 0)
    fill(family)
    visits(box, phone, tablet, phone)
    for replica in (phone, tablet):
        replica.set_history_budget(3)
    visits(box, *(phone, tablet) * 3)
    return family


def test_what_a_checkpoint_has_goes_from_all_devices_and_comes_back(phone, tablet, box, alone):
    assert phone.free_space().months_elsewhere == 3
    assert tablet.free_space().months_elsewhere == 3
    visits(box, *(phone, tablet) * 2)
    assert len(elsewhere(phone)) == len(elsewhere(tablet)) == 3
    assert phone.digest == tablet.digest
    phone.fetch_history()
    visit(phone, box)
    assert len(texts(alone)) == 3 * len(MONTHS)
    visits(box, tablet, phone)
    assert phone.digest == tablet.digest
    assert phone.check().ok


def test_what_is_not_in_a_checkpoint_as_it_is_here_stays(phone, tablet, box, alone):
    alone.edit(one_of(alone, "2023-02 number1"), "changed")
    visits(box, *(phone, tablet) * 3)
    assert phone.free_space().months_freed == 2
    assert elsewhere(phone) == {"2023-01", "2023-03"}


def test_a_mailbox_that_lost_something_frees_nothing_before_it_is_there_again(
    phone, laptop, box, alone
):
    assert phone.free_space(preview=True).months_free == 3
    for name in objects(box):
        box.delete(name)
    visit(phone, box)
    assert phone.free_space().months_freed == 0
    visits(box, phone, phone)
    assert phone.free_space().months_freed == 3
    visit(laptop, box)
    assert len(texts(laptop.conversation("family"))) == 3 * len(MONTHS)


def test_an_edit_comes_back_to_who_let_go_of_its_month(phone, tablet, box, alone):
    edited = one_of(alone, "2023-02 number1")
    assert tablet.free_space().months_elsewhere == 3
    alone.edit(edited, "changed")
    visits(box, phone, tablet)
    assert tablet.message(edited.id).text == "changed"
    assert elsewhere(tablet) == {"2023-01", "2023-03"}
    visits(box, phone, tablet, phone)
    assert phone.digest == tablet.digest
    assert tablet.check().ok


def test_where_all_let_go_one_brings_all_back_to_make_a_checkpoint(
    phone, tablet, laptop, box, alone, machine
):
    for replica in (phone, tablet):
        assert replica.free_space().months_elsewhere == 3
    doomed = one_of(alone, "2024-01 number1")
    alone.erase(doomed)
    before = {name.split("/")[1] for name in objects(box) if is_checkpoint_name(name.split("/")[1])}
    for _ in range(4):
        machine.clock_ms += DAY_MS
        visits(box, phone, tablet)
    after = {name.split("/")[1] for name in objects(box) if is_checkpoint_name(name.split("/")[1])}
    assert after
    assert not after & before
    assert phone.digest == tablet.digest
    for _ in range(3):
        machine.clock_ms += DAY_MS
        visits(box, phone, tablet)
        phone.tidy()
    assert len(elsewhere(phone)) == 3
    visit(laptop, box)
    assert len(texts(laptop.conversation("family"))) == 3 * len(MONTHS) - 1
    with pytest.raises(msgsync.ErasedMessage):
        laptop.message(doomed.id)
    assert laptop.check().ok


def test_what_a_later_checkpoint_has_is_all_that_an_earlier_one_had(
    phone, tablet, box, alone, machine
):
    assert phone.free_space().months_elsewhere == 3
    tablet.set_history_budget(None)
    others = tablet.conversation("family")
    for month in ("2023-02", "2023-03"):
        before = {name for name in objects(box) if is_checkpoint_name(name.split("/")[1])}
        doomed = one_of(others, f"{month} number1")
        others.erase(doomed)
        for _ in range(3):
            machine.clock_ms += DAY_MS
            visit(tablet, box)
        assert before.isdisjoint(objects(box))
        visits(box, *(phone, tablet) * 2)
        assert month not in elsewhere(phone)
        assert phone.digest == tablet.digest
        with pytest.raises(msgsync.ErasedMessage):
            phone.message(doomed.id)
    phone.fetch_history()
    visit(phone, box)
    assert not elsewhere(phone)
    assert phone.digest == tablet.digest
    assert phone.check().ok


def test_what_a_checkpoint_does_not_have_is_looked_for_in_it_once(phone, tablet, box, trimmed):
    idle = visit(phone, box).bytes_received
    others = tablet.conversation("family")
    others.erase(one_of(others, "2023-02 number1"))
    visits(box, tablet, phone)
    assert visit(phone, box).bytes_received == idle
    assert len(elsewhere(phone)) == 3


def test_what_lost_an_object_still_gives_back_what_went_for_it(phone, tablet, box, alone, machine):
    assert phone.free_space().months_elsewhere == 3
    tablet.set_history_budget(None)
    alone.send("new")
    before = {*objects(box)}
    visit(phone, box)
    [name] = {*objects(box)} - before
    visit(tablet, box)
    box.delete(name)
    assert [loss.device for loss in visit(phone, box).losses] == [phone.device]
    others = tablet.conversation("family")
    others.erase(one_of(others, "2023-02 number1"))
    for _ in range(3):
        machine.clock_ms += DAY_MS
        visit(tablet, box)
    phone.fetch_history()
    visits(box, *(phone, tablet) * 2)
    assert not elsewhere(phone)
    assert phone.digest == tablet.digest
    assert phone.check().ok


def test_what_is_imported_again_is_back_at_once(phone, tablet, box, trimmed, machine):
    fill(trimmed)
    assert not elsewhere(phone)
    assert phone.digest == tablet.digest
    assert all(report.complete for report in visits(box, phone, tablet, phone))
    assert phone.digest == tablet.digest
    assert phone.check().ok
    phone.tidy()
    assert not elsewhere(phone)  # it came today
    machine.clock_ms += DAY_MS
    visits(box, phone, tablet, phone)
    phone.tidy()
    assert len(elsewhere(phone)) == 3
    visits(box, phone, tablet)
    assert phone.digest == tablet.digest


@pytest.mark.parametrize("change", ["edit", "react", "add"])
def test_what_is_imported_again_and_changed_comes_back_from_a_checkpoint(
    phone, tablet, box, trimmed, change
):
    """The same form of it lay here, and what the checkpoint has was taken for updates alone."""
    with phone.writing():
        fill(trimmed)
        old = one_of(trimmed, "2023-02 number1")
        if change == "edit":
            trimmed.edit(old, "changed")
        elif change == "react":
            trimmed.react(old, "👍")
        else:
            fill(trimmed, ("2023-02",), 4)
    assert elsewhere(phone) == {"2023-02"}
    assert all(report.complete for report in visits(box, phone, tablet))
    assert not elsewhere(phone)
    assert phone.digest == tablet.digest
    assert len(texts(tablet.conversation("family"))) == 3 * len(MONTHS) + (change == "add")
    assert phone.check().ok


def test_what_was_said_of_what_is_imported_again_comes_from_who_has_it(
    phone, tablet, box, trimmed_by_box
):
    others = tablet.conversation("family")
    edited = one_of(others, "2023-02 number1")
    others.edit(edited, "changed")
    visits(box, tablet, phone, tablet, phone)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert phone.free_space().months_elsewhere == 3
    fill(trimmed_by_box)
    assert elsewhere(phone) == {"2023-02"}
    for _ in range(2):  # the checkpoint there is of before the edit
        report = visit(phone, box)
        assert report.codes == ("not-caught-up",)
        assert "1 of them are to come back" in report.refused[0]
    assert msgsync.sync(phone, tablet).complete
    assert phone.message(edited.id).text == "changed"
    assert not elsewhere(phone)
    assert phone.digest == tablet.digest
    assert all(report.complete for report in visits(box, phone, tablet, phone))
    assert [device.behind for device in phone.devices()] == [0, 0]


def test_what_is_imported_again_and_was_erased_stays_so(phone, tablet, box, trimmed):
    others = tablet.conversation("family")
    doomed = one_of(others, "2023-02 number1")
    others.erase(doomed)
    visits(box, tablet, phone)
    fill(trimmed)
    msgsync.sync(phone, tablet)
    with pytest.raises(msgsync.ErasedMessage):
        phone.message(doomed.id)
    assert not elsewhere(phone)
    assert phone.digest == tablet.digest
    assert all(report.complete for report in visits(box, phone, tablet))


def test_a_round_is_not_complete_while_a_month_that_was_asked_for_is_not_there(
    phone, tablet, box, family
):
    fill(family)
    msgsync.sync(phone, tablet)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    assert phone.free_space().months_elsewhere == 3
    assert visit(phone, box).complete
    phone.fetch_history()
    assert not visit(phone, box).complete
    assert phone.digest != tablet.digest
    phone.set_history_budget(3)  # nobody asks any more
    assert visit(phone, box).complete
    assert phone.digest == tablet.digest


def test_once_all_is_back_from_a_mailbox_the_same_round_says_so(phone, tablet, box, trimmed):
    phone.set_history_budget(None)
    visits(box, phone, tablet)
    assert not elsewhere(phone)
    assert [device.keeps_from_ms for device in tablet.devices()] == [None, None]
    assert phone.digest == tablet.digest


@pytest.mark.parametrize("editor", ["phone", "tablet"])
def test_a_checkpoint_of_before_a_change_is_not_all_that_was_here(
    phone, tablet, box, trimmed_by_box, editor
):
    """What came of it was taken for the whole month, and the change was lost here."""
    there = (phone if editor == "phone" else tablet).conversation("family")
    edited = one_of(there, "2023-02 number1")
    there.edit(edited, "changed")
    visits(box, tablet, phone, tablet, phone)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert phone.free_space().months_elsewhere == 3
    phone.set_history_budget(None)
    visits(box, phone, tablet, phone)
    assert elsewhere(phone) == {"2023-02"}
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert not elsewhere(phone)
    assert phone.message(edited.id).text == "changed"
    assert phone.digest == tablet.digest


@pytest.fixture
def trimmed_by_box(phone, tablet, box, monkeypatch, family):
    """The phone's conversation, of which old months may go from there since a checkpoint has them as they are."""
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 300)
    monkeypatch.setattr(limits, "BATCH_PIECE_BYTES", 400)
    monkeypatch.setattr(limits, "SCREEN_MESSAGES", 2)
    fill(family)
    visits(box, phone, tablet, phone)
    phone.set_history_budget(3)
    visits(box, phone, tablet, phone, tablet, phone)
    assert phone.free_space(preview=True).months_free == 3
    return family


def test_a_promise_of_before_a_change_is_not_all_that_was_here(
    phone, tablet, laptop, box, monkeypatch, machine, family
):
    monkeypatch.setattr(limits, "BATCH_FILL_BYTES", 300)
    monkeypatch.setattr(limits, "BATCH_PIECE_BYTES", 400)
    monkeypatch.setattr(limits, "SCREEN_MESSAGES", 2)
    fill(family)
    phone.set_history_budget(3)
    for _ in range(3):
        for other in (tablet, laptop):  # the tablet promises
            msgsync.sync(phone, other)
    edited = one_of(family, "2023-02 number1")
    family.edit(edited, "changed")
    for _ in range(3):
        visits(box, phone, laptop)
        machine.clock_ms += DAY_MS
    visit_with_few(laptop, box)
    visits(box, phone, laptop, phone)
    assert phone.free_space().months_elsewhere == 3
    phone.set_history_budget(None)
    msgsync.sync(phone, tablet)  # which has not heard of it
    visits(box, phone, laptop, phone, laptop)
    assert phone.message(edited.id).text == "changed"
    assert phone.digest == laptop.digest


def test_a_checkpoint_that_lacks_part_of_another_one_is_not_all_that_was_here(
    phone, tablet, laptop, box, trimmed_by_box, machine
):
    """Its device could not read the one that the months went for, and said so."""
    assert phone.free_space().months_elsewhere == 3
    [folder] = checkpoints(box)
    for name in sorted(one for one in objects(box) if folder in one)[1:-2]:
        box.put(name, b"damaged")
    others = tablet.conversation("family")
    others.edit(one_of(others, "2023-02 number1"), "changed")
    visit(tablet, box)
    for _ in range(4):
        visit(laptop, box)
        machine.clock_ms += DAY_MS
    assert checkpoints(box) > {folder}
    visits(box, phone, phone)
    assert "2023-02" in elsewhere(phone)
    phone.set_history_budget(None)
    for _ in range(2):
        msgsync.sync(phone, tablet)
    assert len(texts(trimmed_by_box)) == 3 * len(MONTHS)
    assert phone.digest == tablet.digest


def checkpoints(box: MemoryMailbox) -> set[str]:
    """The folders of those that lie there."""
    return {name.split("/")[1] for name in objects(box) if is_checkpoint_name(name.split("/")[1])}


def test_a_device_that_wants_to_let_months_go_makes_the_first_checkpoint(
    phone, tablet, box, family, machine
):
    fill(family)
    visits(box, phone, tablet, phone)
    assert not checkpoints(box)
    phone.set_history_budget(3)
    for _ in range(3):
        visits(box, phone, tablet)
        machine.clock_ms += DAY_MS
    [made] = checkpoints(box)
    visit(phone, box)
    assert len(elsewhere(phone)) == 3
    for _ in range(9):
        family.send("again")
        visits(box, phone, tablet)
        machine.clock_ms += DAY_MS
    assert checkpoints(box) == {made}  # once is enough
    assert phone.digest == tablet.digest
    phone.fetch_history(conversation="family")
    visit(phone, box)
    assert not elsewhere(phone)


def test_nor_does_it_before_months_could_go(phone, tablet, laptop, box, family, machine):
    fill(family)
    visits(box, phone, tablet)
    msgsync.sync(phone, laptop)
    phone.set_history_budget(3)
    for _ in range(5):
        visits(box, phone, tablet)
        machine.clock_ms += DAY_MS
    assert phone.free_space(preview=True).months_wait_for == (str(laptop.device),)
    assert not checkpoints(box)
