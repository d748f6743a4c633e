"""How long a message takes to a device that stays connected, in another process; a bare TCP echo beside it.

Both are measured as there and back, halved: one device writes a message, the other answers it as soon as it has it.
Nothing waits for the disk (``durability="relaxed"``), for the echo does not either.
"""

from __future__ import annotations

import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

from anyio.from_thread import start_blocking_portal

import msgsync
from benchmarks import process
from benchmarks.figure import MILLISECONDS, Figure
from benchmarks.history import History, remove
from benchmarks.workload import ME
from msgsync import aio

_WARM_UP: Final = 10
_REPETITIONS: Final = 100
_ROOM: Final = "ping pong"
_PATIENCE_S: Final = 30.0
_TEXT: Final = "a message of about the usual length, as people write them"


def measure(history: History) -> Iterator[Figure]:
    """The way of one message, p50, and the echo's."""
    ours_ms: list[float] = []
    echo_ms: list[float] = []
    paths = [history.directory / name for name in ("ping.db", "pong.db")]
    for path in paths:
        remove(path)
    listener = socket.create_server(("127.0.0.1", 0))
    address = f"127.0.0.1:{listener.getsockname()[1]}"
    with msgsync.open(paths[0], author=ME, durability="relaxed") as replica:
        replica.new_device(paths[1], author="answers").close()
        with process.Child("pushing", "echo", address) as echoing, listener:
            stream, _ = listener.accept()
            with (
                stream,
                _Serving(replica) as serving,
                process.Child("pushing", "answer", str(paths[1]), serving.address) as answering,
            ):
                serving.wait(lambda event: isinstance(event, msgsync.Completed))
                stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for number in range(_WARM_UP + _REPETITIONS):
                    taken = serving.ping(f"{_TEXT} {number}"), _echo(stream)
                    if number >= _WARM_UP:
                        ours_ms.append(500 * taken[0])
                        echo_ms.append(500 * taken[1])
                answering.stop()
            echoing.stop()
    yield Figure(
        "push",
        "a message to a connected device, one way, p50 (beside a TCP echo)",
        MILLISECONDS,
        ours_ms,
        echo_ms,
    )


def _echo(stream: socket.socket) -> float:
    message = _TEXT.encode()
    started = time.perf_counter()
    stream.sendall(message)
    left = len(message)
    while left:
        left -= len(stream.recv(left))
    return time.perf_counter() - started


class _Serving:
    """A replica that is served in a thread of its own."""

    def __init__(self, replica: msgsync.Replica) -> None:
        self._replica = replica
        self._room = replica.create_conversation(id=_ROOM)
        self._committed = threading.Condition()
        self._events: list[msgsync.Event] = []
        self._portal = start_blocking_portal()
        self.address = ""

    def __enter__(self) -> Self:
        listening = threading.Event()

        def on_listening(address: str) -> None:
            self.address = address
            listening.set()

        portal = self._portal.__enter__()
        self._task = portal.start_task_soon(
            partial(aio.serve, self._replica, on_listening=on_listening, on_event=self._on_event)
        )
        self._unsubscribe = self._replica.on_commit(lambda _seq: self._notify())
        if not listening.wait(_PATIENCE_S):
            raise RuntimeError("nothing listens")
        return self

    def __exit__(self, *_error: object) -> None:
        self._unsubscribe()
        self._task.cancel()
        self._portal.__exit__(None, None, None)

    def _on_event(self, event: msgsync.Event) -> None:
        self._events.append(event)
        self._notify()

    def _notify(self) -> None:
        with self._committed:
            self._committed.notify_all()

    def wait(self, is_it: Callable[[msgsync.Event], bool]) -> None:
        """Wait for an event."""
        with self._committed:
            if not self._committed.wait_for(lambda: any(map(is_it, self._events)), _PATIENCE_S):
                raise RuntimeError("nobody has connected")

    def ping(self, text: str) -> float:
        """Send a message and wait for the answer; return the seconds both took."""
        started = time.perf_counter()
        self._room.send(text)
        with self._committed:
            if not self._committed.wait_for(self._is_answered, _PATIENCE_S):
                raise RuntimeError("nobody answers")
        return time.perf_counter() - started

    def _is_answered(self) -> bool:
        return self._room.messages(limit=1)[0].author != ME


def answer(path: str, address: str) -> None:
    """In a process of its own: answer every message of the other device."""
    process.listen_to_interrupts()
    with msgsync.open(Path(path), author="answers", durability="relaxed") as replica:

        def on_commit(_seq: int) -> None:
            try:
                room = replica.conversation(_ROOM)
            except msgsync.UnknownConversation:
                return
            page = room.messages(limit=1)
            if page and page[0].author == ME:
                room.send("and the answer")

        replica.on_commit(on_commit)
        with suppress(KeyboardInterrupt):
            msgsync.sync(replica, address, watch=True)
    process.tell(done=True)


def echo(address: str) -> None:
    """In a process of its own: send back what comes."""
    process.listen_to_interrupts()
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port))) as stream, suppress(KeyboardInterrupt):
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while data := stream.recv(65_536):
            stream.sendall(data)
    process.tell(done=True)


def main(verb: str, *arguments: str) -> None:
    """Be one of the two processes."""
    if verb == "answer":
        answer(*arguments)
    else:
        echo(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
