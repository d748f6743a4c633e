"""Schedules of many devices with everything that goes wrong; `make soak` runs ten thousand."""

from __future__ import annotations

import pytest

from msgsync.testing import Figures, simulate
from tests.simulation.plans import PLANS, plan_of

SCHEDULES = 216
CHUNK = len(PLANS)  # each plan once

pytestmark = pytest.mark.timeout(
    600
)  # ten seconds of a core each, and machines that run tests are busy


@pytest.mark.parametrize("first", range(0, SCHEDULES, CHUNK))
def test_every_promise_holds_whatever_goes_wrong(first):
    for seed in range(first, first + CHUNK):
        simulate(seed, plan_of(seed))


@pytest.mark.parametrize("name", PLANS)
def test_every_plan_does_what_it_is_about(name):
    """Else it would be easy to pass."""
    plan = PLANS[name]
    figures = [simulate(f"{name} {number}", plan) for number in range(3)]
    total = Figures.sum(figures)
    assert total.messages > 20
    if plan.sessions:
        assert total.frames > 50
    if plan.mailboxes:
        assert total.requests > 100
        assert total.rounds > 20
    if plan.attachments_one_in == 1:
        assert total.attachments > 30
        assert total.bytes_freed > 0
    assert total.devices > 3 * plan.devices  # and one more at the end of each
    if plan.power_losses_one_in is not None:
        assert total.crashes > 0
    if plan.full_one_in is not None:
        assert total.refusals > 0
