"""What a side takes: documents in pieces, beside the form that is here, or of another one. Source: design 7 and 8."""

from __future__ import annotations

from dataclasses import replace

import pytest

import msgsync
from msgsync import Conversation, ProtocolError, Replica, limits
from msgsync.document.admission import TOO_LARGE
from msgsync.document.codec import Block, compose
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts, arrange, base_of, encode_frozen
from msgsync.document.schema import DocumentId
from msgsync.protocol.events import Progress
from msgsync.protocol.frames import (
    VERSION,
    Hello,
    Known,
    Offer,
    Offers,
    Part,
    Push,
    Start,
    Updates,
    Want,
)
from msgsync.protocol.session import Session
from msgsync.protocol.sink import Sink
from msgsync.protocol.source import _pieces
from msgsync.replica.exchange import Exchange
from tests.unit.document import said
from tests.unit.members import enrolled
from tests.unit.parts import freeze, never_frozen, parts_of
from tests.unit.protocol.line import Line

JANUARY = DocumentId("family", "2024-01")
LABEL, OTHER = Label(1, b"\xaa" * 16), Label(1, b"\xbb" * 16)
OFFERS = Offers(
    (Offer(said.MONTH, b"\xcc" * 16, 0, 1, 100), Offer(said.HEAD, b"\xcc" * 16, 0, 1, 100)), True
)
MONTH = encode_frozen(arrange(said.MONTH, [said.message(1), said.message(2)]))


def asking(replica: Replica) -> Sink:
    """A side that has asked for two documents, of which nothing is here."""
    sink = Sink(Exchange(replica))
    sink.meet(hello_of(replica))
    sink.offers(OFFERS, first_round=True)
    want = sink.next()
    assert want == Want(((0, NEVER_FROZEN, b""), (1, NEVER_FROZEN, b"")))
    return sink


def texts(replica: Replica, conversation: str = "c") -> list[str]:
    return [one.text for one in replica.conversation(conversation).messages(limit=500)]


def hello_of(replica: Replica) -> Hello:
    """What another device of the account, with nine documents of nine messages, says first."""
    return Hello(VERSION, bytes(8), enrolled(replica), 0, b"\xcc" * 16, bytes(16), 9, 9)


def test_a_side_is_satisfied_once_all_was_offered_and_all_of_it_came(phone):
    sink = Sink(Exchange(phone))
    seen = [sink.satisfied]
    sink.meet(hello_of(phone))
    sink.offers(OFFERS, first_round=True)
    seen.append(sink.satisfied)  # nothing was asked for yet
    sink.next()
    seen.append(sink.satisfied)  # all of it is on its way
    one = never_frozen(compose([Block(9, 0, [said.message(3)])]))
    sink.updates(Updates(((0, one),)))
    seen.append(sink.satisfied)  # one is still on its way
    sink.updates(Updates(((1, never_frozen(compose([]))),)))
    assert (seen, sink.satisfied) == ([False] * 4, True)


def test_progress_is_told_of_what_was_offered_once_it_is_known(phone):
    sink = Sink(Exchange(phone))
    hello = hello_of(phone)
    sink.meet(hello)
    sink.expect_all(hello, screen=False)
    assert sink.progress(0) == Progress(0, 9, 0, 9, 0)
    for offer, last in zip(OFFERS.offers, (False, True), strict=True):
        sink.offers(Offers((offer,), last), first_round=True)
    assert sink.progress(7) == Progress(0, 2, 0, 2, 7)
    sink.next()
    one = never_frozen(compose([Block(9, 0, [said.message(3)])]))
    sink.updates(Updates(((0, one), (1, never_frozen(compose([]))))))
    assert sink.progress(9) == Progress(2, 2, 1, 1, 9)


def test_nothing_is_offered_after_the_last_offer(phone):
    sink = asking(phone)
    with pytest.raises(ProtocolError, match="after its last offer"):
        sink.offers(OFFERS, first_round=True)


def test_a_few_more_may_be_offered_than_were_said_and_those_again_in_the_next_round(
    phone, monkeypatch
):
    monkeypatch.setattr(limits, "OFFERS_BEYOND", 2)
    sink = Sink(Exchange(phone))
    sink.meet(replace(hello_of(phone), documents=1))
    for offered, most in ((3, 3), (5, 5), (1, 7), (7, 7)):
        sink.begin()
        for number in range(offered):
            sink.offers(page_of(number), first_round=True)
        if offered == most:
            with pytest.raises(ProtocolError, match=f"more than {most} documents"):
                sink.offers(page_of(most), first_round=True)
        sink.end()


def page_of(number: int) -> Offers:
    """A page of one offer, after which others follow."""
    offer = Offer(DocumentId(f"c{number}", "2024-01"), b"\xcc" * 16, 0, 1, 100)
    return Offers((offer,), False)


def test_a_new_device_waits_for_what_was_said_to_be_there(phone, tablet):
    hello = hello_of(phone)
    sink = Sink(Exchange(tablet))
    sink.meet(hello)
    sink.expect_all(hello, screen=False)
    assert tablet.progress.total_messages == hello.messages == 9


def test_a_first_screen_is_due_until_it_has_come_or_a_new_round_begins(phone):
    hello = hello_of(phone)
    screen = never_frozen(compose([Block(9, 0, [said.message(3)])]))
    due = []
    for last in (False, True):
        sink = Sink(Exchange(phone))
        sink.meet(hello)
        sink.expect_all(hello, screen=True)
        due.append(sink.screen_due)
        sink.screen(Push(((said.MONTH, screen),), screen=last))
        due.append(sink.screen_due)
        assert (sink.messages, texts(phone)) == (1 - last, ["text"])
        sink.begin()
        due.append(sink.screen_due)
    assert due == [True, True, False, True, False, False]


def test_a_first_screen_without_end_is_refused(phone, monkeypatch):
    hello = hello_of(phone)
    screen = never_frozen(compose([Block(9, 0, [said.message(3)])]))
    monkeypatch.setattr(limits, "SCREEN_BYTES", 2 * screen.size_bytes)
    sink = Sink(Exchange(phone))
    sink.meet(hello)
    sink.expect_all(hello, screen=True)
    push = Push(((said.MONTH, screen),), screen=False)
    sink.screen(push)
    sink.screen(push)
    with pytest.raises(ProtocolError, match="without end"):
        sink.screen(push)


def test_what_is_pushed_counts_and_what_of_it_is_refused_is_named(phone):
    sink = Sink(Exchange(phone))
    sink.meet(hello_of(phone))
    one = never_frozen(compose([Block(9, 0, [said.message(3)])]))
    bad = Parts(LABEL, b"\x80", ())
    sink.push(Push(((said.MONTH, one), (said.HEAD, bad)), screen=False))
    assert sink.progress(9) == Progress(1, 1, 1, 1, 9)
    [refused] = sink.refused
    assert refused.startswith("c head: ")


@pytest.mark.parametrize("numbers", [(2,), (0, 0), (0, 2)])
def test_a_document_that_was_not_asked_for_is_refused(phone, numbers):
    sink = asking(phone)
    one = never_frozen(compose([]))
    with pytest.raises(ProtocolError, match="not asked for"):
        sink.updates(Updates(tuple((number, one) for number in numbers)))
    with pytest.raises(ProtocolError, match="not asked for"):
        sink.part(Part(2, LABEL, b"x", last=False, final=False))


def test_while_a_document_comes_in_pieces_no_other_one_does_and_it_does_not_come_whole(phone):
    sink = asking(phone)
    sink.part(Part(0, LABEL, b"x", last=False, final=False))
    with pytest.raises(ProtocolError, match="not asked for"):
        sink.part(Part(1, LABEL, b"x", last=False, final=False))
    with pytest.raises(ProtocolError, match="not asked for"):
        sink.updates(Updates(((0, never_frozen(compose([]))),)))


def test_no_more_is_asked_for_than_the_window_holds(phone, monkeypatch):
    monkeypatch.setattr(limits, "WINDOW_BYTES", 1)
    sink = Sink(Exchange(phone))
    sink.meet(hello_of(phone))
    sink.offers(OFFERS, first_round=True)
    nothing = never_frozen(compose([]))
    for number in (0, 1):
        assert sink.next() == Want(((number, NEVER_FROZEN, b""),))
        assert sink.next() is None, "one is on its way"
        sink.updates(Updates(((number, nothing),)))
    assert sink.satisfied


# In pieces.


@pytest.mark.parametrize("size", [1, 7, 100, 10_000])
@pytest.mark.parametrize(
    "parts",
    [
        Parts(Label(3, base_of(MONTH)), MONTH, (compose([Block(9, 0, [said.message(3)])]),)),
        Parts(Label(3, base_of(MONTH)), MONTH, ()),
        never_frozen(compose([Block(9, 0, [said.message(3)])])),
    ],
)
def test_a_document_in_pieces_is_what_it_was(phone, monkeypatch, parts, size):
    sink = asking(phone)
    monkeypatch.setattr(limits, "FRAME_FILL_BYTES", size)
    pieces = _pieces(0, parts)
    assert [sink.part(piece) for piece in pieces] == [False] * (len(pieces) - 1) + [True]
    assert parts_of(phone, said.MONTH) == parts
    assert not sink.refused
    sink.updates(Updates(((1, never_frozen(compose([]))),)))
    assert sink.satisfied
    assert phone.check().problems == ()


def test_pieces_of_two_forms_are_refused(phone):
    sink = asking(phone)
    sink.part(Part(0, LABEL, b"x", last=False, final=False))
    with pytest.raises(ProtocolError, match="two forms"):
        sink.part(Part(0, OTHER, b"x", last=True, final=True))


def test_another_document_may_be_of_another_form(phone):
    sink = asking(phone)
    parts = Parts(Label(1, base_of(MONTH)), MONTH, ())
    for number, document in ((0, parts), (1, never_frozen(compose([])))):
        for piece in _pieces(number, document):
            sink.part(piece)
    assert sink.satisfied
    assert not sink.refused


def test_a_frozen_form_without_a_generation_is_refused(phone):
    sink = asking(phone)
    with pytest.raises(ProtocolError, match="without a generation"):
        sink.part(Part(0, NEVER_FROZEN, MONTH, last=True, final=True))
    assert phone.conversations() == []


@pytest.mark.parametrize("pieces", [[(b"x", False)], [(b"x", True), (b"", False)], [(b"", False)]])
def test_a_document_ends_where_a_part_of_it_ends(phone, pieces):
    sink = asking(phone)
    for piece, last in pieces[:-1]:
        sink.part(Part(0, LABEL, piece, last, final=False))
    piece, last = pieces[-1]
    with pytest.raises(ProtocolError):
        sink.part(Part(0, LABEL, piece, last, final=True))


@pytest.mark.parametrize("most", [len(MONTH) - 1, len(MONTH) // 2])
def test_a_document_of_too_many_bytes_is_refused_alone(phone, monkeypatch, most):
    sink = asking(phone)
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", most)
    parts = Parts(Label(1, base_of(MONTH)), MONTH, ())
    monkeypatch.setattr(limits, "FRAME_FILL_BYTES", 10)
    for piece in _pieces(0, parts):
        assert sum(map(len, sink._pieces)) <= most
        sink.part(piece)
    assert sink._pieces == sink._whole == [], "it has passed by"
    [refused] = sink.refused
    assert "1970-01" in refused
    sink.updates(Updates(((1, never_frozen(compose([]))),)))
    assert sink.satisfied


def test_a_document_of_as_many_bytes_as_are_admitted_is_taken(phone, monkeypatch):
    sink = asking(phone)
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", len(MONTH))
    monkeypatch.setattr(limits, "FRAME_FILL_BYTES", 10)
    for piece in _pieces(0, Parts(Label(1, base_of(MONTH)), MONTH, ())):
        sink.part(piece)
    assert not sink.refused
    assert len(texts(phone)) == 2


def test_each_document_may_have_as_many_pieces_and_bytes_as_are_admitted(phone, monkeypatch):
    sink = asking(phone)
    monkeypatch.setattr(limits, "PIECES", 3)
    monkeypatch.setattr(limits, "DOCUMENT_BYTES", len(MONTH))
    label = Label(1, base_of(MONTH))
    pieces = [MONTH[:5], MONTH[5:10], MONTH[10:]]
    for number in (0, 1):
        for place, piece in enumerate(pieces):
            sink.part(Part(number, label, piece, last=place == 2, final=place == 2))
    assert sink.satisfied
    assert len(texts(phone)) == 2
    assert not any(TOO_LARGE in one for one in sink.refused)


def test_a_document_in_pieces_without_end_is_refused(phone, monkeypatch):
    sink = asking(phone)
    monkeypatch.setattr(limits, "PIECES", 3)
    for _ in range(3):
        sink.part(Part(0, LABEL, b"x", last=False, final=False))
    with pytest.raises(ProtocolError, match="without end"):
        sink.part(Part(0, LABEL, b"x", last=True, final=True))


@pytest.mark.parametrize("content", [b"\x80", MONTH[:-1], MONTH + b"\0", b"\0"])
def test_a_frozen_form_that_is_none_is_refused_alone(phone, content):
    sink = asking(phone)
    sink.updates(Updates(((0, Parts(LABEL, content, ())), (1, never_frozen(compose([]))))))
    assert len(sink.refused) == 1
    assert sink.satisfied
    assert phone.conversations() == []
    assert phone.check().problems == ()


# Beside the form that is here.


@pytest.fixture
def both(phone: Replica, tablet: Replica, family: Conversation) -> tuple[Replica, Replica]:
    """Two devices in step."""
    family.send("first")
    family.send("second")
    assert msgsync.sync(phone, tablet).complete
    return phone, tablet


def in_step(*replicas: Replica) -> bool:
    assert all(replica.check().problems == () for replica in replicas)
    return len({replica.digest for replica in replicas}) == 1


def test_a_want_says_which_form_is_here(both):
    phone, tablet = both
    tablet.conversation("family").send("from the tablet")
    label = freeze(phone, JANUARY).label
    line = Line.between(phone, tablet)
    assert line.carry()
    [want] = line.sent(Want, 0)
    [(_, asked, state)] = want.wanted
    assert (asked, state) == (label, b"\0")
    assert in_step(phone, tablet)


def until_wanted(line: Line, side: int) -> None:
    """Carry frames until one side has asked, and nothing has been sent in answer."""
    while not line.sent(Want, side):
        assert not line.carry(1)
    assert not line.sent(Updates)


@pytest.mark.parametrize("again", [False, True])
def test_a_document_that_was_frozen_after_it_was_asked_for_is_asked_for_anew(both, again):
    """What comes was to be added to a form that is no longer here."""
    phone, tablet = both
    if again:
        freeze(phone, JANUARY)
        freeze(tablet, JANUARY)
    phone.conversation("family").send("third")
    line = Line.between(phone, tablet)
    until_wanted(line, 1)
    tablet.conversation("family").send("meanwhile")
    label = freeze(tablet, JANUARY).label
    assert line.carry()
    assert line.second.complete
    assert line.second.report().refused == ()
    wants = [one for want in line.sent(Want, 1) for one in want.wanted]
    assert [one[1].generation for one in wants] == [again, 1 + again]
    assert wants[-1][1] == label
    assert len(line.sent(Start)) > 2, "another round"
    assert sorted(texts(tablet, "family")) == ["first", "meanwhile", "second", "third"]
    assert texts(phone, "family") == texts(tablet, "family")
    assert in_step(phone, tablet)


def test_a_document_that_was_frozen_before_it_is_read_is_sent_as_a_whole(both):
    """The source froze it after it was asked for a difference: the asker gets the new form, and joins both."""
    phone, tablet = both
    phone.conversation("family").send("third")
    tablet.conversation("family").send("from the tablet")
    line = Line.between(phone, tablet)
    until_wanted(line, 1)
    frozen = freeze(phone, JANUARY)
    assert line.carry()
    assert line.first.complete
    assert parts_of(tablet, JANUARY).label == frozen.label
    assert texts(phone, "family") == texts(tablet, "family")
    assert len(texts(phone, "family")) == 4
    assert in_step(phone, tablet)


def test_two_forms_of_one_generation_meet_and_the_greater_base_is_kept(both):
    phone, tablet = both
    phone.conversation("family").send("on the phone")
    tablet.conversation("family").send("on the tablet")
    labels = freeze(phone, JANUARY).label, freeze(tablet, JANUARY).label
    assert labels[0].generation == labels[1].generation == 1
    assert labels[0] != labels[1]
    assert msgsync.sync(phone, tablet).complete
    assert parts_of(phone, JANUARY).label == parts_of(tablet, JANUARY).label == max(labels)
    assert len(texts(phone, "family")) == 4
    assert texts(phone, "family") == texts(tablet, "family")
    assert in_step(phone, tablet)


# Pushed.


def live(first: Replica, second: Replica) -> Line:
    line = Line(Session(Exchange(first), live=True), Session(Exchange(second), live=True))
    first.on_commit(lambda _seq: line.first.changed())
    second.on_commit(lambda _seq: line.second.changed())
    assert not line.carry()
    assert line.first.idle
    return line


def test_what_is_pushed_beside_the_same_form_is_taken(both):
    phone, tablet = both
    label = freeze(phone, JANUARY).label
    freeze(tablet, JANUARY)
    line = live(phone, tablet)
    count = len(line.frames)
    phone.conversation("family").send("news")
    assert not line.carry()
    [push] = [frame for _, frame in line.frames[count:] if isinstance(frame, Push)]
    assert [type(frame) for _, frame in line.frames[count:]] == [Push, Known, Known]
    [(document, parts)] = push.documents
    assert (document, parts.label, parts.frozen) == (JANUARY, label, b"")
    assert texts(tablet, "family")[-1] == "news"
    assert in_step(phone, tablet)


@pytest.mark.parametrize("freezes", ["writer", "reader"])
def test_what_is_pushed_beside_another_form_is_a_gap(both, freezes):
    """Its clocks mean nothing here: the document is asked for in a round."""
    phone, tablet = both
    freeze(phone if freezes == "writer" else tablet, JANUARY)
    line = live(phone, tablet)
    count = len(line.frames)
    phone.conversation("family").send("news")
    assert not line.carry()
    kinds = [(side, type(frame)) for side, frame in line.frames[count:]]
    assert kinds[0] == (0, Push)
    assert (1, Start) in kinds
    assert texts(tablet, "family")[-1] == "news"
    assert parts_of(phone, JANUARY).label.generation == (freezes == "writer")
    assert line.first.idle
    assert line.second.idle
    assert in_step(phone, tablet)


def test_a_gap_is_said_and_nothing_is_taken(both):
    phone, _ = both
    update = compose([Block(9, 0, [said.message(1)])])
    before = phone.digest
    for label in (LABEL, OTHER):
        taken = Exchange(phone).take(bytes(8), [(JANUARY, Parts(label, b"", (update,)))])
        assert (taken.documents, taken.gaps, taken.refused) == (0, True, ())
    assert phone.digest == before


def test_freezing_while_connected_sends_nothing_until_something_is_written(both):
    phone, tablet = both
    line = live(phone, tablet)
    count = len(line.frames)
    freeze(phone, JANUARY)
    assert not line.carry()
    assert not [frame for _, frame in line.frames[count:] if isinstance(frame, Push | Updates)]
    assert line.first.idle
    tablet.conversation("family").send("news")
    assert not line.carry()
    assert texts(phone, "family") == texts(tablet, "family")
    assert in_step(phone, tablet)
