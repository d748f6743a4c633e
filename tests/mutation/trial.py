"""One mutant and the tests, each in a process of its own, which stops at the first test that fails.

What takes long is done once a module: a **server** process imports msgsync, collects the tests and forks a child for
each mutant, in which the code of the changed function is exchanged. What runs while a module is imported (constants,
defaults, classes) is changed before that: those children are forked from the first process, which has no msgsync yet.
"""

from __future__ import annotations

import ast
import gc
import importlib
import json
import os
import resource
import select
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from itertools import pairwise
from pathlib import Path
from types import CodeType, FunctionType
from typing import IO

import pytest

from tests.mutation.changes import Mutant
from tests.mutation.targets import ROOT, SOURCES

_IMPORTED = ("anyio", "apsw", "cbor2", "cryptography", "hypothesis.strategies", "pycrdt")
_PATIENCE_S = 8
"""What a test may take of the processor; then it has noticed that something never ends."""
_LIMIT_S = 900
"""What all tests together may take, or one that cannot be interrupted. By the clock, so it is long: machines are busy,
and a mutant that no test has noticed would count as killed. That holds for the timeout of a single test, too."""
_MEMORY_BYTES = 4 << 30
_OPTIONS = (
    *("-x", "-q", "--hypothesis-profile=mutants", "--timeout=600"),
    *("-p", "no:cacheprovider", "-p", "no:xdist"),
    *("-W", "ignore::pytest.PytestAssertRewriteWarning"),  # plugins are imported beforehand
)
_ELSEWHERE = 77
"""The exit code of a child whose change cannot be made in functions that are there already."""


def prepare() -> None:
    """Import what every child needs, and be modest."""
    os.chdir(ROOT)
    os.nice(10)
    for name in _IMPORTED:
        importlib.import_module(name)
    if "msgsync" in sys.modules:
        raise RuntimeError("msgsync is imported already; the changed module would not be")


class Module:
    """A module with its mutants and its tests."""

    def __init__(self, path: str, tree: ast.Module, tests: Sequence[str]) -> None:
        self.path = path
        self.file = str(SOURCES / path)
        self.name = "msgsync." + path.removesuffix(".py").replace("/", ".")
        self.tests = tests
        self._tree = tree

    def compiled(self, mutant: Mutant | None = None) -> CodeType:
        """The code of it, with this change and all that were made in this process before."""
        if mutant is not None:
            mutant.apply()
        return compile(self._tree, self.file, "exec", dont_inherit=True)

    def try_all(
        self, mutants: Sequence[Mutant], workers: int, scratch: Path
    ) -> Iterator[tuple[Mutant, bool]]:
        """Try these mutants; give each, in the order of their ends, with whether all tests passed.

        Raises:
            RuntimeError: the tests do not pass as it is.
        """
        late = [one for one in mutants if not one.is_in_function]
        inside = [one for one in mutants if one.is_in_function]
        reading, writing = os.pipe()
        server = os.fork()
        if not server:
            with os.fdopen(writing, "w", buffering=1) as out:
                _ended(lambda: self._pytest([_Server(self, inside, workers, scratch, out)]))
        os.close(writing)
        healthy = False
        with os.fdopen(reading) as results:
            for line in results:
                number, code = map(int, line.split())
                if number < 0:
                    healthy = code == 0
                elif code == _ELSEWHERE:
                    late.append(inside[number])
                else:
                    yield inside[number], code == 0
        os.waitpid(server, 0)
        if not healthy:
            raise RuntimeError(f"the tests of {self.path} do not pass as it is")
        jobs = (lambda one=one: self._imported_changed(one) for one in late)
        for number, code in _run(jobs, workers, scratch):
            yield late[number], code == 0

    def _imported_changed(self, mutant: Mutant) -> int:
        sys.meta_path.insert(0, _Finder(self, self.compiled(mutant)))
        return self._pytest([])

    def _pytest(self, plugins: list[object]) -> int:
        return int(pytest.main([*_OPTIONS, *self.tests], plugins=[_Patience(), *plugins]))


class _Loader(SourceFileLoader):
    def __init__(self, module: Module, code: CodeType) -> None:
        super().__init__(module.name, module.file)
        self._code = code

    def get_code(self, fullname: str) -> CodeType:
        return self._code


class _Finder(MetaPathFinder):
    def __init__(self, module: Module, code: CodeType) -> None:
        self._module = module
        self._code = code

    def find_spec(self, fullname: str, path: object, target: object = None) -> ModuleSpec | None:
        if fullname != self._module.name:
            return None
        loader = _Loader(self._module, self._code)
        return spec_from_file_location(fullname, self._module.file, loader=loader)


class _Patience:
    """A plugin that ends the process if a test goes on for too long: by the processor's time, for machines are busy."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        _, hard = resource.getrlimit(resource.RLIMIT_CPU)
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time()) + _PATIENCE_S, hard))


class _Server:
    """A plugin that runs the collected tests once for each mutant, instead of once."""

    def __init__(
        self,
        module: Module,
        mutants: Sequence[Mutant],
        workers: int,
        scratch: Path,
        out: IO[str],
    ) -> None:
        self._module = module
        self._mutants = mutants
        self._workers = workers
        self._scratch = scratch
        self._out = out

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        importlib.import_module(self._module.name)
        durations = self._scratch / "durations"
        for _, code in _run(iter([lambda: _measured(session, durations)]), 1, self._scratch):
            self._out.write(f"-1 {code}\n")
            if code:
                return True
        taken = dict(zip(session.items, json.loads(durations.read_text()), strict=True))
        session.items.sort(key=taken.__getitem__)  # the quick ones notice most
        jobs = (lambda one=one: self._try(session, one) for one in self._mutants)
        for number, code in _run(jobs, self._workers, self._scratch):
            self._out.write(f"{number} {code}\n")
        return True

    def _try(self, session: pytest.Session, mutant: Mutant) -> int:
        try:
            _exchange(self._module, mutant)
        except ValueError:  # other variables of the function around it
            return _ELSEWHERE
        return _tests_of(session)


def _measured(session: pytest.Session, durations: Path) -> int:
    """Run the tests, and write down how long each took of the processor."""
    ends = [time.process_time()]
    code = _tests_of(session, lambda: ends.append(time.process_time()))
    durations.write_text(json.dumps([end - start for start, end in pairwise(ends)]))
    return code


def _tests_of(session: pytest.Session, on_end: Callable[[], object] = int) -> int:
    following = [*session.items[1:], None]
    for item, nextitem in zip(session.items, following, strict=True):
        session.config.hook.pytest_runtest_protocol(item=item, nextitem=nextitem)
        on_end()
        if session.testsfailed:
            return 1
    return 0


def _exchange(module: Module, mutant: Mutant) -> None:
    """Give the functions of an imported module the code that they have after a change."""
    before = _functions(module.compiled())
    after = _functions(module.compiled(mutant))
    changed = {key for key, code in after.items() if code != before.get(key)}
    functions = [one for one in gc.get_objects() if isinstance(one, FunctionType)]
    there = [
        (one, key)
        for one in functions
        if one.__code__.co_filename == module.file and (key := _key(one.__code__)) in changed
    ]
    if not there:
        raise ValueError("no such function")
    for function, key in there:
        function.__code__ = after[key]


def _functions(code: CodeType) -> dict[tuple[str, int], CodeType]:
    """The code of functions and methods; what is within them goes with them."""
    found: dict[tuple[str, int], CodeType] = {}
    for one in code.co_consts:
        if isinstance(one, CodeType):
            if "<locals>" not in one.co_qualname:
                found[_key(one)] = one
            found |= _functions(one)
    return found


def _key(code: CodeType) -> tuple[str, int]:
    return code.co_qualname, code.co_firstlineno


def _run(
    jobs: Iterator[Callable[[], int]], workers: int, scratch: Path
) -> Iterator[tuple[int, int]]:
    """Run each in a child, so many at a time; give their numbers and exit codes in the order of their ends."""
    running: dict[int, tuple[int, int, float, Path]] = {}
    waiting = enumerate(jobs)
    while True:
        while len(running) < workers and (job := next(waiting, None)) is not None:
            directory = scratch / str(job[0])
            directory.mkdir()
            pid = _started(job[1], directory)
            running[os.pidfd_open(pid)] = job[0], pid, time.monotonic() + _LIMIT_S, directory
        if not running:
            return
        ended, _, _ = select.select(list(running), [], [], 1)
        late = [fd for fd, (_, _, end, _) in running.items() if time.monotonic() > end]
        for fd in {*ended, *late}:
            number, pid, _, directory = running.pop(fd)
            os.killpg(pid, signal.SIGKILL)  # and whatever it has started
            _, status = os.waitpid(pid, 0)
            os.close(fd)
            shutil.rmtree(directory, ignore_errors=True)
            yield number, os.waitstatus_to_exitcode(status)


def _started(job: Callable[[], int], directory: Path) -> int:
    pid = os.fork()
    if pid:
        os.setpgid(pid, pid)
    else:
        os.setpgid(0, 0)
        os.environ["PYTEST_DEBUG_TEMPROOT"] = str(directory)
        resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
        _ended(job)
    return pid


def _ended(job: Callable[[], int]) -> None:
    """Do a job, say nothing, and end this process."""
    code = 1
    try:
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = job()
    finally:
        os._exit(code)
