"""A small chat program on msgsync: one channel, lines with numbers, and stars. Run it in two terminals, with two files.

    python examples/chat_app.py alice.db alice              # the first device of a person
    python examples/chat_app.py laptop.db alice alice.db    # another one, which the first adds; it must not be running

Commands: a line of text sends it; /star N, /fix N TEXT, /drop N, /back N, /sync OTHER.db, /quit.
"""

from __future__ import annotations

import sys
from pathlib import Path

import msgsync

CHANNEL = "general"
HELP = "a line of text sends it; /star N, /fix N TEXT, /drop N, /back N, /sync OTHER.db, /quit"


class ChatApp:
    """One channel of a replica. Everything a person does here works offline; all state is msgsync's."""

    def __init__(self, replica: msgsync.Replica) -> None:
        self.replica = replica

    @property
    def channel(self) -> msgsync.Conversation:
        """The one conversation; made where it is not here yet, under the same id on every device."""
        try:
            return self.replica.conversation(CHANNEL)
        except msgsync.UnknownConversation:
            return self.replica.create_conversation("General", id=CHANNEL)

    def post(self, text: str) -> None:
        """Send a message."""
        self.channel.send(text)

    def star(self, number: int) -> None:
        """Put a star on a line, or take it away."""
        message = self._line(number)
        mine = any(each.user == self.replica.author for each in message.reactions)
        (self.channel.unreact if mine else self.channel.react)(message, "⭐")

    def fix(self, number: int, text: str) -> None:
        """Correct a line."""
        self.channel.edit(self._line(number), text)

    def drop(self, number: int) -> None:
        """Delete a line; `back` brings it back."""
        self.channel.delete(self._line(number))

    def back(self, number: int) -> None:
        """Bring a deleted line back."""
        self.channel.restore(self._line(number))

    def lines(self) -> list[str]:
        """What is on the screen: the newest fifty messages, numbered from 1."""
        return [
            f"{number} {self._shown(message)}" for number, message in enumerate(self._page(), 1)
        ]

    def _page(self) -> msgsync.Page:
        return self.channel.messages(limit=50, include_deleted=True)

    def _line(self, number: int) -> msgsync.Message:
        page = self._page()
        if not 1 <= number <= len(page):
            raise msgsync.UnknownMessage(
                f"there is no line {number}; lines go from 1 to {len(page)}"
            )
        return page[number - 1]

    @staticmethod
    def _shown(message: msgsync.Message) -> str:
        if message.deleted:
            return "(deleted)"
        edited = " (edited)" if message.edits else ""
        return f"{message.author}: {message.text}{edited}{' ⭐' * len(message.reactions)}"


def do(app: ChatApp, line: str) -> None:
    """Do what a person typed."""
    command, _, rest = line.partition(" ")
    number, _, text = rest.partition(" ")
    try:
        match command:
            case "/star":
                app.star(int(number))
            case "/fix":
                app.fix(int(number), text)
            case "/drop":
                app.drop(int(number))
            case "/back":
                app.back(int(number))
            case "/sync":
                with app.replica.new_device(rest) as other:
                    print("synced" if msgsync.sync(app.replica, other).complete else "not yet")
            case _ if command.startswith("/"):
                print(HELP)
            case _:
                app.post(line)
    except (msgsync.MsgSyncError, ValueError) as error:
        print(error)


def main(path: str, author: str, member: str | None = None) -> None:
    """Read commands from the terminal until /quit or the end."""
    if member is not None:
        with msgsync.open(member) as first:
            first.new_device(path).close()
    with msgsync.open(Path(path), author=author) as replica:
        app = ChatApp(replica)
        print(HELP)
        for line in map(str.strip, sys.stdin):
            if line == "/quit":
                break
            if line:
                do(app, line)
            print(*app.lines(), sep="\n")


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 4:
        sys.exit("usage: python chat_app.py FILE NAME [FILE OF ANOTHER DEVICE]")
    main(*sys.argv[1:])
