"""The second act: a phone and a tablet that are never online together, only a folder between them; then a laptop.

    python -m examples.never_online [CHAT]

The scenes are those of `two_devices`. But for the moment in which they pair, through the folder as well, each device is
a process that runs alone: it reads what the other has left in the folder, leaves what is new, and ends. Last, both fall
into the lake, and a laptop has nothing but that folder and the 24 words.

It exits with 0 only if everything came out as promised and all replicas end equal.
"""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import ClassVar

from examples.device import Device, pair, perform, progress_bar, promise, verdict
from examples.inside import PICNIC
from examples.two_devices import SCENES, chosen_chat


class Alone(Device):
    """A device that runs while no other one does: who is told something wakes up, and the one before goes to sleep."""

    awake: ClassVar[Alone | None] = None

    def start(self, *invitation: str) -> None:
        """Put the other one to sleep, and start the process."""
        if Alone.awake is not None:
            Alone.awake.finish()
        super().start(*invitation)
        Alone.awake = self

    def tell(self, verb: str, *arguments: object, **options: object) -> None:
        """Wake up, and be told."""
        if Alone.awake is not self:
            self.start()
        super().tell(verb, *arguments, **options)

    @classmethod
    def all_asleep(cls) -> None:
        """End the process that runs, well."""
        if cls.awake is not None:
            cls.awake.finish()
            cls.awake = None


def visit(device: Device, mailbox: str, label: str) -> None:
    """Read what the others have left in the folder, and leave what is not there yet."""
    with progress_bar(label) as show:
        for done, total in device.sync(mailbox):
            show(done, total)


def begin(phone_path: Path, chat: Path) -> str:
    """Make a phone with a history; return the recovery phrase, which its person writes down."""
    with Device("phone", phone_path) as phone:
        imported = phone.do("import", str(chat.resolve()))
        promise(imported["added"] > 0, "nothing was imported")
        phone.do("create_conversation", "Picnic on Saturday", id=PICNIC)
        phrase = str(phone.do("phrase")["phrase"])
        phone.finish()
    print(f"A phone imports {imported['added']:,} messages; its person writes 24 words on paper.")
    promise(len(phrase.split()) == 24, "the phrase has not 24 words")
    return phrase


def pair_in_folder(phone_path: Path, tablet_path: Path, mailbox: str) -> None:
    """The tablet joins: both run, and no network leads from one to the other."""
    with Device("phone", phone_path) as phone, pair(phone, tablet_path, mailbox) as tablet:
        phone.finish()
        tablet.finish()
    print("  all that they said to each other lay in the folder; nothing of it is left there")
    left = [name for name in Path(mailbox.removeprefix("file://")).rglob("*") if name.is_file()]
    promise(left == [], f"left in the folder: {left}")


def live_apart(phone: Alone, tablet: Alone, mailbox: str) -> None:
    """Each writes, changes, deletes and erases while the other is off; then they hear of each other."""
    scenes = [scene(phone, tablet) for scene in SCENES]
    for scene in scenes:
        next(scene)
    visit(phone, mailbox, "the phone puts")
    visit(tablet, mailbox, "the tablet fills from the folder")
    print("From now on only one of them is on at a time.")
    happened = [next(scene) for scene in scenes]
    for device in (phone, tablet, phone):
        visit(device, mailbox, f"the {device.name} looks into the folder")
    print("Each has looked into the folder when the other was off:")
    for what, scene in zip(happened, scenes, strict=True):
        print(f"  {what}:\n    {next(scene)}")


def recover(laptop_path: Path, phrase: str, mailbox: str) -> None:
    """A brand-new laptop has the folder and the phrase, and nobody to ask."""
    print("Both fall into the lake. A new laptop has the folder, and the 24 words.")
    with Device("laptop", laptop_path, mailbox) as laptop:
        laptop.ear.write(phrase + "\n")
        laptop.ear.flush()
        laptop.hear("joined")
        with laptop.read() as replica:
            promise(not replica.conversations(), "it was to be empty")
        print("  the phrase makes it a device of the account, with nobody there to ask")
        visit(laptop, mailbox, "filling")
        with laptop.read() as replica:
            messages = replica.status().messages
            for id in laptop.screen or ():
                conversation = replica.conversation(replica.message(id).conversation)
                newest = [str(message.id) for message in conversation.messages(limit=50)]
                promise(id in newest, f"what it showed first is not among the newest: {id}")
        if laptop.screen is None:
            print(f"  all {messages:,} messages came in one piece: it is not much")
        else:
            print(f"  the newest messages could be read first, then all {messages:,}")
        laptop.finish()


def play(chat: Path, folder: Path) -> int:
    """Play the second act with replicas in ``folder``; return the exit code."""
    phone_path, tablet_path, laptop_path = (
        folder / f"{name}.db" for name in ("phone", "tablet", "laptop")
    )
    (folder / "mailbox").mkdir()
    mailbox = (folder / "mailbox").as_uri()
    phrase = begin(phone_path, chat)
    print("It and a new tablet share nothing but a folder, as Syncthing would keep it.")
    pair_in_folder(phone_path, tablet_path, mailbox)
    with Alone("phone", phone_path) as phone, Alone("tablet", tablet_path) as tablet:
        live_apart(phone, tablet, mailbox)
        Alone.all_asleep()
    code = verdict(phone_path, tablet_path)
    recover(laptop_path, phrase, mailbox)
    print("The lake is drained. The phone and the tablet look into the folder once more.")
    with Alone("phone", phone_path) as phone, Alone("tablet", tablet_path) as tablet:
        for device in (phone, tablet):
            visit(device, mailbox, f"the {device.name} looks into the folder")
        Alone.all_asleep()
    return code | verdict(phone_path, tablet_path) | verdict(phone_path, laptop_path)


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    chat = chosen_chat("A phone, a tablet, and only a folder between.", arguments)
    return perform(partial(play, chat))


if __name__ == "__main__":
    sys.exit(main())
