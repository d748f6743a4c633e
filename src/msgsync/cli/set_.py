"""``msgsync set``: what a conversation is called, who takes part, and its flags."""

from __future__ import annotations

from pathlib import Path

import click

from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import say_json, shown


@command("set")
@click.argument("conversation")
@click.option("--title", metavar="TEXT", help="What it is called; '' for nothing.")
@click.option("--pin/--unpin", default=None, help="Keep it on top, or not.")
@click.option("--archive/--unarchive", default=None, help="Put it away, or bring it back.")
@click.option("--mute/--unmute", default=None, help="Whether it should not disturb.")
@click.option("--add", multiple=True, metavar="NAME", help="Somebody takes part; may be repeated.")
@click.option("--remove", multiple=True, metavar="NAME", help="Somebody does not any more.")
@click.option("--create", is_flag=True, help="Make the conversation if it is not there.")
@shared
def set_(  # noqa: PLR0913  one for each option
    path: Path,
    conversation: str,
    title: str | None,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    *,
    pin: bool | None,
    archive: bool | None,
    mute: bool | None,
    create: bool,
    as_json: bool,
) -> None:
    """Change a conversation, on all devices, and show it.

      msgsync set family --title "The family" --pin --add Ben --add Carla
      msgsync set work --create --mute

    --json: {"conversation", "title", "pinned", "archived", "muted", "participants", "unread"}.
    """
    with writing(path) as replica:
        known = {one.id for one in replica.conversations(include_deleted=True)}
        if create and conversation not in known:
            replica.create_conversation(id=conversation)
        chosen = replica.conversation(conversation)
        if title is not None:
            chosen.rename(title or None)
        for wanted, on, off in (
            (pin, chosen.pin, chosen.unpin),
            (archive, chosen.archive, chosen.unarchive),
            (mute, chosen.mute, chosen.unmute),
        ):
            if wanted is not None:
                (on if wanted else off)()
        for name in add:
            chosen.add_participant(name)
        for name in remove:
            chosen.remove_participant(name)
        line, people = chosen.info(), chosen.participants
    if as_json:
        say_json(
            {
                "conversation": line.id,
                "title": line.title,
                "pinned": line.pinned,
                "archived": line.archived,
                "muted": line.muted,
                "participants": people,
                "unread": line.unread,
            }
        )
        return
    flags = [
        name
        for name, on in (
            ("pinned", line.pinned),
            ("archived", line.archived),
            ("muted", line.muted),
        )
        if on
    ]
    print("  ".join([shown(line.id), shown(line.title or ""), *flags]).rstrip())
    if people:
        print("with " + ", ".join(map(shown, people)))
