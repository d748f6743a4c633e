"""A bucket of a real S3 server in a process of its own, behind a line that fails as it is told."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Fault:
    """What happens to one request in place of an answer, or to its answer."""

    status: int = 0
    """Answered with this; 0 lets the request through."""
    code: str = ""
    silent: bool = False
    """The line is held and nothing said."""
    cut_bytes: int = -1
    """The answer ends after so many bytes."""
    method: str = ""
    """Only requests of this method; all if empty."""


@dataclass
class Bucket:
    """Where it is, what fails, and what was asked."""

    endpoint: str
    name: str
    faults: deque[Fault] = field(default_factory=deque)
    """The next ones, each for one request."""
    always: Fault | None = None
    stale: bytes | None = None
    """What every listing answers, if it is to be an old one."""
    requests: list[str] = field(default_factory=list)
    last_listing: bytes = b""
    """The last answer to a listing."""
    freed: threading.Event = field(default_factory=threading.Event)
    """Set when silent requests are to end."""


@contextmanager
def s3_server() -> Iterator[str]:
    """The address of a server."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as server:
        try:
            deadline = time.monotonic() + 30
            while not _answers(port):
                assert server.poll() is None, "the server ended by itself"
                assert time.monotonic() < deadline, "the server does not answer"
            yield f"127.0.0.1:{port}"
        finally:
            server.terminate()


def _answers(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        time.sleep(0.02)  # until asked again
        return False
    return True


@contextmanager
def bucket_behind(server: str, name: str) -> Iterator[Bucket]:
    """A new bucket on a server, behind a line of its own."""
    made = urllib.request.Request(f"http://{server}/{name}", method="PUT")
    urllib.request.urlopen(made, timeout=10).close()
    bucket = Bucket("", name)

    class Line(_Line):
        behind = server
        told = bucket

    with ThreadingHTTPServer(("127.0.0.1", 0), Line) as line:
        bucket.endpoint = f"http://127.0.0.1:{line.server_port}"
        thread = threading.Thread(target=line.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield bucket
        finally:
            bucket.freed.set()
            line.shutdown()
            thread.join()


class _Line(BaseHTTPRequestHandler):
    behind: str
    told: Bucket
    protocol_version = "HTTP/1.1"

    def _carry(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length") or 0))
        told = self.told
        told.requests.append(f"{self.command} {self.path}")
        fault = told.always
        if fault is not None and fault.method not in ("", self.command):
            fault = None
        if told.faults and told.faults[0].method in ("", self.command):
            fault = told.faults.popleft()
        if fault is None:
            fault = Fault()
        if fault.silent:
            told.freed.wait(20)
            self.close_connection = True
            return
        if fault.status:
            answer = f"<Error><Code>{fault.code}</Code></Error>".encode()
            self._answer(fault.status, {}, answer)
            return
        status, headers, answer = self._ask(body)
        if "list-type" in self.path:
            told.last_listing = answer
            answer = answer if told.stale is None else told.stale
        self._answer(status, headers, answer, fault.cut_bytes)

    def _ask(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
        line = http.client.HTTPConnection(self.behind, timeout=20)
        try:
            line.request(self.command, self.path, body, dict(self.headers))
            answer = line.getresponse()
            kept = {
                name: value
                for name, value in answer.getheaders()
                if name.lower() not in ("content-length", "connection", "transfer-encoding")
            }
            return answer.status, kept, answer.read()
        finally:
            line.close()

    def _answer(self, status: int, headers: dict[str, str], body: bytes, cut: int = -1) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if cut < 0 else body[:cut])
        self.close_connection = self.close_connection or cut >= 0

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = _carry  # noqa: N815

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""
