"""Whether a `msgsync.Mailbox` does what is relied on: the acceptance suite. Source: docs/mailboxes.md."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from msgsync import InvalidValue, Mailbox, NoSuchObject, limits

_SIZES: Final = (1, 255, 65_537, 2**20, limits.OBJECT_BYTES + limits.HEAD_BYTES)
_NO_NAMES: Final = (
    *("", "/", "/log", "log/", "log//a", ".", "..", "log/../keys", ".hidden", "log/a.part", "a b"),
    *("LOG", "log/A", "ä", "a\0b", "a\\b", "log/a\n", "a" * (limits.MAILBOX_NAME_BYTES + 1)),
)
_THREADS: Final = 4


def check_mailbox(factory: Callable[[], Mailbox], *, objects: int = 1100) -> None:
    """Try all that a mailbox promises, in one place, and leave nothing there.

    Args:
        factory: opens the mailbox; called several times, always for the same place, which is empty at first.
        objects: how many to put into one folder, so that a listing takes several pages of the storage.

    Raises:
        AssertionError: the mailbox does something else than it should; the message says what.
        MailboxError: what the mailbox raises by itself.
    """
    mailbox = factory()
    for check in (_check_empty, _check_round_trip, _check_names, _check_folders, _check_removal):
        check(mailbox)
        _clear(mailbox)
    _check_durable(factory)
    _clear(mailbox)
    _check_threads(mailbox)
    _clear(mailbox)
    _check_many(factory, objects)
    _clear(mailbox)
    assert mailbox.address == factory().address, "the address is another one each time"


def _clear(mailbox: Mailbox) -> None:
    for folder in ("log", "keys", "many"):
        for name in mailbox.list(folder):
            mailbox.delete(name)
        assert mailbox.list(folder) == [], "what was deleted is still listed"


def _check_empty(mailbox: Mailbox) -> None:
    assert mailbox.list("log") == [], "the place is not empty: give check_mailbox one of its own"
    _assert_missing(mailbox, "log/a/1")
    mailbox.delete("log/a/1")


def _check_round_trip(mailbox: Mailbox) -> None:
    for size in _SIZES:
        body = (bytes(range(256)) * (size // 256 + 1))[:size]
        mailbox.put("log/a/1", body)
        found = mailbox.get("log/a/1")
        assert found == body, f"an object of {size} bytes comes back as another"
        assert type(found) is bytes, f"get gives {type(found).__name__}, not bytes"
    mailbox.put("log/a/1", b"short")
    assert mailbox.get("log/a/1") == b"short", "what is put in place of an object leaves some of it"
    assert mailbox.list("log") == ["log/a/1"], "an object that was put twice is not listed once"


def _check_names(mailbox: Mailbox) -> None:
    def refuses(verb: Callable[[], object]) -> bool:
        try:
            verb()
        except InvalidValue:
            return True
        return False

    for name in _NO_NAMES:
        for verb, call in (
            ("put", lambda name=name: mailbox.put(name, b"x")),
            ("get", lambda name=name: mailbox.get(name)),
            ("list", lambda name=name: mailbox.list(name)),
            ("delete", lambda name=name: mailbox.delete(name)),
        ):
            assert refuses(call), f"{verb} takes {name!r}, which is no name"
    longest = f"log/{'0' * (limits.MAILBOX_NAME_BYTES - 4)}"
    mailbox.put(longest, b"x")
    assert mailbox.list("log") == [longest], "the longest name is not listed"
    assert refuses(lambda: mailbox.put("log/a", bytes(limits.MAILBOX_OBJECT_BYTES + 1))), (
        "put takes an object that is longer than any that get gives"
    )


def _check_folders(mailbox: Mailbox) -> None:
    names = ["keys/a", "log/a/1", "log/a/2", "log/ab/1", "log/b/c/1", "log/b1"]
    for name in reversed(names):
        mailbox.put(name, name.encode())
    assert mailbox.list("log") == names[1:], "list gives other names than those below the folder"
    assert mailbox.list("log/a") == names[1:3], "list takes a folder for one that begins like it"
    assert mailbox.list("log/b1") == [], "list takes an object for a folder"
    assert mailbox.list("other") == [], "list finds something in a folder that is not there"
    for name in names:
        assert mailbox.get(name) == name.encode(), "objects are mixed up"
    _assert_missing(mailbox, "log/a")


def _check_removal(mailbox: Mailbox) -> None:
    for name in ("log/a/1", "log/a/2", "log/b/1"):
        mailbox.put(name, b"x")
    mailbox.delete("log/a/1")
    mailbox.delete("log/a/1")
    mailbox.delete("log/b/1")
    assert mailbox.list("log") == ["log/a/2"], "delete removes another object, or not this one"
    _assert_missing(mailbox, "log/a/1")
    mailbox.put("log/b/1", b"again")
    assert mailbox.get("log/b/1") == b"again", "a name that was deleted cannot be used again"


def _check_durable(factory: Callable[[], Mailbox]) -> None:
    one, other = factory(), factory()
    one.put("log/a/1", b"one")
    assert other.get("log/a/1") == b"one", "what was put is not there for another who opens it"
    assert other.list("log") == ["log/a/1"], "what was put is not listed for another who opens it"
    other.put("log/a/1", b"other")
    assert one.get("log/a/1") == b"other", "what another put in its place is not seen"
    other.delete("log/a/1")
    _assert_missing(one, "log/a/1")


def _check_threads(mailbox: Mailbox) -> None:
    def work(thread: int) -> None:
        for number in range(8):
            name = f"log/{thread}/{number}"
            mailbox.put(name, name.encode() * 100)
            assert mailbox.get(name) == name.encode() * 100, "threads get each other's objects"

    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(work, range(_THREADS)))
    assert len(mailbox.list("log")) == 8 * _THREADS, "threads lose each other's objects"


def _check_many(factory: Callable[[], Mailbox], objects: int) -> None:
    names = [f"many/{number:016x}" for number in range(objects)]
    mailbox = factory()
    with ThreadPoolExecutor(_THREADS) as pool:
        list(pool.map(lambda name: mailbox.put(name, b"x"), names))
    assert factory().list("many") == names, f"of {objects} objects not all are listed, in order"


def _assert_missing(mailbox: Mailbox, name: str) -> None:
    try:
        found = mailbox.get(name)
    except NoSuchObject:
        return
    raise AssertionError(f"get gives {found[:20]!r} for {name}, which is not there")
