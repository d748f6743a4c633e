"""The certificate that a device shows in TLS: its signing key, signed by itself. Source: docs/spec/crypto.md.

It says nothing that the roster does not say: whom to trust is decided by the key alone. The form is fixed, so that
a device makes the same bytes every time: the subject is the device id (TLS picks the wrong one of two certificates
with equal subjects), and it is valid from 2000 to 9999 (clocks are wrong).
"""

from __future__ import annotations

import hashlib
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
from msgsync.errors import InvalidValue

_FROM: Final = datetime(2000, 1, 1, tzinfo=UTC)
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


def encrypted_pem(keys: SecretKeys, password: bytes) -> bytes:
    """The signing key as PEM under a password that is drawn for this one use: `ssl` takes keys from files only."""
    private = Ed25519PrivateKey.from_private_bytes(keys.signing_seed())
    return private.private_bytes(
        Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(password)
    )


def _name(signing: bytes) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(device_id(signing)))])


def _serial(signing: bytes) -> int:
    return int.from_bytes(hashlib.sha256(signing).digest()[:16], "big") >> 1 or 1
