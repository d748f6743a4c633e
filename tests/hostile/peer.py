"""A peer that says what it likes: documents by hand, offered and sent over a real session."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from msgsync import Replica
from msgsync.document.codec import Block, compose, decode_state
from msgsync.document.frozen import Parts
from msgsync.document.schema import DocumentId, Entry
from msgsync.protocol.events import SyncReport
from msgsync.protocol.frames import Done, Frame, Hello, Offer, Offers, Updates, Want
from msgsync.protocol.session import Session
from msgsync.protocol.wire import decode_frame, encode_frame
from msgsync.replica.exchange import Exchange
from tests.unit.members import PLAYED, changed, enrolled

LIE = b"\xaa" * 16
PEER = PLAYED.device_id.raw
"""The device that lies: a member of the account."""


def update_of(*entries: Entry | int, client: int = 1, clock: int = 0) -> bytes:
    return compose([Block(client, clock, list(entries))])


def session_of(replica: Replica) -> Session:
    """The victim's side; the device that lies is a member."""
    enrolled(replica)
    return Session(Exchange(replica))


def said(session: Session, limit: int = 10_000) -> list[Frame]:
    """Everything a side has to say now."""
    frames: list[Frame] = []
    while (raw := session.next_frame()) is not None:
        frames.append(decode_frame(raw[4:]))
        assert len(frames) < limit, "a session that does not stop talking"
    return frames


def greeting(session: Session, **changes: object) -> Hello:
    """The hello of a device of the same account that claims to be empty and in another state."""
    [hello] = [frame for frame in said(session) if isinstance(frame, Hello)]
    fields = {"device": PEER, "root": LIE, "store_id": LIE, "documents": 0} | changes
    return changed(hello, session._keys.digest, **fields)


@dataclass
class Liar:
    """Pushes documents into a replica, whatever they are."""

    victim: Replica
    states: dict[DocumentId, dict[int, int]] = field(default_factory=dict)
    """What the victim said it has, when it asked."""
    session: Session = field(init=False)

    def __post_init__(self) -> None:
        self.greet()

    def greet(self) -> None:
        self.session = session_of(self.victim)
        self.session.receive(encode_frame(greeting(self.session))[4:])
        said(self.session)

    def feed(self, *frames: Frame) -> list[Frame]:
        for frame in frames:
            self.session.receive(encode_frame(frame)[4:])
        return said(self.session)

    def push(
        self,
        documents: dict[DocumentId, Callable[[dict[int, int]], Sequence[bytes]]],
    ) -> SyncReport:
        """Offer each document and send what a function of the victim's state vector makes."""
        names = list(documents)
        offers = tuple(
            Offer(name, bytes((n % 255 + 1,)) * 16, 0, 1, 100) for n, name in enumerate(names)
        )
        frames = self.feed(Offers(offers, True))
        for want in [frame for frame in frames if isinstance(frame, Want)]:
            for number, label, raw in want.wanted:
                state = decode_state(raw or b"\0")
                self.states[names[number]] = state
                updates = tuple(documents[names[number]](state))
                self.feed(Updates(((number, Parts(label, b"", updates)),)))
        self.feed(Done(LIE))
        return self.session.report()

    def push_parts(self, document: DocumentId, parts: Parts, digest: bytes = LIE) -> SyncReport:
        """Offer a document and send it in this form, whatever the victim has of it."""
        frames = self.feed(Offers((Offer(document, digest, 0, 1, 100),), True))
        for want in [frame for frame in frames if isinstance(frame, Want)]:
            self.feed(*[Updates(((one[0], parts),)) for one in want.wanted])
        self.feed(Done(LIE))
        return self.session.report()

    def push_one(self, document: DocumentId, *updates: bytes) -> SyncReport:
        return self.push({document: lambda _: updates})
