"""A device's clock and randomness, simulated."""

from __future__ import annotations

from msgsync.errors import InvalidValue
from msgsync.store.filesystem import FileSystem
from msgsync.testing.disk import files_on
from msgsync.testing.seed import Seeded

START_MS = 1_717_199_400_000
"""2024-05-31T23:50:00Z, where simulated clocks start: the next month, and so the next segment, is near."""
_LAST_MS = 253_402_300_799_999  # the end of the year 9999


class SimulatedSystem:
    """A clock that stands still until told, and random bytes that follow from a seed.

    Pass it as ``msgsync.open(..., system=)``. Devices made with `Replica.new_device` share their maker's unless they
    are given one; give each its own (``first.new_device(path, system=...)``) to let their clocks disagree.

    Simulated: wall clocks that are wrong, jump forwards and backwards, or stand still; random numbers that repeat
    from run to run. Not simulated: bad randomness. Two systems of one seed draw the same bytes, which no two devices
    ever do; so each device needs another seed, and a reopened one keeps its system.

    Args:
        seed: what every random byte follows from.
        now_ms: what the clock shows at first, Unix milliseconds.
        vfs: the disk, if it is simulated, too: `SimulatedDisk.vfs`.
    """

    def __init__(
        self, seed: int | str = 0, *, now_ms: int = START_MS, vfs: str | None = None
    ) -> None:
        self.vfs = vfs
        """The file system under the database, by name: that of a `SimulatedDisk`; None for the real one."""
        self._seeded = Seeded(seed)
        self._now_ms = START_MS
        self.set(now_ms)

    def __repr__(self) -> str:
        return f"SimulatedSystem({self._seeded.seed!r}, now_ms={self._now_ms})"

    @property
    def files(self) -> FileSystem:
        """The file system under the folder of attachments: on the same disk as the database."""
        return files_on(self.vfs)

    def now_ms(self) -> int:
        """What the clock shows, Unix milliseconds."""
        return self._now_ms

    def random_bytes(self, count: int) -> bytes:
        """The next bytes that follow from the seed."""
        return self._seeded.bytes(count)

    def advance(self, ms: int) -> None:
        """Move the clock by milliseconds, backwards if negative; it stays between 1970 and 9999.

        Raises:
            InvalidValue: not a whole number.
        """
        if type(ms) is not int:
            raise InvalidValue(f"a clock moves by whole milliseconds, not {ms!r}")
        self._now_ms = min(max(self._now_ms + ms, 0), _LAST_MS)

    def set(self, now_ms: int) -> None:
        """Let the clock show another time, Unix milliseconds.

        Raises:
            InvalidValue: not a whole number, or not between 1970 and 9999.
        """
        if type(now_ms) is not int or not 0 <= now_ms <= _LAST_MS:
            raise InvalidValue(
                f"a clock shows Unix milliseconds until the year 9999, not {now_ms!r}"
            )
        self._now_ms = now_ms
