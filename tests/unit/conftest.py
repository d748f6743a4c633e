"""Fixtures of the unit tests: replicas that are closed when the test ends."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest

from msgsync import Conversation, MemoryMailbox, Replica
from tests.unit.machine import Machine


class Opener(Protocol):
    def __call__(self, name: str = "phone.db", **options: Any) -> Replica: ...


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def open_replica(tmp_path: Path, machine: Machine) -> Iterator[Opener]:
    """Open replicas by the name of their file. Their owner is ann; they survive anything but a power failure."""
    opened: list[Replica] = []

    def opener(name: str = "phone.db", **options: Any) -> Replica:
        defaults: dict[str, Any] = {"author": "ann", "durability": "relaxed", "system": machine}
        opened.append(Replica(tmp_path / name, **(defaults | options)))
        return opened[-1]

    yield opener
    for replica in opened:
        replica.close()


@pytest.fixture
def phone(open_replica: Opener) -> Replica:
    return open_replica("phone.db")


@pytest.fixture
def tablet(open_replica: Opener, phone: Replica) -> Replica:
    """Another device of phone's account; empty."""
    return open_replica("tablet.db", member=phone)


@pytest.fixture
def laptop(open_replica: Opener, phone: Replica) -> Replica:
    """A third device of the account; empty."""
    return open_replica("laptop.db", member=phone)


@pytest.fixture
def family(phone: Replica) -> Conversation:
    return phone.create_conversation("Family", id="family")


@pytest.fixture
def box() -> MemoryMailbox:
    """A mailbox; empty."""
    return MemoryMailbox()
