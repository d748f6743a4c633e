"""Own messages and their echoes: whoever ingests what, and whenever they are linked, each is shown once."""

from __future__ import annotations

import random

from hypothesis import example, given
from hypothesis import strategies as st

from tests.property.carrier import FIRST_OF_FEBRUARY, LAST_OF_JANUARY, Upstream
from tests.property.world import World, fewer, fresh_world

ECHOES = tuple(
    Upstream("family", f"echo{number}", "ann", f"hello {number}", sent_ms, number)
    for number, sent_ms in enumerate((LAST_OF_JANUARY, FIRST_OF_FEBRUARY, FIRST_OF_FEBRUARY + 1))
)
ACTS = ("ingest", "link", "edit", "react", "delete", "restore", "meet", "erase", "said", "break")
steps = st.lists(
    st.tuples(st.sampled_from(ACTS[:-3] * 2 + ACTS), st.integers(0, 2), st.integers(0, 2)),
    max_size=25,
)


@fewer(2)
@given(steps=steps, pace=st.integers(0, 99))
@example(  # erased under one id where the other one was edited, before they meet
    steps=[("link", 0, 0), ("ingest", 1, 0), ("edit", 1, 0), ("erase", 0, 0)], pace=0
)
@example(  # two own messages for one echo, and a chain through it
    steps=[("link", 0, 0), ("link", 0, 3), ("ingest", 1, 0), ("meet", 0, 1), ("delete", 1, 0)],
    pace=0,
)
def test_an_own_message_and_its_echo_are_one_whatever_happens_to_either(steps, pace):
    with fresh_world() as world:
        world.create(0, "family", "Family")
        own = [world.send(0, "family", each.text) for each in ECHOES]
        for echo in ECHOES:
            world.ms[echo.id] = echo.sent_ms
        world.sync_all()
        for number, (act, at, pick) in enumerate(steps):
            do(world, act, at, pick, own, number, random.Random(pace + number))
            world.assert_as_modelled(at)
        world.sync_all(pace)
        for at in range(3):
            world.reopen(at)
        world.assert_converged()


def do(
    world: World, act: str, at: int, pick: int, own: list[str], number: int, pace: random.Random
) -> None:
    """Do one thing with the own message and the echo of a number, under whichever id is shown here."""
    echo = ECHOES[pick % 3]
    other = (at + 1) % 3
    shown = world.ids(at, "family")
    here = [id for id in (own[pick % 3], echo.id) if id in shown]
    id = pace.choice(here) if here else None
    match act:
        case "ingest":
            world.ingest(at, [echo])
        case "meet":
            world.sync(at, other)
        case "break":
            world.sync_interrupted(at, other, pace.randrange(3, 12), pace.randrange(100))
        case "said":
            world.say_externally(at, echo, pace.choice(("edit", "react", "delete")), f"s {number}")
        case "erase" if pace.random() < 0.5:
            world.erase(at, "family", pace.choice((own[pick % 3], echo.id)))
        case "link" if id is not None:
            named = echo if pace.random() < 0.8 else pace.choice(ECHOES)
            world.link(at, "family", id, named)
        case "edit" if id is not None:
            world.edit(at, "family", id, f"edit {number}")
        case "react" if id is not None:
            world.toggle(at, "family", id, "👍")
        case "delete" | "restore" if id is not None:
            deleted = world.conversation(at, "family").message(id).deleted
            if deleted == (act == "restore"):
                (world.restore if deleted else world.delete)(at, "family", id)


@given(
    order=st.permutations(["link", "ingest 0", "ingest 1", "edit", "react", "meet", "delete"]),
    pace=st.integers(0, 99),
)
def test_in_whatever_order_a_link_and_an_echo_come_the_end_is_the_same(order, pace):
    echo = ECHOES[0]
    with fresh_world() as world:
        world.create(0, "family", "Family")
        own = world.send(0, "family", echo.text)
        world.ms[echo.id] = echo.sent_ms
        world.sync_all()
        for step in order:
            match step:
                case "link":
                    world.link(0, "family", own, echo)
                case "ingest 0" | "ingest 1":
                    world.ingest(int(step[-1]), [echo])
                case "edit" | "react" | "delete":
                    world.say_externally(2, echo, step, "by the carrier's id")
                case "meet":
                    world.sync_all(pace)
        world.sync_all()
        world.assert_converged()
        for at in range(3):
            conversation = world.conversation(at, "family")
            [message] = conversation.messages(include_deleted=True)
            assert (str(message.id), message.external_id) == (own, echo.external_id)
            assert message.text == "by the carrier's id"
            assert message.deleted
            assert conversation.find(echo.external_id) == message
            assert conversation.message(echo.id) == message
            assert not conversation.search("hello")
            conversation.restore(echo.id)
            assert [each.id for each in conversation.search("carrier's")] == [message.id]
