"""A new device of a mailbox and the recovery phrase alone, and what lies in the mailbox instead of that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import msgsync
from msgsync import (
    DeviceRevoked,
    FileExists,
    InvalidValue,
    MailboxUnreachable,
    MemoryMailbox,
    NoSuchObject,
    NotAMember,
    ObjectDamaged,
    Replica,
    WrongPhrase,
)
from msgsync.account.keyobject import key_object_name, seal_key_object
from msgsync.account.recovery import RecoveryPhrase
from msgsync.testing import assert_converged, assert_sound


@pytest.fixture
def box() -> MemoryMailbox:
    return MemoryMailbox()


def phrase_of(replica: Replica) -> str:
    """The phrase, as its person wrote it down."""
    phrase = replica.recovery_phrase()
    assert phrase is not None
    return phrase


def name_for(phrase: str) -> str:
    return key_object_name(RecoveryPhrase.parse(phrase).keys().public)


def texts(replica: Replica) -> list[str]:
    return [message.text for message in replica.conversation("family").messages()]


@pytest.fixture
def lost(phone: Replica, family: msgsync.Conversation, box: MemoryMailbox) -> str:
    """The phrase of an account whose only device is gone; what it had lies in the mailbox."""
    family.send("Dinner at eight?")
    msgsync.sync(phone, box)
    phrase = phrase_of(phone)
    phone.close()
    return phrase


def test_a_phrase_and_a_mailbox_make_a_device_that_fills_itself(lost, phone, box, tmp_path):
    before = box.list("keys"), box.list("log")
    with pytest.raises(msgsync.InvalidValue, match="name"):
        msgsync.recover(tmp_path / "laptop.db", lost, via=box, name="")
    with msgsync.recover(
        tmp_path / "laptop.db", lost, via=box, author="ann", name="Laptop"
    ) as laptop:
        assert laptop.devices()[0].name == "Laptop"
        assert (box.list("keys"), box.list("log")) == before, "nothing is put before it syncs"
        assert laptop.account == phone.account
        assert laptop.conversations() == []
        assert laptop.account_status().recovery_confirmed
        report = msgsync.sync(laptop, box)
        assert (report.complete, report.messages_received) == (True, 1)
        assert texts(laptop) == ["Dinner at eight?"]
        [added] = [one for one in laptop.devices() if one.is_this]
        assert added.added_by is None, "the phrase did"
        laptop.conversation("family").send("Back again")
        msgsync.sync(laptop, box)
        assert_sound(laptop)
        with msgsync.open(phone.path, author="ann") as found:  # behind the sofa
            msgsync.sync(found, box)
            assert texts(found) == ["Dinner at eight?", "Back again"]
            msgsync.sync(laptop, box)
            assert_converged(found, laptop)


def test_it_gets_the_epochs_that_others_had_begun_and_revokes_who_is_lost(
    lost, phone, box, tmp_path
):
    with msgsync.open(phone.path, author="ann") as again:
        again.rotate()
        again.conversation("family").send("Later")
        msgsync.sync(again, box)
    with msgsync.recover(tmp_path / "laptop.db", lost, via=box, author="ann") as laptop:
        msgsync.sync(laptop, box)
        assert texts(laptop) == ["Dinner at eight?", "Later"]
        laptop.revoke(phone.device)
        laptop.replace_recovery_phrase()
        laptop.conversation("family").send("The phone is gone!")
        msgsync.sync(laptop, box)
    with msgsync.open(phone.path) as thief, pytest.raises(DeviceRevoked):
        msgsync.sync(thief, box)


def test_it_can_be_under_a_passphrase(lost, box, tmp_path):
    path = tmp_path / "laptop.db"
    msgsync.recover(path, lost, via=box, passphrase="correct horse").close()
    with pytest.raises(msgsync.PassphraseNeeded):
        msgsync.open(path)
    with msgsync.open(path, passphrase="correct horse") as laptop:
        assert msgsync.sync(laptop, box).complete


def test_broken_off_it_leaves_nothing_and_is_done_again(lost, box, tmp_path, monkeypatch):
    monkeypatch.setattr(MemoryMailbox, "get", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        msgsync.recover(tmp_path / "laptop.db", lost, via=box)
    assert list(tmp_path.glob("laptop*")) == []
    monkeypatch.undo()
    msgsync.recover(tmp_path / "laptop.db", lost, via=box).close()
    with pytest.raises(FileExists):
        msgsync.recover(tmp_path / "laptop.db", lost, via=box)


# What is there instead.


def refused(phrase: str, box: MemoryMailbox | str, tmp_path: Path) -> Exception:
    """Why it is not made, and nothing is left behind."""
    with pytest.raises(msgsync.MsgSyncError) as error:
        msgsync.recover(tmp_path / "laptop.db", phrase, via=box)
    assert list(tmp_path.glob("laptop*")) == []
    return error.value


def test_another_phrase_finds_nothing(lost, box, tmp_path):
    other = " ".join(RecoveryPhrase(bytes(32)).words)
    error = refused(other, box, tmp_path)
    assert isinstance(error, WrongPhrase)
    assert "another account" in str(error)
    assert isinstance(refused("zoo", box, tmp_path), WrongPhrase)


def test_an_empty_mailbox_and_none_are_told_apart(lost, tmp_path):
    empty = tmp_path / "empty"
    empty.mkdir()
    error = refused(lost, empty.as_uri(), tmp_path)
    assert isinstance(error, NoSuchObject)
    assert "nothing of an account lies in" in str(error)
    error = refused(lost, (tmp_path / "none").as_uri(), tmp_path)
    assert isinstance(error, MailboxUnreachable)


def test_missing_key_objects_are_named(lost, box, tmp_path):
    box.delete(name_for(lost))
    error = refused(lost, box, tmp_path)
    assert isinstance(error, WrongPhrase)
    assert "that object was lost" in str(error)
    for name in box.list("keys"):
        box.delete(name)
    error = refused(lost, box, tmp_path)
    assert isinstance(error, NoSuchObject)
    assert "key objects are missing" in str(error)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "cut off": lambda raw: raw[:-1],
    "a bit": lambda raw: raw[:-1] + bytes((raw[-1] ^ 1,)),
    "empty": lambda _raw: b"",
    "another version": lambda raw: b"\x02" + raw[1:],
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_key_object_is_named(lost, box, tmp_path, damage):
    box.put(name_for(lost), damage(box.get(name_for(lost))))
    error = refused(lost, box, tmp_path)
    assert isinstance(error, ObjectDamaged)
    assert "damaged" in str(error)


def test_the_key_object_of_a_device_in_its_place_is_damaged(lost, phone, box, tmp_path):
    other = next(name for name in box.list("keys") if name != name_for(lost))
    box.put(name_for(lost), box.get(other))
    assert isinstance(refused(lost, box, tmp_path), ObjectDamaged)


def test_it_takes_a_mailbox_or_a_backup(lost, box, tmp_path):
    for options in ({}, {"via": box, "backup": tmp_path / "phone.backup"}):
        with pytest.raises(InvalidValue):
            msgsync.recover(tmp_path / "laptop.db", lost, **options)


# A phrase that was replaced.


def test_a_replaced_phrase_is_told_so_and_gets_no_secret(phone, family, box, tmp_path):
    family.send("before")
    msgsync.sync(phone, box)
    old = phrase_of(phone)
    first = box.get(name_for(old))
    new = phone.replace_recovery_phrase()
    family.send("after")
    msgsync.sync(phone, box)
    error = refused(old, box, tmp_path)
    assert isinstance(error, WrongPhrase)
    assert "was replaced" in str(error)
    assert box.get(name_for(old)) != first
    with msgsync.recover(tmp_path / "laptop.db", new, via=box, author="ann") as laptop:
        msgsync.sync(laptop, box)
        assert texts(laptop) == ["before", "after"]


def test_each_of_several_replaced_phrases_is_told_so_by_any_device(phone, tablet, box, tmp_path):
    phrases = [phrase_of(phone), phone.replace_recovery_phrase()]
    msgsync.sync(phone, tablet)
    tablet.replace_recovery_phrase()
    msgsync.sync(tablet, box)
    for old in phrases:
        assert "was replaced" in str(refused(old, box, tmp_path))


def test_a_mailbox_put_back_to_before_shows_what_lay_there_then_and_lets_nobody_in(
    phone, family, box, tmp_path
):
    """Who has a phrase that was replaced, and a copy of the mailbox from before."""
    family.send("before")
    msgsync.sync(phone, box)
    old = phrase_of(phone)
    copy = {name: box.get(name) for folder in ("keys", "log") for name in box.list(folder)}
    phone.replace_recovery_phrase()
    family.send("after")
    msgsync.sync(phone, box)

    back = MemoryMailbox(box.address)
    for name, body in copy.items():
        back.put(name, body)
    with msgsync.recover(tmp_path / "thief.db", old, via=back, author="eve") as thief:
        msgsync.sync(thief, back)
        assert texts(thief) == ["before"]
        thief.conversation("family").send("from the thief")
        assert not msgsync.sync(thief, box).complete, "it cannot read what came later"
        assert texts(thief) == ["before", "from the thief"]
        report = msgsync.sync(phone, box)
        assert not report.complete
        assert report.messages_received == 0
        assert texts(phone) == ["before", "after"]
        with pytest.raises(NotAMember):
            msgsync.sync(thief, phone)
        assert thief.device not in {one.id for one in phone.devices()}
        assert "was replaced" in str(refused(old, box, tmp_path)), "the phone put that anew"


def test_what_a_revoked_device_tells_the_phrase_is_mended_by_one_that_is_left(
    phone, tablet, family, box, tmp_path
):
    """The storage and a revoked device together show the account as it was before."""
    family.send("before")
    msgsync.sync(phone, tablet)
    phrase = phrase_of(phone)
    public = RecoveryPhrase.parse(phrase).keys().public
    forged = seal_key_object(
        public, keys=tablet.membership.keys, **tablet.membership.moment()._asdict()
    )
    phone.revoke(tablet.device, even_without_recovery=True)
    family.send("after")
    msgsync.sync(phone, box)
    box.put(key_object_name(public), forged)
    with msgsync.recover(tmp_path / "laptop.db", phrase, via=box, author="ann") as laptop:
        report = msgsync.sync(laptop, box)
        assert not report.complete, "what it cannot read is named"
        assert report.refused
        msgsync.sync(phone, box)
        assert msgsync.sync(laptop, box).complete
        assert texts(laptop) == ["before", "after"]
        assert tablet.device in laptop.membership.roster().state.revoked
