"""A new device of what lies in a mailbox, by the recovery phrase and nothing else. Source: design 10.

The key object of the phrase gives roster and epochs, the phrase adds the device, and the file begins with that. Nothing
is put into the mailbox, so whatever breaks off leaves nothing behind; the rest is an ordinary round.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from msgsync.account.keyobject import Keys, key_object_name, open_as_phrase
from msgsync.account.keys import SecretKeys
from msgsync.account.recovery import RecoveryPhrase
from msgsync.errors import AccountError, NoSuchObject, ObjectDamaged, WrongPhrase
from msgsync.mailbox.mailbox import Mailbox
from msgsync.replica.key import Key
from msgsync.replica.membership import add_device
from msgsync.replica.system import System, draw_client
from msgsync.store.backup import new_file
from msgsync.store.store import Store

_MARK_BYTES: Final = 4
_PUT_ANEW: Final = "a device that is left puts it anew when it syncs by this mailbox after replace_recovery_phrase()"


def make_of_mailbox(
    mailbox: Mailbox,
    path: Path,
    phrase: RecoveryPhrase,
    *,
    system: System,
    key: Key,
) -> None:
    """Make the file of a new device; see `msgsync.recover`. Durable when this returns, or not there.

    Args:
        mailbox: of any device of the account.
        path: of the new replica.
        phrase: what adds it.
        system: where its keys come from.
        key: what the file is to be locked by.

    Raises:
        FileExists, StorageError: see `store.backup.new_file`.
        MailboxError: the mailbox cannot be used, or nothing of an account is there.
        ObjectDamaged: the key object of the phrase is not as it was put.
        WrongPhrase: the mailbox has nothing for this phrase, or it was replaced.
    """
    with new_file(path, system.random_bytes(_MARK_BYTES).hex()) as part:
        keys = phrase.keys()
        found = _look_up(mailbox, keys)
        fresh = add_device(keys, found.roster, found.keyring, system, now_ms=system.now_ms())
        Store(
            part,
            fresh=lambda: fresh,
            draw_client=lambda: draw_client(system),
            now_ms=system.now_ms,
            readonly=False,
            durability="full",
            unlock=key,
            encrypt=key.cipher,
        ).close()


def _look_up(mailbox: Mailbox, keys: SecretKeys) -> Keys:
    """What the mailbox tells this phrase of the account."""
    where = mailbox.address
    try:
        raw = mailbox.get(key_object_name(keys.public))
    except NoSuchObject as error:
        raise _why_nothing(mailbox) from error
    try:
        return open_as_phrase(raw, keys)
    except WrongPhrase:
        raise
    except AccountError as error:
        raise ObjectDamaged(
            f"what lies in {where} for this phrase is damaged ({error}); {_PUT_ANEW}, or take another mailbox or a "
            "backup"
        ) from error


def _why_nothing(mailbox: Mailbox) -> Exception:
    where = mailbox.address
    if mailbox.list("keys"):
        return WrongPhrase(
            f"there is nothing for this phrase in {where}, though an account is there: it is the phrase of another "
            "account, or the device that made it has not synced by this mailbox since, or that object was lost; "
            f"{_PUT_ANEW}"
        )
    if mailbox.list("log"):
        return NoSuchObject(
            f"the key objects are missing in {where}, and nothing can be read there without them; any device of the "
            "account that is left puts them anew when it syncs by this mailbox"
        )
    return NoSuchObject(
        f"nothing of an account lies in {where}; is it the right place, and has a device ever synced by it?"
    )
