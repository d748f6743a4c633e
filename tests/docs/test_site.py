"""The site: links lead somewhere, every page is reached, every public name is explained, every program is run."""

from __future__ import annotations

import ast
import inspect
import re
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

import msgsync
from msgsync import aio, testing
from msgsync.cli.program import COMMANDS
from tests.docs.page import DOCS, ROOT, blocks
from website.pages import PAGES, commands, error_tree, on_config, on_page_markdown, readme

RUN_BY = {
    "attachments.md": "test_attachments_page.py",
    "small-devices.md": "test_small_devices_page.py",
    "stuck.md": "test_stuck_page.py",
    "tutorial.md": "test_tutorial.py",
    "backup.md": "test_backup_page.py",
    "pairing.md": "test_pairing_page.py",
    "devices.md": "test_devices_page.py",
    "crypto.md": "test_crypto.py",
    "mailbox.md": "test_mailbox_page.py",
    "specification.md": "test_specification.py",
    "testing.md": "test_testing_page.py",
    "damage.md": "test_damage_page.py",
}
"""Pages with programs, and what runs them."""


def made(path: Path) -> bool:
    """Whether a page is made when the site is built."""
    return path.resolve().is_relative_to(DOCS) and str(path.resolve().relative_to(DOCS)) in PAGES


def documented() -> set[str]:
    """The names that the pages of the reference explain."""
    texts = [page.read_text(encoding="utf-8") for page in (DOCS / "reference").glob("*.md")]
    texts += [make() for path, make in PAGES.items() if path.startswith("reference/")]
    return {name for text in texts for name in re.findall(r"^::: (\S+)$", text, re.MULTILINE)}


# Links and pages.


def test_links_and_named_files_are_there():
    pages = [*DOCS.rglob("*.md")]
    assert len(pages) > 15
    for page in pages:
        text = page.read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text):
            if not target.startswith("https://"):
                path = page.parent / target
                assert path.exists() or made(path), f"{page.name}: {target}"
        for named in re.findall(r"`((?:tests|benchmarks|examples|docs)/[\w./]+)`", text):
            assert (ROOT / named).exists(), f"{page.name}: {named}"


def test_every_page_is_in_the_index():
    listed = set(re.findall(r"\]\(([^)]+)\)", (DOCS / "index.md").read_text(encoding="utf-8")))
    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} <= listed
    reference = {f"reference/{page.name}" for page in (DOCS / "reference").glob("*.md")}
    assert reference | {path for path in PAGES if "/" in path} <= listed
    decisions = (DOCS / "decisions" / "README.md").read_text(encoding="utf-8")
    for page in (DOCS / "decisions").glob("0*.md"):
        assert f"({page.name})" in decisions


def test_every_page_is_in_the_navigation():
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").partition("\nnav:")[2]
    shown = set(re.findall(r"[\w/-]+\.md", navigation))
    there = {str(page.relative_to(DOCS)) for page in DOCS.rglob("*.md")}
    decisions = {path for path in there if path.startswith("decisions/")}
    assert shown == (there - decisions) | PAGES.keys()
    config: dict[str, list[dict[str, list[str]]]] = {"nav": []}
    assert {page for part in on_config(config)["nav"] for page in part["Decisions"]} == decisions


def test_nothing_is_loaded_from_elsewhere():
    settings = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    assert "font: false" in settings
    assert "://" not in settings


def test_links_out_of_the_folder_lead_to_pages():
    index = on_page_markdown((DOCS / "index.md").read_text(encoding="utf-8"))
    assert "](readme.md)" in index
    assert "](changelog.md)" in index
    assert "../" not in index
    for target in re.findall(r"\]\(([^)#:]+)\)", readme()):
        assert (DOCS / target).exists() or target in PAGES, target


# The reference.


def test_every_public_name_is_in_the_reference():
    explained = documented()
    for name in msgsync.__all__:
        assert f"msgsync.{name}" in explained, f"msgsync.{name} is on no page of the reference"
    assert {f"msgsync.{name}" for name in msgsync.__all__} >= {
        name for name in explained if name.count(".") == 1
    }


def test_every_name_of_the_testing_kit_is_in_the_reference():
    explained = {name for name in documented() if name.startswith("msgsync.testing.")}
    assert explained == {f"msgsync.testing.{name}" for name in testing.__all__}


def public() -> Iterator[tuple[str, Any]]:
    """Every public class, function and module, and what is public in them."""
    for name in msgsync.__all__:
        value = getattr(msgsync, name)
        if isinstance(value, type | types.FunctionType | types.ModuleType):
            yield name, value
        if isinstance(value, type):
            for base in value.__mro__:
                if base.__module__.startswith("msgsync"):
                    yield from ((f"{name}.{key}", one) for key, one in members(base))
    for name in ("sync", "serve"):
        yield f"aio.{name}", getattr(aio, name)


def members(kind: type) -> Iterator[tuple[str, Any]]:
    """The methods and properties that a class itself makes public."""
    for name, value in vars(kind).items():
        if not name.startswith("_"):
            value = value.__func__ if isinstance(value, classmethod | staticmethod) else value  # noqa: PLW2901
            if isinstance(value, types.FunctionType | property):
                yield name, value


@pytest.mark.parametrize(("name", "value"), [*public()], ids=[name for name, _ in public()])
def test_every_public_thing_has_a_docstring_of_its_own(name, value):
    text = value.__doc__ if not isinstance(value, type) else vars(value).get("__doc__")
    assert text, f"{name} has no docstring"
    assert not text.startswith(f"{name}("), f"{name} has the docstring that dataclasses make"
    first = inspect.cleandoc(text).splitlines()[0]
    assert first[-1] in ".:;?)", f"{name}: the first line is a sentence: {first}"


def test_every_error_has_its_code_on_the_page():
    page = error_tree()
    errors = [one for name in msgsync.__all__ if is_error(one := getattr(msgsync, name))]
    assert len(errors) > 20
    for one in errors:
        assert f"| `{one.code}` | {one.exit_code} |" in page


def is_error(value: Any) -> bool:
    return isinstance(value, type) and issubclass(value, msgsync.MsgSyncError)


def test_every_command_and_option_is_on_the_page():
    page = commands()
    for command in COMMANDS:
        part = page.partition(f"\n## {command.name}\n")[2].partition("\n## ")[0]
        assert part.startswith("\n```text\nUsage: msgsync ")
        for parameter in command.params:
            shown = (
                parameter.opts
                if isinstance(parameter, click.Option)
                else [parameter.make_metavar(click.Context(command))]
            )
            assert any(one in part for one in shown), parameter.name


# Programs and figures.


def test_every_program_on_a_page_is_run_by_a_test():
    for page in DOCS.rglob("*.md"):
        if any(block.language == "python" for block in blocks(page)):
            runner = Path(__file__).parent / RUN_BY[page.name]
            assert page.stem in runner.read_text(encoding="utf-8")


def test_rows_of_the_benchmark_are_those_of_the_page():
    page = (DOCS / "performance.md").read_text(encoding="utf-8")
    shown = re.findall(r"^\| `(\w+)` \|", page, re.MULTILINE)
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--only", "nothing"],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == 2
    assert set(re.findall(r"\w+", ran.stderr.partition("choose from")[2])) == set(shown)


def test_the_union_of_events_is_explained():
    tree = ast.parse((ROOT / "src/msgsync/protocol/events.py").read_text(encoding="utf-8"))
    last = tree.body[-2:]
    assert isinstance(last[0], ast.Assign)
    assert isinstance(last[1], ast.Expr), "a text below `Event` says what it is"
