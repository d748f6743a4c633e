"""The names that `import msgsync` promises."""

from __future__ import annotations

import inspect
import subprocess
import sys

import pytest

import msgsync
from msgsync import errors

PUBLIC = [
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


def test_the_public_names_are_these_and_no_others():
    assert sorted(msgsync.__all__) == PUBLIC


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_can_be_had(name):
    assert getattr(msgsync, name) is not None


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="no attribute 'opne'"):
        msgsync.opne  # noqa: B018


def test_every_error_is_public():
    raised = {name for name, one in vars(errors).items() if inspect.isclass(one)}
    assert raised <= set(PUBLIC)


def test_importing_loads_neither_the_network_nor_the_crdt_nor_exchanges():
    late = {"anyio", "asyncio", "cryptography.x509", "pycrdt"}
    late |= {"msgsync.protocol.wire", "msgsync.replica.exchange", "msgsync.replica.mailing"}
    program = f"import sys, msgsync; print(sorted({late} & set(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert shown.stdout.strip() == "[]"
