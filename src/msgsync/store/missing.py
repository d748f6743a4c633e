"""What is not here yet: a replica that fills, documents that were refused, and what is to be deleted as it comes.

Source: design 4 (on a device that holds only part) and 7.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from msgsync import limits
from msgsync.document.schema import DocumentId
from msgsync.store.database import Database

ELSEWHERE: Final = (
    "the other device has let go of it; sync with one that keeps all, or through a mailbox"
)


_MONTHS: Final = "history_months"


class Wish(NamedTuple):
    """A conversation that was deleted while not all of it was here."""

    up_to: bytes
    """The greatest id known then."""
    at_ms: int
    head: int
    """Whether its head was here."""


class Filling(NamedTuple):
    """How far a replica is that fills."""

    parts: int
    """Of a million: the greatest that was ever reached."""
    messages: int
    """That came in."""
    total_messages: int
    bytes: int
    """Of documents that came in."""
    total_bytes: int
    """0 if nobody said it."""


class Missing:
    """Rows of ``wishes`` and ``refused``, and whether the replica fills; the caller's transaction surrounds writing."""

    def __init__(self, database: Database) -> None:
        """Nothing is known before `read`."""
        self._database = database
        self.filling = self._was_filling = False
        """Whether this replica was empty and has not completed its first exchange."""
        self._refusals: dict[tuple[bytes, DocumentId], tuple[bytes, int]] = {}
        """By device: which state of a document was refused since this opening, and how often."""
        self._wishes: dict[str, Wish] | None = None
        """What is to be deleted of conversations, by id, once it was read: asked for each document that comes."""

    def read(self) -> None:
        """Find out whether the replica fills."""
        filling = "select 1 from meta where name = 'filling'"
        self.filling = self._database.first(filling) is not None

    def begin(self) -> None:
        """A transaction begins."""
        self._was_filling = self.filling

    def forget(self) -> None:
        """The transaction failed: forget what it may have changed."""
        self.filling = self._was_filling
        self._wishes = None

    def begin_filling(self) -> None:
        """Note that documents of others are about to come, if none is here. Within a transaction."""
        if not self.filling and self._database.first("select 1 from documents") is None:
            self._database.execute("insert into meta values('filling', x'01')")
            self.filling = True

    def end_filling(self) -> None:
        """Note that all is here that the first peer had and that could be taken in. Within a transaction.

        Wishes stay for conversations of which a document was refused.
        """
        if self.filling:
            self._database.execute("delete from meta where name = 'filling'")
            self.filling = False
        self._wishes = None
        self._database.execute(
            "delete from wishes where conversation not in (select conversation from refused) "
            "and conversation not in (select c.id from documents d join conversations c "
            "on c.key = d.conversation where d.lacks != x'')"
        )

    def filling_state(self) -> Filling | None:
        """How far it is, if it fills."""
        found = self._database.first("select value from meta where name = 'filling'")
        if found is None:
            return None
        numbers = [int.from_bytes(found[0][at : at + 8], "big") for at in range(0, 40, 8)]
        return Filling(*numbers) if len(found[0]) == 40 else Filling(0, 0, 0, 0, 0)

    def note_filling(self, state: Filling) -> None:
        """Keep how far it is. Within a transaction."""
        written = b"".join(number.to_bytes(8, "big") for number in state)
        self._database.execute("update meta set value = ? where name = 'filling'", (written,))

    def was_complete(self) -> bool:
        """Whether anything was ever exchanged to its end: another device heard of, or a mailbox read."""
        heard = "select 1 from peers where device <> (select value from meta where name = 'device')"
        read = "select 1 from mailboxes where used_ms > 0"
        return self._database.first(f"{heard} union all {read}") is not None

    def may_gain_of(self, conversation: str) -> bool:
        """Whether part of a conversation may come yet: this replica is filling, or refused a document of it."""
        refused = "select 1 from refused where conversation = ?"
        return self.filling or self._database.first(refused, (conversation,)) is not None

    def lacks_some_of(self, conversation: str) -> bool:
        """Whether not all of a conversation is here: part of it may come yet, or was let go of."""
        return self.may_gain_of(conversation) or bool(self.months_elsewhere(conversation))

    def months_elsewhere(self, conversation: str) -> list[str]:
        """The months of a conversation that were let go of, in order of their names."""
        found: Any = self._database.execute(
            "select kind from documents indexed by documents_lacks where lacks != x'' "
            "and conversation = (select key from conversations where id = ?) order by kind",
            (conversation,),
        )
        return [kind for (kind,) in found]

    def kinds_elsewhere(self, conversation: int | None = None) -> list[str]:
        """The months that were let go of in one conversation, by its key, or in any: the names of their documents."""
        where = "" if conversation is None else " and conversation = ?"
        found: Any = self._database.execute(
            f"select distinct kind from documents where lacks != x''{where}",
            () if conversation is None else (conversation,),
        )
        return [kind for (kind,) in found]

    def count_months_elsewhere(self) -> int:
        """How many months of conversations were let go of."""
        return int(self._database.one("select count(*) from documents where lacks != x''")[0])

    def history_months(self) -> int | None:
        """How many months are kept here besides the present one; None for all."""
        found = self._database.first("select value from meta where name = ?", (_MONTHS,))
        return None if found is None else int(found[0])

    def keep_months(self, months: int | None) -> None:
        """Keep so many; None for all. Within a transaction."""
        self._database.execute("delete from meta where name = ?", (_MONTHS,))
        if months is not None:
            self._database.execute("insert into meta values(?,?)", (_MONTHS, months))

    def wish(self, document: DocumentId) -> Wish | None:
        """What is to be deleted of a document as it arrives: while filling, or if it was refused before."""
        if self._wishes is None:
            found: Any = self._database.execute("select conversation, up_to, at, head from wishes")
            self._wishes = {name: Wish(*wish) for name, *wish in found}
        wish = self._wishes.get(document.conversation)
        if wish is None or self.filling:
            return wish
        refused = "select 1 from refused where conversation = ? and kind = ?"
        if self._database.first(refused, document) is not None:
            return wish
        return wish if document.kind in self.months_elsewhere(document.conversation) else None

    def make_wish(self, conversation: str, wish: Wish) -> None:
        """Have what arrives of a conversation deleted up to an id. Within a transaction."""
        self._wishes = None
        self._database.execute(
            "insert or replace into wishes values(?,?,?,?)", (conversation, *wish)
        )

    def drop_wish(self, conversation: str) -> None:
        """Let what arrives of a conversation live. Within a transaction."""
        self._wishes = None
        self._database.execute("delete from wishes where conversation = ?", (conversation,))

    def end_exchange(self, device: bytes) -> None:
        """Note that an exchange was completed; the commit that notes it changes no document."""
        self._database.execute("delete from refused where device = ?", (device,))
        self.end_filling()

    def remember_as_before(
        self,
        peers: Iterable[tuple[bytes, int, int]],
        wishes: Iterable[tuple[str, bytes, int, int]],
        *,
        filling: bool,
    ) -> None:
        """Take over what another file knew that is not in documents. Within a transaction.

        Args:
            peers: devices, how often each began anew, and when an exchange with them was last complete; what it left
                both knowing is void. Of a device that is named more than once the greatest number counts.
            wishes: conversations that were deleted while not all of them was here.
            filling: whether not all is here that a first exchange would bring.
        """
        self._database.executemany(
            "insert into peers values(?1, zeroblob(16), ?2, ?3) on conflict(device) do update set "
            "renewals = max(renewals, ?2), heard_ms = max(heard_ms, ?3)",
            peers,
        )
        if filling:
            self._database.execute("insert or replace into meta values('filling', x'01')")
            self._database.executemany("insert or replace into wishes values(?,?,?,?)", wishes)
            self.filling = True

    def refused(self, device: bytes) -> dict[DocumentId, bytes]:
        """The documents of a peer that admission refused `limits.REFUSALS` times since this opening, and their digests.

        What was damaged on the way is asked for again before that; what a later version admits, by the next opening.
        """
        found: Any = self._database.execute(
            "select conversation, kind, digest from refused where device = ?", (device,)
        )
        documents = ((DocumentId(*document), digest) for *document, digest in found)
        return {
            one: digest
            for one, digest in documents
            if self._count(device, one, digest) >= limits.REFUSALS
        }

    def _count(self, device: bytes, document: DocumentId, digest: bytes) -> int:
        refused, count = self._refusals.get((device, document), (digest, 0))
        return count if refused == digest else 0

    def note_elsewhere(self, device: bytes, found: Mapping[DocumentId, bytes]) -> None:
        """A peer has let go of documents of which nothing is here. Within a transaction.

        They stay noted with the refused ones until something of them comes.
        """
        self._database.executemany(
            "insert or replace into refused values(?,?,?,?,?)",
            [(device, *document, digest, ELSEWHERE) for document, digest in found.items()],
        )

    def count_elsewhere(self, device: bytes) -> int:
        """How many documents a peer has let go of of which nothing is here."""
        found = "select count(*) from refused where device = ? and reason = ?"
        return int(self._database.one(found, (device, ELSEWHERE))[0])

    def came(self, document: DocumentId) -> None:
        """Something of a document came that somebody had let go of. Within a transaction."""
        # Not at once: whatever is executed waits for all that is written beside what is done here.
        self._database.later(
            "delete from refused where conversation = ? and kind = ? and reason = ?",
            [(*document, ELSEWHERE)],
        )

    def has_refused(self, device: bytes) -> bool:
        """Whether admission refused anything from this peer since the last completed exchange."""
        return self._database.first("select 1 from refused where device = ?", (device,)) is not None

    def reasons(self, device: bytes) -> list[str]:
        """What admission refused from this peer since the last completed exchange, and why, in words."""
        found: Any = self._database.execute(
            "select conversation, kind, reason from refused where device = ? order by 1, 2",
            (device,),
        )
        return [f"{conversation} {kind}: {reason}" for conversation, kind, reason in found]

    def refuse(self, device: bytes, document: DocumentId, digest: bytes, reason: str) -> None:
        """Note a refused document, so that it is not asked for without end. Within a transaction."""
        count = self._count(device, document, digest) + 1
        self._refusals[device, document] = digest, count
        self._database.execute(
            "insert or replace into refused values(?,?,?,?,?)", (device, *document, digest, reason)
        )
