"""Inviting and joining by a mailbox: two devices that never meet, and a storage that does what it likes."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

import msgsync
from msgsync import (
    ConnectionLost,
    InvitationOver,
    Invited,
    JoiningDenied,
    JoinRequest,
    MailboxBusy,
    MailboxDamaged,
    MailboxUnreachable,
    MemoryMailbox,
    MsgSyncError,
    NoSuchObject,
    ProtocolError,
    Replica,
    WrongCode,
    WrongGuess,
    aio,
    joining,
    limits,
    pairing,
    rendezvous,
)
from msgsync.account.code import TYPED_BYTES, Code
from msgsync.mailbox import objectline
from msgsync.protocol.meeting import (
    Note,
    announcement_of,
    attempt_by,
    folder_of,
    read_note,
    write_note,
)

pytestmark = pytest.mark.anyio
OTHER = Code.to_scan(bytes(16)).text()
DAY_MS = 86_400_000


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks follow each other quickly."""
    monkeypatch.setattr(objectline, "_FIRST_S", 0.005)
    monkeypatch.setattr(objectline, "_MOST_S", 0.05)


@pytest.fixture
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for somebody who is gone. Not where all are there: a busy machine keeps them waiting, too."""
    monkeypatch.setattr(objectline, "_TAKEN_S", 0.3)
    monkeypatch.setattr(rendezvous, "_OTHERS_S", 0.3)


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Replica]:
    with msgsync.open(tmp_path / "phone.db", author="ann", durability="relaxed") as replica:
        replica.create_conversation("Family").send("hello")
        yield replica


class Storage(MemoryMailbox):
    """A mailbox that belongs to an attacker, who may change what is put, or do something then."""

    def __init__(self) -> None:
        super().__init__("memory:storage")
        self.log: list[tuple[str, bytes]] = []
        self.change: Callable[[str, bytes], bytes | None] = lambda _name, body: body
        """Called with what is put; returns what lies there then, None for nothing."""
        self.looks = 0
        """How often somebody looked what lies in a folder."""
        self.after: Callable[[str, bytes], object] = lambda _name, _body: None

    def put(self, name: str, body: bytes) -> None:
        self.log.append((name, body))
        changed = self.change(name, body)
        if changed is not None:
            super().put(name, changed)
        self.after(name, body)

    def list(self, folder: str) -> list[str]:
        self.looks += 1
        return super().list(folder)

    def plant(self, name: str, frame: bytes, until_ms: int = 0) -> None:
        """Put something of its own."""
        super().put(name, write_note(Note(until_ms, frame)))

    def plant_knock(self, meeting: str, frame: bytes, until_ms: int = 0) -> None:
        """Begin an attempt of its own."""
        self.plant(f"{folder_of(meeting)}/{attempt_by(frame)}/1", frame, until_ms)

    def pairing(self) -> Sequence[str]:
        return self.list("pairing")


@pytest.fixture
def box() -> Storage:
    return Storage()


class Scene:
    """One invitation, and those who want to join; what each saw."""

    def __init__(
        self,
        phone: Replica,
        box: msgsync.Mailbox | str,
        *,
        approve: Callable[[JoinRequest], bool] = lambda _request: True,
        scanned: bool = True,
    ) -> None:
        self.phone, self.box, self.approve, self.scanned = phone, box, approve, scanned
        self.requests: list[JoinRequest] = []
        self.events: list[object] = []
        self.invited: object = None
        self.shown: Invited | None = None
        self.joined: dict[str, object] = {}
        self.emoji: list[str] = []

    def asked(self, request: JoinRequest) -> bool:
        self.requests.append(request)
        return self.approve(request)

    async def invite(self, shown: anyio.Event) -> None:
        def show(one: Invited) -> None:
            self.shown = one
            shown.set()

        try:
            self.invited = await aio.invite(
                self.phone,
                self.box,
                on_code=show,
                on_request=self.asked,
                on_event=self.events.append,
                scanned=self.scanned,
            )
        except MsgSyncError as error:
            self.invited = error

    async def join(self, path: Path, code: str | None = None) -> None:
        assert self.shown is not None
        try:
            replica = await aio.join(
                path,
                code or self.shown.code,
                self.box,
                name=path.stem,
                on_emoji=self.emoji.append,
            )
        except MsgSyncError as error:
            self.joined[path.stem] = error
        else:
            self.joined[path.stem] = replica.device
            with replica:
                assert replica.account == self.phone.account

    async def run(
        self,
        *paths: Path,
        codes: tuple[str | None, ...] = (),
        until: Callable[[], bool] = lambda: False,
    ) -> Scene:
        """Invite, and have these join at once; ends when all have ended, or when what ``until`` asks is so."""
        shown = anyio.Event()
        with anyio.move_on_after(50):
            async with anyio.create_task_group() as watching:
                watching.start_soon(self._watch, until, watching.cancel_scope)
                async with anyio.create_task_group() as all_of_them:
                    all_of_them.start_soon(self.invite, shown)
                    await shown.wait()
                    for number, path in enumerate(paths):
                        all_of_them.start_soon(self.join, path, codes[number] if codes else None)
                watching.cancel_scope.cancel()
        return self

    async def _watch(self, until: Callable[[], bool], scene: anyio.CancelScope) -> None:
        while not until():  # noqa: ASYNC110  # what it asks tells nobody that it has changed
            await anyio.sleep(0.01)
        scene.cancel()


def members(replica: Replica) -> set[str]:
    return {one.name for one in replica.membership.roster().state.members.values()}


# As it should be.


async def test_a_device_joins_by_a_mailbox_and_nothing_is_left_there(phone, box, tmp_path):
    scene = await Scene(phone, box, scanned=False).run(tmp_path / "tablet.db")
    assert scene.joined == {"tablet": scene.invited}
    [request] = scene.requests
    assert (request.device, request.name) == (scene.invited, "tablet")
    assert scene.emoji == [request.emoji]
    assert scene.shown is not None
    assert scene.shown.address == box.address
    assert not scene.events
    assert box.pairing() == []
    assert not list(tmp_path.glob("*.joining"))
    with msgsync.open(tmp_path / "tablet.db", author="ann") as tablet:
        assert tablet.membership.roster() == phone.membership.roster()
        for one in (phone, tablet):
            assert one_round(one, box).complete
        assert tablet.digest == phone.digest


def one_round(replica: Replica, box: msgsync.Mailbox) -> msgsync.SyncReport:
    """A round, in a thread of its own, since this one has an event loop."""
    found: list[msgsync.SyncReport] = []
    thread = threading.Thread(target=lambda: found.append(msgsync.sync(replica, box)))
    thread.start()
    thread.join()
    return found[0]


async def test_names_and_objects_say_nothing_of_the_code_the_devices_or_the_account(
    phone, box, tmp_path
):
    scene = await Scene(phone, box).run(tmp_path / "tablet.db")
    assert scene.shown is not None
    secrets = Code.parse(scene.shown.code).secrets()
    told = [scene.shown.code[-26:], secrets.rendezvous, str(phone.device), str(phone.account)]
    told += ["tablet", "phone", str(scene.invited), secrets.root.hex()]
    for name, body in box.log:
        for one in told:
            assert one not in name
            assert one.encode() not in body
        assert phone.account.raw not in body
        assert phone.membership.keys.public.signing not in body
    again = await Scene(phone, box).run(tmp_path / "laptop.db")
    assert again.invited in again.joined.values()
    meetings = {name.split("/")[1] for name, _ in box.log}
    assert len(meetings) == 2


async def test_nothing_can_be_guessed_by_before_somebody_with_the_code_comes(phone, box):
    shown = anyio.Event()
    scene = Scene(phone, box)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.invite, shown)
        await shown.wait()
        [(_, announcement)] = box.log
        note = read_note(announcement)
        assert note is not None
        assert note.frame == b""
        tasks.cancel_scope.cancel()
    assert box.pairing() == [], "who ends an invitation takes it away"


async def test_a_folder_does_the_same(phone, tmp_path):
    (tmp_path / "box").mkdir()
    scene = await Scene(phone, (tmp_path / "box").as_uri()).run(tmp_path / "tablet.db")
    assert scene.joined == {"tablet": scene.invited}
    assert [one for one in (tmp_path / "box").rglob("*") if one.is_file()] == []


async def test_a_mailbox_that_is_not_there_is_named_by_both(phone, tmp_path):
    nowhere = (tmp_path / "none").as_uri()
    with pytest.raises(MailboxUnreachable):
        await aio.invite(phone, nowhere, on_code=print, on_request=lambda _request: True)
    with pytest.raises(MailboxUnreachable):
        await aio.join(tmp_path / "tablet.db", OTHER, nowhere)
    assert list(tmp_path.glob("tablet*")) == []


# Two factors.


async def test_the_code_alone_is_not_enough(phone, box, tmp_path):
    scene = await Scene(phone, box, approve=lambda _request: False).run(tmp_path / "tablet.db")
    assert isinstance(scene.joined["tablet"], JoiningDenied)
    assert isinstance(scene.invited, JoiningDenied)
    assert len(members(phone)) == 1
    assert list(tmp_path.glob("tablet*")) == []
    assert box.pairing() == []


async def test_both_sides_hear_of_a_wrong_code_and_the_third_ends_it(phone, box, tmp_path):
    paths = [tmp_path / f"{number}.db" for number in range(limits.INVITATION_TRIES)]
    scene = await Scene(phone, box).run(*paths, codes=(OTHER,) * len(paths))
    assert [type(one) for one in scene.joined.values()] == [WrongCode] * 3
    guesses = [one for one in scene.events if isinstance(one, WrongGuess)]
    assert guesses == [WrongGuess(2), WrongGuess(1), WrongGuess(0)]
    assert isinstance(scene.invited, InvitationOver)
    assert not scene.requests
    assert box.pairing() == []


async def test_after_a_wrong_code_the_right_one_still_joins(phone, box, tmp_path):
    paths = tmp_path / "wrong.db", tmp_path / "tablet.db"
    scene = await Scene(phone, box).run(*paths, codes=(OTHER, None))
    assert isinstance(scene.joined["wrong"], WrongCode)
    assert scene.joined["tablet"] == scene.invited


async def test_of_two_at_once_that_know_the_code_one_joins(phone, box, tmp_path):
    scene = await Scene(phone, box).run(tmp_path / "one.db", tmp_path / "two.db")
    results = list(scene.joined.values())
    assert scene.invited in results
    [refused] = [one for one in results if isinstance(one, MsgSyncError)]
    assert isinstance(refused, InvitationOver | JoiningDenied | ConnectionLost)
    assert len(members(phone)) == 2


async def test_an_invitation_is_over_after_ten_minutes_and_takes_its_announcement_away(
    phone, box, tmp_path, monkeypatch
):
    monkeypatch.setattr(pairing, "_VALID_S", 0.3)
    scene = await Scene(phone, box).run()
    assert isinstance(scene.invited, InvitationOver)
    assert box.pairing() == []
    monkeypatch.setattr(joining, "_VALID_S", 0.3)
    await scene.join(tmp_path / "tablet.db")
    late = scene.joined["tablet"]
    assert isinstance(late, ConnectionLost)
    assert "no invitation with this code came up" in str(late)
    assert list(tmp_path.glob("tablet*")) == []


async def test_a_wrong_code_is_said_though_a_dead_invitation_answers_nothing(phone, box, tmp_path):
    box.plant(announcement_of("ab" * 16), b"")
    shown = anyio.Event()
    scene = Scene(phone, box)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.invite, shown)
        await shown.wait()
        await scene.join(tmp_path / "tablet.db", OTHER)
        tasks.cancel_scope.cancel()
    assert isinstance(scene.joined["tablet"], WrongCode)
    assert scene.events[:1] == [WrongGuess(2)]


# The storage.


async def test_the_storage_has_three_guesses_over_all_whatever_it_removes(phone, box, tmp_path):
    """It deletes what it guessed, and what it was answered, and begins anew under other names."""
    scene = Scene(phone, box)

    def guess(name: str, _body: bytes) -> None:
        if name.endswith("/0"):
            self_made(name)
        elif name.endswith("/2"):  # an answer: wrong
            folder = name.rpartition("/")[0]
            for one in box.list(folder):
                box.delete(one)
            self_made(name)

    made = iter(range(100))

    def self_made(name: str) -> None:
        meeting, number = name.split("/")[1], next(made)
        box.plant_knock(meeting, b"\1\1" + bytes([number]) * 80)

    box.after = guess
    await scene.run()
    assert isinstance(scene.invited, InvitationOver)
    assert len([one for one in scene.events if isinstance(one, WrongGuess)]) == 3


async def test_a_knock_that_is_replayed_is_none(phone, box, tmp_path):
    """Under other names, and in the middle of the attempt that it belongs to."""
    copies = iter(range(1, 100))

    def replay(name: str, body: bytes) -> None:
        if name.endswith("/1"):
            meeting = name.split("/")[1]
            for _ in range(20):
                copy = f"{folder_of(meeting)}/{next(copies):032x}/1"
                MemoryMailbox.put(box, copy, body)

    box.after = replay
    scene = await Scene(phone, box).run(tmp_path / "tablet.db")
    assert scene.joined == {"tablet": scene.invited}
    assert not scene.events
    assert len(scene.requests) == 1
    answers = [name for name, _ in box.log if name.endswith("/2")]
    assert len(answers) == 1


@pytest.mark.usefixtures("_impatient")
@pytest.mark.parametrize("number", range(1, 8))
async def test_a_frame_that_was_changed_pairs_nobody(phone, box, tmp_path, number):
    """Who invites waits on for others after a wrong guess; and the joiner for an answer, if its first frame is none."""
    looked_before = 0

    def is_settled() -> bool:
        if number == 1:
            return bool(looked_before) and box.looks > looked_before + 20
        return number < 6 and bool(scene.joined)

    def change(name: str, body: bytes) -> bytes:
        note = read_note(body)
        assert note is not None
        if not name.endswith(f"/{number}") or not note.frame:
            return body
        nonlocal looked_before
        looked_before = box.looks
        changed = note.frame[:-1] + bytes((note.frame[-1] ^ 1,))
        return write_note(Note(note.until_ms, changed))

    box.change = change
    scene = Scene(phone, box)
    await scene.run(tmp_path / "tablet.db", until=is_settled)
    joined = scene.joined.get("tablet")
    if number == 7:  # it is in the account, and has all it needs: only the phone does not know
        assert isinstance(joined, msgsync.DeviceId)
        assert isinstance(scene.invited, ConnectionLost)
    elif number == 6:
        assert isinstance(joined, ProtocolError)
        assert isinstance(scene.invited, ConnectionLost)
        assert "was added" in str(scene.invited)
    elif number == 1:  # the attempt is named by it
        assert (scene.joined, scene.events, len(members(phone))) == ({}, [], 1)
    else:
        assert isinstance(joined, WrongCode | ProtocolError)
        assert len(members(phone)) == 1


async def test_half_of_an_object_is_waited_for(phone, box, tmp_path):
    """As a program that syncs a folder shows it for a moment."""
    halves: dict[str, bytes] = {}

    def half(name: str, body: bytes) -> bytes:
        halves[name] = body
        return body[: len(body) // 2]

    box.change = half
    scene = Scene(phone, box)
    shown = anyio.Event()

    async def bring_the_rest() -> None:
        while True:
            await anyio.sleep(0.02)
            for name, body in list(halves.items()):
                MemoryMailbox.put(box, name, halves.pop(name, body))

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(bring_the_rest)
        async with anyio.create_task_group() as both:
            both.start_soon(scene.invite, shown)
            await shown.wait()
            both.start_soon(scene.join, tmp_path / "tablet.db")
        tasks.cancel_scope.cancel()
    assert scene.joined == {"tablet": scene.invited}
    assert not scene.events


async def test_a_frame_that_never_comes_ends_when_the_other_side_does(phone, box, tmp_path):
    scene = Scene(phone, box)
    shown, lost, path = anyio.Event(), anyio.Event(), tmp_path / "tablet.db"

    def lose(name: str, body: bytes) -> bytes | None:
        if not name.endswith("/4"):
            return body
        anyio.from_thread.run_sync(lost.set)
        return None

    box.change = lose
    async with anyio.create_task_group() as tasks, anyio.create_task_group() as host:
        host.start_soon(scene.invite, shown)
        await shown.wait()
        tasks.start_soon(scene.join, path)
        await lost.wait()
        host.cancel_scope.cancel()
    assert isinstance(scene.joined["tablet"], ConnectionLost)
    assert len(members(phone)) == 1
    assert list(tmp_path.glob("tablet*")) == []


@pytest.mark.usefixtures("_impatient")
async def test_frames_that_were_swapped_between_two_attempts_pair_nobody(phone, box, tmp_path):
    """Both are by devices that know the code."""
    held: list[tuple[str, bytes]] = []

    def swap(name: str, body: bytes) -> bytes | None:
        if not name.endswith("/3"):
            return body
        held.append((name, body))
        if len(held) == 2:
            (one, first), (other, second) = held
            MemoryMailbox.put(box, one, second)
            MemoryMailbox.put(box, other, first)
        return None

    box.change = swap
    scene = Scene(phone, box)
    until = lambda: len(scene.joined) == 2  # noqa: E731  # and who invites waits on for others
    await scene.run(tmp_path / "one.db", tmp_path / "two.db", until=until)
    assert len(held) >= 2
    assert len(members(phone)) == 1
    assert not scene.requests
    assert not any(isinstance(one, msgsync.DeviceId) for one in scene.joined.values())


async def test_somebody_between_without_the_code_gets_nobody(phone, box, tmp_path):
    """The storage shows the joiner a meeting of its own, and answers with an account of its own."""
    with msgsync.open(tmp_path / "eve.db", author="eve") as eve:
        theirs = Storage()
        host, fake = Scene(phone, box), Scene(eve, theirs)
        shown = anyio.Event(), anyio.Event()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(host.invite, shown[0])
            tasks.start_soon(fake.invite, shown[1])
            for one in shown:
                await one.wait()
            assert host.shown is not None
            await fake.join(tmp_path / "tablet.db", host.shown.code)
            tasks.cancel_scope.cancel()
        assert isinstance(fake.joined["tablet"], WrongCode)
        assert fake.events[:1] == [WrongGuess(2)]
        assert len(members(eve)) == len(members(phone)) == 1


@pytest.mark.parametrize("anyio_backend", ["asyncio"])
async def test_somebody_between_who_knows_the_code_is_seen_by_the_emoji(phone, box, tmp_path):
    """The storage invites the tablet itself, by the same code, and joins in its place."""
    scene = Scene(phone, box, approve=lambda _request: False, scanned=False)

    class Known(type(phone.system)):  # type: ignore[misc]
        """Draws that very code."""

        def random_bytes(self, count: int) -> bytes:
            if count == TYPED_BYTES:
                assert scene.shown is not None
                return (Code.parse(scene.shown.code)._bits << 4).to_bytes(TYPED_BYTES, "big")
            return bytes(super().random_bytes(count))

    with msgsync.open(tmp_path / "eve.db", system=Known()) as eve:
        theirs = Scene(eve, Storage(), approve=lambda _request: False, scanned=False)
        async with anyio.create_task_group() as tasks:
            for one in (scene, theirs):
                shown = anyio.Event()
                tasks.start_soon(one.invite, shown)
                await shown.wait()
            assert scene.shown is not None
            assert theirs.shown is not None
            assert scene.shown.code == theirs.shown.code
            await theirs.join(tmp_path / "tablet.db")
            await scene.join(tmp_path / "as-tablet.db")
            tasks.cancel_scope.cancel()
    assert [one.emoji for one in scene.requests] != theirs.emoji
    assert all(
        isinstance(one, JoiningDenied) for one in (*scene.joined.values(), *theirs.joined.values())
    )


async def test_other_invitations_in_the_same_place_are_passed_over(phone, box, tmp_path):
    """One is dead, one waits for another device; each only sees a code that is not its own."""
    box.plant(announcement_of("ab" * 16), b"")
    with msgsync.open(tmp_path / "other.db", author="ben") as other:
        scenes = Scene(phone, box), Scene(other, box)
        shown = [anyio.Event(), anyio.Event()]
        async with anyio.create_task_group() as tasks:
            for scene, event in zip(scenes, shown, strict=True):
                tasks.start_soon(scene.invite, event)
            for event in shown:
                await event.wait()
            await scenes[0].join(tmp_path / "tablet.db")
            tasks.cancel_scope.cancel()
        assert isinstance(scenes[0].joined["tablet"], msgsync.DeviceId)
        assert not scenes[1].requests
        assert len(members(other)) == 1


class Tide(MemoryMailbox):
    """Where others see objects late, in any order, for some time not, and are told of what is gone again."""

    def __init__(self, seed: int) -> None:
        super().__init__("memory:tide")
        self._dice = random.Random(seed)

    def list(self, folder: str) -> list[str]:
        names = [name for name in super().list(folder) if self._dice.random() < 0.7]
        if self._dice.random() < 0.2:
            names.append(f"{folder}/{'ab' * 16}/1")
        self._dice.shuffle(names)
        return names

    def get(self, name: str) -> bytes:
        if self._dice.random() < 0.2:
            raise NoSuchObject(f"there is no object {name} yet")
        return super().get(name)


@pytest.mark.parametrize("seed", range(5))
async def test_objects_may_come_late_and_in_any_order(phone, tmp_path, seed):
    scene = await Scene(phone, Tide(seed)).run(tmp_path / "tablet.db")
    assert scene.joined == {"tablet": scene.invited}
    assert len(members(phone)) == 2


async def test_a_file_in_the_way_of_others_is_passed_over(phone, box, tmp_path):
    """It is longer than any object, where an announcement would lie."""

    def get(self: MemoryMailbox, name: str) -> bytes:
        if name == announcement_of("00" * 16):
            raise MailboxDamaged(f"{name} is longer than any object")
        return MemoryMailbox.get(self, name)

    box.plant(announcement_of("00" * 16), b"")
    box.get = get.__get__(box)
    scene = await Scene(phone, box).run(tmp_path / "tablet.db")
    assert scene.joined == {"tablet": scene.invited}


async def test_a_mailbox_that_fails_now_and_then_does_the_same(phone, tmp_path):
    class Shaky(MemoryMailbox):
        count = 0
        chance = random.Random(7)  # in turns, it could always be the same side that fails

        def _shake(self) -> None:
            self.count += 1
            if self.count > 3 and self.chance.random() < 1 / 3:
                raise MailboxBusy("too many requests; try again later")

        def put(self, name: str, body: bytes) -> None:
            self._shake()
            super().put(name, body)

        def get(self, name: str) -> bytes:
            self._shake()
            return super().get(name)

        def list(self, folder: str) -> list[str]:
            self._shake()
            return super().list(folder)

    scene = await Scene(phone, Shaky()).run(tmp_path / "tablet.db")
    assert scene.joined == {"tablet": scene.invited}


# Broken off.


@pytest.mark.parametrize("number", range(1, 8))
async def test_broken_off_after_any_frame_it_is_started_again_and_there_is_one_device(
    phone, box, tmp_path, number
):
    """The joiner is stopped just when it, or the other side, has left that frame."""
    path = tmp_path / "tablet.db"
    scene = Scene(phone, box)
    stopping: list[anyio.CancelScope] = []

    def stop(name: str, _body: bytes) -> None:
        if name.endswith(f"/{number}") and stopping:
            anyio.from_thread.run_sync(stopping[0].cancel)

    box.after = stop
    shown = anyio.Event()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(scene.invite, shown)
        await shown.wait()
        with anyio.CancelScope() as scope:
            stopping.append(scope)
            await scene.join(path)
        tasks.cancel_scope.cancel()
    box.after = lambda _name, _body: None
    if "tablet" not in scene.joined and not path.exists():
        scene = await Scene(phone, box).run(path)
        assert scene.joined == {"tablet": scene.invited}
    with msgsync.open(path) as tablet:
        found = phone.membership.roster().state.members.values()
        assert [one.device.id for one in found if one.name == "tablet"] == [tablet.device]
        assert tablet.check().ok
    assert not list(tmp_path.glob("*.joining"))


@pytest.mark.usefixtures("_impatient")
async def test_who_invites_is_gone_and_the_welcome_is_still_read(phone, box, tmp_path):
    """The device was added, and the last thing it needs lies there for it."""
    scene = Scene(phone, box)
    shown = anyio.Event()
    gone = anyio.Event()
    real_list = MemoryMailbox.list
    hidden = [True]

    def list_without(self: MemoryMailbox, folder: str) -> list[str]:
        names = real_list(self, folder)
        late = hidden[0] and threading.current_thread() is not None
        return [one for one in names if not (late and one.endswith("/6"))]

    box.list = list_without.__get__(box)
    box.after = lambda name, _body: (
        anyio.from_thread.run_sync(gone.set) if name.endswith("/6") else None
    )
    async with anyio.create_task_group() as tasks:
        async with anyio.create_task_group() as host:
            host.start_soon(scene.invite, shown)
            await shown.wait()
            tasks.start_soon(scene.join, tmp_path / "tablet.db")
            await gone.wait()
            host.cancel_scope.cancel()
        hidden[0] = False
    assert isinstance(scene.joined["tablet"], msgsync.DeviceId)
    assert "tablet" in members(phone)


# Leftovers.


async def test_who_pairs_next_removes_what_was_left(phone, box, tmp_path):
    box.plant(announcement_of("aa" * 16), b"", until_ms=1000)
    scene = await Scene(phone, box).run(tmp_path / "tablet.db")
    assert scene.joined == {"tablet": scene.invited}
    assert box.pairing() == []


def test_the_blocking_functions_do_the_same(phone, box, tmp_path):
    codes: list[Invited] = []
    shown = threading.Event()
    done: list[Any] = []

    def show(one: Invited) -> None:
        codes.append(one)
        shown.set()

    inviting = threading.Thread(
        target=lambda: done.append(
            phone.invite(via=box, on_code=show, on_request=lambda _request: True, scanned=True)
        )
    )
    inviting.start()
    assert shown.wait(20)
    with msgsync.join(tmp_path / "tablet.db", codes[0].code, via=box) as tablet:
        inviting.join(20)
        assert done == [tablet.device]
