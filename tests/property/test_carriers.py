"""Carriers tell every device the same, some devices miss some of it, and what people do stands above it."""

from __future__ import annotations

from datetime import UTC, datetime

from hypothesis import example, given, settings
from hypothesis import strategies as st

import msgsync
from msgsync.testing import view
from msgsync.testing.world import reacted
from tests.property.carrier import CATALOGUE, LAST_OF_JANUARY, Upstream, in_source_order
from tests.property.exchange import stored_bytes
from tests.property.world import World, fewer, fresh_world

FAMILY = tuple(message for message in CATALOGUE if message.conversation == "family")
EDITED = FAMILY[1]
DELETED = FAMILY[3]
orders = st.integers(0, 1000)
looks = st.integers(0, 2)
ACTS = ("edit", "react", "delete")


@st.composite
def minutes(draw):
    """Draw messages of one minute of a source, and for each of three devices which of them it misses."""
    count = draw(st.integers(2, 12))
    source = tuple(
        Upstream("busy", f"x{number}", "ben", f"line {number}", LAST_OF_JANUARY, number)
        for number in range(count)
    )
    received = []
    for _ in range(3):
        missed = draw(st.sets(st.sampled_from(source)))
        received.append(draw(st.permutations([each for each in source if each not in missed])))
    return source, received


@given(
    minute=minutes(),
    acts=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 11), st.sampled_from(ACTS)), max_size=8
    ),
    order=orders,
)
def test_a_message_that_several_devices_ingested_shows_once_in_the_order_of_the_source(
    minute, acts, order
):
    source, received = minute
    with fresh_world() as world:
        for at in range(3):
            world.ingest(at, received[at])
        edited: dict[str, set[str]] = {}
        emojis: dict[str, set[str]] = {}
        deleted: set[str] = set()
        for number, (at, pick, act) in enumerate(acts):
            if not received[at]:
                continue
            message = received[at][pick % len(received[at])]
            if world.conversation(at, "busy").message(message.id).deleted:
                continue
            match act:
                case "edit":
                    world.edit(at, "busy", message.id, f"edit {number}")
                    edited.setdefault(message.id, set()).add(f"edit {number}")
                case "react":
                    emoji = f"{number}\ufe0f\u20e3"
                    world.toggle(at, "busy", message.id, emoji)
                    emojis.setdefault(message.id, set()).add(emoji)
                case "delete":
                    world.delete(at, "busy", message.id)
                    deleted.add(message.id)
        world.sync_all(order)
        world.assert_converged()

        everywhere = [each for each in source if any(each in some for some in received)]
        if not everywhere:
            return
        page = list(world.conversation(1, "busy").messages(limit=100, include_deleted=True))
        assert [each.original_text for each in page] == [each.text for each in everywhere]
        for message in page:
            id = str(message.id)
            assert {edit.text for edit in message.edits} == edited.get(id, set())
            assert {each.emoji for each in message.reactions} == emojis.get(id, set())
            assert message.deleted == (id in deleted)


@given(
    before=st.lists(st.tuples(st.integers(0, 2), looks), max_size=3),
    act=st.sampled_from(("edit", "take back a reaction", "restore", "delete", "erase")),
    actor=st.integers(0, 2),
    after=st.lists(st.tuples(st.integers(0, 2), looks), max_size=4),
    order=orders,
)
@example(before=[(0, 2)], act="restore", actor=0, after=[(0, 2), (1, 2)], order=1)
@example(before=[], act="restore", actor=0, after=[(1, 2)], order=1)
@example(before=[(0, 2)], act="take back a reaction", actor=0, after=[(1, 2)], order=1)
@example(before=[(0, 1)], act="edit", actor=0, after=[(0, 2), (1, 2)], order=1)
def test_importing_again_changes_nothing_that_a_person_did(before, act, actor, after, order):
    with fresh_world() as world:
        world.ingest(actor, FAMILY)
        for at, look in before:
            world.ingest(at, FAMILY, look=look)
        world.sync_all()
        insist(world, actor, act)
        for at, look in after:
            world.ingest(at, FAMILY, look=look)
        world.sync_all(order)
        world.assert_converged()
        assert_insisted(world, 2, act)


@fewer(2)
@given(
    exports=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 4), looks), min_size=2, max_size=4
    ),
    acts=st.lists(
        st.tuples(
            st.integers(0, 2), st.integers(0, 6), st.sampled_from((*ACTS, "restore", "erase"))
        ),
        min_size=1,
        max_size=8,
    ),
    order=orders,
)
def test_overlapping_exports_that_come_again_change_nothing(exports, acts, order):
    """Each device imports its stretch of the source; people act; every stretch comes again, everywhere."""
    with fresh_world() as world:
        for at, start, look in exports:
            world.ingest(at, FAMILY[start : start + 4], look=look)
        world.sync_all(order)
        for number, (at, pick, act) in enumerate(acts):
            page = world.conversation(at, "family").messages(limit=100, include_deleted=True)
            if not page:
                break
            message = page[pick % len(page)]
            id = str(message.id)
            match act:
                case "edit":
                    world.edit(at, "family", id, f"edit {number}")
                case "react":
                    world.toggle(at, "family", id, "👍", user="ben")
                case "erase":
                    world.erase(at, "family", id)
                case "delete" | "restore" if message.deleted == (act == "restore"):
                    (world.restore if message.deleted else world.delete)(at, "family", id)
        world.sync_all(order)
        shown, digest = view(world.devices[0].replica), world.devices[0].replica.digest
        for at in range(3):
            for _, start, look in exports:
                world.ingest(at, FAMILY[start : start + 4], look=look)
            assert view(world.devices[at].replica) == shown
            assert world.devices[at].replica.digest == digest
        world.assert_converged()


def insist(world: World, at: int, act: str) -> None:
    """Do something as a person against which no carrier may say anything."""
    match act:
        case "edit":
            world.edit(at, "family", EDITED.id, "as a person has it")
        case "take back a reaction":
            if world.toggle(at, "family", EDITED.id, "👍", user="ben"):
                world.toggle(at, "family", EDITED.id, "👍", user="ben")
        case "restore" | "delete":
            if not world.conversation(at, "family").message(DELETED.id).deleted:
                world.delete(at, "family", DELETED.id)
            if act == "restore":
                world.restore(at, "family", DELETED.id)
        case "erase":
            world.erase(at, "family", DELETED.id)


def assert_insisted(world: World, at: int, act: str) -> None:
    """Assert that what a person did still holds."""
    conversation = world.conversation(at, "family")
    match act:
        case "edit":
            assert conversation.message(EDITED.id).text == "as a person has it"
        case "take back a reaction":
            assert ("ben", "👍") not in reacted(conversation.message(EDITED.id))
        case "restore" | "delete":
            assert conversation.message(DELETED.id).deleted == (act == "delete")
        case "erase":
            assert DELETED.id not in world.ids(at, "family")


@given(seen=st.lists(looks, min_size=1, max_size=4), again=st.data(), order=orders)
def test_looking_again_is_looking_once(seen, again, order):
    """Whatever was seen is in; seeing it again, on any device and in any batches, changes and stores nothing."""
    with fresh_world() as world:
        for look in seen:
            world.ingest(0, FAMILY, look=look)
        world.sync_all()
        digest = world.devices[0].replica.digest
        for at in range(3):
            before = stored_bytes(world.devices[at].replica)
            messages = again.draw(st.permutations(FAMILY), label="order")
            cut = again.draw(st.integers(1, len(FAMILY)), label="first batch")
            for look in again.draw(st.permutations(seen), label="looks"):
                world.ingest(at, messages[:cut], look=look)
                if messages[cut:]:
                    world.ingest(at, messages[cut:], look=look)
            assert world.devices[at].replica.digest == digest
            assert stored_bytes(world.devices[at].replica) == before, (
                "stored what was there already"
            )
        world.sync_all(order)
        world.assert_converged()
        assert world.devices[0].replica.digest == digest


@given(
    batches=st.tuples(*[st.lists(st.sampled_from(CATALOGUE), max_size=12)] * 3),
    look=looks,
    order=orders,
)
def test_devices_that_were_told_the_same_are_in_one_state_before_they_meet(batches, look, order):
    with fresh_world() as world:
        for at, batch in enumerate(batches):
            for message in batch:
                world.ingest(at, [message], look=look)
            world.ingest(at, [each for each in CATALOGUE if each not in batch], look=look)
        assert len({twin.replica.digest for twin in world.devices}) == 1
        world.sync_all(order)
        world.assert_converged()
        shown = [each.original_text for each in world.conversation(0, "family").messages()]
        hidden = {each for each in FAMILY if each.look(look).deleted_ms is not None}
        in_order = in_source_order(set(FAMILY) - hidden)
        assert shown == [each.text for each in in_order]


@given(readings=st.tuples(*[st.sampled_from((None, "caf\u00e9", "cafe\u0301"))] * 3), order=orders)
def test_two_readings_of_one_message_become_one_everywhere(readings, order):
    with fresh_world() as world:
        for at, text in enumerate(readings):
            world.ingest(at, [EDITED], text=text)
        world.edit(1, "family", EDITED.id, "edited")
        world.sync_all(order)
        world.sync_all(order)
        world.assert_converged()
        kept = {
            world.conversation(at, "family").message(EDITED.id).original_text for at in range(3)
        }
        assert len(kept) == 1
        assert kept <= {EDITED.text if text is None else text for text in readings}


@given(
    lines=st.lists(
        st.tuples(
            st.sampled_from(("ben", "cleo")),
            st.sampled_from(("+1", "ok", "ok ")),
            st.integers(0, 1),
        ),
        min_size=1,
        max_size=12,
    ),
)
def test_a_source_without_ids_shows_identical_lines_as_often_as_they_were_said(lines):
    lines = sorted(lines, key=lambda line: line[2])
    batch = [
        msgsync.Incoming("log", author, text, LAST_OF_JANUARY + minute * 60_000, order=number)
        for number, (author, text, minute) in enumerate(lines)
    ]
    with fresh_world() as world:
        for at in (0, 2):
            report = world.devices[at].replica.ingest(batch)
            assert report.added == len(lines)
        assert world.devices[0].replica.ingest(batch).present == len(lines)
        for first, second in ((0, 1), (1, 2), (0, 1)):
            msgsync.sync(world.devices[first].replica, world.devices[second].replica)
        for twin in world.devices:
            page = twin.replica.conversation("log").messages(limit=100)
            assert [(each.author, each.text) for each in page] == [line[:2] for line in lines]
            assert twin.replica.digest == world.devices[0].replica.digest


@settings(fewer(4))
@given(echo_first=st.booleans(), position=st.sampled_from((0, 7)))
def test_a_message_of_ones_own_that_the_carrier_echoes_shows_once(echo_first, position):
    sent = datetime.fromtimestamp(LAST_OF_JANUARY / 1000, UTC)
    echo = msgsync.Incoming(
        "family", "ann", "on my way", LAST_OF_JANUARY, external_id="e1", order=position
    )
    with fresh_world() as world:
        world.create(0, "family", "Family")
        if echo_first:
            world.devices[1].replica.ingest([echo])
        own = world.conversation(0, "family").send("on my way", external_id="e1", sent=sent)
        if not echo_first:
            world.devices[1].replica.ingest([echo])
        world.devices[0].replica.ingest([echo])
        for first, second in ((0, 1), (1, 2), (0, 1), (1, 2)):
            msgsync.sync(world.devices[first].replica, world.devices[second].replica)
        for twin in world.devices:
            page = list(twin.replica.conversation("family").messages())
            assert [(each.id, each.text, each.author) for each in page] == [
                (own.id, "on my way", "ann")
            ]
        assert len({twin.replica.digest for twin in world.devices}) == 1
