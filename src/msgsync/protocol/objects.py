"""Objects of logs in a mailbox: their names, and how they are fetched and checked. Source: design 9."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

from msgsync import limits
from msgsync.account.head import Kind
from msgsync.account.seal import (
    Opened,
    checkpoint_name,
    is_checkpoint_name,
    is_clone,
    log_name,
    open_object,
)
from msgsync.account.statements import Position
from msgsync.errors import LogForked, ObjectDamaged, UnknownEpoch, UnknownRoster
from msgsync.ids import DeviceId
from msgsync.protocol.batch import Batch, read_batch, read_piece
from msgsync.protocol.correspondent import Correspondent
from msgsync.protocol.errand import Errand, Round

LOGS: Final = "log"
_OBJECT: Final = re.compile(r"log/([0-9a-f]{32}p?)/([0-9a-f]{16})")
Place = tuple[DeviceId, bytes]
"""Whose log, by device and incarnation."""


class Objects:
    """Those of one round.

    Args:
        replica: with the mailbox.
        this_round: kept account of.
        read_keys: the errand that learns what others know of the account.
    """

    def __init__(
        self, replica: Correspondent, this_round: Round, read_keys: Callable[[], Errand[None]]
    ) -> None:
        self._replica = replica
        self._round = this_round
        self._read_keys = read_keys
        self._asked_for_keys = False
        self._own_incarnations = {
            log.position.incarnation
            for log in replica.logs().values()
            if log.device == replica.keys.device_id
        }
        self._last_sequence = replica.last_sequence()
        self._looked_at: dict[str, bytes] = {}
        """What was fetched before its turn, by name."""
        self._order: list[str] = []
        """The names of what is about to be read, in order."""

    def plan(self, *parts: Mapping[str, Sequence[int]]) -> None:
        """Say what will be read: the sequences of logs, part after part, so that some can be fetched ahead."""
        self._order = [
            name_of(folder, sequence)
            for part in parts
            for folder in part
            for sequence in part[folder]
        ]

    def open(
        self, folder: str, sequence: int, positions: Mapping[Place, Position]
    ) -> Errand[Opened]:
        """Fetch an object whose turn it is, and check it.

        Args:
            folder: of its log.
            sequence: its place there.
            positions: how far each log was read.

        Raises:
            AccountError: it is not what it should be.
            NoSuchObject, MailboxDamaged: it did not come.
        """
        name = name_of(folder, sequence)
        raw = self._looked_at.pop(name, None)
        if raw is None:
            raw = yield from self._round.get(name, self._ahead(name))
        return (yield from self._checked(raw, folder, sequence, positions))

    def look_at(self, folder: str, sequence: int) -> Errand[Opened]:
        """The same, before its turn; it is not fetched again when that comes, unless there were too many of them."""
        name = name_of(folder, sequence)
        raw = self._looked_at.get(name)
        if raw is None:
            raw = yield from self._round.get(name)
        if len(self._looked_at) < 2 * limits.GETS_AHEAD:
            self._looked_at[name] = raw
        return (yield from self._checked(raw, folder, sequence, {}))

    def _ahead(self, name: str) -> tuple[str, ...]:
        """What will be asked for after an object."""
        if name not in self._order:
            return ()
        del self._order[: self._order.index(name) + 1]
        return tuple(
            [one for one in self._order[: limits.GETS_AHEAD] if one not in self._looked_at]
        )

    def _checked(
        self, raw: bytes, folder: str, sequence: int, positions: Mapping[Place, Position]
    ) -> Errand[Opened]:
        try:
            opened = self._opened(raw, positions)
        except (UnknownEpoch, UnknownRoster):
            if self._asked_for_keys:
                raise
            self._asked_for_keys = True
            yield from self._read_keys()  # it may say more by now
            opened = self._opened(raw, positions)
        roster, keyring = self._replica.account()
        head = opened.head
        secret = keyring.secret(head.epoch)
        name_for = checkpoint_name if is_checkpoint_name(folder) else log_name
        own_name = name_for(secret, roster.account, head.device, head.incarnation)
        if (own_name, head.sequence) != (folder, sequence):
            raise ObjectDamaged("the object lies under a name that is not its own")
        own = self._replica.keys.device_id
        if is_clone(head, own, self._own_incarnations, self._last_sequence):
            copied = (
                "this device's replica was copied, or put back from a backup, and both are in use"
            )
            self._round.note(name_of(folder, sequence), LogForked(copied))
            self._own_incarnations.add(head.incarnation)
        return opened

    def _opened(self, raw: bytes, positions: Mapping[Place, Position]) -> Opened:
        roster, keyring = self._replica.account()
        return open_object(raw, keyring=keyring, roster=roster, positions=positions)


def batch_of(opened: Opened, pieces: list[bytes]) -> Batch | None:
    """What a log brings with an object; None if the batch goes on in the next. Unknown kinds bring nothing."""
    if opened.head.kind != Kind.BATCH and not pieces:
        return Batch(())
    piece, is_last = read_piece(opened.body)
    pieces.append(piece)
    if sum(map(len, pieces)) > limits.BATCH_BYTES:
        raise ObjectDamaged("a batch that is longer than any, though its device signed it")
    return read_batch(b"".join(pieces)) if is_last else None


def name_of(folder: str, sequence: int) -> str:
    """Where an object of a log lies."""
    return f"{LOGS}/{folder}/{sequence:016x}"


def by_folder(names: Iterable[str]) -> dict[str, list[int]]:
    """The sequences that each log has, ascending; what has another name than objects of logs have is left out."""
    found: dict[str, list[int]] = {}
    for name in sorted(names):
        if match := _OBJECT.fullmatch(name):
            found.setdefault(match[1], []).append(int(match[2], 16))
    return found
