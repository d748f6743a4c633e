"""Whatever the bytes of a recording are, its duration is one that can be, or none, and few of them are read."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from msgsync import limits
from msgsync.attachment.recording import duration_of

BEGINNINGS = {
    "audio/wav": b"RIFF\0\0\0\0WAVE",
    "audio/flac": b"fLaC\0\0\0\x22",
    "audio/ogg": b"OggS\0\2" + bytes(20) + b"\1\x13",
    "video/mp4": b"\0\0\0\x08ftyp",
}
words = st.sampled_from(
    [b"fmt ", b"data", b"moov", b"mvhd", b"OggS\0", b"OpusHead", b"\1vorbis", b"\0\0\0\0", b"\0\0\0\1"]
)  # fmt: skip
numbers = st.builds(
    int.to_bytes,
    st.integers(0, 2**32 - 1) | st.integers(0, 64),
    st.just(4),
    st.sampled_from(["big", "little"]),
)
bodies = st.lists(words | numbers | st.binary(max_size=40), max_size=40).map(b"".join)


@given(st.sampled_from(sorted(BEGINNINGS)), st.booleans(), bodies)
@example("video/mp4", True, b"\0\0\0\1moov" + b"\xff" * 8)
def test_any_bytes_have_a_duration_that_can_be_or_none(media_type, is_begun, body):
    file: bytes = BEGINNINGS[media_type] * is_begun + body
    read: list[int] = []

    def piece(at: int, count: int) -> bytes:
        assert 0 <= at < at + count <= len(file)
        read.append(count)
        return file[at : at + count]

    ms = duration_of(media_type, len(file), piece)
    assert ms is None or 0 < ms <= limits.RECORDING_MS
    assert len(read) <= 600
    assert max(read, default=0) <= 65_536
