"""Peers that send valid frames with lying contents to a real process, over a real socket."""

from __future__ import annotations

import select
import socket
from collections import deque
from pathlib import Path
from random import Random

import pytest

import msgsync
from msgsync import Replica
from msgsync.protocol.wire import FrameReader
from tests.faults import programs
from tests.faults.victim import Victim
from tests.fuzz.seeds import history
from tests.fuzz.sessions import KEPT, said_instead
from tests.hostile.peer import session_of

pytestmark = pytest.mark.timeout(300)

LIARS = 15
MEMORY_BYTES = 256 << 20
QUIET_S = 0.5
"""So long a liar waits for an answer: it may have said something that gets none."""


def lie(address: str, replica: Replica, draw: Random) -> None:
    """A session in which every third frame or so is another one."""
    session = session_of(replica)
    reader = FrameReader()
    heard: deque[bytes] = deque(maxlen=20)
    host, port = address.removeprefix("tcp://").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=20) as line:
        try:
            while True:
                while (raw := session.next_frame()) is not None:
                    heard.append(raw[4:])
                    lies = draw.random() < 0.35
                    for body in said_instead(draw, raw[4:], heard) if lies else (raw[4:],):
                        line.sendall(len(body).to_bytes(4, "big") + body)
                if session.finished or not select.select([line], [], [], QUIET_S)[0]:
                    return
                data = line.recv(65536)
                if not data:
                    return
                for body in reader.feed(data):
                    session.receive(body)
        except ConnectionError:
            return  # it has heard enough


def texts(replica: Replica) -> set[str]:
    return {
        one.text
        for conversation in replica.conversations(include_deleted=True)
        for one in replica.conversation(conversation.id).messages(limit=10**5)
    }


@pytest.fixture
def served(tmp_path: Path) -> Path:
    """A device that others were added by: an honest one, and liars."""
    path = tmp_path / "phone.db"
    with msgsync.open(path, author="ann") as replica:
        replica.ingest(history(30, "phone"))
        family = replica.create_conversation("Family", id="family")
        for text in sorted(KEPT):
            family.send(text)
        for name in ("honest", *range(LIARS)):
            replica.new_device(tmp_path / f"{name}.db").close()
        return path


def test_a_process_that_is_lied_to_lives_keeps_what_it_has_and_serves_the_honest(served, tmp_path):
    path = served
    seed = Random().randrange(2**32)
    draw = Random(seed)
    server = Victim(programs.serve_in_little_memory, path, MEMORY_BYTES)
    with msgsync.open(tmp_path / "honest.db", author="ann") as honest:
        honest.create_conversation("Other", id="other").send("of the honest")
        for number in range(LIARS):
            with msgsync.open(tmp_path / f"{number}.db", author="eve") as liar:
                liar.ingest(history(20, f"liar {number}"))
                lie(server.ready, liar, draw)
        assert msgsync.sync(honest, server.ready).complete, f"seed {seed}"
        assert honest.check().problems == ()
        assert server.kill(), "it ended by itself"
        with msgsync.open(path, author="ann") as phone:
            assert phone.check().problems == ()
            assert phone.digest == honest.digest
            assert texts(phone) == texts(honest) >= KEPT | {"of the honest"}
