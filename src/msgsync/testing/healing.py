"""The end of a simulation with mailboxes: they are honest again, and what devices find there must be enough."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from msgsync.protocol.events import SyncReport
from msgsync.testing.claims import assert_claims_hold
from msgsync.testing.contents import assert_erased
from msgsync.testing.place import SimulatedMailbox
from msgsync.testing.plan import DAY_MS
from msgsync.testing.rounds import SimulatedRound
from msgsync.testing.station import Station

if TYPE_CHECKING:
    from msgsync.testing.simulation import Simulation

_MOST_TURNS: Final = 12
_TURN_MS: Final = DAY_MS + DAY_MS // 24


def settle_post(run: Simulation) -> None:
    """Let every device do rounds at one mailbox, until nothing moves; then all show the same, by that alone.

    What was erased is gone from it a day later, and what else checkpoints have replaced after another week.

    Raises:
        AssertionError: they do not, or it is not.
    """
    run.figures.mailbox_faults += sum(place.faults for place in run.places)
    for place in run.places:
        place.settle()
    assert_claims(run)
    [place, *_] = run.places
    told: list[str] = []
    for _ in range(_MOST_TURNS):
        reports = turn(run, place)
        told = [line for report in reports for line in report.refused]
        equal = len({station.replica.digest for station in run.stations}) == 1
        if equal and not any(one.documents_received or one.documents_sent for one in reports):
            break
    else:
        digests = {station.name: station.replica.digest.hex()[:6] for station in run.stations}
        raise AssertionError(f"{place.address} has not brought all to all: {digests}; {told}")
    for _ in range(3):
        run.pass_ms(8 * DAY_MS)
        reports = turn(run, place)
    assert_claims(run)
    assert_erased(place, [station.replica for station in run.stations], run.promises.erased)
    _assert_small(run, place)


def assert_claims(run: Simulation) -> None:
    """Assert that no device says of another more than is true of it.

    Devices whose file was copied are passed over: nobody can know that they are no longer what they were.
    """
    replicas = [station.replica for station in run.stations]
    for replica in replicas:
        if replica.device not in run.copied:
            run.figures.claims += assert_claims_hold(replica, replicas, unheard=run.copied)


def fill_by_post(run: Simulation, fresh: Station) -> None:
    """Let a new device find everything in one mailbox.

    Raises:
        AssertionError: it does not.
    """
    [place, *_] = run.places
    member = run.stations[0]
    for station in (member, fresh, member, fresh):
        visit_honest(run, station, place)
    assert fresh.replica.digest == member.replica.digest, f"{place.address} has not filled {fresh}"


def turn(run: Simulation, place: SimulatedMailbox) -> list[SyncReport]:
    """A round of every device, and a day passes."""
    run.pass_ms(_TURN_MS)
    return [visit_honest(run, station, place) for station in run.stations]


def visit_honest(run: Simulation, station: Station, place: SimulatedMailbox) -> SyncReport:
    """A round at a mailbox in which nothing goes wrong any more."""
    one = SimulatedRound(station.replica, place, checkpoint_objects=run.plan.checkpoint_objects)
    one.run()
    assert one.report is not None, f"{one} ended: {one.error!r}"
    return one.report


def _assert_small(run: Simulation, place: SimulatedMailbox) -> None:
    """Assert that what lies there is bounded by a checkpoint and one window of logs."""
    sizes = []
    for station in run.stations:
        with station.replica.reading() as store:
            row = store.mailboxes.find(place.address)
        assert row is not None
        sizes.append(row.checkpoint_objects)
    objects = sum(name.startswith("log/") for name in place.objects())
    most = run.plan.checkpoint_objects + 3 * max(sizes) + 4 * len(run.stations)
    assert objects <= most, f"{objects} objects are left in {place.address}, at most {most} may be"
