"""The process that `opening` starts: modules are imported before the clock starts, nothing else is done.

What importing leaves to the garbage collector is collected before as well, or it would be in either figure by chance.
It imports only what its side needs, so that the whole process can be compared as well.
"""

from __future__ import annotations

import gc
import sys
import time
from pathlib import Path
from typing import Final

_SCREEN: Final = 50


def open_replica(path: str, conversation: str) -> float:
    """Seconds from the file to a page."""
    import msgsync

    gc.collect()
    started = time.perf_counter()
    replica = msgsync.open(Path(path))
    page = replica.conversation(conversation).messages(limit=_SCREEN)
    taken_s = time.perf_counter() - started
    replica.close()
    assert len(page) == _SCREEN
    return taken_s


def open_table(path: str, conversation: str) -> float:
    """Seconds from the file to as many rows."""
    from benchmarks.reference import Table

    gc.collect()
    started = time.perf_counter()
    table = Table(Path(path))
    page = table.newest(conversation, _SCREEN)
    taken_s = time.perf_counter() - started
    table.close()
    assert len(page) == _SCREEN
    return taken_s


def main(side: str, path: str, conversation: str) -> None:
    """Do one of the two and say how long it took."""
    taken_s = {"replica": open_replica, "table": open_table}[side](path, conversation)
    print(f'{{"seconds": {taken_s}}}')


if __name__ == "__main__":
    main(*sys.argv[1:])
