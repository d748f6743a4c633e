"""Fixtures of the hostile tests: those of the unit tests."""

from __future__ import annotations

from tests.unit.conftest import family, machine, open_replica, phone, tablet

__all__ = ["family", "machine", "open_replica", "phone", "tablet"]
