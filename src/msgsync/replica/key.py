"""What the secrets in a replica's file are locked by, if they are: a passphrase, and the vault that it opens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from msgsync.account.vault import Vault
from msgsync.errors import PassphraseNeeded, WrongPassphrase
from msgsync.replica.system import System
from msgsync.store.credentials import WRAPPED, Locker


class Key:
    """The key to one file; called as `store.credentials.Unlock`, it opens the vault.

    Args:
        path: of the file.
        system: what a new vault's key is drawn from.
        passphrase: as the caller gave it.
        may_stay_locked: whether a file whose secrets are locked can be used without it.
    """

    def __init__(
        self, path: Path, system: System, passphrase: str | None, *, may_stay_locked: bool
    ) -> None:
        self._path, self._system = path, system
        self._passphrase = passphrase
        self._may_stay_locked = may_stay_locked
        self._vault: Vault | None = None

    def __call__(self, wrapped: bytes | None) -> Locker | None:
        """Open the vault, or make one for a new file.

        Raises:
            PassphraseNeeded: there is one, and no passphrase.
            WrongPassphrase: it is another passphrase, or there is none to be given.
        """
        if wrapped is None:
            self._vault = self.make(self._passphrase)
        elif not wrapped and self._passphrase is not None and self._vault is None:
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
