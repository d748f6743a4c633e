"""Which modules are changed, and which tests are to notice: those of the module first, then those of its folder."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "src/msgsync"

_DOCUMENT = (
    *("admission", "aliases", "codec", "columns", "crdt", "digest", "fold", "frozen", "gonefiles"),
    *("head", "reader", "said", "schema"),
)
_PROTOCOL = (
    *("events", "frames", "greeting", "live", "round", "rounds", "seam", "session", "sink"),
    *("source", "wire"),
)
_STORE = (
    *("compaction", "database", "documentrows", "documents", "journal", "merging", "rewriting"),
    *("store", "trouble", "union", "writing"),
)

MODULES = tuple(
    f"{folder}/{name}.py"
    for folder, names in (("document", _DOCUMENT), ("protocol", _PROTOCOL), ("store", _STORE))
    for name in names
)

_NEAREST = {
    "document/frozen.py": ("document/test_frozen.py", "document/test_gonefiles.py"),
    "document/fold.py": (
        *("document/test_fold.py", "document/test_aliases.py", "document/test_gonefiles.py"),
    ),
    "document/reader.py": (
        *("document/test_reader.py", "document/test_fold.py", "document/test_head.py"),
        "document/test_aliases.py",
    ),
    "protocol/events.py": ("protocol/test_events.py", "replica/test_progress.py"),
    "protocol/frames.py": ("protocol/test_frames.py", "protocol/test_wire.py"),
    "protocol/greeting.py": ("protocol/test_greeting.py",),
    "protocol/live.py": ("protocol/test_pushing.py",),
    "protocol/rounds.py": (
        *("protocol/test_rounds.py", "protocol/test_session.py", "protocol/test_live.py"),
    ),
    "protocol/seam.py": ("protocol/test_session.py", "protocol/test_live.py"),
    "protocol/session.py": (
        *("protocol/test_session.py", "protocol/test_live.py", "protocol/test_keys.py"),
        *("protocol/test_introductions.py", "protocol/test_chunk_sessions.py"),
    ),
    "store/compaction.py": ("replica/test_compaction.py",),
    "store/documentrows.py": ("store/test_documentrows.py", "store/test_documents.py"),
    "store/documents.py": (
        *("store/test_documents.py", "store/test_writing.py", "store/test_merging.py"),
    ),
    "store/merging.py": (
        *("store/test_merging.py", "store/test_union.py", "store/test_store.py"),
        "store/test_healing.py",
        *("replica/test_conflicts.py", "replica/test_erase_attachment.py"),
    ),
    "store/store.py": ("store/test_store.py", "store/test_database.py"),
    "store/database.py": ("store/test_database.py", "store/test_store.py"),
    "store/trouble.py": ("store/test_database.py",),
    "store/writing.py": (
        *("store/test_writing.py", "store/test_merging.py", "store/test_store.py"),
        "store/test_rewriting.py",
    ),
}
"""Where other tests than those of the same name are about a module too. Under tests/unit."""
_BEYOND = {
    "document": ("tests/docs/test_specification.py",),
    "protocol": ("tests/hostile/test_sessions.py",),
    "store": (
        "tests/unit/replica/test_compaction.py",
        "tests/unit/replica/test_backup.py",
        "tests/unit/replica/test_trash.py",
        "tests/unit/replica/test_verify_erased.py",
    ),
}
"""Tests of a folder that lie elsewhere."""


def files_for(module: str, *, near: bool) -> list[str]:
    """The files of tests for a module, in the order in which they run until one fails; ``near``: its own alone."""
    folder, name = module.split("/")
    unit = ROOT / "tests/unit"
    files = [unit / one for one in _NEAREST.get(module, (f"{folder}/test_{name}",))]
    if not near:
        files += [
            *sorted(unit.glob(f"{folder}/test_*.py")),
            *(ROOT / one for one in _BEYOND[folder]),
        ]
    return list(dict.fromkeys(str(one.relative_to(ROOT)) for one in files))
