"""A page of the documentation as a program: its fenced blocks, and what they print."""

from __future__ import annotations

import contextlib
import io
import re
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


class Block(NamedTuple):
    """A fenced block: its language, its first line's number, and its text."""

    language: str
    line: int
    text: str


class Output(NamedTuple):
    """What a block printed, and what stands below it as its output."""

    line: int
    printed: str
    shown: str


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    return [
        Block(found[1], text.count("\n", 0, found.start(2)) + 1, found[2])
        for found in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    ]


def run(page: Path, folder: Path, names: dict[str, Any] | None = None) -> list[Output]:
    """Run the Python blocks of a page as one program in a folder; tracebacks name the page's own lines.

    What a block prints stands below it as a block of the language ``text``; without one it prints nothing.
    The names that the program defines are put into ``names``.
    """
    names = {} if names is None else names
    names["__name__"] = page.stem
    outputs = []
    here = blocks(page)
    with contextlib.chdir(folder):
        for block, following in zip(here, [*here[1:], Block("", 0, "")], strict=True):
            if block.language == "python":
                printed = io.StringIO()
                with contextlib.redirect_stdout(printed):
                    source = "\n" * (block.line - 1) + block.text
                    exec(compile(source, str(page), "exec"), names)
                shown = following.text if following.language == "text" else ""
                outputs.append(Output(block.line, printed.getvalue(), shown))
    return outputs
