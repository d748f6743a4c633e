"""Pages of the site that are made of something else, so that they cannot go stale. A hook of mkdocs.

`PAGES` names them. Nothing here needs mkdocs until it builds.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import click

import msgsync
from msgsync import errors
from msgsync.cli.program import program

ROOT: Final = Path(__file__).parents[1]
WIDTH: Final = 88
"""Characters of a line of help: what a page has room for."""

_ABOUT_ERRORS: Final = """\
Everything that msgsync raises on purpose is a `MsgSyncError`. Below it the tree is split by who can mend it: the caller
(`UsageError`), the file or the disk (`StorageError`), the other side (`PeerError`), or the choice of account
(`AccountError`). The message says what happened and what to do; it never contains the text of a chat message. `code` is
for programs and stays the same. The exit code is that of the command line."""

_ABOVE: Final = {"../README.md": "readme.md", "../CHANGELOG.md": "changelog.md"}
"""Links out of ``docs/``, and the pages that they lead to."""


def readme() -> str:
    """The README, with links as they are from within ``docs/``."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    text = text.replace("](docs/", "](").replace("](CHANGELOG.md)", "](changelog.md)")
    return re.sub(r"\[([^]]*)\]\(LICENSE\)", r"\1", text)


def changelog() -> str:
    """The changelog."""
    return (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def public_names() -> str:
    """Every public name with its first line, linked to where it is explained: the build fails if it is nowhere."""
    rows = [f"| [`{name}`][msgsync.{name}] | {_first_line(name)} |" for name in msgsync.__all__]
    return "\n".join(
        [
            "# Public names",
            "",
            "What `import msgsync` gives. Everything else in the package may change without notice.",
            "",
            "| name | what it is |",
            "|---|---|",
            *rows,
            "",
        ]
    )


def _first_line(name: str) -> str:
    value = getattr(msgsync, name)
    if not (inspect.isclass(value) or inspect.isfunction(value) or inspect.ismodule(value)):
        return "One of: " + ", ".join(f"`{one.__name__}`" for one in value.__args__)
    return inspect.cleandoc(value.__doc__ or "").split("\n")[0].replace("|", r"\|")


def error_tree() -> str:
    """All errors: a table of their codes, and each with its docstring."""
    tree = list(_below(errors.MsgSyncError))
    rows = [
        f"| [`{one.__name__}`][msgsync.{one.__name__}] | `{one.code}` | {one.exit_code} |"
        for one in tree
    ]
    parts = [
        "# Errors",
        _ABOUT_ERRORS,
        "\n".join(["| error | code | exit code |", "|---|---|---|", *rows]),
        *(f"::: msgsync.{one.__name__}" for one in tree),
    ]
    return "\n\n".join(parts) + "\n"


def _below(error: type[errors.MsgSyncError]) -> Iterator[type[errors.MsgSyncError]]:
    yield error
    for one in error.__subclasses__():
        if one.__module__ == errors.__name__:
            yield from _below(one)


def commands() -> str:
    """What ``msgsync --help`` and ``msgsync COMMAND --help`` print, in the order of use."""
    context = click.Context(program, info_name="msgsync", terminal_width=WIDTH)
    parts = [
        "# Command line",
        "What `msgsync --help` and `msgsync COMMAND --help` print. `pip install 'msgsync[cli]'` brings the command.",
        _block(program.get_help(context)),
    ]
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None, name
        below = click.Context(command, parent=context, info_name=name, terminal_width=WIDTH)
        parts += [f"## {name}", _block(command.get_help(below))]
    return "\n\n".join(parts) + "\n"


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


PAGES: Final = {
    "readme.md": readme,
    "changelog.md": changelog,
    "reference/index.md": public_names,
    "reference/errors.md": error_tree,
    "reference/commands.md": commands,
}


def on_config(config: Any) -> Any:
    """Put the decisions at the end of the navigation, so that a new one needs no entry there."""
    decisions = sorted((ROOT / "docs" / "decisions").glob("0*.md"))
    pages = ["decisions/README.md", *(f"decisions/{page.name}" for page in decisions)]
    config["nav"].append({"Decisions": pages})
    return config


def on_files(files: Any, config: Any) -> Any:
    """Add the pages to those that mkdocs found."""
    from mkdocs.structure.files import File

    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links out of ``docs/`` into links to the pages made of those files."""
    for above, page in _ABOVE.items():
        markdown = markdown.replace(f"]({above})", f"]({page})")
    return markdown
