"""``msgsync repair``: make a damaged replica whole."""

from __future__ import annotations

from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, refuse_missing, shared, with_passphrase, writing
from msgsync.cli.output import count, note, say_json


@command()
@click.argument("address", required=False, metavar="[tcp://HOST:PORT]")
@click.option(
    "--member",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The replica of another of your devices, on this machine, in place of an address: what was "
    "lost comes from there, and if the keys were lost it adds this one as a new device.",
)
@click.option(
    "--accept-loss",
    is_flag=True,
    help="What is still missing is gone: status and check say no more of it.",
)
@shared
@click.pass_context
def repair(
    context: click.Context,
    path: Path,
    address: str | None,
    *,
    member: Path | None,
    accept_loss: bool,
    as_json: bool,
) -> None:
    """Make a damaged replica whole.

    What can be saved goes into a new file, which is checked and takes the name of the old one; that
    one is kept beside it. With the address of another device what was lost is fetched from there.
    If nothing is wrong nothing is done. The exit code is 3 if something is still missing afterwards.

      msgsync repair
      msgsync repair tcp://127.0.0.1:7700

    The file that is kept holds what it held, messages too that are erased later: remove it when all
    is well. What is missing is named by status and check until it came back, or until you say
    --accept-loss.

    --json: {"damaged", "problems": [TEXT, ...], "documents", "from_rows", "messages", "complete",
    "all_known", "lost": [{"conversation", "kind", "messages", "ids": [ID, ...]}, ...], "kept",
    "new_device", "synced"}; "new_device" is null, or the id under which the replica goes on because
    its keys were lost; "synced" is what sync says, or null.
    """
    refuse_missing(path)
    if member is None:
        report = with_passphrase(lambda words: msgsync.repair(path, address, passphrase=words))
    elif address is not None:
        raise click.UsageError("say an address or --member, not both")
    else:
        with writing(member) as other:
            report = with_passphrase(lambda words: msgsync.repair(path, other, passphrase=words))
    if as_json:
        say_json(
            {
                "damaged": report.damaged,
                "problems": report.problems,
                "documents": report.documents,
                "from_rows": report.from_rows,
                "messages": report.messages,
                "complete": report.complete,
                "all_known": report.all_known,
                "lost": report.lost,
                "kept": None if report.kept is None else str(report.kept),
                "new_device": report.new_device,
                "synced": report.synced,
            }
        )
    else:
        _say(report)
        _say_missing(report)
    if report.complete:
        return
    if accept_loss:
        with writing(path) as replica:
            replica.accept_loss()
    if not as_json:
        note(
            "accepted: that is gone, and no more is said of it"
            if accept_loss
            else "to get it from another device: msgsync sync tcp://HOST:PORT, or restore a backup"
        )
    if not accept_loss:
        context.exit(msgsync.ReplicaDamaged.exit_code)


def _say(report: msgsync.RepairReport) -> None:
    messages = count(report.messages, "message")
    if not report.damaged and report.complete:
        print(f"Nothing is wrong: {messages}.")
    elif not report.damaged:
        print(f"The file is well, but something was lost: {messages}.")
    else:
        print(f"Repaired: {count(report.documents, 'whole document')}, {messages} now.")
        print(f"The damaged file is kept as {report.kept}.")
    if report.new_device is not None:
        note(
            f"its keys were lost, so it goes on as another device, {report.new_device}; retire the old one"
        )


def _say_missing(report: msgsync.RepairReport) -> None:
    for lost in report.lost:
        where = "an unknown conversation" if lost.conversation is None else lost.conversation
        what = count(lost.messages, "message") if lost.messages else "something"
        note(f"missing: {what} of {where}, {lost.kind}")
        for one in lost.ids:
            note(f"  {one}")
    if not report.all_known:
        note("more may be missing than is named here")
