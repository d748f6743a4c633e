"""Channels in memory: who gets one, who does not, and in which words."""

from __future__ import annotations

import ssl
import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import anyio
import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from msgsync.account.device import Device
from msgsync.account.keys import SecretKeys, device_id
from msgsync.account.suite import derive
from msgsync.errors import (
    AccountMismatch,
    ConnectionLost,
    InvalidValue,
    MsgSyncError,
    PeerError,
    ProtocolError,
    StorageError,
    VersionMismatch,
)
from msgsync.transport import channel
from msgsync.transport.channel import Channel, Trust, secure
from tests.unit.account.accounts import drawn, keys_of
from tests.unit.transport.pipes import End, flipped, pipe

pytestmark = pytest.mark.anyio
PASSWORD = bytes(32)


@cache
def device_of(name: str) -> Device:
    return Device.of(keys_of(name), name, "test")


@cache
def trust_of(name: str, *others: str) -> Trust:
    """What a device shows, and whom it takes: itself and these."""
    return Trust(keys_of(name), [device_of(one) for one in (name, *others)], PASSWORD)


PHONE, TABLET = trust_of("phone", "tablet"), trust_of("tablet", "phone")


async def meet(client: Trust, server: Trust, ends: tuple[End, End]) -> list[Channel | MsgSyncError]:
    """Both ends of a channel, or why one is none. The client learns of a refusal with its first word."""
    result: list[Channel | MsgSyncError] = [ConnectionLost("never")] * 2

    async def side(number: int, trust: Trust) -> None:
        try:
            made = await secure(ends[number], trust, server=number == 1, within_s=5)
            await made.send(bytes([number]))
            assert await made.receive() == bytes([1 - number])
            result[number] = made
        except anyio.EndOfStream:
            result[number] = ConnectionLost("ended")
        except MsgSyncError as error:
            result[number] = error
        if not isinstance(result[number], Channel):
            await ends[number].aclose()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(side, 0, client)
        tasks.start_soon(side, 1, server)
    return result


async def test_each_side_knows_who_the_other_is():
    one, other = await meet(TABLET, PHONE, pipe())
    assert isinstance(one, Channel)
    assert isinstance(other, Channel)
    assert one.peer == keys_of("phone").device_id
    assert other.peer == keys_of("tablet").device_id


async def test_much_goes_both_ways_at_once_and_what_is_not_read_yet_waits():
    one, other = await meet(TABLET, PHONE, pipe())
    assert isinstance(one, Channel)
    assert isinstance(other, Channel)
    heard: dict[int, bytes] = {}

    async def talk(number: int, channel: Channel, most: int) -> None:
        async def listen() -> None:
            data = b""
            try:
                while True:
                    data += await channel.receive(most)
            except anyio.EndOfStream:
                heard[number] = data

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(listen)
            for start in range(0, len(MUCH[number]), 65_000):
                await channel.send(MUCH[number][start : start + 65_000])
            await channel.send_eof()

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(talk, 0, one, 100_000)
        tasks.start_soon(talk, 1, other, 1000)
    assert heard == {0: MUCH[1], 1: MUCH[0]}


MUCH = drawn("much", 1_000_000), drawn("more", 500_001)


async def test_nothing_of_what_is_said_and_no_key_is_readable_on_the_way():
    ends = pipe()
    one, other = await meet(TABLET, PHONE, ends)
    assert isinstance(one, Channel)
    assert isinstance(other, Channel)
    await one.send(b"Dinner at eight?" * 10)
    assert (await other.receive()).startswith(b"Dinner")
    for end in ends:
        assert b"Dinner" not in end.sent
        for name in ("phone", "tablet"):  # not even who talks
            assert keys_of(name).public.signing not in end.sent
            assert str(keys_of(name).device_id).encode() not in end.sent


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (trust_of("stranger"), PHONE),
        (TABLET, trust_of("stranger")),
        (trust_of("stranger", "phone"), PHONE),
        (TABLET, trust_of("stranger", "tablet")),
        (Trust(keys_of("tablet"), [], PASSWORD), PHONE),
    ],
    ids=["client", "server", "client knows", "server knows", "trusts nobody"],
)
async def test_strangers_are_refused_on_both_sides_in_words(client, server):
    for result in await meet(client, server, pipe()):
        assert isinstance(result, AccountMismatch)
        assert "only devices of one account sync" in str(result)


class Forger(Trust):
    """Shows other certificates than its own."""

    def __init__(self, keys: SecretKeys, shown: list[bytes], *known: str) -> None:
        super().__init__(keys, [device_of(one) for one in known], PASSWORD)
        self.shown = shown

    def _shown(self, _seed: bytes | None) -> list[bytes]:
        return self.shown


def certificate(
    subject: str,
    key: SecretKeys,
    issuer: str,
    by: SecretKeys,
    *,
    ca: bool = False,
    year: int = 9999,
) -> bytes:
    """One by hand: a key under a name, signed by another key under another name."""

    def name(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    made = x509.CertificateBuilder(
        issuer_name=name(issuer),
        subject_name=name(subject),
        public_key=Ed25519PublicKey.from_public_bytes(key.public.signing),
        serial_number=7,
        not_valid_before=datetime(2000, 1, 1, tzinfo=UTC),
        not_valid_after=datetime(year, 1, 1, tzinfo=UTC),
    ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    private = Ed25519PrivateKey.from_private_bytes(by.signing_seed())
    return made.sign(private, None).public_bytes(Encoding.DER)


EPOCH = f"epoch {derive(drawn('epoch'), 'channel name')[:16].hex()}"
EVE, TABLETS = keys_of("eve"), keys_of("tablet")
FORGED = {
    "a leaf by a member": [certificate("channel", EVE, str(TABLETS.device_id), TABLETS)],
    "a leaf by herself in a member's name": [
        certificate("channel", EVE, str(TABLETS.device_id), EVE)
    ],
    "an issuer by a member": [
        certificate("channel", EVE, str(EVE.device_id), EVE),
        certificate(str(EVE.device_id), EVE, str(TABLETS.device_id), TABLETS, ca=True),
    ],
    "an issuer by an epoch of her own": [
        certificate("channel", EVE, str(EVE.device_id), EVE),
        certificate(str(EVE.device_id), EVE, EPOCH, EVE, ca=True),
    ],
    "a leaf under the epoch's name": [certificate("channel", EVE, EPOCH, EVE)],
    "a member's name": [certificate(str(TABLETS.device_id), EVE, str(EVE.device_id), EVE)],
}


@pytest.mark.parametrize("shown", FORGED.values(), ids=FORGED.keys())
@pytest.mark.parametrize(
    "seeds", [(), (drawn("epoch"), drawn("older epoch"))], ids=["without epoch", "with epochs"]
)
async def test_nobody_vouches_for_others_and_no_name_is_proof(shown, seeds):
    phone = Trust(
        keys_of("phone"), [device_of("phone"), device_of("tablet")], PASSWORD, seeds=seeds
    )
    _, server = await meet(Forger(EVE, shown, "phone"), phone, pipe())
    assert isinstance(server, AccountMismatch)


async def test_the_clock_decides_nothing():
    """As on a device whose clock is decades off: a certificate that is over, by its own dates, is as good."""
    old = [certificate("channel", TABLETS, str(TABLETS.device_id), TABLETS, year=2001)]
    one, other = await meet(Forger(TABLETS, old, "phone"), PHONE, pipe())
    assert isinstance(one, Channel)
    assert isinstance(other, Channel)


def holder(name: str, epochs: str, *others: str) -> Trust:
    """A device that has the secrets of epochs, newest first, and knows itself and these."""
    devices = [device_of(one) for one in (name, *others)]
    return Trust(keys_of(name), devices, PASSWORD, seeds=[*map(drawn, epochs.split(", "))])


@pytest.mark.parametrize(
    ("client", "server"),
    [
        (holder("tablet", "epoch"), holder("laptop", "epoch")),
        (holder("tablet", "epoch", "laptop"), holder("laptop", "epoch")),
        (holder("tablet", "epoch"), holder("laptop", "epoch", "tablet")),
        (holder("tablet", "epoch", "laptop"), holder("laptop", "newer epoch", "tablet")),
        (holder("tablet", "epoch", "laptop"), trust_of("laptop", "tablet")),
        (holder("tablet", "epoch"), holder("laptop", "newer, new, epoch")),
        (holder("tablet", "newer, new, epoch"), holder("laptop", "epoch")),
        (holder("tablet", "new, epoch"), holder("laptop", "other, epoch")),
        (holder("tablet", "epoch", "laptop"), holder("laptop", "newer, epoch")),
        (holder("tablet", "newer, epoch"), holder("laptop", "epoch", "tablet")),
    ],
    ids=[
        "neither knows",
        "client knows",
        "server knows",
        "other epochs",
        "no epoch",
        "client slept",
        "server slept",
        "each began one",
        "known client slept",
        "known server slept",
    ],
)
async def test_who_is_known_or_has_the_epoch_gets_a_channel(client, server):
    one, other = await meet(client, server, pipe())
    assert isinstance(one, Channel)
    assert isinstance(other, Channel)
    assert one.peer == keys_of("laptop").device_id
    assert other.peer == keys_of("tablet").device_id


async def test_who_is_not_known_and_has_another_epoch_gets_none():
    """Like a device that was revoked, and draws another key."""
    for server in (holder("phone", "newer epoch", "tablet"), trust_of("phone", "tablet")):
        for result in await meet(holder("eve", "epoch", "phone"), server, pipe()):
            assert isinstance(result, AccountMismatch)


async def test_an_epoch_lets_nobody_take_the_id_of_a_device_that_is_known(monkeypatch):
    eve, tablet = keys_of("eve"), keys_of("tablet")
    for module in ("msgsync.transport.channel", "msgsync.account.certificate"):
        monkeypatch.setattr(
            f"{module}.device_id",
            lambda signing: (
                tablet.device_id if signing == eve.public.signing else device_id(signing)
            ),
        )
    _, server = await meet(
        holder("eve", "epoch", "phone"), holder("phone", "epoch", "tablet"), pipe()
    )
    assert isinstance(server, AccountMismatch)


async def test_a_device_without_a_certificate_is_refused():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    anonymous = trust_of("anonymous", "phone")
    anonymous.__dict__["client"] = context
    _, server = await meet(anonymous, PHONE, pipe())
    assert isinstance(server, AccountMismatch)
    assert "without the certificate" in str(server)


async def test_an_older_tls_is_refused_on_both_sides():
    context = trust_of("tablet", "phone")._context(ssl.PROTOCOL_TLS_CLIENT, None)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    older = Trust(keys_of("tablet"), [device_of("phone")], PASSWORD)
    older.__dict__["client"] = context
    for result in await meet(older, PHONE, pipe()):
        assert isinstance(result, VersionMismatch)


@pytest.mark.parametrize("words", [b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\x40\0\x8b\x01", bytes(500)])
async def test_what_is_no_tls_is_refused_in_words(words):
    near, far = pipe()
    await far.send(words)
    await far.send_eof()
    with pytest.raises(PeerError, match=r"no TLS|ended early"):
        await secure(near, PHONE, server=True, within_s=5)


async def test_who_says_nothing_is_given_up():
    near, _ = pipe()
    with pytest.raises(ConnectionLost, match="fell silent"):
        await secure(near, PHONE, server=True, within_s=0.01)


async def test_who_goes_away_is_a_lost_connection():
    near, far = pipe()
    await far.send_eof()
    with pytest.raises(ConnectionLost):
        await secure(near, PHONE, server=False, within_s=5)


@pytest.mark.parametrize("side", [0, 1])
async def test_bits_that_are_changed_on_the_way_make_no_channel(side):
    ends = pipe()
    await meet(TABLET, PHONE, ends)
    long = len(ends[side].sent)
    for position in range(0, long, 41):
        ends = pipe()
        ends[side].change = flipped(position)
        one, other = await meet(TABLET, PHONE, ends)
        assert not (isinstance(one, Channel) and isinstance(other, Channel)), position
        assert isinstance((one, other)[1 - side], MsgSyncError)


async def test_bits_that_are_changed_later_end_it():
    ends = pipe()
    one, other = await meet(TABLET, PHONE, ends)
    assert isinstance(one, Channel)
    assert isinstance(other, Channel)
    ends[0].change = flipped(len(ends[0].sent) + 20)
    await one.send(b"hello" * 10)
    with pytest.raises(ProtocolError, match="changed on the way"):
        await other.receive()


async def test_a_stream_that_ends_without_a_farewell_ends_and_what_came_is_kept():
    ends = pipe()
    one, other = await meet(TABLET, PHONE, ends)
    assert isinstance(one, Channel)
    assert isinstance(other, Channel)
    await one.send(b"hello")
    await ends[0].send_eof()
    assert await other.receive() == b"hello"
    with pytest.raises(anyio.EndOfStream):
        await other.receive()


async def test_no_session_is_taken_up_again():
    one, _ = await meet(TABLET, PHONE, pipe())
    assert isinstance(one, Channel)
    assert one._tls.session is None or not one._tls.session.has_ticket


async def test_the_key_is_nowhere_once_it_was_handed_over(tmp_path, monkeypatch):
    seen: list[bytes] = []
    real = ssl.SSLContext.load_cert_chain

    def look(self, certfile, keyfile=None, password=None):
        assert Path(certfile).stat().st_mode & 0o777 == 0o600
        seen.append(Path(certfile).read_bytes())
        return real(self, certfile, keyfile, password)

    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(ssl.SSLContext, "load_cert_chain", look)
    assert Trust(keys_of("phone"), [], drawn("password")).server is not None
    assert b"ENCRYPTED PRIVATE KEY" in seen[0]
    assert list(tmp_path.iterdir()) == []


async def test_without_a_folder_for_it_the_error_says_so(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "gone"))
    with pytest.raises(StorageError, match="temporary files"):
        _ = Trust(keys_of("phone"), [], drawn("password")).server
    with pytest.raises(InvalidValue):
        Trust(keys_of("phone"), [], b"short")


def test_a_trust_shows_no_secret():
    assert "knows 1" in repr(trust_of("alone"))
    assert PASSWORD.hex() not in repr(trust_of("alone"))
    assert channel.__doc__
