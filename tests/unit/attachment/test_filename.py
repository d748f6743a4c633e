"""Names that somebody else chose."""

from __future__ import annotations

from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.attachment.filename import FALLBACK, numbered, safe_name


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("photo.jpg", "photo.jpg"),
        ("Urlaub in Österreich.jpeg", "Urlaub in Österreich.jpeg"),
        ("写真.png", "写真.png"),
        ("../../etc/passwd", "passwd"),
        ("..\\..\\boot.ini", "boot.ini"),
        ("/etc/shadow", "shadow"),
        ("C:\\Windows\\system.ini", "system.ini"),
        ("a\0b.txt", "ab.txt"),
        ("a\nb\x1b[31m.txt", "ab[31m.txt"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ('what? <"now">|*:.txt', "what_ __now_____.txt"),
        (".bashrc", "bashrc"),
        ("...", FALLBACK),
        ("", FALLBACK),
        ("/", FALLBACK),
        ("   ", FALLBACK),
        ("name. . .", "name"),
        ("con", "_con"),
        ("NUL.txt", "_NUL.txt"),
        ("Com1 .tar.gz", "_Com1 .tar.gz"),
        ("console.txt", "console.txt"),
        ("LPT¹", "_LPT¹"),
        ("a\ud800b", "ab"),
        ("x" * 300 + ".jpg", "x" * 251 + ".jpg"),
        ("é" * 200, "é" * 127),
        ("x." + "y" * 300, "x." + "y" * 253),
    ],
)
def test_a_name_is_made_safe_and_stays_as_like_as_can_be(name, safe):
    assert safe_name(name) == safe


@given(st.text(st.characters(codec=None), max_size=400) | st.text("./\\ :con", max_size=20))
@example("\u2028")
@example(". 0")
@example("0.\u3000.")
def test_any_name_is_safe_afterwards(name):
    safe = safe_name(name)
    assert safe_name(safe) == safe
    assert 0 < len(safe.encode()) <= limits.FILE_NAME_BYTES
    assert PurePosixPath(safe).name == safe == PureWindowsPath(safe).name
    assert safe not in (".", "..")
    assert not PureWindowsPath(safe).is_reserved()
    assert safe.isprintable() or not any(ord(one) < 32 or one in "\x7f\u202e" for one in safe)


@given(st.text(max_size=300), st.integers(2, 999))
def test_a_second_name_is_another_one_and_safe_as_well(name, number):
    safe = safe_name(name)
    other = numbered(safe, number)
    assert other != safe
    assert len(other.encode()) <= limits.FILE_NAME_BYTES
    assert f"({number})" in other


def test_the_number_stands_before_the_suffix():
    assert numbered("photo.jpg", 2) == "photo (2).jpg"
    assert numbered("photo", 3) == "photo (3)"
