"""The table of conflicts names tests that exist."""

from __future__ import annotations

import ast
import re

from tests.docs.page import DOCS, ROOT

PAGE = DOCS / "concepts.md"


def rows() -> list[list[str]]:
    """The rows of the table of conflicts, without those that begin a part of it."""
    section = PAGE.read_text(encoding="utf-8").partition("## Every conflict")[2]
    lines = [line for line in section.splitlines() if line.startswith("|")][2:]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if not row[0].startswith("**")]


def test_every_conflict_names_a_test_that_exists():
    assert len(rows()) > 40
    for row in rows():
        assert len(row) == 4, row
        names = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[3])
        assert names, f"{row[:3]} has no test"
        for path, name in names:
            assert name in functions(path), f"{path} has no {name}"


def functions(path: str) -> set[str]:
    """The names of the functions of a file."""
    tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
    return {
        node.name
        for node in ast.walk(tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


def test_every_outcome_is_said():
    assert all(row[0] and row[2] for row in rows())
