"""A kind of input: how one is drawn, and what must hold of whatever is drawn."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple


class Kind(NamedTuple):
    """One door through which bytes come in from outside."""

    draw: Callable[[Random], bytes]
    """An input: a function of the numbers drawn alone, so that its number brings it back."""
    check: Callable[[bytes], bool]
    """Whether it was taken; it may also be refused in words. Raises whatever else happens."""
