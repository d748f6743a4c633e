"""Pairing: two machines joined, and everybody who may sit between them or in the place of one."""

from __future__ import annotations

import unicodedata
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.account.code import Code
from msgsync.account.device import Device
from msgsync.account.handshake import (
    EMOJI,
    Added,
    Compare,
    Event,
    Exchange,
    Failed,
    FrameType,
    Joined,
    Paired,
    Reason,
    Request,
    State,
    WrongGuess,
    commitment_to,
)
from msgsync.account.host import Host, Invitation
from msgsync.account.joiner import Joiner
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, Epoch, Revoke, compose
from msgsync.errors import (
    ConnectionLost,
    InvalidValue,
    InvitationOver,
    JoiningDenied,
    NotAMember,
    ProtocolError,
    UsageError,
    VersionMismatch,
    WrongCode,
)
from tests.unit.account.accounts import (
    CHEAP,
    NOW_MS,
    drawn,
    keyring_of,
    keys_of,
    roster_of,
    rotated,
)

ROSTER = roster_of("phone")
KEYRING = keyring_of(ROSTER)
PHONE, TABLET = keys_of("phone"), keys_of("tablet")
DEVICE = Device.of(TABLET, "Tablet", "linux")
TYPED, SCANNED = Code.to_type(drawn("code", 8)), Code.to_scan(drawn("code", 16))
OTHER = Code.to_type(drawn("other code", 8))


def invite(code: Code = TYPED) -> Invitation:
    return Invitation(code, now_ms=NOW_MS, cost=CHEAP)


def host(invitation: Invitation, **changed: Any) -> Host:
    arguments: dict[str, Any] = {
        "keys": PHONE,
        "nonce": drawn("host nonce"),
    }
    return Host(invitation, **(arguments | changed))


def joiner(code: Code = TYPED, nonces: str = "joiner nonces") -> Joiner:
    return Joiner(
        code.secrets(cost=CHEAP),
        keys=TABLET,
        device=DEVICE,
        nonces=drawn(nonces, 64),
        typed=code.typed,
    )


class Pair:
    """A host and a joiner, connected, with a person who approves and stores that store."""

    def __init__(
        self,
        one: Host,
        other: Joiner,
        *,
        approve: bool = True,
        now_ms: int = NOW_MS,
        roster: Roster = ROSTER,
    ) -> None:
        self.host, self.joiner, self.approve, self.now_ms = one, other, approve, now_ms
        self.roster, self.keyring = roster, KEYRING
        """What the host's device knows at the moment."""
        self.told: list[Event] = []
        self.frames: list[bytes] = []

    def run(self, most: int = 100) -> list[Event]:
        """Pass at most so many frames."""
        while most > 0:
            most -= 1
            if (frame := self.joiner.next_frame()) is not None:
                self.on_host(self.host.receive(frame, now_ms=self.now_ms))
            elif (frame := self.host.next_frame()) is not None:
                self.on_joiner(self.joiner.receive(frame))
            else:
                break
            self.frames.append(frame)
        return self.told

    def on_host(self, events: list[Event]) -> None:
        for event in events:
            self.told.append(event)
            if isinstance(event, Request):
                self.on_host(
                    self.host.approve(self.roster, now_ms=self.now_ms)
                    if self.approve
                    else self.host.deny()
                )
            elif isinstance(event, Added):
                self.roster = self.roster.merge([event.statement])
                self.on_host(self.host.stored(self.roster, self.keyring))

    def on_joiner(self, events: list[Event]) -> None:
        for event in events:
            self.told.append(event)
            if isinstance(event, Joined):
                self.on_joiner(self.joiner.stored())

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.told if isinstance(event, kind)]


@pytest.mark.parametrize("code", [TYPED, SCANNED], ids=["typed", "scanned"])
def test_a_device_with_the_code_and_approval_joins(code):
    invitation = invite(code)
    pair = Pair(host(invitation), joiner(code))
    pair.run()
    (joined,), (added,), (request,) = pair.of(Joined), pair.of(Added), pair.of(Request)
    assert pair.of(Paired) == [Paired(), Paired()]
    assert (pair.host.finished, pair.joiner.finished) == (True, True)
    assert (pair.host.error, pair.joiner.error) == (None, None)
    assert request.device == DEVICE
    member = joined.roster.state.members[DEVICE.id]
    assert (member.name, member.added_ms) == ("Tablet", NOW_MS)
    assert joined.roster == ROSTER.merge([added.statement])
    assert joined.keyring == KEYRING
    assert invitation.used


def test_both_screens_show_the_same_six_emoji_if_the_code_was_typed():
    pair = Pair(host(invite()), joiner())
    pair.run()
    (request,), (compare,) = pair.of(Request), pair.of(Compare)
    assert request.emoji == compare.emoji
    assert len(request.emoji) == 6
    pair = Pair(host(invite(SCANNED)), joiner(SCANNED))
    pair.run()
    assert [event.emoji for event in pair.of(Request) + pair.of(Compare)] == ["", ""]


def test_emoji_are_sixty_four_and_differ():
    assert len(set(EMOJI)) == len(EMOJI) == 64
    assert all(unicodedata.name(one) for one in EMOJI)


# One factor is not enough.


def test_a_wrong_code_is_noticed_by_both_sides_and_gives_nothing():
    invitation = invite()
    pair = Pair(host(invitation), joiner(OTHER))
    pair.run()
    assert pair.of(WrongGuess) == [WrongGuess(2)]
    assert isinstance(pair.host.error, WrongCode)
    assert isinstance(pair.joiner.error, WrongCode)
    assert not pair.of(Request)
    assert pair.frames[-1] == bytes((1, FrameType.REFUSE, Reason.WRONG_CODE))


def test_three_wrong_guesses_end_the_invitation():
    invitation = invite()
    for left in (2, 1, 0):
        pair = Pair(host(invitation), joiner(OTHER, f"try {left}"))
        assert pair.run()[0] == WrongGuess(left)
    pair = Pair(host(invitation), joiner())
    pair.run()
    assert isinstance(pair.host.error, InvitationOver)
    assert isinstance(pair.joiner.error, InvitationOver)
    assert not pair.of(Request)


def guessed_three_times(invitation: Invitation) -> Invitation:
    for left in (2, 1, 0):
        Pair(host(invitation), joiner(OTHER, f"try {left}")).run()
    assert invitation.over(NOW_MS)
    return invitation


@pytest.mark.parametrize("asked", [True, False])
def test_what_others_guess_does_not_end_it_for_who_knows_the_code(asked):
    invitation = invite()
    pair = Pair(host(invitation), joiner())
    pair.run(2)
    events = pair.host.receive(pair.joiner.next_frame() or b"", now_ms=NOW_MS)
    if asked:  # and has not decided yet
        guessed_three_times(invitation)
    pair.on_host(events)
    if not asked:
        guessed_three_times(invitation)
    pair.run()
    assert len(pair.of(Joined)) == 1
    assert pair.host.error is None


def test_who_has_not_shown_to_know_the_code_before_three_wrong_guesses_is_late():
    invitation = invite()
    pair = Pair(host(invitation), joiner())
    pair.run(2)  # a knock may be one that was recorded
    guessed_three_times(invitation)
    pair.run()
    assert not pair.of(Request)
    assert isinstance(pair.joiner.error, InvitationOver)


def test_the_code_without_approval_gives_nothing():
    invitation = invite()
    pair = Pair(host(invitation), joiner(), approve=False)
    pair.run()
    assert isinstance(pair.joiner.error, JoiningDenied)
    assert not pair.of(Joined)
    seen = b"".join(pair.frames)
    assert ROSTER.account.raw not in seen
    again = Pair(host(invitation), joiner())
    again.run()
    assert isinstance(again.joiner.error, InvitationOver)  # somebody else has the code


def test_whoever_has_the_code_alone_learns_nothing_of_the_account_before_approval():
    one, other = host(invite()), joiner()
    assert one.receive(other.next_frame() or b"", now_ms=NOW_MS) == []
    exchange = Exchange(TYPED.secrets(cost=CHEAP))
    knock = joiner().next_frame() or b""
    exchange.read(knock, salted=True)
    assert exchange.read(one.next_frame() or b"", salted=True) == b""


def test_approval_without_the_code_gives_nothing():
    one = host(invite())
    with pytest.raises(UsageError, match="no device asks"):
        one.approve(ROSTER, now_ms=NOW_MS)
    for kind in FrameType:
        other = host(invite())
        other.receive(bytes((1, kind)) + drawn("noise", 200), now_ms=NOW_MS)
        with pytest.raises(UsageError):
            other.approve(ROSTER, now_ms=NOW_MS)


def test_a_code_is_good_for_one_device():
    invitation = invite()
    first, second = host(invitation), host(invitation, nonce=drawn("second"))
    late = Pair(second, joiner(nonces="second"))
    late.run(3)  # both were asked about before either was added
    Pair(first, joiner()).run()
    late.run()
    assert isinstance(late.joiner.error, InvitationOver)
    assert len(late.of(Added)) == 0


@pytest.mark.parametrize("now_ms", [NOW_MS + limits.INVITATION_MS, NOW_MS - 1])
def test_a_code_is_good_for_ten_minutes(now_ms):
    pair = Pair(host(invite()), joiner(), now_ms=now_ms)
    pair.run()
    assert isinstance(pair.joiner.error, InvitationOver)
    waiting = Pair(host(invite()), joiner())
    waiting.host.receive(waiting.joiner.next_frame() or b"", now_ms=NOW_MS)
    waiting.joiner.receive(waiting.host.next_frame() or b"")
    waiting.host.receive(waiting.joiner.next_frame() or b"", now_ms=NOW_MS)
    (failed,) = waiting.host.approve(ROSTER, now_ms=now_ms)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, InvitationOver)


# Somebody in between.


def test_who_sits_between_without_the_code_reads_nothing():
    pair = Pair(host(invite()), joiner())
    pair.run()
    seen = b"".join(pair.frames)
    said = [
        b"Tablet",
        TABLET.public.signing,
        PHONE.public.signing,
        ROSTER.account.raw,
        drawn("epoch 1"),
    ]
    assert not [one for one in said if one in seen]


def test_who_sits_between_without_the_code_changes_nothing():
    honest = Pair(host(invite()), joiner())
    honest.run()
    for number, frame in enumerate(honest.frames):
        for at in {0, 1, 2, 40, len(frame) // 2, len(frame) - 1} & set(range(len(frame))):
            pair = Pair(host(invite()), joiner())
            pair.run(number)
            changed = frame[:at] + bytes((frame[at] ^ 1,)) + frame[at + 1 :]
            if pair.joiner.next_frame() is not None:
                pair.on_host(pair.host.receive(changed, now_ms=NOW_MS))
            else:
                assert pair.host.next_frame() is not None
                pair.on_joiner(pair.joiner.receive(changed))
            pair.run()
            assert pair.host.error is not None or pair.joiner.error is not None
            assert len(pair.of(Paired)) < 2


def test_frames_that_are_replayed_or_reordered_are_refused():
    honest = Pair(host(invite()), joiner())
    honest.run()
    knock, answer, confirm, proposal, signature, welcome, joined = honest.frames
    fresh = host(invite(), nonce=drawn("another nonce"))
    fresh.receive(knock, now_ms=NOW_MS)  # recorded, and sent again
    assert fresh.next_frame() != answer
    assert fresh.receive(confirm, now_ms=NOW_MS)[0] == WrongGuess(2)
    for frame in (answer, confirm, proposal, signature, welcome, joined):
        one = host(invite())
        (failed,) = one.receive(frame, now_ms=NOW_MS)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, ProtocolError)
        if frame is not answer:
            other = joiner()
            (failed,) = other.receive(frame)
            assert isinstance(failed, Failed)


def test_who_sits_between_with_the_code_shows_in_the_emoji():
    # Somebody who saw the code over a shoulder joins in the device's place, and plays the host towards the device.
    mallory = keys_of("mallory")
    device = Device.of(mallory, "Tablet", "linux")
    secrets = TYPED.secrets(cost=CHEAP)
    theirs = Joiner(secrets, keys=mallory, device=device, nonces=drawn("m", 64), typed=True)
    one, victim = host(invite()), joiner()
    one.receive(theirs.next_frame() or b"", now_ms=NOW_MS)
    theirs.receive(one.next_frame() or b"")
    (request,) = one.receive(theirs.next_frame() or b"", now_ms=NOW_MS)
    false_host = Host(invite(), keys=mallory, nonce=drawn("f"))
    false_host.receive(victim.next_frame() or b"", now_ms=NOW_MS)
    (compare,) = victim.receive(false_host.next_frame() or b"")
    assert isinstance(request, Request)
    assert isinstance(compare, Compare)
    assert request.emoji != compare.emoji


def test_a_nonce_is_bound_before_the_other_is_known():
    secrets = TYPED.secrets(cost=CHEAP)
    exchange, one = Exchange(secrets), host(invite())
    knock = cbor2.dumps([DEVICE.plain(), commitment_to(drawn("a"))], canonical=True)
    one.receive(exchange.write(FrameType.KNOCK, knock, salt=drawn("s")), now_ms=NOW_MS)
    exchange.read(one.next_frame() or b"", salted=True)
    other_nonce = exchange.write(FrameType.CONFIRM, drawn("b"))
    assert one.receive(other_nonce, now_ms=NOW_MS)[0] == WrongGuess(2)


def test_a_host_cannot_make_a_device_agree_to_something_else():
    secrets = TYPED.secrets(cost=CHEAP)
    for content in (Epoch(drawn("c")), Add(Device.of(keys_of("x"), "Tablet", "linux")), None):
        exchange, one = Exchange(secrets), joiner()
        exchange.read(one.next_frame() or b"", salted=True)
        one.receive(exchange.write(FrameType.ANSWER, b"", salt=drawn("s")))
        exchange.read(one.next_frame() or b"")
        body = (
            b"\0"
            if content is None
            else compose(
                content,
                signer=PHONE.public,
                account=ROSTER.account,
                parents=ROSTER.heads,
                time_ms=0,
            )
        )
        (failed,) = one.receive(exchange.write(FrameType.PROPOSAL, body))
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, ProtocolError)


def test_a_host_without_an_account_gives_no_keys_that_are_taken():
    stranger = keys_of("stranger")
    pair = Pair(host(invite(), keys=stranger), joiner())
    pair.run()
    assert not pair.of(Joined)
    assert not pair.of(Added)


# Whatever happens to the line.


@pytest.mark.parametrize("most", range(8))
def test_cut_anywhere_it_is_started_again(most):
    pair = Pair(host(invite()), joiner())
    pair.run(most)
    roster = ROSTER.merge(event.statement for event in pair.of(Added))
    for side in (pair.host, pair.joiner):
        ended = side.state is State.FINISHED
        side.lost()
        assert side.state is State.FINISHED
        assert isinstance(side.error, ConnectionLost) != ended
    again = Pair(host(invite(OTHER)), joiner(OTHER, "again"), roster=roster)
    again.run()
    (joined,) = again.of(Joined)
    assert DEVICE.id in joined.roster.state.members


def test_a_line_that_ends_is_told_once():
    one = joiner()
    (failed,) = one.lost()
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, ConnectionLost)
    assert one.lost() == []
    assert one.receive(b"late") == []


def test_another_version_is_told_to_update():
    for side in (host(invite()), joiner()):
        frame = b"\2" + drawn("later", 60)
        events = (
            side.receive(frame, now_ms=NOW_MS) if isinstance(side, Host) else side.receive(frame)
        )
        assert isinstance(side.error, VersionMismatch)
        assert isinstance(events[-1], Failed)


@given(frame=st.binary(max_size=120))
def test_noise_ends_a_pairing_and_raises_nothing(frame):
    one, other = host(invite()), joiner()
    other.next_frame()
    assert isinstance(one.receive(frame, now_ms=NOW_MS)[-1], Failed)
    assert isinstance(other.receive(frame)[-1], Failed)


@given(kind=st.sampled_from(FrameType), steps=st.integers(0, 6), noise=st.binary(max_size=60))
def test_noise_in_the_middle_ends_it_too(kind, steps, noise):
    pair = Pair(host(invite()), joiner())
    pair.run(steps)
    for side in (pair.host, pair.joiner):
        if side.state not in (State.FINISHED, State.STORING):
            frame = bytes((1, kind)) + noise
            events = (
                side.receive(frame, now_ms=NOW_MS)
                if isinstance(side, Host)
                else side.receive(frame)
            )
            assert isinstance(events[-1], Failed)


def test_a_knock_that_describes_no_device_is_refused():
    secrets = TYPED.secrets(cost=CHEAP)
    plain = DEVICE.plain()
    for said in (
        [],
        [plain],
        [plain, bytes(31)],
        [[*plain[:2], "evil\N{RIGHT-TO-LEFT OVERRIDE}", *plain[3:]], bytes(32)],
        [[plain[0], plain[1][:-32] + bytes(32), *plain[2:]], bytes(32)],
        [[*plain[:4], b"certificate"], bytes(32)],
    ):
        one = host(invite())
        text = cbor2.dumps(said, canonical=True)
        frame = Exchange(secrets).write(FrameType.KNOCK, text, salt=drawn("s"))
        (failed,) = one.receive(frame, now_ms=NOW_MS)
        assert isinstance(failed, Failed)
        assert isinstance(failed.error, ProtocolError)


def test_stores_are_asked_before_the_next_frame():
    pair = Pair(host(invite()), joiner())
    pair.run(4)
    pair.on_host([])
    frame = pair.joiner.next_frame()
    assert frame is not None
    (added,) = pair.host.receive(frame, now_ms=NOW_MS)
    assert isinstance(added, Added)
    assert pair.host.next_frame() is None
    known = ROSTER.merge([added.statement]), KEYRING
    pair.host.stored(*known)
    assert pair.host.next_frame() is not None
    with pytest.raises(UsageError, match="nothing to be stored"):
        pair.host.stored(*known)
    with pytest.raises(UsageError, match="nothing to be stored"):
        pair.joiner.stored()


def test_machines_show_no_secrets():
    secrets = TYPED.secrets(cost=CHEAP)
    pair = Pair(host(invite()), joiner())
    events = pair.run()
    shown = repr((pair.host, pair.joiner, events, invite(), secrets))
    for secret in (secrets.root, drawn("epoch 1"), TABLET.export(), PHONE.export()):
        assert repr(secret)[2:-1] not in shown
    assert TYPED.text() not in shown


def test_an_attempt_takes_its_random_bytes():
    with pytest.raises(InvalidValue):
        Joiner(TYPED.secrets(cost=CHEAP), keys=TABLET, device=DEVICE, nonces=b"", typed=True)


def test_the_roster_of_a_revoked_host_adds_nobody():
    roster = ROSTER.say(Revoke(PHONE.public.signing, ()), PHONE, now_ms=NOW_MS)
    assert isinstance(roster, Roster)
    pair = Pair(host(invite()), joiner(), roster=roster)
    pair.run()
    assert not pair.of(Added)
    assert isinstance(pair.joiner.error, JoiningDenied)


THREE = roster_of("phone", "laptop")


def revoked(roster: Roster, name: str) -> Roster:
    """The roster once the phone has revoked this device; the next epoch is called `epoch 2`."""
    return rotated(
        roster.say(Revoke(keys_of(name).public.signing, ()), PHONE, now_ms=NOW_MS),
        "phone",
        "epoch 2",
    )


@pytest.mark.parametrize("frames", [2, 4], ids=["before approval", "after the proposal"])
def test_who_is_revoked_while_a_device_is_added_is_revoked_for_that_one_too(frames):
    pair = Pair(host(invite()), joiner(), roster=THREE)
    pair.run(frames)
    pair.roster = revoked(pair.roster, "laptop")
    pair.keyring = keyring_of(THREE, "epoch 1", "epoch 2")
    pair.run()
    (joined,) = pair.of(Joined)
    assert set(joined.roster.state.revoked) == {keys_of("laptop").device_id}
    assert joined.roster.state.epoch == pair.roster.state.epoch
    assert joined.roster.state.epoch in joined.keyring


def test_a_device_that_is_revoked_while_it_is_added_gets_no_keys():
    pair = Pair(host(invite()), joiner())
    pair.run(4)
    frame = pair.joiner.next_frame()
    assert frame is not None
    (added,) = pair.host.receive(frame, now_ms=NOW_MS)
    assert isinstance(added, Added)
    roster = revoked(ROSTER.merge([added.statement]), "tablet")
    (failed,) = pair.host.stored(roster, KEYRING)
    assert isinstance(failed, Failed)
    assert isinstance(failed.error, NotAMember)
    pair.run()
    assert not pair.of(Joined)
