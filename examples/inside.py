"""A device, running in a process of its own: it opens its replica and does what it is told.

    python -m examples.inside REPLICA [--join CODE ADDRESS | --recover MAILBOX] [--ahead SECONDS]

What to do comes over standard input, one JSON value a line; what became of it goes to standard output.
`device.Device` is the other end of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterator
from contextlib import nullcontext
from functools import partial
from typing import Any

import anyio
import anyio.to_thread

import msgsync
from msgsync.replica.system import RealSystem

ME = "Mina"
PICNIC = "two-devices/picnic"  # the conversation in which the scenes play
PARCEL_COUNT = 30_000  # messages; enough for a transfer to have a middle
PATIENCE_S = 300.0  # a device that says nothing for this long is taken to hang


class Later(RealSystem):
    """This machine, with a clock that is set forward: what takes minutes need not be waited for."""

    def __init__(self, ahead_s: float) -> None:
        self.ahead_s = ahead_s

    def now_ms(self) -> int:
        """The wall clock, Unix milliseconds, and what it is ahead."""
        return super().now_ms() + int(1000 * self.ahead_s)


def be_a_device(
    path: str, invitation: list[str] | None, mailbox: str | None, ahead_s: float
) -> None:
    """Open the replica at ``path``, or make it; do what standard input asks, until it ends.

    It is made by an invitation, or of a mailbox with the recovery phrase, which is the first line of standard input.
    """
    if mailbox is not None:
        replica = msgsync.recover(path, sys.stdin.readline(), via=mailbox, author=ME)
        say(joined=str(replica.device))
    elif invitation is None:
        replica = msgsync.open(path, author=ME, system=Later(ahead_s))
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
            conversation.delete_all(conversation.preview_deletion().token)
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
        case "budget" | "free_space" | "read":
            return look_after_files(replica, verb, *arguments)
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


def look_after_files(replica: msgsync.Replica, verb: str, *arguments: Any) -> dict[str, Any] | None:
    """Do one thing with what is attached; "read" takes a message and the mailbox that has what is not here."""
    if verb == "budget":
        replica.set_attachment_budget(*arguments)
        return None
    if verb == "free_space":
        space = replica.free_space()
        return {"here": space.bytes_here, "freed": space.bytes_freed}
    message, mailbox = arguments
    [file] = replica.message(message).attachments
    watcher = nullcontext() if mailbox is None else msgsync.Watcher(replica, mailbox)
    with watcher, file.open(timeout=PATIENCE_S if mailbox else 0) as opened:
        data = opened.read()
    return {"bytes": len(data), "digest": hashlib.sha256(data).hexdigest()}


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


def main() -> None:
    """Run as a device until standard input ends."""
    parser = argparse.ArgumentParser(description="A device of the demo.")
    parser.add_argument("replica")
    parser.add_argument("--join", nargs=2)
    parser.add_argument("--recover", metavar="MAILBOX")
    parser.add_argument("--ahead", type=float, default=0.0, metavar="SECONDS")
    chosen = parser.parse_args()
    be_a_device(chosen.replica, chosen.join, chosen.recover, chosen.ahead)


if __name__ == "__main__":
    main()
