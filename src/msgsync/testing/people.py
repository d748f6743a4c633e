"""What people, apps and carriers do in a simulation; what was acknowledged to them is noted as a promise.

Each verb of a script is a function here that does one thing and says in words what it did, and a row of the table at
the end. A verb that msgsync gains is one more of each, and a word in `msgsync.testing.script`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import msgsync
from msgsync.testing.holdings import files_of
from msgsync.testing.machine import ABOUT_ALL_OF_IT
from msgsync.testing.promises import Absence, look_up
from msgsync.testing.seed import Seeded
from msgsync.testing.station import Station
from msgsync.testing.strategies import EMOJI, PHRASES
from msgsync.testing.world import carried_id

if TYPE_CHECKING:
    from msgsync.testing.simulation import Simulation

_ALL: Final = 10_000
_MOST_FILES: Final = 12
"""As many different ones are sent: so many are sent again."""


def _conversation(run: Simulation, station: Station, seeded: Seeded) -> msgsync.Conversation:
    name = seeded.choice(run.conversations)
    try:
        return station.replica.conversation(name)
    except msgsync.UnknownConversation:
        return station.replica.create_conversation(f"title {name}", id=name)


def _pick(
    run: Simulation, station: Station, seeded: Seeded, *, deleted: bool | None = None, most: int = 1
) -> tuple[msgsync.Conversation, list[str]]:
    """A conversation, and some of the messages it shows; none if there are none."""
    conversation = _conversation(run, station, seeded)
    page = conversation.messages(limit=_ALL, include_deleted=True)
    ids = [str(each.id) for each in page if deleted is None or each.deleted is deleted]
    return conversation, seeded.shuffled(ids)[: 1 + seeded.below(most)]


def _text(run: Simulation, seeded: Seeded) -> str:
    """A text nobody wrote before."""
    words = seeded.choice(PHRASES)
    if not seeded.below(2):
        words = "x" * seeded.below(run.plan.text_bytes - 20)
    return f"{words} n{run.at}"


def send(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Send a message, as an answer or not."""
    conversation, targets = _pick(run, station, seeded)
    text = _text(run, seeded)
    reply_to = targets[0] if targets and seeded.below(2) else None
    contents = _contents(run, seeded)
    sent = conversation.send(text, reply_to=reply_to, attachments=contents)
    _accept(run, station, str(sent.id), text)
    if contents:
        run.promises.files[str(sent.id)] = files_of(station.replica, sent, contents)
        run.figures.attachments += len(contents)
    return (
        f"sends {text!r} in {conversation.id}: {sent.id}, files: {[len(one) for one in contents]}"
    )


def _contents(run: Simulation, seeded: Seeded) -> list[bytes]:
    """What goes with a message: mostly nothing, else files of which some were sent before."""
    one_in = run.plan.attachments_one_in
    if one_in is None or seeded.below(one_in):
        return []
    numbers = [seeded.below(_MOST_FILES) for _ in range(1 + seeded.below(3))]
    files = [Seeded(f"{run.seed}/file {number}") for number in numbers]
    return [file.bytes(file.below(run.plan.attachment_bytes + 1)) for file in files]


def _accept(run: Simulation, station: Station, id: str, text: str) -> None:
    run.figures.messages += 1
    run.promises.texts[id] = text
    station.own.add(id)


def edit(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Give a message another text."""
    conversation, ids = _pick(run, station, seeded, deleted=False)
    if not ids:
        return "has nothing to edit"
    text = _text(run, seeded)
    conversation.edit(ids[0], text)
    run.promises.edits.setdefault(ids[0], set()).add(text)
    return f"edits {ids[0]}: {text!r}"


def react(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Put an emoji on a message, or take it back."""
    conversation, ids = _pick(run, station, seeded, deleted=False)
    if not ids:
        return "has nothing to react to"
    emoji, verb = seeded.choice(EMOJI), seeded.choice(("react", "unreact"))
    (conversation.react if verb == "react" else conversation.unreact)(ids[0], emoji)
    return f"{verb}s {emoji} to {ids[0]}"


def delete(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Put messages into Recently Deleted."""
    conversation, ids = _pick(run, station, seeded, deleted=False, most=4)
    run.promises.perhaps_deleted |= set(ids)
    conversation.delete(*ids)
    run.promises.deleted |= set(ids)
    return f"deletes {', '.join(ids)}"


def restore(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Bring messages back."""
    conversation, ids = _pick(run, station, seeded, deleted=True, most=4)
    run.promises.perhaps_restored |= set(ids)
    conversation.restore(*ids)
    return f"restores {', '.join(ids)}"


def erase(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Erase messages, now and then one of the carrier's that may never have been here."""
    conversation, ids = _pick(run, station, seeded, most=3)
    unseen = seeded.choice(run.upstream)
    if not seeded.below(3) and unseen.conversation == conversation.id:
        ids.append(carried_id(unseen))
    run.promises.perhaps_erased |= set(ids)
    conversation.erase(*ids)
    run.promises.erased |= set(ids)
    return f"erases {', '.join(ids)}"


def rename(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Give a conversation another title."""
    conversation, title = _conversation(run, station, seeded), f"title n{run.at}"
    conversation.rename(title)
    return f"renames {conversation.id}: {title!r}"


def say(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Read a conversation, pin it, delete it, and the like."""
    conversation = _conversation(run, station, seeded)
    act = seeded.choice(sorted(ABOUT_ALL_OF_IT))
    if act in ("delete", "restore"):
        concerned = run.promises.texts.keys() | {carried_id(each) for each in run.upstream}
        run.promises.perhaps_deleted |= concerned
        if act == "restore":
            run.promises.perhaps_restored |= concerned
    ABOUT_ALL_OF_IT[act](conversation, seeded.below(12))
    return f"says about {conversation.id}: {act}"


def expire(run: Simulation, station: Station, _: Seeded) -> str:
    """Erase what has been in Recently Deleted for too long."""
    ids = {str(each.message.id) for each in station.replica.recently_deleted()}
    run.promises.perhaps_erased |= ids
    count = station.replica.erase_expired()
    erased = {id for id in ids if look_up(station.replica, id) is Absence.ERASED}
    assert len(erased) == count
    run.promises.erased |= erased
    return f"erases what expired: {', '.join(sorted(erased))}"


def ingest(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Take over what a carrier delivers, some of it again."""
    messages = [seeded.choice(run.upstream) for _ in range(1 + seeded.below(5))]
    names = ", ".join(str(each.external_id) for each in messages)
    run.promises.perhaps_deleted |= {
        carried_id(each) for each in messages if each.deleted_ms is not None
    }
    before = station.replica.digest
    try:
        station.replica.ingest(messages)
    except msgsync.FutureTimestamp:
        assert station.replica.digest == before, "refused, but something of it is here"
        return f"refuses {names}, which its clock takes for the future"
    for message in messages:
        id = carried_id(message)
        _accept(run, station, id, message.text)
        if message.deleted_ms is not None:
            run.promises.deleted.add(id)
    return f"ingests {names}"


def read(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Read the attachments of a message: what was sent, or nothing."""
    conversation, ids = _pick(run, station, seeded)
    message = conversation.message(ids[0]) if ids else None
    if message is None or not message.attachments:
        return "reads no attachment"
    files = run.promises.files.get(str(message.id))
    for number, one in enumerate(message.attachments):
        try:
            with one.open() as file:
                content = file.read()
        except msgsync.AttachmentElsewhere:
            continue
        assert files is None or content == files.contents[number], "what is read was not sent"
    return f"reads the attachments of {message.id}"


def make_room(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Let go of attachments that are elsewhere."""
    keep = seeded.choice((0, run.plan.attachment_bytes, 4 * run.plan.attachment_bytes))
    freed = station.replica.free_space(keep).bytes_freed
    run.figures.bytes_freed += freed
    return f"makes room: {freed} bytes, down to {keep}"


def set_budget(run: Simulation, station: Station, seeded: Seeded) -> str:
    """Set a budget for attachments, or lift it."""
    size = seeded.choice((None, None, 0, 2_000, 10_000))
    before = station.replica.free_space(preview=True).bytes_here
    station.replica.set_attachment_budget(size)
    freed = before - station.replica.free_space(preview=True).bytes_here
    run.figures.bytes_freed += freed
    return f"has a budget of {size} bytes: {freed} bytes go"


def rotate(run: Simulation, station: Station, _: Seeded) -> str:
    """Begin another epoch, unless two of the devices have not heard of each other.

    Strangers of which each has begun an epoch of its own need somebody who knows both, and that one may be gone.
    """
    here = {each.replica.device for each in run.stations}
    if any(
        here - {one.id for one in each.replica.devices() if one.added_ms} for each in run.stations
    ):
        return "begins no epoch before all know of all"
    station.replica.rotate()
    return "begins another epoch"


PEOPLE: Final[dict[str, Callable[[Simulation, Station, Seeded], str]]] = {
    function.__name__: function
    for function in (
        *(send, edit, react, delete, restore, erase, rename, say, expire, ingest),
        *(read, make_room, set_budget, rotate),
    )
}
"""By the verb of a step."""
