"""What a replica claims of other devices is compared with them, as far as they are there to be asked."""

from __future__ import annotations

import pytest

import msgsync
from msgsync.testing import SimulatedSystem, assert_claims_hold


@pytest.fixture
def devices(tmp_path):
    """A phone with a message that a tablet has as well, and a laptop has not."""
    with (
        msgsync.open(tmp_path / "phone.db", author="ann", system=SimulatedSystem(1)) as phone,
        phone.new_device(tmp_path / "tablet.db") as tablet,
        phone.new_device(tmp_path / "laptop.db") as laptop,
    ):
        phone.create_conversation("Family", id="family")
        for other in (laptop, tablet):
            assert msgsync.sync(phone, other).complete
        phone.conversation("family").send("hello")
        assert msgsync.sync(phone, tablet).complete
        assert phone.safe_to_remove(phone.device).safe
        yield phone, tablet, laptop


def test_what_is_true_of_others_holds(devices):
    phone, tablet, laptop = devices
    assert assert_claims_hold(phone, [tablet, laptop]) == 1


def test_that_a_message_is_safe_with_a_device_that_is_gone_cannot_be_compared(devices):
    """Seed 1003675: what one device alone had been given went with it, and the simulation asked the others for it."""
    phone, _, laptop = devices
    assert assert_claims_hold(phone, [laptop]) == 0


def test_that_a_message_is_safe_is_compared_with_those_that_are_there(devices):
    phone, tablet, laptop = devices
    with tablet.writing() as store:
        store.database.execute("delete from messages")
    with pytest.raises(AssertionError, match=r"claims that tablet\.db has .*, and it has not"):
        assert_claims_hold(phone, [tablet, laptop])
