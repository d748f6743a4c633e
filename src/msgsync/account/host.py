"""The side of a pairing that is in the account: it shows a code, asks its person, and adds the device.

Source: `pairing` has the rules.
"""

from __future__ import annotations

from typing import ClassVar

import cbor2

from msgsync import limits
from msgsync.account.code import Code, Secrets
from msgsync.account.device import Device
from msgsync.account.epochs import Keyring
from msgsync.account.handshake import (
    NONCE_BYTES,
    Added,
    Event,
    FrameType,
    Reason,
    Request,
    Side,
    State,
    WrongGuess,
    WrongKey,
    commitment_to,
)
from msgsync.account.keyobject import seal_key_object
from msgsync.account.keys import SecretKeys
from msgsync.account.passphrase import DEAR, Cost
from msgsync.account.roster import Roster
from msgsync.account.statements import Add, assemble, compose, sign_body
from msgsync.cbor import load
from msgsync.errors import (
    InvalidValue,
    InvitationOver,
    NotAMember,
    ProtocolError,
    StatementRefused,
    UsageError,
)


class Invitation:
    """A code that was shown: good for one device, ten minutes and three tries, over any number of connections."""

    def __init__(self, code: Code, *, now_ms: int, cost: Cost = DEAR) -> None:
        """Begin to be valid.

        Args:
            code: freshly drawn, never shown before.
            now_ms: the clock, Unix milliseconds.
            cost: of stretching a typed code; takes two seconds.
        """
        self.code = code
        self.secrets: Secrets = code.secrets(cost=cost)
        self.expires_ms = now_ms + limits.INVITATION_MS
        self.tries_left = limits.INVITATION_TRIES
        self.used = False

    def over(self, now_ms: int) -> bool:
        """Whether nobody can join with it any more. A clock that was set back makes it no younger than it began."""
        return self.tries_left <= 0 or self.over_for_all(now_ms)

    def over_for_all(self, now_ms: int) -> bool:
        """Whether that is so even for who has shown to know the code: what others guessed does not count there."""
        began = self.expires_ms - limits.INVITATION_MS
        return self.used or not began <= now_ms < self.expires_ms

    def __repr__(self) -> str:
        return f"Invitation(until {self.expires_ms}, {self.tries_left} tries left)"


class Host(Side):
    """One connection of somebody who may have the code."""

    def __init__(
        self,
        invitation: Invitation,
        *,
        keys: SecretKeys,
        nonce: bytes,
    ) -> None:
        """Wait for a knock.

        Args:
            invitation: what was shown.
            keys: this device's.
            nonce: 32 bytes, drawn for this connection.
        """
        super().__init__(invitation.secrets, State.KNOCK)
        self._invitation = invitation
        self._keys = keys
        self._nonce = nonce
        self._roster: Roster | None = None
        self._now_ms = 0
        self._device: Device | None = None
        self._commitment = b""
        self._body = b""

    def receive(self, frame: bytes, *, now_ms: int) -> list[Event]:
        """Take a frame from the peer; return what happened. A peer's fault is not raised: `error` has it."""
        self._now_ms = now_ms
        return self._receive(frame)

    def _on_knock(self, frame: bytes) -> None:
        if self._refuse_if_over():
            return
        text = self._exchange.read(frame, salted=True)
        try:
            plain, self._commitment = load(text)
            self._device = Device.read(plain)
            if type(self._commitment) is not bytes or len(self._commitment) != NONCE_BYTES:
                raise InvalidValue("a commitment of another size")
        except (InvalidValue, cbor2.CBORDecodeError, ValueError, TypeError) as error:
            raise ProtocolError("a device that is described in another form") from error
        self._out.append(self._exchange.write(FrameType.ANSWER, b"", salt=self._nonce))
        self._state = State.CONFIRM

    def _on_confirm(self, frame: bytes) -> None:
        if self._refuse_if_over():
            return
        nonce = self._exchange.read(frame)
        if len(nonce) != NONCE_BYTES or commitment_to(nonce) != self._commitment:
            raise WrongKey
        assert self._device is not None
        emoji = self._exchange.emoji() if self._invitation.code.typed else ""
        self._events.append(Request(self._device, emoji))
        self._state = State.DECISION

    def approve(self, roster: Roster, *, now_ms: int) -> list[Event]:
        """The person approves of the device, having compared the emoji.

        Args:
            roster: as it is here now: who was revoked while the person was asked stays so.
            now_ms: the clock, Unix milliseconds.

        Raises:
            UsageError: nothing was asked.
        """
        self._decide()
        if self._refuse_if_over(now_ms) or self._refuse_if_out(self._keys.public.signing, roster):
            return self._told()
        assert self._device is not None
        self._roster = roster
        self._body = compose(
            Add(self._device),
            signer=self._keys.public,
            account=roster.account,
            parents=roster.heads,
            time_ms=now_ms,
        )
        self._out.append(self._exchange.write(FrameType.PROPOSAL, self._body))
        self._state = State.SIGNATURE
        return self._told()

    def deny(self) -> list[Event]:
        """The person does not know the device: somebody else has the code, so it is not valid any more.

        Raises:
            UsageError: nothing was asked.
        """
        self._decide()
        self._invitation.used = True
        self._refuse(Reason.DENIED, Reason.DENIED.error())
        return self._told()

    def _decide(self) -> None:
        if self._state is not State.DECISION:
            raise UsageError("no device asks to join")

    def _on_signature(self, frame: bytes) -> None:
        signature = self._exchange.read(frame)
        if self._refuse_if_over():
            return
        assert self._device is not None
        assert self._roster is not None
        try:
            statement = assemble(self._body, sign_body(self._body, self._keys), signature)
        except StatementRefused as error:
            raise ProtocolError("the device did not sign what adds it") from error
        if self._refuse_if_out(self._device.keys.signing, self._roster.merge([statement])):
            return
        self._invitation.used = True
        self._events.append(Added(statement, self._device))
        self._state = State.STORING

    def stored(self, roster: Roster, keyring: Keyring) -> list[Event]:
        """The statement is durable: the device may know what the account knows.

        Args:
            roster: as it is here now, with the statement in it.
            keyring: the epochs that the new device is to read; of the same moment.

        Raises:
            UsageError: nothing was to be stored.
        """
        if self._state is State.FINISHED:
            return []  # the line ended meanwhile; what was stored stays
        if self._state is not State.STORING:
            raise UsageError("there is nothing to be stored")
        assert self._device is not None
        if self._refuse_if_out(self._device.keys.signing, roster):
            return self._told()
        welcome = seal_key_object(
            self._device.keys, keys=self._keys, roster=roster, keyring=keyring
        )
        self._out.append(self._exchange.write(FrameType.WELCOME, welcome))
        self._state = State.JOINED
        return self._told()

    def _on_joined(self, frame: bytes) -> None:
        self._exchange.read(frame)
        self._finish()

    def _on_wrong_code(self) -> None:
        self._invitation.tries_left -= 1
        self._events.append(WrongGuess(self._invitation.tries_left))
        super()._on_wrong_code()

    def _refuse_if_over(self, now_ms: int | None = None) -> bool:
        knows = self._state in (State.DECISION, State.SIGNATURE)
        is_over = self._invitation.over_for_all if knows else self._invitation.over
        over = is_over(self._now_ms if now_ms is None else now_ms)
        if over:
            self._refuse(
                Reason.OVER, InvitationOver("the code is not valid any more: make another")
            )
        return over

    def _refuse_if_out(self, signing: bytes, roster: Roster) -> bool:
        out = roster.state.member_of(signing) is None
        if out:
            what = "one of the two devices is not in the account any more"
            self._refuse(Reason.DENIED, NotAMember(what))
        return out

    def __repr__(self) -> str:
        return f"Host(waits for {self._state.name})"

    TRANSITIONS: ClassVar = {
        (State.KNOCK, FrameType.KNOCK): _on_knock,
        (State.CONFIRM, FrameType.CONFIRM): _on_confirm,
        (State.SIGNATURE, FrameType.SIGNATURE): _on_signature,
        (State.JOINED, FrameType.JOINED): _on_joined,
    }
    GUESSED: ClassVar = frozenset({State.KNOCK, State.CONFIRM})
