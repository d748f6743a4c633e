"""Frozen documents: the entries that still matter, sorted, in columns. Source: design 8, docs/specification.md.

A frozen document has no history, no writers and no clocks; nothing of pycrdt is in it. Two replicas in the same state
freeze to the same bytes. Messages lie in columns, field by field: they take less room, and a thousand of them are read
in the time of a few. Every other entry lies as key and value.
"""

from __future__ import annotations

import hashlib
import sys
from array import array
from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from contextlib import suppress
from itertools import accumulate, pairwise
from operator import lt, sub
from typing import Any, Final, NamedTuple

import cbor2

from msgsync import limits
from msgsync.cbor import argument, load
from msgsync.document.columns import Messages
from msgsync.document.fold import fold
from msgsync.document.gonefiles import GoneFiles, gone_files, messages_without, without_gone
from msgsync.document.head import HeadState
from msgsync.document.reader import EntryReader
from msgsync.document.schema import ERASED, MESSAGES, DocumentId, Entry, is_about, is_name, new
from msgsync.errors import Inadmissible, InvalidValue
from msgsync.ids import encode_ids
from msgsync.records import (
    MessageColumns,
    decode_message_columns,
    decode_rest,
    encode_erased,
    encode_erased_fields,
    encode_message_columns,
    erased_key,
)

_FORMAT: Final = 1
_WIDTHS: Final = ((2, "H"), (4, "I"), (8, "Q"))
"""Of columns of numbers, beyond those of one byte each, which are bytes as they lie."""
_TAIL: Final = 6
_BEGINNINGS: Final = bytes(byte for byte in range(256) if not 0x80 <= byte < 0xC0)
"""Bytes with which a character of UTF-8 can begin."""
_LAST_COLUMN: Final = 4
"""The greatest field of a record that has a column of its own."""
_KINDS: Final = (int, int, bytes, bytes, int, *(bytes,) * 10)
_ROOT_KINDS: Final = (bytes, int, bytes, bytes, bytes, bytes)
_MOST_ROOTS: Final = 2**16
_MOST_FIELDS: Final = len(_KINDS) + _MOST_ROOTS * len(_ROOT_KINDS)
_NUMBERS: Final = [place for place, kind in enumerate(_KINDS) if kind is int]
_ARRAY: Final = 4
"""A major type of CBOR."""


class Label(NamedTuple):
    """Which frozen form the updates of a document stand beside. Greater labels are taken when two meet (design 8)."""

    generation: int = 0
    """How often the document was frozen; 0 for one that never was."""
    base: bytes = b""
    """16 bytes: see `base_of`. What is erased later leaves the frozen form, but not its name."""


NEVER_FROZEN: Final = Label()


class Parts(NamedTuple):
    """What a document consists of, or what of it somebody lacks."""

    label: Label
    frozen: bytes
    """The frozen form; nothing if there is none, or if it is not lacked."""
    updates: tuple[bytes, ...]

    @property
    def size_bytes(self) -> int:
        """How long it is."""
        return len(self.frozen) + sum(map(len, self.updates))


class Frozen(NamedTuple):
    """What a frozen document consists of."""

    messages: Messages
    """Their ids ascend."""
    others: list[Entry]
    """All other entries, sorted by root and key: messages too, if columns would not give them back to the byte."""

    @property
    def ids(self) -> list[bytes]:
        """Of the messages, 12 bytes each."""
        return list(self.messages.ids)

    def entries(self) -> list[Entry]:
        """All of it as entries."""
        return message_entries(self.messages) + self.others

    def without(self, gone: AbstractSet[bytes]) -> Frozen:
        """The same without every entry about these ids (12 bytes each)."""
        texts = set(encode_ids(list(gone)))
        kept = [place for place, one in enumerate(self.messages.ids) if one not in gone]
        others = [entry for entry in self.others if not is_about(entry, texts)]
        return Frozen(self.messages.chosen(kept), others)

    def without_files(self, gone: GoneFiles) -> Frozen:
        """The same without what was in these attachments."""
        return Frozen(messages_without(self.messages, gone), without_gone(self.others, gone))


def message_entries(messages: Messages) -> list[Entry]:
    """Messages as entries."""
    keys = encode_ids(messages.ids)
    return [new(Entry, (MESSAGES, *pair)) for pair in zip(keys, messages.values(), strict=True)]


def freeze(document: DocumentId, entries: Iterable[Entry]) -> Frozen:
    """What is left of a document's entries when it is frozen: those that matter, and erasures joined.

    A function of what the entries amount to alone, so replicas in the same state freeze to equal content.
    """
    entries = list(entries)
    entries = without_gone(entries, gone_files(document, entries))
    state = fold(document, entries)
    gone = set(state.irrelevant)
    left = [entry for entry in entries if entry not in gone]
    if (
        document.is_segment or document.has_fields
    ):  # what another kind calls erased is not for us to read
        left = [one for one in left if one.root != ERASED or one in state.unreadable]
        left += [Entry(ERASED, erased_key(value), value) for value in _erasures(state)]
    return arrange(document, left)


def _erasures(state: Any) -> list[bytes]:
    step = limits.IDS_PER_ENTRY
    if isinstance(state, HeadState):
        names = sorted(state.erased)
        return [
            encode_erased_fields({one: state.erased[one] for one in names[start : start + step]})
            for start in range(0, len(names), step)
        ]
    ids = sorted(state.erased)
    return [encode_erased(ids[start : start + step]) for start in range(0, len(ids), step)]


def arrange(document: DocumentId, entries: Iterable[Entry]) -> Frozen:
    """Put entries, of distinct keys, into the order and the columns of a frozen document."""
    reader = EntryReader(document)
    messages: list[tuple[bytes, MessageColumns]] = []
    others: list[Entry] = []
    for entry in entries:
        if entry.root == MESSAGES and document.is_segment:
            try:
                message = reader.message_id(entry), decode_message_columns(entry.value)
            except InvalidValue:
                message = None
            if message is not None and encode_message_columns(message[1]) == entry.value:
                messages.append(message)
                continue
        others.append(entry)  # as it lies: so does a message that writes down an order of 0
    messages.sort(key=lambda message: message[0])
    return Frozen(Messages.of(messages), sorted(others))


def base_of(content: bytes) -> bytes:
    """The 16 bytes that name a frozen document by its content."""
    return hashlib.sha256(content).digest()[:16]


# Bytes.


def encode_frozen(frozen: Frozen) -> bytes:
    """The bytes of a frozen document. Raises Inadmissible if it is larger, or of more roots, than one may be."""
    ids, times, authors, texts, orders, externals, rests = frozen.messages
    if len(ids) > limits.DOCUMENT_MESSAGES:
        raise Inadmissible(f"a document of more than {limits.DOCUMENT_MESSAGES} messages")
    names = {author: number for number, author in enumerate(dict.fromkeys(authors))}
    fields: list[int | bytes] = [
        _FORMAT,
        times[0] if times else 0,
        _numbers([0, *map(sub, times[1:], times)] if times else []),
        b"".join([one[_TAIL:] for one in ids]),
        len(names),
        *_joined(list(names)),
        _numbers(list(map(names.__getitem__, authors))),
        _numbers(orders),
        *_joined(texts),
        *_joined(externals),
        *_joined(rests),
    ]
    by_root: dict[str, list[Entry]] = {}
    for entry in frozen.others:
        by_root.setdefault(entry.root, []).append(entry)
    if len(by_root) > _MOST_ROOTS:
        raise Inadmissible(f"a document of more than {_MOST_ROOTS} roots")
    for root, members in by_root.items():
        keys = _joined([entry.key for entry in members])
        values = _joined([entry.value for entry in members])
        fields += root.encode("ascii"), len(members), *keys, *values
    content = cbor2.dumps(fields)
    if len(content) > limits.DOCUMENT_BYTES:
        raise Inadmissible(f"a document of more than {limits.DOCUMENT_BYTES} bytes")
    return content


def _numbers(numbers: Sequence[int]) -> bytes:
    """A column of numbers: little-endian, each in the fewest bytes (1, 2, 4, 8) that hold all; nothing if all are 0."""
    try:
        # Most columns fit, which asks each number once.
        narrow = bytes(numbers if type(numbers) is list else [*numbers])
    except ValueError:
        pass
    else:
        return narrow if narrow.strip(b"\0") else b""
    for _, code in _WIDTHS:
        with suppress(OverflowError):
            return _little(array(code, numbers)).tobytes()
    raise InvalidValue("a number below 0, or of more than 64 bits")


def _little(numbers: array[int]) -> array[int]:
    if sys.byteorder == "big":
        numbers.byteswap()
    return numbers


def _joined(members: Sequence[bytes]) -> tuple[bytes, bytes]:
    """Two columns: how long each is, and all one behind the other."""
    return _numbers(list(map(len, members))), b"".join(members)


def decode_frozen(document: DocumentId, content: bytes) -> Frozen:
    """Read a frozen document, from the store or from outside.

    Raises:
        Inadmissible: it is anything but what `encode_frozen` writes for entries of this document.
    """
    try:
        return _decode(document, content)
    except (
        InvalidValue,
        cbor2.CBORDecodeError,
        cbor2.CBOREncodeError,
        ValueError,
        IndexError,
    ) as error:
        raise Inadmissible(f"a frozen document that cannot be read ({error})") from error


def _decode(document: DocumentId, content: bytes) -> Frozen:
    fields = _fields(content)
    if fields[0] != _FORMAT:
        raise InvalidValue(f"format {fields[0]}")
    first_ms, steps, tails = fields[1:4]
    count = len(tails) // _TAIL
    if count > limits.DOCUMENT_MESSAGES:
        raise InvalidValue(f"more than {limits.DOCUMENT_MESSAGES} messages")
    ids, times = _ids(first_ms, _read_numbers(steps, count), tails)
    if ids:
        reader = EntryReader(document)
        if not (document.is_segment and reader.is_here(ids[0]) and reader.is_here(ids[-1])):
            raise InvalidValue("a message of another month")
    messages = _messages(ids, times, *fields[4 : len(_KINDS)])
    return Frozen(messages, _others(document, ids, fields[len(_KINDS) :]))


def _fields(content: bytes) -> list[Any]:
    """Read an array of numbers and byte strings, in its one form."""
    if len(content) > limits.DOCUMENT_BYTES or content[0] >> 5 != _ARRAY:
        raise InvalidValue("no array, or too long")
    count, _ = argument(content, 0)
    if count > _MOST_FIELDS:
        raise InvalidValue("too many fields")
    fields: list[Any] = load(content)
    if [*map(type, fields)] != [*_KINDS] + [*_ROOT_KINDS] * (
        (count - len(_KINDS)) // len(_ROOT_KINDS)
    ):
        raise InvalidValue("other fields than a frozen document has")
    if min(fields[number] for number in _NUMBERS) < 0:
        raise InvalidValue("a number below 0")
    return fields


def _read_numbers(raw: bytes, count: int) -> Sequence[int]:
    if not raw:
        return (0,) * count
    if len(raw) == count:
        if not raw.strip(b"\0"):
            raise InvalidValue("a column of nothing but 0")
        return raw
    width = len(raw) // count if count else 0
    for known, code in _WIDTHS:
        if width == known and len(raw) == width * count:
            numbers = array(code)
            numbers.frombytes(raw)
            numbers = _little(numbers)
            if max(numbers) < 1 << 4 * width:
                raise InvalidValue("a column that is wider than it needs to be")
            return numbers
    raise InvalidValue("a column of another length")


def _ids(first_ms: int, steps: Sequence[int], tails: bytes) -> tuple[list[bytes], list[int]]:
    """The ids, and their milliseconds."""
    count = len(steps)
    if len(tails) != count * _TAIL or (steps[0] if count else first_ms):
        raise InvalidValue("other ids than a frozen document has")
    times = list(accumulate(steps, initial=first_ms))[1:]
    if count and times[-1] > limits.MS:
        raise InvalidValue("an id beyond its limit")
    ids = [
        ms.to_bytes(_TAIL, "big") + tails[start : start + _TAIL]
        for ms, start in zip(times, range(0, len(tails), _TAIL), strict=True)
    ]
    if not all(map(lt, ids, ids[1:])):
        raise InvalidValue("ids that are not sorted and distinct")
    return ids, times


def _messages(
    ids: list[bytes],
    times: list[int],
    name_count: int,
    name_sizes: bytes,
    names_joined: bytes,
    *columns: bytes,
) -> Messages:
    count = len(ids)
    authors, orders, text_sizes, text, external_sizes, external, rest_sizes, rest = columns
    if name_count > count:
        raise InvalidValue("more names of authors than messages")
    names = _cut(name_sizes, names_joined, name_count, limits.NAME_BYTES)
    numbers = _read_numbers(authors, count)
    # In order of appearance: the first use of each name is one above all before it.
    if list(dict.fromkeys(numbers)) != list(range(name_count)) or len({*names}) != name_count:
        raise InvalidValue("names of authors that are not each used, in order")
    places = _read_numbers(orders, count)
    if count and max(places) > limits.MS:
        raise InvalidValue("an order beyond its limit")
    texts = _cut(text_sizes, text, count, limits.TEXT_BYTES)
    externals = _cut(external_sizes, external, count, limits.EXTERNAL_ID_BYTES)
    rests = _cut(rest_sizes, rest, count, limits.VALUE_BYTES)
    for joined, members in ((names_joined, names), (text, texts), (external, externals)):
        _check_texts(joined, members)
    by = list(map(names.__getitem__, numbers))
    messages = Messages(ids, times, by, texts, places, externals, rests)
    if rest:
        for place, one in enumerate(rests):
            if one:
                _check_rest(messages, place, one)
    return messages


def _check_texts(joined: bytes, members: Sequence[bytes]) -> None:
    """Check that each is UTF-8: all of it together, and none begins within a character."""
    if not joined.isascii():
        joined.decode()
        if b"".join([member[:1] for member in members]).translate(None, _BEGINNINGS):
            raise InvalidValue("a text that begins within a character")


def _check_rest(messages: Messages, place: int, rest: bytes) -> None:
    """Check that it is what `records` keeps together, in its one form."""
    decode_rest(rest)
    field_count, pos = argument(rest, 0)
    first_key, _ = argument(rest, pos)
    if first_key <= _LAST_COLUMN:
        raise InvalidValue("a field that has a column of its own")
    much = len(rest) + len(messages.texts[place]) > limits.VALUE_BYTES // 2
    if much or field_count + _LAST_COLUMN > limits.FIELDS:
        [value] = messages.chosen([place]).values()
        decode_message_columns(value)  # refuses what is too much together


def _cut(sizes: bytes, blob: bytes, count: int, limit: int) -> Sequence[bytes]:
    if not blob and not sizes:
        return (b"",) * count
    lengths = _read_numbers(sizes, count)
    ends = list(accumulate(lengths))
    if not ends or ends[-1] != len(blob) or max(lengths) > limit:
        raise InvalidValue("a column whose lengths do not fit it")
    return [blob[start:end] for start, end in pairwise([0, *ends])]


def _others(document: DocumentId, ids: Sequence[bytes], fields: list[Any]) -> list[Entry]:
    others: list[Entry] = []
    for start in range(0, len(fields), len(_ROOT_KINDS)):
        root, count, key_sizes, joined, value_sizes, values = fields[start : start + 6]
        if not is_name(root, limits.ROOT_BYTES):
            raise InvalidValue("a root that is not printable ASCII within its limit")
        if not 0 < count <= len(joined) or not is_name(joined, len(joined)):
            raise InvalidValue("a key that is not printable ASCII, or a root without entries")
        keys = _cut(key_sizes, joined, count, limits.KEY_BYTES)
        if not all(map(lt, keys, keys[1:])) or not keys[0]:
            raise InvalidValue("entries that are not sorted and distinct")
        named = root.decode("ascii")
        if others and others[-1].root >= named:
            raise InvalidValue("roots that are not sorted and distinct")
        members = _cut(value_sizes, values, count, limits.VALUE_BYTES)
        entries = [new(Entry, (named, *pair)) for pair in zip(keys, members, strict=True)]
        if named == MESSAGES:
            _must_not_be_columns(document, ids, entries)
        others += entries
    return others


def _must_not_be_columns(
    document: DocumentId, ids: Sequence[bytes], entries: Sequence[Entry]
) -> None:
    """A message that can lie in columns does, and once: there is one form for the same content, and one entry a key."""
    if arrange(document, entries).messages.ids:
        raise InvalidValue("a message beside the columns")
    texts = set(encode_ids(list(ids)))
    if any(entry.key in texts for entry in entries):
        raise InvalidValue("a message of two values")
