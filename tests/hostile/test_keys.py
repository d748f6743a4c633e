"""What a peer tells of the account, if it lies: refused in words, and nothing of it is kept. Source: issue 6."""

from __future__ import annotations

from typing import Any

import pytest

from msgsync import AccountError, MsgSyncError, NotAMember, PeerError, Replica, limits
from msgsync.account.device import Device
from msgsync.account.epochs import Keyring, commitment_of
from msgsync.account.introduction import seal_introduction
from msgsync.account.keyobject import _seal, seal_key_object
from msgsync.account.keys import SecretKeys
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Epoch, Rename, Revoke
from msgsync.protocol.frames import Frame, Keys, Refuse, Stranger
from msgsync.protocol.session import Session
from msgsync.replica.exchange import Exchange
from tests.hostile.peer import said
from tests.unit.account.accounts import NOW_MS, PHRASE, drawn, keys_of, roster_of
from tests.unit.members import PLAYED, changed, enrolled
from tests.unit.protocol.test_session import feed, hello_of

EVIL = keys_of("evil")
OTHER_DIGEST = bytes(32)


@pytest.fixture
def victim(phone: Replica, family: Any) -> Replica:
    family.send("kept")
    enrolled(phone)
    return phone


def talking(victim: Replica, device: SecretKeys = PLAYED) -> tuple[Session, list[Frame]]:
    """A session with somebody who says to be that device, and knows something else of the account."""
    session = Session(Exchange(victim))
    said(session)
    hello = hello_of(victim, device=device.device_id.raw, root=bytes(16))
    feed(session, changed(hello, OTHER_DIGEST))
    return session, said(session)


def tell(session: Session, raw: bytes, *, introduces: bool = False) -> None:
    size = 200_000
    for start in range(0, max(len(raw), 1), size):
        piece = raw[start : start + size]
        feed(session, Keys(piece, start + size >= len(raw), introduces))


def object_for(victim: Replica, **changes: Any) -> bytes:
    known = victim.membership
    arguments: dict[str, Any] = {
        "keys": PLAYED,
        "roster": known.roster(),
        "keyring": known.keyring(),
    }
    return seal_key_object(known.keys.public, **(arguments | changes))


def refused(victim: Replica, session: Session, before: bytes, kind: type[MsgSyncError]) -> str:
    assert isinstance(session.error, kind)
    assert isinstance(said(session)[-1], Refuse)
    assert session.finished
    assert victim.membership.digest() == before
    assert victim.check().ok
    return str(session.error)


def test_an_honest_key_object_is_taken(victim):
    session, _ = talking(victim)
    roster = victim.membership.roster()
    roster = roster.say(Rename(PLAYED.public.signing, "honest"), PLAYED, now_ms=NOW_MS)
    tell(session, object_for(victim, roster=roster))
    assert session.error is None
    assert victim.membership.roster() == roster


def test_a_stranger_that_adds_itself_is_refused(victim):
    before = victim.membership.digest()
    session, frames = talking(victim, EVIL)
    assert [type(frame) for frame in frames] == [Stranger]
    known = victim.membership.roster()
    forged = known.say(Add(Device.of(EVIL, "evil", "x")), EVIL, now_ms=NOW_MS, agreed=EVIL)
    own = victim.membership.keys.public
    tell(session, _seal(own, EVIL, forged, []))
    assert "is not in the account" in refused(victim, session, before, NotAMember)


def test_who_only_says_to_be_a_member_is_refused(victim):
    before = victim.membership.digest()
    session, _ = talking(victim)
    own = victim.membership.keys.public
    tell(session, _seal(own, EVIL, victim.membership.roster(), []))
    refused(victim, session, before, NotAMember)


def test_what_another_member_signed_is_not_this_ones(victim, tablet):
    before = victim.membership.digest()
    session, _ = talking(victim)
    tell(session, object_for(victim, keys=tablet.membership.keys))
    assert "signed by another" in refused(victim, session, before, NotAMember)


def test_a_roster_of_another_account_is_refused(victim):
    before = victim.membership.digest()
    session, _ = talking(victim)
    other = roster_of("played by a test")
    own = victim.membership.keys.public
    tell(session, _seal(own, PLAYED, other, []))
    refused(victim, session, before, AccountError)


def test_a_roster_that_begins_elsewhere_is_refused(victim):
    before = victim.membership.digest()
    session, _ = talking(victim)
    forged = Roster.begin(PLAYED, PHRASE, name="mine", platform="x", now_ms=0)
    tell(session, _seal(victim.membership.keys.public, PLAYED, forged, []))
    refused(victim, session, before, AccountError)


def test_a_revoked_device_cannot_backdate_its_way_in(victim):
    """It knows the account as it was before, and revokes who revoked it as if at the same moment."""
    past = victim.membership.roster()
    victim.revoke(PLAYED.device_id, even_without_recovery=True)
    before = victim.membership.digest()
    session, frames = talking(victim)
    assert [type(frame) for frame in frames] == [Keys], "a notice"
    own = victim.membership.keys.public
    forged = past.say(Revoke(own.signing, ()), PLAYED, now_ms=0)
    forged = forged.say(Add(Device.of(EVIL, "evil", "x")), PLAYED, now_ms=0, agreed=EVIL)
    tell(session, _seal(own, PLAYED, forged, []))
    assert "was revoked" in refused(victim, session, before, NotAMember)


def test_the_secret_of_an_epoch_that_nobody_began_is_refused(victim):
    before = victim.membership.digest()
    session, _ = talking(victim)
    known = victim.membership
    secrets = [*known.keyring().export(), drawn("mine")]
    tell(session, _seal(known.keys.public, PLAYED, known.roster(), secrets))
    refused(victim, session, before, AccountError)


@pytest.mark.parametrize("introduces", [False, True])
def test_bytes_that_were_changed_or_cut_are_refused(victim, introduces):
    before = victim.membership.digest()
    device = EVIL if introduces else PLAYED
    if introduces:
        salt = bytes(32)
        roster, keyring = victim.membership.roster(), victim.membership.keyring()
        raw = seal_introduction(roster, keyring, salt=salt)
    else:
        raw = object_for(victim)
    places = [0, 1, 33, len(raw) // 2, len(raw) - 1]
    for at in places:
        for damaged in (raw[:at], raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]):
            session, _ = talking(victim, device)
            tell(session, damaged, introduces=introduces)
            refused(victim, session, before, (AccountError, PeerError))  # type: ignore[arg-type]


def test_an_introduction_makes_nobody_a_member(victim):
    """A revoked device knows the epochs of its time; so whoever has its copy could introduce itself."""
    before = victim.membership.digest()
    session, _ = talking(victim, EVIL)
    roster, keyring = victim.membership.roster(), victim.membership.keyring()
    tell(session, seal_introduction(roster, keyring, salt=bytes(32)), introduces=True)
    refused(victim, session, before, NotAMember)


def test_a_stranger_is_introduced_to_under_the_newest_epoch_alone(victim):
    victim.revoke(PLAYED.device_id, even_without_recovery=True)
    old, newest = sorted(victim.membership.keyring(), key=lambda one: one == _current(victim))
    for epochs, count in (((), 0), ((old,), 0), ((newest,), 1)):
        session, _ = talking(victim, EVIL)
        feed(session, Stranger(epochs, old))
        introductions = [frame for frame in said(session) if isinstance(frame, Keys)]
        assert len(introductions) == count


def _current(replica: Replica) -> bytes:
    return replica.membership.roster().state.sealing_epoch()


def test_more_than_a_key_object_is_not_collected(victim, monkeypatch):
    before = victim.membership.digest()
    monkeypatch.setattr("msgsync.protocol.keys._MOST_BYTES", 1000)
    session, _ = talking(victim)
    feed(session, *[Keys(bytes(300), False, False)] * 5)
    assert "too long" in refused(victim, session, before, PeerError)
    session, _ = talking(victim)
    feed(session, Keys(b"", False, False))
    refused(victim, session, before, PeerError)


def test_more_statements_than_a_device_may_make_are_not_kept(victim, monkeypatch):
    roster = victim.membership.roster()
    for number in range(12):
        roster = roster.say(Rename(PLAYED.public.signing, f"n{number}"), PLAYED, now_ms=NOW_MS)
    raw = object_for(victim, roster=roster)
    monkeypatch.setattr(limits, "STATEMENTS", 10)
    session, _ = talking(victim)
    tell(session, raw)
    assert session.error is None
    assert victim.membership.roster().said_by(PLAYED.public.signing) == 10
    assert victim.check().ok


def test_more_epochs_than_are_kept_leave_room_for_the_one_in_use(victim, monkeypatch):
    monkeypatch.setattr(limits, "EPOCHS", 4)
    [own] = victim.membership.credentials().epochs
    roster, secrets = victim.membership.roster(), []
    for number in range(4):
        secrets.append(drawn(f"flood {number}"))
        epoch = Epoch(commitment_of(secrets[-1], roster.account))
        roster = roster.say(epoch, PLAYED, now_ms=NOW_MS)
    session, _ = talking(victim)
    tell(session, object_for(victim, roster=roster, keyring=Keyring(roster.account, secrets)))
    assert session.error is None
    kept = victim.membership.credentials().epochs
    assert len(kept) == 4
    assert own in kept
    assert _current(victim) in victim.membership.keyring()
    assert victim.check().ok


def test_who_tells_the_same_for_ever_is_hung_up_on(victim, monkeypatch):
    monkeypatch.setattr("msgsync.protocol.keys._MOST_TIMES", 5)
    session, _ = talking(victim)
    raw = object_for(victim)
    before = victim.membership.digest()
    for _ in range(10):
        if session.finished:
            break
        tell(session, raw)
        said(session)
    assert isinstance(session.error, PeerError)
    assert victim.membership.digest() == before


def test_a_stranger_is_asked_for_nothing_twice(victim):
    session, _ = talking(victim, EVIL)
    feed(session, *[Stranger((), b"")] * 3)
    assert isinstance(session.error, NotAMember)
    assert len(said(session)) == 1
    assert session.finished
