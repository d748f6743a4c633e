"""Processes that come out of one that has loaded everything: starting one takes milliseconds."""

from __future__ import annotations

import multiprocessing
from typing import Final

FORKS: Final = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(
    [
        "anyio._backends._asyncio",
        "msgsync.cli.program",
        "msgsync.importers",
        "msgsync.post",
        "msgsync.transport.tcp",
        "pycrdt",
        "tests.faults.programs",
    ]
)
