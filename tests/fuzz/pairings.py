"""Pairings in which one frame is another: a side refuses it in words, and nobody is added who was not approved."""

from __future__ import annotations

from random import Random
from typing import Final

from msgsync.account.code import Code
from msgsync.account.device import Device
from msgsync.account.handshake import Added, Joined, Paired, Request
from msgsync.account.host import Host, Invitation
from msgsync.account.joiner import Joiner
from msgsync.errors import MsgSyncError
from tests.fuzz.changes import bytes_changed
from tests.fuzz.kind import Kind
from tests.unit.account.accounts import CHEAP, NOW_MS, drawn, keyring_of, keys_of, roster_of

FRAMES: Final = 7


class Pairing:
    """A host and a joiner; the person approves, and both store at once."""

    def __init__(self) -> None:
        self.roster = roster_of("phone")
        code = Code.to_scan(drawn("code", 16))
        self.host = Host(
            Invitation(code, now_ms=NOW_MS, cost=CHEAP),
            keys=keys_of("phone"),
            nonce=drawn("nonce"),
        )
        self.joiner = Joiner(
            code.secrets(cost=CHEAP),
            keys=keys_of("tablet"),
            device=Device.of(keys_of("tablet"), "Tablet", "linux"),
            nonces=drawn("nonces", 64),
            typed=False,
        )
        self.added: Device | None = None
        self.joined = self.paired = False

    def run(self, at: int, instead: bytes | None) -> None:
        """Pass frames until nobody has any; the one at this place is another."""
        for number in range(FRAMES + 2):
            from_joiner = self.joiner.next_frame()
            frame = from_joiner or self.host.next_frame()
            if frame is None:
                return
            if number == at and instead is not None:
                frame = instead
            if from_joiner:
                self._on_host(frame)
            else:
                self._on_joiner(frame)

    def _on_host(self, frame: bytes) -> None:
        events = self.host.receive(frame, now_ms=NOW_MS)
        for event in events:
            if isinstance(event, Request):
                events += self.host.approve(self.roster, now_ms=NOW_MS)
            elif isinstance(event, Added):
                self.added = event.device
                self.roster = self.roster.merge([event.statement])
                events += self.host.stored(self.roster, keyring_of(self.roster))
            elif isinstance(event, Paired):
                self.paired = True

    def _on_joiner(self, frame: bytes) -> None:
        for event in self.joiner.receive(frame):
            if isinstance(event, Joined):
                self.joined = True
                self.joiner.stored()


def pairings() -> Kind:
    honest = []
    pairing = Pairing()
    for number in range(FRAMES):
        frame = pairing.joiner.next_frame() or pairing.host.next_frame()
        assert frame is not None
        honest.append(frame)
        (pairing._on_joiner if number % 2 else pairing._on_host)(frame)
    assert pairing.paired

    def draw_frame(draw: Random) -> bytes:
        at = draw.randrange(FRAMES)
        choice = draw.random()
        if choice < 0.15:
            return bytes([at])  # none is another
        frame = honest[at if choice < 0.7 else draw.randrange(FRAMES)]
        return bytes([at]) + (frame if choice > 0.95 else bytes_changed(draw, frame))

    return Kind(draw_frame, check_frame)


def check_frame(raw: bytes) -> bool:
    """What comes at a place is as it was made, or both sides end without a device but that which was approved."""
    pairing = Pairing()
    at, instead = raw[0], raw[1:]
    pairing.run(at, instead or None)
    for side in (pairing.host, pairing.joiner):
        assert side.error is None or isinstance(side.error, MsgSyncError)
    if pairing.added is not None:
        assert pairing.added.id == keys_of("tablet").device_id
    if pairing.joined:
        assert pairing.added is not None
    return pairing.paired
