"""A file of 2 GB: attached, fetched over TCP by another process, and saved there; how fast, and how much memory.

    python -m benchmarks.largefile [--bytes N] [--directory DIRECTORY]

Each step is a process of its own, and the most memory that it ever had resident is its own. Beside it stands a plain
copy with SHA-256 that is brought to the disk, made by such a process as well. It takes four times the file on the disk.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random
from typing import Final

import msgsync
from benchmarks import process
from benchmarks.attaching import copy
from benchmarks.workload import ME

_BYTES: Final = 2_000_000_000
_BLOCK: Final = 1 << 20
_ACCOUNT: Final = "phone.db"
_READER: Final = "tablet.db"


def _make(folder: Path, size: int) -> None:
    random = Random(1)
    with (folder / "source").open("wb") as file:
        for start in range(0, size, _BLOCK):
            file.write(random.randbytes(min(_BLOCK, size - start)))
        os.fsync(file.fileno())


def _copy(folder: Path) -> None:
    copy(folder / "source", folder / "copy")


def _attach(folder: Path) -> None:
    with msgsync.open(folder / _ACCOUNT, author=ME) as phone:
        phone.conversation("files").send("", attachments=[folder / "source"])


def _serve(folder: Path) -> None:
    process.listen_to_interrupts()
    with msgsync.open(folder / _ACCOUNT, author=ME) as phone, suppress(KeyboardInterrupt):
        msgsync.serve(phone, on_listening=lambda address: process.tell(address=address))
    process.tell(peak=process.peak_bytes())


def _fetch(folder: Path, address: str) -> None:
    with msgsync.open(folder / _READER, author=ME) as tablet:
        msgsync.sync(tablet, address)


def _save(folder: Path) -> None:
    with msgsync.open(folder / _READER, author=ME) as tablet:
        [message] = tablet.conversation("files").messages(limit=1)
        message.attachments[0].save(folder / "saved")


def _step(folder: Path, name: str, *arguments: str) -> tuple[float, float]:
    """Run a step in a process of its own; return how long it took and its most memory, in seconds and bytes."""
    said = process.run("largefile", "--step", name, "--directory", str(folder), *arguments)
    return said["taken_s"], said["peak"] or 0


def measure(folder: Path, size: int) -> None:
    """Do it, and print a line for each step."""
    _make(folder, size)
    with msgsync.open(folder / _ACCOUNT, author=ME) as phone:
        phone.new_device(folder / _READER).close()
        phone.create_conversation("files", id="files")
    print(f"{'':8} {'MB/s':>6} {'beside the copy':>16} {'most memory':>12}")
    copied_s, peak = _step(folder, "copy")
    _show("copy", size, copied_s, copied_s, peak)
    _show("attach", size, copied_s, *_step(folder, "attach"))
    with process.Child("largefile", "--step", "serve", "--directory", str(folder)) as server:
        address = server.say()["address"]
        _show("fetch", size, copied_s, *_step(folder, "fetch", "--address", address))
        print(f"{'serve':8} {'':6} {'':16} {server.stop()['peak'] / 1e6:9.1f} MB")
    _show("save", size, copied_s, *_step(folder, "save"))
    if _digest(folder / "saved") != _digest(folder / "source"):
        raise RuntimeError("what was saved is not what was attached")


def _show(name: str, size: int, copied_s: float, taken_s: float, peak: float) -> None:
    ratio = copied_s / taken_s
    print(f"{name:8} {size / taken_s / 1e6:6.0f} {ratio:14.2f} x {peak / 1e6:9.1f} MB", flush=True)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main() -> None:
    """Read the arguments and do it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.largefile", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--bytes", type=int, default=_BYTES, metavar="N")
    parser.add_argument("--directory", help="where to put the files, on a disk that is a disk")
    parser.add_argument("--step", help=argparse.SUPPRESS)
    parser.add_argument("--address", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.step is None:
        with tempfile.TemporaryDirectory(
            prefix="msgsync-large-", dir=arguments.directory
        ) as directory:
            measure(Path(directory), arguments.bytes)
        return
    folder = Path(arguments.directory)
    steps: dict[str, Callable[[], None]] = {
        "copy": lambda: _copy(folder),
        "attach": lambda: _attach(folder),
        "fetch": lambda: _fetch(folder, arguments.address),
        "save": lambda: _save(folder),
    }
    if arguments.step == "serve":
        _serve(folder)
        return
    started = time.perf_counter()
    steps[arguments.step]()
    process.tell(taken_s=time.perf_counter() - started, peak=process.peak_bytes())


if __name__ == "__main__":
    main()
