"""The page on testing an app: its programs are tests, and they pass; its first one is the example's."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from msgsync import testing

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "testing.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "test_chat_app.py"
PROGRAMS = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)

pytestmark = pytest.mark.timeout(300)  # each starts a pytest, and machines that run tests are busy


def run_pytest(file: Path) -> subprocess.CompletedProcess[str]:
    """Run the tests of one file as a user would, without this project's own settings."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "no:cacheprovider", file],
        env={**os.environ, "PYTHONPATH": paths, "PYTHONUTF8": "1"},
        cwd=file.parent,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )


def test_the_example_is_the_pages_first_program_and_short():
    assert EXAMPLE.read_text(encoding="utf-8") == PROGRAMS[0]
    lines = [line for line in PROGRAMS[0].splitlines() if line.strip()]
    assert len(lines) <= 24


@pytest.mark.parametrize("number", range(len(PROGRAMS)))
def test_the_pages_programs_pass(tmp_path, number):
    file = tmp_path / "test_page.py"
    file.write_text(PROGRAMS[number], encoding="utf-8")
    ran = run_pytest(file)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert "1 passed" in ran.stdout


def test_the_page_names_everything_public():
    named = set(re.findall(r"`(\w+)`", PAGE[PAGE.index("## What there is") :]))
    assert set(testing.__all__) <= named
