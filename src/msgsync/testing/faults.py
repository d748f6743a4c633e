"""What happens to the networks, devices and disks of a simulation, in words; see `msgsync.testing.people`."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

import msgsync
from msgsync.testing.checks import assert_sound
from msgsync.testing.disk import DiskFault
from msgsync.testing.seed import Seeded
from msgsync.testing.station import Station

if TYPE_CHECKING:
    from msgsync.testing.simulation import Simulation

_MOST_LINKS: Final = 8
_MOST_FRAMES: Final = 60
"""That many frames move in a step, at most."""
_MOST_STEPS_ILL: Final = 12
_MOST_STEPS_AWAY: Final = 40
_MOST_STEPS_APART: Final = 30

# What networks do.


def connect(run: Simulation, station: Station, seeded: Seeded, *, live: bool = False) -> str:
    """The device begins an exchange with another."""
    others = [each for each in run.stations if each is not station and each.away_until <= run.at]
    if not others or len(run.network.links) >= _MOST_LINKS:
        return "connects to nobody"
    other = seeded.choice(others)
    try:
        run.network.connect(station.replica, other.replica, live=live)
    except msgsync.ConnectionLost:
        return f"does not reach {other}"
    run.figures.connections += 1
    return f"connects to {other}{', to stay' if live else ''}"


def stay(run: Simulation, station: Station, seeded: Seeded) -> str:
    """The device connects to another and stays connected."""
    return connect(run, station, seeded, live=True)


def carry(run: Simulation, __: Station, seeded: Seeded) -> str:
    """Some frames move; who has nothing to say, says that it is there."""
    run.network.reseed(seeded.below(1 << 32))
    moved = 0
    for _ in range(1 + seeded.below(_MOST_FRAMES)):
        if not run.network.step():
            for link in run.network.links:
                if not link.held:
                    (link.cut if link.spoiled else link.keep_alive)()
            continue
        moved += 1
    for link in run.network.links:
        run.assert_bounded(link)
    run.figures.frames += moved
    return f"the network carries {moved} frames"


def stall(run: Simulation, _: Station, seeded: Seeded) -> str:
    """A connection carries nothing for some steps."""
    if not run.network.links:
        return "nothing is connected that could stall"
    link = seeded.choice(run.network.links)
    link.hold()
    run.held.append((run.at + 1 + seeded.below(_MOST_STEPS_ILL), link))
    return f"stalls {link}"


def partition(run: Simulation, _: Station, seeded: Seeded) -> str:
    """The devices fall into two groups that do not reach each other, for some steps."""
    mixed = seeded.shuffled(run.stations)
    middle = 1 + seeded.below(len(mixed) - 1)
    run.groups = mixed[:middle], mixed[middle:]
    run.apart_until = run.at + 1 + seeded.below(_MOST_STEPS_APART)
    run.divide()
    return f"the network falls apart: {run.groups[0]}, {run.groups[1]}"


# What happens to devices.


def reopen(run: Simulation, station: Station, _: Seeded) -> str:
    """The app is closed and started."""
    with run.another_replica(station):
        station.reopen()
    return "is closed and opened"


def kill(run: Simulation, station: Station, _: Seeded) -> str:
    """The app is killed and started: all it wrote is there."""
    run.crash(station, None)
    return "is killed and started"


def join(run: Simulation, station: Station, _: Seeded) -> str:
    """A new, empty device of the account, which this one adds."""
    if len(run.stations) >= run.plan.most_devices:
        return "nobody joins, there are enough"
    return f"is joined by {run.add(station)}"


def leave(run: Simulation, station: Station, _: Seeded) -> str:
    """The device goes, with all that only it had."""
    if len(run.stations) <= 2:
        return "stays, or there would be nobody to talk to"
    with run.another_replica(station):
        station.close()
        run.stations.remove(station)
        for group in run.groups:
            with suppress(ValueError):
                group.remove(station)
    run.recount()
    return "is gone for good"


def back_up(run: Simulation, station: Station, seeded: Seeded) -> str:
    """A backup is written while the app runs, or the file is copied aside while it is closed for a moment."""
    is_backup = bool(seeded.below(2))
    path = run.directory / f"{'backup' if is_backup else 'copy'}-{len(run.backups)}.db"
    if is_backup:
        station.replica.backup(path)
        run.backups.append(path)
        return f"is backed up to {path.name}"
    with run.another_replica(station):
        station.reopen(copying_to=path)
    if not path.exists():
        return "could not be closed, to be copied"
    run.backups.append(path)
    return f"is copied to {path.name}"


def fall_back(run: Simulation, station: Station, seeded: Seeded) -> str:
    """A backup is put in the place of the file, its own or another device's; it is restored, or just copied."""
    if not run.backups:
        return "has no backup to fall back to"
    path = seeded.choice(run.backups)
    restores = path.name.startswith("backup")  # which is sealed, so that nobody takes it for a copy
    with run.another_replica(station):
        run.copied.add(station.replica.device)
        station.fall_back(path, restores=restores)
        run.copied.add(station.replica.device)
    run.recount()
    return f"falls back to {path.name}, which is {'restored' if restores else 'copied'}"


def double(run: Simulation, member: Station, seeded: Seeded) -> str:
    """A backup is restored as a new device, or a copy of it opened beside the device it came from."""
    if not run.backups or len(run.stations) >= run.plan.most_devices:
        return "has no double"
    path = seeded.choice(run.backups)
    station = run.add(member)
    restores = path.name.startswith("backup")  # which is sealed, so that nobody takes it for a copy
    station.fall_back(path, restores=restores, as_new_device=restores)
    run.copied.add(station.replica.device)
    return f"{station} is made of {path.name}{', as a new device' if restores else ''}"


def go_away(run: Simulation, station: Station, seeded: Seeded) -> str:
    """The device is switched off for some steps."""
    with run.another_replica(station):
        station.away_until = run.at + 2 + seeded.below(_MOST_STEPS_AWAY)
    return f"is switched off for {station.away_until - run.at} steps"


def jump(run: Simulation, station: Station, seeded: Seeded) -> str:
    """The clock is set, rightly or wrongly."""
    most = max(run.plan.jump_ms >> seeded.below(20), 1)
    by_ms = seeded.below(2 * most + 1) - most
    station.system.advance(by_ms)
    return f"its clock jumps by {by_ms} ms"


# What happens to disks.


def lose_power(run: Simulation, station: Station, seeded: Seeded) -> str:
    """The power will go at a coming operation of the disk."""
    return _fail(run, station, seeded, DiskFault.POWER, lasts=False)


def fill_disk(run: Simulation, station: Station, seeded: Seeded) -> str:
    """The disk will be full from a coming operation on, for some steps."""
    return _fail(run, station, seeded, DiskFault.FULL, lasts=True)


def break_disk(run: Simulation, station: Station, seeded: Seeded) -> str:
    """The disk will fail at a coming operation, once or for some steps."""
    return _fail(run, station, seeded, DiskFault.BROKEN, lasts=not seeded.below(2))


def cut_short(run: Simulation, station: Station, seeded: Seeded) -> str:
    """A coming write will be cut short."""
    return _fail(run, station, seeded, DiskFault.SHORT, lasts=False)


def _fail(
    run: Simulation, station: Station, seeded: Seeded, fault: DiskFault, *, lasts: bool
) -> str:
    after = seeded.below(run.plan.within_operations)
    station.disk.fail(fault, after=after, lasts=lasts)
    words = f"its disk will have a fault after {after} operations: {fault.value}"
    if not lasts:
        return words
    station.ill_until = run.at + 1 + seeded.below(_MOST_STEPS_ILL)
    return f"{words}, for {station.ill_until - run.at} steps"


def inspect(run: Simulation, station: Station, _: Seeded) -> str:
    """The replica is checked while others go on."""
    assert_sound(station.replica)
    run.promises.assert_has(station.replica, station.own)
    return "is looked at, and is sound"


FAULTS: Final[dict[str, Callable[[Simulation, Station, Seeded], str]]] = {
    function.__name__: function
    for function in (
        *(connect, stay, carry, stall, partition),
        *(reopen, kill, join, leave, back_up, fall_back, double, go_away, jump),
        *(lose_power, fill_disk, break_disk, cut_short, inspect),
    )
}
"""By the verb of a step."""
