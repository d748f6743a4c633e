"""`msgsync doctor` by its print: each fault is real, and what is printed names it and says what to do."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import msgsync
from msgsync import Reason
from msgsync.testing import SimulatedSystem
from tests.faults import small
from tests.integration import commandline
from tests.integration.bucket import Bucket, Fault, bucket_behind
from tests.integration.commandline import Ended

DAY_MS = 86_400_000
LINE_BREAK = "what to do: "


class Printed:
    """What doctor printed, and how it ended."""

    def __init__(self, ended: Ended) -> None:
        assert ended.err == "", ended.err
        self.out, self.code = ended.out, ended.code

    def ill(self, check: str) -> str:
        """The one line about something ill that has this check in front, with what to do about it."""
        lines = self.out.splitlines()
        [at] = [at for at, line in enumerate(lines) if line.split(maxsplit=1)[:1] == ["ILL"]]
        assert lines[at].split(maxsplit=1)[1].startswith(check), self.out
        assert LINE_BREAK in lines[at + 1], self.out
        return f"{lines[at]} {lines[at + 1].strip()}"


def doctor(*arguments: str, **environment: str) -> Printed:
    command = ["doctor", *arguments]
    return Printed(commandline.run(command, environment={**os.environ, **environment}))


@pytest.fixture
def phone(tmp_path: Path) -> str:
    """A replica of a device with a message, and nobody has it open."""
    path = tmp_path / "phone.db"
    with msgsync.open(path, author="ann") as replica:
        replica.create_conversation("Family", id="family").send("Dinner at eight?")
        phrase = (replica.recovery_phrase() or "").split()
        replica.confirm_recovery({at: phrase[at - 1] for at in replica.recovery_places()})
    return str(path)


@pytest.fixture
def tablet(tmp_path: Path, phone: str) -> str:
    path = tmp_path / "tablet.db"
    with msgsync.open(phone) as replica, replica.new_device(path) as other:
        msgsync.sync(replica, other)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "box"
    made.mkdir()
    return made


@pytest.fixture
def bucket(server: str, request: pytest.FixtureRequest) -> Iterator[Bucket]:
    name = "b" + "".join(filter(str.isalnum, request.node.name.lower()))[-40:]
    with bucket_behind(server, name) as found:
        yield found


def keys(bucket: Bucket) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL": bucket.endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "nobody-is-told-this",
    }


def address(bucket: Bucket) -> str:
    return f"s3://{bucket.name}/messages"


# All is well.


def test_where_all_is_well_it_says_so_and_ends_with_0(phone, tablet, folder):
    found = doctor(folder.as_uri(), "--replica", phone)
    assert found.code == 0, found.out
    assert found.out.endswith("All is well.\n")
    for check in ("file", "room", "keys", "account", "switch", "clock", "version", "device"):
        assert f"\nwell  {check} " in "\n" + found.out
    for check in ("reach", "account", "round trip", "clock", "sync"):
        assert f"\nwell  {check:<10}  {folder.as_uri()}: " in found.out
    again = doctor("--replica", phone)
    assert folder.as_uri() in again.out, "places that are known are looked at by themselves"
    assert not (folder / "probe").exists()


def test_a_bucket_that_is_well(phone, bucket):
    found = doctor(address(bucket), "--replica", phone, **keys(bucket))
    assert found.code == 0, found.out
    assert "the storage's clock agrees with this device's" in found.out


def test_in_json_a_line_each(phone, folder):
    found = doctor(folder.as_uri(), "--replica", phone, "--json")
    assert found.code == 0
    lines = [json.loads(line) for line in found.out.splitlines()]
    assert {one["verdict"] for one in lines} == {"well"}
    assert [one["check"] for one in lines if one["place"]] == [
        *("reach", "account", "round trip", "clock", "sync")
    ]


# The network and the storage.


def test_a_host_that_does_not_answer(phone, bucket):
    environment = keys(bucket) | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    found = doctor(address(bucket), "--replica", phone, **environment)
    assert "is the network there" in found.ill("reach")
    assert found.code == 3


def test_a_bucket_that_is_not_there(phone, bucket):
    found = doctor(f"s3://{bucket.name}-typo/messages", "--replica", phone, **keys(bucket))
    assert "there is no such bucket" in found.ill("reach")
    assert found.code == 3


def test_credentials_that_are_wrong(phone, bucket):
    bucket.always = Fault(status=403, code="InvalidAccessKeyId")
    found = doctor(address(bucket), "--replica", phone, **keys(bucket))
    assert "refuses these credentials" in found.ill("reach")
    assert Reason.CREDENTIALS.remedy in found.ill("reach")
    assert "nobody-is-told-this" not in found.out
    assert found.code == 3


def test_a_clock_that_the_storage_does_not_take(phone, bucket):
    bucket.always = Fault(status=403, code="RequestTimeTooSkewed")
    found = doctor(address(bucket), "--replica", phone, **keys(bucket))
    assert "clock" in found.ill("reach")
    assert Reason.CLOCK.remedy in found.ill("reach")
    assert found.code == 3


def test_a_quota_that_is_used_up(phone, bucket):
    bucket.always = Fault(status=507, code="QuotaExceeded", method="PUT")
    found = doctor(address(bucket), "--replica", phone, **keys(bucket))
    assert "raise its quota" in found.ill("round trip")
    assert found.code == 3


def test_a_folder_that_is_not_mounted(phone, folder):
    folder.rmdir()
    found = doctor(folder.as_uri(), "--replica", phone)
    assert "plug in or mount" in found.ill("reach")
    assert found.code == 3


@pytest.mark.skipif(small.way() is None, reason=small.WITHOUT)
def test_a_folder_that_is_mounted_read_only(phone, folder):
    mounts = f"mount -t tmpfs -o size=1m tmpfs {folder}\nmount -o remount,ro {folder}"
    done = small.python("msgsync.cli", "doctor", folder.as_uri(), "--replica", phone, mounts=mounts)
    found = Printed(Ended(done.returncode, done.stdout, done.stderr))
    assert "read-only" in found.ill("round trip")
    assert Reason.PLACE_READ_ONLY.remedy in found.ill("round trip")
    assert found.code == 3


@pytest.mark.skipif(small.way() is None, reason=small.WITHOUT)
def test_a_storage_that_is_full(phone, folder):
    mounts = f"mount -t tmpfs -o size=64k tmpfs {folder}"
    done = small.python("msgsync.cli", "doctor", folder.as_uri(), "--replica", phone, mounts=mounts)
    found = Printed(Ended(done.returncode, done.stdout, done.stderr))
    assert "no room" in found.ill("round trip")
    assert Reason.PLACE_FULL.remedy in found.ill("round trip")
    assert found.code == 3


@pytest.mark.skipif(small.way() is None, reason=small.WITHOUT)
def test_a_disk_here_that_is_nearly_full(phone, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    mounts = f"mount -t tmpfs -o size=4m tmpfs {disk}\ncp {phone} {disk}/phone.db"
    done = small.python("msgsync.cli", "doctor", "--replica", disk / "phone.db", mounts=mounts)
    found = Printed(Ended(done.returncode, done.stdout, done.stderr))
    assert "bytes are free on the disk" in found.ill("room")
    assert found.code == 3


# What lies there.


def test_a_damaged_object_of_another_device(phone, tablet, folder):
    with msgsync.open(tablet, author="ann") as replica:
        replica.conversation("family").send("from the tablet")
        msgsync.sync(replica, folder.as_uri())
    [damaged] = (folder / "log").glob("*/*")
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\0")
    found = doctor(folder.as_uri(), "--replica", phone)
    assert f"log/{damaged.parent.name}/{damaged.name}" in found.ill("sync")
    assert Reason.DAMAGED_OBJECT.remedy in found.ill("sync")
    assert found.code == 3


def test_a_folder_with_another_accounts_objects_alone(phone, folder, tmp_path):
    with msgsync.open(tmp_path / "stranger.db", author="eve") as stranger:
        stranger.create_conversation("Theirs").send("Hello")
        msgsync.sync(stranger, folder.as_uri())
    before = sorted(folder.rglob("*"))
    found = doctor(folder.as_uri(), "--replica", phone)
    assert "another account" in found.ill("account")
    assert found.code == 5
    assert sorted(folder.rglob("*")) == before, "nothing is put there"


def test_a_bundle_that_is_damaged(phone, tmp_path):
    bundle = tmp_path / "messages.bundle"
    address = "bundle" + bundle.as_uri().removeprefix("file")
    with msgsync.open(phone) as replica:
        msgsync.sync(replica, address)
    raw = bytearray(bundle.read_bytes())
    raw[20] ^= 1
    bundle.write_bytes(raw)
    found = doctor(address, "--replica", phone)
    assert "is damaged from byte" in found.ill("reach")
    assert found.code == 3


def test_a_folder_that_was_emptied_is_a_note_and_is_filled_anew(phone, folder):
    with msgsync.open(phone) as replica:
        msgsync.sync(replica, folder.as_uri())
    for one in folder.rglob("log/*/*"):
        one.unlink()
    found = doctor(folder.as_uri(), "--replica", phone)
    assert "nothing lies there any more of what was put" in found.out
    assert found.code == 0, found.out
    assert len([*folder.rglob("log/*/*")]) == 1


# The device and the account.


def test_a_device_that_was_revoked(phone, tablet, folder):
    with msgsync.open(phone) as replica, msgsync.open(tablet) as other:
        replica.revoke(other.device)
        with pytest.raises(msgsync.DeviceRevoked):
            msgsync.sync(other, replica)
    found = doctor(folder.as_uri(), "--replica", tablet)
    assert "this device was revoked" in found.ill("account")
    assert found.code == 5
    assert [*folder.iterdir()] == [], "nothing leaves it"


def test_a_device_that_is_switched_off(phone, folder):
    with msgsync.open(phone) as replica:
        replica.sync.disable()
    found = doctor(folder.as_uri(), "--replica", phone)
    assert "sync is switched off on this device since" in found.ill("switch")
    assert "msgsync on" in found.ill("switch")
    assert found.code == 2
    assert [*folder.iterdir()] == [], "nothing leaves it"


def test_a_clock_that_is_behind_what_others_have_dated(tmp_path):
    ahead = SimulatedSystem(1, now_ms=time.time_ns() // 1_000_000 + 3 * DAY_MS)
    with msgsync.open(tmp_path / "ahead.db", system=ahead):
        pass
    found = doctor("--replica", str(tmp_path / "ahead.db"))
    assert "has dated something" in found.ill("clock")
    assert Reason.CLOCK.remedy in found.ill("clock")
    assert found.code == 3


def test_another_device_of_another_account_at_an_address(phone, tmp_path):
    with (
        msgsync.open(tmp_path / "stranger.db") as stranger,
        msgsync.Server(stranger, on_event=lambda _: None) as serving,
    ):
        found = doctor(serving.address, "--replica", phone)
    assert "account" in found.ill("sync")
    assert found.code == 5


def test_nobody_at_an_address(phone):
    found = doctor("tcp://127.0.0.1:1", "--replica", phone)
    assert "nobody answers at tcp://127.0.0.1:1" in found.ill("sync")
    assert found.code == 4


def test_a_file_that_is_damaged(phone):
    with Path(phone).open("r+b") as file:
        file.seek(4096)
        file.write(bytes(4096 * 8))
    found = doctor("--replica", phone)
    assert "repair" in found.ill("file")
    assert found.code == 3


def test_keys_under_a_passphrase_that_is_not_given(phone):
    with msgsync.open(phone) as replica:
        replica.set_passphrase("open sesame")
    found = doctor("--replica", phone)
    assert Reason.KEYS_LOCKED.remedy in found.ill("file")
    assert found.code == 5


def test_a_replica_that_is_in_use_is_looked_at_all_the_same(phone, folder):
    with msgsync.open(phone):
        found = doctor(folder.as_uri(), "--replica", phone)
    assert "the replica is open for reading" in found.out
    assert found.code == 0, found.out


def test_an_address_that_is_none_is_the_requests_fault(phone):
    command = ["doctor", "nonsense", "--replica", phone]
    ended = commandline.run(command, environment=os.environ)
    assert (ended.code, ended.out) == (2, "")
    assert "nonsense" in ended.err


def test_readers_pass_over_a_probe_that_was_left(phone, tablet, folder):
    (folder / "probe").mkdir()
    (folder / "probe" / "0123456789abcdef0123456789abcdef").write_bytes(b"left behind")
    for path in (phone, tablet):
        with msgsync.open(path) as replica:
            report = msgsync.sync(replica, folder.as_uri())
            assert (report.complete, report.refused) == (True, ())
