"""Key objects: the phrase alone, or a device that slept, finds its way in; nobody else does."""

from __future__ import annotations

from typing import Any

import pytest

from msgsync import limits
from msgsync.account.epochs import commitment_of, remnant_of
from msgsync.account.keyobject import (
    _seal,
    key_object_name,
    open_as_phrase,
    open_key_object,
    read_key_object,
    replaced_phrases,
    seal_key_object,
    seal_replaced,
)
from msgsync.account.keys import SecretKeys
from msgsync.account.roster import Roster
from msgsync.account.statements import Recovery, Revoke
from msgsync.errors import (
    AccountError,
    AccountMismatch,
    InvalidValue,
    NotAMember,
    ObjectDamaged,
    UnknownEpoch,
    WrongPhrase,
)
from tests.unit.account.accounts import (
    NOW_MS,
    PHRASE,
    drawn,
    keyring_of,
    keys_of,
    roster_of,
    rotated,
)

ROSTER = roster_of("phone", "tablet")
KEYRING = keyring_of(ROSTER)
PHONE, TABLET = keys_of("phone"), keys_of("tablet")


def made(recipient: SecretKeys = PHRASE, **changed: Any) -> bytes:
    arguments: dict[str, Any] = {"keys": PHONE, "roster": ROSTER, "keyring": KEYRING}
    return seal_key_object(recipient.public, **(arguments | changed))


def test_the_phrase_alone_finds_roster_and_epochs():
    got = open_key_object(made(), PHRASE)
    assert got.roster == ROSTER
    assert got.keyring == KEYRING


def test_names_follow_from_the_key_and_tell_nothing():
    names = {key_object_name(keys.public) for keys in (PHRASE, PHONE, TABLET)}
    assert len(names) == 3
    assert all(len(name) == len("keys/") + 32 for name in names)


def test_a_device_that_slept_through_a_change_of_epoch_catches_up():
    roster = ROSTER.say(Revoke(keys_of("x").public.signing, ()), PHONE, now_ms=NOW_MS)
    roster = rotated(roster, "phone", "epoch 2")
    raw = made(TABLET, roster=roster, keyring=keyring_of(roster, "epoch 1", "epoch 2"))
    got = open_key_object(raw, TABLET, known=ROSTER)
    assert got.roster == roster
    assert len(got.keyring) == 2


def test_what_is_left_of_forgotten_epochs_is_told_and_opens_nothing():
    roster = rotated(ROSTER, "phone", "epoch 2")
    old, current = (commitment_of(drawn(name), roster.account) for name in ("epoch 1", "epoch 2"))
    both = keyring_of(roster, "epoch 1", "epoch 2")
    got = open_key_object(made(TABLET, roster=roster, keyring=both.without(old)), TABLET).keyring
    assert [*got] == [current]
    assert got.forgotten == {old: remnant_of(drawn("epoch 1"), roster.account)}
    with pytest.raises(UnknownEpoch):
        got.secret(old)


def test_nobody_can_have_the_epoch_in_force_taken_for_forgotten_nor_one_that_nobody_began():
    roster = rotated(ROSTER, "phone", "epoch 2")
    current = commitment_of(drawn("epoch 2"), roster.account)
    for name in (current, drawn("nobody began this")):
        raw = _seal(TABLET.public, PHONE, roster, [], [name + bytes(32)])
        assert open_key_object(raw, TABLET).keyring.forgotten == {}
    with pytest.raises(ObjectDamaged, match="cannot be read"):
        open_key_object(_seal(TABLET.public, PHONE, roster, [], [current]), TABLET)


def test_an_old_key_object_takes_nothing_back():
    later = rotated(ROSTER, "phone", "epoch 2")
    assert open_key_object(made(TABLET), TABLET, known=later).roster == later


def test_a_key_object_is_read_by_its_recipient_only():
    for keys in (PHONE, TABLET, keys_of("stranger")):
        with pytest.raises(ObjectDamaged):
            open_key_object(made(), keys)
    with pytest.raises(NotAMember):
        made(keys_of("stranger"))


def test_a_key_object_by_a_stranger_or_a_revoked_device_is_refused():
    with pytest.raises(NotAMember, match="by a device"):
        open_key_object(made(keys=keys_of("stranger")), PHRASE)
    roster = ROSTER.say(Revoke(TABLET.public.signing, ()), PHONE, now_ms=NOW_MS)
    with pytest.raises(NotAMember, match="by a device"):
        open_key_object(made(keys=TABLET), PHRASE, known=roster)
    with pytest.raises(NotAMember, match="not in the account any more"):
        open_key_object(made(TABLET), TABLET, known=roster)


def test_a_forged_roster_cannot_name_the_phrase():
    # Whoever keeps the mailbox makes an account of its own and seals it to the phrase: it has no signature of it.
    evil = keys_of("evil")
    forged = Roster.begin(evil, keys_of("evil phrase"), name="evil", platform="x", now_ms=0)
    with pytest.raises(NotAMember):
        seal_key_object(PHRASE.public, keys=evil, roster=forged, keyring=keyring_of(forged))


def test_a_key_object_of_another_account_is_refused():
    other = roster_of("tablet", "phone")
    raw = made(TABLET, roster=other, keyring=keyring_of(other))
    with pytest.raises(AccountMismatch):
        open_key_object(raw, TABLET, known=ROSTER)


def test_a_secret_that_nobody_began_is_refused():
    with pytest.raises(ObjectDamaged, match="nobody began"):
        open_key_object(_seal(PHRASE.public, PHONE, ROSTER, [drawn("mine")]), PHRASE)


def test_an_epoch_that_began_after_the_roster_that_is_told_is_told_to_nobody():
    later = rotated(
        ROSTER.say(Revoke(TABLET.public.signing, ()), PHONE, now_ms=NOW_MS), "phone", "2"
    )
    raw = made(TABLET, keyring=keyring_of(later, "epoch 1", "2"))
    assert open_key_object(raw, TABLET).keyring == KEYRING


def test_a_key_object_that_was_changed_or_cut_is_refused():
    raw = made()
    for at in [*range(0, len(raw), 97), *range(60), len(raw) - 1]:
        for damaged in (raw[:at], raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]):
            with pytest.raises(AccountError):
                open_key_object(damaged, PHRASE)


def test_a_key_object_has_a_limit(monkeypatch):
    monkeypatch.setattr("msgsync.limits.KEY_OBJECT_BYTES", 100)
    with pytest.raises(InvalidValue, match="at most 100"):
        made()


# Phrases.


def replaced_by(roster: Roster, name: str, by: SecretKeys = PHONE) -> Roster:
    return roster.say(Recovery(keys_of(name).public), by, now_ms=NOW_MS, agreed=keys_of(name))


def test_a_replaced_phrase_is_told_that_it_was_and_nothing_of_what_came_later():
    replaced = replaced_by(ROSTER, "second")
    later = replaced_by(replaced, "third").say(
        Revoke(keys_of("x").public.signing, ()), PHONE, now_ms=NOW_MS
    )
    raw = seal_replaced(PHRASE.public, keys=TABLET, roster=later)
    found = read_key_object(raw, PHRASE)
    assert found.secrets == ()
    assert found.roster == replaced
    with pytest.raises(WrongPhrase, match="was replaced"):
        open_as_phrase(raw, PHRASE)
    assert replaced_phrases(later) == [PHRASE.public, keys_of("second").public]
    assert open_as_phrase(made(keys_of("third"), roster=later), keys_of("third")).roster == later


def test_a_phrase_in_force_or_unknown_gets_no_notice():
    for phrase in (PHRASE, keys_of("second")):
        with pytest.raises(NotAMember):
            seal_replaced(phrase.public, keys=PHONE, roster=ROSTER)
    assert replaced_phrases(ROSTER) == []


def test_who_replaces_the_phrase_without_being_in_the_account_ends_no_phrase():
    """Nor does it have one that could be told anything."""
    stranger = keys_of("stranger")
    roster = replaced_by(ROSTER, "second", by=stranger)
    assert replaced_phrases(roster) == []
    with pytest.raises(NotAMember):
        seal_replaced(PHRASE.public, keys=PHONE, roster=roster)


def test_of_many_replaced_phrases_the_latest_are_told():
    roster = ROSTER
    for number in range(limits.PHRASES_TOLD + 2):
        roster = replaced_by(roster, str(number))
    told = replaced_phrases(roster)
    assert len(told) == limits.PHRASES_TOLD
    assert told[-1] == keys_of(str(limits.PHRASES_TOLD)).public


def test_what_a_stranger_tells_a_phrase_is_damaged():
    raw = _seal(PHRASE.public, keys_of("stranger"), ROSTER, [])
    with pytest.raises(ObjectDamaged):
        open_as_phrase(raw, PHRASE)
