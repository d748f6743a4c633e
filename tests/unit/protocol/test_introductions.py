"""Hellos that keep back what there is until both sides are known to be in the account; and what ends a session then."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

import msgsync
from msgsync import Conversation, DeviceRevoked, NotAMember, ProtocolError, Replica
from msgsync.ids import DeviceId
from msgsync.protocol.frames import (
    Alive,
    Done,
    Frame,
    Hello,
    Keys,
    Offers,
    Refuse,
    Start,
    Stranger,
)
from msgsync.protocol.greeting import curt, is_curt
from msgsync.protocol.session import Session
from msgsync.protocol.wire import decode_frame, encode_frame
from msgsync.replica.exchange import Exchange
from tests.unit.conftest import Opener
from tests.unit.protocol.line import Line


@pytest.fixture
def newcomer(
    open_replica: Opener, phone: Replica, tablet: Replica, family: Conversation
) -> Replica:
    """Added by the phone, and has what the phone has; the tablet has not heard of it."""
    newcomer = open_replica("newcomer.db", member=phone)
    family.send("hello")
    msgsync.sync(phone, newcomer)
    return newcomer


def shown(first: Replica, second: Replica, **options: Any) -> Line:
    """A line on which each side has shown the other which device it is."""
    return Line(
        Session(Exchange(first), authenticated=second.device, **options),
        Session(Exchange(second), authenticated=first.device, **options),
    )


def said(session: Session) -> list[Frame]:
    frames = []
    while (raw := session.next_frame()) is not None:
        frames.append(decode_frame(raw[4:]))
    return frames


def feed(session: Session, *frames: Frame) -> None:
    for frame in frames:
        session.receive(encode_frame(frame)[4:])


def test_between_members_the_first_hello_is_whole(phone, tablet, family):
    line = shown(phone, tablet)
    assert line.carry()
    assert not any(map(is_curt, line.sent(Hello)))
    assert len(line.sent(Hello)) == 2
    assert phone.digest == tablet.digest


@pytest.mark.parametrize("first", [False, True])
def test_to_a_stranger_all_is_said_once_it_is_known_to_be_in_the_account(tablet, newcomer, first):
    line = shown(newcomer, tablet) if first else shown(tablet, newcomer)
    assert line.carry()
    side = int(first)
    mine, theirs = line.sent(Hello, side), line.sent(Hello, 1 - side)
    assert [is_curt(one) for one in mine] == [True, False]
    assert mine[0] == curt(mine[1])
    assert [is_curt(one) for one in theirs] == [False], "who is known is told all at once"
    kinds = [(number, type(frame)) for number, frame in line.frames]
    again = len(kinds) - 1 - kinds[::-1].index((side, Hello))
    assert again > max(at for at, (_, kind) in enumerate(kinds) if kind is Keys and at < again)
    assert not any(kind is Keys for _, kind in kinds[again:])
    assert line.first.complete
    assert line.second.complete
    assert tablet.digest == newcomer.digest


def test_two_strangers_both_say_all_once_they_know_each_other(tablet, newcomer, open_replica):
    watch = open_replica("watch.db", member=tablet)
    line = shown(watch, newcomer, live=True)
    line.carry()
    for side in (0, 1):
        assert [is_curt(one) for one in line.sent(Hello, side)] == [True, False]
    assert line.first.live
    assert line.second.live
    assert line.first.idle
    assert line.second.idle
    assert watch.digest == newcomer.digest


def introduced(tablet: Replica, newcomer: Replica) -> tuple[Session, Hello]:
    """A session of the newcomer that waits for the whole hello of the tablet; and that hello."""
    line = shown(newcomer, tablet)
    while True:
        raw = line.second.next_frame()
        if raw is not None:
            frame = decode_frame(raw[4:])
            if isinstance(frame, Hello) and not is_curt(frame):
                return line.first, frame
            line.first.receive(raw[4:])
        if (raw := line.first.next_frame()) is not None:
            line.second.receive(raw[4:])


@pytest.mark.parametrize(
    "frame", [Start(b""), Done(bytes(16)), Alive(bytes(16)), Stranger((), b"")]
)
def test_nothing_is_due_between_a_curt_hello_and_a_whole_one(tablet, newcomer, frame):
    session, _ = introduced(tablet, newcomer)
    feed(session, frame)
    assert isinstance(session.error, ProtocolError)
    assert "while INTRODUCED was due" in str(session.error)


def test_the_second_hello_is_what_the_session_goes_by(tablet, newcomer):
    session, whole = introduced(tablet, newcomer)
    feed(session, whole)
    assert session.error is None
    assert Offers in {type(frame) for frame in said(session)}


@pytest.mark.parametrize(
    "changes",
    [
        {"device": bytes(8)},
        {"store_id": bytes(16)},
        {"time_ms": 1},
        {"keys": bytes(6)},
        {"known": bytes(6)},
    ],
)
def test_a_second_hello_says_nothing_else_and_is_not_curt_again(tablet, newcomer, changes):
    session, whole = introduced(tablet, newcomer)
    feed(session, replace(whole, **changes))
    assert isinstance(session.error, ProtocolError)
    assert "hello anew" in str(session.error)
    assert isinstance(said(session)[-1], Refuse)


def test_a_refusal_is_heard_between_both_hellos(tablet, newcomer):
    session, _ = introduced(tablet, newcomer)
    feed(session, Refuse(3, "x"))
    assert str(session.error) == "the peer refused: x"
    assert session.finished


# Who is revoked meanwhile.


def live(first: Replica, second: Replica) -> Line:
    line = Line(Session(Exchange(first), live=True), Session(Exchange(second), live=True))
    line.carry()
    assert line.first.idle
    return line


def test_whether_both_are_in_the_account_is_looked_at_before_a_frame_is_read(phone, tablet, family):
    """So who was revoked is told that, and nothing about the frame; and it is the notice that comes first."""
    line = live(phone, tablet)
    phone.revoke(tablet.device, even_without_recovery=True)
    line.first.receive(b"\0")
    assert type(line.first.error) is NotAMember
    assert [type(frame) for frame in said(line.first)] == [Keys, Refuse]


def test_a_device_that_hears_of_its_own_revocation_ends_the_session_at_once(phone, tablet, family):
    phone.revoke(tablet.device, even_without_recovery=True)
    line = Line.between(phone, tablet)
    while not line.sent(Keys, 0):
        assert not line.carry(frames=1)
    assert isinstance(line.second.error, DeviceRevoked), "before the refusal comes"
    assert not line.sent(Refuse)


class Renaming(Exchange):
    """A side whose replica learns something of the account while something is read for the peer."""

    at = ""

    def _rename(self, moment: str) -> None:
        if moment == self.at:
            self.at = ""
            self._replica.rename_device("meanwhile")

    def changes(self, seq: int) -> Any:
        found = super().changes(seq)
        self._rename("changes")
        return found


@pytest.mark.parametrize("wrote", [False, True])
def test_what_was_read_goes_though_something_of_the_account_has_come_meanwhile(
    phone, tablet, family, wrote
):
    exchange = Renaming(phone)
    line = Line(Session(exchange, live=True), Session(Exchange(tablet), live=True))
    line.carry()
    assert line.first.idle
    exchange.at = "changes"
    if wrote:
        family.send("news")
    line.first.changed()
    line.carry()
    line.second.changed()
    line.carry()
    names = [one.name for one in tablet.devices() if one.id == phone.device]
    assert names == ["meanwhile"]
    assert phone.digest == tablet.digest
    assert line.first.error is line.second.error is None


def test_another_device_than_the_channel_showed_is_told_nothing(tablet, newcomer):
    session = Session(Exchange(tablet), authenticated=DeviceId(b"\xaa" * 8))
    [hello] = said(session)
    assert isinstance(hello, Hello)
    assert is_curt(hello)
    feed(session, *said(Session(Exchange(newcomer))))
    assert isinstance(session.error, ProtocolError)
