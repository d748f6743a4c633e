"""All commands together, and what becomes of their errors."""

from __future__ import annotations

import io
import json
import os
import sys

import click
from click.shell_completion import shell_complete

import msgsync
from msgsync.cli.attachments import attachments, erase_attachment, save
from msgsync.cli.backup import backup, restore_backup
from msgsync.cli.check import check
from msgsync.cli.compact import compact
from msgsync.cli.completion import completion
from msgsync.cli.conversations import conversations
from msgsync.cli.delete import delete
from msgsync.cli.devices import devices, retire, where_is
from msgsync.cli.doctor import doctor
from msgsync.cli.edit import edit, react
from msgsync.cli.erase import erase
from msgsync.cli.export import export
from msgsync.cli.import_ import import_
from msgsync.cli.init import init
from msgsync.cli.invite import invite, join
from msgsync.cli.leave import leave
from msgsync.cli.mark import mark
from msgsync.cli.messages import messages
from msgsync.cli.months import fetch_months, keep_months
from msgsync.cli.options import command
from msgsync.cli.passphrase import passphrase
from msgsync.cli.recent import recent
from msgsync.cli.recover import recover
from msgsync.cli.recovery import recovery
from msgsync.cli.repair import repair
from msgsync.cli.restore import restore
from msgsync.cli.revoke import accepted_from, revoke
from msgsync.cli.search import search
from msgsync.cli.send import send
from msgsync.cli.serve import serve
from msgsync.cli.set_ import set_
from msgsync.cli.space import fetch_attachments, free_space
from msgsync.cli.status import status
from msgsync.cli.switch import forget, off, on
from msgsync.cli.sync import sync
from msgsync.cli.watch import watch
from msgsync.cli.wipe import wipe

COMPLETE = "_MSGSYNC_COMPLETE"
WHAT_TO_DO: dict[type[msgsync.MsgSyncError], str] = {
    msgsync.ReplicaLocked: (
        "end that first; what only reads (messages, search, status, export, watch ...) works meanwhile"
    ),
    msgsync.AccountMismatch: (
        "only devices of one account sync. msgsync status shows the account of each. If it is the same, sync both with "
        "a device that knows both; a new device joins by msgsync invite, or is made with: msgsync init --replica FILE "
        "--member OTHER"
    ),
    msgsync.RecoveryUnconfirmed: (
        "write it down where it is shown, and: msgsync recovery --confirm. Is that device lost? Then first, here: "
        "msgsync recovery --replace. Or do without: --without-recovery"
    ),
    msgsync.PassphraseNeeded: "set MSGSYNC_PASSPHRASE, or run this on a terminal, which asks for it",
    msgsync.OnlyCopy: "sync it with another device first, or: --even-if-only-copy",
    msgsync.SyncOff: "switch it on: msgsync on",
    msgsync.DeviceRevoked: "keep the file, or: msgsync wipe",
    msgsync.UnknownDevice: "sync first; msgsync devices lists those that are known",
}
"""What stands behind the last semicolon of these errors is for programs: what a person at a shell does instead."""
INTERRUPTED = 130  # 128 + SIGINT, as shells say it
NOBODY_READS = 141  # 128 + SIGPIPE

COMMANDS: tuple[click.Command, ...] = (
    init,
    invite,
    join,
    import_,
    export,
    backup,
    restore_backup,
    conversations,
    messages,
    search,
    send,
    attachments,
    save,
    free_space,
    fetch_attachments,
    keep_months,
    fetch_months,
    edit,
    react,
    mark,
    set_,
    delete,
    recent,
    restore,
    erase,
    erase_attachment,
    serve,
    sync,
    off,
    on,
    forget,
    watch,
    devices,
    where_is,
    retire,
    revoke,
    accepted_from,
    recovery,
    recover,
    passphrase,
    leave,
    wipe,
    status,
    doctor,
    check,
    repair,
    compact,
    completion,
)


class InOrder(click.Group):
    """A group that lists its commands in the order of use, not of the alphabet."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        """Return the names as they are listed in the help."""
        return list(self.commands)


@command(
    cls=InOrder,
    commands={one.name: one for one in COMMANDS if one.name},
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
def program() -> None:
    """Chat history that lives on each of your devices, works offline, and merges.

    Every command works on one replica, the file that holds one device's messages: name it with
    --replica FILE, or once for all in the environment variable MSGSYNC_REPLICA.

      export MSGSYNC_REPLICA=phone.db
      msgsync init
      msgsync import history.jsonl.gz
      msgsync conversations

    With --json a command prints one JSON object a line: one line where the answer is one thing, one
    line an item where it is a list. Times are ISO 8601 in UTC. Errors go to standard error, with
    --json as {"error": CODE, "message": TEXT}.

    Exit codes: 0 done; 1 done, but for bad lines of an import; 2 the request; 3 the file; 4 the
    peer; 5 the account, also a device that was not let in; 130 interrupted, or a question was
    answered with no, and nothing was changed.
    """


def run(arguments: list[str]) -> int:
    """Run one command and return the exit code of the process."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(
            stream, io.TextIOWrapper
        ):  # a terminal that cannot show everything gets \u escapes
            stream.reconfigure(errors="backslashreplace")
    if instruction := os.environ.get(COMPLETE):  # a shell asks, see `msgsync completion`
        return shell_complete(program, {}, "msgsync", COMPLETE, instruction)
    complaint = Complaint(as_json="--json" in arguments)
    try:
        with program.make_context("msgsync", list(arguments)) as context:
            program.invoke(context)
        sys.stdout.flush()
    except click.exceptions.Exit as end:
        return end.exit_code
    except click.ClickException as error:
        return complaint.about_usage(error)
    except msgsync.MsgSyncError as error:
        complaint.say(error.code, _in_words_of_commands(error))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        complaint.say("interrupted", "interrupted; what was done until then is kept")
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # for the flush at exit
        return NOBODY_READS
    except OSError as error:
        complaint.say("storage", _in_words(error))
        return msgsync.StorageError.exit_code
    return 0


class Complaint:
    """Says on standard error what went wrong."""

    def __init__(self, *, as_json: bool) -> None:
        self._as_json = as_json

    def say(self, code: str, message: str) -> None:
        """Print one error; the code is for programs."""
        if self._as_json:
            print(json.dumps({"error": code, "message": message}), file=sys.stderr)
        else:
            print(f"msgsync: {message}", file=sys.stderr)

    def about_usage(self, error: click.ClickException) -> int:
        """Print an error in the arguments and return its exit code."""
        if isinstance(error, click.exceptions.NoArgsIsHelpError):
            print(error.format_message(), file=sys.stderr)
            return error.exit_code
        message = error.format_message()
        context = error.ctx if isinstance(error, click.UsageError) else None
        if context is not None:
            message += f" (see {context.command_path} --help)"
        self.say(msgsync.UsageError.code, message)
        return error.exit_code


def _in_words_of_commands(error: msgsync.MsgSyncError) -> str:
    what, separator, _ = str(error).rpartition("; ")
    instead = WHAT_TO_DO.get(type(error))
    return f"{what}; {instead}" if instead and separator else str(error)


def _in_words(error: OSError) -> str:
    reason = error.strerror or type(error).__name__
    return reason if error.filename is None else f"{error.filename}: {reason}"
