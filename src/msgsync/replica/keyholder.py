"""What a session tells and hears of the account: behind the seam `protocol.seam.Keyholder`. Source: design 10."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from msgsync import limits
from msgsync.account.admission import take_in
from msgsync.account.epochs import remnants_in
from msgsync.account.introduction import SALT_BYTES, open_introduction, seal_introduction
from msgsync.account.keyobject import (
    Keys,
    believe,
    read_key_object,
    seal_key_object,
    seal_notice,
)
from msgsync.account.roster import Roster
from msgsync.errors import NotAMember
from msgsync.ids import DeviceId
from msgsync.protocol.seam import Relation
from msgsync.replica.account import rotate
from msgsync.replica.membership import relation_in
from msgsync.replica.switch import check_on

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


class Holder:
    """Implements `protocol.seam.Keyholder`; takes the replica's lock for each step.

    A replica that is open for reading keeps what it hears in memory, for this session.
    """

    def __init__(self, replica: Replica) -> None:
        """Raises PassphraseNeeded: nobody can be told who this is while the keys are locked."""
        self._replica = replica
        self._membership = replica.membership
        self._keys = replica.membership.keys
        self._heard: Roster | None = None

    def _moment(self) -> Keys:
        """What is known, all of one moment: another thread may revoke somebody between two looks."""
        stored = self._membership.moment()
        if self._heard is None:
            return stored
        return Keys(take_in(stored.roster, self._heard.statements), stored.keyring)

    def _roster(self) -> Roster:
        return self._moment().roster

    def digest(self) -> bytes:
        """See `Keyholder.digest`."""
        return self._membership.digest()

    def relation(self, device: bytes) -> Relation:
        """See `Keyholder.relation`."""
        return relation_in(self._roster(), DeviceId(device))

    def sealed_for(self, device: bytes) -> bytes:
        """See `Keyholder.sealed_for`."""
        self._replica.sync.check()
        (roster, keyring), keys = self._moment(), self._keys
        member = roster.state.members.get(DeviceId(device))
        if member is None:
            return seal_notice(DeviceId(device), keys=keys, roster=roster)
        return seal_key_object(member.device.keys, keys=keys, roster=roster, keyring=keyring)

    def take(self, device: bytes, raw: bytes) -> None:
        """See `Keyholder.take`."""
        found = read_key_object(raw, self._keys, maker=DeviceId(device))
        believe(found, self._roster())
        self._keep(found.roster, found.secrets, remnants_in(found.forgotten))

    def epochs(self) -> tuple[tuple[bytes, ...], bytes]:
        """See `Keyholder.epochs`."""
        known = self._moment()
        latest_first = tuple(reversed(known.keyring.remnants()))
        return latest_first[: limits.EPOCHS], _current(known)

    def introduction(self, epochs: Sequence[bytes]) -> bytes | None:
        """See `Keyholder.introduction`."""
        self._replica.sync.check()
        known = self._moment()
        if _current(known) not in epochs:
            return None
        salt = self._replica.system.random_bytes(SALT_BYTES)
        return seal_introduction(known.roster, known.keyring, salt=salt)

    def take_introduction(self, device: bytes, raw: bytes) -> None:
        """See `Keyholder.take_introduction`."""
        known, keyring = self._moment()
        theirs = open_introduction(raw, known, keyring)
        if relation_in(take_in(known, theirs.statements), DeviceId(device)) is not Relation.MEMBER:
            raise NotAMember("a device that is not in the account introduced itself")
        self._keep(theirs, ())

    def _keep(
        self,
        roster: Roster,
        secrets: Sequence[bytes],
        forgotten: Mapping[bytes, bytes] | None = None,
    ) -> None:
        with self._replica.reading() as store:
            check_on(store)
            readonly = store.database.readonly
        if readonly:
            self._heard = take_in(self._roster(), roster.statements)
            return
        self._membership.merge(roster.statements, secrets, forgotten)
        state = self._membership.roster().state
        if state.epoch is None and self._replica.device in state.members and self._has_room():
            rotate(self._replica)  # two revoked at once, and neither knew of what the other did

    def _has_room(self) -> bool:
        """Whether one epoch more leaves its person room: somebody may revoke again and again to use it up."""
        known = self._membership.moment()
        said = known.roster.said_by(self._membership.keys.public.signing)
        most = limits.STATEMENTS - limits.STATEMENTS_RESERVED
        return said < most and len(known.keyring) < limits.EPOCHS // 2


def _current(known: Keys) -> bytes:
    """The commitment of the epoch to seal under, if its secret is here."""
    current = known.roster.state.epoch
    return current if current is not None and current in known.keyring else b""
