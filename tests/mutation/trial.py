"""One mutant and the tests: each in a process of its own, forked from one that has imported what takes long.

That process must not have imported msgsync: the child imports it, with one module changed.
"""

from __future__ import annotations

import ast
import importlib
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType

from tests.mutation.changes import Mutant
from tests.mutation.targets import ROOT, SOURCES

_IMPORTED = ("anyio", "apsw", "cbor2", "cryptography", "hypothesis.strategies", "pycrdt", "pytest")
_TIMEOUT_S = 20
"""What a test may take, then it has noticed that something never ends."""
_LIMIT_S = 120
"""What all tests together may take, or one that cannot be interrupted."""
_MEMORY_BYTES = 4 << 30
_OPTIONS = (
    *("-x", "-q", f"--timeout={_TIMEOUT_S}", "--hypothesis-profile=mutants"),
    *("-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # plugins are imported beforehand
)


@dataclass(frozen=True, slots=True)
class Trial:
    """A module, what is changed in it (nothing, to see that the tests pass), and the tests."""

    module: str
    tree: ast.Module
    mutant: Mutant | None
    tests: Sequence[str]


class _Loader(SourceFileLoader):
    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self._tree = tree

    def get_code(self, fullname: str) -> CodeType:
        return compile(self._tree, self.path, "exec", dont_inherit=True)


class _Finder(MetaPathFinder):
    def __init__(self, module: str, tree: ast.Module) -> None:
        self._path = SOURCES / module
        self._name = "msgsync." + module.removesuffix(".py").replace("/", ".")
        self._tree = tree

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self._name:
            return None
        loader = _Loader(fullname, str(self._path), self._tree)
        return spec_from_file_location(fullname, self._path, loader=loader)


def prepare() -> None:
    """Import what every child needs, and be modest."""
    os.chdir(ROOT)
    os.nice(10)
    for name in _IMPORTED:
        importlib.import_module(name)
    if "msgsync" in sys.modules:
        raise RuntimeError("msgsync is imported already; the changed module would not be")


def run(trials: Iterator[Trial], workers: int, scratch: Path) -> Iterator[tuple[Trial, bool]]:
    """Run trials, so many at a time; give each with whether all tests passed, in the order of their ends."""
    running: dict[int, tuple[Trial, int, float, Path]] = {}
    number = 0
    more = True
    while more or running:
        while more and len(running) < workers:
            trial = next(trials, None)
            if trial is None:
                more = False
                break
            number += 1
            directory = scratch / str(number)
            pid = _started(trial, directory)
            running[os.pidfd_open(pid)] = trial, pid, time.monotonic() + _LIMIT_S, directory
        ended, _, _ = select.select(list(running), [], [], 1)
        late = [fd for fd, (_, _, end, _) in running.items() if time.monotonic() > end]
        for fd in {*ended, *late}:
            trial, pid, _, directory = running.pop(fd)
            os.killpg(pid, signal.SIGKILL)  # and whatever it has started
            _, status = os.waitpid(pid, 0)
            os.close(fd)
            shutil.rmtree(directory, ignore_errors=True)
            yield trial, fd in ended and os.waitstatus_to_exitcode(status) == 0


def _started(trial: Trial, directory: Path) -> int:
    sys.stdout.flush()
    pid = os.fork()
    if pid:
        return pid
    code = 1
    try:
        os.setpgid(0, 0)
        code = _run_tests(trial, directory)
    finally:
        os._exit(code)


def _run_tests(trial: Trial, directory: Path) -> int:
    import pytest

    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    if trial.mutant is not None:
        trial.mutant.apply()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
    sys.meta_path.insert(0, _Finder(trial.module, trial.tree))
    return int(pytest.main([*_OPTIONS, f"--basetemp={directory}", *trial.tests]))
