"""What a carrier has, for simulations: messages that follow from a seed, with equal times, edits and deletions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from msgsync.replica.values import Edit, Incoming, Reaction
from msgsync.testing.seed import Seeded
from msgsync.testing.strategies import EMOJI, NAMES, PHRASES
from msgsync.testing.system import START_MS

_MESSAGES: Final = 16
_DAYS: Final = 70
_DAY_MS: Final = 86_400_000


def catalogue(seed: int | str, conversations: Sequence[str]) -> tuple[Incoming, ...]:
    """Some messages of a carrier, of the seventy days before simulated clocks begin; many of one minute.

    Args:
        seed: what they follow from.
        conversations: where they belong.
    """
    seeded = Seeded(f"{seed}/carrier")
    return tuple(_message(seeded, number, conversations) for number in range(_MESSAGES))


def _message(seeded: Seeded, number: int, conversations: Sequence[str]) -> Incoming:
    sent_ms = START_MS - seeded.below(_DAYS) * _DAY_MS // 2

    def later_ms() -> int:
        return sent_ms + 1 + seeded.below(_DAY_MS)

    edits = (Edit(f"carrier's edit of {number}", later_ms()),) if not seeded.below(4) else ()
    reactions = (
        (Reaction(seeded.choice(NAMES), seeded.choice(EMOJI), later_ms()),)
        if not seeded.below(3)
        else ()
    )
    return Incoming(
        seeded.choice(conversations),
        seeded.choice(NAMES),
        f"{seeded.choice(PHRASES)} c{number}",
        sent_ms,
        external_id=f"carrier-{number}",
        order=seeded.below(3),
        reply_external=f"carrier-{seeded.below(number)}"
        if number and not seeded.below(3)
        else None,
        edits=edits,
        reactions=reactions,
        deleted_ms=later_ms() if not seeded.below(6) else None,
    )
