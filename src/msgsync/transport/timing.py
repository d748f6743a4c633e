"""How long a connection waits for what. Source: design 7."""

from __future__ import annotations

from dataclasses import dataclass, fields

from msgsync.errors import InvalidValue


@dataclass(frozen=True, slots=True)
class Timing:
    """Times of a connection, all in seconds and above 0.

    Raises:
        InvalidValue: one is not above 0, or a peer that keeps quiet would be given up before it says that it is there.
    """

    connect_s: float = 10
    """After which nobody answers at an address."""
    greeting_s: float = 15
    """After which a peer that has not said hello is no msgsync."""
    silence_s: float = 120
    """After which a peer is gone: while something is exchanged, if nothing went either way for so long; on a session
    that stays connected, if nothing came."""
    keep_alive_s: float = 30
    """After which a session that stays connected and has nothing to say says that it is there."""
    farewell_s: float = 1
    """For saying goodbye."""
    retry_first_s: float = 1
    """Before the first attempt to connect again. Each further one waits twice as long, up to `retry_most_s`; from all
    of them chance takes away up to a half, so that devices that lost one server do not return at the same moment."""
    retry_most_s: float = 60
    poll_s: float = 15
    """Between two looks into a mailbox that stays in use; chance takes away up to a half of it."""

    def __post_init__(self) -> None:
        for field in fields(self):
            if not getattr(self, field.name) > 0:
                raise InvalidValue(
                    f"{field.name} is {getattr(self, field.name)}; it must be above 0"
                )
        if self.keep_alive_s >= self.silence_s:
            raise InvalidValue("keep_alive_s must be below silence_s, or every quiet session ends")

    def retry_s(self, attempt: int, chance: float) -> float:
        """Seconds before an attempt, counted from 0, to connect again; ``chance`` is from 0 to below 1."""
        longest = min(self.retry_first_s * 2.0 ** min(attempt, 60), self.retry_most_s)
        return longest * (1 - chance / 2)
