"""What a power loss leaves: everything that was synced, and of the rest only what was there at some moment."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from msgsync.testing.medium import SECTOR_BYTES, Change, File, Medium, Verb
from msgsync.testing.seed import Seeded

writes = st.builds(
    Change,
    st.just(Verb.WRITE),
    st.just("a"),
    st.integers(0, 3 * SECTOR_BYTES),
    st.binary(min_size=1, max_size=2 * SECTOR_BYTES),
)
truncations = st.builds(
    Change, st.just(Verb.TRUNCATE), st.just("a"), st.integers(0, 5 * SECTOR_BYTES)
)
changes = st.lists(writes | truncations, max_size=6)


def medium_with(content: bytes) -> Medium:
    medium = Medium()
    medium.do(Change(Verb.PUT, "a", data=content))
    return medium


def padded(content: bytes) -> bytes:
    return content + bytes(8 * SECTOR_BYTES - len(content))


@given(first=changes, later=changes, seed=st.integers(0, 999))
def test_what_was_synced_is_there_and_each_sector_is_as_it_was_at_some_moment(first, later, seed):
    medium = medium_with(b"begun")
    for change in first:
        medium.do(change)
    medium.do(Change(Verb.SYNC, "a"))
    moments = [padded(medium.written()["a"])]
    sizes = {len(medium.written()["a"])}
    for change in later:
        medium.do(change)
        moments.append(padded(medium.written()["a"]))
        sizes.add(len(medium.written()["a"]))
    left = medium.left(Seeded(seed))["a"]
    assert len(left) in sizes
    touched = {
        at
        for change in later
        if change.verb is Verb.WRITE
        for at in range(change.offset, change.offset + len(change.data))
    }
    for at, byte in enumerate(left):
        # Garbage may lie where something was being written, and nowhere else.
        assert at in touched or byte in {0, *(moment[at] for moment in moments)}
    if not later:
        assert left == medium.written()["a"]


def test_every_way_a_sector_can_end_is_drawn_in_the_end():
    medium = medium_with(b"a" * 2 * SECTOR_BYTES)
    medium.do(Change(Verb.WRITE, "a", 0, b"b" * 2 * SECTOR_BYTES))
    medium.do(Change(Verb.WRITE, "a", 0, b"c" * 2 * SECTOR_BYTES))
    found = {
        (left[:1], left[SECTOR_BYTES : SECTOR_BYTES + 1])
        for seed in range(300)
        if (left := medium.left(Seeded(seed))["a"])
    }
    kept = {b"a", b"b", b"c"}
    assert {(one, other) for one in kept for other in kept} <= found
    assert any(not {one, other} <= kept for one, other in found), "no garbage"


def test_bytes_beside_what_is_being_written_are_safe():
    medium = medium_with(b"a" * SECTOR_BYTES)
    medium.do(Change(Verb.WRITE, "a", 10, b"b" * 5))
    for seed in range(200):
        left = medium.left(Seeded(seed))["a"]
        assert left[:10] + left[15:] == b"a" * (SECTOR_BYTES - 5)


def test_a_name_is_safe_when_the_folder_was_synced():
    medium = Medium()
    medium.do(Change(Verb.CREATE, "log"))
    medium.do(Change(Verb.WRITE, "log", 0, b"x"))
    medium.do(Change(Verb.SYNC, "log"))
    assert any("log" not in medium.left(Seeded(seed)) for seed in range(50))
    medium.do(Change(Verb.SYNC, "log", syncs_names=True))
    assert all(medium.left(Seeded(seed)) == {"log": b"x"} for seed in range(50))
    medium.do(Change(Verb.DELETE, "log"))
    assert medium.written() == {}
    assert {len(medium.left(Seeded(seed))) for seed in range(50)} == {0, 1}
    medium.do(
        Change(Verb.CREATE, "log")
    )  # another file of that name: the old one may still come back
    assert {medium.left(Seeded(seed)).get("log") for seed in range(50)} == {None, b"", b"x"}


def test_a_change_that_was_only_begun_makes_nothing_safe():
    medium = medium_with(b"a")
    medium.do(Change(Verb.WRITE, "a", 0, b"b"))
    medium.begin(Change(Verb.SYNC, "a"))
    assert {b"a", b"b"} <= {medium.left(Seeded(seed))["a"] for seed in range(50)}
    medium.finish(Change(Verb.SYNC, "a"))
    assert {medium.left(Seeded(seed))["a"] for seed in range(50)} == {b"b"}


def test_what_a_truncation_took_is_all_there_or_all_gone():
    """Half of it would be a log of which the beginning is read again: no file system does that."""
    file = File(bytearray(b"x" * 4096), [(1000, None)])
    assert {file.left(Seeded(seed)) for seed in range(30)} == {b"x" * 4096, b"x" * 1000}
    file.pending += [(990, b"y" * 20), (2000, b"z")]
    for seed in range(30):
        left = file.left(Seeded(seed))
        assert left[:990] == b"x" * 990
        if len(left) == 2001:
            assert not left[1010:2000].strip(b"\0")
