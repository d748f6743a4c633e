"""Rosters and epochs in sessions: who hears of whom, who is refused, and when. Source: docs/specification.md."""

from __future__ import annotations

import shutil
import threading
from functools import partial

import pytest

import msgsync
from msgsync import DeviceRevoked, MemoryMailbox, NotAMember, ProtocolError, Replica
from msgsync.account.keyobject import read_key_object
from msgsync.account.keys import SecretKeys
from msgsync.ids import DeviceId
from msgsync.protocol.frames import Hello, Keys, Known, Offers, Push, Refuse, Stranger, Updates
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from msgsync.replica.keyholder import Holder
from tests.unit.members import PLAYED, enrolled
from tests.unit.protocol.line import Line
from tests.unit.protocol.test_courier import visit


def members(replica: Replica) -> set[DeviceId]:
    return {*replica.membership.roster().state.members}


def know_the_same(*replicas: Replica) -> bool:
    assert all(replica.check().ok for replica in replicas)
    return len({replica.membership.digest() for replica in replicas}) == 1


@pytest.fixture
def laptop(open_replica, phone, tablet):
    """Added by the phone; the tablet has not heard of it."""
    return open_replica("laptop.db", member=phone)


@pytest.fixture
def watch(open_replica, tablet, laptop):
    """Added by the tablet; neither the phone nor the laptop has heard of it."""
    return open_replica("watch.db", member=tablet)


def _tell(session: Session, _seq: int) -> None:
    session.changed()


def live(first: Replica, second: Replica) -> Line:
    line = Line(Session(Exchange(first), live=True), Session(Exchange(second), live=True))
    for replica, session in ((first, line.first), (second, line.second)):
        for subscribe in (replica.on_commit, replica.on_known):
            subscribe(partial(_tell, session))
    line.carry()
    assert line.first.idle
    assert line.second.idle
    return line


# Who hears of whom.


def test_a_device_that_was_added_elsewhere_is_heard_of_before_anything_else(
    phone, tablet, laptop, family
):
    family.send("hello")
    msgsync.sync(phone, laptop)
    assert laptop.device not in members(tablet)
    line = Line.between(laptop, tablet)
    assert line.carry()
    assert line.first.complete
    kinds = [type(frame) for _, frame in line.frames]
    assert kinds.index(Push) > max(at for at, kind in enumerate(kinds) if kind is Keys)
    assert [side for side, frame in line.frames if isinstance(frame, Stranger)] == [1]
    assert members(tablet) == members(laptop) == {phone.device, tablet.device, laptop.device}
    assert know_the_same(tablet, laptop)


def test_two_that_never_heard_of_each_other_introduce_themselves(phone, tablet, laptop, watch):
    laptop.create_conversation("Family", id="family").send("hello")
    line = Line.between(laptop, watch)
    assert line.carry()
    assert line.first.complete
    assert line.second.complete
    assert {side for side, frame in line.frames if isinstance(frame, Stranger)} == {0, 1}
    assert len(members(watch)) == 4
    assert know_the_same(laptop, watch)
    assert laptop.digest == watch.digest


def test_who_has_the_newer_epoch_is_introduced_to_and_shows_nothing_to_a_stranger(
    phone, tablet, laptop, watch
):
    laptop.rotate()
    line = Line.between(laptop, watch)
    assert line.carry()
    assert line.first.complete
    introducing = [
        side for side, frame in line.frames if isinstance(frame, Keys) and frame.introduces
    ]
    assert introducing == [1]
    assert know_the_same(laptop, watch)
    assert watch.membership.keyring() == laptop.membership.keyring()


def test_strangers_with_epochs_of_their_own_need_somebody_who_knows_both(
    phone, tablet, laptop, watch
):
    laptop.rotate()
    watch.rotate()
    line = Line.between(laptop, watch)
    assert line.carry()
    for session in (line.first, line.second):
        assert isinstance(session.error, NotAMember)
    assert "a device that knows the other first" in str(line.first.error)
    for one, other in (
        (phone, laptop),
        (tablet, watch),
        (phone, tablet),
        (laptop, phone),
        (watch, tablet),
    ):
        assert msgsync.sync(one, other).complete
    assert msgsync.sync(laptop, watch).complete
    assert know_the_same(laptop, watch)
    assert watch.membership.keyring() == laptop.membership.keyring()
    assert len(watch.membership.keyring().remnants()) == 3


def test_equal_rosters_are_not_sent(phone, tablet, laptop):
    msgsync.sync(tablet, laptop)
    line = Line.between(tablet, laptop)
    line.carry()
    assert [type(frame) for _, frame in line.frames] == [Hello, Hello]


def test_what_both_had_alone_needs_one_telling_each(phone, tablet):
    phone.rename_device("Phone")
    tablet.rename_device("Tablet")
    line = Line.between(phone, tablet)
    assert line.carry()
    assert len(line.sent(Keys)) == 2
    assert know_the_same(phone, tablet)
    assert {one.name for one in phone.devices()} == {"Phone", "Tablet"}


def test_a_long_roster_travels_in_pieces(phone, tablet):
    for number in range(300):
        phone.rename_device(f"phone {number} " + "x" * 100)
    line = Line.between(phone, tablet)
    assert line.carry()
    assert line.first.complete
    assert know_the_same(phone, tablet)


def test_an_old_backup_learns_what_it_slept_through(phone, tablet, laptop, tmp_path, open_replica):
    tablet.backup(tmp_path / "old.backup")
    phone.rename_device("Phone")
    phone.rotate()
    msgsync.sync(phone, tablet)
    tablet.close()
    with msgsync.restore(tmp_path / "old.backup", tmp_path / "again.db") as again:
        assert len(members(again)) == 2
        assert msgsync.sync(phone, again).complete
        assert know_the_same(phone, again)


def test_who_reads_tells_and_learns_nothing(phone, tablet, laptop):
    before = phone.membership.digest()
    with msgsync.open(phone.path, readonly=True) as reader:
        tablet.rename_device("Tablet")
        msgsync.sync(tablet, reader)
        assert laptop.device in members(tablet)
        assert reader.membership.digest() == before
    assert phone.membership.digest() == before


# Who is refused.


def test_a_revoked_device_is_told_so_and_gets_nothing(phone, tablet, family):
    msgsync.sync(phone, tablet)
    phone.revoke(tablet.device, even_without_recovery=True)
    family.send("not for the tablet")
    tablet.conversation("family").send("not for the phone")
    before = phone.digest, tablet.digest
    line = Line.between(phone, tablet)
    assert line.carry()
    assert type(line.first.error) is NotAMember
    assert str(tablet.device) in str(line.first.error)
    assert isinstance(line.second.error, DeviceRevoked)
    assert "keep the file or wipe it" in str(line.second.error)
    assert (phone.digest, tablet.digest) == before
    assert tablet.revoked
    assert not phone.revoked
    [secret] = {*phone.membership.keyring()} - {*tablet.membership.keyring()}
    assert secret == phone.membership.roster().state.epoch
    assert not line.sent(Offers)
    assert not line.sent(Push)


def test_it_stays_refused_whoever_begins(phone, tablet, family):
    phone.revoke(tablet.device, even_without_recovery=True)
    for _ in range(2):
        with pytest.raises(NotAMember):
            msgsync.sync(phone, tablet)
        with pytest.raises(DeviceRevoked):
            msgsync.sync(tablet, phone)


def test_a_revoked_device_hears_of_nothing_that_came_later(phone, tablet, laptop, tmp_path):
    msgsync.sync(phone, tablet)
    phone.revoke(tablet.device)
    with phone.new_device(tmp_path / "later.db") as later:
        with pytest.raises(DeviceRevoked):
            msgsync.sync(tablet, phone)
        assert later.device not in members(tablet)
        with pytest.raises(DeviceRevoked):  # told by one that it never heard of
            msgsync.sync(tablet, later)


def test_who_has_not_heard_of_the_revocation_goes_on_until_it_hears(phone, tablet, laptop, family):
    msgsync.sync(phone, tablet)
    msgsync.sync(phone, laptop)
    msgsync.sync(tablet, laptop)
    phone.revoke(tablet.device)
    tablet.conversation("family").send("before the laptop has heard")
    assert msgsync.sync(tablet, laptop).complete
    msgsync.sync(phone, laptop)
    assert [one.text for one in family.messages()] == ["before the laptop has heard"]
    with pytest.raises(NotAMember):
        msgsync.sync(laptop, tablet)
    assert tablet.revoked


def test_two_that_revoke_each_other_are_both_out_and_a_third_goes_on(
    phone, tablet, laptop, tmp_path
):
    with phone.new_device(tmp_path / "desk.db") as desk:
        for one in (tablet, laptop, desk):
            msgsync.sync(phone, one)
        for one in (tablet, laptop, desk):
            msgsync.sync(phone, one)
        phone.revoke(tablet.device)
        tablet.revoke(phone.device)
        line = Line.between(phone, tablet)
        assert line.carry()
        assert isinstance(line.first.error, NotAMember)
        assert isinstance(line.second.error, NotAMember)
        assert not phone.revoked
        assert not tablet.revoked
        msgsync.sync(laptop, phone)
        msgsync.sync(desk, tablet)
        msgsync.sync(laptop, desk)
        assert members(laptop) == members(desk) == {laptop.device, desk.device}
        for out in (phone, tablet):
            with pytest.raises(DeviceRevoked):
                msgsync.sync(out, laptop)
        state = laptop.membership.roster().state
        assert state.epoch in laptop.membership.keyring()
        assert state.epoch not in {*phone.membership.keyring(), *tablet.membership.keyring()}


def test_a_device_that_was_added_again_is_one_again(phone, tablet, laptop):
    from msgsync.account.statements import Add

    msgsync.sync(phone, tablet)
    phone.revoke(tablet.device)
    msgsync.sync(phone, laptop)
    device = phone.membership.roster().state.revoked[tablet.device].device
    laptop.membership.say(Add(device), device=tablet.membership.keys)
    assert msgsync.sync(tablet, laptop).complete
    assert not tablet.revoked
    assert msgsync.sync(tablet, phone).complete, "the phone learns of it from the tablet itself"
    assert know_the_same(phone, tablet, laptop)


def test_whom_a_revoked_device_added_meanwhile_is_out_as_well(phone, tablet, laptop, open_replica):
    msgsync.sync(phone, tablet)
    phone.revoke(tablet.device)
    accomplice = open_replica("accomplice.db", member=tablet)
    with pytest.raises(NotAMember):
        msgsync.sync(accomplice, phone)
    assert accomplice.device not in members(phone)
    msgsync.sync(phone, laptop)
    with pytest.raises(NotAMember):
        msgsync.sync(laptop, accomplice)


def test_another_device_than_the_channel_showed_is_refused(phone, tablet):
    for shown, refused in ((phone.device, False), (tablet.device, True)):
        session = Session(Exchange(tablet), authenticated=shown)
        line = Line(Session(Exchange(phone)), session)
        assert line.carry()
        assert isinstance(session.error, ProtocolError) is refused


def test_who_knows_the_same_and_is_no_member_is_refused(phone, tablet, family):
    """A copy of a revoked device that somehow knows the digest."""
    from tests.unit.members import changed
    from tests.unit.protocol.test_session import drain, feed, hello_of

    enrolled(phone)
    phone.revoke(PLAYED.device_id)
    session = Session(Exchange(phone))
    drain(session)
    feed(session, changed(hello_of(phone), phone.membership.digest(), device=PLAYED.device_id.raw))
    assert type(session.error) is NotAMember
    [refusal] = drain(session)
    assert isinstance(refusal, Refuse)


# In the middle.


def test_a_device_is_revoked_in_the_middle_of_an_exchange(phone, tablet):
    phone.ingest(
        msgsync.Incoming(
            f"c{n % 40}", "ben", f"message {n}", 1_700_000_000_000 + n, external_id=str(n)
        )
        for n in range(2000)
    )
    line = Line.between(phone, tablet)
    line.carry(frames=5)
    assert not line.first.finished
    phone.revoke(tablet.device, even_without_recovery=True)
    had = len(line.sent(Updates))
    assert line.carry()
    assert type(line.first.error) is NotAMember
    assert isinstance(line.second.error, DeviceRevoked)
    assert len(line.sent(Updates)) == had
    assert tablet.check().ok


def test_a_session_that_stays_hears_at_once_and_says_nothing_twice(phone, tablet, family, tmp_path):
    line = live(phone, tablet)
    before = len(line.frames)
    phone.rename_device("Phone")
    line.carry()
    assert [type(frame) for _, frame in line.frames[before:]] == [Keys]
    assert know_the_same(phone, tablet)
    tablet.new_device(tmp_path / "laptop.db").close()
    line.carry()
    assert [type(frame) for _, frame in line.frames[before:]] == [Keys, Keys]
    assert know_the_same(phone, tablet)
    phone.rotate()
    tablet.rename_device("Tablet")
    line.carry()
    told = [type(frame) for _, frame in line.frames[before:]]
    assert [one for one in told if one is Keys] == [Keys] * 4
    assert {*told} == {Keys, Push, Known}  # each has said under which epoch it seals by now
    assert phone.digest == tablet.digest
    assert know_the_same(phone, tablet)
    assert line.first.idle
    assert line.second.idle


def test_a_session_that_stays_ends_when_its_device_is_revoked(phone, tablet, family):
    line = live(phone, tablet)
    phone.revoke(tablet.device, even_without_recovery=True)
    family.send("not for the tablet")
    assert line.carry()
    assert type(line.first.error) is NotAMember
    assert isinstance(line.second.error, DeviceRevoked)
    assert [one.text for one in tablet.conversation("family").messages()] == []


def test_a_third_that_is_told_of_the_revocation_tells_it_on_and_hangs_up(
    phone, tablet, laptop, family
):
    msgsync.sync(tablet, laptop)
    line = live(laptop, tablet)
    phone.revoke(tablet.device)
    msgsync.sync(phone, laptop)
    assert line.carry()
    assert type(line.first.error) is NotAMember
    assert isinstance(line.second.error, DeviceRevoked)


def test_a_forgotten_epoch_does_not_come_back(phone, tablet):
    [first] = phone.membership.keyring()
    visit(tablet, MemoryMailbox())  # it has left something there, and keeps what opens it
    phone.rotate()
    msgsync.sync(phone, tablet)
    phone.membership.forget_epochs(first)
    assert first not in phone.membership.keyring()
    line = Line.between(phone, tablet)
    assert line.carry()
    assert [type(frame) for _, frame in line.frames] == [Hello, Hello]
    tablet.rename_device("Tablet")
    msgsync.sync(phone, tablet)
    assert first not in phone.membership.keyring()
    assert first in tablet.membership.keyring()
    path = phone.path
    phone.close()
    with msgsync.open(path) as again:
        assert first not in again.membership.keyring()
        assert again.check().ok


def test_the_epoch_in_use_cannot_be_forgotten(phone):
    [only] = phone.membership.keyring()
    with pytest.raises(msgsync.InvalidValue, match="in use"):
        phone.membership.forget_epochs(only)


def test_a_copy_of_everything_a_revoked_device_has_opens_nothing_new(phone, tablet, tmp_path):
    """The file, the keys, and all that was sent: the new epoch is sealed to others."""
    from msgsync.account.keyobject import seal_key_object
    from msgsync.errors import ObjectDamaged

    tablet.close()
    shutil.copy(tablet.path, tmp_path / "copy.db")
    phone.revoke(tablet.device, even_without_recovery=True)
    with msgsync.open(tmp_path / "copy.db") as copy:
        stolen: SecretKeys = copy.membership.keys
        state = phone.membership.roster().state
        keys = state.members[phone.device].device.keys
        sealed = seal_key_object(
            keys,
            keys=phone.membership.keys,
            roster=phone.membership.roster(),
            keyring=phone.membership.keyring(),
        )
        with pytest.raises(ObjectDamaged):
            read_key_object(sealed, stolen)
        newest = phone.membership.keyring().secret(state.sealing_epoch())
        assert stolen.public.recipient not in state.recipients()
        assert newest not in copy.membership.keyring().export()
        with pytest.raises(DeviceRevoked):
            msgsync.sync(copy, phone)
        assert state.epoch not in copy.membership.keyring()


# Revoked by another thread, at any moment.


class Between(Exchange):
    """A side whose replica revokes a device right before something is merged, or right after something was read."""

    def __init__(self, replica: Replica, device: DeviceId, when: str) -> None:
        super().__init__(replica)
        self._gone, self._when = device, when

    def _revoke(self, moment: str) -> None:
        if moment == self._when and not self._replica.membership.revoked():
            other = threading.Thread(target=self._replica.revoke, args=(self._gone,))
            other.start()
            other.join()
            assert self._replica.membership.revoked(), "no lock is held where this is asked"

    def merge(self, device, documents):
        self._revoke("merge")
        return super().merge(device, documents)

    def take(self, device, documents):
        self._revoke("take")
        return super().take(device, documents)

    def read(self, key, label, state):
        self._revoke("read")
        return super().read(key, label, state)

    def changes(self, seq):
        self._revoke("changes")
        return super().changes(seq)


@pytest.mark.parametrize("when", ["merge", "take"])
def test_nothing_that_a_revoked_device_sent_is_taken_once_the_revocation_is_durable(
    phone, tablet, laptop, when
):
    if when == "take":
        msgsync.sync(phone, tablet)
    tablet.create_conversation("Evil", id="evil").send("written by the revoked")
    if when == "merge":
        phone.create_conversation("Family", id="family").send("there is something on both sides")
    line = Line(
        Session(Between(phone, tablet.device, when), live=True),
        Session(Exchange(tablet), live=True),
    )
    line.carry()
    if when == "take":
        tablet.conversation("evil").send("and once more")
        line.second.changed()
        line.carry()
    assert phone.membership.revoked() == {tablet.device.raw}
    assert isinstance(line.first.error, NotAMember)
    assert isinstance(line.second.error, DeviceRevoked)
    texts = [one.last_message.text for one in phone.conversations() if one.last_message]
    assert "and once more" not in texts
    assert when == "take" or "written by the revoked" not in texts
    assert phone.check().ok


@pytest.mark.parametrize("when", ["read", "changes"])
def test_nothing_that_was_read_for_a_device_is_sent_once_its_revocation_is_durable(
    phone, tablet, laptop, family, when
):
    family.send("for all")
    if when == "changes":
        msgsync.sync(phone, tablet)
    else:
        tablet.create_conversation("Work", id="work").send("there is something on both sides")
    line = Line(
        Session(Between(phone, tablet.device, when), live=True),
        Session(Exchange(tablet), live=True),
    )
    line.carry()
    if when == "changes":
        family.send("not for the tablet")
        line.first.changed()
        line.carry()
    assert isinstance(line.first.error, NotAMember)
    assert isinstance(line.second.error, DeviceRevoked)
    assert not [frame for side, frame in line.frames if side == 0 and isinstance(frame, Updates)]
    texts = [one.last_message.text for one in tablet.conversations() if one.last_message]
    assert "not for the tablet" not in texts


def test_what_is_sealed_to_a_device_is_of_one_moment(phone, tablet, laptop, monkeypatch):
    """Another thread revokes the device after the first look at what is known: the new epoch stays here."""
    membership = phone.membership
    look = membership._known

    def known():
        found = look()
        monkeypatch.setattr(membership, "_known", look)
        other = threading.Thread(target=phone.revoke, args=(tablet.device,))
        other.start()
        other.join()
        return found

    before = phone.membership.keyring()
    monkeypatch.setattr(membership, "_known", known)
    raw = Holder(phone).sealed_for(tablet.device.raw)
    assert tablet.device.raw in phone.membership.revoked()
    told = read_key_object(raw, tablet.membership.keys)
    assert {*told.secrets} == {*before.export()}
