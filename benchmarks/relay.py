"""A relay between two peers that counts what passes, so that nobody counts for themselves."""

from __future__ import annotations

import socket
import threading
from itertools import groupby
from types import TracebackType
from typing import Literal, Self

Way = Literal["there", "back"]


class Relay:
    """Forwards one connection to an address; reads as a context manager."""

    def __init__(self, address: str) -> None:
        """``address`` is where the real peer listens, `tcp://host:port`."""
        host, _, port = address.removeprefix("tcp://").rpartition(":")
        self._target = host, int(port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._flow: list[tuple[Way, int]] = []
        self._thread = threading.Thread(target=self._forward, daemon=True)

    @property
    def address(self) -> str:
        """Where to connect instead."""
        host, port = self._listener.getsockname()
        return f"tcp://{host}:{port}"

    @property
    def target_port(self) -> int:
        """Where the real peer listens."""
        return self._target[1]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.join(10)
        self._listener.close()

    def passed_bytes(self, way: Way) -> int:
        """Bytes that passed one way."""
        return sum(size for direction, size in self._flow if direction == way)

    @property
    def round_trips(self) -> int:
        """How often both sides had their turn; who speaks first does not matter."""
        turns = [way for way, _ in groupby(way for way, _ in self._flow)]
        return (len(turns) + 1) // 2

    def _forward(self) -> None:
        near, _ = self._listener.accept()
        with near, socket.create_connection(self._target) as far:
            back = threading.Thread(target=self._pump, args=(far, near, "back"), daemon=True)
            back.start()
            self._pump(near, far, "there")
            back.join()

    def _pump(self, source: socket.socket, target: socket.socket, way: Way) -> None:
        try:
            while data := source.recv(65_536):
                self._flow.append((way, len(data)))
                target.sendall(data)
            target.shutdown(socket.SHUT_WR)
        except OSError:
            pass  # either side may leave first; what passed is counted
