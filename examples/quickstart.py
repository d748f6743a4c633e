"""The README's program, in a temporary folder: two devices of one person, and a message on both."""

import contextlib
import tempfile

import msgsync


def dinner() -> None:
    """Send, edit and react on two devices; show what both end up with."""
    with msgsync.open("phone.db", author="alice") as phone, phone.new_device("tablet.db") as tablet:
        family = phone.create_conversation("Family")
        hello = family.send("Dinner at eight?")
        msgsync.sync(phone, tablet)

        family.edit(hello.id, "Dinner at nine?")  # on the phone, and not knowing of it
        tablet.conversation(family.id).react(hello.id, "👍")  # on the tablet
        msgsync.sync(phone, tablet)
        for message in tablet.conversation(family.id).messages(limit=50):
            print(message.author, message.text, *(r.emoji for r in message.reactions))


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        dinner()
