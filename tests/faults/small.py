"""File systems of a test's own: small ones, and ones that cannot be written. Only the process that is
started sees them.

Root mounts them, and so does everybody else where the kernel lets people have a user namespace of their own. Where
neither works there are none, and the tests that need one are skipped, in words.
"""

from __future__ import annotations

import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

ROOT: Final = Path(__file__).parents[2]
_WAYS: Final = (("unshare", "--mount"), ("unshare", "--mount", "--map-root-user"))
WITHOUT: Final = (
    "nothing can be mounted here: neither as root nor in a user namespace (unshare --map-root-user)"
)


@cache
def way() -> tuple[str, ...] | None:
    """The command in front of another one that may then mount; None if there is none."""
    with TemporaryDirectory() as folder:
        for command in _WAYS:
            try:
                done = subprocess.run(
                    [*command, "mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", folder],
                    capture_output=True, check=False, timeout=60,
                )  # fmt: skip
            except OSError:
                continue
            if done.returncode == 0:
                return command
    return None


def python(*arguments: object, mounts: str = "") -> subprocess.CompletedProcess[str]:
    """Run a module of the tests; with ``mounts``, a line of shell, where that has mounted something before."""
    command = [sys.executable, "-X", "faulthandler", "-m", *map(str, arguments)]
    if mounts:
        before = way()
        assert before is not None
        command = [*before, "sh", "-ec", mounts + '\nexec "$@"', "sh", *command]
    return subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=900
    )
