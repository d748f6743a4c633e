"""Run the command line with ``python -m msgsync.cli``."""

from __future__ import annotations

from msgsync.cli.main import main

if __name__ == "__main__":
    main()
