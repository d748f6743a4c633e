"""Greetings: whose clocks agree, and who is not talked to."""

from __future__ import annotations

import pytest

from msgsync import limits
from msgsync.protocol.greeting import agreed_ms

NOW_MS = 1_700_000_000_000
DAY_MS = limits.CLOCKS_AGREE_MS


@pytest.mark.parametrize(
    ("ours", "theirs", "agreed"),
    [
        (NOW_MS, NOW_MS, NOW_MS),
        (NOW_MS, NOW_MS + 5, NOW_MS),
        (NOW_MS + 5, NOW_MS, NOW_MS),
        (NOW_MS, NOW_MS + DAY_MS, NOW_MS),
        (NOW_MS + DAY_MS, NOW_MS, NOW_MS),
        (NOW_MS, NOW_MS + DAY_MS + 1, 0),
        (NOW_MS + DAY_MS + 1, NOW_MS, 0),
    ],
)
def test_clocks_that_differ_by_up_to_a_day_agree_on_the_earlier_time(ours, theirs, agreed):
    assert agreed_ms(ours, theirs) == agreed
