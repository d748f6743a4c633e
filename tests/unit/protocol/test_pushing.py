"""What is pushed on a session that stays, what is said of devices, and what a sign of life shows: `protocol.live`."""

from __future__ import annotations

from dataclasses import replace

import pytest

from msgsync import ProtocolError, Replica, limits
from msgsync.protocol.frames import Known, Push
from msgsync.protocol.live import Comparison, Live
from msgsync.protocol.seam import Facts, Taken
from msgsync.replica.exchange import Exchange
from msgsync.standing import Standing, Standings, joined

A, B, C = (bytes([letter]) * 8 for letter in b"abc")
OURS, THEIRS, OTHER = (bytes([letter]) * 16 for letter in b"otx")
SOMETHING = Taken(1, 1, (), False)
NOTHING = Taken(0, 0, (), False)


def known(**commits: int) -> Standings:
    """What devices are known to have: of themselves so many commits."""
    return {
        name.encode() * 8: Standing(bytes(16), 0, 0, {name.encode() * 8: commit})
        for name, commit in commits.items()
    }


def facts(root: bytes, of: Standings) -> Facts:
    return Facts(bytes(16), A, bytes(16), root, 1, 1000, of, True)


@pytest.fixture
def live(phone: Replica) -> Live:
    return Live(Exchange(phone), Exchange(phone).facts().seq)


def said(live: Live, of: Standings) -> Known | None:
    live.note(facts(OURS, of))
    return live.next_known()


# Signs of life.


def test_equal_digests_are_known_or_news(live):
    assert live.compare(OURS, OURS) is Comparison.KNOWN
    live.took(NOTHING)
    assert live.compare(OURS, OURS) is Comparison.KNOWN
    live.took(SOMETHING)
    live.took(NOTHING)
    assert live.compare(OURS, OURS) is Comparison.EQUAL
    assert live.compare(OURS, OURS) is Comparison.KNOWN


def test_different_ones_are_looked_into_once_and_not_while_something_is_on_its_way(live):
    live.took(SOMETHING)
    live.took(NOTHING)
    assert live.compare(OURS, THEIRS) is Comparison.CROSSED
    assert live.compare(OURS, THEIRS) is Comparison.DIFFERENT
    assert live.compare(OURS, THEIRS) is Comparison.CROSSED
    assert live.compare(OURS, OTHER) is Comparison.DIFFERENT


def test_before_anything_was_pushed_a_difference_is_one(live):
    assert live.compare(OURS, THEIRS) is Comparison.DIFFERENT


def test_what_was_pushed_may_have_crossed_a_sign_of_life(live, family):
    assert live.next().documents
    assert live.next() == Push((), False)
    assert live.compare(OURS, THEIRS) is Comparison.CROSSED
    assert live.next() == Push((), False)
    assert live.compare(OURS, THEIRS) is Comparison.DIFFERENT


# Pushes.


def test_it_pushes_what_was_written_since_the_commit_that_it_begins_with(live, phone, family):
    assert (live.begun, live.changed) == (False, False)
    live.begin(Exchange(phone).facts().seq)
    assert (live.begun, live.changed) == (True, True)
    assert live.next() == Push((), False)
    assert live.changed is False
    family.send("news")
    live.changed = True
    push = live.next()
    assert [document.kind == "head" for document, _ in push.documents] == [False]
    assert push.screen is False
    assert live.changed is False
    assert live.next() == Push((), False)


def test_what_is_too_much_is_not_pushed(live, family, monkeypatch):
    family.send("news")
    monkeypatch.setattr(limits, "FRAME_FILL_BYTES", 10)
    assert live.next() is None
    assert not live.has_news


def test_with_a_push_goes_what_is_known_then(live, phone, family):
    live.took(SOMETHING)
    assert live.next().documents
    assert live.has_news
    said = live.next_known()
    now = Exchange(phone).facts()
    assert said == Known(now.root, said.time_ms, now.known)
    assert not live.has_news
    assert live.next_known() is None


def test_without_a_push_it_is_said_unless_the_peer_is_about_to_say_it(live):
    live.took(NOTHING)
    live.next()
    assert live.has_news


def test_who_has_pushed_says_first_what_it_knew(live):
    live.took(SOMETHING)
    live.took(NOTHING)
    live.next()
    assert not live.has_news
    live.heard(Known(THEIRS, 1000, known(b=1)))
    live.next()
    assert live.has_news


# What is said of devices.


def test_only_what_is_new_is_said_of_the_same_devices(live):
    first, second, third = known(a=1, b=1), known(a=2, b=1), known(a=2, b=1, c=1)
    assert said(live, first) == Known(OURS, 1000, first)
    assert said(live, second) == Known(OURS, 1000, known(a=2), frozenset({B}))
    assert said(live, third) == Known(OURS, 1000, third)


def test_what_was_said_is_not_said_again(live):
    assert said(live, known(a=1)) is not None
    assert said(live, known(a=1)) is None
    live.note(facts(OTHER, known(a=1)))
    assert live.ours_at(OTHER) is None


def test_what_the_peer_knows_besides_is_no_reason_to_say_it_again(live):
    assert said(live, known(a=1)) is not None
    live.heard(Known(THEIRS, 1000, known(b=1)))
    assert said(live, known(a=1)) is None


def test_what_each_side_has_said_both_know(live):
    assert said(live, known(a=1)) is not None
    live.heard(Known(THEIRS, 1000, known(b=1)))
    assert said(live, joined(known(a=1), known(b=1))) is None


def test_what_both_concluded_nobody_says(live):
    live.share(known(a=1, b=1))
    assert said(live, known(a=1, b=1)) is None
    live.share(known(c=1))
    assert said(live, known(a=1, b=1, c=1)) is None


def test_what_is_the_same_is_what_was_said_last(live):
    assert live.heard(Known(THEIRS, 1000, known(a=1, b=1))) == known(a=1, b=1)
    assert live.heard(Known(THEIRS, 1000, known(a=2), frozenset({B}))) == known(a=2, b=1)
    assert live.heard(Known(THEIRS, 1000, {}, frozenset({A, B}))) == known(a=2, b=1)
    assert live.heard(Known(THEIRS, 1000, {}, frozenset({A}))) == known(a=2)
    with pytest.raises(ProtocolError, match="as never before"):
        live.heard(Known(THEIRS, 1000, {}, frozenset({A, B})))


def test_what_this_side_knew_is_remembered_for_the_last_64_times_that_it_was_said(live):
    for number in range(65):
        live.note(facts(number.to_bytes(16, "big"), known(a=number + 1)))
    assert live.ours_at(bytes(16)) is None
    for number in (1, 64):
        ours = live.ours_at(number.to_bytes(16, "big"))
        assert ours is not None
        assert ours.known == known(a=number + 1)


def test_of_one_digest_it_is_what_was_known_last(live):
    """A commit may bring something to know and nothing to read."""
    for number in (1, 2):
        live.note(replace(facts(OURS, known(a=number)), seq=number))
    ours = live.ours_at(OURS)
    assert ours is not None
    assert ours.known == known(a=2)
    assert live.ours_at(THEIRS) is None
