"""Inviting and joining, over streams in memory: who becomes a device, who does not, and what is left behind."""

from __future__ import annotations

import stat
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

import msgsync
from msgsync import (
    ConnectionLost,
    DeviceRevoked,
    FileExists,
    InvalidValue,
    InvitationOver,
    Invited,
    JoiningDenied,
    JoinRequest,
    MsgSyncError,
    NotAMember,
    PassphraseNeeded,
    ProtocolError,
    Replica,
    Stopped,
    StorageError,
    UsageError,
    VersionMismatch,
    WrongCode,
    WrongGuess,
    aio,
    limits,
)
from msgsync.account import vault
from msgsync.account.code import Code
from msgsync.account.handshake import EMOJI
from msgsync.replica.membership import share_rosters
from tests.unit.account.accounts import CHEAP
from tests.unit.machine import Machine
from tests.unit.transport.pipes import End, flipped, pipe

pytestmark = pytest.mark.anyio
USUAL = aio.Timing()
QUICK = aio.Timing(greeting_s=0.2, silence_s=0.5, keep_alive_s=0.1)


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Replica]:
    with msgsync.open(tmp_path / "phone.db", author="ann", durability="relaxed") as replica:
        replica.create_conversation("Family").send("hello")
        yield replica


class Scene:
    """One invitation and one attempt to join, connected; what either side saw."""

    def __init__(
        self,
        phone: Replica,
        path: Path,
        *,
        approve: Callable[[JoinRequest], bool] = lambda _request: True,
        scanned: bool = True,
        timing: aio.Timing = USUAL,
    ) -> None:
        self.phone, self.path, self.approve, self.scanned = phone, path, approve, scanned
        self.timing = timing
        self.host_end, self.joiner_end = pipe()
        self.requests: list[JoinRequest] = []
        self.events: list[object] = []
        self.emoji: list[str] = []
        self.invited: object = None
        self.joined: object = None
        self.options: dict[str, Any] = {"name": "Tablet", "on_emoji": self.emoji.append}

    def asked(self, request: JoinRequest) -> bool:
        self.requests.append(request)
        return self.approve(request)

    async def run(self, code: Callable[[str], str] = lambda text: text) -> Scene:
        shown = anyio.Event()
        invitations: list[Invited] = []

        def show(one: Invited) -> None:
            invitations.append(one)
            shown.set()

        async def invite() -> None:
            try:
                self.invited = await aio.invite(
                    self.phone,
                    self.host_end,
                    on_code=show,
                    on_request=self.asked,
                    on_event=self.events.append,
                    scanned=self.scanned,
                    timing=self.timing,
                )
            except MsgSyncError as error:
                self.invited = error

        async def join() -> None:
            await shown.wait()
            try:
                replica = await aio.join(
                    self.path,
                    code(invitations[0].code),
                    self.joiner_end,
                    timing=self.timing,
                    **self.options,
                )
            except MsgSyncError as error:
                self.joined = error
                await self.joiner_end.aclose()
            else:
                self.joined = replica.device
                with replica:
                    assert replica.account == self.phone.account

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(invite)
            tasks.start_soon(join)
        return self


def members(replica: Replica) -> set[str]:
    return {one.name for one in replica.membership.roster().state.members.values()}


def kept(path: Path) -> Path:
    return path.with_name(f"{path.name}.joining")


async def test_a_device_joins_by_code_and_approval_and_fills_by_syncing(phone, tmp_path):
    path = tmp_path / "tablet.db"
    scene = await Scene(phone, path, scanned=False).run(str.lower)
    assert scene.joined == scene.invited
    [request] = scene.requests
    assert (request.device, request.name) == (scene.joined, "Tablet")
    assert scene.emoji == [request.emoji]
    assert len([one for one in EMOJI if one in request.emoji]) > 1
    assert not scene.events
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not kept(path).exists()
    assert not list(tmp_path.glob("*.part*"))
    with msgsync.open(path, author="ann") as tablet:
        assert tablet.check().ok
        assert tablet.membership.roster() == phone.membership.roster()
        assert "Tablet" in members(phone)
        await aio.sync(tablet, phone)
        assert tablet.digest == phone.digest


async def test_a_scanned_code_needs_no_emoji_and_can_be_shown_as_a_picture(phone, tmp_path):
    scene = await Scene(phone, tmp_path / "tablet.db").run()
    assert scene.joined == scene.invited
    assert scene.requests[0].emoji == ""
    assert scene.emoji == []
    invited = Invited("msgsync:1:" + "0" * 26, "tcp://127.0.0.1:1", 0)
    assert invited.qr_svg().startswith("<svg")
    assert invited.qr_text().count("\n") > 10
    assert "0000" not in repr(invited)


async def test_the_keys_of_a_new_device_are_under_a_passphrase_at_once(
    phone, tmp_path, monkeypatch
):
    monkeypatch.setattr(vault, "DEAR", CHEAP)
    path = tmp_path / "tablet.db"
    scene = Scene(phone, path)
    scene.options["passphrase"] = "correct horse"
    await scene.run()
    assert scene.joined == scene.invited
    with pytest.raises(PassphraseNeeded):
        msgsync.open(path)
    with msgsync.open(path, passphrase="correct horse") as tablet:
        keys = tablet.membership.credentials().keys
    for file in tmp_path.glob("tablet.db*"):
        assert keys[:32] not in file.read_bytes(), file
    again = Scene(phone, path)
    again.options["passphrase"] = "another"
    await again.run()
    assert isinstance(again.joined, FileExists)  # it is there, and nothing is overwritten


async def test_a_name_is_the_machines_if_none_is_given(phone, tmp_path):
    scene = Scene(phone, tmp_path / "tablet.db")
    del scene.options["name"]
    await scene.run()
    assert scene.joined == scene.invited
    assert scene.requests[0].name


async def test_the_code_alone_is_not_enough(phone, tmp_path):
    path = tmp_path / "tablet.db"
    scene = await Scene(phone, path, approve=lambda _request: False).run()
    assert isinstance(scene.joined, JoiningDenied)
    assert isinstance(scene.invited, JoiningDenied)
    assert len(members(phone)) == 1
    assert list(tmp_path.glob("tablet*")) == []


async def test_approval_alone_is_not_enough_and_both_sides_hear_of_a_wrong_guess(phone, tmp_path):
    other = Code.to_scan(bytes(16)).text()
    path = tmp_path / "tablet.db"
    scene = await Scene(phone, path).run(lambda _code: other)
    assert isinstance(scene.joined, WrongCode)
    guess, stopped = scene.events
    assert guess == WrongGuess(2)
    assert isinstance(stopped, Stopped)
    assert isinstance(stopped.error, WrongCode)
    assert not scene.requests
    assert len(members(phone)) == 1
    assert list(tmp_path.glob("tablet*")) == []


async def test_only_yes_is_yes(phone, tmp_path):
    scene = await Scene(phone, tmp_path / "tablet.db", approve=lambda _request: "no").run()  # type: ignore[arg-type,return-value]
    assert isinstance(scene.joined, JoiningDenied)


async def test_what_the_app_raises_denies_and_is_raised(phone, tmp_path):
    def fail(_request: JoinRequest) -> bool:
        raise ZeroDivisionError

    scene = Scene(phone, tmp_path / "tablet.db", approve=fail)
    with pytest.raises(BaseExceptionGroup) as caught:
        await scene.run()
    assert caught.group_contains(ZeroDivisionError)
    assert len(members(phone)) == 1


async def test_who_is_revoked_while_the_person_is_asked_is_revoked_for_the_new_device(
    phone, tmp_path
):
    with phone.new_device(tmp_path / "lost.db") as lost:

        def approve(_request: JoinRequest) -> bool:
            phone.revoke(lost.device, even_without_recovery=True)
            return True

        scene = await Scene(phone, tmp_path / "tablet.db", approve=approve).run()
        assert scene.joined == scene.invited
        with msgsync.open(tmp_path / "tablet.db") as tablet:
            assert tablet.membership.roster() == phone.membership.roster()
            assert tablet.membership.keyring() == phone.membership.keyring()
            tablet.create_conversation("later")
            with pytest.raises(NotAMember):
                await aio.sync(tablet, lost)
            assert lost.conversations() == []


def revoked_by(phone: Replica, path: Path) -> Replica:
    """A device that was revoked, and knows it."""
    lost = phone.new_device(path)
    phone.revoke(lost.device, even_without_recovery=True)
    share_rosters(phone, lost)
    assert lost.revoked
    return lost


async def test_a_revoked_device_invites_nobody_and_decides_nothing(phone, tmp_path):
    shown: list[Invited] = []
    with revoked_by(phone, tmp_path / "lost.db") as lost:
        with pytest.raises(DeviceRevoked):
            await aio.invite(
                lost, pipe()[0], on_code=shown.append, on_request=lambda _request: True
            )
        for decide in (
            lambda: lost.new_device(tmp_path / "new.db"),
            lambda: lost.revoke(phone.device, even_without_recovery=True),
            lambda: lost.rename_device("Mine", device=phone.device),
            lost.rotate,
            lost.replace_recovery_phrase,
        ):
            with pytest.raises(DeviceRevoked):
                decide()
        assert lost.membership.roster() == phone.membership.roster()
    assert shown == []
    assert not (tmp_path / "new.db").exists()


@pytest.mark.parametrize("when", ["before the person is asked", "while it is asked"])
async def test_a_device_that_is_revoked_while_it_invites_adds_nobody(phone, tmp_path, when):
    with phone.new_device(tmp_path / "lost.db") as lost:
        phone.revoke(lost.device, even_without_recovery=True)

        def hear(*_: object) -> bool:
            share_rosters(phone, lost)
            return True

        scene = Scene(lost, tmp_path / "tablet.db", approve=hear)
        if when == "before the person is asked":
            scene.joiner_end.change = lambda _at, data: (hear(), data)[1]
        await scene.run()
        assert len(scene.requests) == (when == "while it is asked")
        assert isinstance(scene.invited, NotAMember)
        assert isinstance(scene.joined, JoiningDenied)
        assert len(members(phone)) == 1


class Cut(Exception):
    """The line breaks just here."""


@pytest.mark.parametrize("side", ["host_end", "joiner_end"])
async def test_cut_after_any_frame_it_is_started_again_and_there_is_one_device(
    phone, tmp_path, side
):
    whole = Scene(phone, tmp_path / "whole.db")
    frames: list[int] = []

    def count(at: int, data: bytes) -> bytes:
        frames.append(at)
        return data

    getattr(whole, side).change = count
    await whole.run()
    assert len(frames) >= 3
    for number in range(len(frames) + 1):
        path = tmp_path / f"{side}-{number}.db"
        scene = Scene(phone, path, timing=QUICK)
        scene.options["name"] = path.stem
        end: End = getattr(scene, side)
        left = [number]

        def cut(_at: int, data: bytes, end: End = end, left: list[int] = left) -> bytes:
            left[0] -= 1
            if left[0] < 0:
                end.other._ended = end._ended = True
                end._bell.set()
                return b""
            return data

        end.change = cut
        await scene.run()
        again = scene
        if isinstance(scene.joined, MsgSyncError):
            assert isinstance(scene.joined, ConnectionLost)
            again = Scene(phone, path)
            again.options["name"] = path.stem
            await again.run()
            assert again.joined == again.invited
        found = phone.membership.roster().state.members.values()
        assert [one.device.id for one in found if one.name == path.stem] == [again.joined]
        assert not kept(path).exists()
        with msgsync.open(path) as tablet:
            assert tablet.check().ok


async def test_keys_that_may_have_been_added_survive_attempts_that_fail(phone, tmp_path):
    """The account has added the device, which does not know it; then somebody mistypes, and nobody is there."""
    path = tmp_path / "tablet.db"
    scene = Scene(phone, path, timing=QUICK)
    frames = 0

    def cut(_at: int, data: bytes) -> bytes:
        nonlocal frames
        frames += 1
        if frames < 3:
            return data
        scene.host_end.other._ended = scene.host_end._ended = True
        scene.host_end._bell.set()
        return b""

    scene.host_end.change = cut  # at the welcome
    await scene.run()
    assert isinstance(scene.joined, ConnectionLost)
    assert "Tablet" in members(phone)
    wrong = await Scene(phone, path).run(lambda _code: Code.to_scan(bytes(16)).text())
    assert isinstance(wrong.joined, WrongCode)
    with pytest.raises(ConnectionLost):
        await aio.join(path, Code.to_scan(bytes(16)).text(), "tcp://127.0.0.1:1")
    again = await Scene(phone, path).run()
    assert again.joined == again.invited
    assert len(members(phone)) == 2


async def test_an_attempt_that_reached_nobody_leaves_nothing(tmp_path):
    with pytest.raises(ConnectionLost, match="a code is good once, for ten minutes"):
        await aio.join(tmp_path / "t.db", Code.to_scan(bytes(16)).text(), "tcp://127.0.0.1:1")
    assert list(tmp_path.iterdir()) == []


async def test_a_replica_that_is_there_already_is_taken_up_without_a_code(phone, tmp_path):
    """Cut off between making the file and removing what was kept for another attempt."""
    path = tmp_path / "tablet.db"
    scene = await Scene(phone, path).run()
    with msgsync.open(path) as tablet:
        secret = tablet.membership.keys.export()
    kept(path).write_bytes(secret)
    kept(path).chmod(0o600)
    nobody, _ = pipe()
    with await aio.join(path, Code.to_scan(bytes(16)).text(), nobody) as tablet:
        assert tablet.device == scene.joined
    assert not kept(path).exists()
    kept(path).write_bytes(bytes(64))
    with pytest.raises(FileExists):
        await aio.join(path, Code.to_scan(bytes(16)).text(), nobody)


async def test_keys_that_were_cut_off_while_they_were_kept_are_drawn_anew(phone, tmp_path):
    path = tmp_path / "tablet.db"
    kept(path).write_bytes(b"half")
    kept(path).chmod(0o600)
    scene = await Scene(phone, path).run()
    assert scene.joined == scene.invited


async def test_a_file_that_is_there_is_left_as_it_is(phone, tmp_path):
    path = tmp_path / "note.txt"
    path.write_text("not yours")
    nobody, _ = pipe()
    with pytest.raises(FileExists):
        await aio.join(path, Code.to_scan(bytes(16)).text(), nobody)
    assert path.read_text() == "not yours"
    assert not kept(path).exists()


@pytest.mark.parametrize(
    ("code", "options", "via"),
    [
        ("nonsense", {}, None),
        ("0000-0000-0000", {"name": "\u202e"}, None),
        ("0000-0000-0000", {"author": ""}, None),
        ("0000-0000-0000", {}, "127.0.0.1:1"),
    ],
    ids=["code", "name", "author", "address"],
)
async def test_what_is_no_code_name_or_address_is_said_before_anything_is_done(
    tmp_path, code, options, via
):
    path = tmp_path / "tablet.db"
    with pytest.raises(InvalidValue):
        await aio.join(path, code, via or pipe()[0], **options)
    assert list(tmp_path.iterdir()) == []


async def test_a_replica_that_cannot_be_written_invites_nobody(phone, tmp_path):
    shown: list[Invited] = []
    with (
        msgsync.open(phone.path, readonly=True) as reader,
        pytest.raises(msgsync.ReadOnly),
    ):
        await aio.invite(reader, pipe()[0], on_code=shown.append, on_request=lambda _request: True)
    assert shown == []


async def test_a_folder_that_is_not_there_is_said(phone, tmp_path):
    scene = await Scene(phone, tmp_path / "nowhere" / "tablet.db", timing=QUICK).run()
    assert isinstance(scene.joined, StorageError)


async def test_pictures_need_another_package(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "segno", None)
    with pytest.raises(UsageError, match=r"msgsync\[qr\]"):
        Invited("code", "", 0).qr_svg()


# ------------------------------------------------------------------------------------ peers that lie


async def hosted(phone: Replica, talk: Callable[[End], Awaitable[None]]) -> list[MsgSyncError]:
    """What an invitation makes of somebody who talks like this."""
    near, far = pipe()
    events: list[object] = []

    async def speak() -> None:
        await talk(far)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(speak)
        with pytest.raises(MsgSyncError) as caught:
            await aio.invite(
                phone,
                near,
                on_code=lambda _code: None,
                on_request=lambda _request: True,
                on_event=events.append,
                scanned=True,
                timing=QUICK,
            )
        tasks.cancel_scope.cancel()
    assert len(members(phone)) == 1
    return [caught.value, *(event.error for event in events if isinstance(event, Stopped))]


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"", ConnectionLost),
        (b"\0\0", ConnectionLost),
        (b"\0\0\0\x10half", ConnectionLost),
        (b"\0\0\0\0", ProtocolError),
        (b"\xff\xff\xff\xff", ProtocolError),
        ((limits.PAIRING_REQUEST_BYTES + 1).to_bytes(4, "big"), ProtocolError),
        (b"GET / HTTP/1.1\r\n\r\n", ProtocolError),
        (b"\0\0\0\x02\x01\x63", ProtocolError),
        (b"\0\0\0\x02\x01\x07", ProtocolError),
        (b"\0\0\0\x03\x01\x08\x63", ProtocolError),
        (b"\0\0\0\x02\x02\x01", VersionMismatch),
        (b"\0\0\0\x03\x01\x08\x03", JoiningDenied),
        (b"\0\0\x01\x00\x01\x01" + bytes(254), WrongCode),
    ],
)
@pytest.mark.parametrize("ends", [True, False])
async def test_what_is_no_knock_ends_one_connection_with_a_reason(phone, said, kind, ends):
    async def talk(end: End) -> None:
        await end.send(said)
        if ends:
            await end.send_eof()

    for error in await hosted(phone, talk):
        assert isinstance(error, kind)


async def test_somebody_who_floods_is_stopped_at_the_first_frame(phone):
    sent = 0

    async def talk(end: End) -> None:
        nonlocal sent
        while not end._ended:
            await end.send(b"\xff" * 60_000)
            sent += 60_000

    with anyio.fail_after(10):
        for error in await hosted(phone, talk):
            assert isinstance(error, ProtocolError)


@pytest.mark.parametrize("side", ["host_end", "joiner_end"])
async def test_bits_that_are_changed_on_the_way_pair_nobody(phone, tmp_path, side):
    """The length of frames, too. Every bit of every frame: tests/unit/account/test_handshake.py."""
    whole = await Scene(phone, tmp_path / "whole.db").run()
    long = len(getattr(whole, side).sent)
    for position in (*range(4), *range(4, long, max(11, long // 60))):
        path = tmp_path / f"{position}.db"
        scene = Scene(phone, path, timing=QUICK)
        scene.options["name"] = path.stem
        getattr(scene, side).change = flipped(position)
        await scene.run()
        assert isinstance(scene.invited, MsgSyncError), position
        if path.stem in members(phone):  # changed behind the approval: it was added, and can go on
            assert isinstance(scene.invited, ConnectionLost), position
            assert "was added" in str(scene.invited)
        else:
            assert isinstance(scene.joined, MsgSyncError), position
            assert not path.exists()


async def test_an_invitation_is_over_after_ten_minutes(tmp_path):
    machine = Machine()
    with msgsync.open(tmp_path / "phone.db", system=machine) as phone:

        def late(_request: JoinRequest) -> bool:
            machine.clock_ms += limits.INVITATION_MS
            return True

        scene = await Scene(phone, tmp_path / "tablet.db", approve=late).run()
        assert isinstance(scene.joined, InvitationOver)
        assert isinstance(scene.invited, InvitationOver)
        assert len(members(phone)) == 1


async def test_no_secret_is_shown_by_what_an_app_may_print(phone, tmp_path):
    scene = await Scene(phone, tmp_path / "tablet.db", scanned=False).run()
    secret = phone.membership.keys.export()
    for shown in (scene.requests, scene.events, scene.invited, phone, phone.membership.keys):
        assert secret.hex() not in repr(shown)
