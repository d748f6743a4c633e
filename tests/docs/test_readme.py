"""The README's programs run as they stand there, and show what it says they show."""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.docs.page import ROOT, blocks, run

README = ROOT / "README.md"
QUICKSTART = ROOT / "examples" / "quickstart.py"
SAMPLE = ROOT / "examples" / "data" / "sample.jsonl"
DEVICES = ("phone", "tablet")


def program_and_output() -> tuple[str, str]:
    """The README's first program, and what stands below it as its output."""
    here = blocks(README)
    first = next(i for i, block in enumerate(here) if block.language == "python")
    assert here[first + 1].language == "text", "the program is followed by its output"
    return here[first].text, here[first + 1].text


def command_lines() -> list[str]:
    """The lines of the README's block on the command line, without comments."""
    [block] = [
        block.text for block in blocks(README) if block.language == "sh" and "serve" in block.text
    ]
    return [line.partition("  #")[0].strip() for line in block.splitlines()]


@pytest.fixture
def msgsync_command(tmp_path: Path) -> dict[str, str]:
    """An environment in which `msgsync` is this interpreter's, installed or not."""
    command = tmp_path / "bin" / "msgsync"
    command.parent.mkdir()
    command.write_text(
        f"#!{sys.executable}\nimport sys\nfrom msgsync.cli.main import main\nsys.exit(main())\n"
    )
    command.chmod(0o755)
    return {
        **{name: value for name, value in os.environ.items() if not name.startswith("MSGSYNC_")},
        "PATH": f"{command.parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONUTF8": "1",
    }


@contextlib.contextmanager
def serving(folder: Path, environment: dict[str, str]) -> Iterator[str]:
    """Run `msgsync serve` on a free port and give the address it prints."""
    command = ["msgsync", "serve", "--listen", "tcp://127.0.0.1:0"]
    program = str(folder / "bin" / "msgsync")
    with subprocess.Popen(
        command,
        executable=program,
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    ) as server:
        try:
            assert server.stdout is not None
            yield server.stdout.readline().strip()
        finally:
            server.terminate()


def test_python_blocks_run_and_print_what_follows_them(tmp_path: Path) -> None:
    for output in run(README, tmp_path):
        assert output.printed == output.shown


def test_quickstart_prints_what_the_readme_says() -> None:
    ran = subprocess.run(
        [sys.executable, "-X", "utf8", "-W", "error", str(QUICKSTART)],
        capture_output=True,
        encoding="utf-8",
        check=False,
        timeout=50,
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout == program_and_output()[1]


def test_quickstart_has_the_lines_of_the_readme() -> None:
    def lines(text: str) -> list[str]:
        return [line.strip() for line in text.splitlines() if line.strip()]

    quickstart = iter(lines(QUICKSTART.read_text(encoding="utf-8")))
    missing = [line for line in lines(program_and_output()[0]) if line not in quickstart]
    assert missing == []


@pytest.mark.timeout(300)  # a dozen processes, one after the other
def test_the_command_line_does_what_it_is_shown_to_do(
    tmp_path: Path, msgsync_command: dict[str, str]
) -> None:
    (tmp_path / "history.jsonl.gz").write_bytes(gzip.compress(SAMPLE.read_bytes(), mtime=0))
    environment = dict(msgsync_command)
    # What stands in the README for things that come out differently each time.
    actual = {"ID": "", "tcp://127.0.0.1:7700": ""}

    def answer(line: str) -> str:
        ran = subprocess.run(
            line,
            shell=True,
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=50,
        )
        assert ran.returncode == 0, f"{line}\n{ran.stderr}"
        return ran.stdout

    with contextlib.ExitStack() as servers:
        for line in command_lines():
            if line.startswith("export "):
                environment |= dict(setting.split("=") for setting in line.split()[1:])
                continue
            if " serve " in line:
                address = servers.enter_context(serving(tmp_path, environment))
                actual["tcp://127.0.0.1:7700"] = address
                continue
            for placeholder, value in actual.items():
                line = re.sub(rf"{placeholder}\b", value or placeholder, line)  # noqa: PLW2901
            printed = answer(line)
            if " send " in line:
                actual["ID"] = printed.split()[0]
    assert len((tmp_path / "history.jsonl").read_text(encoding="utf-8").splitlines()) > 290
    ends = [json.loads(answer(f"msgsync status --json --replica {name}.db")) for name in DEVICES]
    assert ends[0]["digest"] == ends[1]["digest"]


def test_it_stays_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120
