"""What a side gives: all of a document, or what is beyond the asker's clocks beside the same form. Source: design 7."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from msgsync import Conversation, Incoming, ProtocolError, Replica, limits
from msgsync.document.codec import compose, entries_of, scan
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts
from msgsync.document.schema import HEAD, DocumentId
from msgsync.protocol.frames import Frame, Offers, Part, Updates, Want
from msgsync.protocol.source import Source, _pieces, screen_frames
from msgsync.protocol.wire import encode_frame
from msgsync.replica.exchange import Exchange
from tests.unit.machine import START_MS
from tests.unit.parts import freeze, parts_of

JANUARY = DocumentId("family", "2024-01")
FAMILY = DocumentId("family", HEAD)
OTHER = Label(7, b"\xaa" * 16)


def source_of(replica: Replica) -> tuple[Source, dict[DocumentId, int]]:
    """A source that has offered everything; the numbers of its offers."""
    exchange = Exchange(replica)
    source = Source(exchange)
    source.begin(exchange.all_documents())
    page = source.next()
    assert isinstance(page, Offers)
    assert page.last
    return source, {offer.document: number for number, offer in enumerate(page.offers)}


def given_by(source: Source, *wanted: tuple[int, Label, bytes]) -> list[Frame]:
    source.want(Want(wanted))
    frames = []
    while (frame := source.next()) is not None:
        assert len(encode_frame(frame)) <= limits.FRAME_BYTES + 4
        frames.append(frame)
    return frames


def answer(replica: Replica, label: Label, state: bytes) -> Parts:
    """What a source gives to one who asks for January."""
    source, numbers = source_of(replica)
    [frame] = given_by(source, (numbers[JANUARY], label, state))
    assert isinstance(frame, Updates)
    [(number, parts)] = frame.documents
    assert number == numbers[JANUARY]
    return parts


def state_of(replica: Replica) -> tuple[Label, bytes]:
    return Exchange(replica).state(JANUARY)


@pytest.fixture
def talk(phone: Replica, family: Conversation) -> Conversation:
    for number in range(3):
        family.send(f"message {number}")
    return family


@pytest.mark.parametrize("frozen", [False, True])
def test_who_has_nothing_gets_what_is_stored(phone, talk, frozen):
    if frozen:
        freeze(phone, JANUARY)
        talk.send("beside")
    stored = parts_of(phone, JANUARY)
    assert bool(stored.frozen) == frozen
    assert answer(phone, NEVER_FROZEN, b"") == stored
    assert answer(phone, stored.label, b"") == stored


def test_who_has_another_form_gets_what_is_stored_whatever_its_clocks(phone, talk):
    never, clocks = state_of(phone)
    assert never == NEVER_FROZEN
    assert answer(phone, OTHER, clocks) == parts_of(phone, JANUARY)
    freeze(phone, JANUARY)
    assert answer(phone, never, clocks) == parts_of(phone, JANUARY)


def test_who_has_the_same_form_gets_what_is_beyond_its_clocks(phone, talk):
    label = freeze(phone, JANUARY).label
    before = state_of(phone)
    assert before == (label, b"\0")
    talk.send("beside")
    parts = answer(phone, *before)
    assert (parts.label, parts.frozen) == (label, b"")
    [entry] = [one for update in parts.updates for one in entries_of(scan(update))]
    assert b"beside" in entry.value
    assert answer(phone, *state_of(phone)) == Parts(label, b"", (compose([]),))


def test_a_want_may_name_what_was_offered_once(phone, talk):
    source, numbers = source_of(phone)
    for wanted in [(len(numbers), OTHER, b""), (0, OTHER, b"\xff")]:
        with pytest.raises(ProtocolError):
            source.want(Want((wanted,)))
    source, _ = source_of(phone)
    source.want(Want(((0, OTHER, b""),)))
    with pytest.raises(ProtocolError, match="twice"):
        source.want(Want(((0, NEVER_FROZEN, b""),)))


def test_nothing_may_be_wanted_before_anything_was_offered(phone, talk):
    with pytest.raises(ProtocolError, match="not offered"):
        Source(Exchange(phone)).want(Want(((0, OTHER, b""),)))


# In pieces.


def whole(pieces: Sequence[Part]) -> Parts:
    """Put pieces together as the specification says."""
    members = [b""]
    for place, part in enumerate(pieces):
        members[-1] += part.piece
        if part.last and place < len(pieces) - 1:
            members.append(b"")
    assert [part.final for part in pieces] == [False] * (len(pieces) - 1) + [True]
    assert pieces[-1].last
    assert len({(part.number, part.label) for part in pieces}) == 1
    return Parts(pieces[0].label, members[0], tuple(members[1:]))


some_bytes = st.integers(0, 7).map(bytes)


@given(
    st.builds(Parts, st.just(OTHER), some_bytes, st.lists(some_bytes, max_size=4).map(tuple)),
    st.integers(1, 3),
)
def test_any_document_is_cut_into_pieces_that_make_it_again(parts, most):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "FRAME_FILL_BYTES", most)
        pieces = _pieces(4, parts)
    assert whole(pieces) == parts
    assert all(len(part.piece) <= most for part in pieces)
    assert all(part.piece or part.last for part in pieces)


@pytest.mark.parametrize("frozen", [False, True])
def test_a_large_document_goes_in_pieces_its_frozen_form_first(phone, machine, frozen):
    talk = phone.create_conversation(id="family")
    for _ in range(3):
        talk.send(machine.random_bytes(200_000).hex())
    if frozen:
        freeze(phone, JANUARY)
        talk.send("beside")
    stored = parts_of(phone, JANUARY)
    source, numbers = source_of(phone)
    frames = given_by(source, (numbers[JANUARY], NEVER_FROZEN, b""))
    pieces = [frame for frame in frames if isinstance(frame, Part)]
    assert len(pieces) == len(frames) > 3
    assert whole(pieces) == stored
    assert pieces[0].label == stored.label
    assert (pieces[0].piece == b"") == (not frozen)


def test_small_documents_go_together_beside_their_own_labels(phone, talk):
    frozen = freeze(phone, JANUARY)
    source, numbers = source_of(phone)
    wants = [(number, NEVER_FROZEN, b"") for number in numbers.values()]
    [frame] = given_by(source, *wants)
    assert isinstance(frame, Updates)
    labels = {number: parts.label for number, parts in frame.documents}
    assert labels == {numbers[JANUARY]: frozen.label, numbers[FAMILY]: NEVER_FROZEN}


# How much goes in a frame.


def room(parts: Parts) -> int:
    """What a document takes in a frame at most: its bytes, and 64 for itself and for each of its updates."""
    return parts.size_bytes + 64 * (1 + len(parts.updates))


@pytest.fixture
def alike(phone: Replica) -> int:
    """Months of nine conversations, each of which takes as much in a frame; how much."""
    for number in range(9):
        phone.ingest(Incoming(f"c{number}", "ben", "hello", START_MS, external_id="1"))
    [size] = {room(parts_of(phone, DocumentId(f"c{n}", "2024-01"))) for n in range(9)}
    return size


def together(replica: Replica, count: int = 9) -> list[int]:
    """How many documents go in each frame, of so many months that somebody asks for."""
    source, numbers = source_of(replica)
    months = [numbers[document] for document in numbers if document.kind != HEAD]
    frames = given_by(source, *((number, NEVER_FROZEN, b"") for number in months[-count:]))
    return [len(frame.documents) for frame in frames if isinstance(frame, Updates)]


def test_the_first_frames_are_small_and_each_is_twice_as_long_up_to_the_usual_length(
    phone, alike, monkeypatch
):
    monkeypatch.setattr(limits, "FIRST_FILL_BYTES", alike)
    monkeypatch.setattr(limits, "UPDATES_FILL_BYTES", 3 * alike)
    assert together(phone) == [1, 2, 3, 3]
    monkeypatch.setattr(limits, "FIRST_FILL_BYTES", alike + 1)
    assert together(phone) == [2, 3, 3, 1]


def test_a_document_that_would_make_a_frame_too_long_waits_for_the_next_one(
    phone, alike, monkeypatch
):
    for frame_bytes, wanted in ((2 * alike + 64, [2, 1]), (2 * alike + 63, [1, 1, 1])):
        monkeypatch.setattr(limits, "FRAME_BYTES", frame_bytes)
        assert together(phone, 3) == wanted


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_document_up_to_half_a_frame_goes_whole(phone, beyond):
    """Whatever else fits: what is longer goes in pieces."""
    text = "x" * (limits.FRAME_BYTES // 2 - 1000)
    phone.ingest(Incoming("a", "ben", text, START_MS, external_id="1"))
    left = limits.FRAME_BYTES // 2 - room(parts_of(phone, DocumentId("a", "2024-01")))
    assert 0 < left < 1000
    phone.ingest(Incoming("b", "ben", text + "x" * (left + beyond), START_MS, external_id="1"))
    document = DocumentId("b", "2024-01")
    assert room(parts_of(phone, document)) == limits.FRAME_BYTES // 2 + beyond
    source, numbers = source_of(phone)
    frames = given_by(source, (numbers[document], NEVER_FROZEN, b""))
    assert {type(frame) for frame in frames} == {Part if beyond else Updates}
    assert source.documents_sent == 1


@pytest.mark.parametrize(
    ("most", "wanted"),
    [(1, [1, 1, 1]), (69, [1, 1, 1]), (70, [1, 1, 1]), (71, [2, 1]), (140, [2, 1]), (141, [3])],
)
def test_a_first_screen_goes_in_frames_of_the_first_length(monkeypatch, most, wanted):
    monkeypatch.setattr(limits, "FIRST_FILL_BYTES", most)
    documents = [
        (DocumentId(f"c{n}", HEAD), Parts(NEVER_FROZEN, b"", (bytes(6),))) for n in range(3)
    ]
    frames = screen_frames(documents)
    assert [len(push.documents) for push in frames] == wanted
    assert [document for push in frames for document in push.documents] == documents
    assert [push.screen for push in frames] == [False] * (len(frames) - 1) + [True]
    assert screen_frames([]) == []
