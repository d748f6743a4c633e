"""The tree of errors: what programs may rely on."""

from __future__ import annotations

import inspect

import pytest

from msgsync import errors
from msgsync.errors import AccountError, MsgSyncError, PeerError, StorageError, UsageError

TREE: list[type[MsgSyncError]] = [
    one for one in vars(errors).values() if inspect.isclass(one) and issubclass(one, MsgSyncError)
]

CODES = {
    "SyncOff": ("sync-off", 2),
    "OnlyCopy": ("only-copy", 2),
    "MailboxClockWrong": ("mailbox-clock-wrong", 3),
    "NoNetwork": ("no-network", 4),
    "NotCaughtUp": ("not-caught-up", 4),
    "AccountError": ("account", 5),
    "AccountMismatch": ("account-mismatch", 5),
    "AttachmentDamaged": ("attachment-damaged", 3),
    "AttachmentElsewhere": ("attachment-elsewhere", 3),
    "AttachmentGone": ("attachment-gone", 2),
    "AttachmentPaused": ("attachment-paused", 3),
    "ConnectionLost": ("connection-lost", 4),
    "ConversationExists": ("conversation-exists", 2),
    "DeviceRevoked": ("device-revoked", 5),
    "EncryptionMissing": ("encryption-missing", 3),
    "ErasedMessage": ("erased-message", 2),
    "FileExists": ("file-exists", 2),
    "FutureTimestamp": ("future-timestamp", 2),
    "Inadmissible": ("inadmissible", 4),
    "InvalidValue": ("invalid-value", 2),
    "InvitationOver": ("invitation-over", 5),
    "JoiningDenied": ("joining-denied", 5),
    "LogForked": ("log-forked", 5),
    "MailboxBusy": ("mailbox-busy", 3),
    "MailboxDamaged": ("mailbox-damaged", 3),
    "MailboxError": ("mailbox", 3),
    "MailboxForbidden": ("mailbox-forbidden", 3),
    "MailboxFull": ("mailbox-full", 3),
    "MailboxReadOnly": ("mailbox-read-only", 3),
    "MailboxUnreachable": ("mailbox-unreachable", 3),
    "MsgSyncError": ("error", 1),
    "NoSuchObject": ("no-such-object", 3),
    "NotAMember": ("not-a-member", 5),
    "NotAReplica": ("not-a-replica", 3),
    "NotThereYet": ("not-there-yet", 4),
    "ObjectDamaged": ("object-damaged", 5),
    "ObjectMissing": ("object-missing", 5),
    "ObjectRefused": ("object-refused", 5),
    "ObjectReplayed": ("object-replayed", 5),
    "PassphraseNeeded": ("passphrase-needed", 5),
    "PeerError": ("peer", 4),
    "ProtocolError": ("protocol", 4),
    "ReadOnly": ("read-only", 2),
    "RecoveryUnconfirmed": ("recovery-unconfirmed", 2),
    "ReplicaClosed": ("replica-closed", 2),
    "ReplicaDamaged": ("replica-damaged", 3),
    "ReplicaLocked": ("replica-locked", 3),
    "RotationDue": ("rotation-due", 5),
    "SchemaTooNew": ("schema-too-new", 3),
    "SchemaTooOld": ("schema-too-old", 3),
    "StaleCursor": ("stale-cursor", 2),
    "StalePreview": ("stale-preview", 2),
    "StatementRefused": ("statement-refused", 5),
    "StorageError": ("storage", 3),
    "StorageFull": ("storage-full", 3),
    "UnknownConversation": ("unknown-conversation", 2),
    "UnknownDevice": ("unknown-device", 2),
    "UnknownEpoch": ("unknown-epoch", 5),
    "UnknownMessage": ("unknown-message", 2),
    "UnknownRoster": ("unknown-roster", 5),
    "UsageError": ("usage", 2),
    "VersionMismatch": ("version-mismatch", 4),
    "WrongCode": ("wrong-code", 5),
    "WrongPassphrase": ("wrong-passphrase", 5),
    "WrongPhrase": ("wrong-phrase", 5),
}


def test_codes_and_exit_codes_stay_as_they_are():
    assert {one.__name__: (one.code, one.exit_code) for one in TREE} == CODES


@pytest.mark.parametrize("error", TREE)
def test_every_error_stands_under_one_who_can_mend_it(error):
    blamed = (UsageError, StorageError, PeerError, AccountError)
    assert error is MsgSyncError or sum(issubclass(error, one) for one in blamed) == 1
