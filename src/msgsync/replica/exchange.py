"""What a session sees of a replica: the store behind the seam `protocol.seam.Peerable`. Source: design 7."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgsync import limits
from msgsync.document.admission import TOO_LARGE
from msgsync.document.codec import NO_UPDATE, decode_state, scan
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
from msgsync.replica.ordering import for_peer
from msgsync.replica.places import Visit
from msgsync.replica.reconciliation import Reconciliation
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
        history.say_if_due(replica)
        self._reconciliation = Reconciliation()
        self._bins: tuple[int, bytes] | None = None
        """The bins of the tree, and the commit by which they were counted: every row is read for them."""
        self._began_anew = False
        """Whether the peer made this replica begin anew: once is enough for one that is honest."""
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
                is_news
                or self._reconciliation.lesser
                or expiry.is_due(store, now_ms)
                or loss.is_due(store)
            ):
                return
        with self._replica.writing() as store:
            self._offer_forms(store)
            store.missing.end_exchange(device)
            loss.settle(store, exchanged=True)
            expiry.run(store, now_ms)
        self._replica.gauge.tell()

    def _offer_forms(self, store: Store) -> None:
        """Have documents offered again of which the peer has a lesser form: with ours it takes differences alone."""
        for document in self._reconciliation.lesser:
            row = store.documents.find(document)
            if row is not None:
                row.changed_seq = 0  # another one is given by this commit
                store.documents.touch(row)
        self._reconciliation.lesser.clear()

    def filled(self, device: bytes) -> None:
        """See `Peerable.filled`."""
        self._is_beginning = False
        if self._reconciliation.elsewhere:
            with self._replica.writing() as store:
                store.missing.note_elsewhere(device, self._reconciliation.elsewhere)
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
        self._reconciliation.trees += 1
        with self._replica.reading() as store:
            if self._bins is None or self._bins[0] != store.seq:
                found = b"".join(number.to_bytes(16, "big") for number in store.bins())
                self._bins = store.seq, found
            return self._bins[1]

    def all_documents(self) -> list[int]:
        """See `Peerable.all_documents`."""
        self.bins()  # looks whether documents are what they were
        return self._in_order("")

    def documents_since(self, seq: int) -> list[int]:
        """See `Peerable.documents_since`."""
        return self._in_order("where d.changed_seq > ?", (seq,))

    def documents_in(self, bins: frozenset[int]) -> list[int]:
        """See `Peerable.documents_in`."""
        return self._in_order("", bins=bins)

    def _in_order(
        self, where: str, parameters: tuple[object, ...] = (), bins: frozenset[int] | None = None
    ) -> list[int]:
        with self._replica.reading() as store:
            return for_peer(store, where, parameters, bins)

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
            return self._reconciliation.compare(store, device, offers)

    def state(self, document: DocumentId) -> tuple[Label, bytes]:
        """See `Peerable.state`."""
        with self._replica.reading() as store:
            return self._reconciliation.state(store, document)

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
        is_back = False
        with self._replica.writing() as store:
            check_on(store)
            self._see_member(device)
            store.missing.begin_filling()
            store.documents.journal.come_from(self)
            store.arrivals.note(store.seq + 1, device)
            for offer, parts in documents:
                asked = self._reconciliation.asked(offer.document)
                try:
                    if parts is None:
                        raise Inadmissible(TOO_LARGE)
                    if asked == parts.label and _was_frozen_since(store, offer.document, asked):
                        continue  # digests differ still: the next round asks anew
                    whole = self._reconciliation.takes_whole(offer.document)
                    arrival = Arrival(store, offer.document)
                    before = _messages(store, offer.document)
                    taken += bool(store.merge(offer.document, parts, whole=whole))
                    is_back |= self._see_what_is_back(store, device, offer)
                    arrival.settle()
                    messages += max(_messages(store, offer.document) - before, 0)
                    of_account = offer.document == devices.ACCOUNT_DOCUMENT
                    if of_account and self._is_beginning and self._is_back(store):
                        devices.return_from_retirement(store)
                    everything = asked is None or asked != parts.label
                    all_from = device if everything else b""
                    self._reconciliation.note(store, offer, parts.label, all_from)
                    store.readmodel.messages.flush_long()
                except Inadmissible as error:
                    refused.append(Refused(offer.document, str(error)))
                    self._reconciliation.refuse(offer)
                    store.missing.refuse(device, offer.document, offer.digest, str(error))
            size = sum(parts.size_bytes for _, parts in documents if parts is not None)
            self._replica.gauge.begin(Stage.HISTORY)
            self._replica.gauge.note(store, messages, size, (one.document for one, _ in documents))
        if is_back:
            history.tell_of_return(self._replica)
        self._replica.gauge.tell()
        return Taken(taken, messages, tuple(refused), gaps=False)

    def _see_what_is_back(self, store: Store, device: bytes, offer: Offer) -> bool:
        store.missing.came(offer.document)
        row = store.documents.find(offer.document)
        if row is None or row.lacks is None:
            return False
        is_back = row.is_whole_again or history.restores(store, row, device, offer.digest)
        if is_back:
            come_back(store, row, self._replica.system.now_ms())
        return is_back

    def _see_member(self, device: bytes) -> None:
        """See that a peer is still in the account, while no other thread can revoke it.

        Raises:
            NotAMember: it is not.
        """
        if relation_in(self._replica.membership.roster(), DeviceId(device)) is not Relation.MEMBER:
            raise NotAMember(
                f"device {DeviceId(device)} is not in the account; nothing is taken from it"
            )

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
                if update != NO_UPDATE:
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
