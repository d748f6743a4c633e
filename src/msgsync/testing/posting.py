"""What devices do at mailboxes in a simulation, and what happens to the mailboxes; see `msgsync.testing.people`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgsync
from msgsync.testing.place import Habits, SimulatedMailbox
from msgsync.testing.plan import FaultPlan
from msgsync.testing.rounds import SimulatedRound
from msgsync.testing.seed import Seeded
from msgsync.testing.station import Station
from msgsync.testing.system import SimulatedSystem

if TYPE_CHECKING:
    from msgsync.testing.simulation import Simulation

_MOST_ROUNDS: Final = 6
_MOST_REQUESTS: Final = 40
"""That many requests are answered in a step, at most."""


def places_of(seed: int | str, plan: FaultPlan) -> list[SimulatedMailbox]:
    """The mailboxes that a plan has."""
    habits = Habits(
        fails_one_in=plan.failures_one_in,
        loses_one_in=plan.lost_puts_one_in,
        delays_one_in=plan.delays_one_in,
        stale_one_in=plan.stale_one_in,
        garbles_one_in=plan.garbled_one_in,
    )
    return [
        SimulatedMailbox(f"{seed}/mailbox {number}", habits, address=f"simulated:{number}")
        for number in range(plan.mailboxes)
    ]


def used_by(run: Simulation, station: Station) -> list[SimulatedMailbox]:
    """Where a device leaves its objects: every third one in all mailboxes, the others in one each."""
    number = station.number
    return run.places if number % 3 == 0 else [run.places[number % len(run.places)]]


# What devices do.


def begin_round(run: Simulation, station: Station, seeded: Seeded) -> str:
    """The device begins a round at one of its mailboxes."""
    if len(run.rounds) >= _MOST_ROUNDS:
        return "begins no round, there are enough"
    place = seeded.choice(used_by(run, station))
    begun = SimulatedRound(station.replica, place, checkpoint_objects=run.plan.checkpoint_objects)
    run.rounds.append(begun)
    return f"begins a round at {place.address}"


def go_on(run: Simulation, _: Station, seeded: Seeded) -> str:
    """Rounds go on, one request of one of them at a time."""
    moved = 0
    for _number in range(1 + seeded.below(_MOST_REQUESTS)):
        if not run.rounds:
            break
        moved += 1
        run.ask(seeded.choice(run.rounds))
    return f"{moved} requests are answered"


def visit(run: Simulation, station: Station, seeded: Seeded) -> str:
    """The device does a whole round at one of its mailboxes."""
    place = seeded.choice(used_by(run, station))
    one = SimulatedRound(station.replica, place, checkpoint_objects=run.plan.checkpoint_objects)
    run.rounds.append(one)
    while not one.is_over:
        run.ask(one)
    ended = one.error or f"complete: {one.report is not None and one.report.complete}"
    return f"visits {place.address}: {ended}"


# What happens to mailboxes.


def empty(run: Simulation, _: Station, seeded: Seeded) -> str:
    """A mailbox is emptied, or replaced by an empty one."""
    place = seeded.choice(run.places)
    place.replace({})
    return f"{place.address} is emptied"


def copy_aside(run: Simulation, _: Station, seeded: Seeded) -> str:
    """A mailbox is copied, as backups do."""
    place = seeded.choice(run.places)
    run.copies.setdefault(place.address, []).append(place.objects())
    return f"{place.address} is copied"


def put_back(run: Simulation, _: Station, seeded: Seeded) -> str:
    """A mailbox is put back from a copy."""
    place = seeded.choice(run.places)
    copies = run.copies.get(place.address)
    if not copies:
        return f"{place.address} has no copy"
    number = seeded.below(len(copies))
    place.replace(copies[number])
    return f"{place.address} is put back from its copy {number}"


def copy_half(run: Simulation, _: Station, seeded: Seeded) -> str:
    """Of a mailbox only some objects are left, as after a copy that broke off."""
    place = seeded.choice(run.places)
    objects = place.objects()
    kept = {name: body for name, body in objects.items() if seeded.below(2)}
    place.replace(kept)
    return f"of {len(objects)} objects in {place.address} {len(kept)} are left"


def share(run: Simulation, _: Station, seeded: Seeded) -> str:
    """Another account begins to use a mailbox; perhaps it is its own, mounted in place of this one."""
    place = seeded.choice(run.places)
    replaces = not seeded.below(2)
    if replaces:
        place.replace({})
    number = len(run.strangers)
    path = run.directory / f"stranger{number}.db"
    system = SimulatedSystem(
        f"{run.seed}/stranger {number}", now_ms=run.stations[0].system.now_ms()
    )
    with msgsync.open(path, author="eve", durability="relaxed", system=system) as stranger:
        run.strangers.append(path)
        stranger.create_conversation("elsewhere").send("of another account")
        SimulatedRound(stranger, place).run()
    return f"another account puts objects into {place.address}{', emptied' if replaces else ''}"


def damage(run: Simulation, _: Station, seeded: Seeded) -> str:
    """An object is damaged where it lies, is gone, or lies under another's name as well."""
    place = seeded.choice(run.places)
    objects = place.objects()
    if not objects:
        return f"nothing is in {place.address} that could be damaged"
    name, other = seeded.choice(sorted(objects)), seeded.choice(sorted(objects))
    how = seeded.choice(("garbled", "gone", "misplaced"))
    if how == "garbled":
        place.damage(name, seeded.below(1 << 32))
    elif how == "gone":
        place.replace({each: body for each, body in objects.items() if each != name})
    else:
        place.replace({**objects, name: objects[other]})
    return f"{name} in {place.address} is {how}"


POSTING: Final[dict[str, Callable[[Simulation, Station, Seeded], str]]] = {
    function.__name__: function
    for function in (
        *(begin_round, go_on, visit),
        *(empty, copy_aside, put_back, copy_half, share, damage),
    )
}
"""By the verb of a step."""
