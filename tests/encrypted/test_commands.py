"""The command line with replicas that are encrypted, or made under a passphrase."""

from __future__ import annotations

import io
import json
import sys

import pytest

import msgsync
from msgsync.cli.program import run
from tests.encrypted.conftest import WORDS


@pytest.fixture
def shell(tmp_path, monkeypatch, capsys):
    """Run a command; gives the exit code, what was printed, and what was complained of."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MSGSYNC_REPLICA", "phone.db")
    monkeypatch.setenv("MSGSYNC_AUTHOR", "ann")

    def call(*arguments: str, words: str | None = None, text: str = "") -> tuple[int, str, str]:
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", io.StringIO(text))
            if words is not None:
                patch.setenv("MSGSYNC_PASSPHRASE", words)
            code = run([*arguments])
        out, err = capsys.readouterr()
        return code, out, err

    return call


def test_a_replica_is_made_encrypted_and_each_command_asks_for_the_passphrase(shell, tmp_path):
    assert shell("init", "--encrypted", text=f"{WORDS}\n")[0] == 0
    with msgsync.open("phone.db", author="ann", passphrase=WORDS) as replica:
        assert replica.encrypted
        replica.create_conversation("Family", id="family")
    assert shell("send", "family", "hello", words=WORDS)[0] == 0
    code, out, _ = shell("messages", "family", "--json", words=WORDS)
    assert code == 0
    assert json.loads(out)["text"] == "hello"
    code, _, err = shell("messages", "family")
    assert code == 5
    assert "encrypted" in err
    assert shell("messages", "family", words="wrong")[0] == 5
    assert shell("backup", "phone.backup", words=WORDS)[0] == 0
    assert shell("restore-backup", "phone.backup", "--replica", "new.db", words=WORDS)[0] == 0
    assert shell("status", "--replica", "new.db", words=WORDS)[0] == 0
    assert shell("repair", words=WORDS)[0] == 0


def test_without_a_passphrase_nothing_is_made(shell, tmp_path):
    code, _, err = shell("init", "--encrypted")
    assert code == 2
    assert "passphrase" in err
    assert not (tmp_path / "phone.db").exists()


def test_a_plain_backup_is_restored_encrypted(shell):
    assert shell("init")[0] == 0
    assert shell("backup", "phone.backup")[0] == 0
    to_new = "restore-backup", "phone.backup", "--replica", "new.db", "--encrypted"
    assert shell(*to_new, text=f"{WORDS}\n")[0] == 0
    with msgsync.open("new.db", passphrase=WORDS) as replica:
        assert replica.encrypted


def test_another_device_is_made_encrypted(shell):
    assert shell("init")[0] == 0
    made = shell("init", "--replica", "b.db", "--member", "phone.db", "--encrypted", words=WORDS)
    assert made[0] == 0
    with msgsync.open("b.db", passphrase=WORDS) as replica:
        assert replica.encrypted


def test_the_keys_alone_are_put_under_a_passphrase_at_once(shell):
    assert shell("init", "--passphrase", words=WORDS)[0] == 0
    with pytest.raises(msgsync.PassphraseNeeded):
        msgsync.open("phone.db")
    with msgsync.open("phone.db", passphrase=WORDS) as replica:
        assert not replica.encrypted


@pytest.mark.parametrize("option", ["--encrypted", "--passphrase"])
def test_a_device_joins_under_a_passphrase(shell, option):
    assert shell("init")[0] == 0
    with (
        msgsync.open("phone.db") as phone,
        msgsync.Inviter(phone, on_request=lambda _request: True, scanned=True) as inviter,
    ):
        code, address = inviter.invited.code, inviter.invited.address
        to = "join", "--replica", "b.db", code, "--via", address, option
        assert shell(*to, words=WORDS)[0] == 0
        assert inviter.wait(20)
    with pytest.raises(msgsync.PassphraseNeeded):
        msgsync.open("b.db")
    with msgsync.open("b.db", passphrase=WORDS) as replica:
        assert replica.encrypted is (option == "--encrypted")
        assert replica.device == inviter.device
