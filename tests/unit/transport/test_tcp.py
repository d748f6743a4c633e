"""Addresses: what is one. Over sockets: tests/integration/test_tcp.py."""

from __future__ import annotations

import pytest

from msgsync import InvalidValue
from msgsync.transport.tcp import from_outside, parse_address


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("tcp://127.0.0.1:0", ("127.0.0.1", 0)),
        ("tcp://127.8.9.1:65535", ("127.8.9.1", 65535)),
        ("tcp://localhost:9", ("localhost", 9)),
        ("tcp://LOCALHOST:9", ("localhost", 9)),
        ("tcp://[::1]:9", ("::1", 9)),
        ("tcp://192.168.0.7:9", ("192.168.0.7", 9)),
        ("tcp://0.0.0.0:0", ("0.0.0.0", 0)),
        ("tcp://[2001:db8::1]:9", ("2001:db8::1", 9)),
        ("tcp://example.org:9", ("example.org", 9)),
    ],
)
def test_an_address_is_a_host_and_a_port(address, place):
    assert parse_address(address) == place


def test_an_address_for_every_interface_is_told_as_one_that_others_reach():
    for everywhere in ("tcp://0.0.0.0:7700", "tcp://[::]:7700"):
        host, port = parse_address(from_outside(everywhere))
        assert port == 7700
        assert host not in ("0.0.0.0", "::")
    assert from_outside("tcp://127.0.0.1:7700") == "tcp://127.0.0.1:7700"


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
def test_another_text_is_no_address(address):
    with pytest.raises(InvalidValue, match="tcp://HOST:PORT"):
        parse_address(address)
