"""What digests must be, without knowing the hash. Source: design 4, Digests.

A replica's digest is a sum over its documents, and each summand is a function of the document's name and of the
entries in it that matter. The summands are unknown here, so each observed digest is one linear equation modulo
2^128 between them; a digest that contradicts the earlier ones is not such a sum. A document in another state is
another unknown, so a digest that misses a kind of entry shows up as one digest for two states.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

MODULUS = 1 << 128
Factors: TypeAlias = dict[Hashable, int]


class DigestContradiction(AssertionError):
    """A digest is not what earlier digests imply."""


@dataclass
class Ledger:
    """Equations between digests and the states of documents they count."""

    _rows: dict[Hashable, tuple[Factors, int]] = field(default_factory=dict)
    """By pivot, whose factor is 1 and which occurs in no other row: the factors and their sum."""
    _states: dict[bytes, frozenset[Hashable]] = field(default_factory=dict)

    def observe(self, parts: Iterable[Hashable], digest: bytes) -> None:
        """Learn that a replica whose documents are in these states has this digest.

        Raises:
            DigestContradiction: earlier observations exclude it.
        """
        counted = frozenset(parts)
        known = self._states.setdefault(digest, counted)
        if known != counted:
            raise DigestContradiction(f"one digest for two states that differ in {known ^ counted}")
        factors, rest = self._reduce(counted, int.from_bytes(digest, "big"))
        if not factors:
            if rest:
                raise DigestContradiction(f"not the digest of this state, seen before: {counted}")
            return
        pivot = next((part for part, factor in factors.items() if factor % 2), None)
        if pivot is None:
            return
        inverse = pow(factors[pivot], -1, MODULUS)
        row = {part: factor * inverse % MODULUS for part, factor in factors.items()}
        total = rest * inverse % MODULUS
        for other, (other_row, other_total) in list(self._rows.items()):
            if pivot in other_row:
                self._rows[other] = _subtract(other_row, other_total, row, total, other_row[pivot])
        self._rows[pivot] = row, total

    def predict(self, parts: Iterable[Hashable]) -> bytes | None:
        """Return the digest of documents in these states, or None if that does not follow yet."""
        factors, rest = self._reduce(frozenset(parts), 0)
        return None if factors else (-rest % MODULUS).to_bytes(16, "big")

    def _reduce(self, parts: frozenset[Hashable], total: int) -> tuple[Factors, int]:
        factors: Factors = dict.fromkeys(parts, 1)
        for part in parts & self._rows.keys():
            row, row_total = self._rows[part]
            factors, total = _subtract(factors, total, row, row_total, factors[part])
        return factors, total


def _subtract(
    factors: Factors, total: int, row: Factors, row_total: int, times: int
) -> tuple[Factors, int]:
    result = dict(factors)
    for part, factor in row.items():
        value = (result.get(part, 0) - times * factor) % MODULUS
        if value:
            result[part] = value
        else:
            result.pop(part, None)
    return result, (total - times * row_total) % MODULUS
