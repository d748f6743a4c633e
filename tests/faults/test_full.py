"""A disk that is full, of real: a small file system, and files that may not grow, at every kind of write."""

from __future__ import annotations

import json

import pytest

from tests.faults import small
from tests.faults.repairs import ROOM_PAGES as REPAIR_ROOM_PAGES
from tests.faults.writes import ROOM_PAGES, WRITES

pytestmark = pytest.mark.timeout(900)
MIB = 20


@pytest.mark.parametrize("how", ["full", "short"])
def test_every_kind_of_write_on_a_full_disk_is_whole_or_nothing_and_goes_on_with_room(
    tmp_path, how
):
    """Also with a file system of a few megabytes, if this machine lets us have one."""
    if how == "full" and small.way() is None:
        pytest.skip(small.WITHOUT + "; files that may not grow are tested all the same")
    folder = tmp_path / "disk"
    folder.mkdir()
    mounts = f"mount -t tmpfs -o size={MIB}m tmpfs '{folder}'" if how == "full" else ""
    done = small.python("tests.faults.writes", folder, how, mounts=mounts)
    print(done.stdout)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-5000:]
    outcomes: dict[str, dict[int, str]] = {}
    for line in done.stdout.splitlines():
        write, pages, outcome = json.loads(line)
        outcomes.setdefault(write, {})[pages] = outcome
    assert outcomes.keys() == WRITES.keys()
    for write, by_pages in outcomes.items():
        failed = set(by_pages.values()) - {"done"}
        assert failed <= {"storage-full", "storage", "ENOSPC", "EFBIG"}, write
        assert failed or write in ("close and open", "empty the trash"), (
            f"{write}: never without room"
        )
        assert by_pages[max(by_pages)] == "done", write
    assert max(ROOM_PAGES) * 4096 < MIB << 20


@pytest.mark.skipif(small.way() is None, reason=small.WITHOUT)
def test_a_repair_on_a_full_disk_is_whole_or_leaves_the_damaged_file_where_it_is(tmp_path):
    """Also where there is room for the log of the new file, and not for the file."""
    mounts = f"mount -t tmpfs -o size={MIB}m tmpfs '{tmp_path}'"
    done = small.python("tests.faults.repairs", tmp_path, mounts=mounts)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-5000:]
    outcomes = dict(json.loads(line) for line in done.stdout.splitlines())
    assert outcomes.keys() == {*REPAIR_ROOM_PAGES}
    assert {*outcomes.values()} <= {"done", "storage-full", "storage"}
    assert outcomes[min(outcomes)] != "done"
    assert outcomes[max(outcomes)] == "done"
