"""Random histories of a few devices, compared with the reference model after every step: the kit's own machine."""

from __future__ import annotations

from hypothesis import settings

from msgsync.testing import ReplicaMachine


class Histories(ReplicaMachine):
    """Every verb, on devices that meet, fail to meet, crash and come back; each is what the reference says it is."""

    with_reference = True


class Lives(ReplicaMachine):
    """What is said about conversations as a whole among all else: devices converge, and nothing is lost."""


Lives.TestCase.settings = settings(stateful_step_count=40)
test_whole_conversations_converge_too = Lives.TestCase
Histories.TestCase.settings = settings(stateful_step_count=50)
test_replicas_follow_the_reference_and_converge = Histories.TestCase
