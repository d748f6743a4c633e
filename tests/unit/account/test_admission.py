"""What a member may tell without end, and what is kept of it: nothing keeps a removal from being heard."""

from __future__ import annotations

import pytest

from msgsync import limits
from msgsync.account.admission import take_in
from msgsync.account.device import Device
from msgsync.account.keys import SecretKeys
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Content, Rename, Revoke, Statement, make
from msgsync.errors import StatementRefused
from tests.unit.account.accounts import NOW_MS, keys_of, roster_of, rotated

ROSTER = roster_of("phone", "tablet", "thief")
PHONE, TABLET, THIEF, STRANGER = map(keys_of, ("phone", "tablet", "thief", "stranger"))


def said(
    content: Content, by: SecretKeys, parents: tuple[bytes, ...] = ROSTER.heads, at_ms: int = 0
) -> Statement:
    return make(content, by, account=ROSTER.account, parents=parents, time_ms=at_ms)


def noise(count: int, by: SecretKeys = THIEF, start: int = 0) -> list[Statement]:
    """Statements that know nothing of each other."""
    content = Rename(THIEF.public.signing, "z")
    return [said(content, by, at_ms=start + number) for number in range(count)]


def revoked(roster: Roster, target: SecretKeys, by: SecretKeys) -> Roster:
    return roster.say(Revoke(target.public.signing, ()), by, now_ms=NOW_MS)


def names(roster: Roster) -> set[str]:
    return {member.name for member in roster.state.members.values()}


def test_what_strangers_signed_is_not_kept_nor_what_builds_on_it():
    junk = noise(5, by=STRANGER)
    on_junk = said(Rename(THIEF.public.signing, "on junk"), THIEF, (junk[0].id,))
    honest = said(Rename(TABLET.public.signing, "honest"), TABLET)
    assert take_in(ROSTER, [*junk, on_junk]) is ROSTER
    assert take_in(ROSTER, [*junk, on_junk, honest]) == ROSTER.merge([honest])


def test_what_a_device_says_that_knows_that_it_was_removed_is_not_kept():
    roster = revoked(ROSTER, THIEF, PHONE)
    late = said(Rename(THIEF.public.signing, "late"), THIEF, roster.heads)
    assert take_in(roster, [late]) is roster


def test_two_that_were_told_different_things_agree_once_one_of_them_revokes_the_liar(monkeypatch):
    monkeypatch.setattr(limits, "STATEMENTS", 20)
    monkeypatch.setattr(limits, "STATEMENTS_RESERVED", 2)
    phone, tablet = take_in(ROSTER, noise(15)), take_in(ROSTER, noise(15, start=100))
    both = take_in(phone, tablet.statements), take_in(tablet, phone.statements)
    for one, more in zip((phone, tablet), both, strict=True):
        assert {each.id for each in one.statements} <= {each.id for each in more.statements}
        assert more.said_by(THIEF.public.signing) == 20
    phone = rotated(revoked(phone, THIEF, PHONE), "phone", "epoch 2")
    tablet = take_in(tablet, phone.statements)
    assert names(tablet) == {"phone", "tablet"}
    assert tablet.state.epoch == phone.state.epoch
    assert take_in(phone, tablet.statements) is phone


def test_a_removal_is_heard_with_its_past_however_much_there_is(monkeypatch):
    """By another one of a third, and the liar is still in the account."""
    monkeypatch.setattr(limits, "STATEMENTS", 20)
    monkeypatch.setattr(limits, "STATEMENTS_RESERVED", 2)
    phone, tablet = take_in(ROSTER, noise(15)), take_in(ROSTER, noise(15, start=100))
    phone = revoked(phone, TABLET, PHONE)
    heard = take_in(tablet, phone.statements)
    assert names(heard) == {"phone", "z"}
    assert take_in(heard, phone.statements) is heard


def test_devices_that_a_liar_adds_do_not_fill_a_roster(monkeypatch):
    monkeypatch.setattr(limits, "ROSTER_STATEMENTS", 40)
    liars, more = ROSTER, []
    for number in range(6):
        sub = keys_of(f"sub {number}")
        device = Add(Device.of(sub, "sub", "x"))
        liars = liars.say(device, THIEF, now_ms=0, agreed=sub)
        more += [
            said(Rename(sub.public.signing, "sub"), sub, liars.heads, at_ms=at) for at in range(10)
        ]
    told = [*liars.statements, *more]
    phone = take_in(ROSTER, told)
    assert len(phone) == 40
    tablet = revoked(take_in(ROSTER, reversed(told)), THIEF, TABLET)
    phone = take_in(phone, tablet.statements)
    assert "thief" not in names(phone)
    phone = revoked(phone, TABLET, PHONE)
    assert "tablet" not in names(phone), "there is room for what it says itself"


def test_a_statement_that_cannot_be_told_is_not_made(monkeypatch):
    monkeypatch.setattr(limits, "KEY_STATEMENTS", len(ROSTER))
    with pytest.raises(StatementRefused, match="told"):
        revoked(ROSTER, THIEF, PHONE)
    monkeypatch.undo()
    monkeypatch.setattr(limits, "ROSTER_TOLD_BYTES", ROSTER.size_bytes + 10)
    with pytest.raises(StatementRefused, match="told"):
        revoked(ROSTER, THIEF, PHONE)


def test_names_leave_room_for_revocations(monkeypatch):
    monkeypatch.setattr(limits, "STATEMENTS", 4)
    monkeypatch.setattr(limits, "STATEMENTS_RESERVED", 2)
    again = Rename(TABLET.public.signing, "x")
    roster = ROSTER.say(again, TABLET, now_ms=0).say(again, TABLET, now_ms=0)
    with pytest.raises(StatementRefused, match="at most 2"):
        roster.say(again, TABLET, now_ms=0)
    roster = rotated(revoked(roster, THIEF, TABLET), "tablet", "epoch 2")
    assert roster.state.epoch is not None
    with pytest.raises(StatementRefused, match="at most 4"):
        revoked(roster, PHONE, TABLET)


def test_what_is_said_knows_of_more_statements_than_it_can_name():
    roster = take_in(ROSTER, noise(200))
    assert len(roster.heads) == 200
    roster = rotated(revoked(roster, THIEF, PHONE), "phone", "epoch 2")
    assert len(roster.heads) == 1
    assert roster.state.epoch is not None
    assert names(roster) == {"phone", "tablet"}


def test_an_epoch_stays_in_use_if_who_is_out_is_revoked_again():
    roster = rotated(revoked(ROSTER, THIEF, PHONE), "phone", "epoch 2")
    again = roster.merge([said(Revoke(THIEF.public.signing, ()), TABLET)])
    assert again.state.epoch == roster.state.epoch
    assert roster.merge([said(Revoke(TABLET.public.signing, ()), PHONE)]).state.epoch is None


def test_an_epoch_does_not_stay_in_use_if_who_came_back_is_revoked_again():
    roster = revoked(ROSTER, THIEF, PHONE)
    back = Add(Device.of(THIEF, "thief", "x"))
    roster = roster.say(back, TABLET, now_ms=0, agreed=THIEF)
    roster = rotated(roster, "phone", "epoch 2")
    assert revoked(roster, THIEF, TABLET).state.epoch is None
