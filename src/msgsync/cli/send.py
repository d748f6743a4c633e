"""``msgsync send``: write a message."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, shared, writing
from msgsync.cli.output import message_fields, message_line, note, say_json, shown


class NoAuthor(msgsync.UsageError):
    """A message needs somebody who sends it."""

    code = "no-author"


@command()
@click.argument("conversation")
@click.argument("text")
@click.option(
    "--author", envvar="MSGSYNC_AUTHOR", metavar="NAME", help="Who sends; or set MSGSYNC_AUTHOR."
)
@click.option("--reply-to", metavar="ID", help="The message that this one answers.")
@click.option(
    "--attach",
    "files",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="A file to send with it; several times for several.",
)
@shared
def send(
    path: Path,
    conversation: str,
    text: str,
    author: str | None,
    reply_to: str | None,
    files: tuple[Path, ...],
    *,
    as_json: bool,
) -> None:
    """Send a message.

    A CONVERSATION that is not there is made. The message is on disk when this returns, and reaches
    your other devices when they sync.

      msgsync send family "Who cooks?" --author ann
      msgsync send family "Look!" --author ann --attach beach.png
      msgsync send family -- "- a text that begins with a dash"

    --json: the message, as for messages.
    """
    if not author:
        raise NoAuthor("who sends it? Say --author NAME, or set MSGSYNC_AUTHOR")
    with writing(path, author=author) as replica:
        try:
            chosen = replica.conversation(conversation)
        except msgsync.UnknownConversation:
            if reply_to is not None:
                raise  # nothing in a new conversation can be answered: the name is a slip
            if any("\ud800" <= character <= "\udfff" for character in text):
                # What cannot be sent makes no conversation.
                raise msgsync.InvalidValue(
                    "the text is not UTF-8: check the terminal's encoding"
                ) from None
            chosen = replica.create_conversation(id=conversation)
            if not as_json:
                note(f"New conversation: {shown(conversation)}")
        message = chosen.send(text, reply_to=reply_to, attachments=files)
    if as_json:
        say_json(message_fields(message))
    else:
        print(message_line(message))
