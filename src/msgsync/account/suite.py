"""Every primitive, as we call it, with one label for each use. Source: docs/spec/crypto.md, "Suite".

There is one suite and no negotiation. Its number stands in every `context`, and a context stands in every hash,
signature, derivation and encryption, so that bytes made for one purpose are good for no other.
"""

from __future__ import annotations

from typing import Final

from cryptography.exceptions import InvalidSignature, InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PrivateKey, MLKEM768PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hpke import (
    AEAD,
    KDF,
    KEM,
    MLKEM768X25519PrivateKey,
    MLKEM768X25519PublicKey,
    Suite,
)
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from msgsync.errors import InvalidValue

SUITE: Final = 1
"""Ed25519; HPKE of MLKEM768-X25519, HKDF-SHA256 and ChaCha20-Poly1305; the last two alone; SHA-256; Argon2id."""
KEY_BYTES: Final = 32
HASH_BYTES: Final = 32
TAG_BYTES: Final = 16
SIGNATURE_BYTES: Final = 64
HPKE_PUBLIC_BYTES: Final = 1184 + 32
HPKE_OVERHEAD_BYTES: Final = 1088 + 32 + TAG_BYTES
"""What a sealed text is longer than the text: the encapsulated key and the tag."""
_MLKEM_BYTES: Final = 1184
_MLKEM_SEED_BYTES: Final = 64
_ONCE: Final = bytes(12)
"""The nonce of a key that encrypts once."""
_ANYBODY: Final = X25519PrivateKey.from_private_bytes(bytes(32))
_HPKE: Final = Suite(KEM.MLKEM768_X25519, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)


class Unsealable(Exception):
    """The key, the context or the bytes are not those that were sealed."""


def context(purpose: str, *parts: bytes) -> bytes:
    """A purpose and what belongs to it as one string: no two lists of parts give the same."""
    head = b"msgsync/" + purpose.encode("ascii") + b"\0" + bytes((SUITE,))
    return head + b"".join(len(part).to_bytes(4, "big") + part for part in parts)


def digest(purpose: str, *parts: bytes) -> bytes:
    """SHA-256 of a context: 32 bytes."""
    state = hashes.Hash(hashes.SHA256())
    state.update(context(purpose, *parts))
    return state.finalize()


def derive(secret: bytes, purpose: str, *parts: bytes, salt: bytes = b"") -> bytes:
    """HKDF-SHA256: a key of 32 bytes for one purpose. Source: RFC 5869."""
    return HKDF(
        algorithm=hashes.SHA256(), length=KEY_BYTES, salt=salt, info=context(purpose, *parts)
    ).derive(secret)


def stretch(
    secret: bytes, salt: bytes, *, memory_kib: int, iterations: int, lanes: int, length: int = 32
) -> bytes:
    """Argon2id: a key from what a person can type. Source: RFC 9106."""
    return Argon2id(
        salt=salt, length=length, iterations=iterations, lanes=lanes, memory_cost=memory_kib
    ).derive(secret)


# Encryption under a key that is used once.


def encrypt(key: bytes, text: bytes, bound: bytes) -> bytes:
    """ChaCha20-Poly1305 under a key that encrypts nothing else ever; ``bound`` is authenticated with it."""
    return ChaCha20Poly1305(key).encrypt(_ONCE, text, bound)


def encrypt_into(key: bytes, text: memoryview, bound: bytes, sealed: memoryview) -> None:
    """The same, into a buffer that is `TAG_BYTES` longer than the text."""
    ChaCha20Poly1305(key).encrypt_into(_ONCE, text, bound, sealed)


def decrypt(key: bytes, sealed: bytes, bound: bytes) -> bytes:
    """The text.

    Raises:
        Unsealable: another key, other bytes, or another context.
    """
    try:
        return ChaCha20Poly1305(key).decrypt(_ONCE, sealed, bound)
    except InvalidTag as error:
        raise Unsealable from error


def decrypt_into(key: bytes, sealed: bytes, bound: bytes, text: memoryview) -> None:
    """The same, into a buffer that is `TAG_BYTES` shorter than what was sealed. Raises Unsealable."""
    try:
        ChaCha20Poly1305(key).decrypt_into(_ONCE, sealed, bound, text)
    except InvalidTag as error:
        raise Unsealable from error


# Signatures.


def signing_public(seed: bytes) -> bytes:
    """The public half of an Ed25519 key: 32 bytes."""
    return Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()


def sign(seed: bytes, purpose: str, *parts: bytes) -> bytes:
    """An Ed25519 signature of a context: 64 bytes, the same every time. Source: RFC 8032."""
    return Ed25519PrivateKey.from_private_bytes(seed).sign(context(purpose, *parts))


def is_signed(public: bytes, signature: bytes, purpose: str, *parts: bytes) -> bool:
    """Whether the holder of the key signed this context."""
    try:
        Ed25519PublicKey.from_public_bytes(public).verify(signature, context(purpose, *parts))
    except (InvalidSignature, ValueError):
        return False
    return True


# Encryption to the holder of a key. The ephemeral keys are drawn by the library from the operating system: HPKE has
# no interface that takes them, so sealed bytes differ each time even where everything else is repeatable.


def _halves(seed: bytes) -> tuple[MLKEM768PrivateKey, X25519PrivateKey]:
    """The two keys that a seed of 32 bytes stands for. Source: draft-connolly-cfrg-xwing-kem, section 5.2."""
    state = hashes.Hash(hashes.SHAKE256(_MLKEM_SEED_BYTES + KEY_BYTES))
    state.update(seed)
    expanded = state.finalize()
    return (
        MLKEM768PrivateKey.from_seed_bytes(expanded[:_MLKEM_SEED_BYTES]),
        X25519PrivateKey.from_private_bytes(expanded[_MLKEM_SEED_BYTES:]),
    )


def hpke_public(seed: bytes) -> bytes:
    """The public half of the key of a seed: 1,184 bytes of ML-KEM-768 and 32 of X25519."""
    mlkem, x25519 = _halves(seed)
    return mlkem.public_key().public_bytes_raw() + x25519.public_key().public_bytes_raw()


def read_hpke_public(public: bytes) -> MLKEM768X25519PublicKey:
    """The public key that these bytes write. One that gives everybody the same secret is none.

    Raises:
        InvalidValue: they write none.
    """
    if len(public) != HPKE_PUBLIC_BYTES:
        raise InvalidValue(f"an HPKE key has {HPKE_PUBLIC_BYTES} bytes")
    try:
        mlkem = MLKEM768PublicKey.from_public_bytes(public[:_MLKEM_BYTES])
        x25519 = X25519PublicKey.from_public_bytes(public[_MLKEM_BYTES:])
        _ANYBODY.exchange(x25519)  # raises if the key has low order
        return MLKEM768X25519PublicKey(mlkem, x25519)
    except ValueError as error:
        raise InvalidValue("not an HPKE key") from error


def seal_to(public: bytes, text: bytes, bound: bytes) -> bytes:
    """HPKE in base mode, one message: only the holder of the key can read it. Source: RFC 9180, section 6.1.

    Raises:
        InvalidValue: this is no key.
    """
    return _HPKE.encrypt(text, read_hpke_public(public), info=bound)


def unseal(seed: bytes, sealed: bytes, bound: bytes) -> bytes:
    """What was sealed to the key of this seed.

    Raises:
        Unsealable: it was sealed to another, in another context, or has been changed.
    """
    try:
        return _HPKE.decrypt(sealed, MLKEM768X25519PrivateKey(*_halves(seed)), info=bound)
    except (InvalidTag, ValueError) as error:
        raise Unsealable from error
