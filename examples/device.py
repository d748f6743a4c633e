"""Devices as the demo's acts have them: a process each, told over a pipe what to do.

What a device promises is looked after with `promise`: an act ends where one is broken. `perform` runs an act.
"""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

import msgsync
from examples import inside
from examples.inside import PATIENCE_S

SAMPLE = Path(__file__).parent / "data" / "sample.jsonl"
HOME = Path(__file__).parents[1]


class BrokenPromise(Exception):
    """What came out is not what the design promises."""


def promise(kept: bool, otherwise: str) -> None:
    """Raise `BrokenPromise` unless ``kept``."""
    if not kept:
        raise BrokenPromise(otherwise)


class Device:
    """A device's process, told over a pipe what to do; its replica can be read beside it."""

    def __init__(self, name: str, path: Path, *invitation: str) -> None:
        self.name, self.path = name, path
        self.synced: dict[str, Any] = {}  # what the last completed sync reported
        self.screen: list[str] | None = None  # what could be seen first in it
        self.ahead_s = 0.0  # of its clock, from its next start on
        self.start(*invitation)

    def start(self, *invitation: str) -> None:
        """Start the process on the replica as it lies there, or to join by an invitation (code and address)."""
        joining = ["--join", *invitation] if invitation else []
        if len(invitation) == 1:  # the address of a mailbox
            joining = ["--recover", *invitation]
        self.process = subprocess.Popen(
            [
                *(sys.executable, "-m", inside.__name__, str(self.path), *joining),
                *("--ahead", str(self.ahead_s)),
            ],
            cwd=HOME,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent; a device ends with its pipe
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.ear, self.mouth = self.process.stdin, self.process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()

    def tell(self, verb: str, *arguments: object, **options: object) -> None:
        """Ask for something without waiting."""
        try:
            self.ear.write(json.dumps([verb, arguments, options]) + "\n")
            self.ear.flush()
        except BrokenPipeError as gone:
            raise BrokenPromise(f"the {self.name} has ended") from gone

    def hear(self, expected: str) -> Any:
        """Wait for the device's next line, which must be of this kind."""
        facts = self.listen()
        promise(expected in facts, f"the {self.name} says {facts} where {expected!r} is due")
        return facts[expected]

    def listen(self) -> dict[str, Any]:
        """Wait for the device's next line."""
        watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        watchdog.start()
        line = self.mouth.readline()
        watchdog.cancel()
        promise(line != "", f"the {self.name} ended without an answer")
        facts: dict[str, Any] = json.loads(line)
        return facts

    def do(self, verb: str, *arguments: object, **options: object) -> Any:
        """Ask for something and wait until it is done. A verb that makes a message gives its id."""
        self.tell(verb, *arguments, **options)
        return self.hear("done")

    def sync(self, address: str) -> Iterator[tuple[int, int]]:
        """Sync with the device at ``address``; give messages done and in total as it goes."""
        self.tell("sync", address)
        self.screen = None
        while "done" not in (facts := self.listen()):
            if "screen" in facts:
                self.screen = facts["screen"]
                continue
            promise("progress" in facts, f"the {self.name} says {facts} while it syncs")
            done, total = facts["progress"]
            yield done, total
            self.tell("go on")
        self.synced = facts["done"]
        promise(self.synced["complete"], "the devices parted before all was exchanged")

    def read(self) -> msgsync.Replica:
        """Open the replica for reading, beside the process that writes it."""
        return msgsync.open(self.path, readonly=True)

    def kill(self) -> None:
        """End the process with SIGKILL: nothing is flushed, closed or tidied up."""
        self.process.kill()
        self.wait()

    def finish(self) -> None:
        """Let the device close its replica and end."""
        self.ear.close()
        promise(self.wait() == 0, f"the {self.name} did not end well")

    def wait(self) -> int:
        """Wait until the process has ended; return its exit code."""
        code = self.process.wait(PATIENCE_S)
        with suppress(BrokenPipeError):  # what it was not there to read
            self.ear.close()
        self.mouth.close()
        return code


def pair(phone: Device, path: Path, *mailbox: str) -> Device:
    """Have the phone invite and a tablet join: a code on one screen, emoji on both, and a yes."""
    phone.tell("invite", *mailbox)
    shown = phone.listen()
    promise("code" in shown, f"the phone says {shown} where a code is due")
    print(f"The phone shows a code: {shown['code']}. It is typed on a new tablet.")
    tablet = Device("tablet", path, shown["code"], shown["address"])
    emoji = tablet.hear("emoji")
    asked = phone.hear("request")
    promise(asked == ["Tablet", emoji], f"the phone asks for {asked}, the tablet shows {emoji}")
    print(f"  both show {' '.join(emoji)}, and the phone's person says yes")
    phone.tell("yes")
    joined = tablet.hear("joined")
    promise(phone.hear("done")["device"] == joined, "the phone added another device")
    return tablet


@contextmanager
def online(phone: Device) -> Iterator[str]:
    """Have the phone listen for one session; gives the address."""
    phone.tell("serve")
    yield phone.hear("listening")
    phone.hear("ended")
    phone.do("go offline")


def meet(phone: Device, tablet: Device, label: str) -> None:
    """Sync the tablet with the phone and show the progress."""
    with online(phone) as address, progress_bar(label) as show:
        for done, total in tablet.sync(address):
            show(done, total)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows progress: a bar on a terminal where rich is there, else a line a quarter."""
    if sys.stdout.isatty() and importlib.util.find_spec("rich"):
        from rich import progress  # only where it is installed

        columns = (
            progress.TextColumn("  {task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
        )
        with progress.Progress(*columns) as bar:
            task = bar.add_task(label, visible=False)
            yield lambda done, total: bar.update(
                task, completed=done, total=total, visible=total > 0
            )
        return
    quarters = 0

    def show(done: int, total: int) -> None:
        nonlocal quarters
        if total and done * 4 // total > quarters:
            quarters = done * 4 // total
            print(f"  {label}: {done:,} of {total:,} messages", flush=True)

    yield show


# ------------------------------------------------------------------------------------- the comparison


def every_message(conversation: msgsync.Conversation) -> Iterator[msgsync.Message]:
    """Give every message, deleted ones too, oldest first, page by page."""
    after: msgsync.Cursor | None = msgsync.Cursor.START
    while after is not None:
        page = conversation.messages(after=after, limit=500, include_deleted=True)
        yield from page
        after = page.newer


def differences(phone: msgsync.Replica, tablet: msgsync.Replica) -> list[str]:
    """Say what is not the same on both, or not sound on one; empty if all is well."""
    found = [
        f"the {replica.path.stem}'s check says: {problem}"
        for replica in (phone, tablet)
        for problem in replica.check().problems
    ]
    if phone.digest != tablet.digest:
        found.append("the digests differ")
    if phone.conversations() != tablet.conversations():
        found.append("the lists of conversations differ")
    ids = [{summary.id for summary in replica.conversations()} for replica in (phone, tablet)]
    found += [f"{id}: only one device has it" for id in sorted(ids[0] ^ ids[1])]
    for id in sorted(ids[0] & ids[1]):
        messages = (every_message(replica.conversation(id)) for replica in (phone, tablet))
        unequal = sum(here != there for here, there in zip_longest(*messages))
        if unequal:
            found.append(f"{id}: {unequal:,} messages differ")
    return found


def verdict(phone: Path, tablet: Path) -> int:
    """Compare two replicas and say how they compare; return the exit code."""
    with (
        msgsync.open(phone, readonly=True) as here,
        msgsync.open(tablet, readonly=True) as there,
    ):
        found = differences(here, there)
        status = here.status()
    for difference in found:
        print(f"DIFFERENT: {difference}")
    if not found:
        print(
            f"Equal to the last message: {status.messages:,} in {status.conversations:,} conversations."
        )
    return 1 if found else 0


def perform(play: Callable[[Path], int]) -> int:
    """Play an act in a folder of its own; return the exit code: 0 only if all of it came out as promised."""
    with tempfile.TemporaryDirectory(prefix="msgsync-demo-") as folder:
        try:
            return play(Path(folder))
        except BrokenPromise as broken:
            print(f"FAILED: {broken}")
            return 1
