"""Every kind of write, each where there is room for a part of it alone: `python -m tests.faults.writes FOLDER HOW`.

FOLDER lies on a small file system (HOW is "full"), or files may not grow (HOW is "short", a limit of the process). A
line of JSON is said of each attempt: the write, the room, and what came of it.
"""

from __future__ import annotations

import errno
import json
import os
import random
import resource
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import msgsync
from msgsync import AttachmentState, Incoming, Replica, StorageError, limits
from tests.faults import programs
from tests.faults.ledger import shown
from tests.unit import files
from tests.unit.replica.test_attachments import files_of, is_tidy

PAGE_BYTES: Final = 4096
ROOM_PAGES: Final = (0, 3, 12, 50, 200, 600, 1500)
"""How much is left; until a write has room enough."""
SENT_MS: Final = 1_600_000_000_000
SECRET: Final = "erased zyxwvut"
FILE: Final = random.Random(1).randbytes(2 * limits.CHUNK_BYTES + 9)
WITH_FILE: Final = {"attach": "attached", "fetch": "fetched"}
"""Writes after which a message has the file, and its text."""
WORDS_PAGES: Final = 200
"""With so much room left messages go on."""


@dataclass
class Scene:
    """A replica with a little of everything on the disk that gets full, and a peer on another one."""

    folder: Path
    elsewhere: Path
    replica: Replica
    peer: Replica
    extra: Replica | None = None

    @property
    def family(self) -> msgsync.Conversation:
        return self.replica.conversation("family")

    def message(self, text: str) -> msgsync.Message:
        [found] = [
            one
            for one in self.family.messages(limit=100, include_deleted=True)
            if one.original_text == text
        ]
        return found


def make_replica(scene: Scene) -> None:
    scene.replica.new_device(scene.folder / "made.db").close()


def fill(scene: Scene) -> None:
    with scene.replica.new_device(scene.folder / "filled.db") as filled:
        assert msgsync.sync(filled, scene.peer).complete


def delete_conversation(scene: Scene) -> None:
    scene.family.delete_all(scene.family.preview_deletion().token)


def ingest(scene: Scene) -> None:
    scene.replica.ingest(
        Incoming("irc", "ben", f"ingested {n} " + "y" * 100, SENT_MS + n, str(n))
        for n in range(1000)
    )


def receive(scene: Scene) -> None:
    assert msgsync.sync(scene.replica, scene.peer).complete


def offer(scene: Scene) -> None:
    """All that is new at the peer is a message with a file."""
    receive(scene)
    reopen(scene)  # with an empty log
    scene.peer.conversation("family").send(WITH_FILE["fetch"], attachments=[FILE])


def reopen(scene: Scene) -> None:
    scene.replica.close()
    scene.replica = msgsync.open(scene.replica.path, author="ann")


WRITES: Final[dict[str, Callable[[Scene], object]]] = {
    "make a replica": make_replica,
    "make a conversation": lambda scene: scene.replica.create_conversation("New"),
    "send": lambda scene: scene.family.send("sent"),
    "send a long text": lambda scene: scene.family.send("long " + os.urandom(300_000).hex()),
    "edit": lambda scene: scene.family.edit(scene.message("kept"), "after"),
    "react": lambda scene: scene.family.react(scene.message("kept"), "👍"),
    "delete": lambda scene: scene.family.delete(scene.message("kept")),
    "restore": lambda scene: scene.family.restore(scene.message("gone")),
    "erase": lambda scene: scene.family.erase(scene.message(SECRET)),
    "rename": lambda scene: scene.family.rename("Renamed"),
    "mark as read": lambda scene: scene.family.mark_read(),
    "set a setting": lambda scene: scene.replica.set_setting("color", "red"),
    "delete a conversation": delete_conversation,
    "empty the trash": lambda scene: scene.replica.empty_recently_deleted(),
    "ingest": ingest,
    "import": lambda scene: msgsync.import_jsonlines(
        scene.replica, scene.elsewhere / "history.jsonl"
    ),
    "receive": receive,
    "attach": lambda scene: scene.family.send(WITH_FILE["attach"], attachments=[FILE]),
    "fetch": receive,
    "fill a new device": fill,
    "compact": lambda scene: scene.replica.compact(),
    "back up": lambda scene: scene.replica.backup(scene.folder / "backup.db"),
    "export": lambda scene: msgsync.export_jsonlines(scene.replica, scene.folder / "export.jsonl"),
    "close and open": reopen,
}


class Room:
    """How much may be written: on a small file system what a large file beside it leaves, else by a limit."""

    def __init__(self, folder: Path, how: str) -> None:
        self._ballast = folder / "ballast" if how == "full" else None

    @contextmanager
    def of(self, room_bytes: int) -> Iterator[None]:
        _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        if self._ballast is None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (room_bytes, hard))
        else:
            _fill(self._ballast, room_bytes)
        try:
            yield
        finally:
            if self._ballast is None:
                resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
            else:
                self._ballast.unlink()


def _fill(ballast: Path, room_bytes: int) -> None:
    with ballast.open("wb", buffering=0) as file:
        for piece in (2**20, PAGE_BYTES):
            try:
                while True:
                    file.write(bytes(piece))
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
        file.truncate(file.tell() - room_bytes)


def prepare(folder: Path, elsewhere: Path) -> None:
    programs.history(elsewhere / "history.jsonl", 800)
    with (
        msgsync.open(folder / "here.db", author="ann") as replica,
        replica.new_device(elsewhere / "peer.db") as peer,
    ):
        family = replica.create_conversation("Family", id="family")
        for text in ("kept", "gone", SECRET):
            family.send(text)
        family.delete(family.messages()[1])
        old = replica.create_conversation("Old", id="old")
        old.erase(*[old.send(chr(97 + number % 26) * 9000) for number in range(150)])
        msgsync.sync(replica, peer)
        peer.ingest(
            Incoming(f"c{n % 40}", "ben", f"of the peer {n}", SENT_MS + n, str(n))
            for n in range(800)
        )
        replica.ingest(Incoming(f"d{n}", "ben", f"due {n}", SENT_MS + n, str(n)) for n in range(40))
        for number in range(40):
            one = replica.conversation(f"d{number}")
            one.react(one.messages()[0], "👍")


def attempt(scene: Scene, name: str, room: Room, room_bytes: int) -> str:
    """Try one write in so much room, look around, and try it again with room enough."""
    if name == "fetch":
        offer(scene)
    before = shown(scene.replica, "family")
    outcome = "done"
    with room.of(room_bytes):
        try:
            WRITES[name](scene)
        except (StorageError, OSError) as error:
            if isinstance(error, StorageError) is (name == "export"):
                raise  # the one that is a StorageError by name, and the one that is of the system
            outcome = (
                error.code if isinstance(error, StorageError) else errno.errorcode[error.errno or 0]
            )
            if name != "close and open":
                here = shown(scene.replica, "family")
                if name == "fetch":
                    here.pop(WITH_FILE[name], None)  # a message is there before its file
                assert here == before, "what failed left nothing, and what was is there"
                assert scene.replica.check().problems == ()
                assert scene.replica.search("kept")
            if name in WITH_FILE:
                go_on_without_file(scene, name, room_bytes)
    if outcome != "done":
        try:
            WRITES[name](scene)
        except msgsync.ReplicaClosed:
            scene.replica = msgsync.open(scene.replica.path, author="ann")
    assert scene.replica.check().problems == ()
    reopen(scene)
    assert scene.replica.check().problems == ()
    if name == "erase":
        assert files.remains(scene.replica.path, SECRET.encode()) == []
    if name not in ("erase", "delete a conversation"):
        assert before.keys() - {"gone"} <= shown(scene.replica, "family").keys()
    receive(scene)
    assert scene.replica.digest == scene.peer.digest
    if name in WITH_FILE:
        have_file(scene, WITH_FILE[name])
    return outcome


def go_on_without_file(scene: Scene, name: str, room_bytes: int) -> None:
    """There is nothing half of what was attached or fetched, and messages are sent and received."""
    if name == "attach":
        assert files_of(scene.replica) == []
    if room_bytes < WORDS_PAGES * PAGE_BYTES:
        return
    if name == "fetch":
        [attachment] = scene.message(WITH_FILE[name]).attachments
        assert attachment.state is AttachmentState.DOWNLOADING
        assert attachment.bytes_here < len(FILE)
    scene.family.send("words alone")


def have_file(scene: Scene, text: str) -> None:
    message = scene.message(text)
    for replica in (scene.replica, scene.peer):
        [attachment] = replica.message(message.id).attachments
        with attachment.open() as file:
            assert file.read() == FILE
        assert is_tidy(replica)


def clear(paths: Iterable[Path]) -> None:
    for path in list(paths):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


def main(folder: Path, how: str) -> None:
    room = Room(folder, how)
    with TemporaryDirectory() as name:
        made, elsewhere = Path(name, "made"), Path(name, "elsewhere")
        made.mkdir()
        elsewhere.mkdir()
        prepare(made, elsewhere)
        for write in WRITES:
            for pages in ROOM_PAGES:
                clear(folder.iterdir())
                clear(elsewhere.glob("copy.db*"))
                shutil.copy(made / "here.db", folder)
                shutil.copy(elsewhere / "peer.db", elsewhere / "copy.db")
                with (
                    msgsync.open(folder / "here.db", author="ann") as replica,
                    msgsync.open(elsewhere / "copy.db", author="ann") as peer,
                ):
                    scene = Scene(folder, elsewhere, replica, peer)
                    try:
                        outcome = attempt(scene, write, room, pages * PAGE_BYTES)
                    finally:
                        scene.replica.close()
                print(json.dumps([write, pages, outcome]), flush=True)
                if outcome == "done":
                    break


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
