"""How a new device joins: what both sides of a pairing share. Source: docs/spec/crypto.md, "Pairing".

Rules
-----
- A **host** is a device of the account, and shows a code; a **joiner** was given it. Each is a machine that takes
  frames and gives frames, over anything that keeps their order: `host.Host`, `joiner.Joiner`.
- Two factors: the code, and the approval of the person at the host. Without the code nobody learns or changes
  anything; without the approval whoever has the code learns only that the host is there.
- Frames alternate. Each is encrypted under a key of its own, derived from the code and all frames before, so that
  only somebody who knows the code, and saw the same frames, can read or write it.

    joiner → host   Knock      a commitment to a nonce; the device that wants to join
    host → joiner   Answer     a nonce: the host knows the code
    joiner → host   Confirm    the nonce committed to: the joiner knows the code, now
                               both show six emoji of all that was said; the host's person approves
    host → joiner   Proposal   the statement that adds the device
    joiner → host   Signature  the device agrees
                               the host stores the statement, and only then
    host → joiner   Welcome    roster and epochs, as a key object
                               the joiner stores them, and only then
    joiner → host   Joined

- The emoji tell whether somebody who also knows the code sits between the two. The commitment keeps that somebody
  from trying nonces until the emoji of both sides are equal.
- Either side may refuse at any time, with a reason. A frame that is not due is the peer's error.
- A wrong code shows at the first frame: both sides are told, and the host counts it.
- Cut anywhere, nothing is left behind that a new attempt would trip over: the statement that adds a device may be
  made twice.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum, IntEnum, auto
from typing import Any, ClassVar, Final

from msgsync import limits
from msgsync.account import suite
from msgsync.account.code import Secrets
from msgsync.account.device import Device
from msgsync.account.epochs import Keyring
from msgsync.account.roster import Roster
from msgsync.account.statements import Statement
from msgsync.account.suite import Unsealable, context, decrypt, derive, digest, encrypt
from msgsync.errors import (
    ConnectionLost,
    InvitationOver,
    JoiningDenied,
    MsgSyncError,
    ProtocolError,
    VersionMismatch,
    WrongCode,
)

NONCE_BYTES: Final = 32
EMOJI: Final = (
    "🍎🍌🍇🍓🍒🍍🥕🌽🍞🧀🍕🍩🍪🍯☕🥚🐝🐞🦊🐸🐳🦉🐍🦀🐌🦒🐑🐔🦓🐫🐊🦔"
    "🌈🔥⭐🌊🌻🌲🍁⚡🌍🌋🌙🌵🍀🪶🐚⛄🚗🚲🚀🚂⚓⛵🎈🎁🎲🎸🎺🥁🔑🔔💡📎"
)
"""Sixty-four that do not look like each other: six bits each."""
EMOJI_SHOWN: Final = 6


class FrameType(IntEnum):
    """The second byte of a frame."""

    KNOCK = 1
    ANSWER = 2
    CONFIRM = 3
    PROPOSAL = 4
    SIGNATURE = 5
    WELCOME = 6
    JOINED = 7
    REFUSE = 8


class Reason(IntEnum):
    """Why a side refuses; the third byte of that frame."""

    WRONG_CODE = 1
    OVER = 2
    DENIED = 3
    PROTOCOL = 4
    VERSION = 5

    def error(self) -> MsgSyncError:
        """What the other side makes of it."""
        return _ERRORS[self]()


_ERRORS: Final[Mapping[Reason, Callable[[], MsgSyncError]]] = {
    Reason.WRONG_CODE: lambda: WrongCode("the other device was given another code: type it again"),
    Reason.OVER: lambda: InvitationOver(
        "the code was used, is older than ten minutes, or was guessed wrong three times: make another"
    ),
    Reason.DENIED: lambda: JoiningDenied("the person at the other device did not approve"),
    Reason.PROTOCOL: lambda: ProtocolError("the other device did not expect this: start again"),
    Reason.VERSION: lambda: VersionMismatch(
        "the other device runs another version: update both, then start again"
    ),
}


class State(Enum):
    """What a side waits for: a frame of that name, its own person or store, or nothing any more."""

    KNOCK = auto()
    ANSWER = auto()
    CONFIRM = auto()
    DECISION = auto()
    PROPOSAL = auto()
    SIGNATURE = auto()
    WELCOME = auto()
    STORING = auto()
    JOINED = auto()
    FINISHED = auto()


# What happens, as either side tells it.


@dataclass(frozen=True, slots=True)
class WrongGuess:
    """Host: somebody tried another code."""

    tries_left: int


@dataclass(frozen=True, slots=True)
class Request:
    """Host: a device that knows the code wants to join; ask the person, then `approve` or `deny`."""

    device: Device
    emoji: str
    """Six, to be compared with those on the device; empty if the code was scanned."""


@dataclass(frozen=True, slots=True)
class Compare:
    """Joiner: the host knows the code; show these six, and wait. Empty if the code was scanned."""

    emoji: str


@dataclass(frozen=True, slots=True)
class Added:
    """Host: the device agreed. Store the statement, then call `stored`."""

    statement: Statement
    device: Device


@dataclass(frozen=True, slots=True)
class Joined:
    """Joiner: it is in the account. Store both, then call `stored`."""

    roster: Roster
    keyring: Keyring = field(repr=False)


@dataclass(frozen=True, slots=True)
class Paired:
    """Either: the other side has stored all it needs; the pairing is over."""


@dataclass(frozen=True, slots=True)
class Failed:
    """Either: the pairing is over, and this is why."""

    error: MsgSyncError


Event = WrongGuess | Request | Compare | Added | Joined | Paired | Failed


class WrongKey(Exception):
    """A frame that somebody with another code wrote."""


class Exchange:
    """The frames of one pairing so far, and the keys that follow from them."""

    def __init__(self, secrets: Secrets) -> None:
        """Begin with what follows from the code."""
        self._root = secrets.root
        self._said = digest("pairing", secrets.rendezvous.encode("ascii"))

    def write(self, kind: FrameType, text: bytes, *, salt: bytes = b"") -> bytes:
        """A frame of this side."""
        front = bytes((suite.SUITE, kind)) + salt
        frame = front + encrypt(self._key(kind, salt), text, context("pairing frame", front))
        self._hear(frame)
        return frame

    def read(self, frame: bytes, *, salted: bool = False) -> bytes:
        """What a frame of the other side says; one that cannot be read was never said.

        Raises:
            WrongKey: its writer has another code, or saw other frames.
        """
        at = 2 + (NONCE_BYTES if salted else 0)
        front, kind = frame[:at], FrameType(frame[1])
        try:
            key = self._key(kind, front[2:])
            text = decrypt(key, frame[at:], context("pairing frame", front))
        except Unsealable as error:
            raise WrongKey from error
        self._hear(frame)
        return text

    def emoji(self) -> str:
        """Six emoji of all that was said."""
        bits = int.from_bytes(derive(self._root, "pairing emoji", self._said), "big")
        return "".join(EMOJI[bits >> 6 * place & 63] for place in range(EMOJI_SHOWN))

    def _key(self, kind: FrameType, salt: bytes) -> bytes:
        return derive(self._root, "pairing frame", bytes((kind,)), self._said, salt=salt)

    def _hear(self, frame: bytes) -> None:
        self._said = digest("pairing", self._said, frame)


def commitment_to(nonce: bytes) -> bytes:
    """32 bytes that bind the joiner to a nonce that it shows later."""
    return digest("pairing nonce", nonce)


class Side:
    """What the machines of both sides have in common. Feed it frames, send what it gives, until `finished`."""

    TRANSITIONS: ClassVar[Mapping[tuple[State, FrameType], Callable[[Any, bytes], None]]]
    GUESSED: ClassVar[frozenset[State]]
    """Where a frame that cannot be read means another code; elsewhere it was changed on the way."""

    def __init__(self, secrets: Secrets, begins: State) -> None:
        """Begin: see the subclasses."""
        self._exchange = Exchange(secrets)
        self._state = begins
        self._out: deque[bytes] = deque()
        self._events: list[Event] = []
        self.error: MsgSyncError | None = None
        """Why the pairing ended, if not well."""

    @property
    def state(self) -> State:
        """What this side waits for."""
        return self._state

    @property
    def finished(self) -> bool:
        """Whether nothing more will be sent or is waited for."""
        return self._state is State.FINISHED and not self._out

    def next_frame(self) -> bytes | None:
        """The next frame to send; None if it is the turn of the peer, the person or the store."""
        return self._out.popleft() if self._out else None

    def lost(self, error: ConnectionLost | None = None) -> list[Event]:
        """The connection ended. Start again, with a new code if this one was used."""
        if self._state is not State.FINISHED:
            words = "the connection ended before the devices were paired"
            self._stop(error or ConnectionLost(words))
        return self._told()

    def broken(self, error: ProtocolError) -> list[Event]:
        """What came is no frame: tell the peer, and end."""
        if self._state is not State.FINISHED:
            self._refuse(Reason.PROTOCOL, error)
        return self._told()

    def _receive(self, frame: bytes) -> list[Event]:
        if self._state is State.FINISHED:
            return []
        try:
            self._take(frame)
        except WrongKey:
            if self._state in self.GUESSED:
                self._on_wrong_code()
            else:
                self._refuse(Reason.PROTOCOL, ProtocolError("a frame was changed on the way"))
        except VersionMismatch as error:
            self._refuse(Reason.VERSION, error)
        except ProtocolError as error:
            self._refuse(Reason.PROTOCOL, error)
        return self._told()

    def _take(self, frame: bytes) -> None:
        if not 2 <= len(frame) <= limits.PAIRING_FRAME_BYTES:
            raise ProtocolError(f"a frame of {len(frame)} bytes while two devices are paired")
        if frame[0] != suite.SUITE:
            raise VersionMismatch("the other device runs another version: update both")
        try:
            kind = FrameType(frame[1])
        except ValueError as error:
            raise ProtocolError(
                "a frame of an unknown kind while two devices are paired"
            ) from error
        if kind is FrameType.REFUSE:
            self._on_refuse(frame)
            return
        handler = self.TRANSITIONS.get((self._state, kind))
        if handler is None:
            raise ProtocolError(f"the peer sent {kind.name} while {self._state.name} was due")
        handler(self, frame)

    def _on_refuse(self, frame: bytes) -> None:
        try:
            reason = Reason(frame[2])
        except (IndexError, ValueError) as error:
            raise ProtocolError("a refusal without a reason that is known") from error
        self._stop(reason.error())

    def _on_wrong_code(self) -> None:
        self._refuse(Reason.WRONG_CODE, Reason.WRONG_CODE.error())

    def _refuse(self, reason: Reason, error: MsgSyncError) -> None:
        self._out.append(bytes((suite.SUITE, FrameType.REFUSE, reason)))
        self._stop(error)

    def _stop(self, error: MsgSyncError) -> None:
        self.error = error
        self._state = State.FINISHED
        self._events.append(Failed(error))

    def _finish(self) -> None:
        self._state = State.FINISHED
        self._events.append(Paired())

    def _told(self) -> list[Event]:
        events, self._events = self._events, []
        return events
