"""What happens in a simulation, step by step: drawn from a seed, short enough to read, and shrunk when it fails."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from msgsync.testing.plan import FaultPlan
from msgsync.testing.seed import Seeded

_PEOPLE = (
    *("send",) * 6,
    *("edit", "ingest") * 3,
    *("delete", "restore", "react") * 2,
    *("erase", "rename", "say", "expire", "reopen"),
)
"""What people, apps and carriers do; as often as it stands here."""
_NETWORK = (*("carry",) * 6, *("connect",) * 7, *("stay",) * 3, "inspect")
_POST = (*("go_on",) * 8, *("begin_round",) * 5, *("visit",) * 4, "inspect")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happens."""

    verb: str
    """What; see `msgsync.testing.simulation`."""
    device: int
    """On which device: any number, taken modulo the devices there are then."""
    number: int
    """What everything else about it follows from; a drawn one is below 2**32."""


Script = tuple[Step, ...]


def draw_script(seed: int | str, plan: FaultPlan) -> Script:
    """The steps that follow from a seed and a plan."""
    seeded = Seeded(f"{seed}/script")
    chances: tuple[tuple[str, int | None], ...] = (
        ("stall", plan.stalls_one_in),
        ("partition", plan.partitions_one_in),
        ("jump", plan.jumps_one_in),
        ("kill", plan.kills_one_in),
        ("join", plan.joins_one_in),
        ("leave", plan.leaves_one_in),
        ("back_up", plan.backups_one_in),
        ("fall_back", plan.falls_back_one_in),
        ("double", plan.doubles_one_in),
        ("go_away", plan.absences_one_in),
        ("lose_power", plan.power_losses_one_in),
        ("fill_disk", plan.full_one_in),
        ("break_disk", plan.errors_one_in),
        ("cut_short", plan.short_writes_one_in),
        ("make_room", plan.room_one_in),
        ("set_budget", plan.budgets_one_in),
    )
    if plan.mailboxes:
        chances += (
            ("damage", plan.damages_one_in),
            ("empty", plan.empties_one_in),
            ("copy_aside", plan.copies_one_in),
            ("put_back", plan.put_backs_one_in),
            ("copy_half", plan.half_copies_one_in),
            ("share", plan.strangers_one_in),
        )
    people = _PEOPLE + ("read",) * 3 * (plan.attachments_one_in is not None)
    ways = _NETWORK * plan.sessions + _POST * bool(plan.mailboxes)
    steps: list[Step] = []
    epochs = Seeded(f"{seed}/epochs")  # which leaves all else that follows from a seed as it was

    def add(verb: str) -> None:
        steps.append(Step(verb, seeded.below(60), seeded.below(1 << 32)))

    for _ in range(plan.steps):
        for verb, one_in in chances:
            if one_in is not None and not seeded.below(one_in):
                add(verb)
        if plan.rotations_one_in is not None and not epochs.below(plan.rotations_one_in):
            steps.append(Step("rotate", epochs.below(60), epochs.below(1 << 32)))
        add(seeded.choice(ways if seeded.below(5) < 2 else people))
    return tuple(steps)


def shrink(script: Script, fails: Callable[[Script], bool], *, most_runs: int = 400) -> Script:
    """Remove steps as long as what is left fails: halves, quarters, … then single ones (delta debugging).

    Args:
        script: what fails.
        fails: whether a shorter script fails as well.
        most_runs: how often to ask; then the shortest so far is the result.
    """
    size = max(len(script) // 2, 1)
    runs = 0
    while script:
        start, removed = 0, False
        while start < len(script):
            shorter = script[:start] + script[start + size :]
            if runs == most_runs:
                return script
            runs += 1
            if fails(shorter):
                script, removed = shorter, True
            else:
                start += size
        if size == 1 and not removed:
            return script
        size = size if removed and size == 1 else max(size // 2, 1)
    return script


def as_program(script: Sequence[Step], told: Sequence[str]) -> str:
    """A script as lines of Python, each with what it did in words."""
    lines = [f"{step!r}," for step in script]
    width = max(map(len, lines), default=0)
    return "\n".join(
        f"    {line:<{width}}  # {words}" if words else f"    {line}"
        for line, words in zip(lines, [*told, *[""] * len(lines)], strict=False)
    )
