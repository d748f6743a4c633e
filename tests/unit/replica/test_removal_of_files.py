"""A device is not safe to remove while it may be the only one that has a file."""

from __future__ import annotations

from pathlib import Path

import msgsync
from msgsync import Replica
from tests.unit.conftest import Opener
from tests.unit.replica.test_attachments import noise

SIZE = 1000


def reasons(asked: Replica, device: Replica) -> list[str]:
    """Those that speak of files."""
    return [one for one in asked.safe_to_remove(device.device).reasons if "bytes of files" in one]


def test_a_file_that_only_this_device_has_makes_it_unsafe(phone, tablet, family):
    msgsync.sync(phone, tablet)
    family.send("look", attachments=[noise(SIZE)])
    assert phone.status().bytes_only_here == SIZE
    [reason] = reasons(phone, phone)
    assert reason.startswith("1,000 bytes of files are on it")
    assert reason.endswith("sync it")
    msgsync.sync(phone, tablet)
    assert reasons(phone, phone) == []
    assert phone.status().bytes_only_here == 0


def test_so_does_one_whose_bytes_have_not_come_yet(phone, tablet, family):
    msgsync.sync(phone, tablet)
    phone.set_attachment_budget(0)  # no room
    other = tablet.conversation("family")
    other.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, tablet)
    [reason] = reasons(phone, tablet)
    assert "are not on this device" in reason
    phone.set_attachment_budget(None)
    msgsync.sync(phone, tablet)
    assert reasons(phone, tablet) == []


def test_who_keeps_a_file_for_another_one_is_not_safe(phone, tablet, family):
    family.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, tablet)
    phone.free_space()
    msgsync.sync(phone, tablet)
    assert phone.free_space().bytes_freed == SIZE
    assert len(reasons(phone, tablet)) == 1  # it has promised, and alone has it
    assert len(reasons(tablet, tablet)) == 1  # and knows that others may rely on that
    assert tablet.status().bytes_only_here == SIZE
    assert reasons(phone, phone) == []


def test_in_a_mailbox_it_is_safe(phone, tablet, family, tmp_path: Path):
    (tmp_path / "box").mkdir()
    box = (tmp_path / "box").as_uri()
    family.send("look", attachments=[noise(SIZE)])
    msgsync.sync(phone, tablet)
    phone.free_space()
    msgsync.sync(phone, tablet)
    phone.free_space()
    assert reasons(tablet, tablet)
    msgsync.sync(tablet, box)
    assert reasons(tablet, tablet) == []
    msgsync.sync(phone, box)
    assert reasons(phone, tablet) == []


def test_a_third_one_that_promised_makes_it_safe(
    open_replica: Opener, phone: Replica, tablet: Replica, family: msgsync.Conversation
):
    laptop = open_replica("laptop.db", member=phone)
    family.send("look", attachments=[noise(SIZE)])
    for other in (tablet, laptop):
        msgsync.sync(phone, other)
    phone.free_space()
    for other in (tablet, laptop):
        msgsync.sync(phone, other)
    msgsync.sync(tablet, laptop)
    phone.free_space()
    kept_by = [one for one in (tablet, laptop) if not reasons(phone, one)]
    assert kept_by  # one of them can go, as the other one has promised
    assert len(kept_by) < 2


def test_an_erased_file_is_in_nobodys_way(phone, tablet, family):
    msgsync.sync(phone, tablet)
    sent = family.send("look", attachments=[noise(SIZE)])
    family.erase(sent)
    assert reasons(phone, phone) == []
    assert phone.status().bytes_only_here == 0
