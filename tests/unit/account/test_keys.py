"""Keys of devices: what they are named, how they lie under a passphrase, and that they do not show."""

from __future__ import annotations

import contextlib
import copy
import hashlib
import pickle
import ssl
from pathlib import Path

import cbor2
import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from msgsync.account.certificate import (
    certificate_of,
    check_certificate,
    encrypted_pem,
    signing_key_in,
)
from msgsync.account.keys import PublicKeys, SecretKeys
from msgsync.account.passphrase import DEAR, Cost, unwrap, wrap
from msgsync.errors import InvalidValue, WrongPassphrase
from tests.unit.account.accounts import CHEAP, drawn, keys_of

SALT = drawn("salt", 16)
PHONE = keys_of("phone")


def test_a_device_is_named_by_its_signing_key():
    expected = hashlib.sha256(PHONE.public.signing).digest()[:8]
    assert PHONE.device_id.raw == expected == PHONE.public.device_id.raw


def test_keys_are_read_as_they_were_exported():
    assert SecretKeys(PHONE.export()) == PHONE
    assert SecretKeys(PHONE.export()).public == PHONE.public
    assert keys_of("tablet") != PHONE


@pytest.mark.parametrize("secret", [b"", bytes(63), bytes(65), bytearray(64)])
def test_keys_are_64_bytes(secret):
    with pytest.raises(InvalidValue, match="64 bytes"):
        SecretKeys(secret)


@pytest.mark.parametrize(
    ("signing", "hpke"),
    [
        (bytes(31), PHONE.public.hpke),
        (bytes(32), bytes(1215)),
        (bytes(32), PHONE.public.hpke[:-32] + bytes(32)),  # a secret that everybody knows
        (bytes(32), b"\xff" * 1216),
    ],
)
def test_public_keys_have_their_sizes(signing, hpke):
    with pytest.raises(InvalidValue):
        PublicKeys(signing, hpke)


def test_no_secret_shows():
    shown = repr(PHONE) + str(PHONE) + f"{PHONE}" + repr(PHONE.public) + repr([PHONE])
    for secret in (PHONE.export(), PHONE.export()[:32], PHONE.export()[32:]):
        assert secret.hex() not in shown
        assert repr(secret)[2:-1] not in shown
    with pytest.raises(TypeError, match="not pickled"):
        pickle.dumps(PHONE)
    with pytest.raises(TypeError, match="not pickled"):
        copy.deepcopy(PHONE)


# Under a passphrase.


def test_a_passphrase_opens_what_it_wrapped():
    wrapped = wrap(PHONE.export(), "correct horse", salt=SALT, cost=CHEAP)
    assert unwrap(wrapped, "correct horse") == PHONE.export()
    assert PHONE.export() not in wrapped


def test_a_thief_of_the_file_without_the_passphrase_gets_nothing():
    wrapped = wrap(PHONE.export(), "correct horse", salt=SALT, cost=CHEAP)
    for guess in ("Correct horse", "correct horse ", "x"):
        with pytest.raises(WrongPassphrase):
            unwrap(wrapped, guess)


def test_a_passphrase_is_the_same_in_every_unicode_form():
    wrapped = wrap(b"secret", "caf\N{LATIN SMALL LETTER E WITH ACUTE}", salt=SALT, cost=CHEAP)
    assert unwrap(wrapped, "cafe\N{COMBINING ACUTE ACCENT}") == b"secret"


def test_wrapped_keys_that_were_changed_anywhere_do_not_open():
    wrapped = wrap(PHONE.export(), "correct horse", salt=SALT, cost=CHEAP)
    for at in range(len(wrapped)):
        for changed in (wrapped[:at], wrapped[:at] + bytes((wrapped[at] ^ 1,)) + wrapped[at + 1 :]):
            with pytest.raises(WrongPassphrase):
                unwrap(changed, "correct horse")


@given(raw=st.binary(max_size=80))
def test_what_was_never_wrapped_is_refused(raw):
    with pytest.raises(WrongPassphrase):
        unwrap(raw, "x")


@pytest.mark.parametrize(
    "cost", [[2**30, 3, 1], [8, 2**20, 1], [8, 1, 2**20], [1, 1, 1], [8, 0, 1]]
)
def test_costs_that_would_stop_the_device_are_refused_before_anything_is_computed(cost):
    raw = cbor2.dumps([1, *cost, SALT, b"sealed"], canonical=True)
    with pytest.raises(WrongPassphrase):
        unwrap(raw, "x")


def test_the_cost_is_stored_and_the_default_is_dear():
    assert cbor2.loads(wrap(b"s", "x", salt=SALT, cost=Cost(16, 2, 2)))[:4] == [1, 16, 2, 2]
    assert (DEAR.memory_kib, DEAR.iterations) == (256 * 1024, 3)


def test_there_is_no_empty_passphrase():
    with pytest.raises(InvalidValue, match="at least one character"):
        wrap(b"secret", "", salt=SALT, cost=CHEAP)
    with pytest.raises(InvalidValue, match="16 bytes"):
        wrap(b"secret", "x", salt=b"", cost=CHEAP)


# Certificates.


def test_a_device_makes_the_same_certificate_every_time():
    der = certificate_of(PHONE)
    assert der == certificate_of(SecretKeys(PHONE.export()))
    check_certificate(der, PHONE.public.signing)
    assert signing_key_in(der) == PHONE.public.signing


def test_certificates_name_the_device_and_outlast_wrong_clocks():
    certificate = x509.load_der_x509_certificate(certificate_of(PHONE))
    assert certificate.subject.rfc4514_string() == f"CN={PHONE.device_id}"
    assert certificate.not_valid_before_utc.year == 2000
    assert certificate.not_valid_after_utc.year == 9999


def tls(
    folder: Path, keys: SecretKeys, trusted: list[SecretKeys], *, server: bool
) -> ssl.SSLObject:
    """One end of a TLS connection through memory, as channels will set it up."""
    protocol = ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT
    context = ssl.SSLContext(protocol)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=b"".join(map(certificate_of, trusted)))
    (folder / "c.pem").write_text(ssl.DER_cert_to_PEM_cert(certificate_of(keys)))
    (folder / "k.pem").write_bytes(encrypted_pem(keys, b"once"))
    context.load_cert_chain(folder / "c.pem", folder / "k.pem", password=b"once")
    return context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_side=server)


def shake(folder: Path, server_trusts: list[SecretKeys], client: SecretKeys) -> bytes:
    """Connect a client to the phone; return the signing key that the phone was shown."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    ends = []
    for keys, trusted, server in ((PHONE, server_trusts, True), (client, [PHONE], False)):
        own = tls(folder, keys, trusted, server=server)
        bios = (incoming, outgoing) if server else (outgoing, incoming)
        ends.append(own.context.wrap_bio(*bios, server_side=server))
    for _ in range(6):
        for end in ends:
            with contextlib.suppress(ssl.SSLWantReadError):
                end.do_handshake()
    shown = ends[0].getpeercert(binary_form=True)
    assert shown is not None
    return signing_key_in(shown)


def test_devices_that_trust_each_other_connect_and_strangers_do_not(tmp_path):
    tablet = keys_of("tablet")
    assert shake(tmp_path, [PHONE, tablet, keys_of("laptop")], tablet) == tablet.public.signing
    with pytest.raises(ssl.SSLCertVerificationError):
        shake(tmp_path, [PHONE, keys_of("laptop")], tablet)


def test_a_certificate_that_was_changed_anywhere_is_refused():
    der = certificate_of(PHONE)
    for at in range(len(der)):
        changed = der[:at] + bytes((der[at] ^ 1,)) + der[at + 1 :]
        for damaged in (changed, der[:at]):
            with pytest.raises(InvalidValue):
                check_certificate(damaged, PHONE.public.signing)


def test_a_certificate_of_another_device_is_refused():
    with pytest.raises(InvalidValue):
        check_certificate(certificate_of(keys_of("tablet")), PHONE.public.signing)


def test_the_key_is_handed_to_tls_under_a_password(tmp_path):
    certificate, key = tmp_path / "c.pem", tmp_path / "k.pem"
    certificate.write_text(ssl.DER_cert_to_PEM_cert(certificate_of(PHONE)))
    key.write_bytes(encrypted_pem(PHONE, b"once"))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key, password=b"once")
    with pytest.raises(ssl.SSLError):
        context.load_cert_chain(certificate, key, password=b"another")
