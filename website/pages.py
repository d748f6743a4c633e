"""Pages of the site that are made of something else, so that they cannot go stale. A hook of mkdocs.

- ``readme.md`` and ``changelog.md`` are the files of these names above ``docs/``.
- ``reference/commands.md`` is what ``msgsync COMMAND --help`` prints.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from msgsync.cli.program import program

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

ROOT: Final = Path(__file__).parents[1]
WIDTH: Final = 88
"""Characters of a line of help: what a page has room for."""

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


def commands() -> str:
    """The help of the program and of each command, in the order of use."""
    context = click.Context(
        program, info_name="msgsync", terminal_width=WIDTH, max_content_width=WIDTH
    )
    parts = [
        "# Command line",
        "What `msgsync --help` and `msgsync COMMAND --help` print. `pip install 'msgsync[cli]'` brings the command.",
        _block(program.get_help(context)),
    ]
    for name in program.list_commands(context):
        command = program.get_command(context, name)
        assert command is not None, name
        below = click.Context(
            command,
            parent=context,
            info_name=name,
            terminal_width=WIDTH,
            max_content_width=WIDTH,
        )
        parts += [f"## {name}", _block(command.get_help(below))]
    return "\n\n".join(parts) + "\n"


def _block(text: str) -> str:
    return f"```text\n{text.rstrip()}\n```"


PAGES: Final = {
    "readme.md": readme,
    "changelog.md": changelog,
    "reference/commands.md": commands,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages."""
    from mkdocs.structure.files import File

    for path, make in PAGES.items():
        files.append(File.generated(config, path, content=make()))
    return files


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Turn links out of ``docs/`` into links to the pages made of those files."""
    for above, page in _ABOVE.items():
        markdown = markdown.replace(f"]({above})", f"]({page})")
    return markdown
