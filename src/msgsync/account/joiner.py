"""The side of a pairing that wants to join an account. Source: `pairing` has the rules."""

from __future__ import annotations

from typing import ClassVar

import cbor2

from msgsync.account.code import Secrets
from msgsync.account.device import Device
from msgsync.account.handshake import (
    NONCE_BYTES,
    Compare,
    Event,
    FrameType,
    Joined,
    Side,
    State,
    commitment_to,
)
from msgsync.account.keyobject import open_key_object
from msgsync.account.keys import SecretKeys
from msgsync.account.statements import Add, agree_to_body, read_body
from msgsync.errors import AccountError, InvalidValue, ProtocolError, StatementRefused, UsageError


class Joiner(Side):
    """One attempt to join. The keys may be those of an attempt before."""

    def __init__(
        self, secrets: Secrets, *, keys: SecretKeys, device: Device, nonces: bytes, typed: bool
    ) -> None:
        """Knock: the first `next_frame` does.

        Args:
            secrets: what follows from the code.
            keys: this device's.
            device: how it is described to the person who approves.
            nonces: 64 bytes, drawn for this attempt.
            typed: whether the code was typed, so that emoji are shown.

        Raises:
            InvalidValue: nonces of another length.
        """
        super().__init__(secrets, State.ANSWER)
        if len(nonces) != 2 * NONCE_BYTES:
            raise InvalidValue(f"an attempt takes {2 * NONCE_BYTES} random bytes")
        self._keys, self._device, self._typed = keys, device, typed
        self.agreed = False
        """Whether the account may have added the device: nothing else was missing."""
        self._nonce = nonces[NONCE_BYTES:]
        text = cbor2.dumps([device.plain(), commitment_to(self._nonce)], canonical=True)
        knock = self._exchange.write(FrameType.KNOCK, text, salt=nonces[:NONCE_BYTES])
        self._out.append(knock)

    def receive(self, frame: bytes) -> list[Event]:
        """Take a frame from the peer; return what happened. A peer's fault is not raised: `error` has it."""
        return self._receive(frame)

    def _on_answer(self, frame: bytes) -> None:
        self._exchange.read(frame, salted=True)
        self._out.append(self._exchange.write(FrameType.CONFIRM, self._nonce))
        self._events.append(Compare(self._exchange.emoji() if self._typed else ""))
        self._state = State.PROPOSAL

    def _on_proposal(self, frame: bytes) -> None:
        body = self._exchange.read(frame)
        try:
            content = read_body(body)
        except StatementRefused as error:
            raise ProtocolError("the other device proposed what cannot be read") from error
        if content != Add(self._device):
            raise ProtocolError("the other device proposed something else than to add this one")
        agreed = agree_to_body(body, self._keys)
        self._out.append(self._exchange.write(FrameType.SIGNATURE, agreed))
        self.agreed = True
        self._state = State.WELCOME

    def _on_welcome(self, frame: bytes) -> None:
        welcome = self._exchange.read(frame)
        try:
            roster, keyring = open_key_object(welcome, self._keys)
        except AccountError as error:
            raise ProtocolError("the other device sent no keys that this one can use") from error
        self._events.append(Joined(roster, keyring))
        self._state = State.STORING

    def stored(self) -> list[Event]:
        """Roster and keyring are durable: tell the other device.

        Raises:
            UsageError: nothing was to be stored.
        """
        if self._state is State.FINISHED:
            return []  # the line ended meanwhile; what was stored stays
        if self._state is not State.STORING:
            raise UsageError("there is nothing to be stored")
        self._out.append(self._exchange.write(FrameType.JOINED, b""))
        self._finish()
        return self._told()

    def __repr__(self) -> str:
        return f"Joiner(waits for {self._state.name})"

    TRANSITIONS: ClassVar = {
        (State.ANSWER, FrameType.ANSWER): _on_answer,
        (State.PROPOSAL, FrameType.PROPOSAL): _on_proposal,
        (State.WELCOME, FrameType.WELCOME): _on_welcome,
    }
    GUESSED: ClassVar = frozenset({State.ANSWER})
