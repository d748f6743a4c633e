"""Pairing over real sockets, and with real processes: by a code and a person's approval."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from anyio.abc import SocketStream

import msgsync
from msgsync import (
    InvitationOver,
    Invited,
    JoinRequest,
    MsgSyncError,
    Replica,
    WrongCode,
    WrongGuess,
    aio,
)
from msgsync.account.code import Code
from tests.integration.wire import between, port_of, recorded

PATIENCE_S = 50
TYPED_WRONG = "0000-0000-0000"


@pytest.fixture
def phone(phone: Replica) -> Replica:
    phone.create_conversation("Family").send("The door opens with 4711.")
    return phone


class Invitation:
    """One that runs in the background: what was shown, what happened, how it ended."""

    def __init__(self) -> None:
        self.shown: Invited | None = None
        self.ready = anyio.Event()
        self.ended = anyio.Event()
        self.requests: list[JoinRequest] = []
        self.events: list[object] = []
        self.result: object = None

    def show(self, invited: Invited) -> None:
        self.shown = invited
        self.ready.set()

    @property
    def code(self) -> str:
        assert self.shown is not None
        return self.shown.code

    @property
    def address(self) -> str:
        assert self.shown is not None
        return self.shown.address


@asynccontextmanager
async def inviting(
    phone: Replica,
    approve: Callable[[JoinRequest], bool] = lambda _request: True,
    *,
    scanned: bool = True,
) -> AsyncIterator[Invitation]:
    one = Invitation()

    def ask(request: JoinRequest) -> bool:
        one.requests.append(request)
        return approve(request)

    async def invite() -> None:
        try:
            one.result = await aio.invite(
                phone,
                on_code=one.show,
                on_request=ask,
                on_event=one.events.append,
                scanned=scanned,
            )
        except MsgSyncError as error:
            one.result = error
        one.ended.set()

    with anyio.fail_after(PATIENCE_S):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(invite)
            await one.ready.wait()
            yield one
            tasks.cancel_scope.cancel()


@pytest.mark.anyio
async def test_a_device_joins_over_tcp_and_fills_in_a_channel(phone, tmp_path):
    async with inviting(phone) as invitation:
        path = tmp_path / "tablet.db"
        tablet = await aio.join(path, invitation.code, invitation.address, author="ann")
        await invitation.ended.wait()
        assert invitation.result == tablet.device
        with pytest.raises(msgsync.ConnectionLost):  # it was for one, and is gone
            await aio.join(tmp_path / "other.db", invitation.code, invitation.address)
    with tablet:
        ready = anyio.Event()
        addresses: list[str] = []

        def listening(address: str) -> None:
            addresses.append(address)
            ready.set()

        async def serve() -> None:
            await aio.serve(phone, on_listening=listening)

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(serve)
            await ready.wait()
            assert (await aio.sync(tablet, addresses[0])).messages_received == 1
            tasks.cancel_scope.cancel()
        assert tablet.digest == phone.digest


@pytest.mark.anyio
async def test_three_wrong_guesses_end_it_and_both_sides_hear_of_each(phone, tmp_path):
    path = tmp_path / "guess.db"
    async with inviting(phone) as invitation:
        for left in (2, 1, 0):
            guess = Code.to_scan(bytes(15) + bytes([left])).text()
            with pytest.raises(WrongCode):
                await aio.join(path, guess, invitation.address)
            assert WrongGuess(left) in invitation.events
        await invitation.ended.wait()
        assert isinstance(invitation.result, InvitationOver)
        assert not invitation.requests
    assert len(phone.membership.roster().state.members) == 1
    assert list(tmp_path.glob("guess*")) == []


@pytest.mark.anyio
@pytest.mark.parametrize("approved", [True, False])
async def test_three_wrong_guesses_do_not_end_it_for_the_device_that_waits_for_its_person(
    phone, tmp_path, approved
):
    guessed = threading.Event()

    def decide(_request: JoinRequest) -> bool:
        assert guessed.wait(PATIENCE_S)
        return bool(approved)

    async with inviting(phone, decide) as invitation, anyio.create_task_group() as tasks:
        joined: list[object] = []

        async def join() -> None:
            path = tmp_path / "tablet.db"
            try:
                with await aio.join(path, invitation.code, invitation.address) as tablet:
                    joined.append(tablet.device)
            except msgsync.JoiningDenied as error:
                joined.append(error)

        tasks.start_soon(join)
        while not invitation.requests:
            await anyio.lowlevel.checkpoint()
        for number in range(3):
            guess = Code.to_scan(bytes(15) + bytes([number])).text()
            with pytest.raises(WrongCode):
                await aio.join(tmp_path / "guess.db", guess, invitation.address)
        with pytest.raises(InvitationOver):
            await aio.join(tmp_path / "late.db", invitation.code, invitation.address)
        assert not invitation.ended.is_set()
        guessed.set()
        await invitation.ended.wait()
    if approved:
        assert joined == [invitation.result]
    else:
        assert isinstance(invitation.result, msgsync.JoiningDenied)


@pytest.mark.anyio
async def test_nothing_of_the_account_or_the_device_can_be_read_while_they_pair(phone, tmp_path):
    async with inviting(phone) as invitation, recorded(invitation.address) as (relay, seen):
        tablet = await aio.join(tmp_path / "t.db", invitation.code, relay, name="Ann's tablet")
        await invitation.ended.wait()
    with tablet:
        ids = [phone.account, phone.device, tablet.device]
        forms = [form for one in ids for form in (one.raw, str(one).encode())]
        keys = [one.membership.keys for one in (phone, tablet)]
        secrets = [*phone.membership.credentials().epochs, *(one.export() for one in keys)]
        public = [form for one in keys for form in (one.public.signing, one.public.hpke)]
        assert len(seen) > 5000
        for word in (b"Ann's tablet", b"linux", *forms, *secrets, *public):
            assert word not in seen


@pytest.mark.anyio
@pytest.mark.parametrize("way", ["there", "back"])
async def test_somebody_between_who_changes_keys_pairs_nobody(phone, tmp_path, way):
    """Without the code all that can be done to a frame is to break it, whichever it is."""
    frames = 0

    async def meddle(client: SocketStream, server: SocketStream, at: int) -> None:
        async def forward(source: SocketStream, target: SocketStream, bend: bool) -> None:
            nonlocal frames
            count = 0
            async for data in source:
                if bend and count == at:
                    data = data[:-20] + bytes(20)  # noqa: PLW2901
                count += 1
                await target.send(data)
            frames = max(frames, count)
            await target.send_eof()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(forward, client, server, way == "there")
            tasks.start_soon(forward, server, client, way == "back")

    for at in range(3):
        async with inviting(phone) as invitation:

            async def answer(client: SocketStream, server: SocketStream, at: int = at) -> None:
                await meddle(client, server, at)

            async with between(invitation.address, answer) as relay:
                path = tmp_path / f"{way}-{at}.db"
                with pytest.raises(MsgSyncError):
                    await aio.join(path, invitation.code, relay)
                assert not path.exists()
    assert frames > 0


@pytest.mark.anyio
async def test_somebody_between_who_knows_the_code_is_seen_by_the_emoji(phone, tmp_path):
    """It invites the tablet itself, by the same code, and joins in its place: the persons compare what is shown."""
    shown: list[str] = []
    async with inviting(phone, lambda _request: False, scanned=False) as invitation:
        code = Code.parse(invitation.code)

        class Known(type(phone.system)):  # type: ignore[misc]
            """Draws that very code."""

            def random_bytes(self, count: int) -> bytes:
                if count == 8:
                    return (code._bits << 4).to_bytes(8, "big")
                return bytes(super().random_bytes(count))

        with msgsync.open(tmp_path / "eve.db", system=Known()) as eve:
            async with inviting(eve, lambda _request: False, scanned=False) as between_them:
                assert between_them.code == invitation.code
                for path, address, show in (
                    (tmp_path / "tablet.db", between_them.address, shown.append),
                    (tmp_path / "as-tablet.db", invitation.address, lambda _emoji: None),
                ):
                    with pytest.raises(msgsync.JoiningDenied):
                        await aio.join(path, invitation.code, address, on_emoji=show)
                await between_them.ended.wait()
        await invitation.ended.wait()
        assert [one.emoji for one in invitation.requests] != shown


@pytest.mark.anyio
async def test_who_only_holds_connections_keeps_nobody_out(phone, tmp_path):
    async with inviting(phone) as invitation, anyio.create_task_group() as tasks:
        for _ in range(10):
            idle = await anyio.connect_tcp("127.0.0.1", port_of(invitation.address))
            await idle.send(b"\0\0")
            tasks.start_soon(held, idle)
        (await aio.join(tmp_path / "tablet.db", invitation.code, invitation.address)).close()
        await invitation.ended.wait()
        assert not isinstance(invitation.result, MsgSyncError)
        tasks.cancel_scope.cancel()


async def held(stream: SocketStream) -> None:
    async with stream:
        await anyio.sleep_forever()


# ---------------------------------------------------------------------------------- real processes


class Process:
    """A command of msgsync, running, whose output is JSON."""

    def __init__(self, *arguments: str) -> None:
        self.popen = subprocess.Popen(
            [sys.executable, "-m", "msgsync.cli", *arguments, "--json"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            encoding="utf-8",
        )

    def hear(self, event: str) -> dict[str, Any]:
        assert self.popen.stdout is not None
        facts: dict[str, Any] = json.loads(self.popen.stdout.readline())
        assert facts.pop("event") == event, facts
        return facts

    def say(self, line: str) -> None:
        assert self.popen.stdin is not None
        self.popen.stdin.write(line + "\n")
        self.popen.stdin.flush()

    def end(self) -> tuple[int, str, str]:
        out, err = self.popen.communicate(timeout=PATIENCE_S)
        return self.popen.returncode, out, err


@contextmanager
def running(*arguments: str) -> Iterator[Process]:
    process = Process(*arguments)
    with process.popen:
        try:
            yield process
        finally:
            process.popen.kill()


def invite(path: Path, *options: str) -> Any:
    return running("invite", "--replica", str(path), "--listen", "tcp://127.0.0.1:0", *options)


def join(path: Path, code: str, address: str) -> Any:
    name = path.stem
    return running("join", "--replica", str(path), code, "--via", address, "--name", name)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a phone in it that nobody has open."""
    with msgsync.open(tmp_path / "phone.db", author="ann") as replica:
        replica.create_conversation("Family").send("hello")
    return tmp_path


def members(path: Path) -> list[str]:
    with msgsync.open(path, readonly=True) as replica:
        found = replica.membership.roster().state.members.values()
        return sorted(one.name for one in found if one.device.id != replica.device)


def test_two_processes_pair_by_code_emoji_and_approval(home):
    with invite(home / "phone.db") as phone:
        shown = phone.hear("code")
        with join(home / "guess.db", TYPED_WRONG, shown["address"]) as wrong:
            code, _, error = wrong.end()
            assert (code, json.loads(error)["error"]) == (5, "wrong-code")
        assert phone.hear("wrong-guess") == {"tries_left": 2}
        assert phone.hear("stopped")["error"] == "wrong-code"
        with join(home / "tablet.db", shown["code"].lower(), shown["address"]) as tablet:
            emoji = tablet.hear("compare")["emoji"]
            request = phone.hear("request")
            assert (request["name"], request["emoji"]) == ("tablet", emoji)
            phone.say("yes")
            joined = tablet.hear("joined")
            assert tablet.end() == (0, "", "")
        assert phone.hear("joined") == {"device": joined["device"]}
        assert phone.end() == (0, "", "")
    assert members(home / "phone.db") == ["tablet"]
    with msgsync.open(home / "phone.db") as one, msgsync.open(home / "tablet.db") as other:
        msgsync.sync(other, one)
        assert one.digest == other.digest
    assert sorted(path.name for path in home.iterdir() if path.suffix != ".lock") == [
        "phone.db",
        "tablet.db",
    ]


@pytest.mark.parametrize("answer", ["no", "", "maybe"])
def test_without_approval_nothing_is_made(home, answer):
    with invite(home / "phone.db", "--qr") as phone:
        shown = phone.hear("code")
        with join(home / "tablet.db", shown["code"], shown["address"]) as tablet:
            assert phone.hear("request")["emoji"] == ""
            phone.say(answer)
            code, _, error = tablet.end()
            assert (code, json.loads(error)["error"]) == (5, "joining-denied")
        assert phone.hear("stopped")["error"] == "joining-denied"
        assert phone.end()[0] == 5
    assert members(home / "phone.db") == []
    assert not (home / "tablet.db").exists()


@pytest.mark.timeout(120)
def test_a_device_that_is_killed_while_it_waits_joins_with_the_same_code_again(home):
    with invite(home / "phone.db") as phone:
        shown = phone.hear("code")
        with join(home / "tablet.db", shown["code"], shown["address"]) as tablet:
            tablet.hear("compare")
            phone.hear("request")
            tablet.popen.kill()
            tablet.popen.wait()
        phone.say("yes")  # for one that is not there any more
        assert phone.hear("stopped")["error"] == "connection-lost"
        with join(home / "tablet.db", shown["code"], shown["address"]) as tablet:
            tablet.hear("compare")
            phone.hear("request")
            phone.say("yes")
            tablet.hear("joined")
            assert tablet.end()[0] == 0
        assert phone.hear("joined")
        assert phone.end()[0] == 0
    assert members(home / "phone.db") == ["tablet"]


@pytest.mark.timeout(120)
def test_two_processes_pair_through_a_folder_and_meet_nowhere_else(home):
    """One is killed on the way, and simply started again; a wrong code is seen by both."""
    (home / "box").mkdir()
    box = (home / "box").as_uri()
    with running("invite", "--replica", str(home / "phone.db"), "--via", box) as phone:
        shown = phone.hear("code")
        assert shown["address"] == box
        with join(home / "guess.db", TYPED_WRONG, box) as wrong:
            code, _, error = wrong.end()
            assert (code, json.loads(error)["error"]) == (5, "wrong-code")
        assert phone.hear("wrong-guess") == {"tries_left": 2}
        assert phone.hear("stopped")["error"] == "wrong-code"
        with join(home / "tablet.db", shown["code"], box) as tablet:
            tablet.hear("compare")
            phone.hear("request")
            tablet.popen.kill()
        phone.say("yes")  # for one that is not there any more
        with join(home / "tablet.db", shown["code"], box) as tablet:
            emoji = tablet.hear("compare")["emoji"]
            request = phone.hear("request")
            assert (request["name"], request["emoji"]) == ("tablet", emoji)
            phone.say("yes")
            joined = tablet.hear("joined")
            assert tablet.end() == (0, "", "")
        assert phone.hear("joined") == {"device": joined["device"]}
        assert phone.end() == (0, "", "")
    assert members(home / "phone.db") == ["tablet"]
    with msgsync.open(home / "phone.db") as one, msgsync.open(home / "tablet.db") as other:
        for replica in (one, other):
            assert msgsync.sync(replica, box).complete
        assert one.digest == other.digest
    assert not (home / "tablet.db.joining").exists()


def test_people_are_asked_in_words(home):
    command = [sys.executable, "-m", "msgsync.cli", "invite", "--replica", str(home / "phone.db")]
    with subprocess.Popen(
        [*command, "--qr", "--listen", "tcp://127.0.0.1:0"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as phone:
        try:
            assert phone.stdout is not None
            lines = iter(phone.stdout.readline, "")
            line = next(one for one in lines if "msgsync join" in one)
            words = line.split()
            with join(home / "tablet.db", words[4], words[6]) as tablet:
                out, err = phone.communicate("y\n", timeout=PATIENCE_S)
                tablet.hear("joined")
        finally:
            phone.kill()
    assert phone.returncode == 0
    assert "tablet (linux) wants to join" in err
    assert "Is it yours" in err
    assert "is in the account" in out
    assert members(home / "phone.db") == ["tablet"]
