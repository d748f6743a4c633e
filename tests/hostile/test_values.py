"""Odd values from an app or a carrier: texts, times, ids and emoji. Taken whole or refused. Issue 4."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

import msgsync
from msgsync import FutureTimestamp, Incoming, MsgSyncError, Reaction, UsageError, limits
from tests.unit.machine import START_MS

ODD = {
    "empty": "",
    "a zero": "a\0b",
    "half a surrogate": "a\ud800b",
    "right to left": "\u202eabc\u202d",
    "a lone mark": "\u0301",
    "a byte order mark": "\ufeff",
    "no characters": "\ufffe\uffff",
    "the last character": "\U0010ffff",
    "lines and bells": "a\r\n\x07\x1b[2J\x7f",
    "sql": "'; drop table messages; --\"`",
    "a query": 'NEAR(a b) OR "* ^ a:b -',
    "a family": "👩‍👩‍👧‍👦🏴󠁧󠁢󠁥󠁮󠁧󠁿",
    "zalgo": "a" + "\u0300" * 200,
    "blanks": " \t\n\u2028\u3000 ",
    "long": "\U0001d54f" * 20_000,
    "very long": "x" * (limits.TEXT_BYTES + 1),
}


REACTED = Incoming("irc", "ben", "reacted", START_MS - 2000, external_id="r")


def attempt(verb) -> bool:
    """Whether a verb did something; what it did not do it refused in words."""
    refused = None
    try:
        verb()
    except UsageError as error:
        refused = str(error)
    assert refused != ""
    return refused is None


@pytest.mark.parametrize("name", ODD)
def test_an_odd_string_goes_everywhere_whole_or_nowhere_at_all(phone, tablet, family, name):
    odd = ODD[name]
    kept = family.send("kept")
    first = START_MS - 1000
    taken = [
        attempt(lambda: family.send(odd)),
        attempt(lambda: family.send("by somebody", author=odd)),
        attempt(lambda: phone.ingest([Incoming("irc", "ben", "k", first, "k", kind=odd)])),
        attempt(lambda: family.send("with more", extra={"k": odd})),
        attempt(lambda: family.edit(kept, odd)),
        attempt(lambda: family.react(kept, odd)),
        attempt(lambda: family.react(kept, "👍", user=odd)),
        attempt(lambda: family.rename(odd)),
        attempt(lambda: phone.create_conversation("X", id=odd).send("in an odd place")),
        attempt(lambda: phone.ingest([Incoming("irc", odd, odd, first, external_id=odd)])),
        attempt(lambda: phone.ingest([replace(REACTED, reactions=(Reaction(odd, "👍", 0),))])),
        attempt(lambda: phone.ingest([replace(REACTED, reactions=(Reaction("ann", odd, 0),))])),
        attempt(lambda: phone.search(odd)),
        attempt(lambda: phone.search(odd, conversation=odd)),
    ]  # fmt: skip
    assert taken[0] == (name not in ("half a surrogate", "very long"))
    if taken[0]:
        assert odd in [one.text for one in family.messages()]
    assert family.message(kept.id).text == (odd if taken[4] else "kept")
    assert phone.check().ok
    assert msgsync.sync(phone, tablet).complete
    assert phone.digest == tablet.digest
    assert list(tablet.conversation("family").messages()) == list(family.messages())
    assert tablet.check().ok


@pytest.mark.parametrize(
    "sent",
    [
        253_402_300_799_999,
        253_402_300_800_000,
        limits.MS,
        limits.MS + 1,
        2**63,
        2**70,
        -1,
        datetime.max.replace(tzinfo=UTC),
        datetime.min.replace(tzinfo=UTC),
        START_MS + limits.FUTURE_MS + 1,
    ],
    ids=str,
)
def test_a_time_beyond_reason_is_refused_and_nothing_is_written(phone, family, sent):
    family.send("kept")
    before = phone.digest
    ms = sent if isinstance(sent, int) else 0
    with pytest.raises(MsgSyncError) as raised:
        family.send("x", external_id="1", sent=sent)
    assert str(raised.value)
    if ms:
        with pytest.raises((FutureTimestamp, UsageError)):
            phone.ingest(
                [
                    Incoming("irc", "ben", "good", START_MS, "1"),
                    Incoming("irc", "ben", "x", ms, "2"),
                ]
            )
    assert phone.digest == before
    family.send("goes on")
    assert phone.check().ok


@pytest.mark.parametrize("year_ms", [253_402_300_800_000, limits.MS])
def test_a_clock_in_the_year_9999_and_beyond_still_sends(open_replica, machine, year_ms):
    machine.clock_ms = year_ms - 10
    replica = open_replica("far.db")
    conversation = replica.create_conversation("Far", id="far")
    sent = [conversation.send(str(number)) for number in range(3)]
    assert [one.text for one in conversation.messages()] == ["0", "1", "2"]
    assert all(repr(one) for one in sent)
    assert replica.check().ok


@pytest.mark.parametrize(
    "odd", ["", "0", "x" * 20, "Z" * 20, "0" * 21, "\uff17" * 20, "\0" * 20, "👍"]
)
def test_an_id_that_is_none_is_said_to_be_none(phone, family, odd):
    for verb in (
        lambda: phone.message(odd),
        lambda: family.edit(odd, "x"),
        lambda: family.delete(odd),
        lambda: family.erase(odd),
        lambda: family.react(odd, "👍"),
        lambda: list(family.messages(before=odd)),
    ):
        with pytest.raises(UsageError):
            verb()
    assert phone.check().ok
