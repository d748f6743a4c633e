"""Where a message is: on which devices, as far as is known; and waiting until it is on others. Source: design 9."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from msgsync.errors import ErasedMessage, InvalidValue, NotThereYet, ReadOnly
from msgsync.ids import DeviceId, MessageId
from msgsync.protocol.keys import revoked
from msgsync.replica.devices import fields, horizons, live_devices
from msgsync.replica.names import id_of, unknown
from msgsync.replica.times import check_timeout
from msgsync.replica.values import AnyId

if TYPE_CHECKING:
    from msgsync.replica.replica import Replica


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Which devices are known to have a message as it is here, or to have erased it."""

    message_id: MessageId
    devices: tuple[DeviceId, ...]
    """Those that have it, this one included; what one of them deleted or erased since it was last heard of is not
    known yet."""
    erased_on: tuple[DeviceId, ...]
    """Those that have erased it, this one included; empty if it was not erased here."""
    unknown: tuple[DeviceId, ...]
    """Those of which neither is known; retired ones are not listed."""


def where_is(replica: Replica, message: AnyId) -> Whereabouts:
    """See `Replica.where_is`."""
    one = id_of(message)
    with replica.reading() as store:
        seq = store.changes.of_message(one.raw)
        erased = seq is None
        if seq is None:
            seq = store.changes.of_erasure(one.raw)
        if seq is None:
            raise unknown(store, one)
        own = replica.device.raw
        standings = store.standings()
        keeps_from_ms = {} if erased else horizons(fields(store))
        there = [
            at
            for at, standing in standings.items()
            if standing.has.get(own, 0) >= seq
            and at not in store.revoked()
            and (at == own or one.ms >= keeps_from_ms.get(at, 0))
        ]
        others = sorted(live_devices(store).difference(there))
    devices = tuple(map(DeviceId, there))
    return Whereabouts(
        message_id=one,
        devices=() if erased else devices,
        erased_on=devices if erased else (),
        unknown=tuple(map(DeviceId, others)),
    )


def wait_for(
    replica: Replica, message: AnyId, *, devices: int, timeout: float | None
) -> Whereabouts:
    """See `Replica.wait_for`."""
    one = id_of(message)
    check_timeout(timeout)
    with replica.lock:
        if not replica.watch.news.wait_for(
            lambda: is_there(replica, one, devices) is not None, timeout
        ):
            raise NotThereYet(
                f"message {one} is not known to be on {devices} other device(s) after {timeout} s; "
                "it stays here, and goes there with the next exchange"
            )
        found = is_there(replica, one, devices)
        assert found is not None
        return found


def is_there(replica: Replica, message: AnyId, devices: int) -> Whereabouts | None:
    """Where a message is, if that many devices besides this one have it.

    Raises:
        InvalidValue: it is no number from 1 on.
        UnknownMessage, ErasedMessage, DeviceRevoked: nobody can wait for it.
    """
    if type(devices) is not int or devices < 1:
        raise InvalidValue(f"devices is a whole number from 1 on, not {devices!r}")
    with replica.reading() as store:
        if store.database.readonly:
            raise ReadOnly("a replica that was opened with readonly=True hears of no device")
        found = where_is(replica, message)
    if found.erased_on:
        raise ErasedMessage(f"message {found.message_id} was erased")
    if len(found.devices) > devices:
        return found
    if replica.revoked:
        raise revoked()
    return None
