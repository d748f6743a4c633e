"""What a file is, by its first bytes."""

from __future__ import annotations

import pytest

from msgsync.attachment.media import HEAD_BYTES, UNKNOWN, media_type_of


@pytest.mark.parametrize(
    ("head", "media_type"),
    [
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "image/png"),
        (b"GIF89a", "image/gif"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav"),
        (b"RIFF\0\0\0\0XXXX\0", UNKNOWN),
        (b"\0\0\0\x18ftypheic", "image/heic"),
        (b"\0\0\0\x18ftypisom", "video/mp4"),
        (b"\0\0\0\x18ftypqt  ", "video/quicktime"),
        (b"\0\0\0\x18ftypM4A ", "audio/mp4"),
        (b"\x1aE\xdf\xa3\x01\0webm", "video/webm"),
        (b"\x1aE\xdf\xa3\x01\0matroska", "video/x-matroska"),
        (b"%PDF-1.7", "application/pdf"),
        (b"PK\3\4", "application/zip"),
        (b"ID3\4", "audio/mpeg"),
        (b"\xff\xfb\x90", "audio/mpeg"),
        (b"\xff", UNKNOWN),
        (b"hello\n", "text/plain"),
        ("grüß dich".encode() * 100, "text/plain"),
        ("é".encode() * 300, "text/plain"),
        (b"caf\xe9", UNKNOWN),
        (b"\0\1\2\3", UNKNOWN),
        (b"", UNKNOWN),
    ],
)
def test_a_file_is_what_its_first_bytes_show(head, media_type):
    assert media_type_of(head[:HEAD_BYTES]) == media_type


def test_a_character_that_is_cut_off_at_the_end_is_no_other_kind():
    head = (b"x" + "é".encode() * 300)[:HEAD_BYTES]
    assert media_type_of(head) == "text/plain"
