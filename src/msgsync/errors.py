"""Every error msgsync raises, in one tree split by who can mend it.

Each class has a stable ``code`` (for programs), an ``exit_code`` (for the command line) and a message that
says what happened and what to do. Messages never contain the text of a chat message.
"""

from __future__ import annotations


class MsgSyncError(Exception):
    """The root of the tree: catch it to catch everything msgsync raises on purpose."""

    code = "error"
    exit_code = 1


class UsageError(MsgSyncError):
    """The caller asked for something that cannot be done; nothing was changed."""

    code = "usage"
    exit_code = 2


class InvalidValue(UsageError):
    """A value is of the wrong form or beyond a limit of `msgsync.limits`."""

    code = "invalid-value"


class UnknownConversation(UsageError):
    """No conversation of that id is in this replica."""

    code = "unknown-conversation"


class ConversationExists(UsageError):
    """A conversation of that id is there already."""

    code = "conversation-exists"


class UnknownMessage(UsageError):
    """No message of that id is in this replica."""

    code = "unknown-message"


class UnknownDevice(UsageError):
    """No device of that id is known to this replica."""

    code = "unknown-device"


class RecoveryUnconfirmed(UsageError):
    """Nobody has shown that they wrote the recovery phrase down, and it may be all that is left."""

    code = "recovery-unconfirmed"


class StalePreview(UsageError):
    """What was previewed is not what there is now; look again before deleting."""

    code = "stale-preview"


class ErasedMessage(UsageError):
    """The message was erased; erasing is final, so nothing can be said about it any more."""

    code = "erased-message"


class AttachmentGone(UsageError):
    """The attachment was erased, or the message that it went with; its bytes are nowhere any more."""

    code = "attachment-gone"


class FutureTimestamp(UsageError):
    """A message claims to be sent further ahead of this device's clock than the design allows."""

    code = "future-timestamp"


class FileExists(UsageError):
    """A new file was to be made, and something of that name is there; nothing is overwritten."""

    code = "file-exists"


class StaleCursor(UsageError):
    """A cursor of the change feed comes from another file, or from a later state of this one."""

    code = "stale-cursor"


class ReadOnly(UsageError):
    """The replica was opened with ``readonly=True``, or is a sealed backup, and cannot be written."""

    code = "read-only"


class ReplicaClosed(UsageError):
    """The replica was closed; open it again."""

    code = "replica-closed"


class SyncOff(UsageError):
    """Sync was switched off on this device: nothing leaves it and nothing enters until it is switched on."""

    code = "sync-off"


class OnlyCopy(UsageError):
    """This device may be the only one that has something; nothing was done."""

    code = "only-copy"


class StorageError(MsgSyncError):
    """The file, the disk or another process stands in the way."""

    code = "storage"
    exit_code = 3


class ReplicaLocked(StorageError):
    """Another process (or this one) has the replica open for writing."""

    code = "replica-locked"


class NotAReplica(StorageError):
    """The file is not a msgsync replica."""

    code = "not-a-replica"


class SchemaTooNew(StorageError):
    """The file was written by a newer msgsync; it is left untouched."""

    code = "schema-too-new"


class SchemaTooOld(StorageError):
    """The file was written by an older msgsync, in a format that is not read any more; it is left untouched.

    `repair` makes one in this format of it.
    """

    code = "schema-too-old"


class EncryptionMissing(StorageError):
    """The file is encrypted as a whole, or is to be, and the SQLite that is installed cannot do that."""

    code = "encryption-missing"


class ReplicaDamaged(StorageError):
    """What is stored cannot be read back as it was written."""

    code = "replica-damaged"


class StorageFull(StorageError):
    """The disk is full; the write did not happen."""

    code = "storage-full"


class AttachmentDamaged(StorageError):
    """The bytes of an attachment are not what was stored; they are fetched anew from whoever has them whole."""

    code = "attachment-damaged"


class AttachmentElsewhere(StorageError):
    """The bytes of an attachment are not on this device, or not all of them."""

    code = "attachment-elsewhere"


class AttachmentPaused(AttachmentElsewhere):
    """Fetching the attachment was stopped by `Attachment.pause` while somebody waited for it; what came is kept."""

    code = "attachment-paused"


class MailboxError(StorageError):
    """A mailbox, the place where sealed objects are left, cannot do what was asked; the replica is as it was."""

    code = "mailbox"


class MailboxUnreachable(MailboxError):
    """The mailbox does not answer, or is not there: no network, no such bucket, a stick that is not plugged in."""

    code = "mailbox-unreachable"


class MailboxForbidden(MailboxError):
    """The storage refuses these credentials, or does not let this user in."""

    code = "mailbox-forbidden"


class MailboxClockWrong(MailboxForbidden):
    """The storage refuses requests because this device's clock is too far from its own."""

    code = "mailbox-clock-wrong"


class MailboxFull(MailboxError):
    """The storage has no room left, or its quota is used up."""

    code = "mailbox-full"


class MailboxReadOnly(MailboxError):
    """The storage can be read and not written."""

    code = "mailbox-read-only"


class MailboxBusy(MailboxError):
    """The storage answers that there were too many requests, or that it fails for now; try again later."""

    code = "mailbox-busy"


class MailboxDamaged(MailboxError):
    """What lies in the mailbox is no object, came only in part, or is longer than any object is."""

    code = "mailbox-damaged"


class NoSuchObject(MailboxError):
    """Nothing of that name is in the mailbox, or not any more."""

    code = "no-such-object"


class PeerError(MsgSyncError):
    """The other side broke a rule of the protocol, or went away."""

    code = "peer"
    exit_code = 4


class ProtocolError(PeerError):
    """A frame that the protocol does not allow here."""

    code = "protocol"


class VersionMismatch(PeerError):
    """The peer speaks another version of the protocol."""

    code = "version-mismatch"


class ConnectionLost(PeerError):
    """The connection ended before the exchange was complete; sync again to go on from there."""

    code = "connection-lost"


class NoNetwork(ConnectionLost):
    """This machine has no way to the address: it is in no network, or the name of the host cannot be looked up."""

    code = "no-network"


class NotCaughtUp(PeerError):
    """Something still waits at a place where this replica syncs; the message says what, and why."""

    code = "not-caught-up"


class NotThereYet(PeerError):
    """What was waited for did not happen within the time that was given for it.

    A message was not known to be on enough devices, or older messages did not come from elsewhere.
    """

    code = "not-there-yet"


class Inadmissible(PeerError):
    """Bytes of a document that admission refuses (design 4); nothing of them was applied."""

    code = "inadmissible"


class AccountError(MsgSyncError):
    """Devices, keys or what they sealed do not belong together."""

    code = "account"
    exit_code = 5


class AccountMismatch(AccountError):
    """The peer belongs to another account, as far as is known here."""

    code = "account-mismatch"


class PassphraseNeeded(AccountError):
    """The keys of this device are under a passphrase."""

    code = "passphrase-needed"


class WrongPassphrase(AccountError):
    """The passphrase does not open the keys, or they are damaged."""

    code = "wrong-passphrase"


class WrongPhrase(AccountError):
    """These are not the words of a recovery phrase, or not of this account's."""

    code = "wrong-phrase"


class WrongCode(AccountError):
    """The two devices were not given the same code."""

    code = "wrong-code"


class InvitationOver(AccountError):
    """The code was used, is older than ten minutes, or was guessed wrong three times; make another."""

    code = "invitation-over"


class JoiningDenied(AccountError):
    """The person at the other device did not approve of this one."""

    code = "joining-denied"


class StatementRefused(AccountError):
    """These bytes are no statement of this account's roster."""

    code = "statement-refused"


class NotAMember(AccountError):
    """The device is not in the account, or not any more."""

    code = "not-a-member"


class DeviceRevoked(NotAMember):
    """This device was revoked: it takes part in no exchange any more. Keep its file, or wipe it."""

    code = "device-revoked"


class RotationDue(AccountError):
    """Somebody was revoked, and no epoch is secret from them yet; begin one first."""

    code = "rotation-due"


class ObjectRefused(AccountError):
    """A sealed object is damaged, forged or out of place; nothing of it was taken."""

    code = "object-refused"


class ObjectDamaged(ObjectRefused):
    """The object was changed, cut off, or made by somebody without the keys."""

    code = "object-damaged"


class UnknownEpoch(ObjectRefused):
    """No key here opens it: it is of another account, its epoch was forgotten or has not come, or it was changed."""

    code = "unknown-epoch"


class UnknownRoster(ObjectRefused):
    """The object builds on statements that are not here yet; fetch them first."""

    code = "unknown-roster"


class ObjectReplayed(ObjectRefused):
    """The object's place in its log is taken by one that is here already."""

    code = "object-replayed"


class ObjectMissing(ObjectRefused):
    """Objects before this one have not come; fetch them first."""

    code = "object-missing"


class LogForked(ObjectRefused):
    """A device says that its log was another than what came from it: somebody forked it, or it was copied."""

    code = "log-forked"
