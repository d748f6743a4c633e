"""Epochs that are over: what lies under them is replaced, and their secrets are erased once nothing needs them."""

from __future__ import annotations

import pytest

from msgsync import MemoryMailbox, Replica
from msgsync.testing import assert_converged
from tests.unit import files
from tests.unit.conftest import Opener
from tests.unit.machine import Machine
from tests.unit.protocol.test_courier import objects, visits

DAY_MS = 86_400_000


@pytest.fixture
def box() -> MemoryMailbox:
    return MemoryMailbox()


@pytest.fixture
def laptop(open_replica: Opener, phone: Replica) -> Replica:
    return open_replica("laptop.db", member=phone)


def pass_days(machine: Machine, box: MemoryMailbox, *replicas: Replica, days: int = 10) -> None:
    """Everybody does a round a day, twice in each order."""
    for _ in range(days):
        machine.clock_ms += DAY_MS
        visits(box, *replicas, *replicas[::-1])


def epochs(replica: Replica) -> int:
    return replica.account_status().epochs


def test_what_is_under_an_old_epoch_is_replaced_and_its_secret_erased_on_all_devices(
    machine, phone, tablet, family, box
):
    family.send("Hello")
    visits(box, phone, tablet, phone)
    [old] = phone.membership.keyring()
    secret = phone.membership.keyring().secret(old)
    before = objects(box)
    phone.rotate()
    family.send("after")
    visits(box, phone, tablet, phone, tablet)
    assert (epochs(phone), epochs(tablet)) == (2, 2)
    assert phone.status().epochs_wait_for == (box.address,)
    pass_days(machine, box, phone, tablet)
    assert not {*before} & {*objects(box)}
    assert (epochs(phone), epochs(tablet)) == (1, 1)
    assert phone.status().epochs_wait_for == ()
    for replica in (phone, tablet):
        assert files.remains(replica.path, secret) == []
        assert old not in replica.membership.keyring()
    assert_converged(phone, tablet)
    asked = visits(box, phone, tablet)
    assert all(one.complete for one in asked)
