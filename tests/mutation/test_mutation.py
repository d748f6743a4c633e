"""The mutants: what is changed and what is left alone, and that the list of equivalents is up to date."""

from __future__ import annotations

import ast
import re
import subprocess
import sys

import pytest

from tests.mutation.__main__ import equivalents
from tests.mutation.changes import mutants_of
from tests.mutation.targets import MODULES, ROOT, SOURCES, files_for


@pytest.mark.parametrize(
    ("line", "changes"),
    [
        ("x = a < b", ["a < b -> a <= b"]),
        ("x = a == b is c", ["a == b is c -> a != b is c", "a == b is c -> a == b is not c"]),
        ("x = a + b", ["a + b -> a - b"]),
        ("x = a and b", ["a and b -> a or b"]),
        ("x = not a", ["not a -> a"]),
        ("x = 7", ["7 -> 8"]),
        ("x = True", ["True -> False"]),
        ("x = 'a', b'a'", ["'a' -> 'aX'", "b'a' -> b'aX'"]),
        ("x = min(a)", ["min(a) -> max(a)"]),
        ("x = [a for a in b if c]", ["c -> not c"]),
        ("x.y = a", ["x.y = a -> pass"]),
        ("x += a", ["x += a -> x -= a"]),
        ("x.y += a", ["x.y += a -> pass", "x.y += a -> x.y -= a"]),
        ("go(x)", ["go(x) -> pass"]),
        ("raise Bad('words', 1)", ["raise Bad('words', 1) -> pass"]),
        ("del x", ["del x -> pass"]),
        ("return x", ["return x -> return None"]),
        ("return None", []),
        ("x: int | str", []),
        ("'''what it is'''", []),
        ("assert x < y", []),
        ("x = zip(a, strict=True)", []),
        ("x = f'words {a}'", []),
        ("import x", []),
    ],
)
def test_one_thing_is_changed_at_a_time(line, changes):
    _, found = mutants_of(f"def f():\n    {line}\n")
    assert [one.change for one in found] == [f"{line} [{change}]" for change in changes]
    for number, change in enumerate(changes):
        tree, again = mutants_of(f"def f():\n    {line}\n")
        assert again[number].is_in_function
        again[number].apply()
        assert change.split(" -> ")[1] in ast.unparse(tree)


def test_mutants_are_named_by_where_they_are_and_told_apart():
    _, found = mutants_of("class A:\n    x = 1\n    def f(self, a=1):\n        return 2 + 2\n")
    assert [(one.function, one.change, one.is_in_function) for one in found] == [
        ("A", "x = 1 [1 -> 2]", False),
        ("A.f", "def f(self, a=1): [1 -> 2]", False),
        ("A.f", "return 2 + 2 [return 2 + 2 -> return None]", True),
        ("A.f", "return 2 + 2 [2 + 2 -> 2 - 2]", True),
        ("A.f", "return 2 + 2 [2 -> 3]", True),
        ("A.f", "return 2 + 2 [2 -> 3] #2", True),
    ]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_tests_and_every_equivalent_is_a_mutant_of_it(module):
    assert all((ROOT / one).exists() for one in files_for(module, near=False))
    _, found = mutants_of((SOURCES / module).read_text())
    there = [(one.function, one.change) for one in found]
    assert len(set(there)) == len(there)
    assert equivalents().get(module, set()) <= set(there)


def test_equivalents_name_modules_that_are_changed():
    assert equivalents().keys() <= set(MODULES)


@pytest.mark.timeout(300)  # it imports everything a dozen times, and machines are busy
def test_a_change_is_noticed_by_the_tests_in_functions_and_at_the_level_of_the_module(tmp_path):
    command = ["--module", "document/columns.py", "--near", "--sample", "12", "--workers", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "tests.mutation", *command, f"--kept={tmp_path}/kept"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    figures = re.search(r"columns.py .* 12 run +(\d+) killed", done.stdout)
    assert figures, done.stdout + done.stderr
    assert 9 <= int(figures[1]) <= 12
