"""The README's programs run as they stand there, and show what it says they show."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]
README = ROOT / "README.md"
QUICKSTART = ROOT / "examples" / "quickstart.py"


class Block(NamedTuple):
    """A fenced block: its language, its first line's number, and its text."""

    language: str
    line: int
    text: str


def blocks() -> list[Block]:
    """All fenced blocks of the README, in order."""
    text = README.read_text(encoding="utf-8")
    return [
        Block(found[1], text.count("\n", 0, found.start(2)) + 1, found[2])
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def run(block: Block, names: dict[str, Any]) -> None:
    """Execute a block as a part of one program; tracebacks name the README's own lines."""
    source = "\n" * (block.line - 1) + block.text
    exec(compile(source, str(README), "exec"), names)


def program_and_output() -> tuple[str, str]:
    """The README's first program, and what stands below it as its output."""
    here = blocks()
    first = next(i for i, block in enumerate(here) if block.language == "python")
    assert here[first + 1].language == "text", "the program is followed by its output"
    return here[first].text, here[first + 1].text


def test_python_blocks_run_and_print_what_follows_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "readme"}
    here = [block for block in blocks() if block.language in {"python", "text"}]
    for block, following in zip(here, [*here[1:], Block("", 0, "")], strict=True):
        if block.language == "python":
            run(block, names)
            printed = capsys.readouterr().out
            if following.language == "text":
                assert printed == following.text


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


def test_commands_exist() -> None:
    shell = "".join(block.text for block in blocks() if block.language == "sh")
    commands = sorted(set(re.findall(r"^msgsync (\w+)", shell, re.MULTILINE)))
    assert commands, "the README shows the command line"
    program = "import sys; from msgsync.cli.main import main; sys.exit(main())"
    for command in commands:
        ran = subprocess.run(
            [sys.executable, "-c", program, command, "--help"],
            capture_output=True,
            encoding="utf-8",
            check=False,
            timeout=50,
        )
        assert ran.returncode == 0, f"msgsync {command} --help: {ran.stderr}"


def test_it_stays_short() -> None:
    assert len(README.read_text(encoding="utf-8").splitlines()) <= 120
