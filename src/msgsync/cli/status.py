"""``msgsync status``: the replica in figures, and how it stands with the places where it syncs."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgsync
from msgsync.cli.options import command, reading, shared
from msgsync.cli.output import columns, count, plain, say_json, shown, time, timed


@command()
@shared
def status(path: Path, *, as_json: bool) -> None:
    """Show the replica in figures, and whether anything waits.

    Whose it is, how much it holds, and what is wrong with it, if anything. Two replicas with equal
    digests hold the same. Then each mailbox and each other device: whether it is up to date, what
    waits to go there and to come, and if nothing moves, why, and what to do. See also msgsync doctor.

      msgsync status --replica phone.db

    --json: one object, with "revoked" and "recovery_confirmed" of the account, "sync_off" (since when,
    or null), and "places": [{"address", "device", "name", "is_mailbox", "state", "reason", "why",
    "remedy", "last_success", "last_attempt", "last_seen", "to_send": {"messages", "documents",
    "chunks", "bytes", "objects", "more"}, "to_receive"}, ...]. "state" is one of "up to date", "moving",
    "waiting", "stuck" and "off"; "reason" is null or one of those in docs/stuck.md.
    """
    with reading(path) as replica:
        found = replica.status()
        account = {
            "revoked": replica.revoked,
            "recovery_confirmed": replica.account_status().recovery_confirmed,
        }
    if as_json:
        fields = timed(plain(found), "sync_off")
        fields["places"] = [place_fields(one) for one in found.places]
        say_json(fields | account)
        return
    rows = [
        (field.name.replace("_", " "), _words(field.name, getattr(found, field.name)))
        for field in dataclasses.fields(found)
        if field.name not in ("places", "sync_off_ms")
    ]
    off_ms = found.sync_off_ms
    rows += [
        ("sync", "on" if off_ms is None else f"switched off since {time(off_ms)}: msgsync on"),
        ("revoked", "yes: it takes part in nothing any more" if account["revoked"] else "no"),
        (
            "recovery phrase",
            "confirmed" if account["recovery_confirmed"] else "not confirmed: msgsync recovery",
        ),
    ]
    for line in columns(rows):
        print(line)
    for place in found.places:
        for line in place_lines(place):
            print(line)


def place_fields(place: msgsync.PlaceStatus) -> dict[str, Any]:
    """Return what ``--json`` says of a place."""
    return timed(plain(place), "last_success", "last_attempt", "last_seen")


def place_lines(place: msgsync.PlaceStatus) -> Iterator[str]:
    """Yield how it stands with a place, in lines."""
    what = place.address or "device"
    if place.device is not None:
        what = f"device {place.name or place.device}" + (
            f" at {place.address}" if place.address else ""
        )
    yield ""
    yield f"{shown(what)}: {place.state.value}"
    if place.why:
        yield f"  why: {shown(place.why)}"
        yield f"  what to do: {shown(place.remedy)}"
    if place.to_send:
        yield f"  to go there: {_waiting(place.to_send)}"
    if place.to_receive:
        yield f"  to come: {_waiting(place.to_receive)}"
    if place.last_success_ms is not None:
        yield f"  last all done: {time(place.last_success_ms)}"
    elif place.last_attempt_ms is not None:
        yield f"  last tried: {time(place.last_attempt_ms)}, and never done"


def _waiting(waiting: msgsync.Waiting) -> str:
    parts = []
    if waiting.messages:
        parts.append(count(waiting.messages, "message"))
    if waiting.documents:
        parts.append(count(waiting.documents, "document"))
    if waiting.chunks:
        parts.append(f"{count(waiting.chunks, 'piece')} of attachments")
    if waiting.bytes:
        parts.append(f"at most {waiting.bytes:,} bytes")
    if waiting.objects:
        parts.append(count(waiting.objects, "object"))
    if waiting.more:
        parts.append("it is not known how much")
    return "; ".join(parts)


def _words(name: str, value: object) -> str:
    if name == "attachments_paused" and value:
        return "yes: msgsync on --attachments"
    if value is None:
        return "all" if name == "history_months" else "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, tuple):
        return "; ".join(shown(str(one)) for one in value) or "none"
    return shown(str(value))
