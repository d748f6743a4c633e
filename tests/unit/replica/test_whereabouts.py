"""Where a message is, and waiting until it is on others."""

from __future__ import annotations

import threading

import pytest

import msgsync
from msgsync import InvalidValue
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.testing import SimulatedNetwork
from tests.unit.protocol.line import Line
from tests.unit.replica.known import devices_of, summary
from tests.unit.replica.test_history import fill


def test_a_message_is_first_known_to_be_here_alone(phone, family):
    message = family.send("one")
    assert phone.where_is(message).devices == (phone.device,)
    assert phone.status().only_here == 1
    [this] = phone.devices()
    assert this.is_this
    assert this.behind == 0


def test_an_exchange_shows_on_both_sides_that_both_have_it(phone, tablet, family):
    message = family.send("one")
    msgsync.sync(phone, tablet)
    for replica in (phone, tablet):
        assert devices_of(replica, message) == {phone.device, tablet.device}
        assert replica.status().only_here == 0


def test_a_device_that_is_never_met_is_known_through_another(phone, tablet, laptop, family):
    message = family.send("one")
    msgsync.sync(phone, tablet)
    msgsync.sync(tablet, laptop)
    everybody = {phone.device, tablet.device, laptop.device}
    assert devices_of(laptop, message) == everybody
    assert devices_of(phone, message) == {phone.device, tablet.device}
    msgsync.sync(tablet, phone)
    assert devices_of(phone, message) == everybody
    assert summary(phone, laptop).behind == 0


def test_an_edit_is_not_known_to_be_where_the_message_is(phone, tablet, family):
    message = family.send("one")
    msgsync.sync(phone, tablet)
    family.edit(message, "two")
    where = phone.where_is(message)
    assert where.devices == (phone.device,)
    assert where.unknown == (tablet.device,)


def test_who_has_erased_a_message_and_who_is_not_known_to_have(phone, tablet, laptop, family):
    message = family.send("one")
    for replica in (tablet, laptop, tablet):
        msgsync.sync(phone, replica)
    family.erase(message)
    msgsync.sync(phone, tablet)
    where = phone.where_is(message.id)
    assert where.devices == ()
    assert set(where.erased_on) == {phone.device, tablet.device}
    assert where.unknown == (laptop.device,)


def test_a_message_that_is_not_here_is_nowhere(phone, tablet, family):
    message = family.send("one")
    with pytest.raises(msgsync.UnknownMessage):
        tablet.where_is(message)
    with pytest.raises(InvalidValue):
        phone.where_is("no id")


def test_of_a_message_that_went_with_its_month_it_is_said_how_that_comes_back(
    phone, tablet, family
):
    fill(family)
    [oldest] = family.messages(limit=1, after=msgsync.Cursor.START)
    msgsync.sync(phone, tablet)
    phone.set_history_budget(3)
    msgsync.sync(phone, tablet)
    assert phone.free_space().months_freed
    with pytest.raises(msgsync.UnknownMessage, match="fetch_history"):
        phone.where_is(oldest)


def test_who_was_filled_only_in_part_has_nothing_that_one_could_count_on(phone, tablet, family):
    message = family.send("one")
    for frames in range(5):
        SimulatedNetwork(1).sync(phone, tablet, frames=frames)
        assert devices_of(phone, message) == {phone.device}
    msgsync.sync(phone, tablet)
    assert devices_of(phone, message) == {phone.device, tablet.device}


def test_what_is_pushed_is_known_to_be_there_at_once(phone, tablet, family):
    told: list[int] = []
    phone.on_known(told.append)
    line = Line(Session(Exchange(phone), live=True), Session(Exchange(tablet), live=True))
    for replica, session in ((phone, line.first), (tablet, line.second)):
        replica.on_commit(lambda _seq, session=session: session.changed())
    line.carry()
    message = family.send("one")
    assert devices_of(phone, message) == {phone.device}
    told.clear()
    line.carry()
    for replica in (phone, tablet):
        assert devices_of(replica, message) == {phone.device, tablet.device}
    assert told
    phone.close()
    with msgsync.open(phone.path, system=phone.system) as again:
        assert devices_of(again, message) == {phone.device, tablet.device}, "it is kept"


def test_what_both_write_at_once_is_known_to_be_on_both_in_the_end(phone, tablet, family):
    line = Line(Session(Exchange(phone), live=True), Session(Exchange(tablet), live=True))
    for replica, session in ((phone, line.first), (tablet, line.second)):
        for subscribe in (replica.on_commit, replica.on_known):
            subscribe(lambda _seq, session=session: session.changed())
    line.carry()
    messages = []
    for number in range(5):
        messages.append(family.send(f"{number}"))
        messages.append(tablet.conversation("family").send(f"{number}"))
        line.carry(frames=number)
    line.carry()
    for replica in (phone, tablet):
        for message in messages:
            assert devices_of(replica, message) == {phone.device, tablet.device}


def test_beside_a_writer_it_can_be_asked_too(phone, tablet, family):
    message = family.send("one")
    msgsync.sync(phone, tablet)
    with msgsync.open(phone.path, readonly=True, system=phone.system) as beside:
        assert devices_of(beside, message) == {phone.device, tablet.device}
        assert [each.id for each in beside.devices()] == [each.id for each in phone.devices()]


# Waiting.


def test_a_write_can_wait_until_it_is_elsewhere(phone, tablet, family):
    message = family.send("one")
    with pytest.raises(msgsync.NotThereYet):
        phone.wait_for(message, timeout=0)
    found: list[msgsync.Whereabouts] = []
    waiting = threading.Thread(target=lambda: found.append(phone.wait_for(message, timeout=60)))
    waiting.start()
    msgsync.sync(phone, tablet)
    waiting.join(60)
    assert set(found[0].devices) == {phone.device, tablet.device}
    assert phone.wait_for(str(message.id), devices=1, timeout=0) == found[0]
    with pytest.raises(msgsync.NotThereYet):
        phone.wait_for(message, devices=2, timeout=0)


def test_nobody_waits_for_what_cannot_come(phone, tablet, family):
    message = family.send("one")
    for count in (0, -1, True, 1.0):
        with pytest.raises(InvalidValue):
            phone.wait_for(message, devices=count)
    with pytest.raises(msgsync.UnknownMessage):
        tablet.wait_for(message)
    with (
        msgsync.open(phone.path, readonly=True, system=phone.system) as beside,
        pytest.raises(msgsync.ReadOnly),
    ):
        beside.wait_for(message)
    family.erase(message)
    with pytest.raises(msgsync.ErasedMessage):
        phone.wait_for(message)


def test_closing_ends_the_waiting(phone, family):
    message = family.send("one")
    errors: list[BaseException] = []

    def wait() -> None:
        try:
            phone.wait_for(message)
        except msgsync.ReplicaClosed as error:
            errors.append(error)

    waiting = threading.Thread(target=wait)
    waiting.start()
    phone.close()
    waiting.join(60)
    assert len(errors) == 1
