"""The table on the screen and the file beside it."""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import apsw

from benchmarks.figure import BYTES, MEGABYTES, MILLISECONDS, RATE, Bar, Figure

_HEADINGS: Final = ("figure", "ours", "reference", "ratio", "to reach", "")


def text_of(messages: int, figures: Sequence[Figure]) -> str:
    """The table for one size of history."""
    lines = [_HEADINGS, *[_cells(messages, figure) for figure in figures]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_HEADINGS))]
    shown = [f"{messages:,} messages", ""]
    for number, line in enumerate(lines):
        label, *numbers, verdict = line
        cells = [label.ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(numbers, widths[1:], strict=False)]
        shown.append("  ".join([*cells, verdict]).rstrip())
        if number == 0:
            shown.append("  ".join("-" * width for width in widths[:-1]))
    return "\n".join(shown) + "\n"


def write(path: Path, results: Mapping[int, Sequence[Figure]]) -> None:
    """Write every figure with all its samples as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "environment": _environment(),
        "histories": [
            {"messages": messages, "figures": [_fields(messages, figure) for figure in figures]}
            for messages, figures in results.items()
        ],
    }
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def _cells(messages: int, figure: Figure) -> tuple[str, ...]:
    reference, ratio = figure.reference, figure.ratio
    return (
        figure.label,
        _number(figure.ours, figure.unit),
        "-" if reference is None else _number(reference, figure.unit),
        "-" if ratio is None else f"{ratio:.2f} x",
        "-" if figure.bar is None else _bar(figure.bar, figure.unit),
        figure.verdict(messages),
    )


def _number(value: float, unit: str) -> str:
    if unit == RATE:
        return f"{value:,.0f} /s"
    if unit == BYTES:
        return f"{value:,.1f} B" if value < 200 and value % 1 else f"{value:,.0f} B"
    if unit == MEGABYTES:
        return f"{value:,.1f} MB"
    if unit == MILLISECONDS:
        return f"{value:,.2f} ms"
    return f"{value:g}"


def _bar(bar: Bar, unit: str) -> str:
    wanted = f"{bar.limit:g} x" if bar.of == "ratio" else _number(bar.limit, unit)
    return f"{bar.sense} {wanted}"


def _fields(messages: int, figure: Figure) -> dict[str, Any]:
    bar = figure.bar
    return {
        "row": figure.row,
        "label": figure.label,
        "unit": figure.unit,
        "ours": figure.ours,
        "reference": figure.reference,
        "ratio": figure.ratio,
        "to_reach": None if bar is None else _bar(bar, figure.unit),
        "verdict": figure.verdict(messages) or None,
        "samples": list(figure.samples),
        "reference_samples": list(figure.reference_samples),
        "note": figure.note,
    }


def _environment() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "processors": os.cpu_count(),
        "sqlite": apsw.sqlite_lib_version(),
        "packages": {name: version(name) for name in ("apsw", "cbor2", "pycrdt", "anyio")},
    }
