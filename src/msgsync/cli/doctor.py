"""``msgsync doctor``: why something does not sync, and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, reading, shared, writing
from msgsync.cli.output import columns, count, plain, say_json, shown
from msgsync.cli.progress import bar, syncing


@command()
@click.argument("addresses", nargs=-1, metavar="[ADDRESS]...")
@shared
@click.pass_context
def doctor(
    context: click.Context, path: Path, addresses: tuple[str, ...], *, as_json: bool
) -> None:
    """Find out why something does not sync, and what to do.

    Looks at this device (its file, room, keys, account, switch, clock, version, and when the others
    were last heard of), then at each place: whether it answers, whose objects lie there, whether a
    probe comes back, the clock. Last it syncs, where nothing speaks against it. Without ADDRESS the
    places are those that were synced with before: mailboxes, and each device where it was met last.

      msgsync doctor
      msgsync doctor file:///media/stick/messages

    Each finding is "well", "note" (worth knowing) or "ILL", with what to do. The exit code is 0 if
    nothing is ill; else that of the first thing that is: 2 the switch, 3 the file or a mailbox, 4 a
    device, 5 the account.

    --json, a line each: {"check", "place", "verdict", "found", "remedy", "reason", "exit_code"};
    "place" is null for this device, "reason" null or one of those in docs/stuck.md.
    """
    diagnosis = _diagnosis(path, addresses)
    if as_json:
        for one in diagnosis.findings:
            say_json(plain(one))
    else:
        for line in _lines(diagnosis):
            print(line)
    if diagnosis.exit_code:
        context.exit(diagnosis.exit_code)


def _diagnosis(path: Path, addresses: tuple[str, ...]) -> msgsync.Diagnosis:
    try:
        with _best(path) as replica, bar("Looking") as show:
            return msgsync.doctor(replica, addresses or None, on_event=syncing(show))
    except msgsync.UsageError:
        raise
    except (msgsync.StorageError, msgsync.AccountError) as error:  # it cannot even be opened
        return msgsync.Diagnosis((msgsync.Finding.of("file", error),))


@contextmanager
def _best(path: Path) -> Iterator[msgsync.Replica]:
    """The replica open for writing, or for reading where another process writes it."""
    with ExitStack() as stack:
        try:
            replica = stack.enter_context(writing(path))
        except msgsync.ReplicaLocked:
            replica = stack.enter_context(reading(path))
        yield replica


def _lines(diagnosis: msgsync.Diagnosis) -> Iterator[str]:
    rows = []
    for one in diagnosis.findings:
        verdict = "ILL" if one.verdict is msgsync.Verdict.ILL else one.verdict.value
        where = "" if one.place is None else f"{one.place}: "
        rows.append((verdict, one.check, shown(where + one.found)))
        if one.remedy:
            rows.append(("", "", f"what to do: {shown(one.remedy)}"))
    yield from columns(rows)
    ill = sum(one.verdict is msgsync.Verdict.ILL for one in diagnosis.findings)
    yield ""
    yield f"{count(ill, 'thing')} to mend." if ill else "All is well."
