"""What a courier needs of a replica: the seam between it and the store. Source: house rules, design 9."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from msgsync.account.epochs import Keyring
from msgsync.account.head import LogEnd
from msgsync.account.keys import SecretKeys
from msgsync.account.roster import Roster
from msgsync.account.statements import Position, Statement
from msgsync.document.schema import DocumentId
from msgsync.ids import DeviceId
from msgsync.protocol.batch import Documents
from msgsync.protocol.events import Stage
from msgsync.protocol.seam import Taken


class Log(NamedTuple):
    """A log in a mailbox, and how far it was read, or put."""

    device: DeviceId
    first: int
    """From which sequence on its objects were there, and should be there still."""
    position: Position
    since: int
    """From which sequence on all that it brought up to there is here, from it or from a checkpoint."""
    hole: int = 0
    """From which sequence on something before ``since`` may be missing here; 0 if nothing is."""
    covered: int = 0
    """Up to which sequence a checkpoint has replaced it."""


class KeysThere(NamedTuple):
    """What is known of the key objects in a mailbox."""

    said: bytes
    """32 bytes: `keys_digest` of what was last put; nothing if nothing was."""
    own: bytes
    """32 bytes: a hash of the object for this device as last seen."""


class Unfinished(NamedTuple):
    """A batch of which not all objects were there."""

    log: Log
    """As it would be if all that is there had been read."""
    first: int
    """The sequence of its first object."""


class OwnLog(NamedTuple):
    """Where this device puts its next object."""

    incarnation: bytes
    first: int
    after: Position | None
    """Of its last object in this mailbox, whatever its incarnation."""


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A batch that is due."""

    documents: Documents
    """What of each document is not there yet; nothing if it turned out that all of it is."""
    mark: object
    """What the replica remembers once it is put."""
    is_last: bool = True
    """Whether all that was to be put is, then."""


@dataclass(slots=True)
class Checkpoint:
    """A checkpoint that is being made."""

    incarnation: bytes
    first: int
    """The sequence of its first object."""
    after: Position | None
    covers: Mapping[str, LogEnd]
    """How far each log had been read, or put, when it began: all that is in what follows."""
    seq: int
    """The last commit then."""
    adds: bool
    """Whether it may hold what no log has that it covers."""
    newest: list[int]
    """The documents that are shown first and still to be put, by key; the next one last."""
    older: list[int]
    """The other ones."""
    holes: tuple[str, ...] = ()
    """Folders of logs of which something may be missing here: whoever has it is to put it again."""
    before: str = ""
    """The folder of the last checkpoint that was made here or read; nothing if there was none."""
    documents: int = 0
    """How many were put."""
    messages: int = 0
    bytes: int = 0
    """Of the documents that were put."""
    marks: list[object] = field(default_factory=list)
    """What the replica remembers once it is there."""


class Correspondent(Protocol):
    """A replica and one mailbox, as a courier sees them. Every method is one consistent step."""

    @property
    def keys(self) -> SecretKeys:
        """Of this device."""

    def random_bytes(self, count: int) -> bytes:
        """Bytes that nobody can guess."""

    def now_ms(self) -> int:
        """The clock, Unix milliseconds."""

    def account(self) -> tuple[Roster, Keyring]:
        """What is known of the account now."""

    def learn(
        self,
        statements: Iterable[Statement],
        secrets: Iterable[bytes],
        forgotten: Mapping[bytes, bytes],
    ) -> None:
        """Keep what a key object brought: of epochs that others have forgotten, the remnants."""

    def keys_there(self) -> KeysThere:
        """What is known of the key objects in the mailbox."""

    def note_keys(self, keys: KeysThere) -> None:
        """Keep what is known of them now."""

    def logs(self) -> Mapping[str, Log]:
        """The logs that were read there, own ones too, by folder."""

    def last_sequence(self) -> int:
        """Of the last object that this device put there; 0 if it has put none."""

    @property
    def unfinished(self) -> MutableMapping[str, Unfinished]:
        """The logs of which the last batch was not whole when they were read, by folder; kept while it is open."""

    def lost(self, folders: Iterable[str]) -> None:
        """Objects are gone that had been put or read: put all anew, and miss those of these logs no more."""

    def begin(self, stage: Stage, *, messages: int = 0, size: int = 0) -> None:
        """This is read from now on; there are so many messages, in documents of so many bytes, if that is known."""

    def take(self, folder: str, log: Log, documents: Documents, *, force: bool) -> Taken:
        """Take in a batch, and how far its log is read by that, in one transaction.

        If something that a document goes on from is missing here, nothing is taken; but with ``force``, and wherever
        two forms of a document differ, what is there is taken as a set of entries.

        Raises:
            NotAMember: the log's device was revoked meanwhile, and nobody had read so far before; nothing was taken.
        """

    def wanted(self) -> Sequence[str]:
        """Conversations of which somebody waits for older messages."""

    def lacks(self, document: DocumentId) -> bool:
        """Whether nothing of a document is here, or it was let go of and is to come back."""

    def due_back(self, folder: str) -> Sequence[DocumentId]:
        """The months that were let go of and are to come back, and were not looked for in this checkpoint before."""

    def waits_for(self) -> int:
        """How many months that were let go of are to come back, and have not."""

    def to_confirm(self, folder: str) -> Sequence[DocumentId]:
        """The months that could be let go of here if this checkpoint had them, and were not looked for in it before."""

    def sought(self, folder: str, months: Sequence[DocumentId]) -> None:
        """These months were looked for in this checkpoint: the state in which they are to be had is not in it."""

    def take_months(
        self, log: Log, documents: Documents, folder: str, covers: Collection[str]
    ) -> Taken:
        """Take in months that are to come back, from a checkpoint that covers what lies in these folders."""

    def confirm_months(self, folder: str, documents: Documents) -> None:
        """A checkpoint in this folder has these months: note those that it has as they are here."""

    def take_early(self, log: Log, documents: Documents) -> Taken:
        """Take in what of a batch goes on from what is here, before its turn; ``gaps``: not all of it does."""

    def take_screen(self, folder: str, log: Log, documents: Documents) -> Taken:
        """Take in the documents of which nothing is here, and how far the log is read by that, in one transaction."""

    def own_log(self, epoch: bytes) -> OwnLog:
        """Where to put the next object, sealed under this epoch; nobody else gets the same until it is put."""

    def next_batch(self) -> Outgoing | None:
        """What is to be put next; None if all that is here is there."""

    def posted(self, outgoing: Outgoing, folder: str, log: Log | None) -> None:
        """A batch was put as these objects of the own log, or nothing had to be."""

    def floods(self) -> bool:
        """Whether nothing was put yet, and what is here is more than one batch."""

    def saw(self, listed: Mapping[str, Sequence[int]]) -> None:
        """A listing had these objects of logs; what can be read of them was."""

    def checkpoint_due(self, listed: Mapping[str, Sequence[int]]) -> bool:
        """Whether to make one, if logs have these objects; sees also whether what the last one replaced is gone."""

    def begin_checkpoint(self, folders: Collection[str]) -> Checkpoint:
        """Begin one that is to take the place of logs in these folders."""

    def screen(self) -> Documents:
        """Documents with which an empty replica can show the newest messages of the most recent conversations."""

    def checkpoint_batch(self, checkpoint: Checkpoint, keys: list[int]) -> Documents:
        """The next documents of ``newest`` or ``older``, whole; nothing if there are no more."""

    def checkpointed(self, checkpoint: Checkpoint, folder: str, log: Log, objects: int) -> None:
        """It is there, verified, in this many objects of a log of its own."""

    def stopped(self, folders: Collection[str]) -> Collection[str]:
        """These logs, and no others, could not be read on; return those that could not for long."""

    def refused_for_long(self, folders: Collection[str]) -> Collection[str]:
        """Those of these logs, which `stopped` was told of, that could not be read on for so long that they may go."""

    def hear(self, log: Log, tidings: bytes) -> Collection[DeviceId]:
        """Keep what the device of a log says; return this device if it is to put anew what others cannot read."""

    def learn_tidings(self) -> None:
        """Learn what follows from what was said, as all is now that was read."""

    def say(self, *, anyway: bool) -> bytes:
        """What is to be said with what is put next; nothing if others know it, unless ``anyway``."""

    def has_asked(self) -> bool:
        """Whether this was asked before since the replica was opened; from now on it was."""

    def cover(
        self, folder: str, log: Log, covers: Mapping[str, LogEnd], holes: Collection[str] = ()
    ) -> Collection[DeviceId]:
        """All of a checkpoint in this folder was read, so logs count as read as far as it covers them.

        Its device could not read all of the logs in the folders ``holes``: if this one has, it puts anew what it has.
        Return the devices whose logs these are.

        Raises:
            NotAMember: as for `take`.
        """

    def garbage(self) -> Mapping[str, int]:
        """Folders of logs, and up to which sequence their objects are to be removed now."""

    def finished(self, *, complete: bool) -> None:
        """All was read and put, or something was left out."""
