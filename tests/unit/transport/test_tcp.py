"""Addresses: what is one, and which lead beyond this machine. Over sockets: tests/integration/test_tcp.py."""

from __future__ import annotations

import pytest

from msgsync import InsecureTransport, InvalidValue
from msgsync.transport.tcp import parse_address


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("tcp://127.0.0.1:0", ("127.0.0.1", 0)),
        ("tcp://127.8.9.1:65535", ("127.8.9.1", 65535)),
        ("tcp://localhost:9", ("localhost", 9)),
        ("tcp://LOCALHOST:9", ("localhost", 9)),
        ("tcp://[::1]:9", ("::1", 9)),
    ],
)
def test_an_address_on_this_machine_needs_nothing(address, place):
    assert parse_address(address, insecure=False) == place


@pytest.mark.parametrize(
    "host",
    [
        "192.168.0.7",
        "0.0.0.0",
        "[::]",
        "[2001:db8::1]",
        "example.org",
        "localhost.example.org",
        "[::ffff:10.0.0.1]",
        "1.1",
    ],
)
def test_an_address_beyond_this_machine_must_be_allowed(host):
    with pytest.raises(InsecureTransport):
        parse_address(f"tcp://{host}:9", insecure=False)
    assert parse_address(f"tcp://{host}:9", insecure=True) == (host.strip("[]"), 9)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "127.0.0.1:9",
        "tcp://",
        "tcp://:9",
        "tcp://127.0.0.1",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:x",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:-1",
        "tcp://127.0.0.1:9/path",
        "tcp://127.0.0.1:9?query",
        "http://127.0.0.1:9",
        "tcp://[::1:9",
    ],
)
@pytest.mark.parametrize("insecure", [False, True])
def test_another_text_is_no_address(address, insecure):
    with pytest.raises(InvalidValue, match="tcp://HOST:PORT"):
        parse_address(address, insecure=insecure)
