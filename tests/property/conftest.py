"""Fixtures of the property tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.property.world import World


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three devices that know each other and nothing else."""
    with World.with_replicas(tmp_path) as world:
        yield world
