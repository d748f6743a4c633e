"""The stateful test: it finds planted faults, and the same steps do the same again."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import invariant, rule, run_state_machine_as_test

import msgsync
from msgsync.testing import ReplicaMachine, some

pytestmark = pytest.mark.timeout(240)  # many replicas; machines that run tests are busy

# What is found here is planted: nobody needs the shortest run to it.
HARD = settings(
    max_examples=40,
    stateful_step_count=30,
    phases=[Phase.generate],
    database=None,
    derandomize=True,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)


def run(machine: type[ReplicaMachine], how: settings = HARD) -> None:
    run_state_machine_as_test(machine, settings=how)


def test_without_a_fault_it_passes():
    run(ReplicaMachine, settings(HARD, max_examples=5))


def test_an_invariant_of_an_app_that_does_not_hold_fails():
    class NothingIsEverDeleted(ReplicaMachine):
        @invariant()
        def nothing_is_deleted(self):
            for device in self.devices:
                for line in device.replica.conversations():
                    page = device.replica.conversation(line.id).messages(include_deleted=True)
                    assert not any(message.deleted for message in page), "something is deleted"

    with pytest.raises(AssertionError, match="something is deleted"):
        run(NothingIsEverDeleted)


def test_what_must_hold_at_the_end_fails_if_it_does_not():
    class LastWriterOfAll(ReplicaMachine):
        """An app that keeps something beside msgsync, which does not travel."""

        def __init__(self):
            super().__init__()
            self.drafts: dict[int, str] = {}

        @rule(who=some)
        def draft(self, who):
            self.drafts[self.at(who)] = f"of {who}"

        def check_converged(self):
            assert len({self.drafts.get(at) for at in range(3)}) == 1, "drafts differ"

    with pytest.raises(AssertionError, match="drafts differ"):
        run(LastWriterOfAll)


def test_a_verb_that_does_not_do_what_the_design_says_fails(monkeypatch):
    """A planted bug of msgsync itself: restoring does nothing."""

    class Compared(ReplicaMachine):
        with_reference = True

    monkeypatch.setattr(msgsync.Conversation, "restore", lambda self, *messages: None)
    with pytest.raises(AssertionError, match="deleted: True, not False"):
        run(Compared)


def test_a_replica_that_loses_a_message_fails(monkeypatch):
    """A planted bug, without the reference: one device never shows the first message of a conversation."""

    real = msgsync.Conversation.messages

    def forgetful(self, **how):
        page = real(self, **how)
        kept = tuple(
            each for each in page if "first" not in each.text or "2." not in str(self._replica.path)
        )
        return msgsync.Page(kept, page.older, page.newer)

    monkeypatch.setattr(msgsync.Conversation, "messages", forgetful)
    with pytest.raises(AssertionError, match="lost"):
        run(ReplicaMachine)


def test_a_rule_set_to_none_is_never_taken():
    class NoErasing(ReplicaMachine):
        erase = None  # type: ignore[assignment]

        @invariant()
        def nothing_is_erased(self):
            assert all(device.replica.status().erased == 0 for device in self.devices)

    run(NoErasing, settings(HARD, max_examples=5))


def test_the_same_steps_end_in_the_same_bytes():
    digests: list[list[bytes]] = []

    class Kept(ReplicaMachine):
        def check_converged(self):
            digests.append([device.replica.digest for device in self.devices])

    for _ in range(2):
        run(Kept, settings(HARD, max_examples=5))
    assert len(digests) >= 10
    assert digests[: len(digests) // 2] == digests[len(digests) // 2 :]


def test_an_app_opens_replicas_in_its_own_way():
    class Named(ReplicaMachine):
        def open_replica(self, path, /, *, system):
            return msgsync.open(path, author="zoe", system=system)

        @invariant()
        def everybody_is_zoe(self):
            assert {device.replica.author for device in self.devices} == {"zoe"}

    run(Named, settings(HARD, max_examples=2))
