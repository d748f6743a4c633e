"""Changing bytes: what hypothesis draws to damage an honest input."""

from __future__ import annotations

from hypothesis import strategies as st

Change = tuple[str, int, int]

changes = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "delete", "flip", "copy", "cut", "grow"]),
        st.integers(0, 10**6),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)


def mutated(raw: bytes, found: list[Change]) -> bytes:
    """Apply the changes, each at a place that its number chooses."""
    out = bytearray(raw)
    for what, number, byte in found:
        at = number % (len(out) + 1)
        if what == "insert":
            out.insert(at, byte)
        elif what == "cut":
            del out[at : at + byte % 40]
        elif what == "copy":
            out[at:at] = out[at : at + byte % 90]
        elif what == "grow":  # a length or a clock that becomes a huge one
            out[at : at + 1] = b"\xff" * (byte % 9) + b"\x7f"
        elif at < len(out):
            if what == "delete":
                del out[at]
            else:
                out[at] = byte if what == "set" else out[at] ^ 1 << byte % 8
    return bytes(out)
