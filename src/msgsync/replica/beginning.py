"""What a repaired file begins with: what was saved of the device's keys and of its account. Source: design 6 and 10.

Nothing that was saved is believed because it can be read: statements are signed, keys are those that the roster knows,
epochs those that it names.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgsync.account.epochs import Keyring, commitment_of, remnants_in
from msgsync.account.keys import SECRET_BYTES as KEYS_BYTES
from msgsync.account.keys import SecretKeys
from msgsync.account.roster import Roster
from msgsync.account.statements import Statement, read_statement
from msgsync.errors import AccountError, AccountMismatch, NotAReplica, StatementRefused
from msgsync.ids import AccountId
from msgsync.replica.membership import (
    are_of,
    fresh,
    introduced,
    is_phrase,
)
from msgsync.store.credentials import EPOCHS, FORGOTTEN, FORGOTTEN_BYTES, KEYS, PHRASE, cut
from msgsync.store.identity import Fresh
from msgsync.store.salvage import Salvage

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica
    from msgsync.replica.system import System


def recover(
    salvage: Salvage, member: Replica | None, path: Path, system: System
) -> tuple[Fresh, bool]:
    """The same device, if its keys and what the account says of them were saved; else a new one, and whether it is one.

    Args:
        salvage: what is left of the damaged file.
        member: another replica of the account, which has the roster and can add a device.
        path: of the file.
        system: what a new device's keys are drawn from.

    Raises:
        AccountMismatch: the file is of another account than ``member``.
        NotAReplica: the file does not say whose it is any more, and there is no ``member``.
    """
    statements = [*_readable(salvage.statements)]
    if member is not None:
        _check_account(salvage, statements, member.account, path)
        statements += member.membership.roster().statements
    roster = _roster_of(statements)
    if roster is not None:
        known = introduced(roster)
        for raw in salvage.secrets[KEYS]:
            keys = SecretKeys(raw) if len(raw) == KEYS_BYTES else None
            if keys is not None and keys.public in known:
                phrases = [one for one in salvage.secrets[PHRASE] if is_phrase(one, roster)]
                keyring = _keyring(salvage, roster)
                phrase = next(iter(phrases), None)
                return fresh(keys, roster, keyring, system, phrase=phrase), False
    if member is None:
        raise NotAReplica(
            f"{path} does not say whose replica it is any more, if it ever was one; pass another replica of the "
            "account in this process, which adds it as a new device; nothing was changed"
        )
    return member.membership.add_device(system), True


def _check_account(
    salvage: Salvage, statements: Sequence[Statement], account: AccountId, path: Path
) -> None:
    said = salvage.meta.get("account", b"")
    whose = {one.account for one in statements}
    if not whose and len(said) == AccountId.BYTES:
        whose = {AccountId(said)}
    if whose and account not in whose:
        raise AccountMismatch(
            f"{path} belongs to account {min(whose, key=str)}, not to {account}; nothing was changed"
        )


def _readable(saved: Iterable[tuple[bytes, bytes]]) -> Iterable[Statement]:
    for id, raw in saved:
        try:
            statement = read_statement(raw)
        except StatementRefused:
            continue
        if statement.id == id:
            yield statement


def _roster_of(statements: Sequence[Statement]) -> Roster | None:
    try:
        return Roster(statements)
    except AccountError:  # the genesis is lost
        return None


def _keyring(salvage: Salvage, roster: Roster) -> Keyring:
    """Those secrets that are of epochs of the roster, but for those that were forgotten."""
    kept = [one for raw in salvage.secrets[FORGOTTEN] for one in cut(raw, FORGOTTEN_BYTES)]
    begun = roster.begun()
    forgotten = {name: one for name, one in remnants_in(kept).items() if name in begun}
    secrets = [
        secret
        for raw in salvage.secrets[EPOCHS]
        for secret in cut(raw)
        if are_of(roster, [secret]) and commitment_of(secret, roster.account) not in forgotten
    ]
    return Keyring(roster.account, secrets, forgotten)
