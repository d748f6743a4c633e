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
    "AccountError": ("account", 5),
    "AccountMismatch": ("account-mismatch", 5),
    "ConnectionLost": ("connection-lost", 4),
    "ConversationExists": ("conversation-exists", 2),
    "ErasedMessage": ("erased-message", 2),
    "FileExists": ("file-exists", 2),
    "FutureTimestamp": ("future-timestamp", 2),
    "Inadmissible": ("inadmissible", 4),
    "InsecureTransport": ("insecure-transport", 2),
    "InvalidValue": ("invalid-value", 2),
    "MsgSyncError": ("error", 1),
    "NotAReplica": ("not-a-replica", 3),
    "NotThereYet": ("not-there-yet", 4),
    "PeerError": ("peer", 4),
    "ProtocolError": ("protocol", 4),
    "ReadOnly": ("read-only", 2),
    "ReplicaClosed": ("replica-closed", 2),
    "ReplicaDamaged": ("replica-damaged", 3),
    "ReplicaLocked": ("replica-locked", 3),
    "SchemaTooNew": ("schema-too-new", 3),
    "StalePreview": ("stale-preview", 2),
    "StaleCursor": ("stale-cursor", 2),
    "StorageError": ("storage", 3),
    "StorageFull": ("storage-full", 3),
    "UnknownConversation": ("unknown-conversation", 2),
    "UnknownDevice": ("unknown-device", 2),
    "UnknownMessage": ("unknown-message", 2),
    "UsageError": ("usage", 2),
    "VersionMismatch": ("version-mismatch", 4),
}


def test_codes_and_exit_codes_stay_as_they_are():
    assert {one.__name__: (one.code, one.exit_code) for one in TREE} == CODES


@pytest.mark.parametrize("error", TREE)
def test_every_error_stands_under_one_who_can_mend_it(error):
    blamed = (UsageError, StorageError, PeerError, AccountError)
    assert error is MsgSyncError or sum(issubclass(error, one) for one in blamed) == 1
