"""A phone and a tablet: pair, fill, part, meet again, kill one in mid-transfer, compare, revoke.

    python -m examples.two_devices [CHAT]

CHAT is a history in JSON Lines, plain or gzipped; without it the sample in `data/` is taken.
The phone and the tablet are two processes, a replica each, which talk over TCP alone.

It exits with 0 only if everything came out as promised and the two replicas end equal.
`never_online.py` is the second act: only a folder between them. `photos.py` is the third.
To read it, begin with `play` at the end, then the scenes: each says what happens before the devices
part, while they are apart, and what must have become of it once they have met again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import msgsync
from examples.device import (
    SAMPLE,
    BrokenPromise,
    Device,
    every_message,
    meet,
    online,
    pair,
    perform,
    promise,
    verdict,
)
from examples.inside import ME, PICNIC

Scene = Iterator[str]
"""Runs to its first `yield` before the tablet is filled, to its second while the devices are apart
(saying what was done), and to its third when they have met again (saying what became of it)."""


def on_both(phone: Device, tablet: Device, message: str) -> msgsync.Message:
    """Return a message, which must be the same on both."""
    with phone.read() as here, tablet.read() as there:
        promise(here.message(message) == there.message(message), "a message differs")
        return here.message(message)


def picnic_on_both(phone: Device, tablet: Device) -> list[msgsync.Message]:
    """Return all of the scenes' conversation, which must be the same on both."""
    with phone.read() as here, tablet.read() as there:
        mine, yours = (list(every_message(one.conversation(PICNIC))) for one in (here, there))
    promise(mine == yours, "the conversation differs")
    return mine


def both_send(phone: Device, tablet: Device) -> Scene:
    yield "ready"
    sent = [phone.do("send", "I bring the bread."), tablet.do("send", "I bring the salad.")]
    yield "each sends a message"
    ids = [str(message.id) for message in picnic_on_both(phone, tablet)]
    promise([ids.count(one) for one in sent] == [1, 1], "a message is missing or there twice")
    yield "both have both, in the same order"


def both_edit(phone: Device, tablet: Device) -> Scene:
    meeting = phone.do("send", "Meet at ten?")
    yield "ready"
    phone.do("edit", meeting, "Meet at eleven?")
    tablet.do("edit", meeting, "Meet at nine?")
    yield "both edit one message"
    message = on_both(phone, tablet, meeting)
    texts = {edit.text for edit in message.edits}
    promise(texts == {"Meet at eleven?", "Meet at nine?"}, "an edit was lost")
    promise(message.text in texts, "neither edit is shown")
    (other,) = texts - {message.text}
    yield f"both show “{message.text}” and keep “{other}” in its history"


def edit_against_delete(phone: Device, tablet: Device) -> Scene:
    kite = phone.do("send", "Shall I bring the kite?")
    yield "ready"
    phone.do("edit", kite, "Shall I bring both kites?")
    tablet.do("delete", kite)
    yield "the phone edits a message, the tablet deletes it"
    message = on_both(phone, tablet, kite)
    promise(message.deleted, "an edit brought a deleted message back")
    promise(message.text == "Shall I bring both kites?", "the edit was lost")
    yield "it is deleted on both; were it restored, it would show the edit"


def both_react(phone: Device, tablet: Device) -> Scene:
    with phone.read() as replica:
        lasts = [summary.last_message for summary in replica.conversations()]
    newest = next(message for message in lasts if message and message.conversation != PICNIC)
    yield "ready"
    for device, emoji in (phone, "👍"), (tablet, "👍"), (tablet, "🧺"):
        device.do("react", str(newest.id), emoji, conversation=newest.conversation)
    yield "both give the history's newest message a 👍, the tablet also a 🧺"
    message = on_both(phone, tablet, str(newest.id))
    mine = [reaction.emoji for reaction in message.reactions if reaction.user == ME]
    promise(mine.count("👍") == 1 == mine.count("🧺"), "a reaction was lost or counts twice")
    yield "both show one 👍 and one 🧺"


def restore_against_delete(phone: Device, tablet: Device) -> Scene:
    rain = phone.do("send", "And if it rains?")
    phone.do("delete", rain)
    yield "ready"
    phone.do("restore", rain)
    tablet.do("restore", rain)
    tablet.do("delete", rain)
    yield "the phone restores a deleted message, the tablet restores it and deletes it again"
    promise(not on_both(phone, tablet, rain).deleted, "a delete beat a restore")
    yield "both show it: in doubt nothing is taken away"


def erase_against_edit(phone: Device, tablet: Device) -> Scene:
    secret = phone.do("send", "The marzipan is hidden in the shed.")
    yield "ready"
    phone.do("erase", secret)
    tablet.do("edit", secret, "The marzipan is hidden in the attic.")
    yield "the phone erases a message, the tablet edits it"
    ids = {str(message.id) for message in picnic_on_both(phone, tablet)}
    promise(secret not in ids, "an erased message came back")
    for device in (phone, tablet):
        with device.read() as replica:
            promise(not replica.search("marzipan", conversation=PICNIC), "it is still found")
    yield "it is gone from both for good, and the edit with it"


def same_carrier_message(phone: Device, tablet: Device) -> Scene:
    yield "ready"
    for device, numbers in (phone, (1, 3)), (tablet, (2, 3, 4)):
        for number in numbers:
            notice = device.do(
                "ingest",
                f"Line 9 to the lake: notice {number}",
                author="Buses",
                sent=1_781_351_040_000,  # 2026-06-13T11:44:00Z, the same minute for all four
                external_id=f"bus-{number}",
                order=number,
            )
            if number == 3:
                device.do("react", notice, "🚌", user=device.name)
    yield "of a carrier's four messages of one minute the phone gets 1 and 3, the tablet 2, 3 and 4"
    notices = [message for message in picnic_on_both(phone, tablet) if message.author == "Buses"]
    promise([notice.order for notice in notices] == [1, 2, 3, 4], "not each once and in order")
    users = {reaction.user for reaction in notices[2].reactions}
    promise(users == {phone.name, tablet.name}, "what one device said about it was lost")
    yield "both show 1, 2, 3, 4, and with 3 the reactions of either device"


def conversation_deleted(phone: Device, tablet: Device) -> Scene:
    plans = "two-devices/old-plans"
    phone.do("create_conversation", "Old plans", id=plans)
    phone.do("send", "Camping in May?", conversation=plans)
    yield "ready"
    phone.do("delete_conversation", plans)
    tablet.do("send", "Or in June?", conversation=plans)
    yield "the phone deletes a conversation, into which the tablet writes a message"
    for device in (phone, tablet):
        with device.read() as replica:
            conversation = replica.conversation(plans)
            promise(plans in [one.id for one in replica.conversations()], "the message was lost")
            texts = [message.text for message in conversation.messages()]
            promise(texts == ["Or in June?"], "what was deleted came back")
            deleted = [one.message.text for one in replica.recently_deleted()]
            promise("Camping in May?" in deleted, "it is not in Recently Deleted")
    yield "it is back on both with that message alone; the rest is in Recently Deleted"


def read_and_late(phone: Device, tablet: Device) -> Scene:
    club, noon_ms = "two-devices/club", 1_781_352_000_000  # 2026-06-13T12:00:00Z

    def receive(device: Device, text: str, sent_ms: int) -> None:
        device.do("ingest", text, author="Club", sent=sent_ms, external_id=text, conversation=club)

    phone.do("create_conversation", "Club", id=club)
    receive(phone, "The boats are ready.", noon_ms)
    yield "ready"
    phone.do("mark_read", conversation=club)
    receive(tablet, "Bring your oars!", noon_ms - 3_600_000)
    yield "the phone has read a conversation; the tablet receives an older message of it, late"
    for device in (phone, tablet):
        with device.read() as replica:
            conversation = replica.conversation(club)
            unread = conversation.first_unread()
            promise(conversation.unread == 1, "the marks differ")
            promise(unread is not None and unread.text == "Bring your oars!", "not the late one")
    yield "one message is unread on both: the late one"


def both_search(phone: Device, tablet: Device) -> Scene:
    lamp = phone.do("send", "The lantern is in the attic.")
    yield "ready"
    tablet.do("edit", lamp, "The lantern is in the cellar.")
    yield "the tablet corrects where the lantern is"
    for device in (phone, tablet):
        with device.read() as replica:
            found = [message.text for message in replica.search("lantern cellar")]
            promise(found == ["The lantern is in the cellar."], "the search misses it")
            promise(not replica.search("lantern attic"), "the search finds what is not shown")
    yield "a search on either finds it by the new words, and not by the old ones"


SCENES: tuple[Callable[[Device, Device], Scene], ...] = (
    both_send,
    both_edit,
    edit_against_delete,
    both_react,
    restore_against_delete,
    erase_against_edit,
    same_carrier_message,
    conversation_deleted,
    read_and_late,
    both_search,
)


def kill_and_go_on(phone: Device, tablet: Device) -> None:
    """Kill the tablet in the middle of a long transfer; restarted, it goes on from what it has."""
    had = tablet.do("count_messages")
    count = phone.do("receive_parcels")
    print(f"While they are apart, {count:,} delivery notices reach the phone. They meet again.")
    with online(phone) as address:
        for done, total in tablet.sync(address):
            if total <= 3 * done < 3 * total:
                tablet.kill()
                print(f"  the tablet is killed (SIGKILL) at {done:,} of {total:,} messages")
                break
    promise(tablet.process.returncode is not None, "the transfer had no middle to be killed in")

    tablet.start()
    kept = tablet.do("count_messages") - had
    print(f"  the tablet is started again and still has {kept:,} of them")
    promise(0 < kept < count, "the transfer was not interrupted in the middle")
    meet(phone, tablet, "going on")
    received = tablet.synced["received"]
    promise(received < count, f"the transfer began again from zero: {received:,} messages")
    print(f"  it received only the {received:,} that it lacked")


def lose_and_restore(phone: Device, tablet: Device, backup: Path) -> None:
    """The phone is backed up, goes on, and is lost; what its backup becomes takes part again at once."""
    secret_text = "The door opens with 4711."
    kept = phone.do("send", "The hedgehog is back.")
    secret = phone.do("send", secret_text)
    phone.do("backup", str(backup))
    print("The phone is backed up. Then it erases a message that the backup has.")
    phone.do("erase", secret)
    looked = phone.do("verify_erased", secret, secret_text)
    promise(looked["ok"], f"something is left of an erased message: {looked['found']}")
    print(f"  verified: nothing of it is left in any of the phone's {looked['files']} files")
    meet(phone, tablet, "merging")
    where = phone.do("where_is", secret)
    promise(where == {"on": 0, "erased_on": 2}, f"not known to be erased on both: {where}")
    print("  they meet, and the phone knows that it is erased on both")
    frozen = phone.do("compact")
    promise(not frozen["left"], f"not all could be frozen: {frozen['left']}")
    print(f"  compacted: {frozen['frozen']:,} months and other documents are frozen anew")

    phone.kill()
    phone.path = backup.with_name("phone-again.db")
    msgsync.restore(backup, phone.path, author=ME).close()
    print("The phone falls into the lake. Another one is made of its backup, and meets the tablet.")
    phone.start()
    meet(phone, tablet, "merging")
    ids = {str(message.id) for message in picnic_on_both(phone, tablet)}
    promise(kept in ids, "what the backup had is not there")
    promise(secret not in ids, "the backup brought an erased message back")
    looked = phone.do("verify_erased", secret, secret_text)
    promise(looked["ok"], f"the backup brought something back: {looked['found']}")
    print("  it has all of it, and what was erased meanwhile is gone from it as well")


def revoke_and_refuse(phone: Device, tablet: Device) -> None:
    """The tablet is stolen: the phone revokes it, and it gets nothing any more."""
    with tablet.read() as replica:
        stolen = str(replica.device)
    phone.do("revoke", stolen)
    after = phone.do("send", "The new door code is 1147.")
    print("The tablet is stolen. The phone revokes it, and writes a message.")
    with online(phone) as address:
        answer = tablet.do("refused", address)
    promise(answer["refused"] == "DeviceRevoked", f"the tablet was not refused: {answer}")
    promise(answer["revoked"], "the tablet does not know that it was revoked")
    with tablet.read() as replica:
        try:
            replica.message(after)
        except msgsync.UnknownMessage:
            print("  it tries to sync, is refused and told why, and has not got the message")
        else:
            raise BrokenPromise("a revoked device got what was written afterwards")


# ---------------------------------------------------------------------------------------- the story


def play(chat: Path, folder: Path) -> int:
    """Play the whole story with replicas in ``folder``; return the exit code."""
    phone_path, tablet_path = folder / "phone.db", folder / "tablet.db"
    with Device("phone", phone_path) as phone:
        started_s = time.monotonic()
        imported = phone.do("import", str(chat.resolve()))
        took_s = time.monotonic() - started_s
        print(f"The phone imports {imported['added']:,} messages of {chat.name} in {took_s:.1f} s.")
        if imported["bad"]:
            print(f"  {imported['bad']:,} lines cannot be read and are left out")
        promise(imported["added"] > 0, "nothing was imported")
        phone.do("create_conversation", "Picnic on Saturday", id=PICNIC)

        with pair(phone, tablet_path) as tablet:
            scenes = [scene(phone, tablet) for scene in SCENES]
            for scene in scenes:
                next(scene)
            print("It is in the account now, and is filled from the phone.")
            meet(phone, tablet, "filling")

            print("Both are offline, and things happen on either.")
            happened = [next(scene) for scene in scenes]
            print("They meet again.")
            meet(phone, tablet, "merging")
            for what, scene in zip(happened, scenes, strict=True):
                print(f"  {what}:\n    {next(scene)}")

            kill_and_go_on(phone, tablet)
            lose_and_restore(phone, tablet, folder / "phone.backup")
            code = verdict(phone.path, tablet.path)
            revoke_and_refuse(phone, tablet)
            phone.finish()
            tablet.finish()
    return code


def chosen_chat(description: str, arguments: list[str] | None) -> Path:
    """The history that the command line names, or the sample."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("chat", nargs="?", type=Path, default=SAMPLE, help="JSON Lines, also .gz")
    chat: Path = parser.parse_args(arguments).chat
    if not chat.is_file():
        parser.error(f"{chat} is not a file")
    return chat


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    chat = chosen_chat("A phone and a tablet, in two processes.", arguments)
    return perform(partial(play, chat))


if __name__ == "__main__":
    sys.exit(main())
