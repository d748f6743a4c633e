"""How the plain table gets to another machine: read, packed and sent by one process, stored by another."""

from __future__ import annotations

import socket
import sys
import time
from contextlib import suppress
from pathlib import Path

from benchmarks import frame, process
from benchmarks.reference import Table


def serve(path: str) -> None:
    """Send the whole table to whoever comes, until interrupted."""
    process.listen_to_interrupts()
    with (
        Table(Path(path)) as table,
        socket.create_server(("127.0.0.1", 0)) as listener,
        suppress(KeyboardInterrupt),
    ):
        host, port = listener.getsockname()
        process.tell(address=f"{host}:{port}")
        while True:
            connection, _ = listener.accept()
            with connection:
                for rows in table.batches():
                    packed = frame.pack(frame.records_of(rows))
                    connection.sendall(len(packed).to_bytes(4, "big") + packed)
                connection.sendall(bytes(4))
    process.tell(peak_bytes=process.peak_bytes())


def fill(path: str, address: str) -> None:
    """Store what comes: a frame, a transaction."""
    host, _, port = address.rpartition(":")
    received = count = 0
    with Table(Path(path)) as table:
        started = time.perf_counter()
        with (
            socket.create_connection((host, int(port))) as connection,
            connection.makefile("rb") as stream,
        ):
            while size := int.from_bytes(stream.read(4), "big"):
                rows = frame.unpack(stream.read(size), count + 1)
                table.insert(rows)
                count += len(rows.messages)
                received += 4 + size
        taken_s = time.perf_counter() - started
        messages = table.count()
    process.tell(
        seconds=taken_s, messages=messages, bytes=received, peak_bytes=process.peak_bytes()
    )


def main(verb: str, *arguments: str) -> None:
    """Be one of the two processes."""
    if verb == "serve":
        serve(*arguments)
    else:
        fill(*arguments)


if __name__ == "__main__":
    main(*sys.argv[1:])
