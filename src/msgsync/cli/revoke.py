"""``msgsync revoke``: trust a device no more."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import ask, command, find_device, reading, shared, writing
from msgsync.cli.output import message_fields, message_line, say_json, shown


@command()
@click.argument("device")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.option(
    "--without-recovery",
    is_flag=True,
    help="Do it in an account of two although nobody has confirmed the recovery phrase.",
)
@shared
def revoke(path: Path, device: str, *, yes: bool, without_recovery: bool, as_json: bool) -> None:
    """Trust a device no more: it is lost, stolen or sold.

    DEVICE is its id or its name, see `msgsync devices`. It can read nothing that is written from now
    on, and no device that has heard of this takes anything from it. It is told so when it meets one.
    What it had, it still has. It comes back only if a device adds it again.

      msgsync revoke "old tablet"

    --json: one object with "device", "name", "added": devices that it added, which stay.
    """
    with writing(path) as replica:
        one = find_device(replica, device)
        if not yes:
            ask(f"Revoke {shown(_name(replica, one))} ({one}) on all devices?")
        done = replica.revoke(one, even_without_recovery=without_recovery)
    if as_json:
        say_json(done)
        return
    print(f"Revoked {shown(done.name)} ({one}). Others hear of it when they sync next.")
    print(f"What came from it and stays: msgsync accepted-from {one}")
    for added in done.added:
        print(
            f"It added {added}, which stays in the account: msgsync revoke {added}, if it should not."
        )


@command("accepted-from")
@click.argument("device")
@shared
def accepted_from(path: Path, device: str, *, as_json: bool) -> None:
    """List what came straight from a device and was not changed since, to be looked through.

    DEVICE is its id or its name, see `msgsync devices`. Messages and erasures of a device that was
    revoked stay where they were accepted before: entries are not refused for who wrote them.

      msgsync accepted-from "old tablet"

    --json, a line each: "kind", "conversation", "id", "message", which is null for what has none.
    """
    with reading(path) as replica:
        found = replica.accepted_from(find_device(replica, device))
    for change in found:
        message = change.message
        if as_json:
            fields = None if message is None else message_fields(message)
            named = {"kind": change.kind, "conversation": change.conversation, "id": change.id}
            say_json(named | {"message": fields})
        elif message is not None:
            print(message_line(message, conversation=True))
        else:
            print(f"{change.id or '-'}  {shown(change.conversation)}  {change.kind}")
    if not found and not as_json:
        click.echo(
            "Nothing is here that came straight from it and was not changed since.", err=True
        )


def _name(replica: msgsync.Replica, device: msgsync.DeviceId) -> str:
    return next(
        (row.name or str(device) for row in replica.devices() if row.id == device), str(device)
    )
