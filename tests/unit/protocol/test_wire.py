"""Frames: their bytes, and that nothing else is read."""

from __future__ import annotations

import struct
import sys
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import get_args

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import ProtocolError, limits
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.protocol.frames import (
    VERSION,
    Alive,
    Ask,
    Bye,
    Done,
    Enough,
    Frame,
    Hello,
    Keep,
    Kept,
    Keys,
    Known,
    Offer,
    Offers,
    Part,
    Piece,
    Push,
    Reason,
    Refuse,
    Start,
    Stored,
    Stranger,
    Updates,
    Want,
)
from msgsync.protocol.wire import FrameReader, decode_frame, encode_frame
from msgsync.standing import Standing, Standings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

numbers = st.integers(0, limits.MS)
digests = st.binary(min_size=16, max_size=16)
texts = st.text(st.characters(codec="utf-8"), max_size=20)
pieces = st.binary(max_size=400)
hellos = st.builds(
    Hello,
    st.just(VERSION),
    st.binary(min_size=8, max_size=8),
    st.binary(min_size=8, max_size=8),
    numbers,
    digests,
    digests,
    numbers,
    numbers,
    st.booleans(),
    st.binary(min_size=6, max_size=6),
    st.binary(min_size=6, max_size=6),
)


def known_in_part(root: bytes, time_ms: int, known: Standings, places: set[int]) -> Known:
    same = frozenset(device for place, device in enumerate(known) if place in places)
    return Known(root, time_ms, {one: known[one] for one in known.keys() - same}, same)


commitments = st.binary(min_size=32, max_size=32)
devices = st.binary(min_size=8, max_size=8)
standings = st.lists(devices, max_size=4, unique=True).flatmap(
    lambda known: st.fixed_dictionaries(
        {
            device: st.builds(
                Standing,
                digests,
                numbers,
                numbers,
                st.dictionaries(st.sampled_from(known), st.integers(1, limits.MS)),
            )
            for device in known
        }
    )
)
frozen_labels = st.builds(Label, st.integers(1, limits.GENERATION), digests)
labels = st.just(NEVER_FROZEN) | frozen_labels
updates = st.lists(pieces, max_size=3).map(tuple)
parts = st.builds(Parts, st.just(NEVER_FROZEN), st.just(b""), updates) | st.builds(
    Parts, frozen_labels, pieces, updates
)
offers = st.builds(Offer, st.builds(DocumentId, texts, texts), digests, numbers, numbers, numbers)
frames = st.one_of(
    hellos,
    st.builds(Refuse, st.integers(0, 255), texts),
    st.sampled_from([Start(b""), Start(bytes(range(256)) * 16)]),
    st.builds(Offers, st.lists(offers, max_size=4).map(tuple), st.booleans()),
    st.builds(Want, st.lists(st.tuples(numbers, labels, pieces), max_size=4).map(tuple)),
    st.builds(Updates, st.lists(st.tuples(numbers, parts), max_size=3).map(tuple)),
    st.builds(Part, numbers, labels, pieces, st.booleans(), st.booleans()),
    st.builds(Done, digests, standings, st.booleans()),
    st.builds(Alive, digests, numbers),
    st.builds(Known, digests, numbers, standings),
    st.builds(known_in_part, digests, numbers, standings, st.sets(st.integers(0, 3))),
    st.builds(
        Push,
        st.lists(st.tuples(st.builds(DocumentId, texts, texts), parts), max_size=3).map(tuple),
        st.booleans(),
    ),
    st.builds(Alive, digests),
    st.just(Bye()),
    st.builds(Keys, pieces, st.booleans(), st.booleans()),
    st.builds(Stranger, st.lists(commitments, max_size=3).map(tuple), commitments | st.just(b"")),
    st.builds(Ask, st.lists(digests, min_size=1, max_size=3).map(tuple)),
    st.builds(Piece, digests, st.integers(0, limits.SEALED_CHUNK_BYTES), pieces),
    st.builds(Stored, st.lists(digests, min_size=1, max_size=3).map(tuple)),
    st.just(Enough()),
    st.builds(Keep, st.lists(digests, min_size=1, max_size=3).map(tuple)),
    st.builds(Kept, st.lists(digests, max_size=3).map(tuple)),
)
LABEL = Label(3, b"\x0f" * 16)
HELLO = Hello(VERSION, bytes(8), bytes(8), 0, bytes(16), bytes(16), 0, 0)


STATE = Standing(b"\x0e" * 16, limits.RENEWALS, limits.MS, {b"a" * 8: limits.MS, b"b" * 8: 1})
OF_EACH_KIND: list[Frame] = [
    HELLO,
    Refuse(Reason.MEMBER, "no"),
    Start(bytes(4096)),
    Offers((Offer(DocumentId("c", "head"), bytes(16), limits.MS, 2, 3, LABEL),), last=False),
    Want(((0, NEVER_FROZEN, b""), (1, LABEL, b"state"))),
    Updates(((0, Parts(NEVER_FROZEN, b"", (b"x", b"y"))), (1, Parts(LABEL, b"frozen", ())))),
    Part(2, LABEL, b"piece", last=True, final=False),
    Done(bytes(16), {b"a" * 8: STATE, b"b" * 8: STATE}, asks=True),
    Push(((DocumentId("c", "head"), Parts(LABEL, b"", (b"x",))),), screen=True),
    Alive(bytes(16), limits.MS),
    Bye(),
    Known(bytes(16), 1, {b"b" * 8: STATE}, frozenset({b"a" * 8})),
    Keys(b"piece", last=True, introduces=False),
    Stranger((bytes(32),) * limits.EPOCHS, b"\x01" * 32),
    Ask((bytes(16),) * limits.CHUNKS_PER_FRAME),
    Piece(bytes(16), limits.SEALED_CHUNK_BYTES, b"piece"),
    Stored((bytes(16),)),
    Enough(),
    Keep((bytes(16),)),
    Kept(()),
]


def plain(*values: object) -> bytes:
    return b"\0" + cbor2.dumps(list(values))


@pytest.mark.parametrize("frame", OF_EACH_KIND, ids=lambda frame: type(frame).__name__)
def test_each_kind_of_frame_is_read_as_it_was_written(frame):
    assert decode_frame(encode_frame(frame)[4:]) == frame


def test_there_is_one_of_each_kind():
    assert [frame.TYPE for frame in OF_EACH_KIND] == list(range(len(OF_EACH_KIND)))
    assert {type(frame) for frame in OF_EACH_KIND} == set(get_args(Frame))


@given(frames)
def test_a_frame_is_read_as_it_was_written(frame):
    raw = encode_frame(frame)
    assert struct.unpack(">I", raw[:4])[0] == len(raw) - 4
    assert decode_frame(raw[4:]) == frame


def test_large_frames_are_compressed_and_small_ones_are_not():
    assert encode_frame(Done(bytes(16)))[4] == 0
    large = encode_frame(Part(0, LABEL, bytes(limits.FRAME_FILL_BYTES), True, True))
    assert large[4] == 1
    assert len(large) < 200


def test_two_hundred_bytes_are_worth_compressing():
    for size, form in ((199, 0), (200, 1)):
        words = "x" * (size - 5)  # of type, reason and length
        assert len(cbor2.dumps([1, 1, words])) == size
        assert encode_frame(Refuse(1, words))[4] == form


def test_what_is_sealed_is_not_compressed():
    assert encode_frame(Piece(bytes(16), 1000, bytes(1000)))[4] == 0


@pytest.mark.parametrize("names", [[], [bytes(15)], ["0" * 16], [bytes(16)] * 1001, bytes(16)])
@pytest.mark.parametrize("kind", [Ask.TYPE, Stored.TYPE])
def test_names_of_chunks_are_of_one_size_and_not_too_many(kind, names):
    with pytest.raises(ProtocolError):
        decode_frame(plain(kind, names))


@pytest.mark.parametrize("size", [-1, limits.SEALED_CHUNK_BYTES + 1, True, "1"])
def test_a_chunk_that_is_larger_than_any_is_refused(size):
    with pytest.raises(ProtocolError):
        decode_frame(plain(Piece.TYPE, bytes(16), size, b"x"))


def test_a_hello_fits_a_hundred_bytes():
    full = Hello(
        VERSION, b"\xff" * 8, b"\xff" * 8, limits.MS, b"\xff" * 16, b"\xff" * 16, 10**9, 10**12
    )
    assert len(encode_frame(full)) <= 100


def test_a_hello_of_another_version_is_read_however_it_goes_on():
    for rest in ([], ["more"], [bytes(16)] * 12, [[[[["deep"]]]]], [{"more": 1}]):
        hello = decode_frame(plain(0, VERSION + 1, *rest))
        assert hello == Hello(VERSION + 1, bytes(8), bytes(8), 0, bytes(16), bytes(16), 0, 0)


@pytest.mark.parametrize(
    "raw",
    [
        plain(0, VERSION + 1, [[[[["deeper"]]]]]),
        b"\0\x83\x00\x02\xa2\x61a\x01\x61a\x01",  # a key twice
        plain(0, VERSION + 1, {1: 1}),
    ],
)
def test_a_hello_of_another_version_is_of_what_every_frame_is_of(raw):
    with pytest.raises(ProtocolError):
        decode_frame(raw)


def test_words_of_a_refusal_are_bounded():
    refusal = decode_frame(encode_frame(Refuse(Reason.PROTOCOL, "x" * 5000))[4:])
    assert isinstance(refusal, Refuse)
    assert len(refusal.words) == 500


DIGEST = bytes(16)
DEVICE = bytes(8)
OFFER = ["c", "head", DIGEST, 0, 0, 0]
HELLO_FIELDS = [bytes(8), bytes(8), 0, DIGEST, DIGEST, 0, 0, False, bytes(6), bytes(6), False]
LABELLED = [1, DIGEST]


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"\0",
        b"\2" + cbor2.dumps([7, DIGEST]),  # neither plain nor compressed
        b"\1" + cbor2.dumps([7, DIGEST]),  # not compressed
        b"\0\xff\xff",
        plain(),
        plain(8),
        plain(-1),
        plain("7", DIGEST),
        plain([7], DIGEST),
        plain(None),
        b"\0" + cbor2.dumps({7: DIGEST}),
        b"\0" + cbor2.dumps(7),
        b"\0" + cbor2.dumps("7777"),
        b"\0" + cbor2.dumps(bytes([10])),  # no array
        plain(10.0),
        plain(True, 1, ""),
        plain(19, None),
        plain(19, ""),
        plain(7, bytes(15)),
        plain(7, "x" * 16),
        plain(7),
        plain(7, DIGEST, 1),
        plain(0),
        plain(0, 1),
        plain(0, "1"),
        plain(0, -1),
        plain(0, 2**48),
        plain(0, None),
        plain(0, 1.0, *HELLO_FIELDS),
        plain(0, True, *HELLO_FIELDS),
        plain(0, 1, bytes(15), bytes(8), 0, DIGEST, DIGEST, 0, 0),
        plain(0, 1, DIGEST, bytes(8), -1, DIGEST, DIGEST, 0, 0),
        plain(0, 1, DIGEST, bytes(8), 2**48, DIGEST, DIGEST, 0, 0),
        plain(0, 1, DIGEST, bytes(8), 0.0, DIGEST, DIGEST, 0, 0),
        plain(0, 1, DIGEST, bytes(8), True, DIGEST, DIGEST, 0, 0),
        plain(1, 256, ""),
        plain(1, 1, b""),
        plain(2, b"x"),
        plain(2, bytes(4095)),
        plain(2, ""),
        plain(2, None),
        plain(3, [OFFER], 1),
        plain(3, [OFFER]),
        plain(3, {}, True),
        plain(3, [OFFER[:5]], True),
        plain(3, [[7, *OFFER[1:]]], True),
        plain(3, [["c", b"head", *OFFER[2:]]], True),
        plain(3, [["c", "head", b"", 0, 0, 0]], True),
        plain(3, [["c", "head", DIGEST, 0, -1, 0]], True),
        plain(3, [OFFER] * (limits.OFFERS_PER_FRAME + 1), True),
        plain(4, [[0]]),
        plain(4, [[0, b""]]),
        plain(4, [[0, 0, b""]]),
        plain(4, [[0, 0, b"", ""]]),
        plain(4, [["0", 0, b"", b""]]),
        plain(4, [[0, 0, b"", b"", b""]]),
        plain(4, [[0, *LABELLED[:1], b"", b""]]),  # a generation without a base
        plain(4, [[0, 0, DIGEST, b""]]),  # a base without a generation
        plain(4, [[0, 1, DIGEST[1:], b""]]),
        plain(4, [[0, limits.GENERATION + 1, DIGEST, b""]]),
        plain(4, [[0, -1, DIGEST, b""]]),
        plain(4, [[0, True, DIGEST, b""]]),
        plain(4, [0]),
        plain(4, 0),
        plain(5, [[0, [b""]]]),
        plain(5, [[0, 0, b"", b"", b""]]),
        plain(5, [[0, 0, b"", b"", [""]]]),
        plain(5, [[-1, 0, b"", b"", [b""]]]),
        plain(5, [[0, 0, b"", b"", [b""], 1]]),
        plain(5, [[0, 0, b"", b"x", [b""]]]),  # a frozen form without a generation
        plain(5, [[0, *LABELLED, "", []]]),
        plain(5, [[0, *LABELLED, None, []]]),
        plain(5, [[0, 2**64, DIGEST, b"", []]]),
        plain(6, 0, 0, b"", b"", True),
        plain(6, 0, b"", True, True),
        plain(6, 0, 0, b"", "", True, True),
        plain(6, 0, 0, b"", b"", 1, True),
        plain(6, 0, 0, b"", b"", True, 1),
        plain(6, 0, 1, b"", b"", True, True),
        plain(6, 0, 0, DIGEST, b"", True, True),
        plain(8, [], 0),
        plain(7, DIGEST),
        plain(7, DIGEST, {}),
        plain(7, DIGEST, [[]]),
        plain(7, DIGEST, [[DEVICE, DIGEST, 0, 0]]),
        plain(7, DIGEST, [[DEVICE, DIGEST, 0, 0, 1, 1]]),
        plain(7, DIGEST, [[DEVICE, DIGEST, 0, 0, -1]]),
        plain(7, DIGEST, [[DEVICE, DIGEST, 0, 0, True]]),
        plain(7, DIGEST, [[DEVICE, DIGEST, 0, limits.MS + 1, 1]]),
        plain(7, DIGEST, [[DEVICE, DIGEST, 0.0, 0, 1]]),
        plain(7, DIGEST, [[DEVICE, DIGEST[1:], 0, 0, 1]]),
        plain(7, DIGEST, [[DEVICE[1:], DIGEST, 0, 0, 1]]),
        plain(7, DIGEST, [[DEVICE, DIGEST, 0, 0, 1, 1]] * 2),
        plain(7, DIGEST, [[b"b" * 8, DIGEST, 0, 0, 1, 1], [b"a" * 8, DIGEST, 0, 0, 1, 1]]),
        plain(7, DIGEST, [[bytes([n]) * 8, DIGEST, 0, 0, *[1] * 65] for n in range(65)]),
        plain(9, DIGEST),
        plain(11, DIGEST, 0),
        plain(11, DIGEST, -1, []),
        plain(8, [["c", "head", 0, b"", b""]], True),
        plain(8, [["c", b"head", 0, b"", b"", []]], True),
        plain(8, [["c", "head", 0, b"", b"x", []]], True),
        plain(8, [["c", "head", 0, DIGEST, b"", []]], True),
        plain(8, [["c", "head", *LABELLED, b"", b""]], True),
        b"\0\x9f\x07\x50" + DIGEST + b"\xff",  # of unknown length
        b"\0\x82\x07\x5f\x50" + DIGEST + b"\xff",
        b"\0" + b"\x81" * 100_000 + b"\0",  # deep
        b"\0\x9b\x7f\xff\xff\xff\xff\xff\xff\xff",  # long
        b"\0" + bytes(limits.FRAME_BYTES),
    ],
    ids=lambda raw: raw[:12].hex(),
)
def test_another_form_of_a_frame_is_refused(raw):
    with pytest.raises(ProtocolError):
        decode_frame(raw)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "a frame of 0 bytes"),
        (b"\0", "a frame of 1 bytes"),
        (b"\0\x80", "cannot be read"),
        (b"\2" + zstd.compress(plain(10)[1:]), "an unknown form"),
        (b"\0" + cbor2.dumps(b"\x0a"), "^content of a frame is of the wrong type"),
        (plain(None), "^type of a frame is out of range"),
        (plain(10) + b"\0", "bytes behind its end"),
        (plain(10)[:-1] + b"\x18\x0a", "cannot be read"),  # not in its shortest form
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_is_wrong_with_a_whole_frame_is_said(raw, words):
    with pytest.raises(ProtocolError, match=words):
        decode_frame(raw)


def standing(*values: object) -> bytes:
    return plain(7, DIGEST, [[*values, 1]], False)


CHUNK_NAMES: list[tuple[object, str]] = [([DIGEST], "names")]
WORDS: list[tuple[Callable[..., bytes], list[tuple[object, str]]]] = [
    (
        partial(plain, 0),
        [
            (VERSION, "version"),
            (bytes(8), "account"),
            (bytes(8), "device"),
            (0, "time"),
            (DIGEST, "root"),
            (DIGEST, "store id"),
            (0, "documents"),
            (0, "messages"),
            (True, "live"),
            (bytes(6), "digest of what is known"),
            (bytes(6), "digest of keys"),
            (True, "asks"),
        ],
    ),
    (partial(plain, 0), [(VERSION + 1, "version")]),
    (partial(plain, 1), [(255, "reason"), ("", "words")]),
    (partial(plain, 2), [(b"", "bins")]),
    (partial(plain, 3), [([], "offers"), (True, "last")]),
    (
        lambda *values: plain(3, [values], True),
        [
            ("c", "conversation"),
            ("head", "kind"),
            (DIGEST, "digest"),
            (0, "newest"),
            (0, "messages"),
            (0, "bytes"),
            (limits.GENERATION, "generation"),
            (DIGEST, "base"),
        ],
    ),
    (partial(plain, 4), [([], "wanted")]),
    (
        lambda *values: plain(4, [values]),
        [(0, "number"), (1, "generation"), (DIGEST, "base"), (b"", "state vector")],
    ),
    (partial(plain, 5), [([], "documents")]),
    (
        lambda *values: plain(5, [values]),
        [
            (0, "number"),
            (1, "generation"),
            (DIGEST, "base"),
            (b"frozen", "frozen form"),
            ([], "updates"),
        ],
    ),
    (lambda value: plain(5, [[0, 0, b"", b"", [value]]]), [(b"", "update")]),
    (
        partial(plain, 6),
        [
            (0, "number"),
            (0, "generation"),
            (b"", "base"),
            (b"", "piece"),
            (True, "last"),
            (True, "final"),
        ],
    ),
    (partial(plain, 7), [(DIGEST, "root"), ([], "devices"), (True, "asks")]),
    (
        standing,
        [
            (DEVICE, "device"),
            (DIGEST, "store id"),
            (limits.RENEWALS, "renewals"),
            (limits.MS, "time"),
        ],
    ),
    (partial(standing, DEVICE, DIGEST, 0), [(0, "time")]),
    (lambda value: plain(7, DIGEST, [[DEVICE, DIGEST, 0, 0, value]], False), [(1, "commit")]),
    (partial(plain, 8), [([], "documents"), (True, "screen")]),
    (
        lambda *values: plain(8, [values], True),
        [
            ("c", "conversation"),
            ("head", "kind"),
            (0, "generation"),
            (b"", "base"),
            (b"", "frozen form"),
            ([], "updates"),
        ],
    ),
    (partial(plain, 9), [(DIGEST, "root"), (limits.MS, "time")]),
    (partial(plain, 11), [(DIGEST, "root"), (0, "time"), ([], "devices"), ([], "devices")]),
    (lambda value: plain(11, DIGEST, 0, [], [value]), [(DEVICE, "device")]),
    (partial(plain, 12), [(b"", "piece"), (True, "last"), (True, "introduces")]),
    (partial(plain, 13), [([], "epochs"), (b"", "epoch")]),
    (lambda value: plain(13, [value], b""), [(bytes(32), "epoch")]),
    *[(partial(plain, kind), CHUNK_NAMES) for kind in (14, 16, 18, 19)],
    (lambda value: plain(14, [value]), [(DIGEST, "name of a chunk")]),
    (partial(plain, 15), [(DIGEST, "name of a chunk"), (0, "size"), (b"", "piece")]),
]
"""How frames are made of some values, and what each of these is called where it is wrong."""


@pytest.mark.parametrize(("made", "values"), WORDS)
def test_what_is_wrong_in_a_frame_is_said(made, values):
    right = [value for value, _ in values]
    decode_frame(made(*right))
    for place, (_, word) in enumerate(values):
        wrong = [*right[:place], None, *right[place + 1 :]]
        with pytest.raises(ProtocolError, match=rf"^{word} of a frame is o[fu]"):
            decode_frame(made(*wrong))


@pytest.mark.parametrize("name", ["x" * limits.NAME_BYTES, "x" * (limits.NAME_BYTES + 1)])
@pytest.mark.parametrize(
    "made",
    [
        lambda name: plain(3, [[name, *OFFER[1:], 0, b""]], True),
        lambda name: plain(3, [["c", name, *OFFER[2:], 0, b""]], True),
        lambda name: plain(8, [[name, "head", 0, b"", b"", []]], False),
        lambda name: plain(8, [["c", name, 0, b"", b"", []]], False),
    ],
)
def test_names_of_documents_are_bounded(made, name):
    if len(name) <= limits.NAME_BYTES:
        decode_frame(made(name))
    else:
        with pytest.raises(ProtocolError, match="name of a document"):
            decode_frame(made(name))


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (
            plain(7, DIGEST, [[bytes([n]) * 8, DIGEST, 0, 0, *[1] * 65] for n in range(65)], False),
            "more than 64 devices",
        ),
        (
            plain(11, DIGEST, 0, [[DEVICE, DIGEST, 0, 0, 1, 1]], [DEVICE]),
            "a device of which something is said, and that it is the same",
        ),
        (plain(11, DIGEST, 0, [], [DEVICE] * 2), "not in order"),
        (plain(11, DIGEST, 0, [], [b"a" * 8, b"c" * 8, b"b" * 8]), "not in order"),
        (plain(13, [bytes(32)] * (limits.EPOCHS + 1), b""), "more than 256 epochs"),
        (plain(14, []), "no chunks"),
        (plain(19, [DIGEST] * (limits.CHUNKS_PER_FRAME + 1)), "more than 1000"),
        (plain(5, [[0, 0, b"", b"x", []]]), "a frozen form without a generation"),
    ],
    ids=lambda one: one if isinstance(one, str) else "",
)
def test_what_does_not_go_together_is_said(raw, words):
    with pytest.raises(ProtocolError, match=words):
        decode_frame(raw)


def test_as_many_devices_as_there_may_be_are_told_of():
    devices = [bytes([n]) * 8 for n in range(limits.DEVICES)]
    one = Standing(DIGEST, 0, 0, dict.fromkeys(devices, 1))
    frame = Done(DIGEST, dict.fromkeys(devices, one))
    assert decode_frame(encode_frame(frame)[4:]) == frame


@pytest.mark.parametrize(
    "tag",
    [0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100, 256, 258, 260, 1004, 55799, 9],
)
@pytest.mark.parametrize(
    "inner", [b"\x01", b"\x41\x01", b"\x61a", b"\x82\x00\x01", b"\x50" + bytes(16)]
)
def test_no_tag_is_read_wherever_it_stands(tag, inner):
    tagged = cbor2.dumps(cbor2.CBORTag(tag, None))[:-1] + inner
    for raw in (
        b"\0\x82\x07" + tagged,
        b"\0" + tagged,
        b"\0\x82" + tagged + b"\x00",
        b"\0\x83\x01" + tagged + b"\x60",
    ):
        with pytest.raises(ProtocolError):
            decode_frame(raw)


def bomb(size: int) -> bytes:
    return b"\1" + zstd.compress(bytes(size))


def test_a_frame_has_up_to_as_many_offers_as_it_may(monkeypatch):
    offer = Offer(DocumentId("c", "head"), bytes(16), 1, 1, 1)
    found = encode_frame(Offers((offer, offer), last=True))
    monkeypatch.setattr(limits, "OFFERS_PER_FRAME", 2)
    assert decode_frame(found[4:]) == Offers((offer, offer), last=True)
    monkeypatch.setattr(limits, "OFFERS_PER_FRAME", 1)
    with pytest.raises(ProtocolError, match="more than 1 offers"):
        decode_frame(found[4:])


def test_the_shortest_frame_that_a_stream_may_have_is_of_two_bytes():
    assert list(FrameReader().feed(b"\0\0\0\2ab")) == [b"ab"]
    with pytest.raises(ProtocolError, match="a frame of 1 bytes"):
        list(FrameReader().feed(b"\0\0\0\1a"))


def test_a_frame_that_grows_is_refused_before_it_does():
    for raw in (bomb(limits.FRAME_BYTES + 1), bomb(200 * limits.MIB)):
        with pytest.raises(ProtocolError, match="grows"):
            decode_frame(raw)


def test_a_compressed_frame_says_its_size_and_ends_there():
    body = cbor2.dumps([7, DIGEST, [], False])
    compressor = zstd.ZstdCompressor()
    unsized = compressor.compress(body) + compressor.flush()
    for raw in (
        unsized,
        zstd.compress(body) + b"x",
        zstd.compress(body) * 2,
        zstd.compress(body)[:-1],
    ):
        with pytest.raises(ProtocolError):
            decode_frame(b"\1" + raw)
    assert decode_frame(b"\1" + zstd.compress(body)) == Done(DIGEST)


@given(
    frames,
    st.lists(
        st.tuples(st.integers(0, 10**6), st.integers(0, 255), st.booleans()), min_size=1, max_size=4
    ),
)
def test_mutated_frames_are_frames_or_refused(frame, changes):
    raw = bytearray(encode_frame(frame)[4:])
    for place, byte, cut in changes:
        at = place % (len(raw) + 1)
        if cut:
            del raw[at : at + byte % 9]
        elif at < len(raw):
            raw[at] = byte
    with suppress(ProtocolError):
        read = decode_frame(bytes(raw))
        assert decode_frame(encode_frame(read)[4:]) == read


@given(st.binary(max_size=100))
def test_any_bytes_are_a_frame_or_refused(raw):
    with suppress(ProtocolError):
        decode_frame(raw)


# A stream of them.


@given(st.lists(frames, max_size=5), st.lists(st.integers(1, 300), max_size=20))
def test_a_stream_is_cut_into_frames_wherever_it_arrives(found, sizes):
    stream = b"".join(map(encode_frame, found))
    reader = FrameReader()
    read = []
    for size in [*sizes, len(stream)]:
        data, stream = stream[:size], stream[size:]
        read += [decode_frame(raw) for raw in reader.feed(data)]
    assert read == found
    assert reader.empty


def test_half_a_frame_waits():
    reader = FrameReader()
    raw = encode_frame(HELLO)
    assert list(reader.feed(raw[:-1])) == []
    assert not reader.empty
    assert [decode_frame(one) for one in reader.feed(raw[-1:])] == [HELLO]


@pytest.mark.parametrize("size", [0, 1, limits.FRAME_BYTES + 1, 2**31, 2**32 - 1])
def test_a_length_that_no_frame_has_is_refused_before_anything_is_kept(size):
    with pytest.raises(ProtocolError, match="a frame of"):
        list(FrameReader().feed(struct.pack(">I", size)))


@pytest.mark.parametrize("too_many", [0, 1])
def test_a_frame_is_of_up_to_a_mebibyte_before_and_after_compression(too_many):
    rest_bytes = len(plain(12, bytes(2**16), True, True)) - 2**16
    piece = bytes(limits.FRAME_BYTES + too_many + 1 - rest_bytes)
    raw = plain(12, piece[1:], True, True)
    unpacked = plain(12, piece, True, True)[1:]
    packed = b"\1" + zstd.compress(unpacked)
    assert len(raw) == len(unpacked) == limits.FRAME_BYTES + too_many
    stream = struct.pack(">I", len(raw)) + raw
    if not too_many:
        assert decode_frame(raw) == Keys(piece[1:], True, True)
        assert decode_frame(packed) == Keys(piece, True, True)
        assert list(FrameReader().feed(stream)) == [raw]
        return
    for read in (
        partial(decode_frame, raw),
        partial(decode_frame, packed),
        lambda: list(FrameReader().feed(stream)),
    ):
        with pytest.raises(ProtocolError, match=r"a frame (of|that grows)"):
            read()


def test_the_largest_frame_is_read():
    incompressible = b"".join(
        bytes((n * n % 251, n // 251 % 256)) for n in range(limits.FRAME_FILL_BYTES // 2)
    )
    frame = Part(1, LABEL, incompressible, True, False)
    assert decode_frame(encode_frame(frame)[4:]) == frame
