"""Commands of msgsync in processes of their own, begun where Python has loaded the program already.

Loading takes longer than most commands take to do what they do, and the tests run some hundreds of them.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from msgsync.cli.main import main
from tests.forking import FORKS

PATIENCE_S: Final = 30


@dataclass(frozen=True, slots=True)
class Ended:
    """What a command left behind."""

    code: int
    out: str
    err: str


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    text: str = "",
) -> Ended:
    """Run a command to its end, with ``text`` as what it reads; what it reads and prints is UTF-8."""
    with TemporaryDirectory() as name:
        streams = Path(name)
        (streams / "0").write_bytes(text.encode())
        process = FORKS.Process(
            target=_be, args=(list(arguments), dict(environment), directory or Path.cwd(), streams)
        )
        process.start()
        process.join(PATIENCE_S)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise TimeoutError(f"msgsync {' '.join(arguments)} takes longer than {PATIENCE_S} s")
        code = process.exitcode
        process.close()
        return Ended(code, (streams / "1").read_text("utf-8"), (streams / "2").read_text("utf-8"))


def _be(arguments: list[str], environment: dict[str, str], directory: Path, streams: Path) -> None:
    """Be the command: with its environment, where it is run, and with files as its standard streams."""
    os.environ.clear()
    os.environ.update(environment)
    os.chdir(directory)
    for number, flags in enumerate((os.O_RDONLY, *[os.O_WRONLY | os.O_CREAT] * 2)):
        opened = os.open(streams / str(number), flags)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  # they end with the process
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False, buffering=1)  # noqa: SIM115
    sys.argv = ["msgsync", *arguments]
    main()
