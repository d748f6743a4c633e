"""What makes a device one of an account: its keys, the epochs' secrets, and the statements of the roster.

All of it lies in the file twice, in two tables that share no page: a page that is lost takes nobody out of the account.
Here these are bytes; what they say, and whether they fit each other, `replica.membership` knows. Source: design 10.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from msgsync.errors import ReplicaDamaged
from msgsync.store.database import Database

KEYS: Final = "keys"
PHRASE: Final = "phrase"
EPOCHS: Final = "epochs"
FORGOTTEN: Final = "forgotten"
WRAPPED: Final = "wrapped"
"""What opens the others, if they are locked."""
SECRET_BYTES: Final = 32
"""Of an epoch, of a phrase, and of what names an epoch."""
FORGOTTEN_BYTES: Final = 64
"""Of an epoch whose secret was erased: what names it, and what is left of it."""
ID_BYTES: Final = 32
"""Of a statement."""
_TABLES: Final = ("secrets", "secrets_copy"), ("statements", "statements_copy")


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a device keeps of its account."""

    keys: bytes = field(repr=False)
    """The 64 secret bytes of the device's keys."""
    epochs: tuple[bytes, ...] = field(repr=False)
    """The secrets of epochs, 32 bytes each, in the order in which they came in."""
    statements: Mapping[bytes, bytes] = field(repr=False)
    """The roster, by id."""
    phrase: bytes | None = field(default=None, repr=False)
    """The 32 secret bytes of the recovery phrase, until it is confirmed; on the device that made it alone."""
    forgotten: tuple[bytes, ...] = field(default=(), repr=False)
    """Of each epoch whose secret was erased here the commitment, 32 bytes, and the remnant, 32 more: the secret is not
    taken from others again."""


class Locker(Protocol):
    """What locks secrets in the file; `account.vault.Vault` is one."""

    @property
    def wrapped(self) -> bytes:
        """Stored beside them: what a passphrase opens it by."""

    def lock(self, name: str, secret: bytes) -> bytes:
        """A secret as it is stored."""

    def unlock(self, name: str, locked: bytes) -> bytes:
        """The secret. Raises WrongPassphrase."""


Unlock = Callable[[bytes | None], Locker | None]
"""Asked for what locks and unlocks from now on: with what is stored, which is empty if nothing is locked, or with None
for a new file."""


def leave_locked(_wrapped: bytes | None) -> None:
    """Read what is not locked, and no secret that is."""


def cut(joined: bytes, each_bytes: int = SECRET_BYTES) -> tuple[bytes, ...]:
    """What was joined, so many bytes each; what is left over at the end is none."""
    whole = len(joined) - len(joined) % each_bytes
    return tuple(joined[start : start + each_bytes] for start in range(0, whole, each_bytes))


class CredentialRows:
    """The two copies; the caller holds the lock, and writes within a transaction."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.locker: Locker | None = None
        """What locks what is written, and unlocks what is read; None if nothing is locked, or it cannot be unlocked."""

    def wrapped(self) -> bytes:
        """What opens the secrets by a passphrase; nothing if they are not locked."""
        found = self._both(WRAPPED)
        return found[0] if found and type(found[0]) is bytes else b""

    def _both(self, name: str) -> list[Any]:
        """A secret as it is stored, from both tables."""
        found = self._database.execute(
            "select value from secrets where name = ?1 "
            "union all select value from secrets_copy where name = ?1",
            (name,),
        )
        return [value for (value,) in found]

    @property
    def locked(self) -> bool:
        """Whether there are secrets here that cannot be read."""
        return self.locker is None and bool(self.wrapped())

    def _unlocked(self, name: str, value: bytes) -> bytes:
        return value if self.locker is None else self.locker.unlock(name, value)

    def read(self) -> Credentials:
        """All of it; of what is locked nothing.

        Raises:
            ReplicaDamaged: the copies differ, or something is missing.
            WrongPassphrase: what is locked is damaged.
        """
        found = {str(name): value for name, value in self._agreed(*_TABLES[0])}
        statements: dict[bytes, bytes] = dict(self._agreed(*_TABLES[1]))
        if found.pop(WRAPPED, None) is not None and self.locker is None:
            return Credentials(b"", (), statements)
        secrets = {name: self._unlocked(name, value) for name, value in found.items()}
        keys, phrase = secrets.get(KEYS), secrets.get(PHRASE)
        epochs, forgotten = secrets.get(EPOCHS, b""), secrets.get(FORGOTTEN, b"")
        if keys is None or len(epochs) % SECRET_BYTES or len(forgotten) % FORGOTTEN_BYTES:
            raise self._damaged()
        return Credentials(keys, cut(epochs), statements, phrase, cut(forgotten, FORGOTTEN_BYTES))

    def keys(self) -> bytes:
        """The secret bytes of the device's keys, without reading the rest.

        Raises:
            ReplicaDamaged: they are not there, or the copies differ.
            WrongPassphrase: what is locked is damaged.
        """
        found = self._both(KEYS)
        if len(found) != len(_TABLES[0]) or found[0] != found[1] or type(found[0]) is not bytes:
            raise self._damaged()
        return self._unlocked(KEYS, found[0])

    def write(self, credentials: Credentials) -> None:
        """Have these in place of what is here."""
        self.write_secrets(credentials)
        for table in _TABLES[1]:
            self._database.execute(f"delete from {table}")
        self.add_statements(credentials.statements.items())

    def write_secrets(self, credentials: Credentials) -> None:
        """Have these secrets in place of those that are here."""
        secrets = {KEYS: credentials.keys, EPOCHS: b"".join(credentials.epochs)}
        if credentials.phrase is not None:
            secrets[PHRASE] = credentials.phrase
        if credentials.forgotten:
            secrets[FORGOTTEN] = b"".join(credentials.forgotten)
        if self.locker is not None:
            lock = self.locker.lock
            secrets = {name: lock(name, secret) for name, secret in secrets.items()}
            secrets[WRAPPED] = self.locker.wrapped
        self.erase_secrets()
        for table in _TABLES[0]:
            self._database.executemany(f"insert into {table} values(?,?)", [*secrets.items()])

    def erase_secrets(self) -> None:
        """Have none."""
        for table in _TABLES[0]:
            self._database.execute(f"delete from {table}")

    def add_statements(self, statements: Iterable[tuple[bytes, bytes]]) -> None:
        """Keep statements, by id; those that are here stay."""
        rows = list(statements)
        for table in _TABLES[1]:
            self._database.executemany(f"insert or ignore into {table} values(?,?)", rows)

    def _agreed(self, table: str, other: str) -> list[tuple[Any, bytes]]:
        first, second = (
            list(self._database.execute(f"select * from {one}")) for one in (table, other)
        )
        if first != second or any(type(value) is not bytes for _, value in first):
            raise self._damaged()
        return first

    def _damaged(self) -> ReplicaDamaged:
        return ReplicaDamaged(
            f"the keys and the account in {self._database.path} are not what they were; run repair"
        )
