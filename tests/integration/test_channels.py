"""Who gets a session over real sockets, and what can be read on the way."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import anyio
import pytest

import msgsync
from msgsync import DeviceRevoked, NotAMember, Replica, aio
from msgsync.account.epochs import remnant_of
from msgsync.account.keys import SECRET_BYTES, SecretKeys
from msgsync.protocol.frames import Frame, Hello, Refuse, Start, Stranger
from msgsync.protocol.greeting import curt, hello
from msgsync.protocol.wire import FrameReader, decode_frame, encode_frame
from msgsync.replica.exchange import Exchange
from msgsync.testing import SimulatedSystem
from msgsync.transport.channel import Trust, secure
from tests.integration.wire import channel_to, recorded

pytestmark = pytest.mark.anyio

SECRET = "The door opens with 4711."
YEARS_MS = 10 * 365 * 86_400_000


@pytest.fixture
def phone(phone: Replica) -> Replica:
    phone.create_conversation("Family", id="family").send(SECRET)
    return phone


@asynccontextmanager
async def serving(replica: Replica) -> AsyncIterator[str]:
    address: list[str] = []
    ready = anyio.Event()

    def listening(taken: str) -> None:
        address.append(taken)
        ready.set()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(
            partial(aio.serve, replica, on_listening=listening, on_event=lambda _event: None)
        )
        await ready.wait()
        yield address[0]
        tasks.cancel_scope.cancel()


async def test_nothing_of_the_account_can_be_read_on_the_way(phone, tablet):
    async with serving(phone) as address, recorded(address) as (relay, seen):
        assert (await aio.sync(tablet, relay)).messages_received == 1
    assert len(seen) > 2000
    ids = [phone.account, phone.device, tablet.device]
    forms = [form for one in ids for form in (one.raw, str(one).encode())]
    keys = [one.membership.keys.public.signing for one in (phone, tablet)]
    for word in (SECRET.encode(), b"door opens", b"family", b"Family", b"ann", *forms, *keys):
        assert word not in seen


@pytest.mark.parametrize("off_ms", [-YEARS_MS, YEARS_MS])
async def test_a_clock_that_is_ten_years_off_keeps_nobody_out(phone, tmp_path, off_ms):
    clock = SimulatedSystem("tablet", now_ms=phone.system.now_ms() + off_ms)
    with phone.new_device(tmp_path / "tablet.db", system=clock) as tablet:
        for server, client in ((phone, tablet), (tablet, phone)):
            async with serving(server) as address:
                assert (await aio.sync(client, address)).complete
        assert tablet.digest == phone.digest


async def test_devices_that_never_heard_of_each_other_sync_by_the_epoch(phone, tablet, tmp_path):
    """The phone added both, and no one told the tablet of the laptop, nor anybody of what came of a backup."""
    phone.backup(tmp_path / "phone.backup")
    with (
        phone.new_device(tmp_path / "laptop.db") as laptop,
        msgsync.restore(tmp_path / "phone.backup", tmp_path / "new.db", as_new_device=True) as new,
    ):
        assert laptop.device not in tablet.membership.roster().state.members
        for server, client in ((tablet, laptop), (laptop, tablet), (tablet, new), (new, phone)):
            async with serving(server) as address:
                assert (await aio.sync(client, address)).complete
        assert tablet.digest == new.digest == phone.digest


async def test_who_slept_through_a_change_of_epoch_takes_a_device_that_was_added_meanwhile(
    phone, tablet, tmp_path
):
    with phone.new_device(tmp_path / "laptop.db") as laptop:
        phone.revoke(laptop.device, even_without_recovery=True)
    with phone.new_device(tmp_path / "desktop.db") as desktop:
        async with serving(tablet) as address:
            assert (await aio.sync(desktop, address)).complete
        assert desktop.membership.digest() == tablet.membership.digest()
        assert desktop.digest == tablet.digest


@pytest.mark.parametrize("serves", [True, False], ids=["it serves", "it connects"])
async def test_who_comes_of_a_backup_from_before_an_epoch_was_forgotten_is_taken_in(
    phone, tablet, tmp_path, serves
):
    """By one that was added since, and was told no more of that epoch than that there was one."""
    await aio.sync(phone, tablet)
    phone.backup(tmp_path / "old.backup")
    phone.rotate()
    for _ in range(2):
        await aio.sync(phone, tablet)
    assert len(phone.membership.keyring()) == 1
    with (
        phone.new_device(tmp_path / "desktop.db") as desktop,
        msgsync.restore(tmp_path / "old.backup", tmp_path / "new.db", as_new_device=True) as new,
    ):
        assert not {*new.membership.keyring()} & {*desktop.membership.keyring()}
        server, client = (new, desktop) if serves else (desktop, new)
        async with serving(server) as address:
            assert (await aio.sync(client, address)).complete
        assert new.digest == desktop.digest
        assert new.membership.roster() == desktop.membership.roster()


@pytest.mark.parametrize("by_phrase", [True, False], ids=["by the phrase", "by the device"])
@pytest.mark.parametrize("serves", [True, False], ids=["it serves", "it connects"])
@pytest.mark.parametrize("later", [True, False], ids=["who came later", "who it knows"])
async def test_who_comes_of_a_backup_from_before_a_revocation_is_taken_in(
    phone, tablet, tmp_path, by_phrase, serves, later
):
    """Neither the one that it knows has heard of it, nor has it heard of one that was added after the revocation."""
    words = phone.recovery_phrase() if by_phrase else None
    with phone.new_device(tmp_path / "lost.db") as lost:
        await aio.sync(phone, tablet)
        phone.backup(tmp_path / "old.backup")
        phone.revoke(lost.device, even_without_recovery=True)
        phone.conversation("family").send("The laptop is gone!")
        await aio.sync(phone, tablet)
    backup, path = tmp_path / "old.backup", tmp_path / "new.db"
    with (
        tablet.new_device(tmp_path / "watch.db") as watch,
        msgsync.recover(path, words, backup=backup)
        if words
        else msgsync.restore(backup, path, as_new_device=True) as new,
    ):
        await aio.sync(watch, tablet)
        other = watch if later else tablet
        server, client = (new, other) if serves else (other, new)
        async with serving(server) as address:
            assert (await aio.sync(client, address)).complete
        assert new.digest == other.digest
        assert len(new.conversation("family").messages()) == 2
        assert new.membership.digest() == other.membership.digest()
        assert lost.device in new.membership.roster().state.revoked


@pytest.mark.parametrize("serves", [True, False], ids=["it serves", "it connects"])
async def test_who_was_revoked_by_a_device_it_never_heard_of_is_told_so(
    phone, tablet, tmp_path, serves
):
    with phone.new_device(tmp_path / "laptop.db") as laptop:
        laptop.revoke(tablet.device, even_without_recovery=True)
        server, client = (tablet, laptop) if serves else (laptop, tablet)
        async with serving(server) as address:
            with pytest.raises(NotAMember if serves else DeviceRevoked):
                await aio.sync(client, address)
        assert tablet.revoked
        assert tablet.devices()[0].revoked_by == (laptop.device,)


async def test_a_key_that_nobody_added_is_told_nothing_under_an_old_epoch_but_that_it_is_none(
    phone, tablet
):
    """A revoked device has old epochs, and can draw a key that no roster names."""
    phone.revoke(tablet.device, even_without_recovery=True)
    phone.conversation("family").send("after")
    drawn = SecretKeys(bytes(range(SECRET_BYTES)))
    known = [one.device for one in tablet.membership.roster().state.members.values()]
    seeds = [remnant_of(one, tablet.account) for one in tablet.membership.keyring().export()]
    trust = Trust(drawn, known, bytes(32), seeds=seeds)
    async with serving(phone) as address:
        host, port = address.removeprefix("tcp://").rsplit(":", 1)
        stream = await anyio.connect_tcp(host, int(port))
        async with await secure(stream, trust, server=False, within_s=20) as channel:
            reader = FrameReader()
            frames: list[Frame] = []
            facts = replace(Exchange(tablet).facts(), device=drawn.device_id.raw)
            ours = hello(facts, (1, 1), bytes(32), live=True)
            await channel.send(encode_frame(ours))
            await channel.send(encode_frame(Stranger(*Exchange(tablet).keys.epochs())))
            with anyio.fail_after(20):
                while not any(isinstance(one, Refuse) for one in frames):
                    heard = reader.feed(await channel.receive())
                    frames += [decode_frame(one) for one in heard]
                    if any(isinstance(one, Stranger) for one in frames):
                        await channel.send(encode_frame(Start(b"")))
    assert [type(one) for one in frames] == [Hello, Stranger, Refuse]
    assert isinstance(frames[0], Hello)
    assert frames[0] == curt(frames[0])
    assert drawn.device_id not in {one.id for one in phone.devices()}


async def test_a_device_made_by_the_phrase_meets_one_that_is_left(phone, tablet, tmp_path):
    words = phone.recovery_phrase()
    assert words is not None
    phone.backup(tmp_path / "phone.backup")
    with msgsync.recover(tmp_path / "new.db", words, backup=tmp_path / "phone.backup") as new:
        async with serving(tablet) as address:
            assert (await aio.sync(new, address)).complete
        assert new.device in {one.id for one in tablet.devices()}
        assert new.digest == tablet.digest


async def test_a_revoked_device_hears_not_even_how_much_there_is(phone, tablet):
    phone.revoke(tablet.device, even_without_recovery=True)
    phone.conversation("family").send("after")
    async with serving(phone) as address, await channel_to(address, tablet) as channel:
        reader = FrameReader()
        frames: list[bytes] = []
        with anyio.fail_after(20):
            while not frames:
                frames += reader.feed(await channel.receive())
        hello = decode_frame(frames[0])
        assert isinstance(hello, Hello)
        assert (hello.documents, hello.messages, hello.root) == (0, 0, bytes(16))


# ------------------------------------------------------------------------------- real processes

SERVE = """
import msgsync, sys
say = lambda event: print(type(getattr(event, "error", event)).__name__, flush=True)
with msgsync.open(sys.argv[1]) as replica:
    msgsync.serve(replica, on_listening=lambda address: print(address, flush=True), on_event=say)
"""
SYNC = """
import msgsync, sys
with msgsync.open(sys.argv[1]) as replica:
    try:
        msgsync.sync(replica, sys.argv[2])
    except msgsync.MsgSyncError as error:
        print(type(error).__name__, error)
    print(replica.status().messages)
"""


@contextmanager
def server_of(path: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    command = [sys.executable, "-c", SERVE, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip(), process
        finally:
            process.kill()


def synced(path: Path, address: str) -> list[str]:
    command = [sys.executable, "-c", SYNC, str(path), address]
    return subprocess.run(
        command, stdout=subprocess.PIPE, text=True, timeout=50, check=True
    ).stdout.splitlines()


def test_strangers_are_refused_both_ways_and_the_device_of_the_account_is_served(tmp_path):
    phone, tablet, stranger = (tmp_path / f"{name}.db" for name in ("phone", "tablet", "stranger"))
    with msgsync.open(phone, author="ann") as replica:
        replica.create_conversation("Family").send(SECRET)
        replica.new_device(tablet).close()
    msgsync.open(stranger).close()
    with server_of(phone) as (address, process):
        refusal, messages = synced(stranger, address)
        assert refusal.startswith("AccountMismatch the other device is of another account")
        assert messages == "0"
        assert process.stdout is not None
        assert process.stdout.readline().strip() == "AccountMismatch"
        assert synced(tablet, address) == ["1"]
    with server_of(stranger) as (address, _):
        refusal, messages = synced(tablet, address)
        assert refusal.startswith("AccountMismatch")
        assert messages == "1"
    with msgsync.open(stranger, readonly=True) as replica:
        assert replica.status().messages == 0
