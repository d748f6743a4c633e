"""How the two sides of a session bring rosters and epochs together. Sans-IO. Source: design 10, docs/specification.md.

Rules
-----
- Each hello has a digest of what its device knows of the account: statements and epochs. Equal: nothing is told.
- Else each side **tells** the other, before any document: a key object to a member, a notice to a device that was
  revoked. Whoever does not know the other says so (`Stranger`), and tells once it has been told. If neither knows the
  other, one of them introduces itself under its epoch, if the other has it.
- What comes is taken if its maker is a member by all that *both* sides know; else nothing of it is.
- Then both have to be members. The session ends with `NotAMember` or `DeviceRevoked` on both sides if one is not.
- In a session that goes on, whatever changes on a side is told at once, and looked at likewise.
- What came from the peer is not told back: `_told` is the digest of what it is known to know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from msgsync import limits
from msgsync.account.suite import HPKE_OVERHEAD_BYTES
from msgsync.errors import DeviceRevoked, NotAMember, ProtocolError
from msgsync.ids import DeviceId
from msgsync.protocol.frames import Frame, Keys, Stranger
from msgsync.protocol.seam import Keyholder, Relation

_PIECE_BYTES: Final = limits.FRAME_FILL_BYTES
_MOST_BYTES: Final = limits.KEY_OBJECT_BYTES + HPKE_OVERHEAD_BYTES + 64
_MOST_TIMES: Final = 64
"""So often may a peer tell anew while this side has nothing new: each costs work."""


class KeyExchange:
    """One side's part of it; `Session` carries the frames."""

    def __init__(self, holder: Keyholder, own: bytes) -> None:
        """Begin with what the device, whose id is ``own``, knows now: the hello has its `digest`."""
        self._holder = holder
        self._own = own
        self.digest = holder.digest()
        self._device = b""
        self._told: bytes | None = None
        self._heard = False
        self._pieces: list[bytes] = []
        self._size = 0
        self._in_vain = 0

    @property
    def settled(self) -> bool:
        """Whether each side has told the other what it knew."""
        return self._heard and self._told is not None

    @property
    def due(self) -> bool:
        """Whether something is known here that the peer was not told."""
        return self._holder.digest() != self._told

    # Telling.

    def agree(self, device: bytes) -> None:
        """Both know the same.

        Raises:
            DeviceRevoked, NotAMember: this device, or the peer, is not in the account.
        """
        self._device, self._told, self._heard = device, self.digest, True
        self.check()

    def differ(self, device: bytes) -> Iterator[Frame]:
        """Both do not know the same: what to say first."""
        self._device = device
        yield from self.notice()
        relation = self._holder.relation(device)
        if relation is Relation.MEMBER:
            yield from self.tell()
        elif relation is Relation.STRANGER:
            yield Stranger(*self._holder.epochs())

    def tell(self) -> Iterator[Frame]:
        """All that is known here, for a peer that is a member."""
        self._told = self._holder.digest()
        yield from _cut(self._holder.sealed_for(self._device), introduces=False)

    def notice(self) -> Iterator[Frame]:
        """What a peer that was revoked may know; nothing for any other."""
        if self._holder.relation(self._device) is Relation.REVOKED:
            yield from _cut(self._holder.sealed_for(self._device), introduces=False)

    # Hearing.

    def on_stranger(self, frame: Stranger) -> Iterator[Frame]:
        """The peer does not know this device: introduce it, if the peer is not known here either.

        Raises:
            NotAMember: the peer was revoked, or neither side can introduce itself.
        """
        if self._told is not None:
            return
        if self._holder.relation(self._device) is not Relation.STRANGER:
            self.check()
            yield from self.tell()
            return
        introduction = self._holder.introduction(frame.epochs)
        if introduction is not None:
            yield from _cut(introduction, introduces=True)
        elif frame.current not in self._holder.epochs()[0]:
            raise NotAMember(
                "neither device has heard that the other is in the account; sync one of them with a device that "
                "knows the other first"
            )

    def on_keys(self, frame: Keys) -> bool:
        """Take a piece of what the peer tells; return whether all of it is here, and taken.

        Raises:
            AccountError: nothing of it was taken.
            ProtocolError: it is too long, or told too often.
        """
        self._size += len(frame.piece)
        if self._size > _MOST_BYTES or not (frame.piece or frame.last):
            raise ProtocolError("what the peer tells of the account is too long")
        self._pieces.append(frame.piece)
        if not frame.last:
            return False
        raw = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        before = self._holder.digest()
        try:
            if frame.introduces:
                self._holder.take_introduction(self._device, raw)
            else:
                self._holder.take(self._device, raw)
                self._heard = True
        except NotAMember:
            self.check()  # says it in better words, mostly
            raise
        if not frame.introduces and before == self._told:
            self._told = self._holder.digest()
        self._in_vain = self._in_vain + 1 if self._holder.digest() == before else 0
        if self._in_vain > _MOST_TIMES:
            raise ProtocolError("the peer tells again and again what is known")
        return True

    # Who is in the account.

    def check(self) -> None:
        """See that both sides are in the account, by what is known here.

        Raises:
            DeviceRevoked: this device was revoked.
            NotAMember: the peer is not in the account, or not any more; or this device never was.
        """
        if self.is_revoked:
            raise revoked()
        if self._holder.relation(self._own) is Relation.STRANGER:
            raise NotAMember("this device is not in the account: who added it was removed before")
        relation = self._holder.relation(self._device)
        if relation is not Relation.MEMBER:
            what = "was revoked" if relation is Relation.REVOKED else "is not in the account"
            raise NotAMember(
                f"device {DeviceId(self._device)} {what}; nothing is exchanged with it"
            )

    @property
    def is_revoked(self) -> bool:
        """Whether this device was revoked, as far as is known here."""
        return self._holder.relation(self._own) is Relation.REVOKED


def revoked() -> DeviceRevoked:
    """What a revoked device is told."""
    return DeviceRevoked(
        "this device was revoked by another one of the account: it can be read and written here, and takes part in no "
        "exchange any more; keep the file or wipe it"
    )


def _cut(raw: bytes, *, introduces: bool) -> Iterator[Keys]:
    for start in range(0, len(raw), _PIECE_BYTES):
        end = start + _PIECE_BYTES
        yield Keys(raw[start:end], end >= len(raw), introduces)
