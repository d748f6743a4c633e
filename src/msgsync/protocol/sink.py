"""What one side takes in a session: offers it wants, documents on their way, what was pushed. Source: design 7."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from msgsync import limits
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts
from msgsync.errors import ProtocolError
from msgsync.protocol.events import Progress
from msgsync.protocol.frames import Hello, Offer, Offers, Part, Push, Updates, Want
from msgsync.protocol.seam import Peerable, Refused, Taken
from msgsync.protocol.source import ROOM_BYTES


class Sink:
    """Chooses among a peer's offers, asks for what fits the window, and merges what comes."""

    def __init__(self, replica: Peerable) -> None:
        """Nothing is taken before `meet`."""
        self._replica = replica
        self._device = b""
        self._offers_due = 0
        self._screen_bytes = 0
        self.refused: dict[str, None] = {}
        """Documents that were not taken and why, in words."""
        self.documents = self.messages = 0
        self._total_documents = self._total_messages = 0
        self.begin()

    def meet(self, peer: Hello) -> None:
        """Take from this peer from now on."""
        self._device = peer.device
        self._offers_due = peer.documents + limits.OFFERS_BEYOND

    def expect_all(self, peer: Hello, *, screen: bool) -> None:
        """All that the peer has may come, ``screen``: with a first screen in front."""
        self._total_documents, self._total_messages = peer.documents, peer.messages
        self._replica.expect(peer.messages)
        self.screen_due = screen

    def begin(self) -> None:
        """Begin a new round."""
        self.screen_due = False
        """Whether this side was empty, so that a first screen may come."""
        self._offered = 0
        self._offered_all = False
        self._queue: deque[tuple[int, Offer, int]] = deque()
        self._coming: dict[int, tuple[Offer, int]] = {}
        self._coming_bytes = 0
        self._pieces: list[bytes] = []
        self._whole: list[bytes] = []
        self._pieces_of: int | None = None
        self._pieces_label = NEVER_FROZEN
        self._pieces_bytes = 0
        self._pieces_count = 0

    def end(self) -> None:
        """What was offered in this round may be offered again, and something more."""
        self._offers_due = max(self._offers_due, self._offered + limits.OFFERS_BEYOND)

    @property
    def satisfied(self) -> bool:
        """Whether all has been offered and nothing of it is missing."""
        return self._offered_all and not self._queue and not self._coming

    def progress(self, received_bytes: int) -> Progress:
        """How far this side has come."""
        return Progress(
            self.documents,
            self._total_documents,
            self.messages,
            self._total_messages,
            received_bytes,
        )

    # In. Each raises ProtocolError for what is not due.

    def offers(self, page: Offers, *, first_round: bool) -> None:
        """Choose among a page of offers."""
        if self._offered_all:
            raise ProtocolError("the peer offered more after its last offer")
        if not page.offers and not page.last:
            raise ProtocolError("the peer sent a page of no offers that is not its last")
        if self._offered + len(page.offers) > self._offers_due:
            raise ProtocolError(f"the peer offered more than {self._offers_due} documents")
        if self._offered == 0 and page.offers and first_round:
            self._total_documents, self._total_messages = self.documents, self.messages
        comparisons = self._replica.compare(self._device, page.offers)
        for number, (offer, comparison) in enumerate(
            zip(page.offers, comparisons, strict=True), self._offered
        ):
            if comparison.wanted:
                self._queue.append((number, offer, comparison.messages))
                self._total_documents += 1
                self._total_messages += _missing(offer, comparison.messages)
        self._offered += len(page.offers)
        self._offered_all = page.last

    def screen(self, push: Push) -> None:
        """Take a part of the first screen."""
        size = sum(parts.size_bytes for _, parts in push.documents)
        self._screen_bytes += size
        self.screen_due = not push.screen
        if self._screen_bytes > limits.SCREEN_BYTES:
            raise ProtocolError("the peer sent a first screen without end")
        self._take(push)

    def push(self, push: Push) -> Taken:
        """Take what has just changed at the peer."""
        taken = self._take(push)
        self._total_documents += taken.documents
        self._total_messages += taken.messages
        return taken

    def _take(self, push: Push) -> Taken:
        taken = self._replica.take(self._device, push.documents)
        self._name(taken.refused)
        self.documents += taken.documents
        self.messages += taken.messages
        return taken

    def updates(self, updates: Updates) -> None:
        """Take documents that were asked for."""
        taken: dict[int, Parts] = {}
        for number, document in updates.documents:
            coming = number in self._coming and number != self._pieces_of
            if not coming or number in taken:
                raise ProtocolError("the peer sent a document that was not asked for")
            taken[number] = document
        self._merge(list(taken.items()))

    def part(self, part: Part) -> bool:
        """Take a piece of a document that was asked for; return whether the document is whole with it."""
        if part.number not in self._coming or self._pieces_of not in (None, part.number):
            raise ProtocolError("the peer sent a part of a document that was not asked for")
        if self._pieces_of is None:
            self._pieces_label = part.label
        elif part.label != self._pieces_label:
            raise ProtocolError("the peer sent parts of two forms of a document")
        self._pieces_of = part.number
        self._pieces_bytes += len(part.piece)
        self._pieces_count += 1
        if self._pieces_count > limits.PIECES or not (part.piece or part.last):
            raise ProtocolError("the peer sent a document in pieces without end")
        if part.final and not part.last:
            raise ProtocolError("the peer sent a document that ends within one of its parts")
        too_large = self._pieces_bytes > limits.DOCUMENT_BYTES
        if too_large:  # that document alone is refused, once it has passed by
            self._pieces, self._whole = [], []
        else:
            self._pieces.append(part.piece)
        if part.last:
            self._whole.append(b"".join(self._pieces))
            self._pieces = []
        if not part.final:
            return False
        document = None if too_large else self._collected()
        self._whole = []
        self._pieces_of, self._pieces_bytes, self._pieces_count = None, 0, 0
        self._merge([(part.number, document)])
        return True

    def _collected(self) -> Parts:
        frozen, *updates = self._whole
        if frozen and self._pieces_label == NEVER_FROZEN:
            raise ProtocolError("the peer sent a frozen form without a generation")
        return Parts(self._pieces_label, frozen, tuple(updates))

    def _merge(self, taken: Sequence[tuple[int, Parts | None]]) -> None:
        offers = [(*self._coming.pop(number), document) for number, document in taken]
        done = self._replica.merge(
            self._device, [(offer, document) for offer, _, document in offers]
        )
        self._name(done.refused)
        self.messages += done.messages
        self._total_messages += done.messages
        for offer, ours, _ in offers:
            self._coming_bytes -= _weight(offer)
            self.documents += 1
            self._total_messages -= _missing(offer, ours)

    def _name(self, refused: Sequence[Refused]) -> None:
        for one in refused:
            self.refused[f"{one.document.conversation} {one.document.kind}: {one.reason}"] = None

    # Out.

    def next(self) -> Want | None:
        """What to ask for next; None if nothing is wanted, or enough is on its way."""
        self._prefer(self._replica.wanted())
        wanted: list[tuple[int, Label, bytes]] = []
        filled = 0
        while (
            self._queue
            and self._coming_bytes < limits.WINDOW_BYTES
            and filled < limits.FRAME_FILL_BYTES
        ):
            number, offer, ours = self._queue[0]
            label, state = self._replica.state(offer.document)
            if wanted and filled + len(state) + ROOM_BYTES > limits.FRAME_BYTES:
                break  # a document of many writers has a frame for itself
            self._queue.popleft()
            wanted.append((number, label, state))
            filled += len(state) + 32
            self._coming[number] = offer, ours
            self._coming_bytes += _weight(offer)
        return Want(tuple(wanted)) if wanted else None

    def _prefer(self, conversations: Sequence[str]) -> None:
        """Have documents of these conversations asked for first, once they have been offered."""
        if conversations and len(self._queue) > 1:
            late = [one for one in self._queue if one[1].document.conversation not in conversations]
            if len(late) < len(self._queue):
                early = [
                    one for one in self._queue if one[1].document.conversation in conversations
                ]
                self._queue = deque([*early, *late])


def _missing(offer: Offer, ours: int) -> int:
    """How many messages a document seems to bring; if both sides have what the other lacks, it brings more."""
    return max(offer.messages - ours, 0)


def _weight(offer: Offer) -> int:
    """What an offer counts against the window; the peer's word on the size is not enough to bound the number."""
    return min(max(offer.bytes, 256), limits.DOCUMENT_BYTES)
