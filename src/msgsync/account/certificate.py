"""Certificates: a device's signing key in the form that TLS knows. Source: docs/spec/crypto.md.

They say nothing that the roster does not say: whom to trust is decided by the key alone. The form of a device's own
certificate is fixed, so that it makes the same bytes every time: the subject is the device id (TLS picks the wrong one
of two certificates with equal subjects), and it is valid from 2000 to 9999 (clocks are wrong).

In a channel a device shows a **leaf**, signed by its key under the name of its id, and an **issuer** of that name: its
key, signed under an epoch. Who knows the device trusts its key under that name and needs no issuer; who does not know
it takes the issuer, if it has the epoch's secret. So TLS decides, and both ways show the same leaf. An epoch has a name
of its own there, or TLS would try one of several at random; whoever listens shows it only to a client whose **hint**
proves that it has that epoch, so that nobody else sees which devices are of one account.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from msgsync import limits
from msgsync.account.keys import SecretKeys, device_id
from msgsync.account.suite import derive
from msgsync.errors import InvalidValue

_FROM: Final = datetime(2000, 1, 1, tzinfo=UTC)
HINTS: Final = 16
"""So many epochs a hint tells of."""
_SALT_BYTES: Final = 16
_TAG_BYTES: Final = 4
_LABEL: Final = 40
_UNTIL: Final = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)


def certificate_of(keys: SecretKeys) -> bytes:
    """The certificate of a device, DER: the same bytes every time."""
    private = Ed25519PrivateKey.from_private_bytes(keys.signing_seed())
    signing = keys.public.signing
    name = _name(signing)
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=private.public_key(),
        serial_number=_serial(signing),
        not_valid_before=_FROM,
        not_valid_after=_UNTIL,
    ).add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
    return builder.sign(private, algorithm=None).public_bytes(Encoding.DER)


def check_certificate(der: bytes, signing: bytes) -> None:
    """See that this is the certificate of the device with this signing key.

    Raises:
        InvalidValue: it is not.
    """
    if type(der) is not bytes or len(der) > limits.CERTIFICATE_BYTES:
        raise InvalidValue("a certificate beyond its limit")
    try:
        certificate = x509.load_der_x509_certificate(der)
        if (
            signing_key_in(der) != signing
            or certificate.subject != _name(signing)
            or certificate.serial_number != _serial(signing)
            or certificate.not_valid_before_utc != _FROM
            or certificate.not_valid_after_utc != _UNTIL
            or [one.value for one in certificate.extensions]
            != [x509.BasicConstraints(ca=False, path_length=None)]
        ):
            raise InvalidValue("a certificate that says something else than the device's own")
        certificate.verify_directly_issued_by(certificate)
    except (
        ValueError,
        TypeError,
        KeyError,  # the library's, up to version 48, for strings of a kind that it does not know
        InvalidSignature,
        UnsupportedAlgorithm,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
        x509.InvalidVersion,
    ) as error:
        raise InvalidValue("not the certificate of a device") from error


def signing_key_in(der: bytes) -> bytes:
    """The signing key in a certificate, such as the one that a peer of TLS showed: ask the roster whose it is.

    Raises:
        InvalidValue: it holds no such key.
    """
    try:
        key = x509.load_der_x509_certificate(der).public_key()
    except (ValueError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise InvalidValue("not a certificate") from error
    if not isinstance(key, Ed25519PublicKey):
        raise InvalidValue("a certificate of another kind of key")
    return key.public_bytes_raw()


# In channels.


def shown_in_channel(keys: SecretKeys, seed: bytes | None) -> list[bytes]:
    """What a device shows, DER: its leaf, and under an epoch, of which this is the remnant, the issuer."""
    private = Ed25519PrivateKey.from_private_bytes(keys.signing_seed())
    own = _name(keys.public.signing)
    leaf = _made(_LEAF, own, private.public_key(), private)
    if seed is None:
        return [leaf]
    epoch = Ed25519PrivateKey.from_private_bytes(seed)
    return [leaf, _made(own, _epoch_name(seed), private.public_key(), epoch, issues=0)]


def trusted_in_channel(
    keys: SecretKeys, known: Iterable[bytes], seeds: Iterable[bytes]
) -> list[bytes]:
    """Whom a device trusts to issue leaves, DER: each known key under its own name, and who has one of the epochs.

    Nobody ever looks at the signature of what is trusted itself, so the device makes them all.
    """
    private = Ed25519PrivateKey.from_private_bytes(keys.signing_seed())
    made = []
    for signing in known:
        name = _name(signing)
        public = Ed25519PublicKey.from_public_bytes(signing)
        made.append(_made(name, name, public, private, issues=0))
    for seed in seeds:
        epoch = Ed25519PrivateKey.from_private_bytes(seed)
        name = _epoch_name(seed)
        made.append(_made(name, name, epoch.public_key(), epoch, issues=1))
    return made


def channel_hint(seeds: Sequence[bytes], drawn: bytes) -> str:
    """A server name by which whoever has one of the epochs sees so, and anybody else sees random digits.

    Args:
        seeds: of the client's epochs, newest first; of more than `HINTS` the newest ones and the oldest are told.
        drawn: random bytes, of this one connection.
    """
    salt = derive(drawn, "channel salt")[:_SALT_BYTES]
    told = [*seeds[: HINTS - 1], *seeds[HINTS - 1 :][-1:]]
    tags = [_tag(seed, salt) for seed in told]
    filling = [derive(drawn, "channel filling", bytes((at,))) for at in range(len(tags), HINTS)]
    digits = b"".join([salt, *tags, *(one[:_TAG_BYTES] for one in filling)]).hex()
    return ".".join(digits[at : at + _LABEL] for at in range(0, len(digits), _LABEL))


def hinted(name: str | None, seeds: Iterable[bytes]) -> bytes | None:
    """The first of these whose epoch the client has, by the server name that it sent; None if there is none."""
    try:
        raw = bytes.fromhex((name or "").replace(".", ""))
    except ValueError:
        return None
    if len(raw) != _SALT_BYTES + HINTS * _TAG_BYTES:
        return None
    salt, rest = raw[:_SALT_BYTES], raw[_SALT_BYTES:]
    tags = {rest[at : at + _TAG_BYTES] for at in range(0, len(rest), _TAG_BYTES)}
    return next((seed for seed in seeds if _tag(seed, salt) in tags), None)


def _tag(seed: bytes, salt: bytes) -> bytes:
    return derive(seed, "channel hint", salt=salt)[:_TAG_BYTES]


def key_in_leaf(der: bytes) -> bytes:
    """The signing key of a leaf that TLS has accepted, and that this very key has signed: nobody vouches for others.

    Raises:
        InvalidValue: it is no such leaf.
    """
    signing = signing_key_in(der)
    certificate = x509.load_der_x509_certificate(der)
    try:
        Ed25519PublicKey.from_public_bytes(signing).verify(
            certificate.signature, certificate.tbs_certificate_bytes
        )
        named = certificate.issuer == _name(signing)
    except (ValueError, InvalidSignature) as error:
        raise InvalidValue("a certificate that its own key did not sign") from error
    if not named:
        raise InvalidValue("a certificate under another device's name")
    return signing


def _made(
    subject: x509.Name,
    issuer: x509.Name,
    public: Ed25519PublicKey,
    by: Ed25519PrivateKey,
    *,
    issues: int | None = None,
) -> bytes:
    """A certificate that issues none, or leaves (0), or issuers of leaves (1)."""
    constraints = x509.BasicConstraints(ca=issues is not None, path_length=issues)
    builder = x509.CertificateBuilder(
        issuer_name=issuer,
        subject_name=subject,
        public_key=public,
        serial_number=_serial(public.public_bytes_raw()),
        not_valid_before=_FROM,
        not_valid_after=_UNTIL,
    ).add_extension(constraints, critical=True)
    return builder.sign(by, algorithm=None).public_bytes(Encoding.DER)


def encrypted_pem(keys: SecretKeys, password: bytes) -> bytes:
    """The signing key as PEM under a password that is drawn for this one use: `ssl` takes keys from files only."""
    private = Ed25519PrivateKey.from_private_bytes(keys.signing_seed())
    return private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )


def _called(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _name(signing: bytes) -> x509.Name:
    return _called(str(device_id(signing)))


_LEAF: Final = _called("channel")


def _epoch_name(seed: bytes) -> x509.Name:
    return _called(f"epoch {derive(seed, 'channel name')[:16].hex()}")


def _serial(signing: bytes) -> int:
    return int.from_bytes(hashlib.sha256(signing).digest()[:16], "big") >> 1 or 1
