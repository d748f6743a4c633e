"""A channel: TLS 1.3 between two devices of an account, over any stream. Source: docs/spec/crypto.md, "Channels".

Rules
-----
- Each side shows its device's key, and takes those that its roster has; and who shows that it has the secret of an
  epoch that is here, since a device may have been added where this one has not heard of it, or revoked this one. An
  older epoch is as good, since one of the two may have slept; and whoever was revoked has it, too: so whether that one
  is in the account the session finds out, before it says anything else. Who the other is, its key says: neither a
  name nor a date counts, and nobody vouches for anybody else.
- A side that refuses says so and listens on until the other has read it. The client believes that it is connected
  before the server has looked at its certificate: only the first frame shows that it is.
- A session of before is never taken up again: whoever was revoked meanwhile is refused.
- What ends without a farewell is told apart from what was complete by the sessions, so it is no error here.

The stream's own TLS of anyio does not send what a failed handshake has to say, and writes from two tasks at once.
"""

from __future__ import annotations

import ssl
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from functools import cached_property
from typing import Final

import anyio
from anyio.abc import ByteStream

from msgsync.account.certificate import (
    channel_hint,
    encrypted_pem,
    hinted,
    key_in_leaf,
    shown_in_channel,
    trusted_in_channel,
)
from msgsync.account.device import Device
from msgsync.account.keys import SecretKeys, device_id
from msgsync.errors import (
    AccountMismatch,
    ConnectionLost,
    InvalidValue,
    MsgSyncError,
    ProtocolError,
    StorageError,
    VersionMismatch,
)
from msgsync.ids import DeviceId

PASSWORD_BYTES: Final = 32
_READ_BYTES: Final = 256 * 1024
_LINGER_S: Final = 1.0
"""For the other side to read why it was refused, before the connection is closed under it."""
_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME, which `ssl` has no name for: certificates are good for ever, and clocks are wrong."""
_BROKEN: Final = (OSError, anyio.BrokenResourceError, anyio.ClosedResourceError)

_STRANGER_HERE: Final = (
    "the other device is of another account, or of this one and the two know neither each other nor an epoch that both "
    "have; only devices of one account sync. If it is of this one, let both sync first with a device that knows both"
)
_STRANGER_THERE: Final = (
    "the other device says that this one is of another account, or of its own and the two know neither each other nor "
    "an epoch that both have; only devices of one account sync. If it is of its own, let both sync first with a device "
    "that knows both"
)
_OF_THE_CERTIFICATE: Final = frozenset(
    {
        "TLSV1_ALERT_UNKNOWN_CA",
        "TLSV1_ALERT_DECRYPT_ERROR",  # signed under another epoch
        "SSLV3_ALERT_BAD_CERTIFICATE",
        "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
        "SSLV3_ALERT_CERTIFICATE_REVOKED",
        "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
        "TLSV1_ALERT_ACCESS_DENIED",
    }
)
_OF_THE_VERSION: Final = frozenset({"TLSV1_ALERT_PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL"})
_NO_CERTIFICATE: Final = frozenset(
    {"PEER_DID_NOT_RETURN_A_CERTIFICATE", "TLSV13_ALERT_CERTIFICATE_REQUIRED"}
)


class Trust:
    """What a device shows in channels, and whose channels it takes, by one state of its roster.

    Args:
        keys: the device's own.
        devices: whom it takes, and knows.
        password: 32 random bytes, drawn for this: the key goes through a file, since `ssl` takes it from nowhere else.
        seeds: remnants of the epochs that are or were here, newest first: who has one of them, too, is taken.
    """

    def __init__(
        self,
        keys: SecretKeys,
        devices: Iterable[Device],
        password: bytes,
        *,
        seeds: Sequence[bytes] = (),
    ) -> None:
        if len(password) != PASSWORD_BYTES:
            raise InvalidValue(f"a password for the key's file has {PASSWORD_BYTES} bytes")
        self._keys = keys
        self._password = password
        self._seeds = tuple(seeds)
        self._known = {device.keys.signing: device.id for device in devices}

    @cached_property
    def client(self) -> ssl.SSLContext:
        """For the side that connects. It shows its oldest epoch: of all that it has, the one that most others have."""
        return self._context(ssl.PROTOCOL_TLS_CLIENT, self._seeds[-1] if self._seeds else None)

    @cached_property
    def hint(self) -> str:
        """The server name that the side that connects sends."""
        return channel_hint(self._seeds, self._password)

    @cached_property
    def server(self) -> ssl.SSLContext:
        """For the side that was connected to. It shows an epoch to whoever has hinted at it."""
        by_epoch: dict[bytes, ssl.SSLContext] = {}

        def on_hint(connection: ssl.SSLObject, name: str | None, _context: ssl.SSLContext) -> None:
            seed = hinted(name, self._seeds)
            if seed is not None:
                if seed not in by_epoch:
                    by_epoch[seed] = self._context(ssl.PROTOCOL_TLS_SERVER, seed)
                connection.context = by_epoch[seed]

        context = self._context(ssl.PROTOCOL_TLS_SERVER, None)
        context.sni_callback = on_hint
        return context

    def who_showed(self, certificate: bytes | None) -> DeviceId:
        """The device whose key is in a certificate that TLS has accepted.

        Raises:
            AccountMismatch: it is nobody's who is trusted.
        """
        with suppress(InvalidValue):
            signing = key_in_leaf(certificate or b"")
            found = self._known.get(signing)
            if found is not None:
                return found
            if self._seeds and device_id(signing) not in self._known.values():
                return device_id(signing)
        raise AccountMismatch(_STRANGER_HERE)

    def _context(self, protocol: ssl._SSLMethod, seed: bytes | None) -> ssl.SSLContext:
        context = ssl.SSLContext(protocol)
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_3
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
        context.options |= ssl.OP_NO_TICKET
        if protocol is ssl.PROTOCOL_TLS_SERVER:
            context.num_tickets = 0
        trusted = trusted_in_channel(self._keys, self._known, self._seeds)
        if trusted:  # somebody without a roster trusts nobody
            context.load_verify_locations(cadata=b"".join(trusted))
        self._load_key(context, seed)
        return context

    def _load_key(self, context: ssl.SSLContext, seed: bytes | None) -> None:
        certificates = "".join(map(ssl.DER_cert_to_PEM_cert, self._shown(seed))).encode("ascii")
        password = self._password.hex()
        key = encrypted_pem(self._keys, password.encode("ascii"))
        try:
            with tempfile.NamedTemporaryFile(prefix="msgsync-", suffix=".pem") as file:
                file.write(certificates + key)  # readable for this user alone, and gone at once
                file.flush()
                context.load_cert_chain(file.name, password=password)
        except OSError as error:
            raise StorageError(
                f"the key of this device cannot be handed to TLS ({error.strerror}); let there be a folder for "
                "temporary files that can be written"
            ) from error

    def _shown(self, seed: bytes | None) -> list[bytes]:
        return shown_in_channel(self._keys, seed)

    def __repr__(self) -> str:
        return f"Trust(of device {self._keys.device_id} who knows {len(self._known)})"


class Channel(ByteStream):
    """A stream that only the two devices can read and write. Closing it closes the one below."""

    def __init__(
        self, stream: ByteStream, context: ssl.SSLContext, *, hint: str | None = None
    ) -> None:
        """See `secure`, which makes it."""
        self._stream = stream
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_side=hint is None, server_hostname=hint
        )
        self._sending = anyio.Lock()
        self._ended = False
        self._error: MsgSyncError | None = None
        self._peer: DeviceId | None = None

    @property
    def peer(self) -> DeviceId:
        """The device at the other end, as it has proved."""
        assert self._peer is not None
        return self._peer

    async def shake_hands(self, trust: Trust) -> None:
        """Prove to each other who is here."""
        try:
            while True:
                try:
                    self._tls.do_handshake()
                    break
                except ssl.SSLWantReadError:
                    await self._flush()
                    await self._hear()
            self._peer = trust.who_showed(self._tls.getpeercert(binary_form=True))
            await self._flush()
        except ssl.SSLError as error:
            await self._linger()
            raise reason_of(error) from error

    async def receive(self, max_bytes: int = 65536) -> bytes:
        """Return what came, at most so many bytes.

        Raises:
            EndOfStream: nothing more comes.
            AccountMismatch, PeerError: the other side refused this one, or what came was changed on the way.
        """
        while True:
            data = self._read(max_bytes)
            if data:
                return data
            if self._error is not None:
                await self._linger()
                raise self._error
            if self._ended:
                raise anyio.EndOfStream
            await self._hear()

    def _read(self, max_bytes: int) -> bytes:
        """What has come already. A record holds 16 KiB, so there may be several."""
        pieces = []
        left = max_bytes
        while left and not self._ended and self._error is None:
            try:
                piece = self._tls.read(left)
            except ssl.SSLWantReadError:
                break
            except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
                self._ended = True
                break
            except ssl.SSLError as error:
                self._error = reason_of(error)
                self._error.__cause__ = error
                break
            self._ended = not piece
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    async def _hear(self) -> None:
        try:
            self._incoming.write(await self._stream.receive(_READ_BYTES))
        except anyio.EndOfStream:
            self._incoming.write_eof()

    async def send(self, item: bytes) -> None:
        """Send bytes, and return when the stream below has taken them."""
        self._tls.write(item)
        await self._flush()

    async def _flush(self) -> None:
        async with self._sending:  # what was encrypted first goes first
            while self._outgoing.pending:
                await self._stream.send(self._outgoing.read())

    async def send_eof(self) -> None:
        """Say that nothing more comes from here; the other side can go on."""
        with suppress(ssl.SSLError):  # it wants to read the answer: that is for who receives
            self._tls.unwrap()
        await self._flush()
        await self._stream.send_eof()

    async def _linger(self) -> None:
        """Let the other side read why; a connection that is closed while it still sends would take that away."""
        if not self._outgoing.pending:
            return  # it was the other side that refused
        with anyio.move_on_after(_LINGER_S), suppress(*_BROKEN, anyio.EndOfStream):
            await self._flush()
            await self._stream.send_eof()
            while True:
                await self._stream.receive(_READ_BYTES)

    async def aclose(self) -> None:
        """Close the stream below."""
        await self._stream.aclose()


async def secure(stream: ByteStream, trust: Trust, *, server: bool, within_s: float) -> Channel:
    """Make a stream a channel; it is closed if that fails.

    Args:
        stream: any that keeps the order of bytes.
        trust: who this device is, and whom it takes.
        server: whether this side was connected to.
        within_s: seconds after which whoever is at the other end is not one of ours.

    Raises:
        AccountMismatch: one side does not know the other.
        VersionMismatch: the other side speaks an older TLS.
        ProtocolError: it speaks something else.
        ConnectionLost: it went away, or fell silent.
    """
    context, hint = (trust.server, None) if server else (trust.client, trust.hint)
    channel = Channel(stream, context, hint=hint)
    try:
        with anyio.fail_after(within_s):
            await channel.shake_hands(trust)
    except (TimeoutError, *_BROKEN) as error:
        await anyio.aclose_forcefully(stream)
        silent = isinstance(error, TimeoutError)
        what = "the other side fell silent" if silent else "the connection broke"
        raise ConnectionLost(f"{what}; sync again to go on from there") from error
    except BaseException:
        await anyio.aclose_forcefully(stream)
        raise
    return channel


def reason_of(error: ssl.SSLError) -> MsgSyncError:
    """What an error of TLS means here."""
    reason = error.reason or ""
    if isinstance(error, ssl.SSLCertVerificationError):
        return AccountMismatch(_STRANGER_HERE)
    if reason in _OF_THE_CERTIFICATE:
        return AccountMismatch(_STRANGER_THERE)
    if reason in _NO_CERTIFICATE:
        return AccountMismatch(
            "a connection without the certificate of a device; only devices sync"
        )
    if isinstance(error, ssl.SSLEOFError):
        return ConnectionLost("the connection ended early; sync again to go on from there")
    if reason in _OF_THE_VERSION:
        return VersionMismatch("the other side speaks an older TLS than 1.3; update it")
    said = reason.lower().replace("_", " ") or "no reason"
    return ProtocolError(
        f"what came is no TLS, or was changed on the way ({said}); if the other side is msgsync, it is from before "
        "sessions were encrypted: update it"
    )
