"""What a replica's file is locked by, if it is: a passphrase, and what that opens.

That is the key of the whole file if it is encrypted, else the vault of the secrets in it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from msgsync.account.filekey import FileKey
from msgsync.account.vault import Vault
from msgsync.errors import InvalidValue, PassphraseNeeded, WrongPassphrase
from msgsync.replica.system import System
from msgsync.store.credentials import WRAPPED, Locker


class Key:
    """The key to one file; called as `store.credentials.Unlock`, it opens the vault.

    Args:
        path: of the file.
        system: what new keys are drawn from.
        passphrase: as the caller gave it.
        may_stay_locked: whether a file whose secrets are locked can be used without it.
        encrypted: whether a new file is encrypted; one that is there has to be.

    Raises:
        InvalidValue: a file is to be encrypted, and there is no passphrase.
    """

    def __init__(
        self,
        path: Path,
        system: System,
        passphrase: str | None,
        *,
        may_stay_locked: bool = False,
        encrypted: bool = False,
    ) -> None:
        if encrypted and not passphrase:
            raise InvalidValue("an encrypted file has a passphrase; pass one with encrypted=True")
        self._path, self._system = path, system
        self._passphrase = passphrase
        self._may_stay_locked = may_stay_locked
        self.encrypts: Final = encrypted
        """Whether a file that is not encrypted is refused."""
        self._file: FileKey | None = None
        self._vault: Vault | None = None

    def cipher(self, salt: bytes | None) -> FileKey | None:
        """What encrypts the file; asked as `store.encryption.Encrypt`. Files that are made anew have the same key.

        Raises:
            PassphraseNeeded: it is encrypted, and no passphrase was given.
            InvalidValue: it is not encrypted, and has to be.
            SchemaTooNew: it is encrypted in a newer way.
        """
        if salt is None:
            if self._file is None and self.encrypts:
                self._file = self.make_file_key(self._passphrase or "")
        elif not salt:
            if self.encrypts:
                raise InvalidValue(
                    f"{self._path} is there, and is not encrypted; make an encrypted one of a backup of it, with "
                    "restore(…, encrypted=True)"
                )
            return None
        elif self._file is None or self._file.salt != salt:
            if self._passphrase is None:
                raise PassphraseNeeded(f"{self._path} is encrypted; open it with its passphrase")
            self._file = FileKey.opened(salt, self._passphrase, self._system.random_bytes)
        return self._file

    def make_file_key(self, passphrase: str) -> FileKey:
        """A new key for a file, under this passphrase. Raises InvalidValue."""
        return FileKey.new(passphrase, self._system.random_bytes)

    def keep_file_key(self, key: FileKey) -> None:
        """The file is encrypted under this one from now on."""
        self._file = key

    def __call__(self, wrapped: bytes | None) -> Locker | None:
        """Open the vault, or make one for a new file.

        Raises:
            PassphraseNeeded: there is one, and no passphrase.
            WrongPassphrase: it is another passphrase, or there is none to be given.
        """
        if wrapped is None:
            self._vault = None if self._file else self.make(self._passphrase)
        elif not wrapped and not (self._file or self._vault or self._passphrase is None):
            raise WrongPassphrase(
                f"the keys in {self._path} are not under a passphrase; open it without, then set one"
            )
        elif wrapped and (self._vault is None or self._vault.wrapped != wrapped):
            self._open(wrapped)
        return self._vault

    def _open(self, wrapped: bytes) -> None:
        if self._passphrase is not None:
            self._vault = Vault.opened(wrapped, self._passphrase, self._system.random_bytes)
        elif not self._may_stay_locked:
            raise PassphraseNeeded(
                f"the keys in {self._path} are under a passphrase; open it with that, or with readonly=True if it is "
                "only to be read"
            )

    def make(self, passphrase: str | None) -> Vault | None:
        """A new vault under this passphrase; none without one. Raises InvalidValue."""
        return None if passphrase is None else Vault.new(passphrase, self._system.random_bytes)

    def keep(self, vault: Vault | None) -> None:
        """The file is locked by this one from now on."""
        self._vault = vault

    def again(self, _wrapped: bytes | None) -> Locker | None:
        """What a file made anew is locked by: the same as the one before."""
        return self._vault

    def unlock_saved(self, secrets: dict[str, list[bytes]]) -> None:
        """Unlock what was saved of a damaged file, by name; what cannot be unlocked is left out.

        Raises:
            PassphraseNeeded, WrongPassphrase: as for a file that is whole.
        """
        for wrapped in dict.fromkeys(secrets.pop(WRAPPED)):
            self(wrapped)
        if self._vault is not None:
            for name, saved in secrets.items():
                saved[:] = [one for raw in saved for one in self._unlocked(name, raw)]

    def _unlocked(self, name: str, raw: bytes) -> Iterator[bytes]:
        assert self._vault is not None
        with suppress(WrongPassphrase):
            yield self._vault.unlock(name, raw)
