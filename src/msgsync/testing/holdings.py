"""Where the chunks of attachments lie in a simulation: that none is lost, and none stays that nothing needs.

After each step every chunk of a message that was acknowledged, and that nobody has erased, lies on some device or in
some mailbox. What goes with a device that is gone or fell back, or from a mailbox to which something happened, is no
longer promised: `recount` is asked then. Nor is what another device may let go for what was promised there: nobody can
have told it. At the end all can be read on a new device.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import msgsync
from msgsync.testing.disk import folders_of
from msgsync.testing.promises import Files, look_up
from msgsync.testing.station import Station

if TYPE_CHECKING:
    from msgsync.testing.place import SimulatedMailbox
    from msgsync.testing.simulation import Simulation

_CHUNKS = "chunk/"


def files_of(replica: msgsync.Replica, message: msgsync.Message, contents: list[bytes]) -> Files:
    """What was sent with a message just now."""
    with replica.reading() as store:
        found = store.database.execute(
            "select name from attached a join parts p on p.file = a.file join chunks c on c.key = p.chunk where id = ?",
            (message.id.raw,),
        )
        return Files(tuple(contents), frozenset(name.hex() for (name,) in found))


def needed(replica: msgsync.Replica) -> set[str]:
    """The chunks that messages on a replica need."""
    with replica.reading() as store:
        return {name.hex() for (name,) in store.database.execute("select name from chunks")}


def on_disk(station: Station) -> set[str]:
    """The chunks that lie in the folder of a device."""
    return {
        one.name
        for folder in folders_of(station.path)
        for one in folder.rglob("*")
        if one.is_file() and "." not in one.name
    }


def lying(run: Simulation) -> set[str]:
    """The chunks that lie anywhere."""
    return {name for station in run.stations for name in on_disk(station)} | _in_mailboxes(run)


def _in_mailboxes(run: Simulation) -> set[str]:
    return {name for place in run.places for name in _chunks_in(place)}


def _chunks_in(place: SimulatedMailbox) -> set[str]:
    return {name.rpartition("/")[2] for name in place.kept() if name.startswith(_CHUNKS)}


def _promised(run: Simulation) -> dict[str, Files]:
    """By message: what nobody can have erased."""
    promises = run.promises
    gone = promises.erased | promises.perhaps_erased
    if promises.may_expire:
        gone |= promises.perhaps_deleted
    return {id: files for id, files in promises.files.items() if id not in gone}


def assert_none_lost(run: Simulation) -> None:
    """Assert that every chunk that is promised lies somewhere.

    Raises:
        AssertionError: one does not; says of which message it is.
    """
    promised = _promised(run)
    if not promised:
        return
    here = lying(run)
    for id, files in promised.items():
        lost = files.chunks - here
        assert not lost, f"an attachment of {id} is lost: of {len(files.chunks)} chunks {len(lost)}"


def recount(run: Simulation) -> None:
    """Promise no more than what somebody has and will keep: a device is gone with what it had, or a mailbox."""
    keepers = {place.address: _chunks_in(place) for place in run.places}
    for station in run.stations:
        keepers.setdefault(_identity(station), set()).update(_bound(station))
    kept = _in_mailboxes(run)
    for station in run.stations:
        kept |= _has(station) - _may_go_for_nobody(station, keepers)
    run.promises.files = {
        id: files for id, files in run.promises.files.items() if files.chunks <= kept
    }


def _has(station: Station) -> set[str]:
    """What a device that fell back does not know to be needed any more lies in its folder until it removes it."""
    return on_disk(station) & needed(station.replica)


def _bound(station: Station) -> set[str]:
    """The chunks that a device has, and has promised somebody to keep."""
    with station.replica.reading() as store:
        found: list[Any] = store.database.execute(
            "select name from promises join chunks on key = chunk"
        ).fetchall()
    return _has(station) & {name.hex() for (name,) in found}


def _identity(station: Station) -> str:
    with station.replica.reading() as store:
        return (store.identity.device.raw + store.identity.store_id).hex()


def _may_go_for_nobody(station: Station, keepers: Mapping[str, set[str]]) -> set[str]:
    """The chunks that a device may let go for a device or a mailbox that had them, and has not any more.

    Args:
        station: the device, which cannot know that.
        keepers: what is really kept, by the address of a mailbox, or by device and store.
    """
    bound = _bound(station)  # goes for a mailbox, and for no device
    with station.replica.reading() as store:
        found: list[Any] = store.database.execute(
            "select name, place, store_id from copies join chunks on key = chunk where promised"
        ).fetchall()
    gone = set()
    for name, place, store_id in found:
        is_mailbox = isinstance(place, str)
        keeps = keepers.get(place if is_mailbox else (place + store_id).hex(), set())
        if name.hex() not in (keeps if is_mailbox else keeps | bound):
            gone.add(name.hex())
    return gone


def assert_none_left(run: Simulation) -> None:
    """Assert that no device, opened anew, has chunks that no message needs.

    Raises:
        AssertionError: one has.
    """
    for station in run.stations:
        left = on_disk(station) - needed(station.replica)
        assert not left, f"{station} keeps {len(left)} chunks that nothing needs: {sorted(left)}"


def assert_readable_on(run: Simulation, fresh: Station) -> None:
    """Assert that a new device that has met all the others can read every attachment that is promised.

    Raises:
        AssertionError: it cannot, or reads something else than was sent.
    """
    for id, files in _promised(run).items():
        message = look_up(fresh.replica, id)
        if not isinstance(message, msgsync.Message):
            continue  # what is said of messages is checked elsewhere
        for one, content in zip(message.attachments, files.contents, strict=True):
            assert one.bytes_here == one.size, f"{one.name} of {id} does not come: {one.state}"
            with one.open() as file:
                assert file.read() == content, f"{one.name} of {id} is not what was sent"
