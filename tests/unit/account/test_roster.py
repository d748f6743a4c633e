"""Who is in an account, and who is not any more: one story a test."""

from __future__ import annotations

from collections import Counter

import pytest

from msgsync import limits
from msgsync.account import fold
from msgsync.account.device import Device
from msgsync.account.fold import Fold
from msgsync.account.keys import device_id
from msgsync.account.roster import Fallen, Roster, State
from msgsync.account.statements import (
    Add,
    Content,
    Epoch,
    Position,
    Recovery,
    Rename,
    Revoke,
    Statement,
)
from msgsync.errors import AccountMismatch, RotationDue, StatementRefused, UnknownRoster
from msgsync.ids import DeviceId
from tests.property.rosters import ACCOUNT, SIGNERS, add, epoch, genesis, replace, revoke, statement
from tests.unit.account.accounts import drawn, keys_of

PHRASE = keys_of("phrase")
NOW_MS = 1_714_579_320_000


def named(state: State) -> set[str]:
    return {member.name for member in state.members.values()}


class Holder:
    """One device: its keys, and the roster as it knows it."""

    def __init__(self, name: str, roster: Roster) -> None:
        self.keys, self.name, self.roster = keys_of(name), name, roster

    def add(self, name: str) -> Holder:
        keys = keys_of(name)
        content = Add(Device.of(keys, name, "test"))
        self.roster = self.roster.say(content, self.keys, now_ms=NOW_MS, agreed=keys)
        return Holder(name, self.roster)

    def revoke(self, *others: Holder) -> None:
        for other in others:
            content = Revoke(other.keys.public.signing, ())
            self.roster = self.roster.say(content, self.keys, now_ms=NOW_MS)

    def rotate(self, name: str) -> None:
        self.roster = self.roster.say(Epoch(drawn(name)), self.keys, now_ms=NOW_MS)

    def hear(self, other: Holder) -> None:
        self.roster = self.roster.merge(other.roster.statements)

    @property
    def members(self) -> set[str]:
        return named(self.roster.state)


def account() -> Holder:
    keys = keys_of("phone")
    return Holder("phone", Roster.begin(keys, PHRASE, name="phone", platform="test", now_ms=NOW_MS))


def three() -> tuple[Holder, Holder, Holder]:
    """Three devices that know the same."""
    phone = account()
    tablet, laptop = phone.add("tablet"), phone.add("laptop")
    tablet.hear(phone)
    return phone, tablet, laptop


def test_an_account_begins_with_one_device_and_its_phrase():
    state = account().roster.state
    (member,) = state.members.values()
    assert (member.name, member.added_ms) == ("phone", NOW_MS)
    assert member.added_by == member.device.keys.signing
    assert state.recovery == (PHRASE.public,)
    assert not state.fallen
    assert not state.revoked


def test_a_member_adds_and_a_stranger_does_not():
    phone = account()
    tablet = phone.add("tablet")
    stranger = Holder("stranger", phone.roster)
    stranger.add("accomplice")
    tablet.hear(stranger)
    assert tablet.members == {"phone", "tablet"}
    assert list(tablet.roster.state.fallen.values()) == [Fallen.NOT_A_MEMBER]


def test_a_new_device_adds_others():
    phone = account()
    phone.add("tablet").add("laptop")
    laptop = phone.add("tablet").add("laptop")
    assert laptop.members == {"phone", "tablet", "laptop"}


def test_a_revoked_device_is_out_with_all_it_does_from_then_on():
    phone, tablet, laptop = three()
    tablet.revoke(laptop)
    laptop.add("accomplice")
    laptop.hear(tablet)
    laptop.add("another")
    phone.hear(laptop)
    assert phone.members == {"phone", "tablet"}
    gone = phone.roster.state.revoked[laptop.keys.device_id]
    assert gone.revoked_by == (tablet.keys.public.signing,)
    assert sorted(one.name for one in phone.roster.state.fallen.values()) == [
        "NOT_A_MEMBER",
        "REMOVED",
    ]


def test_what_it_did_before_and_was_known_stands():
    _phone, tablet, laptop = three()
    camera = laptop.add("camera")
    tablet.hear(laptop)
    tablet.revoke(laptop)
    assert tablet.members == {"phone", "tablet", "camera"}
    camera.hear(tablet)
    camera.add("watch")
    assert "watch" in camera.members


def test_additions_by_a_removed_device_fall_with_all_that_follows_from_them():
    phone, tablet, laptop = three()
    camera = laptop.add("camera")
    watch = camera.add("watch")
    watch.revoke(phone)
    tablet.revoke(laptop)
    tablet.hear(watch)
    assert tablet.members == {"phone", "tablet"}
    assert set(tablet.roster.state.fallen.values()) == {Fallen.REMOVED}
    assert len(tablet.roster.state.fallen) == 3


def test_two_that_remove_each_other_are_both_out_and_a_third_decides():
    phone, tablet, laptop = three()
    tablet.revoke(laptop)
    laptop.revoke(tablet)
    phone.hear(tablet)
    phone.hear(laptop)
    assert phone.members == {"phone"}
    phone.add("tablet")
    assert phone.members == {"phone", "tablet"}


def test_who_was_returned_stays_whatever_the_other_says_it_had_said_before():
    phone, tablet, laptop = three()
    thief = Holder("laptop", laptop.roster)  # goes on from what it knew then
    tablet.revoke(laptop)
    laptop.revoke(tablet)
    phone.hear(tablet)
    phone.hear(laptop)
    phone.add("tablet")
    for _ in range(3):
        thief.revoke(tablet, phone)
        thief.add("accomplice")
    phone.hear(thief)
    assert phone.members == {"phone", "tablet"}


def test_a_thief_that_removes_everybody_loses_only_those_who_removed_it():
    phone, tablet, laptop = three()
    phone.add("camera")
    laptop.hear(phone)
    tablet.hear(phone)
    laptop.revoke(phone, tablet, Holder("camera", laptop.roster))
    tablet.revoke(laptop)
    tablet.hear(laptop)
    assert tablet.members == {"phone", "camera"}
    fallen = list(tablet.roster.state.fallen.values())
    assert fallen == [Fallen.REMOVED] * 2


def test_three_that_remove_each_other_in_a_ring_are_all_out():
    phone, tablet, laptop = three()
    phone.revoke(tablet)
    tablet.revoke(laptop)
    laptop.revoke(phone)
    for one in (tablet, laptop):
        phone.hear(one)
    assert phone.members == set()
    assert phone.roster.state.recovery == (PHRASE.public,)


def test_in_an_account_of_two_the_phrase_decides():
    phone = account()
    tablet = phone.add("tablet")
    phone.revoke(tablet)
    tablet.revoke(phone)
    phone.hear(tablet)
    assert phone.members == set()
    again = Add(Device.of(phone.keys, "phone", "test"))
    decided = phone.roster.say(again, PHRASE, now_ms=NOW_MS, agreed=phone.keys)
    assert named(decided.state) == {"phone"}
    tablet.revoke(phone)
    assert named(decided.merge(tablet.roster.statements).state) == {"phone"}


def test_who_replaced_the_phrase_does_not_escape_the_old_one():
    a = genesis()
    b = add("a", "b", a)
    theirs = replace("b", "second", b)
    ours = revoke("first", "b", b)
    state = Roster([a, b, theirs, ours]).state
    assert named(state) == {"a"}
    assert [keys.signing for keys in state.recovery] == [SIGNERS["first"]]


def test_a_phrase_that_was_replaced_is_worth_nothing():
    phone, _tablet, _laptop = three()
    stolen = phone.roster
    other = keys_of("other phrase")
    phone.roster = phone.roster.say(Recovery(other.public), phone.keys, now_ms=NOW_MS, agreed=other)
    assert phone.roster.state.recovery == (other.public,)
    keys = keys_of("accomplice")
    for roster in (stolen, phone.roster):
        content = Add(Device.of(keys, "accomplice", "test"))
        said = roster.say(content, PHRASE, now_ms=NOW_MS, agreed=keys)
        assert phone.roster.merge(said.statements).state.member_of(keys.public.signing) is None
    returned = phone.roster.say(
        Add(Device.of(keys, "new", "test")), other, now_ms=NOW_MS, agreed=keys
    )
    assert "new" in named(returned.state)


def test_phrases_set_at_once_are_both_in_force():
    phone, tablet, _ = three()
    for device, phrase in ((phone, keys_of("p1")), (tablet, keys_of("p2"))):
        device.roster = device.roster.say(
            Recovery(phrase.public), device.keys, now_ms=NOW_MS, agreed=phrase
        )
    phone.hear(tablet)
    assert len(phone.roster.state.recovery) == 2


def test_a_device_may_leave():
    phone, tablet, _ = three()
    tablet.revoke(tablet)
    phone.hear(tablet)
    assert phone.members == {"phone", "laptop"}


def test_a_revoked_device_comes_back_when_a_member_adds_it_again():
    phone, tablet, laptop = three()
    phone.revoke(laptop)
    phone.add("laptop")
    assert phone.members == {"phone", "tablet", "laptop"}
    tablet.revoke(laptop)  # without knowing of the return: removal wins
    phone.hear(tablet)
    assert phone.members == {"phone", "tablet"}


def test_names_change_and_the_one_who_knows_more_names():
    phone, tablet, _ = three()
    target = tablet.keys.public.signing
    phone.roster = phone.roster.say(Rename(target, "Kitchen"), phone.keys, now_ms=5)
    tablet.hear(phone)
    tablet.roster = tablet.roster.say(Rename(target, "Hall"), tablet.keys, now_ms=1)
    phone.hear(tablet)
    assert phone.members == {"phone", "Hall", "laptop"}


def test_a_second_key_under_an_id_is_refused(monkeypatch):
    alike = {SIGNERS["b"], SIGNERS["c"]}
    real = device_id
    monkeypatch.setattr(
        fold, "device_id", lambda key: DeviceId(b"samesame") if key in alike else real(key)
    )
    a = genesis()
    b = add("a", "b", a)
    late = add("a", "c", b)
    roster = Roster([a, b, late])
    assert named(roster.state) == {"a", "b"}
    assert roster.state.fallen == {late.id: Fallen.ID_TAKEN}
    unaware = add("a", "c", a)
    roster = Roster([a, b, unaware])
    first = min(b, unaware, key=lambda one: one.id)
    assert named(roster.state) == {"a", "b" if first is b else "c"}
    assert list(roster.state.fallen.values()) == [Fallen.ID_TAKEN]


# Epochs.


def test_there_is_no_epoch_to_seal_under_until_one_is_begun_after_each_removal():
    phone, tablet, laptop = three()
    with pytest.raises(RotationDue):
        phone.roster.state.sealing_epoch()
    phone.rotate("one")
    assert phone.roster.state.sealing_epoch() == drawn("one")
    tablet.revoke(laptop)
    tablet.rotate("two")
    laptop.rotate("three")
    phone.hear(laptop)
    phone.hear(tablet)
    assert phone.roster.state.sealing_epoch() == drawn("two")
    phone.revoke(tablet)
    assert phone.roster.state.epoch is None


def test_an_epoch_is_for_members_and_phrases_in_force():
    phone, tablet, laptop = three()
    phone.revoke(laptop)
    keys = [phone.keys.public, tablet.keys.public, PHRASE.public]
    assert phone.roster.state.recipients() == {one.recipient: one for one in keys}


def test_of_epochs_begun_at_once_all_take_the_same():
    a = genesis()
    b = add("a", "b", a)
    one, two = epoch("a", "one", b), epoch("b", "two", b)
    chosen = Roster([a, b, one, two]).state.epoch
    last = max(one, two, key=lambda begun: begun.id).content
    assert isinstance(last, Epoch)
    assert chosen == last.commitment


# Positions.


def test_what_any_member_had_accepted_of_a_revoked_device_stands():
    phone, tablet, laptop = three()
    one, two = drawn("i1", 16), drawn("i2", 16)
    target = laptop.keys.public.signing
    for device, positions in (
        (phone, (Position(one, 5, drawn("a")),)),
        (tablet, tuple(sorted((Position(one, 7, drawn("b")), Position(two, 1, drawn("c")))))),
    ):
        device.roster = device.roster.say(Revoke(target, positions), device.keys, now_ms=NOW_MS)
    phone.hear(tablet)
    gone = phone.roster.state.revoked[laptop.keys.device_id]
    assert {at: position.sequence for at, position in gone.positions.items()} == {one: 7, two: 1}


# The set.


def test_statements_that_came_before_their_past_wait_for_it():
    phone = account()
    tablet = phone.add("tablet")
    laptop = tablet.add("laptop")
    first, second, third = laptop.roster.statements
    roster = Roster([first, third])
    assert (named(roster.state), roster.waiting, roster.missing()) == ({"phone"}, 1, {second.id})
    assert roster.raws() == [first.raw, third.raw]
    roster = roster.merge([second])
    assert (named(roster.state), roster.waiting) == ({"phone", "tablet", "laptop"}, 0)


def test_a_rolled_back_roster_takes_nothing_back():
    phone, _tablet, laptop = three()
    old = phone.roster
    phone.revoke(laptop)
    assert phone.roster.merge(old.statements) is phone.roster
    assert old.merge(phone.roster.statements) == phone.roster


def test_what_somebody_knew_can_be_asked_later():
    phone, tablet, laptop = three()
    before = phone.roster.heads
    phone.revoke(laptop)
    assert named(phone.roster.state_at(before)) == {"phone", "tablet", "laptop"}
    assert phone.roster.state_at(phone.roster.heads) is phone.roster.state
    with pytest.raises(UnknownRoster):
        tablet.roster.state_at(phone.roster.heads)


def test_accounts_do_not_mix():
    phone = account()
    keys = keys_of("stranger")
    other = Roster.begin(keys, keys_of("p"), name="stranger", platform="test", now_ms=0)
    with pytest.raises(AccountMismatch):
        phone.roster.merge(other.statements)
    with pytest.raises(AccountMismatch):
        Roster([*phone.roster.statements, *other.statements])
    foreign = other.say(Rename(keys.public.signing, "x"), keys, now_ms=0).statements[-1:]
    with pytest.raises(StatementRefused, match="without the genesis"):
        Roster(foreign)
    with pytest.raises(AccountMismatch):
        Roster([*phone.roster.statements, *foreign])


def test_a_roster_is_read_from_its_bytes():
    _phone, tablet, _ = three()
    assert Roster.read(reversed(tablet.roster.raws())) == tablet.roster
    with pytest.raises(StatementRefused):
        Roster.read([*tablet.roster.raws(), b"x"])


def test_who_floods_a_roster_keeps_nobody_from_revoking_it(monkeypatch):
    phone, tablet, laptop = three()
    monkeypatch.setattr(limits, "STATEMENTS", 5)
    monkeypatch.setattr(limits, "STATEMENTS_RESERVED", 0)
    again = Rename(laptop.keys.public.signing, "x")
    for _ in range(5):
        laptop.roster = laptop.roster.say(again, laptop.keys, now_ms=NOW_MS)
    with pytest.raises(StatementRefused, match="at most 5"):
        laptop.roster.say(again, laptop.keys, now_ms=NOW_MS)
    tablet.hear(laptop)
    tablet.revoke(laptop)
    phone.hear(tablet)
    assert phone.members == {"phone", "tablet"}


def test_many_that_say_the_same_are_judged_as_one():
    a = genesis()
    b = add("a", "b", a)
    said = [a, b, revoke("a", "b", b)]
    for number in range(500):  # of one thief, all concurrent
        content = Revoke(SIGNERS["a"], (Position(bytes(16), number + 1, bytes(32)),))
        said.append(statement("b", content, b))
    assert not Roster(said).state.members


def test_long_rosters_are_judged_in_time_that_grows_with_them():
    a = genesis()
    said: list[Statement] = [a, add("a", "b", a)]
    for number in range(1_000):
        said.append(epoch("ab"[number % 2], f"epoch {number}", said[-1]))
    assert named(Roster(reversed(said)).state) == {"a", "b"}


def test_a_roster_shows_no_keys():
    phone, _, _ = three()
    shown = repr(phone.roster) + repr(phone.roster.state) + repr(phone.roster.statements)
    assert repr(phone.keys.public.signing)[2:-1] not in shown
    assert repr(phone.keys.export())[2:40] not in shown


def test_who_sets_an_old_phrase_again_confirms_what_it_had_revoked():
    """Also where nothing else happened since: the same as among statements that know nothing of each other."""
    a = genesis()
    b = add("a", "b", a)
    c = add("a", "c", b)
    set_by_a = replace("a", "second", c)
    gone = revoke(
        "first", "c", c
    )  # falls: the phrase was replaced by somebody who did not know of it
    assert named(Roster([a, b, c, set_by_a, gone]).state) == {"a", "b", "c"}
    again = replace("b", "first", set_by_a, gone)
    said = [a, b, c, set_by_a, gone, again]
    assert named(Roster(said).state) == {"a", "b"}
    assert named(Roster([*said, epoch("a", "epoch", c)]).state) == {"a", "b"}


def revoking_each_other(count: int) -> tuple[list[Statement], list[list[Statement]]]:
    """Two devices of a thief that revoke each other so often; what they and the first two were added by in front."""
    said = [genesis()]
    for who in "bcde":
        said.append(add("a", who, said[-1]))
    chains: list[list[Statement]] = [[said[-1]], [said[-1]]]
    for number in range(count):
        for chain, (one, other) in zip(chains, (("d", "e"), ("e", "d")), strict=True):
            position = Position(bytes(16), number + 1, bytes(32))
            content = Revoke(SIGNERS[other], (position,))
            chain.append(signed(SIGNERS[one], content, f"{one} {number}", chain[-1]))
    return said + chains[0][1:] + chains[1][1:], chains


@pytest.fixture
def work(monkeypatch) -> Counter[str]:
    """How often a set of statements was judged with its circles, and what one key signed was looked at."""
    done: Counter[str] = Counter()
    for name in ("_effective", "_stands"):
        real = getattr(Fold, name)

        def counted(*arguments, real=real, name=name):
            done[name] += 1
            return real(*arguments)

        monkeypatch.setattr(Fold, name, counted)
    return done


@pytest.mark.parametrize("count", [10, 100])
def test_statements_of_members_over_circles_resolve_them_once(work, count):
    """Each knows another part of the circles; its signer is a member however those end."""
    said, (first, second) = revoking_each_other(count)
    for number in range(count * 5):
        knows = first[1 + number % count], second[1 + number * 7 % count]
        said.append(epoch("c", f"epoch {number}", *knows))
    assert named(Roster(said).state) == {"a", "b", "c"}
    assert work["_effective"] == 1
    assert work["_stands"] < 50 * count, (
        "once for each signer and each part of the circles, not for each statement"
    )


@pytest.mark.parametrize("count", [10, 100])
def test_circles_that_a_signer_depends_on_take_work_that_does_not_grow_with_them(work, count):
    """One of the two revoked it as well, which falls: as often as it says something, the circles are resolved."""
    said, (first, second) = revoking_each_other(count)
    vain = revoke("d", "c", first[-1])
    said.append(vain)
    for number in range(1, 11):
        said.append(epoch("c", f"epoch {number}", vain, second[number * count // 10]))
    assert named(Roster(said).state) == {"a", "b", "c"}
    assert work["_effective"] <= 12
    assert work["_stands"] < 40 * work["_effective"]


def test_circles_of_many_are_judged_in_time_that_does_not_grow_with_their_square(monkeypatch):
    """Thirty devices of a thief, each of which revokes each: 870 revocations, and how often one is looked at."""
    said = [genesis(), add("a", "b", genesis())]
    subs = [keys_of(f"sub {number}") for number in range(30)]
    for number, keys in enumerate(subs):
        device = Device.of(keys, "sub", "test")
        said.append(signed(SIGNERS["b"], Add(device), f"add {number}", said[-1]))
    last = said[-1]
    for one in subs:
        for other in subs:
            if one is not other:
                name = f"{one.device_id} {other.device_id}"
                content = Revoke(other.public.signing, ())
                said.append(signed(one.public.signing, content, name, last))
    looks = 0
    stands = Fold._stands

    def counted(*arguments):
        nonlocal looks
        looks += 1
        return stands(*arguments)

    monkeypatch.setattr(Fold, "_stands", counted)
    assert named(Roster(said).state) == {"a", "b"}
    assert looks < 100 * len(said), "each revocation was tried on all of them: some 800,000 looks"


def signed(signer: bytes, content: Content, name: str, *parents: Statement) -> Statement:
    ids = tuple(sorted(one.id for one in parents))
    return Statement(b"", drawn(name), ACCOUNT, ids, signer, 0, content)
