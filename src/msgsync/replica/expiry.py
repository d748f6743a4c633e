"""Erasing by itself what has been deleted for long enough. Source: design 4 (Retention), decision 28.

Three things must be so, and one wrong clock cannot make any of them so:

- A deletion counts as stored from when a peer's clock agreed with this device's, within a day, after it was stored:
  what the clock said before does not matter.
- It agrees within a day with the time that the last peer said.
- Since the retention ended every live device was heard of, by two clocks that agreed, and all that it is known to have
  committed is here: it may be a restoration. Or as long again has passed.

A device that has no other has nobody to ask: there its own clock decides, but a leap of more than a year is not
believed, there or anywhere: what seems to have been deleted so long ago, or in the future, begins anew.
"""

from __future__ import annotations

from msgsync import limits
from msgsync.replica import trash
from msgsync.replica.devices import live_devices
from msgsync.store.store import Store


def run(store: Store, now_ms: int) -> int:
    """Erase what may be erased now; return how many messages. Within a transaction."""
    others = live_devices(store) - {store.identity.device.raw}
    if others and not _agrees(store, now_ms):
        return 0
    kept_ms = trash.retention_ms(store)
    if others:
        store.trash.confirm(now_ms)
    store.trash.doubt(
        now_ms - 2 * kept_ms - limits.LEAP_MS, now_ms + limits.CLOCKS_AGREE_MS, now_ms
    )
    until_ms = now_ms - kept_ms
    if others:
        heard_ms = min(_heard_ms(store, others).values())
        until_ms = max(min(until_ms, heard_ms - kept_ms), now_ms - 2 * kept_ms)
    return trash.erase_deleted(store, until_ms=until_ms)


def is_due(store: Store, now_ms: int) -> bool:
    """Whether `run` may change anything after an exchange."""
    if not _agrees(store, now_ms):
        return False
    return store.trash.has_unconfirmed() or _first_expired_ms(store, now_ms) is not None


def waited_for(store: Store, now_ms: int) -> list[bytes]:
    """The live devices whose word is missing before the first deletion that has expired may be erased."""
    expired_ms = _first_expired_ms(store, now_ms)
    if expired_ms is None:
        return []
    others = live_devices(store) - {store.identity.device.raw}
    return sorted(
        device for device, heard_ms in _heard_ms(store, others).items() if heard_ms < expired_ms
    )


def _first_expired_ms(store: Store, now_ms: int) -> int | None:
    """When the first retention ended of what could be erased; None if none has."""
    kept_ms = trash.retention_ms(store)
    stored_ms = store.trash.first_ms()
    if stored_ms is None or stored_ms + kept_ms > now_ms:
        return None  # as mostly, and quickly found
    first_ms = trash.first_erasable_ms(store)
    return None if first_ms is None or first_ms + kept_ms > now_ms else first_ms + kept_ms


def _heard_ms(store: Store, others: set[bytes]) -> dict[bytes, int]:
    """When each of these devices was heard, of those whose commits are all here; of the others 0.

    That a device was heard travels from device to device, and comes before what it had written by then.
    """
    standings = store.standings()
    has = standings[store.identity.device.raw].has
    heard_ms = dict.fromkeys(others, 0)
    for device in others & standings.keys():
        if has.get(device, 0) >= standings[device].has.get(device, 0) > 0:
            heard_ms[device] = standings[device].heard_ms
    return heard_ms


def _agrees(store: Store, now_ms: int) -> bool:
    """Whether this clock agrees with the last peer's time that was seen, which so was within the last day."""
    peer_ms = store.peers.last_time_ms()
    return peer_ms is not None and abs(now_ms - peer_ms) <= limits.CLOCKS_AGREE_MS
