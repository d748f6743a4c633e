"""The plans that schedules are drawn with, in turn: one with everything, and one for each thing, hard."""

from __future__ import annotations

from dataclasses import replace

from msgsync.testing import FaultPlan
from msgsync.testing.plan import YEAR_MS

CALM = FaultPlan.calm()
PLANS = {
    "everything": FaultPlan(),
    "networks": replace(
        CALM,
        breaks_one_in=8,
        loses_one_in=40,
        repeats_one_in=40,
        overtakes_one_in=40,
        stalls_one_in=8,
        partitions_one_in=12,
    ),
    "disks": replace(
        CALM,
        power_losses_one_in=4,
        full_one_in=10,
        errors_one_in=10,
        short_writes_one_in=10,
        kills_one_in=15,
        within_operations=60,
    ),
    "clocks": replace(CALM, skew_ms=10 * YEAR_MS, jumps_one_in=5, absences_one_in=20),
    "copies": replace(
        CALM,
        backups_one_in=10,
        falls_back_one_in=12,
        doubles_one_in=20,
        joins_one_in=15,
        leaves_one_in=40,
        breaks_one_in=20,
    ),
    "mailboxes that fail": replace(
        CALM,
        sessions=0,
        mailboxes=1,
        failures_one_in=12,
        lost_puts_one_in=40,
        delays_one_in=8,
        stale_one_in=15,
        garbled_one_in=60,
    ),
    "mailboxes that are damaged": replace(
        CALM,
        sessions=0,
        mailboxes=2,
        damages_one_in=12,
        empties_one_in=40,
        copies_one_in=20,
        put_backs_one_in=25,
        half_copies_one_in=40,
        strangers_one_in=40,
    ),
    "mailboxes and sessions, with everything": FaultPlan(mailboxes=2),
    "attachments": replace(
        CALM,
        devices=3,
        most_devices=5,
        attachments_one_in=1,
        room_one_in=3,
        budgets_one_in=20,
        breaks_one_in=20,
        kills_one_in=20,
        power_losses_one_in=20,
        jumps_one_in=20,
        joins_one_in=40,
    ),
    "attachments in mailboxes": replace(
        CALM,
        devices=3,
        mailboxes=1,
        attachments_one_in=1,
        room_one_in=3,
        budgets_one_in=30,
        failures_one_in=20,
        lost_puts_one_in=40,
        delays_one_in=10,
        garbled_one_in=20,
        kills_one_in=30,
    ),
    "everything, many devices": FaultPlan(devices=6, most_devices=10),
    "everything, long texts": FaultPlan(text_bytes=20_000, conversations=4),
}
"""By what they are about."""
PLANS = {name: replace(plan, rotations_one_in=50) for name, plan in PLANS.items()}


def plan_of(seed: int) -> FaultPlan:
    """The plan that a seed is run with, here and in `make soak`."""
    return list(PLANS.values())[seed % len(PLANS)]
