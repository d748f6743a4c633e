"""The flat subset of Yjs updates (v1) that msgsync documents consist of: scan and compose, without pycrdt.

An update of this subset is, for each client, a run of structs from a first clock: **entries** (an item directly in a
root map, with a key, without origins, holding one byte string) and **dead runs** (lengths of removed items). It ends
with a delete set, which `scan` checks and drops and `compose` leaves empty: removals never travel (design 4).

`scan` refuses everything else, so its result equals what pycrdt shows after applying the same bytes to an empty
document, as long as no key is live twice (admission checks that). `compose` writes what pycrdt would write.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from msgsync import limits
from msgsync.document.schema import Entry, is_name
from msgsync.errors import Inadmissible

Struct = Entry | int
"""An entry, or the length of a run of dead items."""

NO_UPDATE: Final = b"\0\0"
"""An update that brings nothing: of no client, with an empty delete set."""
_NAMES: Final = ("messages", "edits", "reactions", "deletions", "erased", "fields", "reads")
_PREFIX: Final = {name: b"\x28\x01" + bytes((len(name),)) + name.encode("ascii") for name in _NAMES}
"""How an item begins: content Any with a key (0x28), parent by name (1), the name of the root."""
_ROOT_OF: Final = {prefix: name for name, prefix in _PREFIX.items()}
# The prefix, the key with its length, one value (1) that is a byte string (116).
_ITEM: Final = re.compile(
    b"("
    + b"|".join(map(re.escape, _ROOT_OF))
    + rb")(\x14[0-9a-z]{20}|\x30[0-9a-z.]{48}|\x1b[0-9a-z.]{27}|\x1a[0-9a-z]{26})\x01\x74"
)


@dataclass(slots=True)
class Block:
    """The structs of one client from ``clock`` on."""

    client: int
    clock: int
    structs: list[Struct]

    @property
    def end(self) -> int:
        """The clock behind the last struct."""
        return self.clock + sum(s if type(s) is int else 1 for s in self.structs)


def _varint(raw: bytes, pos: int) -> tuple[int, int]:
    byte = raw[pos]
    pos += 1
    if byte < 128:
        return byte, pos
    number = byte & 127
    shift = 7
    while byte >= 128:
        if shift > 56:
            raise Inadmissible("a number of more than 63 bits in an update")
        byte = raw[pos]
        pos += 1
        number |= (byte & 127) << shift
        shift += 7
    if not byte:
        raise Inadmissible("a number that is not in its shortest form in an update")
    return number, pos


def _to_varint(number: int) -> bytes:
    if number < 128:
        return bytes((number,))
    out = bytearray()
    while number >= 128:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def scan(update: bytes) -> list[Block]:
    """Read an update of the flat subset; keys are ASCII bytes, dead items are merged into runs.

    Raises:
        Inadmissible: the bytes are anything else: nested or linked items, other content, gaps, numbers in a longer
            form than needed, unsorted or repeated clients, limits exceeded, bytes behind the end.
    """
    return scan_form(update)[0]


def scan_form(update: bytes) -> tuple[list[Block], bool]:
    """`scan`, and whether the bytes are sure to be those that `compose` would write for the result."""
    try:
        return _scan(update)
    except IndexError as error:
        raise Inadmissible("an update that is cut off") from error


def _scan(update: bytes) -> tuple[list[Block], bool]:
    blocks: list[Block] = []
    rare = 0
    client_count, pos = _varint(update, 0)
    if client_count > limits.CLIENTS:
        raise Inadmissible(
            f"an update of {client_count} writers; at most {limits.CLIENTS} are admitted"
        )
    last_client = limits.CLIENT_ID + 1
    for _ in range(client_count):
        struct_count, pos = _varint(update, pos)
        client, pos = _varint(update, pos)
        clock, pos = _varint(update, pos)
        if client >= last_client:
            raise Inadmissible("the writers of an update are not distinct, sorted and below 2^53")
        if not struct_count:
            raise Inadmissible("an update with an empty section")
        last_client = client
        structs: list[Struct] = []
        pos, others = _scan_structs(update, pos, struct_count, structs)
        rare += others
        block = Block(client, clock, structs)
        if block.end > limits.CLOCK:
            raise Inadmissible("an update with a clock beyond its limit")
        blocks.append(block)
    end = _scan_delete_set(update, pos)
    if end != len(update):
        raise Inadmissible("an update with bytes behind its end")
    return blocks, not rare and end == pos + 1


def _scan_structs(update: bytes, pos: int, count: int, structs: list[Struct]) -> tuple[int, int]:
    rare = 0
    match = _ITEM.match
    root_of = _ROOT_OF
    new = tuple.__new__  # a third of the time of Entry(...)
    append = structs.append
    size = len(update)
    while count > 0:
        count -= 1
        found = match(update, pos)
        if found is None:
            pos = _scan_other(update, pos, structs)
            rare += 1
            continue
        pos = found.end()
        length = update[pos]
        pos += 1
        if length >= 128:
            length, pos = _varint(update, pos - 1)
            if length > limits.VALUE_BYTES:
                raise Inadmissible("an entry beyond the limit of its value")
        end = pos + length
        if end > size:
            raise Inadmissible("an update that is cut off")
        root, key = found.groups()
        append(new(Entry, (root_of[root], key[1:], update[pos:end])))
        pos = end
    return pos, rare


def _scan_other(update: bytes, pos: int, structs: list[Struct]) -> int:
    """Read one struct the slow way: dead ones, and entries of roots or key lengths we do not write."""
    info = update[pos]
    if info == 0:  # garbage-collected run
        length, pos = _varint(update, pos + 1)
        append_dead(structs, length)
        return pos
    if info not in (0x21, 0x28):
        raise Inadmissible(f"an item of a form that msgsync never writes (0x{info:02x})")
    by_name, pos = _varint(update, pos + 1)
    if by_name != 1:
        raise Inadmissible("an item that is not directly in a root")
    root, pos = _string(update, pos, limits.ROOT_BYTES)
    key, pos = _string(update, pos, limits.KEY_BYTES)
    length, pos = _varint(update, pos)
    if info == 0x21:  # removed item; its key is not kept
        append_dead(structs, length)
        return pos
    if length != 1 or update[pos] != 116:
        raise Inadmissible("an entry whose value is not one byte string")
    length, pos = _varint(update, pos + 1)
    end = pos + length
    if length > limits.VALUE_BYTES or end > len(update):
        raise Inadmissible("an entry that is cut off or beyond the limit of its value")
    structs.append(Entry(root.decode("ascii"), key, update[pos:end]))
    return end


def append_dead(structs: list[Struct], length: int) -> None:
    """Add a run of dead items, merged with one before it."""
    if structs and type(structs[-1]) is int:
        length += structs.pop()  # type: ignore[operator]
    if not 1 <= length <= limits.DEAD_RUN:
        raise Inadmissible("a run of removed items that is empty or beyond its limit")
    structs.append(length)


def _string(update: bytes, pos: int, limit_bytes: int) -> tuple[bytes, int]:
    length, pos = _varint(update, pos)
    raw = update[pos : pos + length]
    if len(raw) != length or not is_name(raw, limit_bytes):
        raise Inadmissible("a root or a key that is not printable ASCII within its limit")
    return raw, pos + length


def _scan_delete_set(update: bytes, pos: int) -> int:
    client_count, pos = _varint(update, pos)
    if client_count > limits.CLIENTS:
        raise Inadmissible("a delete set beyond its limit")
    for _ in range(client_count):
        _, pos = _varint(update, pos)
        range_count, pos = _varint(update, pos)
        if range_count > len(update):
            raise Inadmissible("a delete set that is cut off")
        for _ in range(range_count):
            _, pos = _varint(update, pos)
            _, pos = _varint(update, pos)
    return pos


def compose(blocks: Iterable[Block]) -> bytes:
    """Write an update with an empty delete set; blocks are one a client, in any order."""
    ordered = sorted(blocks, key=lambda block: block.client, reverse=True)
    parts = [_to_varint(len(ordered))]
    for block in ordered:
        parts += (
            _to_varint(len(block.structs)),
            _to_varint(block.client),
            _to_varint(block.clock),
        )
        append = parts.append
        for struct in block.structs:
            if type(struct) is int:
                append(b"\0" + _to_varint(struct))
                continue
            root, key, value = struct  # type: ignore[misc]
            prefix = _PREFIX.get(root) or b"\x28\x01" + _to_varint(len(root)) + root.encode()
            size = len(value)
            if size < 128 and len(key) < 128:
                append(b"%b%c%b\x01\x74%c%b" % (prefix, len(key), key, size, value))
            else:
                sizes = _to_varint(len(key)), _to_varint(size)
                append(b"%b%b%b\x01\x74%b%b" % (prefix, sizes[0], key, sizes[1], value))
    parts.append(b"\0")
    return b"".join(parts)


def join(updates: Iterable[list[Block]]) -> list[Block]:
    """Join the blocks of successive updates of one document into one block a client.

    Raises:
        Inadmissible: a block does not start where the earlier ones of its client end.
    """
    joined: dict[int, Block] = {}
    for blocks in updates:
        for block in blocks:
            before = joined.get(block.client)
            if before is None:
                joined[block.client] = Block(block.client, block.clock, list(block.structs))
                continue
            if block.clock != before.end:
                raise Inadmissible("updates of one document with a gap or an overlap between them")
            for struct in block.structs:
                if type(struct) is int:
                    append_dead(before.structs, struct)
                else:
                    before.structs.append(struct)
    return list(joined.values())


def trim(blocks: Iterable[Block], state: dict[int, int]) -> list[Block]:
    """Return what the blocks hold beyond a state vector.

    Raises:
        Inadmissible: a block starts above the state vector: something before it is missing.
    """
    kept: list[Block] = []
    for block in blocks:
        known = state.get(block.client, 0)
        if block.clock > known:
            raise Inadmissible("an update with a gap before it")
        skip = known - block.clock
        structs = block.structs
        if skip:
            structs = _skip(structs, skip)
        if structs:
            kept.append(Block(block.client, known, structs))
    return kept


def _skip(structs: list[Struct], skip: int) -> list[Struct]:
    for index, struct in enumerate(structs):
        length = struct if type(struct) is int else 1
        if length > skip:
            rest = structs[index + 1 :]
            return [length - skip, *rest] if skip else [struct, *rest]
        skip -= length
    return []


def entries_of(blocks: Iterable[Block]) -> list[Entry]:
    """The entries of the blocks, in order."""
    return [struct for block in blocks for struct in block.structs if type(struct) is not int]  # type: ignore[misc]


def encode_state(state: dict[int, int]) -> bytes:
    """Write a state vector as Yjs does: clients in descending order."""
    parts = [_to_varint(len(state))]
    for client in sorted(state, reverse=True):
        parts += _to_varint(client), _to_varint(state[client])
    return b"".join(parts)


def decode_state(raw: bytes) -> dict[int, int]:
    """Read a state vector.

    Raises:
        Inadmissible: it is not one of distinct clients within the limits.
    """
    try:
        count, pos = _varint(raw, 0)
        if count > limits.CLIENTS:
            raise Inadmissible("a state vector beyond its limit")
        state: dict[int, int] = {}
        for _ in range(count):
            client, pos = _varint(raw, pos)
            clock, pos = _varint(raw, pos)
            if client > limits.CLIENT_ID or clock > limits.CLOCK or client in state:
                raise Inadmissible("a state vector with a client or a clock out of range")
            state[client] = clock
    except IndexError as error:
        raise Inadmissible("a state vector that is cut off") from error
    if pos != len(raw):
        raise Inadmissible("a state vector with bytes behind its end")
    return state
