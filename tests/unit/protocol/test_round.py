"""What both sides know of a round: who has started, and which bins differ. Source: design 7."""

from __future__ import annotations

import pytest

from msgsync import ProtocolError
from msgsync.protocol.frames import Start
from msgsync.protocol.round import Round

BINS = bytes(range(256)) * 16


@pytest.mark.parametrize("starts", [[BINS], [b""], [b"", BINS]])
def test_a_peer_starts_once_or_with_bins_after_it_started_without(starts):
    this = Round()
    for bins in starts:
        this.take_start(Start(bins))
    assert this.their_bins == (starts[-1] or None)
    for bins in {b"", BINS} - ({BINS} if starts == [b""] else set()):
        with pytest.raises(ProtocolError, match="twice"):
            this.take_start(Start(bins))
    assert this.their_bins == (starts[-1] or None)


@pytest.mark.parametrize("wanted", [set(), {0}, {1}, {17}, {255}, {0, 128, 254}, set(range(256))])
@pytest.mark.parametrize("place", [0, 15])
def test_a_bin_differs_if_any_of_its_bytes_does(wanted, place):
    theirs = bytearray(BINS)
    for number in wanted:
        theirs[16 * number + place] ^= 1
    assert Round(our_bins=BINS, their_bins=bytes(theirs)).differing() == wanted
