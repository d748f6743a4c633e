"""What is being done while the power goes or the disk fails: every kind of write, in two openings."""

from __future__ import annotations

import msgsync
from msgsync.testing import SimulatedSystem
from msgsync.testing.system import START_MS

_DAY_MS = 86_400_000


def short_first(replica: msgsync.Replica) -> None:
    family = replica.create_conversation("Family", id="family")
    hello = family.send("hello")
    family.edit(hello, "hello there")
    family.react(hello, "👍")
    replica.ingest(
        [
            msgsync.Incoming("irc", "ben", f"line {n}", START_MS - n * 3 * _DAY_MS, str(n))
            for n in range(3)
        ]
    )


def attaching(replica: msgsync.Replica) -> None:
    """Files are sent, sent again, and go with their messages."""
    photos = replica.create_conversation("Photos", id="photos")
    first = photos.send("one", attachments=[b"one", b"two" * 300])
    photos.send("again", attachments=[b"two" * 300])
    photos.erase(first)
    photos.send("", attachments=[b"three"])


def detaching(replica: msgsync.Replica) -> None:
    """Files that lie there since an opening before go, and are sent anew."""
    photos = replica.conversation("photos")
    photos.erase(photos.messages()[0])
    photos.send("one", attachments=[b"one", b"two" * 300])
    photos.delete(photos.messages()[-1])
    replica.empty_recently_deleted()
    replica.free_space()


def short_second(replica: msgsync.Replica) -> None:
    family = replica.conversation("family")
    again = family.send("again")
    family.delete(again)
    family.restore(again)
    family.erase(again)
    family.rename("Relatives")
    irc = replica.conversation("irc")
    irc.delete_all(irc.preview_deletion().token)


def long_first(replica: msgsync.Replica) -> None:
    family = replica.create_conversation("Family", id="family")
    for number in range(4):
        message = family.send(f"message {number} " + "x" * (number * 700))
        family.react(message, "👍")
        family.edit(message, f"edited {number}")
    replica.ingest(
        [
            msgsync.Incoming("irc", "ben", f"line {n}", START_MS - n * 3 * _DAY_MS, str(n))
            for n in range(20)
        ]
    )
    last = family.messages()[-1]
    family.delete(last)
    family.restore(last)
    family.erase(last)


def long_second(replica: msgsync.Replica) -> None:
    family = replica.conversation("family")
    family.rename("Relatives")
    family.send("again")
    family.mark_read()
    irc = replica.conversation("irc")
    irc.delete_all(irc.preview_deletion().token)
    irc.send("and on")
    replica.empty_recently_deleted()


def filling(replica: msgsync.Replica) -> None:
    """A new device fills from another, which is made here and on the real disk."""
    path, system = replica.path.with_name("other.db"), SimulatedSystem("other")
    with replica.new_device(path, system=system) as other:
        long_first(other)
        long_second(other)
        msgsync.sync(replica, other)
        other.conversation("family").send("one more")
        other.conversation("family").erase(other.conversation("family").messages()[0])
        msgsync.sync(replica, other)
