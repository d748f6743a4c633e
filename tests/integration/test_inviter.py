"""An invitation in a thread of its own: how it begins, and every way in which it ends."""

from __future__ import annotations

import threading

import pytest

import msgsync
from msgsync import (
    InvitationOver,
    Inviter,
    JoiningDenied,
    JoinRequest,
    MsgSyncError,
    PeerError,
    ReadOnly,
    ReplicaClosed,
)
from tests.integration.heard import PATIENCE_S, in_thread


class Person:
    """Is asked, and says something when told what."""

    def __init__(self, answer: bool | None = None) -> None:
        self.asked, self.told = threading.Event(), threading.Event()
        self.requests: list[JoinRequest] = []
        self.answer = answer
        if answer is not None:
            self.told.set()

    def __call__(self, request: JoinRequest) -> bool:
        self.requests.append(request)
        self.asked.set()
        assert self.told.wait(PATIENCE_S)
        return bool(self.answer)


def test_a_device_joins_while_the_program_does_something_else(phone, tmp_path):
    person = Person(answer=True)
    with Inviter(phone, on_request=person, scanned=True) as inviter:
        assert not inviter.wait(0)
        invited = inviter.invited
        with msgsync.join(tmp_path / "tablet.db", invited.code, invited.address) as tablet:
            assert inviter.wait(PATIENCE_S)
            assert inviter.device == tablet.device
            assert msgsync.sync(phone, tablet).complete
    assert {one.id for one in phone.devices()} == {phone.device, tablet.device}


def test_it_is_stopped_from_another_thread_and_its_code_is_worth_nothing(phone, tmp_path):
    inviter = Inviter(phone, on_request=Person(answer=True), scanned=True)
    end = in_thread(inviter.wait)
    invited = inviter.invited
    inviter.stop()
    assert end() is None
    assert inviter.device is None
    inviter.stop()
    with pytest.raises(PeerError):
        msgsync.join(tmp_path / "tablet.db", invited.code, invited.address)
    assert not (tmp_path / "tablet.db").exists()
    assert len(phone.devices()) == 1
    with Inviter(phone, invited.address, on_request=Person(answer=True)) as again:
        assert again.invited.address == invited.address  # the port is free
        assert again.invited.code != invited.code


def test_stopping_does_not_wait_for_the_person_whose_answer_counts_no_more(phone, tmp_path):
    person = Person()
    inviter = Inviter(phone, on_request=person, scanned=True)
    invited = inviter.invited
    joining = in_thread(
        lambda: msgsync.join(tmp_path / "tablet.db", invited.code, invited.address).close()
    )
    assert person.asked.wait(PATIENCE_S)
    inviter.stop()
    assert not person.told.is_set()
    assert isinstance(joining(), MsgSyncError)
    person.answer = True
    person.told.set()
    assert inviter.device is None
    assert len(phone.devices()) == 1
    assert not (tmp_path / "tablet.db").exists()


def test_a_mailbox_says_nothing_of_an_invitation_that_was_stopped(phone, tmp_path):
    folder = tmp_path / "post"
    folder.mkdir()
    with Inviter(phone, folder.as_uri(), on_request=Person(answer=True), scanned=True):
        assert [one for one in folder.rglob("*") if one.is_file()]
    assert not [one for one in folder.rglob("*") if one.is_file()]


def test_why_nobody_joined_is_raised_by_stop_and_by_wait(phone, tmp_path):
    inviter = Inviter(phone, on_request=Person(answer=False), scanned=True)
    invited = inviter.invited
    with pytest.raises(JoiningDenied):
        msgsync.join(tmp_path / "tablet.db", invited.code, invited.address)
    with pytest.raises(JoiningDenied):
        inviter.wait(PATIENCE_S)
    with pytest.raises(JoiningDenied):
        inviter.stop()
    other = Inviter(phone, on_request=Person(answer=True))
    code = other.invited.code
    for _ in range(3):
        with pytest.raises(MsgSyncError):
            msgsync.join(
                tmp_path / "tablet.db", code[:-1] + "01"[code[-1] == "0"], other.invited.address
            )
    with pytest.raises(InvitationOver):
        other.wait(PATIENCE_S)
    with pytest.raises(InvitationOver):
        other.stop()


def test_it_says_at_once_that_it_cannot_begin(phone, tmp_path):
    with Inviter(phone, on_request=Person()) as first, pytest.raises(PeerError):
        Inviter(phone, first.invited.address, on_request=Person())
    with msgsync.open(phone.path, readonly=True) as reader, pytest.raises(ReadOnly):
        Inviter(reader, on_request=Person())
    phone.close()
    with pytest.raises(ReplicaClosed):
        Inviter(phone, on_request=Person())
