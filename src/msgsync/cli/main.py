"""The entry point of the ``msgsync`` command."""

from __future__ import annotations

import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process and exit with its code.

    Exit codes: 0 done, 1 done but for bad lines of an import, 2 the request, 3 the file, 4 the peer, 5 the account,
    130 interrupted, 141 nobody reads the output any more.
    """
    try:
        from msgsync.cli.program import run
    except ModuleNotFoundError as error:
        if error.name not in {"click", "rich"}:
            raise
        sys.exit(f"msgsync: the command line needs {error.name}: pip install 'msgsync[cli]'")
    sys.exit(run(sys.argv[1:]))


if __name__ == "__main__":
    main()
