"""Fixtures of the tests with real sockets, threads and processes: replicas that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import msgsync
from msgsync import Replica
from tests.integration.bucket import s3_server


@pytest.fixture(scope="session")
def server() -> Iterator[str]:
    """The address of an S3 server, the one of a process that runs tests: starting it takes seconds."""
    with s3_server() as address:
        yield address


@pytest.fixture
def phone(tmp_path: Path) -> Iterator[Replica]:
    """An empty replica of ann's. Files that want something in it put it there, in a fixture of this name."""
    with msgsync.open(tmp_path / "phone.db", author="ann", durability="relaxed") as replica:
        yield replica


@pytest.fixture
def tablet(phone: Replica, tmp_path: Path) -> Iterator[Replica]:
    """Another device of phone's account; empty."""
    with phone.new_device(tmp_path / "tablet.db") as replica:
        yield replica
