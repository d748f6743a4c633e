"""``msgsync devices``: the devices of the account, and what each is known to have."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, find_device, reading, shared, writing
from msgsync.cli.output import columns, count, plain, say_json, shown, time, timed


@command()
@click.option("--name", metavar="NAME", help="Call this device so, on all devices.")
@shared
def devices(path: Path, name: str | None, *, as_json: bool) -> None:
    """List the devices of the account, this one first.

    Devices learn of each other when they sync, of those they never meet through others. Of each is
    shown when it was added, when it last synced with any of them, how many changes (messages and
    erasures) on this device it is not known to have, and whether it can be wiped: whether all that
    it is known to have is on another. A device that nobody knows should not be there: msgsync revoke.

      msgsync devices --name "Ann's phone"
      msgsync devices
      msgsync retire "old tablet"

    --json, a line each: "id", "name", "platform", "is_this", "added", "added_by", "revoked",
    "revoked_by", "retired", "left", "last_seen", "behind", "has_more", "keeps_from" (since when it
    keeps all messages; null: all), "safe_to_remove", "reasons", "as_of"; this one is when the device
    was last heard of, which "safe_to_remove" goes by.
    """
    if name is not None:
        with writing(path) as replica:
            replica.rename_device(name)
            _say(replica, as_json=as_json)
    else:
        with reading(path) as replica:
            _say(replica, as_json=as_json)


def _say(replica: msgsync.Replica, *, as_json: bool) -> None:
    found = [(one, replica.safe_to_remove(one.id)) for one in replica.devices()]
    if not as_json:
        for line in columns([_row(*each) for each in found]):
            print(line)
        return
    for one, removal in found:
        fields = timed(plain(one), "added", "revoked", "left", "last_seen", "keeps_from")
        as_of = None if removal.as_of_ms is None else time(removal.as_of_ms)
        known = {"safe_to_remove": removal.safe, "as_of": as_of, "reasons": removal.reasons}
        say_json(fields | known)


def _row(one: msgsync.DeviceSummary, removal: msgsync.Removal) -> tuple[str, str, str, str, str]:
    seen = "this device" if one.is_this else "never seen"
    if one.last_seen_ms is not None and not one.is_this:
        seen = f"last seen {time(one.last_seen_ms)}"
    if one.revoked_ms is not None:
        said = (
            f"revoked {time(one.revoked_ms)}; it keeps what it had, and gets and gives nothing more"
        )
        return str(one.id), shown(one.name or "(no name)"), _added(one), seen, said
    notes = []
    if one.left_ms is not None:
        notes.append(f"left {time(one.left_ms)}: msgsync revoke {one.id}")
    elif one.retired:
        notes.append("retired")
    if one.behind:
        notes.append(f"lacks {count(one.behind, 'change')} of this device, as far as is known")
    if one.has_more:
        notes.append("has something that is not on this device")
    if one.keeps_from_ms is not None:
        notes.append(f"keeps messages from {time(one.keeps_from_ms)[:7]} on")
    if removal.safe:
        since = "" if removal.as_of_ms is None else f", as of {time(removal.as_of_ms)}"
        notes.append(f"can be wiped: what it has is on another device too{since}")
    else:
        notes.append(f"do not wipe it: {'; '.join(removal.reasons)}")
    return str(one.id), shown(one.name or "(no name)"), _added(one), seen, "; ".join(notes)


def _added(one: msgsync.DeviceSummary) -> str:
    if one.added_ms is None:
        return "not in the account"
    by = "the phrase" if one.added_by is None else str(one.added_by)
    if one.added_by == one.id:
        return f"began the account {time(one.added_ms)}"
    return f"added {time(one.added_ms)} by {by}"


@command("where-is")
@click.argument("message")
@shared
def where_is(path: Path, message: str, *, as_json: bool) -> None:
    """Show which devices are known to have a message, or to have erased it.

    Known means that an exchange showed it; what was done on a device since it was last heard of is
    not known yet.

      msgsync where-is 01hqz3v9k2m4n6p8r0st

    --json: one object with "message_id", "devices", "erased_on", "unknown".
    """
    with reading(path) as replica:
        found = replica.where_is(message)
        names = {one.id: one.name for one in replica.devices()}
    if as_json:
        say_json(found)
        return
    for words, members in (
        ("has it", found.devices),
        ("erased it", found.erased_on),
        ("not known to have it", found.unknown),
    ):
        for one in members:
            print(f"{one}  {shown(names.get(one) or '(no name)')}  {words}")


@command()
@click.argument("device")
@shared
def retire(path: Path, device: str, *, as_json: bool) -> None:
    """Stop waiting for a device that is lost, or is not used any more.

    DEVICE is its id or its name, see `msgsync devices`. While a device may still come back with
    something, messages in Recently Deleted wait for it before they are erased by themselves; for a
    retired one nothing waits. It may return: when it syncs again it is not retired any more.

      msgsync retire "old tablet"

    --json: one object with "device", "retired".
    """
    with writing(path) as replica:
        one = find_device(replica, device)
        replica.retire(one)
    if as_json:
        say_json({"device": one, "retired": True})
    else:
        print(f"Nothing waits for {one} any more.")
