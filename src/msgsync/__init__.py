"""Local-first message sync: each device keeps its own replica, any two merge, and both show the same.

import msgsync

phone = msgsync.open("phone.db", author="alice")
family = phone.create_conversation("Family")
family.send("Dinner at eight?")
tablet = phone.new_device("tablet.db")
msgsync.sync(phone, tablet)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgsync.blocking import doctor, join, progress, recover, repair, restore, serve, sync
from msgsync.blocking import open_replica as open
from msgsync.errors import (
    AccountError,
    AccountMismatch,
    AttachmentDamaged,
    AttachmentElsewhere,
    AttachmentGone,
    AttachmentPaused,
    ConnectionLost,
    ConversationExists,
    DeviceRevoked,
    EncryptionMissing,
    ErasedMessage,
    FileExists,
    FutureTimestamp,
    Inadmissible,
    InvalidValue,
    InvitationOver,
    JoiningDenied,
    LogForked,
    MailboxBusy,
    MailboxClockWrong,
    MailboxDamaged,
    MailboxError,
    MailboxForbidden,
    MailboxFull,
    MailboxReadOnly,
    MailboxUnreachable,
    MsgSyncError,
    NoNetwork,
    NoSuchObject,
    NotAMember,
    NotAReplica,
    NotCaughtUp,
    NotThereYet,
    ObjectDamaged,
    ObjectMissing,
    ObjectRefused,
    ObjectReplayed,
    OnlyCopy,
    PassphraseNeeded,
    PeerError,
    ProtocolError,
    ReadOnly,
    RecoveryUnconfirmed,
    ReplicaClosed,
    ReplicaDamaged,
    ReplicaLocked,
    RotationDue,
    SchemaTooNew,
    SchemaTooOld,
    StaleCursor,
    StalePreview,
    StatementRefused,
    StorageError,
    StorageFull,
    SyncOff,
    UnknownConversation,
    UnknownDevice,
    UnknownEpoch,
    UnknownMessage,
    UnknownRoster,
    UsageError,
    VersionMismatch,
    WrongCode,
    WrongPassphrase,
    WrongPhrase,
)
from msgsync.ids import AccountId, DeviceId, MessageId
from msgsync.replica.account import AccountStatus, Revocation
from msgsync.replica.attachment import Attachment, AttachmentState
from msgsync.replica.backup import BackupProgress, BackupReport
from msgsync.replica.compaction import CompactionProgress, CompactionReport
from msgsync.replica.conversation import Conversation
from msgsync.replica.deletion import DeletionProgress
from msgsync.replica.devices import DeviceSummary
from msgsync.replica.erasure import ErasureReport, MailboxErasure
from msgsync.replica.found import Hit, SearchCursor, SearchPage, Snippet
from msgsync.replica.intake import Attach
from msgsync.replica.leaving import Departure
from msgsync.replica.loss import Lost
from msgsync.replica.progress import FillProgress
from msgsync.replica.reasons import PlaceState, Reason
from msgsync.replica.removal import Removal
from msgsync.replica.repair import RepairReport
from msgsync.replica.replica import Replica
from msgsync.replica.space import Space
from msgsync.replica.system import System
from msgsync.replica.trash import DeletedMessage, DeletionPreview
from msgsync.replica.values import (
    Change,
    ChangePage,
    CheckReport,
    ConversationSummary,
    Cursor,
    Edit,
    Incoming,
    IngestReport,
    Message,
    Page,
    PlaceStatus,
    Reaction,
    Status,
    Waiting,
)
from msgsync.replica.whereabouts import Whereabouts

if TYPE_CHECKING:
    from msgsync import aio, keyring
    from msgsync.account.handshake import WrongGuess
    from msgsync.background import Inviter, Server, Watcher
    from msgsync.importers.jsonlines import (
        BadLine,
        ExportProgress,
        ExportReport,
        ImportProgress,
        ImportReport,
        export_jsonlines,
        import_jsonlines,
    )
    from msgsync.mailbox.address import open_mailbox
    from msgsync.mailbox.mailbox import Mailbox
    from msgsync.mailbox.memory import MemoryMailbox
    from msgsync.pairing import Invited, JoinRequest
    from msgsync.protocol.events import (
        AttachmentProgress,
        AttachmentPutProgress,
        Completed,
        Connected,
        Disconnected,
        Event,
        FirstScreen,
        MailboxLoss,
        Progress,
        Stopped,
        SyncReport,
    )
    from msgsync.replica.health import Diagnosis, Finding, Verdict

_LATER: dict[str, tuple[str, str | None]] = {
    "aio": ("msgsync.aio", None),
    "keyring": ("msgsync.keyring", None),
    "Invited": ("msgsync.pairing", "Invited"),
    "JoinRequest": ("msgsync.pairing", "JoinRequest"),
    "WrongGuess": ("msgsync.account.handshake", "WrongGuess"),
    "Server": ("msgsync.background", "Server"),
    "Inviter": ("msgsync.background", "Inviter"),
    "Watcher": ("msgsync.background", "Watcher"),
    "Mailbox": ("msgsync.mailbox.mailbox", "Mailbox"),
    "Diagnosis": ("msgsync.replica.health", "Diagnosis"),
    "Finding": ("msgsync.replica.health", "Finding"),
    "Verdict": ("msgsync.replica.health", "Verdict"),
    "MemoryMailbox": ("msgsync.mailbox.memory", "MemoryMailbox"),
    "open_mailbox": ("msgsync.mailbox.address", "open_mailbox"),
    **{
        name: ("msgsync.protocol.events", name)
        for name in (
            "AttachmentProgress",
            "AttachmentPutProgress",
            "Completed",
            "Connected",
            "Disconnected",
            "Event",
            "FirstScreen",
            "MailboxLoss",
            "Progress",
            "Stopped",
            "SyncReport",
        )
    },
    **{
        name: ("msgsync.importers.jsonlines", name)
        for name in (
            "BadLine",
            "ExportProgress",
            "ExportReport",
            "ImportProgress",
            "ImportReport",
            "export_jsonlines",
            "import_jsonlines",
        )
    },
}

__all__ = [
    "AccountError",
    "AccountId",
    "AccountMismatch",
    "AccountStatus",
    "Attach",
    "Attachment",
    "AttachmentDamaged",
    "AttachmentElsewhere",
    "AttachmentGone",
    "AttachmentPaused",
    "AttachmentProgress",
    "AttachmentPutProgress",
    "AttachmentState",
    "BackupProgress",
    "BackupReport",
    "BadLine",
    "Change",
    "ChangePage",
    "CheckReport",
    "CompactionProgress",
    "CompactionReport",
    "Completed",
    "Connected",
    "ConnectionLost",
    "Conversation",
    "ConversationExists",
    "ConversationSummary",
    "Cursor",
    "DeletedMessage",
    "DeletionPreview",
    "DeletionProgress",
    "Departure",
    "DeviceId",
    "DeviceRevoked",
    "DeviceSummary",
    "Diagnosis",
    "Disconnected",
    "Edit",
    "EncryptionMissing",
    "ErasedMessage",
    "ErasureReport",
    "Event",
    "ExportProgress",
    "ExportReport",
    "FileExists",
    "FillProgress",
    "Finding",
    "FirstScreen",
    "FutureTimestamp",
    "Hit",
    "ImportProgress",
    "ImportReport",
    "Inadmissible",
    "Incoming",
    "IngestReport",
    "InvalidValue",
    "InvitationOver",
    "Invited",
    "Inviter",
    "JoinRequest",
    "JoiningDenied",
    "LogForked",
    "Lost",
    "Mailbox",
    "MailboxBusy",
    "MailboxClockWrong",
    "MailboxDamaged",
    "MailboxErasure",
    "MailboxError",
    "MailboxForbidden",
    "MailboxFull",
    "MailboxLoss",
    "MailboxReadOnly",
    "MailboxUnreachable",
    "MemoryMailbox",
    "Message",
    "MessageId",
    "MsgSyncError",
    "NoNetwork",
    "NoSuchObject",
    "NotAMember",
    "NotAReplica",
    "NotCaughtUp",
    "NotThereYet",
    "ObjectDamaged",
    "ObjectMissing",
    "ObjectRefused",
    "ObjectReplayed",
    "OnlyCopy",
    "Page",
    "PassphraseNeeded",
    "PeerError",
    "PlaceState",
    "PlaceStatus",
    "Progress",
    "ProtocolError",
    "Reaction",
    "ReadOnly",
    "Reason",
    "RecoveryUnconfirmed",
    "Removal",
    "RepairReport",
    "Replica",
    "ReplicaClosed",
    "ReplicaDamaged",
    "ReplicaLocked",
    "Revocation",
    "RotationDue",
    "SchemaTooNew",
    "SchemaTooOld",
    "SearchCursor",
    "SearchPage",
    "Server",
    "Snippet",
    "Space",
    "StaleCursor",
    "StalePreview",
    "StatementRefused",
    "Status",
    "Stopped",
    "StorageError",
    "StorageFull",
    "SyncOff",
    "SyncReport",
    "System",
    "UnknownConversation",
    "UnknownDevice",
    "UnknownEpoch",
    "UnknownMessage",
    "UnknownRoster",
    "UsageError",
    "Verdict",
    "VersionMismatch",
    "Waiting",
    "Watcher",
    "Whereabouts",
    "WrongCode",
    "WrongGuess",
    "WrongPassphrase",
    "WrongPhrase",
    "aio",
    "doctor",
    "export_jsonlines",
    "import_jsonlines",
    "join",
    "keyring",
    "open",
    "open_mailbox",
    "progress",
    "recover",
    "repair",
    "restore",
    "serve",
    "sync",
]


def __getattr__(name: str) -> Any:
    """Load what most programs do not need (networking, files) when it is asked for: opening stays fast."""
    if name not in _LATER:
        raise AttributeError(f"module 'msgsync' has no attribute {name!r}")
    from importlib import import_module

    module, attribute = _LATER[name]
    return import_module(module) if attribute is None else getattr(import_module(module), attribute)
