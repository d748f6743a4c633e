"""The third act: photos, a small tablet, and room on the phone. Only a folder between them, and one is on at a time.

    python -m examples.photos [FOLDER]

FOLDER has the files to send; without it some pictures are drawn. Each file is one message.

It exits with 0 only if every file came out with the bytes that went in, and the two replicas end equal.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import struct
import sys
import zlib
from functools import partial
from pathlib import Path

import msgsync
from examples.device import Device, perform, promise, verdict
from examples.inside import ME
from examples.never_online import Alone, visit

ALBUM = "two-devices/album"
MINUTES_S = 120.0  # until a device that has put a file into a folder believes that it stays there


class Album:
    """What was sent: the files, and the messages that they went with."""

    def __init__(self, files: list[Path]) -> None:
        self.files = {file.name: file.read_bytes() for file in files}
        self.messages: dict[str, str] = {}

    @property
    def size(self) -> int:
        """Bytes of all."""
        return sum(map(len, self.files.values()))

    def read_on(self, device: Device, name: str, mailbox: str | None) -> None:
        """Have a device read a file, which must be what was sent."""
        found = device.do("read", self.messages[name], mailbox)
        wanted = {"bytes": len(self.files[name]), "digest": digest(self.files[name])}
        promise(found == wanted, f"{name} came out otherwise on the {device.name}: {found}")


def digest(data: bytes) -> str:
    """SHA-256, as attachments show it."""
    return hashlib.sha256(data).hexdigest()


def attachments_on(device: Device) -> list[msgsync.Attachment]:
    """All that is attached to the album's messages, as a device shows it."""
    with device.read() as replica:
        page = replica.conversation(ALBUM).messages(limit=1000)
        return [one for message in page for one in message.attachments]


def files_beside(path: Path) -> int:
    """How many files lie in the folder beside a replica."""
    folder = path.with_name(f"{path.name}.attachments")
    return sum(one.is_file() for one in folder.rglob("*"))


def chunks_in(mailbox: str) -> int:
    """How many chunks lie in the folder between the devices."""
    return sum(one.is_file() for one in Path(mailbox.removeprefix("file://")).glob("chunk/**/*"))


def meet_in_folder(mailbox: str, *devices: Device) -> None:
    """Each looks into the folder, one after the other."""
    for device in devices:
        visit(device, mailbox, f"the {device.name} looks into the folder")


def send(phone: Alone, album: Album, files: list[Path]) -> None:
    """The phone sends each file with a message of its own."""
    for file in files:
        album.messages[file.name] = phone.do(
            "send", f"Look: {file.name}", attachments=[str(file.resolve())], conversation=ALBUM
        )
    print(f"The phone sends {len(files)} files, {album.size:,} bytes. What it says of them:")
    for one in attachments_on(phone):
        promise(one.digest == digest(album.files[one.name]), f"{one.name} has another digest")
        told = [one.media_type, f"{one.size:,} bytes"]
        told += [f"{one.width} x {one.height} pixels"] if one.width else []
        told += [f"a preview of {len(one.preview):,} bytes"] if one.preview else []
        print(f"  {one.name}: {', '.join(told)}")


def read_on_a_small_tablet(tablet: Alone, album: Album, mailbox: str) -> None:
    """The tablet keeps nothing, and reads one file all the same."""
    tablet.do("budget", 0)
    meet_in_folder(mailbox, tablet)
    shown = attachments_on(tablet)
    promise(len(shown) == len(album.files), "a message with a file is missing on the tablet")
    promise(not any(one.bytes_here for one in shown), "a tablet without room fetched files")
    print(
        "The tablet has no room for files. It shows all messages, with names, sizes and previews,"
    )
    print(f"  and has 0 of their {album.size:,} bytes")
    name = shown[0].name
    album.read_on(tablet, name, mailbox)
    print(f"  Somebody opens {name} on it: the phone is off, so the bytes come out of the folder,")
    print("  and they are those that were sent.")


def free_the_phone(phone: Alone, album: Album, mailbox: str) -> str:
    """The phone lets all go, and reads one file again. Returns its name."""
    first = phone.do("free_space")
    promise(first["here"] == album.size, f"something went that nobody was seen to have: {first}")
    print(
        "The phone is to make room. At first nothing goes: it has not yet seen that the files stay"
    )
    print("  in the folder.")
    meet_in_folder(mailbox, phone)
    phone.ahead_s = MINUTES_S
    Alone.all_asleep()
    meet_in_folder(mailbox, phone)
    freed = phone.do("free_space")
    promise(freed == {"here": 0, "freed": album.size}, f"not all of it went: {freed}")
    promise(files_beside(phone.path) == 0, "files lie beside the phone's replica")
    states = {one.state for one in attachments_on(phone) if one.size}
    promise(states == {msgsync.AttachmentState.ELSEWHERE}, f"the phone says {states}")
    print(
        f"  Minutes later it has read them again there, and {freed['freed']:,} bytes go from the phone."
    )
    print("  Messages and previews stay.")
    name = next(iter(album.files))
    album.read_on(phone, name, mailbox)
    print(f"  Somebody opens {name} on it again: it comes back, the same to the last byte.")
    return name


def delete_and_restore(phone: Alone, tablet: Alone, album: Album, name: str, mailbox: str) -> None:
    """A message goes to Recently Deleted and comes back with its file."""
    message = album.messages[name]
    phone.do("delete", message, conversation=ALBUM)
    meet_in_folder(mailbox, phone, tablet)
    with tablet.read() as replica:
        deleted = [str(one.message.id) for one in replica.recently_deleted()]
    promise(deleted == [message], "it is not in the tablet's Recently Deleted")
    phone.do("free_space")
    promise(files_beside(phone.path) == 0, "files lie beside the phone's replica")
    print(f"The phone deletes the message with {name}, and makes room again.")
    tablet.do("restore", message, conversation=ALBUM)
    meet_in_folder(mailbox, tablet, phone)
    album.read_on(phone, name, mailbox)
    print("  Restored on the tablet, it is back on both, and the phone opens its file.")


def erase(phone: Alone, tablet: Alone, album: Album, name: str, mailbox: str) -> None:
    """Erased, a message takes its file with it everywhere."""
    before = chunks_in(mailbox)
    phone.do("erase", album.messages.pop(name), conversation=ALBUM)
    meet_in_folder(mailbox, phone, tablet, phone)
    promise(chunks_in(mailbox) < before, f"the bytes of {name} are still in the folder")
    names = {one.name for device in (phone, tablet) for one in attachments_on(device)}
    promise(names == album.files.keys() - {name}, f"there are {sorted(names)}")
    print(f"The phone erases the message with {name}: it is gone from both, and its bytes are gone")
    print("  from the phone, the tablet and the folder.")


def play(files: list[Path], folder: Path) -> int:
    """Play the third act with replicas in ``folder``; return the exit code."""
    files = files or draw(folder / "pictures")
    album = Album(files)
    phone_path, tablet_path = folder / "phone.db", folder / "tablet.db"
    (folder / "mailbox").mkdir()
    mailbox = (folder / "mailbox").as_uri()
    with msgsync.open(phone_path, author=ME) as replica:
        replica.create_conversation("Album", id=ALBUM)
        replica.new_device(tablet_path).close()
    print("A phone and a tablet share nothing but a folder, and never run at the same time.")
    with Alone("phone", phone_path) as phone, Alone("tablet", tablet_path) as tablet:
        send(phone, album, files)
        meet_in_folder(mailbox, phone)
        read_on_a_small_tablet(tablet, album, mailbox)
        name = free_the_phone(phone, album, mailbox)
        delete_and_restore(phone, tablet, album, name, mailbox)
        erase(phone, tablet, album, name, mailbox)
        Alone.all_asleep()
    return verdict(phone_path, tablet_path)


# What is sent where there are no photos.


def draw(folder: Path) -> list[Path]:
    """Draw some pictures: two that are small, and one of noise, so that it is of more than one chunk."""
    folder.mkdir()
    lake = [bytes((40, 90, 100 + row // 2)) * 320 for row in range(200)]
    meadow = [bytes((60, 200 - row // 3, 70)) * 200 for row in range(320)]
    noise = random.Random(1)
    snowstorm = [noise.randbytes(800 * 3) for _ in range(600)]
    for name, rows in (("lake", lake), ("meadow", meadow), ("snowstorm", snowstorm)):
        (folder / f"{name}.png").write_bytes(png(rows))
    return sorted(folder.iterdir())


def png(rows: list[bytes]) -> bytes:
    """A picture in the PNG format, of rows of red, green and blue."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    pixels = zlib.compress(b"".join(b"\0" + row for row in rows))
    head = struct.pack(">IIBBBBB", len(rows[0]) // 3, len(rows), 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", pixels) + chunk(b"IEND", b"")
    )


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description="Photos, a small tablet, and room on the phone.")
    parser.add_argument("folder", nargs="?", type=Path, help="its files are sent")
    folder: Path | None = parser.parse_args(arguments).folder
    if folder is not None and not folder.is_dir():
        parser.error(f"{folder} is not a folder")
    files = [] if folder is None else sorted(one for one in folder.iterdir() if one.is_file())
    return perform(partial(play, files))


if __name__ == "__main__":
    sys.exit(main())
