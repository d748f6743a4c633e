"""Tests of encrypted files need an SQLite that can encrypt: `make encrypted` puts `apsw-sqlite3mc` before `apsw`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import apsw
import pytest

from msgsync import Conversation, Replica
from msgsync.account import filekey, vault
from msgsync.account.passphrase import Cost
from tests.unit.machine import Machine

collect_ignore_glob = [] if hasattr(apsw, "mc_version") else ["*"]

WORDS = "correct horse battery staple"
CHEAP = Cost(memory_kib=8, iterations=1, lanes=1)
"""What a guess costs in tests: nothing."""


class Opener(Protocol):
    def __call__(self, name: str = "phone.db", **options: Any) -> Replica: ...


@pytest.fixture(autouse=True)
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(filekey, "DEAR", CHEAP)
    monkeypatch.setattr(vault, "DEAR", CHEAP)


@pytest.fixture
def open_replica(tmp_path: Path) -> Iterator[Opener]:
    """Open encrypted replicas of ann's by the name of their file; new ones are made."""
    opened: list[Replica] = []
    machine = Machine()

    def opener(name: str = "phone.db", **options: Any) -> Replica:
        defaults: dict[str, Any] = {
            "author": "ann",
            "durability": "relaxed",
            "system": machine,
            "passphrase": WORDS,
            "encrypted": True,
        }
        opened.append(Replica(tmp_path / name, **(defaults | options)))
        return opened[-1]

    yield opener
    for replica in opened:
        replica.close()


@pytest.fixture
def phone(open_replica: Opener) -> Replica:
    return open_replica()


@pytest.fixture
def family(phone: Replica) -> Conversation:
    return phone.create_conversation("Family", id="family-of-ann")
