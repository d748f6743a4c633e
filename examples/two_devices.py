"""A phone and a tablet: pair, fill, part, meet again, kill one in mid-transfer, compare, revoke.

    python examples/two_devices.py [CHAT]

CHAT is a history in JSON Lines, plain or gzipped; without it the sample in `data/` is taken.
This program starts itself twice more, as the phone and as the tablet: two processes, a replica
each, which talk over TCP alone. What to do they are told over pipes, one JSON value a line.

It exits with 0 only if everything came out as promised and the two replicas end equal.
`never_online.py` is the second act: only a folder between them.
To read it, begin with `play` at the end, then the scenes: each says what happens before the devices
part, while they are apart, and what must have become of it once they have met again.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import random
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from itertools import zip_longest
from pathlib import Path
from typing import Any, Self

import anyio
import anyio.to_thread

import msgsync

SAMPLE = Path(__file__).parent / "data" / "sample.jsonl"
ME = "Mina"
PICNIC = "two-devices/picnic"  # the conversation in which the scenes play
PARCEL_COUNT = 30_000  # messages; enough for a transfer to have a middle
PATIENCE_S = 300.0  # a device that says nothing for this long is taken to hang


class BrokenPromise(Exception):
    """What came out is not what the design promises."""


def promise(kept: bool, otherwise: str) -> None:
    """Raise `BrokenPromise` unless ``kept``."""
    if not kept:
        raise BrokenPromise(otherwise)


# ------------------------------------------------------- a device, running in a process of its own


def be_a_device(path: str, invitation: list[str] | None, mailbox: str | None = None) -> None:
    """Open the replica at ``path``, or make it; do what standard input asks, until it ends.

    It is made by an invitation, or of a mailbox with the recovery phrase, which is the first line of standard input.
    """
    if mailbox is not None:
        replica = msgsync.recover(path, sys.stdin.readline(), via=mailbox, author=ME)
        say(joined=str(replica.device))
    elif invitation is None:
        replica = msgsync.open(path, author=ME)
    else:
        replica = msgsync.join(
            path, *invitation, author=ME, name="Tablet", on_emoji=lambda emoji: say(emoji=emoji)
        )
        say(joined=str(replica.device))
    with replica:
        for line in iter(sys.stdin.readline, ""):
            verb, arguments, options = json.loads(line)
            say(done=obey(replica, verb, *arguments, **options))


def say(**facts: object) -> None:
    """Tell the parent."""
    print(json.dumps(facts), flush=True)


def obey(replica: msgsync.Replica, verb: str, *arguments: Any, **options: Any) -> object:
    """Do one thing; what is not a verb of the whole replica is one of a conversation."""
    match verb:
        case "import":
            report = msgsync.import_jsonlines(replica, *arguments)
            return {"added": report.added, "bad": report.bad_count}
        case "create_conversation":
            replica.create_conversation(*arguments, **options)
        case "receive_parcels":
            return replica.ingest(parcel_messages()).added
        case "delete_conversation":
            conversation = replica.conversation(*arguments)
            return conversation.delete_all(conversation.preview_deletion().token)
        case "count_messages":
            return replica.status().messages
        case "serve":
            anyio.run(serve_until_told, replica)
        case "sync":
            synced = msgsync.sync(replica, *arguments, on_event=partial(say_progress, replica))
            return {"received": synced.messages_received, "complete": synced.complete}
        case (
            "phrase"
            | "invite"
            | "revoke"
            | "refused"
            | "compact"
            | "backup"
            | "verify_erased"
            | "where_is"
        ):
            return look_after(replica, verb, *arguments)
        case _:
            conversation = replica.conversation(options.pop("conversation", PICNIC))
            made = getattr(conversation, verb)(*arguments, **options)
            return str(made.id) if isinstance(made, msgsync.Message) else None
    return None


def look_after(replica: msgsync.Replica, verb: str, *arguments: Any) -> dict[str, Any] | None:
    """Do one thing that looks after the replica itself."""
    match verb:
        case "phrase":
            return {"phrase": replica.recovery_phrase()}
        case "refused":
            return be_refused(replica, *arguments)
        case "revoke":
            revoked = replica.revoke(*arguments, even_without_recovery=True)
            return {"device": str(revoked.device)}
        case "invite":
            invited = replica.invite(*arguments, on_code=say_code, on_request=ask_parent)
            return {"device": str(invited)}
        case "compact":
            compacted = replica.compact()
            return {"frozen": compacted.frozen, "left": compacted.left}
        case "verify_erased":
            id, text = arguments
            looked = replica.verify_erased(id, text=text)
            return {"ok": looked.ok, "found": looked.found, "files": len(looked.files)}
        case "where_is":
            there = replica.where_is(*arguments)
            return {"on": len(there.devices), "erased_on": len(there.erased_on)}
    replica.backup(*arguments)
    return None


async def serve_until_told(replica: msgsync.Replica) -> None:
    """Be online until the parent's next line, or until the parent is gone."""
    serve = partial(msgsync.aio.serve, replica, on_listening=say_address, on_event=say_end)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(serve)
        await anyio.to_thread.run_sync(sys.stdin.readline)
        tasks.cancel_scope.cancel()


def be_refused(replica: msgsync.Replica, address: str) -> dict[str, Any]:
    """Sync, and tell why that is refused."""
    try:
        msgsync.sync(replica, address)
    except msgsync.AccountError as error:
        return {"refused": type(error).__name__, "revoked": replica.revoked}
    return {"refused": None, "revoked": replica.revoked}


def say_code(invited: msgsync.Invited) -> None:
    """Inviting: tell the parent what a screen would show."""
    say(code=invited.code, address=invited.address)


def ask_parent(request: msgsync.JoinRequest) -> bool:
    """Inviting: ask whether a device may join; the parent's next line is the answer."""
    say(request=[request.name, request.emoji])
    answer = json.loads(sys.stdin.readline())
    return bool(answer[0] == "yes")


def say_address(address: str) -> None:
    """Serving: tell the parent where."""
    say(listening=address)


def say_end(event: object) -> None:
    """Serving: tell the parent that a session ended, and how."""
    if isinstance(event, msgsync.Completed | msgsync.Stopped):
        say(ended=type(event).__name__)


def say_progress(replica: msgsync.Replica, event: object) -> None:
    """Syncing: tell the parent how far it is, and wait for its word: it may kill us just here."""
    if isinstance(event, msgsync.FirstScreen):
        say(screen=newest(replica))
    if isinstance(event, msgsync.Progress):
        say(progress=[event.messages, event.total_messages])
        sys.stdin.readline()


def newest(replica: msgsync.Replica) -> list[str]:
    """Give the newest messages of the conversations with the newest activity, as a screen would."""
    lasts = [summary.last_message for summary in replica.conversations(limit=3)]
    return [str(message.id) for message in lasts if message is not None]


def parcel_messages() -> Iterator[msgsync.Incoming]:
    """Give about a year of delivery notices from eight shops, stamped to the minute."""
    dice = random.Random(9)
    sent_ms = 1_704_067_200_000  # 2024-01-01T00:00:00Z
    for number in range(PARCEL_COUNT):
        shop, code, shelf = dice.randrange(8), dice.randrange(10**9), dice.randrange(90)
        sent_ms += 60_000 * dice.choice((0, 0, 1, 2, 90))
        text = f"Parcel {code:09} is waiting for you at the kiosk in Mill Lane, shelf {shelf}."
        yield msgsync.Incoming(
            f"two-devices/shop-{shop}",
            f"Shop {shop}",
            text,
            sent_ms,
            external_id=f"notice-{number}",
        )


# --------------------------------------------------------------------- the parent's end of a device


class Device:
    """A device's process, told over a pipe what to do; its replica can be read beside it."""

    def __init__(self, name: str, path: Path, *invitation: str) -> None:
        self.name, self.path = name, path
        self.synced: dict[str, Any] = {}  # what the last completed sync reported
        self.screen: list[str] | None = None  # what could be seen first in it
        self.start(*invitation)

    def start(self, *invitation: str) -> None:
        """Start the process on the replica as it lies there, or to join by an invitation (code and address)."""
        joining = ["--join", *invitation] if invitation else []
        if len(invitation) == 1:  # the address of a mailbox
            joining = ["--recover", *invitation]
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--device", str(self.path), *joining],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,  # Ctrl-C is for the parent; a device ends with its pipe
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.ear, self.mouth = self.process.stdin, self.process.stdout

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.kill()

    def tell(self, verb: str, *arguments: object, **options: object) -> None:
        """Ask for something without waiting."""
        try:
            self.ear.write(json.dumps([verb, arguments, options]) + "\n")
            self.ear.flush()
        except BrokenPipeError as gone:
            raise BrokenPromise(f"the {self.name} has ended") from gone

    def hear(self, expected: str) -> Any:
        """Wait for the device's next line, which must be of this kind."""
        facts = self.listen()
        promise(expected in facts, f"the {self.name} says {facts} where {expected!r} is due")
        return facts[expected]

    def listen(self) -> dict[str, Any]:
        """Wait for the device's next line."""
        watchdog = threading.Timer(PATIENCE_S, self.process.kill)
        watchdog.start()
        line = self.mouth.readline()
        watchdog.cancel()
        promise(line != "", f"the {self.name} ended without an answer")
        facts: dict[str, Any] = json.loads(line)
        return facts

    def do(self, verb: str, *arguments: object, **options: object) -> Any:
        """Ask for something and wait until it is done. A verb that makes a message gives its id."""
        self.tell(verb, *arguments, **options)
        return self.hear("done")

    def sync(self, address: str) -> Iterator[tuple[int, int]]:
        """Sync with the device at ``address``; give messages done and in total as it goes."""
        self.tell("sync", address)
        self.screen = None
        while "done" not in (facts := self.listen()):
            if "screen" in facts:
                self.screen = facts["screen"]
                continue
            promise("progress" in facts, f"the {self.name} says {facts} while it syncs")
            done, total = facts["progress"]
            yield done, total
            self.tell("go on")
        self.synced = facts["done"]
        promise(self.synced["complete"], "the devices parted before all was exchanged")

    def read(self) -> msgsync.Replica:
        """Open the replica for reading, beside the process that writes it."""
        return msgsync.open(self.path, readonly=True)

    def kill(self) -> None:
        """End the process with SIGKILL: nothing is flushed, closed or tidied up."""
        self.process.kill()
        self.wait()

    def finish(self) -> None:
        """Let the device close its replica and end."""
        self.ear.close()
        promise(self.wait() == 0, f"the {self.name} did not end well")

    def wait(self) -> int:
        """Wait until the process has ended; return its exit code."""
        code = self.process.wait(PATIENCE_S)
        with suppress(BrokenPipeError):  # what it was not there to read
            self.ear.close()
        self.mouth.close()
        return code


def pair(phone: Device, path: Path, *mailbox: str) -> Device:
    """Have the phone invite and a tablet join: a code on one screen, emoji on both, and a yes."""
    phone.tell("invite", *mailbox)
    shown = phone.listen()
    promise("code" in shown, f"the phone says {shown} where a code is due")
    print(f"The phone shows a code: {shown['code']}. It is typed on a new tablet.")
    tablet = Device("tablet", path, shown["code"], shown["address"])
    emoji = tablet.hear("emoji")
    asked = phone.hear("request")
    promise(asked == ["Tablet", emoji], f"the phone asks for {asked}, the tablet shows {emoji}")
    print(f"  both show {' '.join(emoji)}, and the phone's person says yes")
    phone.tell("yes")
    joined = tablet.hear("joined")
    promise(phone.hear("done")["device"] == joined, "the phone added another device")
    return tablet


@contextmanager
def online(phone: Device) -> Iterator[str]:
    """Have the phone listen for one session; gives the address."""
    phone.tell("serve")
    yield phone.hear("listening")
    phone.hear("ended")
    phone.do("go offline")


def meet(phone: Device, tablet: Device, label: str) -> None:
    """Sync the tablet with the phone and show the progress."""
    with online(phone) as address, progress_bar(label) as show:
        for done, total in tablet.sync(address):
            show(done, total)


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Give what shows progress: a bar on a terminal where rich is there, else a line a quarter."""
    if sys.stdout.isatty() and importlib.util.find_spec("rich"):
        from rich import progress  # only where it is installed

        columns = (
            progress.TextColumn("  {task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
        )
        with progress.Progress(*columns) as bar:
            task = bar.add_task(label, visible=False)
            yield lambda done, total: bar.update(
                task, completed=done, total=total, visible=total > 0
            )
        return
    quarters = 0

    def show(done: int, total: int) -> None:
        nonlocal quarters
        if total and done * 4 // total > quarters:
            quarters = done * 4 // total
            print(f"  {label}: {done:,} of {total:,} messages", flush=True)

    yield show


# --------------------------------------------------------------------------------------- the scenes

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


# ------------------------------------------------------------------------------------- the comparison


def every_message(conversation: msgsync.Conversation) -> Iterator[msgsync.Message]:
    """Give every message, deleted ones too, oldest first, page by page."""
    after: msgsync.Cursor | None = msgsync.Cursor.START
    while after is not None:
        page = conversation.messages(after=after, limit=500, include_deleted=True)
        yield from page
        after = page.newer


def differences(phone: msgsync.Replica, tablet: msgsync.Replica) -> list[str]:
    """Say what is not the same on both, or not sound on one; empty if all is well."""
    found = [
        f"the {replica.path.stem}'s check says: {problem}"
        for replica in (phone, tablet)
        for problem in replica.check().problems
    ]
    if phone.digest != tablet.digest:
        found.append("the digests differ")
    if phone.conversations() != tablet.conversations():
        found.append("the lists of conversations differ")
    ids = [{summary.id for summary in replica.conversations()} for replica in (phone, tablet)]
    found += [f"{id}: only one device has it" for id in sorted(ids[0] ^ ids[1])]
    for id in sorted(ids[0] & ids[1]):
        messages = (every_message(replica.conversation(id)) for replica in (phone, tablet))
        unequal = sum(here != there for here, there in zip_longest(*messages))
        if unequal:
            found.append(f"{id}: {unequal:,} messages differ")
    return found


def verdict(phone: Path, tablet: Path) -> int:
    """Compare two replicas and say how they compare; return the exit code."""
    with (
        msgsync.open(phone, readonly=True) as here,
        msgsync.open(tablet, readonly=True) as there,
    ):
        found = differences(here, there)
        status = here.status()
    for difference in found:
        print(f"DIFFERENT: {difference}")
    if not found:
        print(
            f"Equal to the last message: {status.messages:,} in {status.conversations:,} conversations."
        )
    return 1 if found else 0


# ---------------------------------------------------------------------------------------- the story


def play(chat: Path, folder: Path) -> int:
    """Play the whole story with replicas in ``folder``; return the exit code."""
    phone_path, tablet_path = folder / "phone.db", folder / "tablet.db"
    with Device("phone", phone_path) as phone:
        started_s = time.monotonic()
        imported = phone.do("import", str(chat))
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


def main(arguments: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    parser = argparse.ArgumentParser(description="A phone and a tablet, in two processes.")
    parser.add_argument("chat", nargs="?", type=Path, default=SAMPLE, help="JSON Lines, also .gz")
    parser.add_argument("--device", metavar="REPLICA", help=argparse.SUPPRESS)
    parser.add_argument("--join", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--recover", metavar="MAILBOX", help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.device:
        be_a_device(chosen.device, chosen.join, chosen.recover)
        return 0
    if not chosen.chat.is_file():
        parser.error(f"{chosen.chat} is not a file")
    with tempfile.TemporaryDirectory(prefix="two-devices-") as folder:
        try:
            return play(chosen.chat, Path(folder))
        except BrokenPromise as broken:
            print(f"FAILED: {broken}")
            return 1


if __name__ == "__main__":
    sys.exit(main())
