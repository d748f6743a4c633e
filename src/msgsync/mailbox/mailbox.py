"""What a mailbox is: four verbs, and nothing that a synced folder cannot do. Source: design 9, docs/mailboxes.md.

The verbs block; whoever must not wait calls them in a thread. A mailbox is trusted with nothing: what it loses, mixes
up or makes up is noticed by those who read the objects.
"""

from __future__ import annotations

import re
from typing import Final, Protocol, runtime_checkable

from msgsync import limits
from msgsync.errors import InvalidValue, MailboxDamaged, NoSuchObject

_NAME: Final = re.compile(r"[a-z0-9]+(/[a-z0-9]+)*", re.ASCII)


@runtime_checkable
class Mailbox(Protocol):
    """A place for objects: bytes under names. Safe to use from several threads.

    Names are lower-case letters and digits in folders, as in ``log/ab12/0001``, at most `limits.MAILBOX_NAME_BYTES`
    long: so a file system that does not tell cases apart tells them apart. Other things that lie in the place are
    passed over. `msgsync.testing.check_mailbox` tries whether an implementation does what is said here.

    Every verb raises `MailboxError`, one of its kinds where that is known, and `InvalidValue` for what is no name.
    """

    @property
    def address(self) -> str:
        """Where it is, in words or as a URL; without passwords and keys. The same each time it is opened."""

    def put(self, name: str, body: bytes) -> None:
        """Leave an object, in place of one of that name. Durable when it returns; seen whole or not at all."""

    def get(self, name: str) -> bytes:
        """An object as it was put.

        Raises:
            NoSuchObject: there is none.
            MailboxDamaged: it did not come whole, or is longer than any object.
        """

    def list(self, folder: str) -> list[str]:
        """The names of all objects in a folder and the folders in it, sorted; none if it is not there."""

    def delete(self, name: str) -> None:
        """Remove an object; one that is not there is removed already."""


@runtime_checkable
class Dated(Protocol):
    """A mailbox that says when an object was written, by the storage's own clock. Nothing relies on it but `doctor`."""

    def written_ms(self, name: str) -> int:
        """When an object was last put, Unix milliseconds.

        Raises:
            MailboxError: as `Mailbox.get`.
        """


def is_name(name: str) -> bool:
    """Whether an object, or a folder of objects, may have this name."""
    return len(name) <= limits.MAILBOX_NAME_BYTES and _NAME.fullmatch(name) is not None


def check_name(name: str) -> str:
    """The name. Raises InvalidValue if it is none."""
    if not isinstance(name, str) or not is_name(name):
        raise InvalidValue(
            f"{name!r} is no name of an object: lower-case letters and digits, with / between folders, at most "
            f"{limits.MAILBOX_NAME_BYTES} characters"
        )
    return name


def check_body(body: bytes) -> bytes:
    """The body. Raises InvalidValue if it is too long to be read again."""
    if len(body) > limits.MAILBOX_OBJECT_BYTES:
        raise InvalidValue(f"an object has at most {limits.MAILBOX_OBJECT_BYTES} bytes")
    return body


def no_such_object(name: str, address: str) -> NoSuchObject:
    """What is raised where nothing of a name is."""
    return NoSuchObject(f"there is no object {name} in {address}")


def too_long(name: str, address: str) -> MailboxDamaged:
    """What is raised where something lies that is longer than any object."""
    return MailboxDamaged(
        f"{name} in {address} is longer than the {limits.MAILBOX_OBJECT_BYTES} bytes of the longest object: "
        "it is none of msgsync's; remove it"
    )
