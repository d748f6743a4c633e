"""Whether what a replica claims of other devices is true of their replicas."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from msgsync.errors import ErasedMessage, UnknownMessage
from msgsync.ids import DeviceId, MessageId
from msgsync.replica.replica import Replica
from msgsync.replica.values import Message


def assert_claims_hold(
    replica: Replica, others: Iterable[Replica], *, unheard: Collection[DeviceId] = ()
) -> int:
    """Assert that a replica claims of others only what is true of them; return how many claims there were.

    Every message that it has, or knows to be erased: each device that `Replica.where_is` names has it with all its
    edits, or it was erased there since; each that it names as having erased it has. And if it calls itself safe to
    remove, all that it has is on some other device, or was on one that is not among the others. A device that began
    anew after it was heard of last (put back from a backup) is passed over, for nobody can know that yet.

    Args:
        replica: whose claims are checked.
        others: the replicas of the other devices; of devices that are not among them nothing is checked.
        unheard: devices whose file was replaced by an earlier copy without `msgsync.restore`, and that were not in an
            exchange since: nobody can know that either.

    Raises:
        AssertionError: a claim is false; says which.
    """
    there = {
        other.device: other
        for other in others
        if other.device != replica.device
        and other.device not in unheard
        and _is_known_store(replica, other)
    }
    ids = _ids(replica)
    claims = 0
    for id in ids:
        where = replica.where_is(id)
        for device in {*where.devices, *where.erased_on} & there.keys():
            claims += 1
            found = _look_up(there[device], id)
            claim = f"{replica.path.name} claims that {there[device].path.name}"
            if device in where.erased_on:
                assert found is _ERASED, f"{claim} has erased {id}, and it has not: {found!r}"
            elif found is not _ERASED:
                assert isinstance(found, Message), f"{claim} has {id}, and it has not"
                missing = {*replica.message(id).edits} - {*found.edits}
                assert not missing, f"{claim} has {id} as it is here, and it lacks edits of it"
    left_out = {other.device for other in others} - there.keys() - {replica.device}
    if not left_out and replica.safe_to_remove(replica.device).safe:
        for id in ids:
            where = replica.where_is(id)
            if {*where.devices, *where.erased_on} - there.keys() - {replica.device}:
                continue
            assert any(_look_up(other, id) is not None for other in there.values()), (
                f"{replica.path.name} calls itself safe to remove, and nobody else has {id}"
            )
    return claims


_ERASED = object()


def _look_up(replica: Replica, id: MessageId) -> Message | object | None:
    try:
        return replica.message(id)
    except ErasedMessage:
        return _ERASED
    except UnknownMessage:
        return None


def _is_known_store(replica: Replica, other: Replica) -> bool:
    with other.reading() as store:
        store_id = store.identity.store_id
    with replica.reading() as store:
        standing = store.standings().get(other.device.raw)
    return standing is None or standing.store_id == store_id


def _ids(replica: Replica) -> list[MessageId]:
    """All messages that are here, shown or not, and all that are known to be erased."""
    with replica.reading():
        cursor, ids = None, []
        while True:
            page = replica.changes(after=cursor)
            ids += [change.id for change in page if change.id is not None]
            if not page.more:
                return ids
            cursor = page.cursor
