"""A file that two devices have, over real sockets, one of which is cut off in the middle."""

from __future__ import annotations

import random
import threading
from pathlib import Path

import pytest

import msgsync
from msgsync import AttachmentProgress, Connected, Event, Replica, limits
from msgsync.aio import Timing

CHUNKS = 16
DATA = random.Random(1).randbytes(CHUNKS * limits.CHUNK_BYTES)
QUICK = Timing(retry_first_s=30, retry_most_s=60, farewell_s=1)
"""Who is cut off does not come back before the test is over."""


class Source:
    """A device that has the file, served by a thread of its own, and the one that fetches from it."""

    def __init__(self, replica: Replica, reader: Replica) -> None:
        self.bytes = 0
        self.is_cut = False
        self.connected = threading.Event()
        self.server = msgsync.Server(replica)
        self.watcher = msgsync.Watcher(
            reader, self.server.address, on_event=self.hear, timing=QUICK
        )

    def hear(self, event: Event) -> None:
        if isinstance(event, AttachmentProgress):
            self.bytes = event.bytes
        elif isinstance(event, Connected):
            self.connected.set()

    def cut(self) -> None:
        self.is_cut = True
        self.server.stop()

    def stop(self) -> None:
        self.watcher.stop()
        self.server.stop()


def test_both_give_and_when_one_is_cut_off_the_other_one_gives_the_rest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(limits, "CHUNKS_ASKED", 4)
    monkeypatch.setattr(limits, "CHUNKS_TOGETHER", 2)
    with (
        msgsync.open(tmp_path / "phone.db", author="ann") as phone,
        phone.new_device(tmp_path / "laptop.db") as laptop,
        phone.new_device(tmp_path / "tablet.db") as tablet,
    ):
        family = phone.create_conversation("Family")
        tablet.set_attachment_budget(0)  # nothing comes before somebody waits for it
        film = family.send("look", attachments=[DATA])
        msgsync.sync(phone, laptop)
        msgsync.sync(phone, tablet)
        [attachment] = tablet.message(film.id).attachments
        assert attachment.bytes_here == 0
        sources = [Source(replica, tablet) for replica in (phone, laptop)]

        def progress(_done: int, _total: int) -> None:
            if all(source.bytes for source in sources):
                sources[0].cut()

        try:
            assert all(source.connected.wait(30) for source in sources)
            attachment.ensure_local(timeout=30, on_progress=progress)
        finally:
            for source in sources:
                source.stop()
        gave = [source.bytes for source in sources]
        assert min(gave) > 0
        assert sources[0].is_cut
        lost = limits.CHUNKS_TOGETHER * limits.CHUNK_BYTES  # came whole, and was not written yet
        assert len(DATA) <= sum(gave) <= len(DATA) + lost
        with tablet.message(film.id).attachments[0].open() as file:
            assert file.read() == DATA
