"""The primitives as we call them, against the vectors of their standards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.bindings._rust import openssl as bindings
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hpke import AEAD, KDF, KEM, MLKEM768X25519PrivateKey, Suite
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id
from hypothesis import given
from hypothesis import strategies as st

from msgsync.account import suite
from msgsync.account.suite import Unsealable
from msgsync.errors import InvalidValue
from tests.unit.account.accounts import drawn, keys_of

VECTORS = Path(__file__).parents[2] / "vectors"
HPKE: list[dict[str, Any]] = json.loads((VECTORS / "hpke.json").read_text())


def opened(vector: dict[str, Any], private: Any, kem: KEM) -> bytes:
    """The text of a vector. Vectors have associated data, for which the library has no public call."""
    one = {name: bytes.fromhex(vector[name]) for name in ("enc", "ct", "info", "aad")}
    this = Suite(kem, KDF.HKDF_SHA256, AEAD.CHACHA20_POLY1305)
    decrypt: Any = bindings.hpke._decrypt_with_aad
    text: bytes = decrypt(this, one["enc"] + one["ct"], private, one["info"], one["aad"])
    return text


def test_hpke_opens_the_vector_of_rfc_9180():
    vector = HPKE[0]
    private = X25519PrivateKey.from_private_bytes(bytes.fromhex(vector["skRm"]))
    assert opened(vector, private, KEM.X25519) == bytes.fromhex(vector["pt"])


def test_a_seed_gives_the_hybrid_key_of_its_vector_and_opens_it():
    vector = HPKE[1]
    seed = bytes.fromhex(vector["skRm"])
    assert suite.hpke_public(seed) == bytes.fromhex(vector["pkRm"])
    private = MLKEM768X25519PrivateKey(*suite._halves(seed))
    assert opened(vector, private, KEM.MLKEM768_X25519) == bytes.fromhex(vector["pt"])


@pytest.mark.parametrize(
    ("memory_kib", "iterations", "lanes", "secret", "salt", "key"),
    [
        # RFC 9106, section 5.3, without its secret and associated data: the OpenSSL project's third vector.
        (32, 3, 4, "01" * 32, "02" * 16, "03aab965c12001c9d7d0d2de33192c0494b684bb148196d73c1df1acaf6d0c2e"),
        (32, 3, 4, "", "02" * 16, "0a34f1abde67086c82e785eaf17c68382259a264f4e61b91cd2763cb75ac189a"),
        # echo -n password | argon2 pycasalt -id -t 4 -k 50 -p 4 -l 8
        (50, 4, 4, b"password".hex(), b"pycasalt".hex(), "e469b777841e543f"),
    ],
)  # fmt: skip
def test_argon2id_gives_the_known_keys(memory_kib, iterations, lanes, secret, salt, key):
    got = suite.stretch(
        bytes.fromhex(secret),
        bytes.fromhex(salt),
        memory_kib=memory_kib,
        iterations=iterations,
        lanes=lanes,
        length=len(key) // 2,
    )
    assert got.hex() == key


def test_argon2id_gives_the_vector_of_rfc_9106():
    # Section 5.3 has a secret and associated data, which we never use: the library is called as we do otherwise.
    got = Argon2id(
        salt=b"\2" * 16,
        length=32,
        iterations=3,
        lanes=4,
        memory_cost=32,
        secret=b"\3" * 8,
        ad=b"\4" * 12,
    ).derive(b"\1" * 32)
    assert got.hex() == "0d640df58d78766c08c037a34a8b53c9d01ef0452d75b65eb52520e96b01e659"


def test_hkdf_gives_the_vector_of_rfc_5869(monkeypatch):
    info = bytes.fromhex("f0f1f2f3f4f5f6f7f8f9")
    monkeypatch.setattr(suite, "context", lambda *_: info)
    salt = bytes.fromhex("000102030405060708090a0b0c")
    got = suite.derive(b"\x0b" * 22, "", salt=salt)  # A.1 has 42 bytes; we take 32
    assert got.hex() == "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf"


def test_ed25519_gives_the_vector_of_rfc_8032(monkeypatch):
    monkeypatch.setattr(suite, "context", lambda *_: b"\x72")  # section 7.1, test 2
    seed = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    public = "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c"
    signature = (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )
    assert suite.signing_public(seed).hex() == public
    assert suite.sign(seed, "").hex() == signature
    assert suite.is_signed(bytes.fromhex(public), bytes.fromhex(signature), "")


@given(
    one=st.lists(st.binary(max_size=5), max_size=4),
    other=st.lists(st.binary(max_size=5), max_size=4),
)
def test_different_parts_are_different_contexts(one, other):
    assert (suite.context("a", *one) == suite.context("a", *other)) == (one == other)


def test_what_is_signed_for_one_purpose_is_good_for_no_other():
    keys = keys_of("phone")
    signature = keys.sign("roster", b"text")
    assert suite.is_signed(keys.public.signing, signature, "roster", b"text")
    assert not suite.is_signed(keys.public.signing, signature, "object", b"text")
    assert not suite.is_signed(keys.public.signing, signature, "roster", b"tex", b"t")
    assert not suite.is_signed(keys_of("tablet").public.signing, signature, "roster", b"text")
    assert not suite.is_signed(b"\xff" * 32, signature, "roster", b"text")


def test_what_is_sealed_to_a_key_is_read_by_its_holder_alone_and_in_its_context():
    phone, tablet = keys_of("phone"), keys_of("tablet")
    sealed = suite.seal_to(phone.public.hpke, b"secret", suite.context("a"))
    assert len(sealed) == len(b"secret") + suite.HPKE_OVERHEAD_BYTES
    assert phone.unseal(sealed, suite.context("a")) == b"secret"
    for keys, text, bound in (
        (tablet, sealed, suite.context("a")),
        (phone, sealed, suite.context("b")),
        (phone, sealed[:-1], suite.context("a")),
        (phone, b"", suite.context("a")),
    ):
        with pytest.raises(Unsealable):
            keys.unseal(text, bound)


@pytest.mark.parametrize(
    "public", [b"", b"\xff" * 1216, keys_of("phone").public.hpke[:-32] + bytes(32)]
)
def test_nothing_is_sealed_to_what_is_no_key(public):
    with pytest.raises(InvalidValue):
        suite.seal_to(public, b"secret", b"")


def test_a_key_that_encrypts_once_opens_only_what_it_sealed():
    key = drawn("key")
    sealed = suite.encrypt(key, b"text", b"bound")
    assert suite.decrypt(key, sealed, b"bound") == b"text"
    for arguments in (
        (drawn("other"), sealed, b"bound"),
        (key, sealed[:-1], b"bound"),
        (key, sealed, b""),
    ):
        with pytest.raises(Unsealable):
            suite.decrypt(*arguments)
