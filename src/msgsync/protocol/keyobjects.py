"""Key objects in a mailbox: what a member has to know of the account to read the rest. Source: design 9, 10."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from msgsync.account.epochs import Keyring, remnant_of, remnants_in
from msgsync.account.introduction import (
    SALT_BYTES,
    introduction_name,
    open_introduction,
    seal_introduction,
)
from msgsync.account.keyobject import (
    believe,
    key_object_name,
    read_key_object,
    replaced_phrases,
    seal_key_object,
    seal_notice,
    seal_replaced,
)
from msgsync.account.roster import Roster
from msgsync.errors import AccountError, NoSuchObject, NotAMember
from msgsync.protocol.correspondent import Correspondent, KeysThere
from msgsync.protocol.errand import Errand, Round
from msgsync.protocol.keys import revoked

_EPOCHS_ASKED: Final = 8
"""The newest ones: others may have ended one that is in force here, or begun one since."""


class KeyObjects:
    """Those of one round."""

    def __init__(self, replica: Correspondent, this_round: Round) -> None:
        self._replica = replica
        self._round = this_round
        self.is_lost = False
        """Whether the own one was there, and is not."""
        self._due = False
        """Whether somebody has put what is older than what is known here."""

    def read(self) -> Errand[None]:
        """Learn what others know of the account; notice if they know less than is known here.

        Raises:
            DeviceRevoked, NotAMember: this device is not in the account, or not any more.
        """
        keys, known = self._replica.keys, self._replica.keys_there()
        name = key_object_name(keys.public)
        try:
            raw = yield from self._round.get(name)
        except NoSuchObject:
            self.is_lost = bool(known.said)
            self._due = True
        else:
            if _hash(raw) != known.own:
                self._due = not self._learn(name, raw)
        state = self._replica.account()[0].state
        if keys.device_id in state.revoked:
            raise revoked()
        if state.member_of(keys.public.signing) is None:
            raise NotAMember("this device is not in the account: who added it was removed before")

    def _learn(self, name: str, raw: bytes) -> bool:
        """Take in the own key object; return whether it holds all that is known by then."""
        try:
            found = read_key_object(raw, self._replica.keys)
            believed = believe(found, self._replica.account()[0])
        except AccountError as error:
            self._round.note(name, error)
            return False
        self._replica.learn(found.roster.statements, found.secrets, remnants_in(found.forgotten))
        roster, keyring = self._replica.account()
        said = keys_digest(roster, keyring)
        # What was forgotten here others may need for longer: that they tell of it is no reason to say less.
        if keys_digest(found.roster, believed.keyring.without(*keyring.forgotten)) != said:
            return False
        self._replica.note_keys(KeysThere(said, _hash(raw)))
        return True

    def put(self, *, anew: bool = False) -> Errand[None]:
        """Tell members, and phrases in force, what is known here, and others that they were revoked or replaced.

        Nothing is put if that was said already, as far as is known here; but ``anew``.

        The own object is put last: once it is there, so were all others. What is put is read again, for who misses a
        statement cannot tell whose objects to take.
        """
        roster, keyring = self._replica.account()
        said = keys_digest(roster, keyring)
        if self._replica.keys_there().said == said and not (self._due or anew):
            return
        keys = self._replica.keys
        recipients = sorted(
            roster.state.recipients().values(), key=lambda recipient: recipient == keys.public
        )
        put = []
        own = b""
        for recipient in recipients:
            raw = seal_key_object(recipient, keys=keys, roster=roster, keyring=keyring)
            put.append(key_object_name(recipient))
            if recipient == keys.public:
                own = _hash(raw)
                if not (yield from self._are_there(put[:-1])):
                    return
            yield from self._round.leave(put[-1], raw)
        for gone in roster.state.revoked.values():
            notice = seal_notice(gone.device.id, keys=keys, roster=roster)
            yield from self._round.leave(key_object_name(gone.device.keys), notice)
        for phrase in replaced_phrases(roster):
            notice = seal_replaced(phrase, keys=keys, roster=roster)
            yield from self._round.leave(key_object_name(phrase), notice)
        self._replica.note_keys(KeysThere(said, own))

    def introduce(self) -> Errand[None]:
        """Learn of members that have never heard of this device, and have them learn of it, by the epochs in common.

        As between two devices of which each came back from a backup when those that knew both were gone.
        """
        roster, keyring = self._replica.account()
        told: set[bytes] = set()
        for remnant in [*keyring.remnants().values()][-_EPOCHS_ASKED:]:
            name = introduction_name(remnant, roster.account)
            try:
                raw = yield from self._round.get(name)
                found = open_introduction(raw, roster, keyring)
                self._replica.learn(found.statements, (), {})
            except NoSuchObject:
                continue
            except AccountError as error:
                self._round.note(name, error)
                continue
            told.update(found.bodies())
        roster, keyring = self._replica.account()
        current = roster.state.epoch
        if current is not None and current in keyring and not told.issuperset(roster.bodies()):
            salt = self._replica.random_bytes(SALT_BYTES)
            remnant = remnant_of(keyring.secret(current), roster.account)
            name = introduction_name(remnant, roster.account)
            yield from self._round.leave(name, seal_introduction(roster, keyring, salt=salt))

    def _are_there(self, names: Iterable[str]) -> Errand[bool]:
        for name in names:
            try:
                yield from self._round.get(name)
            except NoSuchObject as error:
                self._round.note(name, error)
                return False
        return True

    def ask(self) -> None:
        """Have others say what they know: they do where somebody puts what is less."""
        self._due = True


def keys_digest(roster: Roster, keyring: Keyring) -> bytes:
    """32 bytes: equal where the same statements and epochs are known."""
    return _hash(b"".join(sorted(roster.bodies())) + b"".join(sorted(keyring)))


def _hash(raw: bytes) -> bytes:
    return hashlib.sha256(raw).digest()
