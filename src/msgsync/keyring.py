"""The passphrase of a replica's keys in the system's keyring: `msgsync[keyring]`. Source: design 10, "At rest".

A person who has unlocked the machine has opened the keyring with it; whoever has the file alone has not.
"""

from __future__ import annotations

from os import PathLike
from typing import Final

import keyring
from keyring.errors import KeyringError

from msgsync.errors import InvalidValue, PassphraseNeeded, StorageError
from msgsync.ids import DeviceId
from msgsync.replica.replica import Replica

SERVICE: Final = "msgsync"
"""Under this name, and the id of the device, the passphrase lies in the keyring."""
_RANDOM_BYTES: Final = 32


def protect(replica: Replica) -> None:
    """Put the keys of a device under a passphrase that nobody knows, and that into the system's keyring.

    Then open it with ``msgsync.open(path, passphrase=msgsync.keyring.passphrase_for(path))``. Without the keyring, on
    another machine for example, the keys cannot be opened.

    Raises:
        InvalidValue: the keyring has one for this device already; or the file is encrypted as a whole.
        ReadOnly: the replica was opened for reading.
        StorageError: there is no keyring, or it is locked.
    """
    if replica.encrypted:
        raise InvalidValue(
            "who the device is cannot be read of an encrypted file, so its passphrase is not kept under that name; "
            "keep it in the keyring under a name of your own"
        )
    name = str(replica.device)
    if _ask(name) is not None:
        raise InvalidValue(f"the keyring has a passphrase for device {name} already")
    words = replica.system.random_bytes(_RANDOM_BYTES).hex()
    try:
        keyring.set_password(SERVICE, name, words)
    except KeyringError as error:
        raise _no_keyring(error) from error
    try:
        replica.set_passphrase(words)
    except BaseException:
        forget(replica.device)
        raise


def passphrase_for(path: str | PathLike[str]) -> str:
    """The passphrase of the replica in a file, from the system's keyring.

    Raises:
        PassphraseNeeded: the keyring has none for it.
        StorageError: the file cannot be read; or there is no keyring, or it is locked.
    """
    with Replica(path, readonly=True) as replica:
        device = replica.device
    found = _ask(str(device))
    if found is None:
        raise PassphraseNeeded(f"the keyring has no passphrase for device {device}; type it in")
    return found


def forget(device: DeviceId) -> None:
    """Remove the passphrase of a device from the keyring, after `Replica.set_passphrase` or `Replica.wipe`.

    Raises:
        StorageError: there is no keyring, it is locked, or has none for this device.
    """
    try:
        keyring.delete_password(SERVICE, str(device))
    except KeyringError as error:
        raise _no_keyring(error) from error


def _ask(name: str) -> str | None:
    try:
        return keyring.get_password(SERVICE, name)
    except KeyringError as error:
        raise _no_keyring(error) from error


def _no_keyring(error: KeyringError) -> StorageError:
    return StorageError(
        f"the system's keyring cannot be used ({type(error).__name__}); unlock it, or pass a passphrase"
    )
