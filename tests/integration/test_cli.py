"""The command line as people and scripts use it: real processes, real files, real sockets."""

from __future__ import annotations

import gzip
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import msgsync
from tests.integration import commandline
from tests.integration.commandline import Ended

ROOT = Path(__file__).parents[2]
SAMPLE = ROOT / "examples" / "data" / "sample.jsonl"
COMMAND = (sys.executable, "-m", "msgsync.cli")
COMMANDS = (
    "init",
    "invite",
    "join",
    "import",
    "export",
    "backup",
    "restore-backup",
    "conversations",
    "messages",
    "search",
    "send",
    "attachments",
    "save",
    "free-space",
    "fetch-attachments",
    "keep-months",
    "fetch-months",
    "edit",
    "react",
    "mark",
    "set",
    "delete",
    "recent",
    "restore",
    "erase",
    "erase-attachment",
    "serve",
    "sync",
    "off",
    "on",
    "forget",
    "watch",
    "devices",
    "where-is",
    "retire",
    "revoke",
    "accepted-from",
    "recovery",
    "recover",
    "passphrase",
    "leave",
    "wipe",
    "status",
    "doctor",
    "check",
    "repair",
    "compact",
    "completion",
)
PATIENCE_S = 30


class Shell:
    """A directory and a replica to run commands in."""

    def __init__(self, directory: Path, replica: str = "phone.db") -> None:
        self.directory = directory
        self.replica = replica
        self.environment = {
            name: value for name, value in os.environ.items() if not name.startswith("MSGSYNC_")
        } | {"PYTHONPATH": str(ROOT / "src"), "MSGSYNC_REPLICA": replica, "PYTHONUTF8": "1"}

    def run(self, *arguments: object, text: str = "", **environment: str) -> Ended:
        """Run a command to its end."""
        ended = commandline.run(
            list(map(str, arguments)),
            environment=self.environment | environment,
            directory=self.directory,
            text=text,
        )
        assert "Traceback" not in ended.err
        return ended

    def ok(self, *arguments: object, text: str = "", **environment: str) -> Ended:
        """Run a command that has to succeed."""
        result = self.run(*arguments, text=text, **environment)
        assert result.code == 0, result.err
        return result

    def json(self, *arguments: object) -> Any:
        """Run a command that has to succeed; return the one thing it answers."""
        (answer,) = self.lines(*arguments)
        return answer

    def lines(self, *arguments: object) -> list[Any]:
        """Run a command that has to succeed; return what it lists."""
        return [json.loads(line) for line in self.ok(*arguments, "--json").out.splitlines()]

    @contextmanager
    def start(self, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """Run a command beside others."""
        process = subprocess.Popen(
            [*COMMAND, *map(str, arguments)],
            cwd=self.directory,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()


def refused(result: Ended, code: int, *words: str) -> None:
    """Expect an error: one line in words, nothing on standard output."""
    assert result.code == code
    assert result.out == ""
    assert result.err.startswith("msgsync: ")
    assert result.err.count("\n") == 1
    for word in words:
        assert word in result.err


@pytest.fixture
def empty(tmp_path) -> Shell:
    return Shell(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory) -> Path:
    """Made once: a replica just made, one with the sample, and a second, empty device of its account."""
    directory: Path = tmp_path_factory.mktemp("template")
    for name in ("new.db", "full.db"):
        Shell(directory, name).ok("init")
    full = Shell(directory, "full.db")
    full.ok("import", SAMPLE)
    full.ok("init", "--replica", "tablet.db", "--member", "full.db")
    return directory


@pytest.fixture
def phone(empty: Shell, template: Path) -> Shell:
    shutil.copy(template / "new.db", empty.directory / "phone.db")
    return empty


@pytest.fixture
def full(empty: Shell, template: Path) -> Shell:
    shutil.copy(template / "full.db", empty.directory / "phone.db")
    return empty


@pytest.fixture
def tablet(full: Shell, template: Path) -> Shell:
    shutil.copy(template / "tablet.db", full.directory / "tablet.db")
    return Shell(full.directory, "tablet.db")


def write(directory: Path, name: str, *lines: object) -> Path:
    path = directory / name
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def message(number: int, **fields: object) -> dict[str, object]:
    return {
        "conversation": "family",
        "id": str(number),
        "author": "ann",
        "sent": f"2024-05-01T10:{number:02}:00Z",
        "text": f"message {number}",
        **fields,
    }


# ------------------------------------------------------------------------------------------- help


def test_help_lists_every_command_in_the_order_of_use(empty):
    out = empty.ok("--help").out
    listed = [line.split()[0] for line in out.partition("Commands:")[2].splitlines() if line]
    assert tuple(listed) == COMMANDS
    assert "MSGSYNC_REPLICA" in out


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_teaches_with_an_example(empty, command):
    out = empty.ok(command, "--help").out
    assert f"\n    msgsync {command}" in out
    assert command == "completion" or ("--replica FILE" in out and "--json" in out)


def test_without_a_command_the_help_is_shown(empty):
    result = empty.run()
    assert result.code == 2
    assert "Commands:" in result.err


# ------------------------------------------------------------------------------- one device alone


def test_init_makes_a_replica_and_says_how_to_make_the_next(empty):
    out = empty.ok("init").out
    assert "--member phone.db" in out
    tablet = empty.json("init", "--replica", "tablet.db", "--member", "phone.db")
    assert tablet["account"] == empty.json("status")["account"]
    assert tablet["device"] != empty.json("status")["device"]
    assert tablet["replica"] == "tablet.db"


def test_the_replica_is_an_option_or_the_environment(empty):
    empty.ok("init", "--replica", "named.db")
    assert (empty.directory / "named.db").exists()
    assert not (empty.directory / "phone.db").exists()


def test_a_history_goes_in_and_is_read(full):
    conversations = full.lines("conversations")
    assert len(conversations) == 16
    assert conversations[0]["activity"] >= conversations[1]["activity"]
    assert conversations[0]["last_message"]["conversation"] == conversations[0]["conversation"]
    messages = full.lines("messages", "family", "--limit", 5)
    assert [one["sent"] for one in messages] == sorted(one["sent"] for one in messages)
    everything = full.lines("messages", "family", "--after", "start", "--limit", 1000, "--deleted")
    assert everything[-5:] == messages
    assert full.json("status")["messages"] == 294
    assert full.json("check")["ok"] is True


def test_importing_again_changes_nothing(full):
    digest = full.json("status")["digest"]
    report = full.json("import", SAMPLE)
    assert (report["added"], report["present"], report["bad"]) == (0, 294, [])
    assert full.json("status")["digest"] == digest


def test_import_reads_standard_input_and_gzip(phone):
    lines = "".join(json.dumps(message(number)) + "\n" for number in range(3))
    assert "3 messages added" in phone.ok("import", "-", text=lines).out
    path = phone.directory / "more"
    path.write_bytes(gzip.compress((lines + json.dumps(message(3))).encode()))
    report = phone.json("import", path)
    assert (report["added"], report["present"]) == (1, 3)


def test_of_a_file_that_is_something_else_not_every_line_is_reported(phone):
    path = write(phone.directory, "history", *[[]] * 30)
    *lines, more, advice = phone.run("import", path).err.splitlines()
    assert len(lines) == 20
    assert more.startswith("and 10 more bad lines")
    assert "msgsync restore-backup" in advice


def test_bad_lines_are_reported_by_number_and_by_the_exit_code(phone):
    path = write(phone.directory, "history", message(1), {"no": "message"}, message(2), [])
    result = phone.run("import", path)
    assert result.code == 1
    assert "2 messages added" in result.out
    assert "2 bad lines" in result.out
    reasons = result.err.splitlines()
    assert [reason.split(":")[0] for reason in reasons] == ["line 2", "line 4"]
    result = phone.run("import", path, "--json")
    assert result.code == 1
    assert [bad["line"] for bad in json.loads(result.out)["bad"]] == [2, 4]


def test_pages_lead_on_by_ids(phone):
    phone.ok("import", write(phone.directory, "history", *(message(n) for n in range(9))))
    newest = phone.lines("messages", "family", "--limit", 3)
    assert [one["id"] for one in newest] == ["6", "7", "8"]
    first = newest[0]["message_id"]
    older = phone.lines("messages", "family", "--limit", 3, "--before", first)
    assert [one["id"] for one in older] == ["3", "4", "5"]
    last = older[-1]["message_id"]
    newer = phone.lines("messages", "family", "--limit", 2, "--after", last)
    assert [one["id"] for one in newer] == ["6", "7"]
    oldest = phone.lines("messages", "family", "--limit", 2, "--after", "start")
    assert [one["id"] for one in oldest] == ["0", "1"]


def test_search_finds_messages_in_which_all_words_occur(phone):
    history = (
        message(1, text="Dinner at nine"),
        message(2, text="dinner"),
        message(3, text="会议"),
    )
    phone.ok("import", write(phone.directory, "history", *history, message(4, conversation="work")))
    assert [one["id"] for one in phone.lines("search", "dinner")] == ["2", "1"]
    assert [one["id"] for one in phone.lines("search", "dinner", "nine")] == ["1"]
    assert [one["id"] for one in phone.lines("search", "会议")] == ["3"]
    assert phone.lines("search", "message", "--conversation", "family") == []
    assert len(phone.lines("search", "message", "--conversation", "work")) == 1
    assert phone.ok("search", "dinner nine").out.endswith(
        "family  2024-05-01T10:01:00Z  ann: Dinner at nine\n"
    )


def test_a_message_is_edited_reacted_to_erased(phone):
    sent = phone.json("send", "family", "Dinner at eight?", "--author", "ann")
    edited = phone.json("edit", "family", sent["message_id"], "Dinner at nine?")
    assert (edited["text"], edited["original_text"]) == ("Dinner at nine?", "Dinner at eight?")
    reacted = phone.json(
        "react", "family", sent["message_id"], "\N{THUMBS UP SIGN}", "--author", "ben"
    )
    assert [one["user"] for one in reacted["reactions"]] == ["ben"]
    back = phone.json(
        "react", "family", sent["message_id"], "\N{THUMBS UP SIGN}", "--author", "ben", "--off"
    )
    assert back["reactions"] == []
    assert phone.run("erase", "family", sent["message_id"], text="n\n").code == 130
    assert len(phone.lines("messages", "family")) == 1
    assert phone.ok("erase", "family", sent["message_id"], text="y\n").out.startswith("Erased 1")
    assert phone.lines("messages", "family") == []
    assert phone.run("restore", "family", sent["message_id"]).code == 2


def test_a_conversation_is_set_up_marked_deleted_and_restored(phone):
    answer = phone.json(
        "set", "family", "--create", "--title", "The family", "--pin", "--mute", "--add", "Ben", "--add", "Carla",
    )  # fmt: skip
    assert (answer["title"], answer["pinned"], answer["muted"]) == ("The family", True, True)
    assert answer["participants"] == ["Ben", "Carla"]
    assert phone.json("set", "family", "--unpin", "--remove", "Ben")["participants"] == ["Carla"]
    phone.ok("send", "family", "hello", "--author", "ben")
    assert phone.json("conversations", "--author", "ann")["unread"] == 1
    assert "(1)" in phone.ok("conversations", "--author", "ann").out
    assert phone.json("mark", "family", "read", "--author", "ann")["unread"] == 0
    assert phone.json("mark", "family", "unread", "--author", "ann")["unread"] == 1
    refused = phone.run("delete", "family", text="n\n")
    assert refused.code == 130
    assert "1 message" in refused.err
    assert phone.json("delete", "family", "--yes") == {"conversation": "family", "messages": 1}
    assert phone.lines("conversations") == []
    assert [one["deleted"] for one in phone.lines("conversations", "--deleted")] == [True]
    [deleted] = phone.lines("recent")
    assert (deleted["text"], deleted["conversation"]) == ("hello", "family")
    assert deleted["erased_from"] > deleted["deleted"]
    assert phone.json("restore", "family")["restored"] == 1
    assert [one["title"] for one in phone.lines("conversations")] == ["The family"]
    phone.ok("delete", "family", "--yes")
    assert phone.json("recent", "--expired")["erased"] == 0
    assert phone.json("recent", "--empty", "--yes")["erased"] == 1
    assert "Nothing" in phone.ok("recent").err


def test_erasing_says_what_was_here(phone):
    first, second = (
        phone.json("send", "family", text, "--author", "ann")["message_id"]
        for text in ("one", "two")
    )
    unknown = "0" * 20
    asked = phone.run("erase", "family", unknown, text="n\n")
    assert (asked.code, "0 messages" in asked.err, unknown in asked.err) == (130, True, True)
    assert phone.json("erase", "family", first, unknown, first, "--yes") == {
        "conversation": "family",
        "erased": [first],
        "not_here": [unknown],
        "erased_before": [],
    }
    said = phone.ok("erase", "family", first, "--yes").out
    assert said == f"Erased 0 messages.\nErased before: {first}.\n"
    other = "0" * 19 + "1"
    said = phone.ok("erase", "family", second, other, "--yes").out
    assert said == f"Erased 1 message.\nNot here, and erased should it ever come: {other}.\n"


def test_watch_shows_what_another_process_writes(phone):
    phone.ok("send", "family", "before", "--author", "ann")
    with phone.start("watch", "family", "--json", "--all") as watching:
        first = json.loads(watching.stdout.readline())
        while first["change"] != "message":
            first = json.loads(watching.stdout.readline())
        assert first["message"]["text"] == "before"
        sent = phone.json("send", "family", "after", "--author", "ben")
        while (seen := json.loads(watching.stdout.readline()))["id"] != sent["message_id"]:
            pass
        assert seen["message"]["text"] == "after"
        phone.ok("erase", "family", sent["message_id"], "--yes")
        while (seen := json.loads(watching.stdout.readline()))["change"] != "erased":
            pass
        assert seen["id"] == sent["message_id"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_can_complete(phone, shell):
    assert "_MSGSYNC_COMPLETE" in phone.ok("completion", shell).out


def test_completion_knows_the_commands(phone):
    asked = phone.ok(_MSGSYNC_COMPLETE="bash_complete", COMP_WORDS="msgsync re", COMP_CWORD="1")
    assert {"recent", "restore", "react"} <= {line.split(",")[-1] for line in asked.out.split()}


def test_search_takes_phrases_beginnings_authors_and_times(phone):
    history = (
        message(1, text="Dinner at eight?"),
        message(2, text="At dinner", author="ben"),
        message(3, text="dinner at eight", sent="2024-05-02T00:00:00Z"),
    )
    phone.ok("import", write(phone.directory, "history", *history))
    for asked, found in (
        (('"dinner at eight"',), ["3", "1"]),
        (("din*", "eig*"), ["3", "1"]),
        (("dinner", "--author", "ben"), ["2"]),
        (("dinner", "--since", "2024-05-01T10:02Z"), ["3", "2"]),
        (("dinner", "--until", "2024-05-01"), ["2", "1"]),
        (("dinner", "--until", "2024-05-01T12:02+02:00"), ["1"]),
        (("dinner", "--limit", "1"), ["3"]),
    ):
        assert [one["id"] for one in phone.lines("search", *asked)] == found, asked
    (newest,) = phone.lines("search", "dinner", "--limit", "1")
    older = phone.lines("search", "dinner", "--before", newest["message_id"])
    assert [one["id"] for one in older] == ["2", "1"]
    assert newest["snippet"] == {"text": "dinner at eight", "marks": [[0, 6]]}
    refused(phone.run("search", "dinner", "--since", "yesterday"), 2, "2024-05-31")
    refused(phone.run("search", "dinner", "--until", "9999-12-31"), 2, "no time")


def test_search_says_when_it_finds_nothing_and_marks_what_it_finds(phone):
    phone.ok("import", write(phone.directory, "history", message(1, text="One\nDinner at [b]nine")))
    nothing = phone.ok("search", "lunch")
    assert (nothing.out, nothing.err) == ("", "(nothing found)\n")
    assert phone.ok("search", "lunch", "--json").err == ""
    plain = phone.ok("search", "dinner").out
    assert plain.endswith("ann: One Dinner at [b]nine\n")
    marked = phone.ok("search", "dinner", FORCE_COLOR="1", TERM="xterm").out
    assert "One \x1b[1;7mDinner\x1b[0m at [b]nine" in marked


def test_send_reply_and_delete(phone):
    hello = phone.json("send", "family", "Hello", "--author", "ann")
    assert (hello["text"], hello["author"]) == ("Hello", "ann")
    answer = json.loads(
        phone.ok(
            "send",
            "family",
            "Hi!",
            "--reply-to",
            hello["message_id"],
            "--json",
            MSGSYNC_AUTHOR="ben",
        ).out
    )
    assert (answer["author"], answer["reply_to"]) == ("ben", hello["message_id"])
    deleted = phone.json("delete", "family", hello["message_id"], answer["message_id"])
    assert deleted["deleted"] == [hello["message_id"], answer["message_id"]]
    assert phone.lines("messages", "family") == []
    gone = phone.lines("messages", "family", "--deleted")
    assert [one["text"] for one in gone] == ["Hello", "Hi!"]
    assert all(one["deleted"] for one in gone)


def test_an_export_makes_the_same_replica(full):
    full.ok("init", "--replica", "copy.db")
    copy = Shell(full.directory, "copy.db")
    exported = full.ok("export")
    assert "294 messages of 16 conversations" in exported.err
    copy.ok("import", "-", text=exported.out)
    assert copy.ok("export").out == exported.out
    assert copy.lines("conversations") == full.lines("conversations")


def test_what_was_erased_is_looked_for_in_mailboxes_too(full):
    box = full.directory / "box"
    box.mkdir()
    sent = full.json("send", "family", "Soon gone", "--author", "ann")["message_id"]
    full.ok("sync", box.as_uri())
    full.ok("erase", "family", sent, "--yes")
    [told] = full.json("check", "--erased", sent)["mailboxes"]
    assert told == {"address": box.as_uri(), "gone": False, "due_ms": 0}
    assert "a sync takes it out" in full.run("check", "--erased", sent).err
    for _ in range(2):
        full.ok("sync", box.as_uri())
    [told] = full.json("check", "--erased", sent)["mailboxes"]
    assert told == {"address": box.as_uri(), "gone": True, "due_ms": None}
    assert f"gone from {box.as_uri()}" in full.run("check", "--erased", sent).err


def test_a_backup_beside_the_server_comes_back_as_a_replica_that_syncs(full, tablet):
    sent = full.json("send", "family", "Erased after the backup", "--author", "ann")["message_id"]
    with serving(full) as (address, _):
        report = full.json("backup", "phone.backup")
        tablet.ok("sync", address)
    status = full.json("status")
    assert report == {
        "backup": "phone.backup",
        "documents": status["documents"],
        "messages": 295,
        "file_bytes": (full.directory / "phone.backup").stat().st_size,
        "digest": status["digest"],
        "months_elsewhere": 0,
        "attachment_bytes_left": 0,
    }
    tablet.ok("erase", "family", sent, "--yes")
    for lost in full.directory.glob("phone.db*"):
        lost.unlink()
    kept = (full.directory / "phone.backup").read_bytes()
    assert full.json("check", "--replica", "phone.backup")["ok"]
    assert full.json("check", "--erased", "--replica", "phone.backup")["ok"]
    refused = full.run(
        "send", "family", "Into the backup", "--author", "ann", "--replica", "phone.backup"
    )
    assert refused.code == 2
    assert "restore-backup" in refused.err
    assert (full.directory / "phone.backup").read_bytes() == kept
    made = full.json("restore-backup", "phone.backup")
    assert made == {
        "replica": "phone.db",
        "account": status["account"],
        "device": status["device"],
        "messages": 295,
    }
    full.ok("send", "family", "Written after the backup came back", "--author", "ann")
    with serving(tablet) as (address, _):
        full.ok("sync", address)
    for one in (full, tablet):
        texts = [line["text"] for line in one.lines("messages", "family", "--limit", 3)]
        assert texts[-1] == "Written after the backup came back"
        assert "Erased after the backup" not in texts
        assert one.json("check")["ok"]
    assert full.json("status")["digest"] == tablet.json("status")["digest"]


def test_backups_and_what_is_made_of_them_are_said_in_words(full):
    said = full.ok("backup", "it.backup")
    assert said.out.startswith("it.backup: 294 messages, ")
    assert said.err == ""
    with msgsync.open(full.directory / "phone.db", author="ann") as phone:
        phone.conversation("family").send("Look!", attachments=[bytes(1000)])
    assert "phone.db.attachments: copy that folder" in full.ok("backup", "other.backup").err
    refused(full.run("backup", "it.backup"), 2, "it.backup is there")
    refused(full.run("restore-backup", "it.backup"), 2, "phone.db is there")
    words = full.ok("restore-backup", "it.backup", "--replica", "new.db", "--new-device").out
    assert words.startswith("Made new.db: 294 messages, device ")
    assert full.json("status")["device"] not in words
    raw = bytearray((full.directory / "it.backup").read_bytes())
    raw[len(raw) // 2] ^= 1
    (full.directory / "it.backup").write_bytes(raw)
    result = full.run("restore-backup", "it.backup", "--replica", "newer.db", "--json")
    assert (result.code, json.loads(result.err)["error"]) == (3, "replica-damaged")
    assert not [*full.directory.glob("newer.db*")]
    refused(full.run("restore-backup", "nothing", "--replica", "newer.db"), 2, "nothing")


def test_an_export_into_a_file_is_gzipped_by_name_and_says_what_it_did(full):
    report = full.json("export", "all.jsonl.gz")
    none = {"months_elsewhere": 0, "attachments": 0, "attachments_left": 0}
    assert report == {"conversations": 16, "messages": 294} | none
    packed = (full.directory / "all.jsonl.gz").read_bytes()
    assert gzip.decompress(packed).decode() == full.ok("export", "-", "--json").out
    part = full.ok("export", "--conversation", "family").out.splitlines()
    assert {json.loads(line)["conversation"] for line in part} == {"family"}


def test_what_is_printed_cannot_steer_the_terminal(phone):
    evil = message(1, text="\x1b]0;title\x07\x9b31m", author="a\rb")
    phone.ok("import", write(phone.directory, "history", evil))
    for command in (("messages", "family"), ("conversations",), ("search", "title")):
        out = phone.ok(*command).out
        assert not {"\x1b", "\x07", "\x9b", "\r"} & set(out)
        out = phone.ok(*command, "--json").out
        assert out.isascii()
        assert "\x1b" not in out


def test_any_locale_will_do(full):
    full.environment |= {"PYTHONUTF8": "0", "PYTHONIOENCODING": "ascii"}
    with full.start("messages", "family") as process:
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert "\\u" in out


# ------------------------------------------------------------------------------------ two devices


@contextmanager
def serving(phone: Shell, *options: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with phone.start("serve", *options) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip(), process


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_two_devices_meet_and_the_server_ends_well(full, tablet, how):
    tablet.ok("send", "family", "Written on the train", "--author", "ann")
    with serving(full) as (address, process):
        assert address.startswith("tcp://127.0.0.1:")
        report = tablet.json("sync", address)
        assert (report["complete"], report["messages_received"]) == (True, 294)
        assert "Synced" in tablet.ok("sync", address).out
        assert len(full.lines("conversations")) == 16  # reading beside the server
        process.send_signal(how)
        _, errors = process.communicate(timeout=PATIENCE_S)
        assert process.returncode == 0
        assert "Traceback" not in errors
    assert full.json("status")["digest"] == tablet.json("status")["digest"]
    assert full.lines("search", "train")


def test_a_server_tells_in_json_where_it_listens_and_what_happens(full, tablet):
    with serving(full, "--json", "--listen", "tcp://127.0.0.1:0") as (first, process):
        listening = json.loads(first)
        assert listening["event"] == "listening"
        tablet.ok("sync", listening["address"])
        assert process.stdout is not None
        completed = json.loads(process.stdout.readline())
        assert completed["event"] == "completed"
        assert completed["report"]["complete"] is True


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_device_that_watches_hears_what_another_one_brings(full, tablet, how):
    """The server passes on at once what a third device brings; the watcher ends well when it is told to."""
    full.ok("status")
    full.ok("init", "--replica", "laptop.db", "--member", "phone.db")
    laptop = Shell(full.directory, "laptop.db")
    with serving(full) as (address, _):
        laptop.ok("sync", address)
        laptop.ok("send", "family", "Written on the laptop", "--author", "ann")
        with tablet.start("sync", address, "--watch", "--json") as process:
            assert process.stdout is not None
            seen = [json.loads(process.stdout.readline()) for _ in range(2)]
            assert [one["event"] for one in seen] == ["connected", "completed"]
            assert seen[0]["device"] == full.json("status")["device"]
            laptop.ok("sync", address)
            assert json.loads(process.stdout.readline()) == {"event": "received", "messages": 1}
            assert tablet.lines("search", "laptop")
            process.send_signal(how)
            _, errors = process.communicate(timeout=PATIENCE_S)
            assert (process.returncode, errors) == (0, "")


def test_what_writes_is_refused_beside_the_server(full):
    with serving(full) as (_, process):
        result = full.run("send", "family", "Hello", "--author", "ann")
        refused(result, 3, str(process.pid), "meanwhile")
        assert "readonly=" not in result.err


def test_another_account_is_refused_in_words(full):
    full.ok("init", "--replica", "stranger.db")
    stranger = Shell(full.directory, "stranger.db")
    with serving(full) as (address, _):
        refused(stranger.run("sync", address), 5, "another account", "msgsync init --replica FILE")
        assert "new_device" not in stranger.run("sync", address).err
        answer = stranger.run("sync", address, "--json")
        assert json.loads(answer.err)["error"] == "account-mismatch"
    assert stranger.json("status")["messages"] == 0


def test_nobody_there_is_the_peers_error(phone):
    result = phone.run("sync", "tcp://127.0.0.1:1")
    refused(result, 4)


@pytest.mark.parametrize("command", [("serve", "--listen"), ("sync",)])
@pytest.mark.parametrize("address", ["nonsense", "tcp://", "tcp://127.0.0.1", "http://127.0.0.1:1"])
def test_what_is_no_address_is_refused(phone, command, address):
    refused(phone.run(*command, address), 2)


# ----------------------------------------------------------------------------------------- errors

NEED_A_REPLICA = (
    ("import", SAMPLE),
    ("export",),
    ("conversations",),
    ("messages", "family"),
    ("search", "x"),
    ("send", "family", "x", "--author", "ann"),
    ("delete", "family", "0" * 20),
    ("serve",),
    ("sync", "tcp://127.0.0.1:1"),
    ("backup", "it.backup"),
    ("off",),
    ("forget", "tcp://127.0.0.1:1"),
    ("leave", "--yes"),
    ("on",),
    ("status",),
    ("doctor",),
    ("check",),
)


@pytest.mark.parametrize("command", NEED_A_REPLICA, ids=lambda command: command[0])
def test_no_command_but_init_makes_a_replica(empty, command):
    refused(empty.run(*command), 2, "msgsync init --replica phone.db")
    result = empty.run(*command, "--json")
    assert (result.code, json.loads(result.err)["error"]) == (2, "no-replica")
    assert list(empty.directory.iterdir()) == []


def test_init_refuses_a_file_that_is_there(phone):
    before = (phone.directory / "phone.db").read_bytes()
    refused(phone.run("init"), 2, "phone.db exists")
    assert (phone.directory / "phone.db").read_bytes() == before


def test_init_with_an_account_that_is_none_makes_nothing(empty):
    refused(empty.run("init", "--member", "nonsense"), 2)
    assert list(empty.directory.glob("phone.db")) == []


def test_without_a_replica_named_it_is_asked_for(empty):
    del empty.environment["MSGSYNC_REPLICA"]
    refused(empty.run("status"), 2, "--replica", "MSGSYNC_REPLICA")


def test_nobody_sends_in_somebodys_name(phone):
    result = phone.run("send", "family", "Hello")
    refused(result, 2, "--author", "MSGSYNC_AUTHOR")
    assert phone.lines("conversations") == []


@pytest.mark.parametrize(
    ("command", "error"),
    [
        (("messages", "nowhere"), "unknown-conversation"),
        (("messages", "family", "--before", "0" * 20), "unknown-message"),
        (("messages", "family", "--after", "nonsense"), "invalid-value"),
        (("export", "--conversation", "nowhere"), "unknown-conversation"),
        (("search", "x", "--conversation", "nowhere"), "unknown-conversation"),
        (("delete", "family", "0" * 20), "unknown-message"),
        (("delete", "nowhere", "0" * 20), "unknown-conversation"),
        (("messages",), "usage"),
        (("messages", "family", "--limit", "0"), "usage"),
        (("import", "nothing.jsonl"), "usage"),
        (("nonsense",), "usage"),
        (("status", "--nonsense"), "usage"),
    ],
)
def test_errors_have_a_code_for_programs_and_words_for_people(full, command, error):
    refused(full.run(*command), 2)
    result = full.run(*command, "--json")
    assert (result.code, result.out) == (2, "")
    answer = json.loads(result.err)
    assert answer["error"] == error
    assert answer["message"]


def test_a_file_that_is_no_replica_is_refused_and_left_alone(empty):
    path = empty.directory / "phone.db"
    path.write_bytes(b"Dear diary,\n" * 100)
    for command in (("status",), ("send", "family", "x", "--author", "ann")):
        refused(empty.run(*command), 3)
    assert path.read_bytes() == b"Dear diary,\n" * 100


def test_an_empty_file_is_no_replica_and_init_makes_one_of_it(empty):
    path = empty.directory / "phone.db"
    path.touch()
    for command in (("status",), ("send", "family", "x", "--author", "ann")):
        refused(empty.run(*command), 2, "msgsync init --replica phone.db")
        assert path.read_bytes() == b""
    empty.ok("init")
    assert empty.json("status")["messages"] == 0


def test_a_folder_is_no_replica(empty):
    (empty.directory / "folder").mkdir()
    for command in (("status",), ("send", "family", "x", "--author", "ann")):
        refused(empty.run(*command, "--replica", "folder"), 3, "is a folder")
    assert [one.name for one in empty.directory.iterdir()] == ["folder"]


def test_a_file_that_cannot_be_written_is_named(full):
    result = full.run("export", "nowhere/all.jsonl")
    refused(result, 3, "nowhere")


def test_check_says_what_is_wrong(full):
    import apsw

    database = apsw.Connection(str(full.directory / "phone.db"))
    database.execute("update messages set text = 'forged' where key = 5")
    database.close()
    result = full.run("check")
    assert result.code == 3
    assert "Something is wrong" in result.out
    assert result.err
    assert json.loads(full.run("check", "--json").out)["problems"]


def test_check_says_whether_anything_is_left_of_erased_messages(full):
    first, second = full.lines("messages", "family", "--limit", "2")
    full.ok("erase", "family", first["message_id"], "--yes")
    assert "Nothing is left" in full.ok("check", "--erased", first["message_id"]).out
    said = full.json("check", "--erased")
    assert (said["ok"], said["checked"], said["found"], said["pending"]) == (True, 1, [], False)
    result = full.run("check", "--erased", second["message_id"])
    assert result.code == 3
    assert f"{second['message_id']} is not erased here" in result.err
    (full.directory / "phone.db.damaged").write_bytes(b"set aside")
    assert full.run("check", "--erased").code == 3
    assert full.run("check", first["message_id"]).code == 2


def test_repair_makes_a_damaged_replica_whole(full):
    path = full.directory / "phone.db"
    assert "Nothing is wrong" in full.ok("repair").out
    before = full.lines("messages", "family", "--limit", "1000")
    raw = path.read_bytes()
    path.write_bytes(bytes(4096) + raw[4096:])
    result = full.run("repair")
    assert result.code == 0, result.err
    assert f"kept as {path}.damaged" in result.out
    assert full.lines("messages", "family", "--limit", "1000") == before
    assert full.json("check")["ok"]
    assert full.run("repair", "--replica", "nothing.db").code == 2


def test_a_file_that_lost_its_keys_is_made_a_device_again_by_another_one(full, tablet):
    path = full.directory / "phone.db"
    device = full.json("status")["device"]
    before = full.lines("messages", "family", "--limit", "1000")
    with serving(full) as (address, _):
        tablet.ok("sync", address)
    path.write_bytes(path.read_bytes()[:9000])
    refused(full.run("repair"), 3)
    refused(full.run("repair", "tcp://127.0.0.1:1", "--member", "tablet.db"), 2)
    said = json.loads(full.run("repair", "--member", "tablet.db", "--json").out)
    assert said["damaged"]
    assert not said["complete"], "nothing is left that says what there was"
    assert full.json("status")["device"] == said["new_device"]
    trace = "more may be missing, of which no trace is left"
    assert full.json("status")["lost"] == full.json("check")["lost"] == [trace]
    assert trace in full.ok("check").err
    assert full.run("repair").code == 3
    full.ok("repair", "--accept-loss")
    full.ok("repair")
    assert full.json("status")["lost"] == []
    assert said["kept"] == f"{path}.damaged"
    assert said["synced"]["complete"]
    assert full.lines("messages", "family", "--limit", "1000") == before
    assert full.json("status")["account"] == tablet.json("status")["account"]
    assert full.json("status")["device"] != device
    assert full.json("check")["ok"]


def test_compacting_says_what_it_did_and_changes_nothing_that_is_shown(full):
    before = full.ok("export").out
    [line, *_] = full.lines("messages", "family")
    full.ok("edit", "family", line["message_id"], "mended")
    edited = full.ok("export").out
    report = full.json("compact")
    assert set(report) == {"frozen", "bytes_before", "bytes_after", "left"}
    assert report["frozen"] == 1
    assert full.ok("export").out == edited != before
    assert full.ok("compact").out.startswith("0 documents frozen; the file had ")


def test_who_stops_reading_is_no_error(full):
    for command in (("messages", "family"), ("export",), ("conversations", "--json")):
        with full.start(*command) as process:
            assert process.stdout is not None
            process.stdout.close()
            assert process.wait(PATIENCE_S) == 141
            assert process.stderr is not None
            assert process.stderr.read() == ""
            process.stdout = None


def test_ctrl_c_keeps_what_was_done_and_says_so(phone):
    fifo = phone.directory / "history"
    os.mkfifo(fifo)
    with phone.start("import", fifo) as process, fifo.open("w") as history:  # opens once it reads
        history.write(json.dumps(message(1)) + "\n")
        history.flush()
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out) == (130, "")
    assert errors.startswith("msgsync: interrupted")
    assert phone.json("check")["ok"]


def test_a_command_that_is_told_to_end_leaves_nothing_half_done(phone):
    fifo = phone.directory / "history"
    os.mkfifo(fifo)
    with phone.start("import", fifo) as process, fifo.open("w") as history:
        history.write(json.dumps(message(1)) + "\n")
        history.flush()
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=PATIENCE_S)
    assert (process.returncode, out, errors) == (143, "", "")
    assert phone.json("check")["ok"]


STUCK = """
import sys, threading, msgsync
with msgsync.open("phone.db", readonly=True) as replica:
    def stop(progress):
        print("begun", flush=True)
        threading.Event().wait()
    replica.backup("copy", on_progress=stop)
"""


def test_what_a_killed_backup_left_goes_with_the_next_one(full):
    halves = "copy.*.part*"
    with subprocess.Popen(
        [sys.executable, "-c", STUCK], cwd=full.directory, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "begun\n"
        first = {*full.directory.glob(halves)}
        assert first
        full.ok("backup", "other")
        assert full.run("restore-backup", "other", "--replica", "copy").code == 0
        assert {*full.directory.glob(halves)} == first, "it is still being made"
        (full.directory / "copy").unlink()
        process.kill()
    assert {*full.directory.glob(halves)} == first
    full.ok("backup", "copy")
    assert not [*full.directory.glob(halves)]


def on_a_terminal(phone: Shell, *arguments: str) -> tuple[bytes, bytes]:
    """What a command says on its standard output, and what a terminal sees of its standard error."""
    master, slave = pty.openpty()
    try:
        done = subprocess.run(
            [*COMMAND, *arguments],
            cwd=phone.directory,
            env=phone.environment | {"TERM": "xterm", "COLUMNS": "100"},
            stdout=subprocess.PIPE,
            stderr=slave,
            timeout=PATIENCE_S,
            check=True,
        )
        os.close(slave)
        seen = b""
        while chunk := _read(master):
            seen += chunk
    finally:
        os.close(master)
    return done.stdout, seen


def test_a_terminal_sees_progress_and_a_pipe_does_not(phone):
    path = write(phone.directory, "history", *(message(number) for number in range(20)))
    out, seen = on_a_terminal(phone, "import", str(path))
    assert b"Importing" in seen
    assert b"20 messages added" in out
    assert phone.ok("import", path).err == ""


def test_a_terminal_sees_how_far_deleting_restoring_and_erasing_are(full):
    for label, *command in (
        (b"Deleting", "delete", "family", "--yes"),
        (b"Restoring", "restore", "family"),
        (b"Deleting", "delete", "family", "--yes"),
        (b"Erasing", "recent", "--empty", "--yes"),
    ):
        out, seen = on_a_terminal(full, *command)
        assert label in seen
        assert b"message" in out


def _read(master: int) -> bytes:
    try:
        return os.read(master, 65_536)
    except OSError:  # the other end is closed
        return b""


def test_the_command_line_says_what_it_needs(empty):
    blocked = empty.directory / "blocked"
    blocked.mkdir()
    (blocked / "click.py").write_text("raise ModuleNotFoundError('no click', name='click')\n")
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import sys; sys.path.insert(0, {str(blocked)!r}); from msgsync.cli.main import main; main()",
        ],
        env=empty.environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == 1
    assert "pip install 'msgsync[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


# ------------------------------------------------------------------------------------------- devices


def test_devices_are_named_listed_and_retired_and_say_where_a_message_is(full, tablet):
    with (
        msgsync.open(full.directory / "phone.db") as one,
        msgsync.open(full.directory / "tablet.db") as other,
    ):
        msgsync.sync(one, other)
    full.ok("devices", "--name", "Phone")
    tablet.ok("devices", "--name", "Old tablet")
    conversation = full.lines("conversations")[0]["conversation"]
    message = full.lines("messages", conversation, "--limit", "1")[0]["message_id"]
    where = full.json("where-is", message)
    assert set(where["devices"]) == {full.json("status")["device"], tablet.json("status")["device"]}
    assert full.ok("where-is", message).out.count("has it") == 2
    with (
        msgsync.open(full.directory / "phone.db") as one,
        msgsync.open(full.directory / "tablet.db") as other,
    ):
        msgsync.sync(one, other)
        one.conversation(conversation).send("only on the phone", author="ann")
    first, second = full.lines("devices")
    assert (first["name"], first["is_this"], first["safe_to_remove"]) == ("Phone", True, False)
    assert (second["name"], second["behind"], second["retired"]) == ("Old tablet", 1, False)
    out = full.ok("devices").out
    assert "lacks 1 change of this device" in out
    assert "can be wiped: what it has is on another device too" in out
    assert "do not wipe it: " in out
    assert "behind" not in out
    assert full.json("retire", "Old tablet") == {"device": second["id"], "retired": True}
    assert "retired" in full.ok("devices").out
    assert full.run("retire", "nobody").code == 2


def test_a_device_is_revoked_on_the_command_line_and_refused(full, tablet):
    tablet.ok("devices", "--name", "Old tablet")
    with (
        msgsync.open(full.directory / "phone.db") as one,
        msgsync.open(full.directory / "tablet.db") as other,
    ):
        msgsync.sync(one, other)
    refused = full.run("revoke", "Old tablet", "--yes")
    assert refused.code == 2
    assert "recovery phrase" in refused.err
    assert "--without-recovery" in refused.err
    assert "recovery --replace" in refused.err
    assert full.run("revoke", "Old tablet", "--without-recovery", text="n\n").code == 130
    done = full.json("revoke", "Old tablet", "--yes", "--without-recovery")
    assert (done["name"], done["added"]) == ("Old tablet", [])
    row = full.lines("devices")[1]
    assert row["revoked"] is not None
    assert row["revoked_by"] == [full.json("status")["device"]]
    assert "revoked" in full.ok("devices").out
    with (
        msgsync.open(full.directory / "phone.db") as one,
        msgsync.open(full.directory / "tablet.db") as other,
        pytest.raises(msgsync.DeviceRevoked),
    ):
        msgsync.sync(other, one)
    assert "revoked" in tablet.ok("devices").out
    assert "takes part in nothing" in tablet.ok("status").out
    assert tablet.json("status")["revoked"] is True
    told = tablet.run("sync", "tcp://127.0.0.1:9")
    assert told.code != 0
    assert tablet.run("wipe", text="n\n").code == 130
    assert (full.directory / "tablet.db").exists()
    tablet.ok("wipe", "--yes")
    assert not [*full.directory.glob("tablet.db*")]


def test_what_came_from_a_device_is_listed(full, tablet):
    with (
        msgsync.open(full.directory / "phone.db") as one,
        msgsync.open(full.directory / "tablet.db", author="ben") as other,
    ):
        msgsync.sync(one, other)
        other.create_conversation("Away", id="away").send("from the tablet")
        msgsync.sync(one, other)
        device = str(other.device)
    lines = full.lines("accepted-from", device)
    assert "from the tablet" in [one["message"]["text"] for one in lines if one["message"]]
    assert "from the tablet" in full.ok("accepted-from", device).out
    assert "straight from it" in tablet.ok("accepted-from", device).err


def test_a_device_is_recovered_by_a_phrase_from_a_pipe_and_revokes_the_lost_one(full):
    """The account has one device, and its phrase was never confirmed: typing all of it back does."""
    words = full.json("recovery")["phrase"]
    assert full.json("status")["recovery_confirmed"] is False
    assert "not confirmed" in full.ok("status").out
    full.ok("backup", "phone.backup")
    lost = full.json("status")["device"]
    made = full.run(
        "restore-backup",
        "phone.backup",
        "--replica",
        "new.db",
        "--recover",
        "--name",
        "New",
        text=words,
    )
    assert made.code == 0
    assert "Warning" not in made.err
    assert "msgsync recovery --replace" in made.out
    new = [one["name"] for one in full.lines("devices", "--replica", "new.db")]
    assert new[0] == "New"
    full.ok("revoke", lost, "--yes", "--replica", "new.db")
    assert full.json("recovery", "--replica", "new.db")["confirmed"] is True


def test_init_speaks_of_the_phrase_and_names_the_device(full):
    made = full.ok("init", "--replica", "named.db", "--name", "Old phone")
    assert "msgsync recovery" in made.out
    assert full.lines("devices", "--replica", "named.db")[0]["name"] == "Old phone"


def test_the_recovery_phrase_is_shown_confirmed_and_replaced(full, tablet):
    shown = full.json("recovery")
    assert not shown["confirmed"]
    words = shown["phrase"].split()
    assert all(word in full.ok("recovery").out.split() for word in words)
    assert tablet.json("recovery") == {"confirmed": False, "phrase": None}
    wrong = full.run("recovery", "--confirm", text="zoo\nzoo\nzoo\n")
    assert wrong.code == 5
    assert "\nmsgsync: what was given is not the recovery phrase's word at place" in wrong.err
    asked = full.run("recovery", "--confirm", text="")
    assert "Word" in asked.err
    with msgsync.open(full.directory / "phone.db") as replica:
        places = replica.recovery_places()
        replica.confirm_recovery({place: words[place - 1] for place in places})
    assert full.json("recovery") == {"confirmed": True, "phrase": None}
    assert "not shown again" in full.ok("recovery").out
    assert full.run("recovery", "--replace", "--confirm").code == 2
    replaced = full.json("recovery", "--replace", "--yes")
    assert len(replaced["phrase"].split()) == 24
    assert replaced["phrase"] != shown["phrase"]


def test_a_device_under_a_passphrase_is_opened_with_it(full):
    path = full.directory / "phone.db"
    with msgsync.open(path) as replica:
        conversation = replica.conversations()[0].id
        replica.set_passphrase("correct horse")
    full.ok("messages", conversation)
    refused = full.run("send", conversation, "hello", "--author", "ann")
    assert refused.code == 5
    assert "set MSGSYNC_PASSPHRASE" in refused.err
    send = "send", conversation, "hello", "--author", "ann"
    assert full.run(*send, MSGSYNC_PASSPHRASE="wrong").code == 5
    full.ok(*send, MSGSYNC_PASSPHRASE="correct horse")
    done = full.ok("passphrase", "--remove", MSGSYNC_PASSPHRASE="correct horse")
    assert "no passphrase" in done.out
    full.ok(*send)


def test_files_go_with_messages_and_are_listed_and_saved(phone):
    photo = phone.directory / "beach.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2_000_000))
    sent = phone.json(
        *("send", "family", "Look!", "--author", "ann", "--attach", photo, "--attach", photo)
    )
    assert [one["name"] for one in sent["attachments"]] == ["beach.png"] * 2
    listed = phone.lines("attachments", "family")
    assert [(one["number"], one["state"]) for one in listed] == [(1, "only-here"), (2, "only-here")]
    saved = phone.lines("save", sent["message_id"])
    assert [Path(one["path"]).name for one in saved] == ["beach (2).png", "beach (3).png"]
    assert (phone.directory / "beach (2).png").read_bytes() == photo.read_bytes()
    refused(phone.run("save", sent["message_id"], photo, "--number", "2"), 2, "exists")
    refused(phone.run("save", sent["message_id"], "--number", "3"), 2, "no file number 3")


def test_a_file_is_erased_and_its_message_stays(phone):
    photo = phone.directory / "beach.png"
    photo.write_bytes(bytes(2_000))
    other = phone.directory / "notes.txt"
    other.write_text("other")
    attach = "--attach", photo, "--attach", other
    sent = phone.json("send", "family", "Look!", "--author", "ann", *attach)
    erase = "erase-attachment", "family", sent["message_id"]
    refused(phone.run(*erase, "--yes"), 2, "say which with --number")
    refused(phone.run(*erase, "--number", "3", "--yes"), 2, "no file number 3")
    first = *erase, "--number", "1"
    assert "Nothing was changed" in phone.run(*first, text="n\n").err
    assert phone.json(*first, "--yes")["name"] == "beach.png"
    listed, _ = phone.lines("attachments", "family")
    assert (listed["state"], listed["name"], listed["digest"]) == ("gone", "beach.png", "")
    assert "file: beach.png (gone)" in phone.ok("messages", "family").out
    refused(phone.run("save", sent["message_id"], "out", "--number", "1"), 2, "was erased")
    saved = phone.ok("save", sent["message_id"], "out")
    assert "beach.png was erased" in saved.err
    assert (phone.directory / "out").read_text() == "other"
    assert "1 erased attachment" in phone.ok("check", "--erased").out


def test_attachments_are_paused_while_sync_is_on(phone):
    assert phone.json("off", "--attachments") == {"attachments_paused": True}
    assert phone.json("status")["sync_off"] is None
    refused(phone.run("off", "--attachments", "--keep-everything"), 2, "leaves sync on")
    assert "stay where they are" in phone.ok("off", "--attachments").out
    assert "yes: msgsync on --attachments" in phone.ok("status").out
    assert phone.json("on", "--attachments") == {"attachments_paused": False}
    assert "follow their messages" in phone.ok("on", "--attachments").out


def test_room_is_made_on_one_device_and_only_of_what_another_keeps(full, tablet):
    with msgsync.open(full.directory / "phone.db", author="ann") as phone:
        phone.conversation("family").send("Look!", attachments=[bytes(1000)])
        with msgsync.open(tablet.directory / "tablet.db") as other:
            msgsync.sync(phone, other)
    assert "nobody else is bound to keep them" in full.ok("free-space").err
    with (
        msgsync.open(full.directory / "phone.db") as phone,
        msgsync.open(tablet.directory / "tablet.db") as other,
    ):
        msgsync.sync(phone, other)
    months = {
        "months_elsewhere": 0,
        "months_free": 0,
        "months_freed": 0,
        "months_stay": 0,
        "months_wait_for": [],
    }
    preview = {"bytes_here": 1000, "bytes_free": 1000, "bytes_freed": 1000} | months
    assert full.json("free-space", "--preview") == preview
    assert full.json("free-space", "1kB", "--preview") == preview | {"bytes_freed": 0}
    refused(full.run("free-space", "much"), 2, "no number of bytes")
    refused(full.run("free-space", "--preview", "--days", "30"), 2, "not previewed")
    for budget in (("--days", "30"), ("--budget", "-1")):
        assert full.json("free-space", *budget) == preview | {"bytes_freed": 0}
    freed = {"bytes_here": 0, "bytes_free": 0, "bytes_freed": 1000} | months
    assert full.json("free-space", "--budget", "10", "--days", "30") == freed
    [listed] = full.lines("attachments", "family")
    assert listed["state"] == "elsewhere"
    refused(full.run("save", listed["message_id"], "out"), 3, "not on this device", "say --from")
    assert not (full.directory / "out").exists()
    # A folder takes in what the other one has, and gives it back.
    (full.directory / "box").mkdir()
    box = (full.directory / "box").as_uri()
    with msgsync.open(tablet.directory / "tablet.db") as other:
        msgsync.sync(other, box)
    full.ok("save", listed["message_id"], "out", "--from", box)
    assert (full.directory / "out").read_bytes() == bytes(1000)


def test_files_are_exported_beside_the_lines_and_taken_in_again(phone):
    photo = phone.directory / "beach.png"
    photo.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(2_000))
    phone.ok("send", "family", "Look!", "--author", "ann", "--attach", photo)
    report = phone.json("export", "out.jsonl", "--attachments", "files")
    assert (report["messages"], report["attachments"], report["attachments_left"]) == (1, 1, 0)
    [file] = (phone.directory / "files").iterdir()
    assert file.name.startswith("beach.")
    assert file.read_bytes() == photo.read_bytes()

    other = Shell(phone.directory, "other.db")
    other.ok("init")
    assert "say --attachments FOLDER" in other.ok("import", "out.jsonl").err
    left = other.run("export", "again.jsonl", "--attachments", "more")
    assert left.code == 1
    assert "1 file left out" in left.err
    file.rename(photo)
    spoilt = other.run("import", "out.jsonl", "--attachments", "files")
    assert spoilt.code == 1
    assert "line 2: there is no file" in spoilt.err
    photo.rename(file)
    assert "1 file taken in" in other.ok("import", "out.jsonl", "--attachments", "files").out


def test_what_went_for_a_budget_is_fetched_again(full, tablet):
    def sync() -> None:
        with (
            msgsync.open(full.directory / "phone.db", author="ann") as phone,
            msgsync.open(tablet.directory / "tablet.db") as other,
        ):
            msgsync.sync(phone, other)

    full.ok("free-space", "--budget", "10")
    (full.directory / "photo").write_bytes(bytes(1000))
    full.ok("send", "family", "Look!", "--author", "ann", "--attach", "photo")
    sync()
    sync()  # and it promises to keep it
    full.ok("free-space", "--budget", "-1")
    [listed] = full.lines("attachments", "family")
    assert listed["state"] == "elsewhere"
    assert full.json("fetch-attachments") == {"bytes": 1000}
    assert "0 bytes of attachments are to come" in full.ok("fetch-attachments").out
    sync()
    [listed] = full.lines("attachments", "family")
    assert listed["state"] == "here"


def test_old_months_go_from_one_device_and_come_back(full, tablet):
    def sync() -> None:
        with (
            msgsync.open(full.directory / "phone.db") as phone,
            msgsync.open(tablet.directory / "tablet.db") as other,
        ):
            msgsync.sync(phone, other)

    sync()
    before = len(full.lines("messages", "family", "--limit", "1000"))
    assert full.json("keep-months", "1") == {"history_months": 1, "months_elsewhere": 0}
    preview = full.ok("free-space", "--preview").err
    assert "no month goes before these devices" in preview
    assert "of messages stay: no other device has promised" in preview
    sync()
    # A budget for attachments lets no month go, nor does taking it back say so.
    for size in ("1000", "-1"):
        assert full.json("free-space", "--budget", size)["months_freed"] == 0
    freed = full.json("free-space", str(2**40))
    assert freed["months_freed"] == freed["months_elsewhere"] > 0
    assert "elsewhere" in full.ok("free-space", str(2**40)).out
    assert full.json("status")["months_elsewhere"] == freed["months_elsewhere"]
    assert len(full.lines("messages", "family", "--limit", "1000")) < before
    assert full.json("fetch-months") == {"months": freed["months_elsewhere"]}
    sync()
    assert len(full.lines("messages", "family", "--limit", "1000")) == before
    assert "0 months are to come" in full.ok("fetch-months", "--since", "2024-05").out
    refused(full.run("keep-months", "many"), 2, "a number of months")
    assert full.json("keep-months", "all")["history_months"] is None


# --------------------------------------------------------------------- what moves, and the switch


def test_status_says_what_waits_where_and_why(phone):
    folder = phone.directory / "box"
    phone.ok("send", "family", "Hello", "--author", "ann")
    refused(phone.run("sync", folder.as_uri()), 3, "plug in or mount")
    shown = phone.ok("status").out
    assert f"\n{folder.as_uri()}: waiting\n  why: there is no folder" in shown
    assert "\n  what to do: plug in, mount or connect it" in shown
    assert "\n  to go there: 1 message; 2 documents; at most " in shown
    [place] = phone.json("status")["places"]
    assert (place["state"], place["reason"], place["last_success"]) == (
        *("waiting", "unreachable"),
        None,
    )
    folder.mkdir()
    phone.ok("sync", folder.as_uri())
    [place] = phone.json("status")["places"]
    assert (place["state"], place["reason"], place["why"]) == ("up to date", None, "")
    assert place["to_send"] == {
        "messages": 0,
        "documents": 0,
        "chunks": 0,
        "bytes": 0,
        "objects": 0,
        "more": False,
    }
    assert f"\n{folder.as_uri()}: up to date\n  last all done: 20" in phone.ok("status").out


def test_of_a_mailbox_of_another_account_it_is_said_what_to_do(phone, tmp_path):
    box = tmp_path / "box"
    box.mkdir()
    other = Shell(phone.directory, "other.db")
    other.ok("init")
    other.ok("send", "family", "Hello", "--author", "ben")
    other.ok("sync", box.as_uri())
    said = phone.run("sync", box.as_uri())
    assert said.code == 4
    assert "of another account" in said.err
    assert "what to do: use a folder for this account alone" in said.err


def test_a_place_is_forgotten(phone):
    missing = (phone.directory / "missing").as_uri()
    phone.run("sync", missing)
    assert [one["address"] for one in phone.json("status")["places"]] == [missing]
    assert phone.ok("forget", missing).out == f"Forgot {missing}.\n"
    assert phone.json("status")["places"] == []
    refused(phone.run("forget", missing), 2, "no place that is known here")


def test_sync_is_switched_off_and_on(phone):
    folder = phone.directory / "box"
    folder.mkdir()
    since = phone.json("off")["sync_off"]
    assert "switched off since" in phone.ok("status").out
    assert phone.json("status")["sync_off"] == since
    refused(phone.run("sync", folder.as_uri()), 2, "switch it on: msgsync on")
    refused(phone.run("serve"), 2, "switch it on: msgsync on")
    assert [*folder.iterdir()] == []
    assert phone.json("on") == {"sync_off": None}
    phone.ok("sync", folder.as_uri())
    assert phone.ok("off", "--keep-everything").out.startswith("Sync is off since 20")
    assert phone.ok("on").out == "Sync is on.\n"


def test_off_with_everything_stays_on_where_a_place_is_not_there(phone):
    folder = phone.directory / "box"
    folder.mkdir()
    phone.ok("sync", folder.as_uri())
    folder.rename(phone.directory / "unplugged")
    refused(phone.run("off", "--keep-everything"), 4, "plug in or mount")
    assert phone.json("status")["sync_off"] is None


def test_a_device_leaves_when_others_have_what_it_has(phone):
    refused(phone.run("leave", "--yes"), 2, "--even-if-only-copy")
    device = phone.json("status")["device"]
    answer = phone.json("leave", "--yes", "--even-if-only-copy", "--wipe")
    assert (answer["told"], answer["wiped"]) == ([], True)
    assert answer["only_here"]
    assert not (phone.directory / "phone.db").exists()
    assert device
