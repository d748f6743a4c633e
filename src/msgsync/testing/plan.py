"""What goes wrong in a simulation, and how often."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Final, Self

from msgsync.errors import InvalidValue

DAY_MS: Final = 86_400_000
YEAR_MS: Final = 365 * DAY_MS
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, repr=False)
class FaultPlan:
    """What goes wrong in a simulation, and how often. Every knob has a default that is harsh, and `calm` turns all off.

    A chance is "one in so many": a whole number from 1 on, or None for never. Chances are per step of the script, or
    per frame that a connection delivers.
    """

    # How much there is.

    devices: int = 4
    """Devices at the beginning, 2 to 12."""
    most_devices: int = 7
    """Devices at most, `devices` to 12: beyond it nobody joins."""
    steps: int = 100
    """Steps that people, carriers and networks take, 1 to 100,000; faults come on top."""
    conversations: int = 2
    """Conversations, 1 to 20."""
    text_bytes: int = 200
    """The longest text that is sent, 200 to 100,000 bytes."""
    attachments_one_in: int | None = 4
    """Messages that are sent: this one has attachments, one to three."""
    attachment_bytes: int = 3_000
    """The longest file that is attached, 1 to 4,000,000 bytes."""
    pause_ms: int = 6 * 3_600_000
    """The longest time between two steps, 0 to a year, milliseconds: every clock moves so far."""

    # Networks; see `SimulatedNetwork`.

    breaks_one_in: int | None = 60
    """Frames: the connection breaks before this one or within it."""
    loses_one_in: int | None = 1_000
    """Frames: this one is lost within its connection."""
    repeats_one_in: int | None = 1_000
    """Frames: this one comes twice within its connection."""
    overtakes_one_in: int | None = 1_000
    """Frames: this one is overtaken within its connection by all that are on their way."""
    stalls_one_in: int | None = 25
    """Steps: a connection carries nothing for some steps."""
    partitions_one_in: int | None = 40
    """Steps: the devices fall into two groups that do not reach each other, for some steps."""

    # Clocks.

    skew_ms: int = 2 * DAY_MS
    """So far off each clock may be at the beginning, in both directions, 0 to ten years, milliseconds."""
    jumps_one_in: int | None = 50
    """Steps: a clock jumps."""
    jump_ms: int = 10 * YEAR_MS
    """So far it may jump, in both directions, 0 to ten years, milliseconds; most jumps are small ones."""

    # Devices.

    kills_one_in: int | None = 25
    """Steps: an app is killed and started again: what it wrote is there, synced or not."""
    joins_one_in: int | None = 40
    """Steps: a new, empty device joins."""
    leaves_one_in: int | None = 150
    """Steps: a device goes for good, and with it what only it had."""
    backups_one_in: int | None = 40
    """Steps: a device is backed up, or its closed file is copied aside."""
    falls_back_one_in: int | None = 60
    """Steps: a device's file is replaced by a backup, its own or another device's: restored, or just copied."""
    doubles_one_in: int | None = 120
    """Steps: a backup is restored as a new device, or a copy of it opened beside the device it came from."""
    absences_one_in: int | None = 60
    """Steps: a device is switched off for some steps, and meets nobody."""
    absence_ms: int = YEAR_MS
    """What the clocks of all have gone on by when it comes back, 0 to ten years, milliseconds."""

    # Disks; see `SimulatedDisk`. Which operation fails is drawn from the next `within_operations` of the device.

    power_losses_one_in: int | None = 20
    """Steps: a device loses its power at a coming operation of its disk, and with it what it had not synced."""
    full_one_in: int | None = 40
    """Steps: a disk is full from a coming operation on, for some steps."""
    errors_one_in: int | None = 40
    """Steps: a coming operation of a disk fails with an input/output error, or all of them for some steps."""
    short_writes_one_in: int | None = 60
    """Steps: of a coming write of a disk half is written."""
    within_operations: int = 120
    """1 to 100,000 operations; a message sent is about twenty."""

    # The account.

    rotations_one_in: int | None = 60
    """Steps: a device begins another epoch."""

    # Room for attachments.

    room_one_in: int | None = 15
    """Steps: a device lets go of attachments that are elsewhere, of all or down to some bytes."""
    budgets_one_in: int | None = 40
    """Steps: a device gets a budget for attachments, or is without one again."""

    # Mailboxes; see `SimulatedMailbox`. Without any, nothing of this happens.

    mailboxes: int = 0
    """Mailboxes, 0 to 4. Every third device uses all of them, the others one each."""
    sessions: int = 1
    """1: devices connect to each other, too; 0: they meet in mailboxes alone."""
    checkpoint_objects: int = 8
    """1 to 256, in place of `limits.CHECKPOINT_OBJECTS`: so many objects ask for a checkpoint."""
    failures_one_in: int | None = 40
    """Requests: this one fails, and half of those that change something are done all the same."""
    lost_puts_one_in: int | None = 200
    """Requests: what is put is acknowledged, and lost."""
    delays_one_in: int | None = 20
    """Requests: what is put or removed is seen only some requests later."""
    stale_one_in: int | None = 40
    """Requests: a listing, or an object that was put again, is as it was before."""
    garbled_one_in: int | None = 200
    """Requests: what is fetched comes damaged."""
    damages_one_in: int | None = 60
    """Steps: an object is damaged, removed, or replaced by another one."""
    empties_one_in: int | None = 150
    """Steps: a mailbox is emptied."""
    copies_one_in: int | None = 60
    """Steps: a mailbox is copied aside."""
    put_backs_one_in: int | None = 100
    """Steps: a mailbox is put back from such a copy."""
    half_copies_one_in: int | None = 150
    """Steps: half of the objects in a mailbox are gone."""
    strangers_one_in: int | None = 150
    """Steps: another account uses a mailbox, or has replaced it by its own."""

    # Bounds that hold at the end.

    file_bytes: int = 2 * _MIB
    """The largest file of a device, with its log."""
    on_their_way_bytes: int = 4 * _MIB
    """The most that is on its way in one connection at any time."""
    memory_bytes: int = 64 * _MIB
    """By so much the process may have grown through one simulation. Not measured on Windows."""

    def __post_init__(self) -> None:
        for each in fields(self):
            self._check(each.name, getattr(self, each.name))
        if self.most_devices < self.devices:
            raise InvalidValue("most_devices is at least as many as devices")
        if not self.sessions and not self.mailboxes:
            raise InvalidValue("without sessions and mailboxes nobody meets")

    def __repr__(self) -> str:
        """What differs from the defaults, or from a calm plan if that is less, as a program would write it."""
        values, from_calm = self._beyond(FaultPlan()), self._beyond(FaultPlan.calm())
        if len(values) <= len(from_calm):
            return f"FaultPlan({', '.join(values)})"
        return f"replace({', '.join(['FaultPlan.calm()', *from_calm])})"

    def _beyond(self, plan: FaultPlan) -> list[str]:
        """What differs from another plan."""
        values = [(each.name, getattr(self, each.name)) for each in fields(self)]
        return [f"{name}={value!r}" for name, value in values if value != getattr(plan, name)]

    @staticmethod
    def _check(name: str, value: object) -> None:
        if name.endswith("_one_in"):
            if value is not None and (type(value) is not int or value < 1):
                raise InvalidValue(f"{name} is a whole number from 1 on, or None for never")
            return
        low, high = _RANGES[name]
        if type(value) is not int or not low <= value <= high:
            raise InvalidValue(f"{name} is a whole number from {low} to {high}, not {value!r}")

    @classmethod
    def calm(cls) -> Self:
        """A plan in which nothing goes wrong: `dataclasses.replace` turns on what is wanted."""
        never: dict[str, Any] = {
            each.name: None for each in fields(cls) if each.name.endswith("_one_in")
        }
        return cls(**never, skew_ms=0)


_RANGES: Final = {
    "devices": (2, 12),
    "most_devices": (2, 12),
    "steps": (1, 100_000),
    "conversations": (1, 20),
    "text_bytes": (200, 100_000),
    "attachment_bytes": (1, 4_000_000),
    "pause_ms": (0, YEAR_MS),
    "skew_ms": (0, 10 * YEAR_MS),
    "jump_ms": (0, 10 * YEAR_MS),
    "absence_ms": (0, 10 * YEAR_MS),
    "within_operations": (1, 100_000),
    "mailboxes": (0, 4),
    "sessions": (0, 1),
    "checkpoint_objects": (1, 256),
    "file_bytes": (1, 1 << 40),
    "on_their_way_bytes": (1, 1 << 40),
    "memory_bytes": (1, 1 << 40),
}
