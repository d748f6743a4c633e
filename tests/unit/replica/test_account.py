"""The account as an app sees it: devices, revocations, the recovery phrase."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

import msgsync
from msgsync import (
    DeviceRevoked,
    InvalidValue,
    NotAMember,
    ReadOnly,
    RecoveryUnconfirmed,
    Replica,
    StorageFull,
    UnknownDevice,
    WrongPhrase,
    limits,
)
from msgsync.account.epochs import commitment_of
from msgsync.account.keyobject import _seal
from msgsync.account.keys import SecretKeys
from msgsync.account.recovery import RecoveryPhrase
from msgsync.account.roster import Roster
from msgsync.account.statements import Content, Epoch, Rename, Revoke, Statement, make
from msgsync.replica.keyholder import Holder
from tests.unit import files
from tests.unit.account.accounts import drawn, keys_of
from tests.unit.locks import LockWatch
from tests.unit.members import PLAYED, enrolled
from tests.unit.replica.known import summary

NOBODY = "0" * 14


@pytest.fixture
def laptop(open_replica, phone, tablet):
    found = open_replica("laptop.db", member=phone)
    for one in (tablet, found):
        msgsync.sync(phone, one)
    return found


def confirmed(replica: Replica) -> str:
    phrase = replica.recovery_phrase()
    assert phrase is not None
    words = phrase.split()
    replica.confirm_recovery({place: words[place - 1] for place in replica.recovery_places()})
    return phrase


# Devices.


def test_devices_say_who_added_them_and_when(phone, tablet, laptop, machine):
    machine.clock_ms += 5000
    watch = tablet.new_device(tablet.path.with_name("watch.db"))
    watch.close()
    rows = {one.id: one for one in tablet.devices()}
    assert rows.keys() == {phone.device, tablet.device, laptop.device, watch.device}
    assert rows[phone.device].added_by == phone.device, "it made the account"
    assert rows[laptop.device].added_by == phone.device
    assert rows[watch.device].added_by == tablet.device
    assert rows[watch.device].added_ms == rows[laptop.device].added_ms + 5000
    assert rows[watch.device].platform == rows[phone.device].platform
    assert not any(one.revoked for one in rows.values())
    assert tablet.devices()[0].is_this


def test_the_state_of_the_account(phone, tablet, laptop, machine):
    status = phone.account_status()
    assert status.id == phone.account
    assert (status.devices, status.revoked, status.phrases, status.epochs) == (3, 0, 1, 1)
    assert status.begun_ms <= machine.now_ms()
    assert not status.rotation_due
    phone.revoke(tablet.device)
    status = phone.account_status()
    assert (status.devices, status.revoked, status.epochs) == (2, 1, 2)
    assert not status.rotation_due
    assert laptop.account_status().devices == 3, "it has not heard of it"


# Revoking.


def test_a_revoked_device_is_listed_with_who_revoked_it_and_when(phone, tablet, laptop, machine):
    tablet.rename_device("Old tablet")
    msgsync.sync(tablet, laptop)
    machine.clock_ms += 1000
    revocation = laptop.revoke(tablet.device)
    assert revocation == msgsync.Revocation(tablet.device, "Old tablet", ())
    row = summary(laptop, tablet)
    assert row.revoked
    assert row.revoked_ms == machine.now_ms()
    assert row.revoked_by == (laptop.device,)
    assert row.name == "Old tablet"
    assert row.added_by == phone.device
    assert laptop.revoke(tablet.device).device == tablet.device, "once more is nothing more"
    assert laptop.account_status().epochs == 2


def test_what_a_revoked_device_added_unheard_falls_with_it(phone, tablet, laptop, open_replica):
    accomplice = open_replica("accomplice.db", member=tablet)
    msgsync.sync(tablet, phone)
    assert summary(phone, accomplice).name
    laptop.revoke(tablet.device)
    with pytest.raises(NotAMember):
        msgsync.sync(laptop, accomplice)
    msgsync.sync(phone, laptop)
    assert accomplice.device not in phone.membership.roster().state.members


def test_whom_a_revoked_device_added_before_is_named(phone, tablet, laptop, open_replica):
    watch = open_replica("watch.db", member=tablet)
    msgsync.sync(tablet, phone)
    assert phone.revoke(tablet.device).added == (watch.device,)
    assert watch.device in phone.membership.roster().state.members
    phone.revoke(watch.device)
    assert phone.revoke(tablet.device).added == ()


def test_nobody_revokes_itself_or_who_is_not_there(phone, tablet, laptop):
    with pytest.raises(InvalidValue):
        phone.revoke(phone.device)
    with pytest.raises(UnknownDevice):
        phone.revoke(NOBODY)
    with pytest.raises(InvalidValue):
        phone.revoke("no id")
    with msgsync.open(phone.path, readonly=True) as reader, pytest.raises(ReadOnly):
        reader.revoke(tablet.device)
    assert phone.account_status().revoked == 0


def test_an_account_of_two_wants_its_phrase_confirmed_first(phone, tablet):
    before = phone.membership.digest()
    for one, other in ((phone, tablet), (tablet, phone)):
        with pytest.raises(RecoveryUnconfirmed, match="confirm it first"):
            one.revoke(other.device)
    assert phone.membership.digest() == before
    confirmed(phone)
    with pytest.raises(RecoveryUnconfirmed):
        tablet.revoke(phone.device)
    msgsync.sync(phone, tablet)
    assert tablet.revoke(phone.device).device == phone.device


def test_nothing_waits_for_a_revoked_device_and_nothing_counts_on_it(phone, tablet, laptop, family):
    message = family.send("one")
    msgsync.sync(phone, tablet)
    assert phone.status().only_here == 0
    assert phone.safe_to_remove(phone.device).safe
    phone.revoke(tablet.device)
    assert phone.status().only_here == 1
    found = phone.where_is(message)
    assert found.devices == (phone.device,)
    assert found.unknown == (laptop.device,)
    assert not phone.safe_to_remove(phone.device).safe
    with pytest.raises(msgsync.NotThereYet):
        phone.wait_for(message, timeout=0)


def test_what_a_revoked_device_brought_is_listed(phone, tablet, laptop, family):
    family.send("from the phone")
    mine = tablet.create_conversation("Mine", id="mine")
    said = mine.send("from the tablet")
    changed = mine.send("changed later")
    msgsync.sync(phone, tablet)
    phone.conversation("mine").edit(changed, "by the phone")
    tablet.conversation("family").send("not heard in time")
    phone.revoke(tablet.device)
    listed = [one.id for one in phone.accepted_from(tablet.device) if one.kind == "message"]
    assert listed == [said.id]
    assert phone.accepted_from(laptop.device) == ()
    msgsync.sync(phone, laptop)
    passed_on = {one.id for one in laptop.accepted_from(phone.device)}
    assert said.id in passed_on
    assert laptop.accepted_from(str(tablet.device)) == ()


def test_what_was_pushed_is_listed_too(phone, tablet, family):
    from tests.unit.protocol.test_keys import live

    line = live(phone, tablet)
    said = tablet.conversation("family").send("at once")
    line.carry()
    assert [one.id for one in phone.accepted_from(tablet.device) if one.message] == [said.id]


def test_a_revoked_device_can_still_be_used_by_itself(phone, tablet, laptop, family):
    msgsync.sync(phone, tablet)
    phone.revoke(tablet.device)
    with pytest.raises(DeviceRevoked):
        msgsync.sync(tablet, phone)
    assert tablet.revoked
    tablet.conversation("family").send("still mine")
    assert tablet.check().ok
    path = tablet.path
    tablet.close()
    with msgsync.open(path) as again:
        assert again.revoked
        assert [one.text for one in again.conversation("family").messages()] == ["still mine"]


def test_a_wiped_replica_leaves_nothing(phone, tablet, family):
    family.send("a secret of the family")
    msgsync.sync(phone, tablet)
    with msgsync.open(tablet.path, readonly=True) as reader, pytest.raises(ReadOnly):
        reader.wipe()
    tablet.wipe()
    assert tablet.closed
    assert [*tablet.path.parent.glob("tablet.db*")] == []
    assert phone.check().ok


def test_keys_are_gone_from_the_file_before_it_is_deleted(phone, tablet, monkeypatch):
    from pathlib import Path

    keys, epochs = tablet.membership.keys.export(), tablet.membership.credentials().epochs
    monkeypatch.setattr(Path, "unlink", lambda *_, **__: None)
    tablet.wipe()
    left = tablet.path.read_bytes()
    for secret in (keys, *epochs):
        assert secret not in left


# Epochs.


def test_two_who_revoke_at_once_begin_an_epoch_that_neither_revoked_has(
    phone, tablet, laptop, open_replica
):
    desk = open_replica("desk.db", member=phone)
    for one in (tablet, laptop, phone, tablet, laptop, desk):
        msgsync.sync(desk if one is phone else phone, one)
    phone.revoke(tablet.device)
    desk.revoke(laptop.device)
    assert msgsync.sync(phone, desk).complete
    assert msgsync.sync(phone, desk).complete
    state = phone.membership.roster().state
    assert state == desk.membership.roster().state
    assert {*state.members} == {phone.device, desk.device}
    assert not phone.account_status().rotation_due
    current = state.sealing_epoch()
    assert current in phone.membership.keyring()
    assert current in desk.membership.keyring()


def test_a_forgotten_secret_is_in_no_file(phone):
    [first] = phone.membership.keyring()
    secret = phone.membership.keyring().secret(first)
    phone.rotate()
    phone.membership.forget_epochs(first)
    assert files.remains(phone.path, secret) == []


# The recovery phrase.


def test_a_phrase_is_shown_until_three_of_its_words_are_typed_back(phone, tablet):
    phrase = phone.recovery_phrase()
    assert phrase is not None
    assert len(phrase.split()) == 24
    assert phone.recovery_phrase() == phrase
    assert tablet.recovery_phrase() is None
    assert not phone.account_status().recovery_confirmed
    entropy = RecoveryPhrase.parse(phrase).export()
    assert files.remains(phone.path, entropy) != []
    confirmed(phone)
    assert phone.recovery_phrase() is None
    assert phone.account_status().recovery_confirmed
    assert files.remains(phone.path, entropy) == []
    msgsync.sync(phone, tablet)
    assert tablet.account_status().recovery_confirmed


def test_wrong_words_confirm_nothing(phone, tablet):
    phrase = phone.recovery_phrase()
    assert phrase is not None
    words = phrase.split()
    one, two, three = phone.recovery_places()
    with pytest.raises(WrongPhrase) as error:
        phone.confirm_recovery({one: words[one - 1], two: words[two - 1], three: "zebra zoo"})
    assert not any(word in str(error.value).split() for word in words)
    for answers in ({}, {1: words[0]}, {0: words[0], 1: words[0], 2: words[1]}):
        with pytest.raises(InvalidValue):
            phone.confirm_recovery(answers)
    assert phone.recovery_phrase() == phrase
    with pytest.raises(InvalidValue, match="replace_recovery_phrase"):
        tablet.confirm_recovery({1: "a", 2: "b", 3: "c"})


def test_any_device_replaces_the_phrase_and_the_old_one_is_worth_nothing(phone, tablet):
    old = confirmed(phone)
    new = tablet.replace_recovery_phrase()
    assert new != old
    assert tablet.recovery_phrase() == new
    assert not tablet.account_status().recovery_confirmed
    msgsync.sync(phone, tablet)
    [keys] = phone.membership.roster().state.recovery
    assert keys == RecoveryPhrase.parse(new).keys().public
    assert not phone.account_status().recovery_confirmed
    assert not phone.account_status().rotation_due
    assert phone.recovery_phrase() is None


def test_a_device_that_has_not_heard_takes_the_old_phrase_and_drops_who_came_in_once_it_hears(
    phone, tablet, tmp_path
):
    old = confirmed(phone)
    msgsync.sync(phone, tablet)
    phone.backup(tmp_path / "phone.backup")
    phone.replace_recovery_phrase()
    with msgsync.recover(tmp_path / "new.db", old, backup=tmp_path / "phone.backup") as new:
        with pytest.raises(NotAMember):
            msgsync.sync(phone, new)
        assert msgsync.sync(tablet, new).complete
        msgsync.sync(phone, tablet)
        assert new.device not in tablet.membership.roster().state.members
        with pytest.raises(NotAMember):
            msgsync.sync(tablet, new)


def test_a_phrase_that_another_device_replaced_is_not_shown_any_more(phone, tablet):
    assert phone.recovery_phrase() is not None
    tablet.replace_recovery_phrase()
    msgsync.sync(phone, tablet)
    assert phone.recovery_phrase() is None
    assert phone.check().ok


def test_secrets_are_in_no_repr_no_error_and_no_feed(phone, tablet, family, caplog):
    family.send("one")
    phrase = phone.recovery_phrase()
    assert phrase is not None
    credentials = phone.membership.credentials()
    phone.revoke(tablet.device, even_without_recovery=True)
    shown = [repr(one) for one in (phone, phone.membership, credentials, phone.membership.keys)]
    shown += [repr(one) for one in (phone.membership.keyring(), phone.membership.roster())]
    shown += [repr(one) for one in (*phone.changes().changes, phone.status(), *phone.devices())]
    shown += [repr(phone.account_status()), repr(phone.settings()), caplog.text]
    with pytest.raises(DeviceRevoked) as error:
        msgsync.sync(tablet, phone)
    shown.append(repr(error.value))
    words = "\n".join(shown)
    for secret in (credentials.keys[:32], credentials.keys[32:], *credentials.epochs):
        assert repr(secret)[2:-1] not in words
        assert secret.hex() not in words
    assert " ".join(phrase.split()[:3]) not in words


def test_the_phrase_and_a_backup_make_a_device_when_all_others_are_gone(
    phone, tablet, family, tmp_path
):
    family.send("kept")
    phrase = confirmed(phone)
    msgsync.sync(phone, tablet)
    tablet.backup(tmp_path / "tablet.backup")
    for lost in (phone, tablet):
        lost.close()
    with msgsync.recover(tmp_path / "new.db", phrase, backup=tmp_path / "tablet.backup") as new:
        assert new.device not in {phone.device, tablet.device}
        assert [one.text for one in new.conversation("family").messages()] == ["kept"]
        assert summary(new, new).added_by is None, "the phrase did"
        for lost in (phone, tablet):
            new.revoke(lost.device)
        new.replace_recovery_phrase()
        assert new.account_status().devices == 1
        assert not new.revoked
        assert new.check().ok
        with msgsync.open(tablet.path) as thief:
            with pytest.raises(DeviceRevoked):
                msgsync.sync(thief, new)
            with pytest.raises(DeviceRevoked):
                thief.revoke(new.device, even_without_recovery=True)
            thief.membership.say(Revoke(phone.membership.keys.public.signing, ()))  # all the same
            with pytest.raises(NotAMember):
                msgsync.sync(new, thief)
            assert not new.revoked


def test_another_phrase_makes_nothing(phone, tmp_path):
    phone.backup(tmp_path / "phone.backup")
    other = " ".join(RecoveryPhrase(bytes(32)).words)
    for words in (other, "zoo " * 24, "zoo"):
        with pytest.raises(WrongPhrase):
            msgsync.recover(tmp_path / "new.db", words, backup=tmp_path / "phone.backup")
    assert not (tmp_path / "new.db").exists()


# A member that means harm.


def told(
    to: Replica, roster: Roster, keys: SecretKeys = PLAYED, secrets: Sequence[bytes] = ()
) -> None:
    """A member tells this, in its own way."""
    raw = _seal(to.membership.keys.public, keys, roster, secrets)
    Holder(to).take(keys.device_id.raw, raw)


def by_played(
    base: Roster, content: Content, at_ms: int = 0, keys: SecretKeys = PLAYED
) -> Statement:
    return make(content, keys, account=base.account, parents=base.heads, time_ms=at_ms)


def test_who_revokes_the_same_device_again_and_again_makes_nobody_begin_epochs(phone, tablet):
    enrolled(phone)
    base = phone.membership.roster()
    again = Revoke(tablet.membership.keys.public.signing, ())
    for number in range(5):
        told(phone, base.merge([by_played(base, again, at) for at in range(number + 1)]))
    assert phone.account_status().epochs == 2
    assert not phone.account_status().rotation_due


def test_epochs_that_a_device_begins_by_itself_leave_its_person_room(
    phone, tablet, laptop, monkeypatch
):
    enrolled(phone)
    monkeypatch.setattr(limits, "STATEMENTS", 8)
    monkeypatch.setattr(limits, "STATEMENTS_RESERVED", 4)
    for one in (tablet, laptop):
        base = phone.membership.roster()
        told(phone, base.merge([by_played(base, Revoke(one.membership.keys.public.signing, ()))]))
    assert phone.account_status().rotation_due
    phone.revoke(PLAYED.device_id, even_without_recovery=True)
    assert not phone.account_status().rotation_due


def test_revoking_begins_an_epoch_however_many_statements_lie_at_the_end(phone, tablet):
    enrolled(phone)
    base = phone.membership.roster()
    noise = [by_played(base, Rename(PLAYED.public.signing, "z"), at) for at in range(200)]
    told(phone, base.merge(noise))
    phone.revoke(PLAYED.device_id)
    assert not phone.account_status().rotation_due
    assert PLAYED.device_id in phone.membership.roster().state.revoked


def test_a_revoked_device_adds_revokes_and_renames_nobody(phone, tablet, laptop, tmp_path):
    phone.revoke(tablet.device)
    with pytest.raises(DeviceRevoked):
        msgsync.sync(tablet, phone)
    before = tablet.membership.digest()
    for attempt in (
        lambda: tablet.new_device(tmp_path / "more.db"),
        lambda: tablet.revoke(laptop.device),
        tablet.rotate,
        tablet.replace_recovery_phrase,
    ):
        with pytest.raises(DeviceRevoked):
            attempt()
    assert not (tmp_path / "more.db").exists()
    assert tablet.membership.digest() == before


def test_a_device_joins_however_many_statements_lie_at_the_end(phone, tablet):
    enrolled(phone)
    base = phone.membership.roster()
    told(
        phone,
        base.merge([by_played(base, Rename(PLAYED.public.signing, "z"), at) for at in range(200)]),
    )
    phone.membership.gather()
    assert len(phone.membership.roster().heads) <= limits.PARENTS
    before = phone.membership.digest()
    phone.membership.gather()
    assert phone.membership.digest() == before
    assert phone.check().ok


def begun_by(keys: SecretKeys, base: Roster, *secrets: bytes) -> Roster:
    epochs = [Epoch(commitment_of(secret, base.account)) for secret in secrets]
    return base.merge([by_played(base, one, keys=keys) for one in epochs])


def test_secrets_of_epochs_that_a_stranger_began_are_not_kept(phone):
    enrolled(phone)
    secrets = [drawn(f"stranger {number}") for number in range(3)]
    roster = begun_by(keys_of("stranger"), phone.membership.roster(), *secrets)
    before = phone.membership.digest()
    told(phone, roster, secrets=secrets)
    assert phone.membership.digest() == before


def test_epochs_of_others_push_out_none_of_this_device(phone, monkeypatch):
    enrolled(phone)
    monkeypatch.setattr(limits, "EPOCHS", 8)
    phone.rotate()
    own = phone.membership.keyring().export()
    secrets = [drawn(f"flood {number}") for number in range(20)]
    told(phone, begun_by(PLAYED, phone.membership.roster(), *secrets[:5]), secrets=secrets[:5])
    told(phone, begun_by(PLAYED, phone.membership.roster(), *secrets[5:12]), secrets=secrets[5:12])
    assert len(phone.membership.keyring()) == 8
    assert {*own} <= {*phone.membership.keyring().export()}
    phone.revoke(PLAYED.device_id, even_without_recovery=True)
    phone.rotate()
    assert phone.membership.roster().state.epoch in phone.membership.keyring()
    assert {*own} <= {*phone.membership.keyring().export()}
    assert phone.check().ok


def test_of_more_epochs_than_are_kept_the_earliest_goes(phone, monkeypatch):
    monkeypatch.setattr(limits, "EPOCHS", 3)
    [first] = phone.membership.keyring()
    names = []
    for _ in range(4):
        phone.rotate()
        names.append(phone.membership.roster().state.epoch)
    assert {*phone.membership.keyring()} == {*names[-3:]}
    assert first not in phone.membership.keyring()


def test_callbacks_run_when_the_lock_is_free(phone, tablet):
    """Also those of what is written in several steps."""
    watch = LockWatch(phone)
    for subscribe in (phone.subscribe, phone.on_commit, phone.on_known):
        subscribe(watch)
    confirmed(phone)
    assert watch.seen
    phone.create_conversation("Family", id="family")
    phone.rename_device("called so")
    phone.membership.merge(rotated_by(tablet).statements)
    assert len(watch.seen) >= 4
    assert all(watch.seen)


def test_several_steps_are_told_once_when_the_lock_is_free(phone, family):
    watch = LockWatch(phone)
    phone.on_commit(watch)
    phone.subscribe(watch)
    with phone.holding():
        family.send("one")
        with phone.holding():
            family.send("two")
        assert watch.seen == []
    assert watch.seen == [True, True]


def test_what_was_committed_is_told_though_a_later_step_fails(phone, family):
    watch = LockWatch(phone)
    phone.on_commit(watch)

    def steps() -> None:
        with phone.holding():
            family.send("one")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        steps()
    assert watch.seen == [True]


def test_a_subscriber_is_not_called_under_the_lock_by_a_new_passphrase(phone, family):
    """It waits for what was committed before, on behalf of whoever is first to come out of the lock."""
    watch = LockWatch(phone)
    phone.subscribe(watch)
    end = phone.on_commit(lambda _: phone.set_passphrase(None))
    family.send("one")
    end()
    assert watch.seen == [True]


def rotated_by(replica: Replica) -> Roster:
    replica.rotate()
    return replica.membership.roster()


def test_a_phrase_is_confirmed_and_erased_at_once_or_not_at_all(phone, monkeypatch):
    phrase = phone.recovery_phrase()

    def full(_credentials):
        raise StorageFull("no more room")

    monkeypatch.setattr(phone.store(), "keep", full)
    with pytest.raises(StorageFull):
        confirmed(phone)
    monkeypatch.undo()
    assert not phone.account_status().recovery_confirmed
    assert phone.recovery_phrase() == phrase
    confirmed(phone)
    assert phone.account_status().recovery_confirmed
    assert phone.recovery_phrase() is None


def test_what_was_not_committed_is_not_known(phone):
    before = phone.membership.digest()

    def said_in_vain():
        with phone.writing():
            phone.membership.say(Rename(phone.membership.keys.public.signing, "x"))
            assert phone.membership.digest() != before
            raise StorageFull("no more room")

    with pytest.raises(StorageFull):
        said_in_vain()
    assert phone.membership.digest() == before
    assert phone.check().ok


def came(replica: Replica, device: Replica) -> set[tuple[str, str, object]]:
    """What a device brought, but for the number of the commit."""
    return {(one.kind, one.conversation, one.id) for one in replica.accepted_from(device.device)}


def test_a_repaired_file_lists_of_a_device_what_it_had_brought_before(
    phone, tablet, laptop, family
):
    """Of each device its own, erasures and what it said of conversations too, and what comes later."""
    family.send("of the phone itself")
    for one in (tablet, laptop):
        msgsync.sync(phone, one)
    there = tablet.conversation("family")
    there.send("before")
    there.erase(there.send("erased"))
    tablet.create_conversation("Made on the tablet", id="made")
    msgsync.sync(phone, tablet)
    laptop.conversation("family").send("of the laptop")
    msgsync.sync(phone, laptop)
    before = {one.device: came(phone, one) for one in (tablet, laptop)}
    kinds = sorted(kind for kind, _, _ in before[tablet.device])
    assert kinds == ["conversation", "erased", "message"]
    path = phone.path
    phone.close()
    files.change(path, "update documents set messages = messages + 1 where messages > 0")
    assert msgsync.repair(path).damaged
    with msgsync.open(path) as again:
        assert {one.device: came(again, one) for one in (tablet, laptop)} == before
        there.send("since")
        for one in (tablet, laptop):
            msgsync.sync(again, one)
        texts = [one.message.text for one in again.accepted_from(tablet.device) if one.message]
        assert texts == ["before", "since"]
        assert again.check().ok
        assert again.digest == laptop.digest


def test_a_file_made_from_a_backup_lists_what_had_come_before_it(phone, tablet, family, tmp_path):
    msgsync.sync(phone, tablet)
    tablet.conversation("family").send("before")
    msgsync.sync(phone, tablet)
    phone.backup(tmp_path / "phone.backup")
    for name, as_new_device in (("same.db", False), ("other.db", True)):
        with msgsync.restore(
            tmp_path / "phone.backup", tmp_path / name, as_new_device=as_new_device
        ) as restored:
            texts = [
                one.message.text for one in restored.accepted_from(tablet.device) if one.message
            ]
            assert texts == ["before"]
