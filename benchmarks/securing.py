"""What keeping others out costs: channels beside bare connections, sealing beside packing."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import anyio
from anyio.abc import SocketAttribute, SocketStream

from benchmarks import frame, vocabulary
from benchmarks.figure import BYTES, MILLISECONDS, RATE, TRIPS, Bar, Figure
from benchmarks.filling import fill_once
from benchmarks.history import History, turns
from benchmarks.relay import Relay
from msgsync.account.device import Device
from msgsync.account.epochs import SECRET_BYTES, Keyring, commitment_of
from msgsync.account.keys import SECRET_BYTES as KEYS_BYTES
from msgsync.account.keys import SecretKeys
from msgsync.account.roster import Roster
from msgsync.account.seal import SALT_BYTES, Sealer, open_object
from msgsync.account.statements import Add, Epoch, Position
from msgsync.transport import tcp
from msgsync.transport.channel import PASSWORD_BYTES, Trust, secure

_PACK: Final = 4_096  # messages sealed together, as the reference packs them
_PACKS: Final = 12
_MEETINGS: Final = 30
_KIND: Final = 1


def measure_filling(history: History) -> Iterator[Figure]:
    """An empty device filled through a channel, beside the same without one."""
    secured, bare = [], []
    for _ in turns():
        secured.append(fill_once(history, "filling"))
        bare.append(fill_once(history, "bare"))
    yield Figure(
        "secure",
        "fill through a channel, beside a bare connection",
        RATE,
        [history.messages / fill.seconds for fill in secured],
        [history.messages / fill.seconds for fill in bare],
        Bar(0.9, "at least", from_messages=100_000),
    )
    yield Figure(
        "secure",
        "  messages a second of processor time, both sides",
        RATE,
        [history.messages / fill.processor_s for fill in secured],
        [history.messages / fill.processor_s for fill in bare],
        Bar(0.9, "at least", from_messages=100_000),
    )


def measure_handshakes(_directory: Path) -> Iterator[Figure]:
    """From an open connection to a channel that both sides have used, and what it sends."""
    trusts = _two_devices()
    anyio.run(_meet, *trusts, None)
    taken_ms = [1000 * anyio.run(_meet, *trusts, None) for _ in range(_MEETINGS)]
    relays = [_through_a_relay(*trusts) for _ in range(3)]
    yield Figure("handshake", "a channel, from connection to first answer", MILLISECONDS, taken_ms)
    yield Figure(
        "handshake",
        "  bytes, both ways",
        BYTES,
        [one.passed_bytes("there") + one.passed_bytes("back") for one in relays],
    )
    yield Figure("handshake", "  round trips", TRIPS, [one.round_trips for one in relays])


def _two_devices() -> tuple[Trust, Trust]:
    keys = [SecretKeys(os.urandom(KEYS_BYTES)) for _ in range(2)]
    devices = [Device.of(one, name, "benchmark") for one, name in zip(keys, "ab", strict=True)]
    first, second = (Trust(one, devices, os.urandom(PASSWORD_BYTES)) for one in keys)
    return first, second


async def _meet(client: Trust, server: Trust, relay: Relay | None) -> float:
    """Seconds from the connection to the first answer."""

    async def answer(stream: SocketStream) -> None:
        async with await secure(stream, server, server=True, within_s=10) as channel:
            await channel.send(await channel.receive())
            await channel.send_eof()

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1", local_port=_port(relay))
    port = listener.listeners[0].extra(SocketAttribute.local_address)[1]
    address = f"tcp://127.0.0.1:{port}" if relay is None else relay.address
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, answer)
        stream = await tcp.connect(address, connect_s=10)
        started = time.perf_counter()
        async with await secure(stream, client, server=False, within_s=10) as channel:
            await channel.send(b"hello")
            await channel.receive()
            taken_s = time.perf_counter() - started
            await channel.send_eof()
        tasks.cancel_scope.cancel()
    return taken_s


def _port(relay: Relay | None) -> int:
    return 0 if relay is None else relay.target_port


def _through_a_relay(client: Trust, server: Trust) -> Relay:
    with Relay(f"tcp://127.0.0.1:{_free_port()}") as relay:
        anyio.run(_meet, client, server, relay)
    return relay


def _free_port() -> int:
    async def take() -> int:
        async with await anyio.create_tcp_listener(local_host="127.0.0.1") as listener:
            return int(listener.listeners[0].extra(SocketAttribute.local_address)[1])

    return anyio.run(take)


def measure_sealing(_directory: Path) -> Iterator[Figure]:
    """Messages sealed and opened a second, in packs, beside packing and unpacking them alone."""
    rng = random.Random("sealing")
    texts = vocabulary.texts(rng)
    records = [
        [[rng.randbytes(12), "family", "ann", next(texts), 0, None] for _ in range(_PACK)]
        for _ in range(_PACKS)
    ]
    packing, unpacking, sealing, opening = [], [], [], []
    for _ in turns():
        started = time.perf_counter()
        packs = [frame.pack(one) for one in records]
        packing.append(_rate(started))
        started = time.perf_counter()
        for pack in packs:
            list(frame.unpack(pack, 0))
        unpacking.append(_rate(started))
        sealed_s, opened_s = _seal_and_open(packs)
        sealing.append(sealed_s)
        opening.append(opened_s)
    label = f"seal messages, in packs of {_PACK:,}, beside packing"
    yield Figure("seal", label, RATE, sealing, packing)
    yield Figure("seal", "  open them, beside unpacking", RATE, opening, unpacking)


def _rate(started: float) -> float:
    return _PACK * _PACKS / (time.perf_counter() - started)


def _seal_and_open(packs: list[bytes]) -> tuple[float, float]:
    keys, phrase = (SecretKeys(os.urandom(KEYS_BYTES)) for _ in range(2))
    roster = Roster.begin(keys, phrase, name="a", platform="benchmark", now_ms=0)
    other = SecretKeys(os.urandom(KEYS_BYTES))
    add = Add(Device.of(other, "b", "benchmark"))
    roster = roster.say(add, keys, now_ms=0, agreed=other)
    secret = os.urandom(SECRET_BYTES)
    roster = roster.say(Epoch(commitment_of(secret, roster.account)), keys, now_ms=0)
    keyring = Keyring(roster.account, [secret])
    sealer = Sealer(keys, keyring, roster, os.urandom(16))
    after: Position | None = None
    objects = []
    started = time.perf_counter()
    for pack in packs:
        sealed = sealer.seal(pack, _KIND, after=after, salt=os.urandom(SALT_BYTES))
        after = sealed.position
        objects.append(sealed.raw)
    sealing = _rate(started)
    positions: dict[object, Position] = {}
    started = time.perf_counter()
    for raw in objects:
        opened = open_object(raw, keyring=keyring, roster=roster, positions=positions)  # type: ignore[arg-type]
        positions[opened.head.device, opened.head.incarnation] = opened.position
    return sealing, _rate(started)
