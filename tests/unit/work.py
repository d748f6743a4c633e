"""How much work something is, as counts that are the same on every machine and under any load."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import Any

import apsw

from msgsync import Replica


@dataclass(frozen=True, slots=True)
class Work:
    """What one call took."""

    calls: int
    """Of functions of Python, steps of generators among them, in the thread that called."""
    statements: int
    """Of SQL."""
    steps: int
    """Of SQLite's machine: about in proportion to the rows that were looked at."""


def work_of(replica: Replica, verb: Callable[[], object]) -> Work:
    """Do something to a replica, and count."""
    with replica.reading() as store:
        connection = store.database.connection
    calls = statements = steps = 0
    before: dict[int, int] = {}

    def called(_: FrameType, event: str, __: Any) -> None:
        nonlocal calls
        calls += event == "call"

    def ran(event: Any) -> None:
        nonlocal statements, steps
        statements += 1
        status = event["stmt_status"]
        total = status["SQLITE_STMTSTATUS_VM_STEP"]
        # Statements of the search index count on from one run to the next.
        is_total = status["SQLITE_STMTSTATUS_RUN"] > 1
        steps += total - before.get(event["id"], 0) if is_total else total
        before[event["id"]] = total

    connection.trace_v2(apsw.SQLITE_TRACE_PROFILE, ran)
    sys.setprofile(called)
    try:
        verb()
    finally:
        sys.setprofile(None)
        connection.trace_v2(0, None)
    return Work(calls - statements, statements, steps)
