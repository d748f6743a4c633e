"""Fixtures of the property tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from tests.property.world import World

CI_SECONDS = 600
"""A test runs many examples, on machines that are busy; and hypothesis, which shrinks for five minutes, is to end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give these tests more time than the others; in the deep profile the command line says how much."""
    if settings.get_current_profile_name() == "deep":
        return
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.timeout(CI_SECONDS))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """Three devices that know each other and nothing else."""
    with World.with_replicas(tmp_path) as world:
        yield world
