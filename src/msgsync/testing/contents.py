"""What lies in a mailbox, opened with all keys that any device has. For tests: it reads everything."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import NamedTuple

from msgsync.account.epochs import Keyring
from msgsync.account.head import Head, Kind
from msgsync.account.seal import checkpoint_name, is_checkpoint_name, log_name, open_object
from msgsync.document.codec import entries_of, scan
from msgsync.document.frozen import decode_frozen
from msgsync.document.schema import Entry, is_about
from msgsync.errors import AccountError
from msgsync.ids import MessageId, encode_ids
from msgsync.protocol.batch import decode_batch, read_piece
from msgsync.protocol.objects import LOGS, by_folder, name_of
from msgsync.replica.replica import Replica
from msgsync.testing.place import SimulatedMailbox


class Content(NamedTuple):
    """An object in a log that could be opened."""

    name: str
    head: Head
    body: bytes


def contents(objects: Mapping[str, bytes], replicas: Sequence[Replica]) -> Iterator[Content]:
    """Every object in the logs of a mailbox that any of these replicas could open, and that lies under its own name."""
    secrets = {secret for replica in replicas for secret in replica.membership.credentials().epochs}
    roster = replicas[0].membership.roster()
    keyring = Keyring(roster.account, secrets)
    for folder, sequences in by_folder(name for name in objects if name.startswith(LOGS)).items():
        for sequence in sequences:
            name = name_of(folder, sequence)
            try:
                opened = open_object(objects[name], keyring=keyring, roster=roster, positions={})
            except AccountError:
                continue
            head = opened.head
            secret = keyring.secret(head.epoch)
            name_for = checkpoint_name if is_checkpoint_name(folder) else log_name
            own = name_for(secret, roster.account, head.device, head.incarnation)
            if (own, head.sequence) == (folder, sequence):
                yield Content(name, head, opened.body)


def entries_in(found: Iterator[Content]) -> Iterator[tuple[str, Entry]]:
    """All entries in batches that are whole, each with the name of the last object of its batch."""
    pieces: defaultdict[str, list[bytes]] = defaultdict(list)
    for name, head, body in found:
        if head.kind != Kind.BATCH:
            continue
        folder = name.rpartition("/")[0]
        piece, is_last = read_piece(body)
        pieces[folder].append(piece)
        if not is_last:
            continue
        raw = b"".join(pieces.pop(folder))
        for document, parts in decode_batch(raw):
            if parts.frozen:
                for entry in decode_frozen(document, parts.frozen).entries():
                    yield name, entry
            for update in parts.updates:
                for entry in entries_of(scan(update)):
                    yield name, entry


def assert_erased(
    place: SimulatedMailbox, replicas: Sequence[Replica], erased: Collection[str]
) -> None:
    """Assert that no object in a mailbox says anything about messages that were erased.

    Raises:
        AssertionError: one does; says which.
    """
    ids = set(encode_ids([MessageId.parse(id).raw for id in erased]))
    for name, entry in entries_in(contents(place.objects(), replicas)):
        about = is_about(entry, ids)
        assert not about, f"{entry.key!r} was erased, and {name} in {place.address} has it"
