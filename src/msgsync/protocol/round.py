"""What both sides know of a round: one comparison and exchange. Source: design 7."""

from __future__ import annotations

from dataclasses import dataclass

from msgsync.errors import ProtocolError
from msgsync.protocol.frames import Done, Start
from msgsync.protocol.seam import Facts


@dataclass(slots=True)
class Round:
    """One comparison and exchange; what this side gives and takes in it is with `Source` and `Sink`."""

    our_bins: bytes | None = None
    their_bins: bytes | None = None
    their_start: bool = False
    our_done: Facts | None = None
    their_done: Done | None = None

    def take_start(self, start: Start) -> None:
        """Note what the peer starts with. A second time is right only with bins, after it started without.

        Raises:
            ProtocolError: it started before.
        """
        if self.their_bins is not None or (self.their_start and not start.bins):
            raise ProtocolError("the peer started a round twice")
        self.their_start = True
        if start.bins:
            self.their_bins = start.bins

    def differing(self) -> frozenset[int]:
        """The bins that differ, once both are known."""
        ours, theirs = self.our_bins, self.their_bins
        assert ours is not None
        assert theirs is not None
        return frozenset(
            number
            for number in range(256)
            if ours[16 * number : 16 * number + 16] != theirs[16 * number : 16 * number + 16]
        )
