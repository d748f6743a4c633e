"""``msgsync invite`` and ``msgsync join``: another device for the account, by a code and a person's approval."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import click

import msgsync
from msgsync.cli.options import command, new_passphrase, passphrase_options, shared, writing
from msgsync.cli.output import note, say_json_now, shown, time


@command()
@click.option(
    "--listen",
    default="tcp://0.0.0.0:0",
    show_default=True,
    metavar="tcp://HOST:PORT",
    help="Where; port 0 takes a free one.",
)
@click.option(
    "--via",
    metavar="URL",
    help="A mailbox in place of a network: file:///PATH, s3://BUCKET/FOLDER ...",
)
@click.option("--qr", is_flag=True, help="Show a picture to scan in place of a code to type.")
@shared
def invite(path: Path, listen: str, via: str | None, *, qr: bool, as_json: bool) -> None:
    """Show a code with which one other device can join the account.

    The code is good for ten minutes, for one device, and for three wrong guesses. Whoever types it
    on a device is not in yet: that device is named here, with six emoji that it shows, too, and you
    are asked whether it is yours. Say yes only if you have it before you and the emoji are equal.

      msgsync invite
      msgsync invite --qr --listen tcp://192.168.0.7:7800
      msgsync invite --via file:///home/ann/Sync/messages

    With --via the two devices need no network between them: what they say to each other is left in
    the mailbox, which learns nothing by it. Both have to run meanwhile.

    --json, a line each: {"event": "code", "code", "address", "expires"}, {"event": "wrong-guess",
    "tries_left"}, {"event": "stopped", "error", "message"} of a connection, {"event": "request",
    "device", "name", "platform", "emoji"}, to which a line with yes or no is the answer, and
    {"event": "joined", "device"}.
    """

    def on_code(invited: msgsync.Invited) -> None:
        if as_json:
            say_json_now(
                {
                    "event": "code",
                    "code": invited.code,
                    "address": invited.address,
                    "expires": time(invited.expires_ms),
                }
            )
        else:
            if qr:
                print(invited.qr_text())
            print(f"On the new device, within ten minutes:\n  {_call(invited)}", flush=True)

    def on_request(request: msgsync.JoinRequest) -> bool:
        if as_json:
            say_json_now(
                {
                    "event": "request",
                    "device": request.device,
                    "name": request.name,
                    "platform": request.platform,
                    "emoji": request.emoji,
                }
            )
            return sys.stdin.readline().strip().lower() in ("y", "yes")
        note(f"{shown(request.name)} ({shown(request.platform)}) wants to join.")
        if request.emoji:
            note(f"It has to show: {'  '.join(request.emoji)}")
        return click.confirm("Is it yours, and may it read everything?", err=True)

    def on_event(event: msgsync.WrongGuess | msgsync.Stopped) -> None:
        if isinstance(event, msgsync.WrongGuess):
            if as_json:
                say_json_now({"event": "wrong-guess", "tries_left": event.tries_left})
            else:
                note(f"Somebody tried another code; wrong guesses left: {event.tries_left}.")
        elif as_json:
            say_json_now(
                {"event": "stopped", "error": event.error.code, "message": str(event.error)}
            )

    with writing(path) as replica:
        device = replica.invite(
            via or listen, on_code=on_code, on_request=on_request, on_event=on_event, scanned=qr
        )
    if as_json:
        say_json_now({"event": "joined", "device": device})
    else:
        print(f"Device {device} is in the account. It fills by syncing: {_fills(via)}.")


def _fills(via: str | None) -> str:
    return (
        "see msgsync serve" if via is None else f"msgsync sync {shlex.quote(via)} here, then there"
    )


def _call(invited: msgsync.Invited) -> str:
    call = f"msgsync join --replica FILE {invited.code} --via {shlex.quote(invited.address)}"
    where = "\nwith the path that this folder has there." if invited.address[:5] == "file:" else ""
    return call + where


@command()
@click.argument("code")
@click.option(
    "--via",
    required=True,
    metavar="URL",
    help="Where the other one invites: tcp://HOST:PORT, or a mailbox as this device finds it.",
)
@click.option("--name", metavar="NAME", help="What this device is called; else as the machine is.")
@passphrase_options
@shared
def join(
    path: Path,
    code: str,
    via: str,
    name: str | None,
    *,
    locked: bool,
    encrypted: bool,
    as_json: bool,
) -> None:
    """Make this device one of the account that another device invites to.

    CODE is what `msgsync invite` shows there. Compare the emoji on both, then approve there. The new
    replica is empty, and fills by syncing. Broken off, say the same again, with the same passphrase;
    with another code, if this one was used.

      msgsync join --replica tablet.db 7K2M-0QXR-9DPF --via tcp://192.168.0.7:7800
      msgsync join --replica tablet.db 7K2M-0QXR-9DPF --via file:///home/bob/Sync/messages

    --json, a line each: {"event": "compare", "emoji"} for a code that was typed, then {"event":
    "joined", "replica", "account", "device"}.
    """

    def on_emoji(emoji: str) -> None:
        if as_json:
            say_json_now({"event": "compare", "emoji": emoji})
        else:
            print(
                f"The other device has to show: {'  '.join(emoji)}\nThen approve there.", flush=True
            )

    words = new_passphrase() if locked or encrypted else None
    by_mailbox = not via.startswith("tcp://")
    if by_mailbox and not as_json:
        note("Looking for the invitation there, for ten minutes at most; Ctrl-C ends it.")
    with msgsync.join(
        path,
        code,
        via,
        name=name,
        passphrase=words,
        encrypted=encrypted,
        on_emoji=on_emoji,
    ) as replica:
        if as_json:
            say_json_now(
                {
                    "event": "joined",
                    "replica": str(path),
                    "account": replica.account,
                    "device": replica.device,
                }
            )
            return
        print(f"Made {path}: device {replica.device} of account {replica.account}.")
        if by_mailbox:
            print(f"To fill it, once the other device has synced: msgsync sync {shlex.quote(via)}")
        else:
            print("To fill it: msgsync sync tcp://HOST:PORT, while another device serves.")
