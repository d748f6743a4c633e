"""An encrypted file on a disk that loses the power."""

from __future__ import annotations

from functools import partial

import pytest

import msgsync
from msgsync.testing import assert_survives_power_loss
from tests.encrypted.conftest import WORDS


@pytest.fixture(autouse=True)
def encrypted(monkeypatch):
    """What the suites open is encrypted."""
    opener = partial(msgsync.open, passphrase=WORDS, encrypted=True)
    monkeypatch.setattr(msgsync, "open", opener)


def first(replica: msgsync.Replica) -> None:
    family = replica.create_conversation("Family", id="family")
    for number in range(6):
        family.send(f"hello {number} " * 50)
    log = replica.path.with_name(f"{replica.path.name}-wal")
    assert b"hello" not in log.read_bytes() + replica.path.read_bytes()


def second(replica: msgsync.Replica) -> None:
    family = replica.conversation("family")
    shown = family.messages(limit=6)
    family.edit(shown[1].id, "edited")
    family.erase(shown[0].id)
    family.send("and it goes on")
    replica.compact()


def test_a_power_loss_at_any_moment_loses_nothing(tmp_path):
    assert assert_survives_power_loss(tmp_path, first, second, points=60, seed=1) > 30
