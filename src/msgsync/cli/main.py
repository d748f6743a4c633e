"""The entry point of the ``msgsync`` command."""

from __future__ import annotations

import signal
import sys
from types import FrameType
from typing import Final, NoReturn

TERMINATED: Final = 143  # 128 + SIGTERM, as shells say it


class _Ended(BaseException):
    """Ends whatever a command is doing as Ctrl-C does, so that nothing half done is left behind."""


def _end(_signal: int, _frame: FrameType | None) -> None:
    raise _Ended


def main() -> NoReturn:
    """Run the command line of this process and exit with its code.

    Exit codes: 0 done, 1 done but for bad lines of an import, 2 the request, 3 the file, 4 the peer, 5 the account,
    130 interrupted or answered with no, 141 nobody reads the output any more, 143 ended by SIGTERM.
    """
    try:
        from msgsync.cli.program import run
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"msgsync: the command line needs {error.name}: pip install 'msgsync[cli]'")
    signal.signal(signal.SIGTERM, _end)
    try:
        sys.exit(run(sys.argv[1:]))
    except _Ended:
        sys.exit(TERMINATED)


if __name__ == "__main__":
    main()
