"""A replica as a whole: devices, status, values."""

from __future__ import annotations

from dataclasses import FrozenInstanceError
from datetime import UTC, datetime

import pytest

import msgsync
from msgsync import Cursor, Incoming, InvalidValue, UnknownMessage
from msgsync.replica.system import RealSystem, draw_client
from tests.unit.machine import START_MS, Machine


def test_a_new_device_belongs_to_the_account_and_is_another_device(phone, tmp_path):
    with phone.new_device(tmp_path / "tablet.db") as tablet:
        assert tablet.account == phone.account
        assert tablet.device != phone.device
        assert tablet.author == "ann"
        assert tablet.conversations() == []
        device = tablet.device
    with phone.new_device(tmp_path / "tablet.db", author="Ann") as again:
        assert (again.device, again.author) == (device, "Ann")


def test_a_new_device_has_a_clock_and_randomness_of_its_own_if_it_is_given_them(phone, tmp_path):
    with phone.new_device(tmp_path / "tablet.db", system=Machine(seed=7)) as tablet:
        assert isinstance(tablet.system, Machine)
        tablet.system.clock_ms += 60_000
        assert tablet.system.now_ms() != phone.system.now_ms()


def test_a_replica_has_one_of_two_durabilities(tmp_path):
    with pytest.raises(InvalidValue, match="durability"):
        msgsync.open(tmp_path / "a.db", durability="none")  # type: ignore[arg-type]
    assert list(tmp_path.iterdir()) == []


def test_status_counts_what_is_here(phone, family):
    empty = phone.status()
    assert (empty.conversations, empty.documents, empty.messages, empty.erased) == (1, 1, 0, 0)
    sent = [family.send(str(number)) for number in range(3)]
    family.delete(sent[0])
    family.erase(sent[1])
    status = phone.status()
    assert (status.conversations, status.documents, status.messages, status.erased) == (1, 2, 2, 1)
    assert (status.unreadable, status.refused, status.erasure_pending, status.cloned) == (
        0,
        (),
        False,
        False,
    )
    assert status.digest == phone.digest.hex()
    assert status.account == str(phone.account)
    assert status.device == str(phone.device)
    assert status.file_bytes > 4096


def test_the_digest_of_a_replica_says_its_state(phone, tablet, family):
    assert tablet.digest == bytes(16)
    family.send("hello")
    msgsync.sync(phone, tablet)
    assert tablet.digest == phone.digest != bytes(16)


def test_messages_of_any_conversation_are_found_by_their_id(phone):
    phone.ingest(Incoming(name, "ben", name, START_MS, external_id="1") for name in ("a", "b"))
    for name in ("a", "b"):
        message = phone.conversation(name).find("1")
        assert message is not None
        assert phone.message(message.id) == message
        other = phone.conversation("b" if name == "a" else "a")
        with pytest.raises(UnknownMessage):
            other.message(message.id)


def test_ingesting_takes_any_iterable_and_counts(phone):
    batch = [Incoming("irc", "ben", "same", START_MS, order=n) for n in range(3)]
    assert phone.ingest(iter(batch)) == msgsync.IngestReport(3, 0, 0)
    assert phone.ingest(batch) == msgsync.IngestReport(0, 3, 0)
    assert phone.ingest([]) == msgsync.IngestReport()
    assert msgsync.IngestReport(1, 2, 3) + msgsync.IngestReport(1, 1, 1) == msgsync.IngestReport(
        2, 3, 4
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"conversation": ""},
        {"author": ""},
        {"sent_ms": -1},
        {"sent_ms": 1.5},
        {"external_id": ""},
        {"order": -1},
        {"kind": ""},
        {"text": None},
        {"extra": [1]},
        {"edits": (msgsync.Edit("x", -1),)},
        {"reactions": (msgsync.Reaction("", "x", 0),)},
        {"reactions": (msgsync.Reaction("a", "", 0),)},
        {"deleted_ms": -1},
        {"deleted_ms": 2**48},
    ],
)
def test_an_incoming_message_of_a_wrong_form_is_refused(phone, changes):
    values = {
        "conversation": "c",
        "author": "ben",
        "text": "x",
        "sent_ms": START_MS,
        "external_id": "1",
    }
    with pytest.raises(InvalidValue):
        phone.ingest([Incoming(**(values | changes))])
    assert phone.digest == bytes(16)


def test_values_cannot_be_changed(family):
    sent = family.send("hello")
    with pytest.raises(FrozenInstanceError):
        sent.text = "forged"
    with pytest.raises(FrozenInstanceError):
        family.messages().messages = ()


def test_times_are_shown_in_utc_as_far_as_python_goes(family):
    assert family.send("x", sent=START_MS).sent == datetime(2024, 1, 31, 23, 50, tzinfo=UTC)
    late = msgsync.MessageId((2**48 - 1).to_bytes(6, "big") + bytes(6))
    assert Cursor.START < Cursor(0, 0, b"") < Cursor(late.ms, 0, b"")


def test_the_real_machine_knows_the_time_and_draws_53_bits():
    system = RealSystem()
    assert abs(system.now_ms() / 1000 - datetime.now(UTC).timestamp()) < 60
    assert len(system.random_bytes(16)) == 16
    drawn = {draw_client(system) for _ in range(50)}
    assert len(drawn) == 50
    assert all(0 < client < 2**53 for client in drawn)
