"""Sessions under attack: frames that are mutated, cut, repeated, swapped or flooded. Source: issue 4, item 7."""

from __future__ import annotations

import random
import socket
import struct
import threading
from pathlib import Path

import pytest
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

import msgsync
from msgsync import Incoming, MsgSyncError, PeerError, Replica, limits
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.protocol.frames import Done, Offer, Offers, Part, Start, Updates, Want
from msgsync.protocol.wire import decode_frame, encode_frame
from tests.hostile.mutation import changes, mutated
from tests.hostile.peer import LIE, Liar, greeting, said, session_of
from tests.unit.machine import START_MS, Machine
from tests.unit.parts import never_frozen

FIND = (Phase.explicit, Phase.reuse, Phase.generate)


def history(count: int, of: str) -> list[Incoming]:
    return [
        Incoming(f"c{n % 3}", "ben", f"{of} {n}", START_MS - n * 10**9, external_id=f"{of}{n}")
        for n in range(count)
    ]


def exchange(
    first: Replica, second: Replica, damage: dict[int, list[tuple[str, int, int]]]
) -> None:
    """Carry frames between two replicas; those whose number is named arrive damaged, with a right length."""
    sides = session_of(first), session_of(second)
    carried = 0
    while not all(side.finished for side in sides):
        moved = False
        for number, side in enumerate(sides):
            raw = side.next_frame()
            if raw is None:
                continue
            moved = True
            body = raw[4:]
            if carried in damage:
                body = mutated(body, damage[carried])
            carried += 1
            sides[1 - number].receive(body)
        if not moved:
            return
    for side in sides:
        assert side.error is None or isinstance(side.error, MsgSyncError)


@settings(max_examples=30, phases=FIND)
@given(st.dictionaries(st.integers(0, 12), changes, min_size=1, max_size=3))
@example({12: [("set", 2249, 213)]})
@example({10: [("set", 2249, 213)]})
def test_damaged_frames_end_a_session_or_change_nothing_for_ever(tmp_path_factory, damage):
    folder: Path = tmp_path_factory.mktemp("damaged")
    machine = Machine()
    options = {"author": "ann", "durability": "relaxed", "system": machine}
    with (
        Replica(folder / "a.db", **options) as phone,  # type: ignore[arg-type]
        Replica(folder / "b.db", member=phone, **options) as tablet,  # type: ignore[arg-type]
    ):
        phone.ingest(history(12, "phone"))
        tablet.ingest(history(9, "tablet"))
        kept = [
            one.text
            for r in (phone, tablet)
            for c in r.conversations()
            for one in r.conversation(c.id).messages()
        ]
        exchange(phone, tablet, damage)
        assert phone.check().ok
        assert tablet.check().ok
        for _ in range(2):
            msgsync.sync(phone, tablet)
        assert phone.digest == tablet.digest
        shown = [
            one.text for c in phone.conversations() for one in phone.conversation(c.id).messages()
        ]
        assert set(kept) <= set(shown)


LABEL = Label(2, LIE)
FRAMES = [
    Start(b""), Start(bytes(4096)), Done(LIE), Offers((), True), Offers((), False),
    Offers((Offer(DocumentId("c0", "head"), LIE, 0, 1, 2**40),) * 3, True),
    Want(((0, NEVER_FROZEN, b""),)), Want(((0, LABEL, b""),)), Updates(()),
    Want(((2**40, NEVER_FROZEN, b""), (0, NEVER_FROZEN, b"\x01\x01"))),
    Updates(((0, never_frozen(b"\x00\x00")),)), Updates(((0, never_frozen(b"")), (0, never_frozen()))),
    Updates(((0, Parts(LABEL, b"\x80", ())),)), Updates(((0, Parts(LABEL, b"", (b"\x00\x00",))),)),
    Part(0, NEVER_FROZEN, b"", True, False), Part(0, NEVER_FROZEN, b"\x00\x00", True, True),
    Part(0, NEVER_FROZEN, bytes(1000), False, False), Part(7, NEVER_FROZEN, b"x", True, False),
    Part(0, LABEL, b"\x80", True, True), Part(0, LABEL, b"\x80", False, True),
    Part(0, NEVER_FROZEN, b"", False, True), Part(0, LABEL, b"\x00\x00", True, False),
]  # fmt: skip


@settings(max_examples=40, phases=FIND)
@given(st.lists(st.sampled_from(FRAMES), max_size=12), st.integers(0, 1))
def test_frames_in_any_order_end_a_session_in_words_and_change_nothing(
    tmp_path_factory, frames, documents
):
    folder: Path = tmp_path_factory.mktemp("order")
    with Replica(folder / "a.db", author="ann", durability="relaxed", system=Machine()) as phone:
        phone.ingest(history(5, "phone"))
        before = phone.digest
        session = session_of(phone)
        session.receive(encode_frame(greeting(session, documents=documents))[4:])
        for frame in frames:
            session.receive(encode_frame(frame)[4:])
            said(session)
        if session.error is not None:
            assert isinstance(session.error, PeerError)
            assert session.finished
        assert phone.digest == before
        assert phone.check().ok


def exchange_with_damaged_updates(tablet: Replica, phone: Replica) -> None:
    """Carry frames between two replicas; every document that is sent to the tablet is damaged on the way."""
    sides = session_of(tablet), session_of(phone)
    moved = True
    while moved:
        moved = False
        for side, other in (sides, sides[::-1]):
            while (raw := side.next_frame()) is not None:
                moved = True
                frame = decode_frame(raw[4:])
                if side is sides[1] and isinstance(frame, Updates):
                    frame = Updates(
                        tuple((one, never_frozen(b"damaged")) for one, _ in frame.documents)
                    )
                other.receive(encode_frame(frame)[4:])
    assert tablet.status().refused


def test_a_document_that_was_damaged_on_the_way_comes_with_the_next_exchange(phone, tablet):
    """It was refused in the name of an honest device, which need not change it to be heard again."""
    phone.ingest(history(12, "phone"))
    tablet.ingest(history(1, "tablet"))
    exchange_with_damaged_updates(tablet, phone)
    assert msgsync.sync(phone, tablet).complete
    assert phone.digest == tablet.digest
    assert tablet.status().refused == ()


def test_a_document_that_was_damaged_twice_on_the_way_comes_after_the_next_opening(
    phone, tablet, open_replica
):
    """It is left alone then, or a peer could have it sent without end."""
    phone.ingest(history(12, "phone"))
    tablet.ingest(history(1, "tablet"))
    for _ in range(2):
        exchange_with_damaged_updates(tablet, phone)
    assert not msgsync.sync(phone, tablet).complete
    tablet.close()
    again = open_replica("tablet.db")
    assert msgsync.sync(phone, again).complete
    assert phone.digest == again.digest
    assert again.status().refused == ()


def test_a_peer_that_says_it_has_everything_gets_nothing_wrong(phone, tablet, family):
    """Its digest is ours, and then it is not: the exchange with the next honest peer is complete."""
    family.send("kept")
    session = session_of(phone)
    session.receive(encode_frame(greeting(session, root=phone.digest))[4:])
    assert session.complete
    assert msgsync.sync(phone, tablet).complete
    assert phone.digest == tablet.digest


def test_a_peer_that_lies_about_a_digest_is_asked_a_bounded_number_of_times(phone, family):
    """It offers a document it never sends right: rounds come to an end."""
    family.send("kept")
    liar = Liar(phone)
    asked = 0
    for _ in range(50):
        if liar.session.finished:
            break
        frames = liar.feed(Offers((Offer(DocumentId("family", "2020-01"), LIE, 0, 1, 100),), True))
        for want in [frame for frame in frames if isinstance(frame, Want)]:
            asked += len(want.wanted)
            liar.feed(*[Updates(((one[0], never_frozen(b"\0\0")),)) for one in want.wanted])
        frames = liar.feed(Done(LIE))
        if any(isinstance(frame, Start) for frame in frames):
            liar.feed(Start(LIE * 256))
    assert liar.session.finished
    assert asked <= 8
    assert not liar.session.complete


# Over a socket.


@pytest.fixture
def served(phone, family):
    """A phone that is served; the address, and what happened to its sessions."""
    import anyio

    from msgsync import aio

    family.send("kept")
    events: list[object] = []
    ready = threading.Event()
    found: list[str] = []
    stop: list[object] = []

    async def main() -> None:
        def listening(address: str) -> None:
            found.append(address)
            ready.set()

        async with anyio.create_task_group() as tasks:
            stop.append(tasks.cancel_scope)
            stop.append(anyio.lowlevel.current_token())
            await aio.serve(
                phone,
                on_listening=listening,
                on_event=events.append,
                timing=aio.Timing(greeting_s=4),  # what says nothing is waited for so long
            )

    thread = threading.Thread(target=lambda: anyio.run(main))
    thread.start()
    assert ready.wait(10)
    yield found[0], events
    anyio.from_thread.run_sync(stop[0].cancel, token=stop[1])  # type: ignore[attr-defined, arg-type]
    thread.join()


def raw_connection(address: str) -> socket.socket:
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    return socket.create_connection((host, int(port)), timeout=20)


def until_closed(connection: socket.socket) -> bytes:
    got = b""
    try:
        while data := connection.recv(65536):
            got += data
    except ConnectionError:
        pass
    return got


@pytest.mark.parametrize(
    "first",
    [
        struct.pack(">I", 0xFFFFFFFF),
        struct.pack(">I", 0xFFFFFFFF) + bytes(200_000),
        struct.pack(">I", limits.FRAME_BYTES + 1),
        struct.pack(">I", 0),
        b"GET / HTTP/1.1\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        random.Random(5).randbytes(100_000),
    ],
    ids=["4 GB", "4 GB and some of it", "a byte too many", "nothing", "http", "tls", "noise"],
)
def test_what_is_no_frame_ends_one_connection_and_not_the_server(served, phone, tablet, first):
    address, _ = served
    with raw_connection(address) as connection:
        connection.sendall(first)
        until_closed(connection)
    assert msgsync.sync(tablet, address).complete
    assert phone.digest == tablet.digest


def test_peers_that_stall_or_hang_up_anywhere_stand_in_nobodys_way(served, phone, tablet):
    address, _ = served
    stalled = [raw_connection(address) for _ in range(20)]
    try:
        frame = encode_frame(greeting(session_of(phone)))
        for number, connection in enumerate(stalled):
            connection.sendall(frame[: number * 6])
            if number % 3 == 0:
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                connection.close()
        assert msgsync.sync(tablet, address).complete
    finally:
        for connection in stalled:
            connection.close()
    assert phone.digest == tablet.digest
    assert phone.check().ok
