"""What a session sees of a replica: the store behind the seam `protocol.seam.Peerable`. Source: design 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgsync import limits
from msgsync.document.admission import TOO_LARGE
from msgsync.document.codec import compose, decode_state, encode_state, scan
from msgsync.document.digest import bin_of
from msgsync.document.frozen import NEVER_FROZEN, Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.errors import Inadmissible, NotAMember, NotCaughtUp
from msgsync.ids import DeviceId
from msgsync.protocol.chunks import Attachable
from msgsync.protocol.events import Stage
from msgsync.protocol.frames import Offer
from msgsync.protocol.seam import (
    Changes,
    Comparison,
    Facts,
    Keyholder,
    Refused,
    Relation,
    Taken,
)
from msgsync.replica import devices, expiry, forgetting, history, loss, space
from msgsync.replica.chunkholder import ChunkHolder
from msgsync.replica.keyholder import Holder
from msgsync.replica.membership import relation_in
from msgsync.replica.places import Visit
from msgsync.replica.screen import first_screen
from msgsync.replica.switch import check_on
from msgsync.replica.system import draw_client
from msgsync.replica.trash import Arrival
from msgsync.standing import Standings
from msgsync.store.history import come_back
from msgsync.store.merging import check_document
from msgsync.store.rows import DocumentRow
from msgsync.store.store import Store

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


_NOTHING = compose([])


class Exchange:
    """Implements `protocol.seam.Peerable`; takes the replica's lock for each step.

    A replica that is open for reading is a source: it wants nothing and remembers nothing.
    """

    def __init__(self, replica: Replica, visit: Visit | None = None) -> None:
        """Begin.

        Args:
            replica: this side.
            visit: what is noted as the place where it goes on; the device at the other end, if it is not given.

        Raises:
            SyncOff: sync is switched off.
        """
        self._replica = replica
        self._visit = visit
        self.keys: Keyholder = Holder(replica)
        """See `Peerable.keys`."""
        self.attachments: Attachable = ChunkHolder(replica, visit)
        """See `Peerable.attachments`."""
        self._return()
        forgetting.say_if_due(replica)
        self._merged: dict[DocumentId, tuple[bytes, bytes]] = {}
        """The peer's digest and ours, once a document had been merged in this exchange and they still differed."""
        self._stuck: set[DocumentId] = set()
        """Documents whose digests still differ although clocks said that nothing is missing: asked for whole."""
        self._refused: set[tuple[DocumentId, bytes]] = set()
        """Documents that were refused in this exchange, and their digests: they may be better in the next one."""
        self._kept: set[DocumentId] = set()
        """Documents of which the peer has a lesser form than ours: offered to it after this exchange."""
        self._trees = 0
        """How often trees were compared: what one such round leaves different is asked for anew by the next one."""
        self._bins: tuple[int, bytes] | None = None
        """The bins of the tree, and the commit by which they were counted: every row is read for them."""
        self._elsewhere: dict[DocumentId, bytes] = {}
        """Documents of which nothing is here and that the peer has let go of, with their digests."""
        self._began_anew = False
        """Whether the peer made this replica begin anew: once is enough for one that is honest."""
        self._asked: dict[DocumentId, Label] = {}
        """The form of documents, that are on their way, to which the peer was asked to add."""
        self._is_beginning = True
        """Whether both have not compared everything yet: a retirement that is heard of until then is of before."""

    def _return(self) -> None:
        with self._replica.reading() as store:
            check_on(store)
            if store.database.readonly or not self._is_back(store):
                return
        with self._replica.writing() as store:
            devices.return_from_retirement(store)

    def _is_back(self, store: Store) -> bool:
        """Whether this device was thought to be gone, and takes part all the same: not to say that it goes."""
        return not self._replica.leaving and devices.is_retired(store)

    def facts(self) -> Facts:
        """See `Peerable.facts`."""
        with self._replica.reading() as store:
            identity = store.identity
            return Facts(
                identity.account.raw,
                identity.device.raw,
                identity.store_id,
                store.root.to_bytes(16, "big"),
                store.seq,
                self._replica.system.now_ms(),
                store.standings(),
                not store.database.readonly,
            )

    def counts(self) -> tuple[int, int]:
        """See `Peerable.counts`."""
        with self._replica.reading() as store:
            return store.counts()

    def wanted(self) -> Sequence[str]:
        """See `Peerable.wanted`."""
        return self._replica.wants.now()

    def expect(self, messages: int) -> None:
        """See `Peerable.expect`."""
        self._replica.gauge.expect(messages, 0)

    def recall(self, device: bytes, store_id: bytes) -> int | None:
        """See `Peerable.recall`."""
        with self._replica.reading() as store:
            found = store.recall(device)
            return None if found is None or found[0] != store_id else found[1]

    def heard(self, ahead_ms: int) -> None:
        """See `Peerable.heard`."""
        with self._replica.reading() as store:
            if store.database.readonly:
                return
            store.peers.note_time(self._replica.system.now_ms() + ahead_ms)
            if store.peers.clock_skew_ms() == store.peers.worth_saying(ahead_ms):
                return
        with self._replica.writing() as store:
            store.peers.note_clock_skew(ahead_ms)

    def met(self, device: bytes, ours: Standings, theirs: Standings, at_ms: int) -> Standings:
        """See `Peerable.met`."""
        now_ms = self._replica.system.now_ms()
        with self._learning() as store:
            return store.peers.meet(
                store.identity, device, ours, theirs, at_ms, now_ms, suspect=not self._began_anew
            )

    def hear(self, device: bytes, theirs: Standings) -> None:
        """See `Peerable.hear`."""
        now_ms = self._replica.system.now_ms()
        with self._learning() as store:
            suspect = not self._began_anew
            store.peers.hear(store.identity, device, theirs, now_ms, suspect=suspect)

    @contextmanager
    def _learning(self) -> Iterator[Store]:
        with self._replica.watch.learning() as store:
            yield store
            self._began_anew = self._began_anew or store.peers.was_rolled_back

    def complete(self, device: bytes) -> None:
        """See `Peerable.complete`."""
        self._is_beginning = False
        self._settle(device)
        history.upkeep(self._replica)
        space.keep_to_budget(self._replica)
        forgetting.forget(self._replica)
        self._replica.places.succeeded(self._place(device), device)

    def _place(self, device: bytes) -> str:
        return str(DeviceId(device)) if self._visit is None else self._visit.place

    def _settle(self, device: bytes) -> None:
        """Keep what was learned in an exchange that was completed, and do what waited for that."""
        with self._replica.reading() as store:
            if store.database.readonly:
                return
            now_ms = self._replica.system.now_ms()
            is_news = (
                store.missing.filling or store.peers.is_news or store.missing.has_refused(device)
            )
            if not (
                is_news or self._kept or expiry.is_due(store, now_ms) or loss.has_changed(store)
            ):
                return
        with self._replica.writing() as store:
            self._offer_forms(store)
            store.missing.end_exchange(device)
            loss.settle(store)
            expiry.run(store, now_ms)
        self._replica.gauge.tell()

    def _offer_forms(self, store: Store) -> None:
        """Have documents offered again of which the peer has a lesser form: with ours it takes differences alone."""
        for document in self._kept:
            row = store.documents.find(document)
            if row is not None:
                row.changed_seq = 0  # another one is given by this commit
                store.documents.touch(row)
        self._kept.clear()

    def filled(self, device: bytes) -> None:
        """See `Peerable.filled`."""
        self._is_beginning = False
        if self._elsewhere:
            with self._replica.writing() as store:
                store.missing.note_elsewhere(device, self._elsewhere)
        self._end_filling()
        with self._replica.reading() as store:
            reasons = store.missing.reasons(device)
            is_refused = len(reasons) > store.missing.count_elsewhere(device)
        kind = Inadmissible if is_refused else NotCaughtUp
        why = "; ".join(reasons) or "both do not hold the same yet; sync again"
        self._replica.places.incomplete(self._place(device), kind.code, why, device)

    def _end_filling(self) -> None:
        with self._replica.reading() as store:
            if store.database.readonly or not store.missing.filling:
                return
        with self._replica.writing() as store:
            store.missing.end_filling()
        self._replica.gauge.tell()

    def bins(self) -> bytes:
        """See `Peerable.bins`."""
        self._trees += 1
        with self._replica.reading() as store:
            if self._bins is None or self._bins[0] != store.seq:
                found = b"".join(number.to_bytes(16, "big") for number in store.bins())
                self._bins = store.seq, found
            return self._bins[1]

    def all_documents(self) -> list[int]:
        """See `Peerable.all_documents`."""
        self.bins()  # looks whether documents are what they were
        return self._ordered("")

    def documents_since(self, seq: int) -> list[int]:
        """See `Peerable.documents_since`."""
        return self._ordered("where d.changed_seq > ?", (seq,))

    def documents_in(self, bins: frozenset[int]) -> list[int]:
        """See `Peerable.documents_in`."""
        return self._ordered("", bins=bins)

    def _ordered(
        self, where: str, parameters: tuple[object, ...] = (), bins: frozenset[int] | None = None
    ) -> list[int]:
        """Heads with their conversation's newest segment first, by activity; then the other segments, newest first."""
        with self._replica.reading() as store:
            rows = [
                (row.conversation, row.newest_ms, row.key, row.id.is_segment)
                for row in store.documents.select(where, parameters)
                if row.known_digest and (bins is None or bin_of(row.id.conversation) in bins)
            ]
        newest: dict[int, int] = {}
        for conversation, ms, _, _ in rows:
            newest[conversation] = max(newest.get(conversation, -1), ms)

        def place(row: tuple[int, int, int, bool]) -> tuple[bool, int, int, bool]:
            conversation, ms, _, is_segment = row
            first = not is_segment or ms == newest[conversation]
            return (not first, -(newest[conversation] if first else ms), conversation, is_segment)

        return [key for _, _, key, _ in sorted(rows, key=place)]

    def offers(self, keys: Sequence[int]) -> list[Offer]:
        """See `Peerable.offers`."""
        with self._replica.reading() as store:
            marks = ",".join("?" * len(keys))
            rows = {
                row.key: row
                for row in store.documents.select(f"where d.key in ({marks})", tuple(keys))
            }
            for row in rows.values():
                store.documents.check_name(row)  # nothing is given away under a wrong name
            return [_offer(rows[key]) for key in keys]

    def compare(self, device: bytes, offers: Sequence[Offer]) -> list[Comparison]:
        """See `Peerable.compare`."""
        with self._replica.reading() as store:
            comparisons = []
            source_only = store.database.readonly
            refused = store.missing.refused(device)
            for offer in offers:
                row = store.documents.find(offer.document)
                here = bytes(16) if row is None else row.digest.to_bytes(16, "big")
                if row is None and not offer.bytes and not source_only:
                    self._elsewhere[offer.document] = offer.digest
                wanted = (
                    not source_only
                    and offer.bytes > 0  # else the peer does not have it either
                    and refused.get(offer.document) != offer.digest
                    and (offer.document, offer.digest) not in self._refused
                    and (self._lacks(row, device, offer) or self._has_less(row, offer))
                )
                is_whole = row is None or row.lacks is None
                if wanted and is_whole and self._merged.get(offer.document) == (offer.digest, here):
                    self._stuck.add(offer.document)
                comparisons.append(Comparison(wanted, 0 if row is None else row.messages))
            return comparisons

    def _lacks(self, row: DocumentRow | None, device: bytes, offer: Offer) -> bool:
        """Whether a peer has entries that may be missing here."""
        if row is not None and row.lacks is not None:
            return self._brings_back(row, device, offer)
        if row is None or row.digest.to_bytes(16, "big") == offer.digest:
            return row is None
        # What is noted as taken whole is believed once: somebody else may have said that it was all.
        return self._trees > 1 or row.merged != device + offer.digest

    def _brings_back(self, row: DocumentRow, device: bytes, offer: Offer) -> bool:
        """Whether a peer has anything of a month that was let go of here, but for what is known to be elsewhere."""
        if row.known_digest.to_bytes(16, "big") == offer.digest:
            return False
        with self._replica.reading() as store:
            if history.restores(store, row, device, offer.digest):
                return True
        is_new = row.digest.to_bytes(16, "big") != offer.digest
        return is_new and (self._trees > 1 or row.merged != device + offer.digest)

    def _has_less(self, row: DocumentRow | None, offer: Offer) -> bool:
        """Whether a document that has changed lies here in a lesser form. Trees offer what has not, too."""
        if row is None or row.lacks is not None or self._trees:
            return False
        return offer.label > row.label

    def state(self, document: DocumentId) -> tuple[Label, bytes]:
        """See `Peerable.state`."""
        self._asked.pop(document, None)
        if document in self._stuck:
            return NEVER_FROZEN, b""
        with self._replica.reading() as store:
            row = store.documents.find(document)
            if row is None or row.is_new or row.lacks is not None:
                return NEVER_FROZEN, b""
            self._asked[document] = row.label
            return row.label, encode_state(store.documents.state(row))

    def read(self, key: int, label: Label, state: bytes) -> Parts:
        """See `Peerable.read`."""
        with self._replica.reading() as store:
            check_on(store)
            row = store.documents.by_key(key)
            if not state or label != row.label:
                return store.documents.parts(row)
            return Parts(label, b"", (store.documents.update(row, decode_state(state)),))

    def merge(self, device: bytes, documents: Sequence[tuple[Offer, Parts | None]]) -> Taken:
        """See `Peerable.merge`."""
        refused = []
        taken = messages = 0
        with self._replica.writing() as store:
            check_on(store)
            self._see_member(device)
            store.missing.begin_filling()
            store.documents.journal.come_from(self)
            store.arrivals.note(store.seq + 1, device)
            for offer, parts in documents:
                asked = self._asked.pop(offer.document, None)
                try:
                    if parts is None:
                        raise Inadmissible(TOO_LARGE)
                    if asked == parts.label and _was_frozen_since(store, offer.document, asked):
                        continue  # digests differ still: the next round asks anew
                    whole = offer.document in self._stuck
                    self._stuck.discard(offer.document)
                    arrival = Arrival(store, offer.document)
                    before = _messages(store, offer.document)
                    taken += bool(store.merge(offer.document, parts, whole=whole))
                    self._see_what_is_back(store, device, offer)
                    arrival.settle()
                    messages += max(_messages(store, offer.document) - before, 0)
                    of_account = offer.document == devices.ACCOUNT_DOCUMENT
                    if of_account and self._is_beginning and self._is_back(store):
                        devices.return_from_retirement(store)
                    everything = asked is None or asked != parts.label
                    self._note(store, offer, device if everything else b"")
                    self._note_form(store, offer.document, parts.label)
                    store.readmodel.messages.flush_long()
                except Inadmissible as error:
                    refused.append(Refused(offer.document, str(error)))
                    self._refused.add((offer.document, offer.digest))
                    store.missing.refuse(device, offer.document, offer.digest, str(error))
            size = sum(parts.size_bytes for _, parts in documents if parts is not None)
            self._replica.gauge.begin(Stage.HISTORY)
            self._replica.gauge.note(store, messages, size, (one.document for one, _ in documents))
        self._replica.gauge.tell()
        return Taken(taken, messages, tuple(refused), gaps=False)

    def _see_what_is_back(self, store: Store, device: bytes, offer: Offer) -> None:
        store.missing.came(offer.document)
        row = store.documents.find(offer.document)
        if row is None or row.lacks is None:
            return
        if history.restores(store, row, device, offer.digest):
            come_back(store, row, self._replica.system.now_ms())

    def _see_member(self, device: bytes) -> None:
        """See that a peer is still in the account, while no other thread can revoke it.

        Raises:
            NotAMember: it is not.
        """
        if relation_in(self._replica.membership.roster(), DeviceId(device)) is not Relation.MEMBER:
            raise NotAMember(
                f"device {DeviceId(device)} is not in the account; nothing is taken from it"
            )

    def _note_form(self, store: Store, document: DocumentId, theirs: Label) -> None:
        row = store.documents.find(document)
        if row is not None and row.label > theirs:
            self._kept.add(document)

    def _note(self, store: Store, offer: Offer, all_from: bytes) -> None:
        """Note what came of a document, with the device that sent all that it has of it, if it did."""
        row = store.documents.find(offer.document)
        here = bytes(16) if row is None else row.digest.to_bytes(16, "big")
        if here == offer.digest:
            self._merged.pop(offer.document, None)
            return
        self._merged[offer.document] = offer.digest, here
        if all_from and row is not None:
            row.merged = (
                all_from + offer.digest
            )  # not to be sent again, though this exchange may break
            store.documents.touch(row)

    def idle(self) -> None:
        """See `Peerable.idle`."""
        self._replica.tidy()

    def first_screen(self) -> list[tuple[DocumentId, Parts]]:
        """See `Peerable.first_screen`."""
        self.bins()  # looks whether documents are what they were
        with self._replica.reading() as store:
            check_on(store)
            return first_screen(store, draw_client(self._replica.system))

    def changes(self, seq: int) -> Changes | None:
        """See `Peerable.changes`."""
        with self._replica.reading() as store:
            check_on(store)
            starts = store.documents.journal.since(seq, self)
            if starts is None:
                return None
            documents = []
            size = 0
            for document, clocks in starts.items():
                row = store.documents.find(document)
                if row is None:
                    continue
                loaded = store.documents.load(row)
                update = loaded.update({**loaded.state(), **clocks})
                size += len(update) + len(document.conversation)
                if size > limits.FRAME_FILL_BYTES:
                    return None
                if update != _NOTHING:
                    documents.append((document, Parts(row.label, b"", (update,))))
            return Changes(self.facts(), tuple(documents))

    def take(self, device: bytes, documents: Sequence[tuple[DocumentId, Parts]]) -> Taken:
        """See `Peerable.take`."""
        refused = []
        news: list[tuple[DocumentId, Parts]] = []
        gaps = False
        with self._replica.reading() as store:
            if store.database.readonly:  # a source: it wants nothing
                return Taken(0, 0, (), False)
            for document, parts in documents:
                try:
                    is_new, has_gap = _look_at(store, document, parts)
                except Inadmissible as error:
                    refused.append(Refused(document, str(error)))
                    continue
                gaps = gaps or has_gap
                if is_new and not has_gap:
                    news.append((document, parts))
        if not news:
            return Taken(0, 0, tuple(refused), gaps)
        taken = messages = 0
        with self._replica.writing() as store:
            check_on(store)
            self._see_member(device)
            store.missing.begin_filling()
            store.documents.journal.come_from(self)
            store.arrivals.note(store.seq + 1, device)
            for document, parts in news:
                before = _messages(store, document)
                try:
                    arrival = Arrival(store, document)
                    store.merge(document, parts)
                    arrival.settle()
                except Inadmissible as error:
                    refused.append(Refused(document, str(error)))
                    continue
                store.readmodel.messages.flush_long()
                taken += 1
                messages += max(_messages(store, document) - before, 0)
            self._replica.gauge.begin(Stage.NEWEST)
            self._replica.gauge.note(store, messages, 0)
        self._replica.gauge.tell()
        return Taken(taken, messages, tuple(refused), gaps)


def _messages(store: Store, document: DocumentId) -> int:
    row = store.documents.find(document)
    return 0 if row is None else row.messages


def _was_frozen_since(store: Store, document: DocumentId, label: Label) -> bool:
    """Whether a document lies in another form than when it was asked for: what was to be added does not fit it."""
    row = store.documents.find(document)
    return row is not None and row.label != label


def _look_at(store: Store, document: DocumentId, parts: Parts) -> tuple[bool, bool]:
    """Whether what was pushed brings anything, and whether something before it is missing here.

    Raises:
        Inadmissible: it is no document, or no updates.
    """
    check_document(document)
    if parts.frozen:
        return True, False
    row = store.documents.find(document)
    if row is not None and row.lacks is not None:
        return False, True  # all of it is to come
    if parts.label != (NEVER_FROZEN if row is None else row.label):
        return False, True
    known = {} if row is None else dict(store.documents.state(row))
    is_new = False
    for update in parts.updates:
        for block in scan(update):
            here = known.get(block.client, 0)
            if block.clock > here:
                return is_new, True
            if block.end > here:
                is_new = True
                known[block.client] = block.end
    return is_new, False


def _offer(row: DocumentRow) -> Offer:
    lacks = row.lacks
    digest = row.digest.to_bytes(16, "big")
    if lacks is not None and digest == lacks.kept:  # nothing of it is here
        return Offer(row.id, lacks.digest, max(row.newest_ms, 0), 0, 0, NEVER_FROZEN)
    return Offer(row.id, digest, max(row.newest_ms, 0), row.messages, row.bytes, row.label)
