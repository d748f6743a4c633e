"""What all commands share: which replica, and in which form to answer."""

from __future__ import annotations

import inspect
import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import click

import msgsync

Command = TypeVar("Command", bound=Callable[..., Any])


class NoReplica(msgsync.UsageError):
    """The command needs a replica, and there is none at the path."""

    code = "no-replica"


def command(name: str | None = None, **options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Make a function a command whose help is the function's docstring; indented paragraphs stay as they are."""

    def decorate(function: Callable[..., Any]) -> Any:
        paragraphs = inspect.cleandoc(function.__doc__ or "").split("\n\n")
        text = "\n\n".join("\b\n" + one if one.startswith(" ") else one for one in paragraphs)
        made: Callable[[Callable[..., Any]], Any] = click.command(name, help=text, **options)
        return made(function)

    return decorate


def shared(command: Command) -> Command:
    """Give a command ``--replica`` (as ``path``) and ``--json`` (as ``as_json``)."""
    command = click.option(
        "--json", "as_json", is_flag=True, help="Answer in JSON, one object a line."
    )(command)
    return click.option(
        "--replica",
        "path",
        type=click.Path(path_type=Path),
        envvar="MSGSYNC_REPLICA",
        callback=_required,
        metavar="FILE",
        help="The replica; or set MSGSYNC_REPLICA.",
    )(command)


def author(command: Command) -> Command:
    """Give a command ``--author``: who the person is whose replica this is."""
    return click.option(
        "--author",
        envvar="MSGSYNC_AUTHOR",
        metavar="NAME",
        help="Who you are; or set MSGSYNC_AUTHOR.",
    )(command)


def ask(question: str) -> None:
    """Ask before something that cannot be undone, or is done on all devices.

    Raises:
        click.exceptions.Exit: the answer was no; nothing was changed, and that is said.
    """
    if not click.confirm(question, err=True):
        click.echo("Nothing was changed.", err=True)
        raise click.exceptions.Exit(130)


def secret(question: str) -> str:
    """What a person types unseen; where no terminal is at standard input, its first line."""
    if sys.stdin.isatty():
        typed: str = click.prompt(question, err=True, hide_input=True)
        return typed
    return sys.stdin.readline().strip()


def passphrase_options(command: Command) -> Command:
    """Give a command that makes a replica ``--passphrase`` (as ``locked``) and ``--encrypted``."""
    command = click.option(
        "--encrypted",
        is_flag=True,
        help="Encrypt the whole file under a passphrase, which is asked for; needs msgsync[encrypted].",
    )(command)
    return click.option(
        "--passphrase",
        "locked",
        is_flag=True,
        help="Put the keys of the device under a passphrase, which is asked for.",
    )(command)


def new_passphrase() -> str:
    """A passphrase to be: from MSGSYNC_PASSPHRASE, typed twice, or the first line of what is no terminal."""
    if words := os.environ.get("MSGSYNC_PASSPHRASE"):
        return words
    if sys.stdin.isatty():
        typed: str = click.prompt(
            "New passphrase", err=True, hide_input=True, confirmation_prompt="Once more"
        )
        return typed
    return sys.stdin.readline().rstrip("\r\n")


Answer = TypeVar("Answer")


def with_passphrase(call: Callable[[str | None], Answer]) -> Answer:
    """Call without a passphrase, and with one if it is needed: from MSGSYNC_PASSPHRASE, or typed.

    Raises:
        PassphraseNeeded: it is needed, and there is none and no terminal.
        What is called.
    """
    try:
        return call(None)
    except msgsync.PassphraseNeeded:
        words = os.environ.get("MSGSYNC_PASSPHRASE")
        if not words and not sys.stdin.isatty():
            raise
        return call(words or click.prompt("Passphrase", err=True, hide_input=True))


def _required(_context: click.Context, _parameter: click.Parameter, path: Path | None) -> Path:
    if path is None:
        raise click.UsageError("which replica? Say --replica FILE, or set MSGSYNC_REPLICA")
    return path


def find_device(replica: msgsync.Replica, device: str) -> msgsync.DeviceId:
    """The device of an id, or the only one of a name.

    Raises:
        click.UsageError: there is none, or there are several.
    """
    known = replica.devices()
    found = [one.id for one in known if str(one.id) == device]
    found = found or [one.id for one in known if one.name == device]
    if len(found) != 1:
        what = "several devices are" if found else "no device is"
        raise click.UsageError(f"{what} called {device!r}; `msgsync devices` lists ids and names")
    return found[0]


@contextmanager
def reading(path: Path, *, author: str | None = None) -> Iterator[msgsync.Replica]:
    """Open a replica for reading, beside whoever writes it.

    Raises:
        NoReplica: there is none.
        StorageError: it cannot be opened.
    """
    refuse_missing(path)
    with with_passphrase(
        lambda words: msgsync.open(path, readonly=True, author=author, passphrase=words)
    ) as replica:
        yield replica


@contextmanager
def writing(path: Path, *, author: str | None = None) -> Iterator[msgsync.Replica]:
    """Open a replica for writing, as the only one.

    Raises:
        NoReplica: there is none; none is made.
        ReplicaLocked: another process writes it.
        StorageError: it cannot be opened.
    """
    refuse_missing(path)
    with with_passphrase(
        lambda words: msgsync.open(path, author=author, passphrase=words)
    ) as replica:
        yield replica


def is_missing(path: Path) -> bool:
    """Whether no replica is at a path but one can be made there: nothing is there, or an empty file that was none."""
    if not path.exists():
        return True
    if not path.is_file() or path.stat().st_size:
        return False
    try:
        msgsync.open(path, readonly=True).close()
    except msgsync.NotAReplica:
        return True
    except msgsync.StorageError:  # it was one, and lost all its bytes
        return False
    return False  # somebody has just made it


def refuse_missing(path: Path) -> None:
    """Raise NoReplica if there is none."""
    if is_missing(path):
        what = f"{path} is an empty file" if path.exists() else f"there is no replica at {path}"
        raise NoReplica(f"{what}; make one with: msgsync init --replica {shlex.quote(str(path))}")
