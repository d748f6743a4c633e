"""What simulations found, each as the shortest story that shows it."""

from __future__ import annotations

from contextlib import suppress

import pytest

import msgsync
from msgsync import Incoming
from msgsync.document.admission import admit
from msgsync.document.codec import Block, compose, entries_of, scan
from msgsync.document.schema import DocumentId
from msgsync.testing import (
    DiskFault,
    SimulatedDisk,
    SimulatedSystem,
    assert_converged,
    assert_sound,
)
from msgsync.testing.station import remove_database
from msgsync.testing.system import START_MS
from tests.unit.parts import freeze, parts_of

MONTH = DocumentId("irc", "2024-05")
_DAY_MS = 86_400_000


def line(number: int) -> Incoming:
    return Incoming("irc", "ben", f"line {number}", START_MS - _DAY_MS + number, str(number))


@pytest.mark.parametrize("had_something", [False, True])
def test_what_two_devices_wrote_beside_a_frozen_month_goes_on_from_a_third(tmp_path, had_something):
    """Seeds 17 and 139: the third device stored both copies in one update, which the fourth refused for ever."""
    with (
        msgsync.open(tmp_path / "a.db", author="ann", system=SimulatedSystem(1)) as one,
        one.new_device(tmp_path / "b.db") as other,
        one.new_device(tmp_path / "c.db") as third,
        one.new_device(tmp_path / "d.db") as fourth,
    ):
        one.ingest(line(0))
        other.ingest(line(1))
        [update] = parts_of(other, MONTH).updates
        entries = entries_of(scan(update))
        twice = tuple(compose([Block(client, 0, list(entries))]) for client in (7, 9))
        parts = freeze(one, MONTH)._replace(updates=twice)
        if had_something:
            third.ingest(line(2))
        with third.writing() as store:
            store.merge(MONTH, parts)
        for update in parts_of(third, MONTH).updates:
            admit(MONTH, [update], {}, set())  # as every peer will
        fourth.ingest(line(3))
        report = msgsync.sync(third, fourth)
        assert report.complete
        assert not report.refused
        assert not fourth.status().refused
        assert_converged(third, fourth)
        for replica in (third, fourth):
            assert_sound(replica)


def test_a_replica_whose_making_was_rolled_back_is_made_again(tmp_path):
    """A power loss while a file is made left a journal that rolls it back to nothing; it was taken for another's."""
    path, left = tmp_path / "a.db", tmp_path / "left.db"
    for after in range(20):
        with SimulatedDisk() as disk:
            disk.fail(DiskFault.POWER, after=after)
            with pytest.raises(msgsync.StorageError):
                msgsync.open(path, author="ann", system=SimulatedSystem(1, vfs=disk.vfs))
            for seed in range(10):
                disk.leave(path, left, seed)
                with msgsync.open(left, author="ann") as replica:
                    assert replica.check().ok
                    assert replica.conversations() == []
                remove_database(left)
        remove_database(path)


def test_a_chunk_whose_name_did_not_reach_the_disk_is_not_said_to_be_here(tmp_path):
    """Seed 800700: the last sync of writing it failed, it was found in the folder, and a power loss undid its name."""
    found = 0
    with msgsync.open(tmp_path / "phone.db", author="ann", system=SimulatedSystem(1)) as phone:
        phone.create_conversation("Family", id="family")
        phone.conversation("family").send("", attachments=[msgsync.Attach(b"photo" * 100)])
        for after in range(12):
            path = tmp_path / f"{after}.db"
            with SimulatedDisk() as disk:
                system = SimulatedSystem(after, vfs=disk.vfs)
                with phone.new_device(path, system=system) as tablet:
                    tablet.sync.pause_attachments()
                    msgsync.sync(phone, tablet)
                    tablet.sync.resume_attachments()
                    disk.fail(DiskFault.BROKEN, after=5 + after)
                    with suppress(msgsync.StorageError, msgsync.PeerError):
                        msgsync.sync(phone, tablet)
                    disk.mend()
                    with tablet.writing() as store:
                        has_come = store.attachments.sweep()
                    found += has_come
                    for seed in range(10 if has_come else 0):
                        left = tmp_path / f"{after} {seed}.db"
                        disk.leave(path, left, seed)
                        with msgsync.open(left, author="ann") as replica:
                            assert replica.check().problems == ()
    assert found
