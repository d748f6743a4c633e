"""The bytes of frames, one by one and in a stream. Source: design 7, docs/specification.md.

A frame is four bytes of length (big-endian), one byte that says whether the rest is compressed, and a CBOR array whose
first element is the type. The length is checked before anything is read, the size after decompression before
anything is decompressed, the shape before anything is believed.
"""

from __future__ import annotations

import struct
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import fields
from itertools import pairwise, repeat
from typing import Any, Final, get_args

import cbor2

from msgsync import limits
from msgsync.account.epochs import COMMITMENT_BYTES
from msgsync.cbor import NO_TAGS, end_of, refuse_tag
from msgsync.document.frozen import Label, Parts
from msgsync.document.schema import DocumentId
from msgsync.errors import InvalidValue, ProtocolError
from msgsync.protocol.frames import (
    ACCOUNT_BYTES,
    VERSION,
    Alive,
    Ask,
    Bye,
    Done,
    Enough,
    Frame,
    Hello,
    Keep,
    Kept,
    Keys,
    Known,
    Offer,
    Offers,
    Part,
    Piece,
    Push,
    Refuse,
    Start,
    Stored,
    Stranger,
    Updates,
    Want,
)
from msgsync.records import CHUNK_NAME_BYTES
from msgsync.standing import DIGEST_BYTES, Standing, Standings

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_PLAIN: Final = 0
_ZSTD: Final = 1
_WORTH_COMPRESSING_BYTES: Final = 200
_LENGTH: Final = struct.Struct(">I")
_TYPES: Final[dict[int, type[Any]]] = {kind.TYPE: kind for kind in get_args(Frame)}


def encode_frame(frame: Frame) -> bytes:
    """The bytes of a frame, with its length in front."""
    values: list[Any] = [frame.TYPE]
    for each in fields(frame):
        value = getattr(frame, each.name)
        if isinstance(frame, Known) and value is frame.known:
            value = _plain_standings(value, frame.same)
        value = _plain(value)
        values += value if each.name == "label" else [value]
    body = cbor2.dumps(values)
    is_noise = isinstance(frame, Piece)  # it is sealed
    packed = body if is_noise or len(body) < _WORTH_COMPRESSING_BYTES else zstd.compress(body)
    if len(packed) < len(body):
        return _LENGTH.pack(len(packed) + 1) + bytes((_ZSTD,)) + packed
    return _LENGTH.pack(len(body) + 1) + bytes((_PLAIN,)) + body


def _plain(value: Any) -> Any:
    if isinstance(value, Offer):
        said = value.digest, value.newest_ms, value.messages, value.bytes
        return [*value.document, *said, *value.label]
    if isinstance(value, Parts):
        return [*value.label, value.frozen, value.updates]
    if isinstance(value, dict):
        return _plain_standings(value)
    if isinstance(value, frozenset):
        return sorted(value)
    if isinstance(value, tuple):
        flat: list[Any] = []
        for member in value:
            plain = _plain(member)
            flat += plain if isinstance(member, Label | Parts | DocumentId) else [plain]
        return flat
    return value


def _plain_standings(known: Standings, same: Collection[bytes] = ()) -> list[Any]:
    """A row a device, in order of the devices; the numbers at its end are in the order of these and the others."""
    columns = sorted([*known, *same])
    return [
        [device, *known[device][:3], *map(known[device].has.get, columns, repeat(0))]
        for device in sorted(known)
    ]


def decode_frame(raw: bytes) -> Frame:
    """Read a frame without its length.

    Raises:
        ProtocolError: it is none.
    """
    if not 2 <= len(raw) <= limits.FRAME_BYTES:
        raise ProtocolError(f"a frame of {len(raw)} bytes; 2 to {limits.FRAME_BYTES} are allowed")
    try:
        body = _expand(raw)
        if end_of(body, 0) != len(body):
            raise ProtocolError("a frame with bytes behind its end")
        values = cbor2.loads(
            body,
            max_depth=5,
            allow_indefinite=False,
            allow_duplicate_keys=False,
            strict_hashable_types=True,
            tag_hook=refuse_tag,
            semantic_decoders=NO_TAGS,
        )
        number, *rest = _typed(values, list, "content")
        return _READERS[_TYPES[_number(number, "type")]](*rest)  # type: ignore[no-any-return]
    except ProtocolError:
        raise
    except (
        InvalidValue,
        cbor2.CBORDecodeError,
        zstd.ZstdError,
        KeyError,
        TypeError,
        ValueError,
        IndexError,
    ) as error:
        raise ProtocolError(f"a frame that cannot be read ({type(error).__name__})") from error


def _expand(raw: bytes) -> bytes:
    if raw[0] == _PLAIN:
        return raw[1:]
    if raw[0] != _ZSTD:
        raise ProtocolError("a frame of an unknown form")
    size = zstd.get_frame_info(raw[1:]).decompressed_size
    if size is None or size > limits.FRAME_BYTES:
        raise ProtocolError("a frame that grows beyond its limit")
    decompressor = zstd.ZstdDecompressor()
    body = decompressor.decompress(raw[1:], max_length=limits.FRAME_BYTES)
    if not decompressor.eof or decompressor.unused_data:
        raise ProtocolError("a frame with bytes behind its end")
    return body


def _typed(value: Any, kind: type, what: str) -> Any:
    if type(value) is not kind:
        raise ProtocolError(f"{what} of a frame is of the wrong type")
    return value


def _number(value: Any, what: str, limit: int = limits.MS) -> int:
    if type(value) is not int or not 0 <= value <= limit:
        raise ProtocolError(f"{what} of a frame is out of range")
    return value


def _sized(value: Any, size: int, what: str) -> bytes:
    if type(value) is not bytes or len(value) != size:
        raise ProtocolError(f"{what} of a frame is of the wrong size")
    return value


def _hello(version: Any, *rest: Any) -> Hello:
    if _number(version, "version") != VERSION:  # later ones may say more: read what stays in place
        return Hello(version, bytes(8), bytes(8), 0, bytes(16), bytes(16), 0, 0)
    account, device, time_ms, root, store_id, documents, messages, live, known, keys, asks = rest
    return Hello(
        version,
        _sized(account, ACCOUNT_BYTES, "account"),
        _sized(device, 8, "device"),
        _number(time_ms, "time"),
        _sized(root, 16, "root"),
        _sized(store_id, 16, "store id"),
        _number(documents, "documents"),
        _number(messages, "messages"),
        _typed(live, bool, "live"),
        _sized(known, DIGEST_BYTES, "digest of what is known"),
        _sized(keys, DIGEST_BYTES, "digest of keys"),
        _typed(asks, bool, "asks"),
    )


def _refuse(reason: Any, words: Any) -> Refuse:
    return Refuse(_number(reason, "reason", 255), _typed(words, str, "words")[:500])


def _start(bins: Any) -> Start:
    return Start(_sized(bins, 4096 if bins else 0, "bins"))


def _offers(offers: Any, last: Any) -> Offers:
    if len(_typed(offers, list, "offers")) > limits.OFFERS_PER_FRAME:
        raise ProtocolError(f"a frame of more than {limits.OFFERS_PER_FRAME} offers")
    return Offers(tuple(_offer(*offer) for offer in offers), _typed(last, bool, "last"))


def _offer(
    conversation: Any, kind: Any, digest: Any, newest_ms: Any, messages: Any, size: Any, *label: Any
) -> Offer:
    return Offer(
        _document(conversation, kind),
        _sized(digest, 16, "digest"),
        _number(newest_ms, "newest"),
        _number(messages, "messages"),
        _number(size, "bytes"),
        _label(*label),
    )


def _document(conversation: Any, kind: Any) -> DocumentId:
    document = DocumentId(_typed(conversation, str, "conversation"), _typed(kind, str, "kind"))
    if max(map(len, document)) > limits.NAME_BYTES:  # those of wrong names are refused one by one
        raise ProtocolError("the name of a document in a frame is beyond its limit")
    return document


def _label(generation: Any, base: Any) -> Label:
    _number(generation, "generation", limits.GENERATION)
    return Label(generation, _sized(base, 16 if generation else 0, "base"))


def _parts(generation: Any, base: Any, frozen: Any, updates: Any) -> Parts:
    label = _label(generation, base)
    if _typed(frozen, bytes, "frozen form") and not generation:
        raise ProtocolError("a frozen form without a generation in a frame")
    members = _typed(updates, list, "updates")
    return Parts(label, frozen, tuple(_typed(update, bytes, "update") for update in members))


def _want(wanted: Any) -> Want:
    return Want(
        tuple(
            (
                _number(number, "number"),
                _label(generation, base),
                _typed(state, bytes, "state vector"),
            )
            for number, generation, base, state in _typed(wanted, list, "wanted")
        )
    )


def _updates(documents: Any) -> Updates:
    return Updates(
        tuple(
            (_number(number, "number"), _parts(*parts))
            for number, *parts in _typed(documents, list, "documents")
        )
    )


def _part(number: Any, generation: Any, base: Any, piece: Any, last: Any, final: Any) -> Part:
    return Part(
        _number(number, "number"),
        _label(generation, base),
        _typed(piece, bytes, "piece"),
        _typed(last, bool, "last"),
        _typed(final, bool, "final"),
    )


def _done(root: Any, known: Any, asks: Any) -> Done:
    return Done(_sized(root, 16, "root"), _standings(known), _typed(asks, bool, "asks"))


def _known(root: Any, time_ms: Any, known: Any, same: Any) -> Known:
    others = _devices([[one] for one in _typed(same, list, "devices")])
    standings = _standings(known, others)
    if not standings.keys().isdisjoint(others):
        raise ProtocolError("a device of which something is said, and that it is the same")
    return Known(_sized(root, 16, "root"), _number(time_ms, "time"), standings, frozenset(others))


def _standings(rows: Any, others: Sequence[bytes] = ()) -> Standings:
    devices = _devices(rows)
    columns = sorted([*devices, *others])
    if len(columns) > limits.DEVICES:
        raise ProtocolError(f"a frame about more than {limits.DEVICES} devices")
    return {device: _standing(columns, *row) for device, row in zip(devices, rows, strict=True)}


def _devices(rows: Any) -> list[bytes]:
    devices = [_sized(row[0], 8, "device") for row in _typed(rows, list, "devices")]
    if any(one >= following for one, following in pairwise(devices)):
        raise ProtocolError("the devices in a frame are not in order")
    return devices


def _standing(
    devices: list[bytes], _: Any, store_id: Any, renewals: Any, heard_ms: Any, *has: Any
) -> Standing:
    numbers = zip(devices, has, strict=True)
    return Standing(
        _sized(store_id, 16, "store id"),
        _number(renewals, "renewals", limits.RENEWALS),
        _number(heard_ms, "time"),
        {of: _number(number, "commit") for of, number in numbers if number != 0},
    )


def _push(documents: Any, screen: Any) -> Push:
    return Push(
        tuple(_pushed(*document) for document in _typed(documents, list, "documents")),
        _typed(screen, bool, "screen"),
    )


def _pushed(conversation: Any, kind: Any, *parts: Any) -> tuple[DocumentId, Parts]:
    return _document(conversation, kind), _parts(*parts)


def _alive(root: Any, time_ms: Any) -> Alive:
    return Alive(_sized(root, 16, "root"), _number(time_ms, "time"))


def _keys(piece: Any, last: Any, introduces: Any) -> Keys:
    return Keys(
        _typed(piece, bytes, "piece"),
        _typed(last, bool, "last"),
        _typed(introduces, bool, "introduces"),
    )


def _stranger(epochs: Any, current: Any) -> Stranger:
    if len(_typed(epochs, list, "epochs")) > limits.EPOCHS:
        raise ProtocolError(f"a frame of more than {limits.EPOCHS} epochs")
    return Stranger(
        tuple(_sized(one, COMMITMENT_BYTES, "epoch") for one in epochs),
        _sized(current, COMMITMENT_BYTES if current else 0, "epoch"),
    )


def _ask(names: Any) -> Ask:
    return Ask(_chunk_names(names))


def _stored(names: Any) -> Stored:
    return Stored(_chunk_names(names))


def _keep(names: Any) -> Keep:
    return Keep(_chunk_names(names))


def _kept(names: Any) -> Kept:
    return Kept(_chunk_names(names, at_least=0))


def _chunk_names(names: Any, at_least: int = 1) -> tuple[bytes, ...]:
    if not at_least <= len(_typed(names, list, "names")) <= limits.CHUNKS_PER_FRAME:
        raise ProtocolError(f"a frame of no chunks, or of more than {limits.CHUNKS_PER_FRAME}")
    return tuple(_sized(name, CHUNK_NAME_BYTES, "name of a chunk") for name in names)


def _piece(name: Any, size: Any, piece: Any) -> Piece:
    return Piece(
        _sized(name, CHUNK_NAME_BYTES, "name of a chunk"),
        _number(size, "size", limits.SEALED_CHUNK_BYTES),
        _typed(piece, bytes, "piece"),
    )


_READERS: Final[dict[type[Any], Any]] = {
    Hello: _hello,
    Refuse: _refuse,
    Start: _start,
    Offers: _offers,
    Want: _want,
    Updates: _updates,
    Part: _part,
    Done: _done,
    Push: _push,
    Alive: _alive,
    Bye: Bye,
    Known: _known,
    Keys: _keys,
    Stranger: _stranger,
    Ask: _ask,
    Piece: _piece,
    Stored: _stored,
    Enough: Enough,
    Keep: _keep,
    Kept: _kept,
}


class FrameReader:
    """Cuts a byte stream into frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Take bytes; yield whole frames without their lengths.

        Raises:
            ProtocolError: a length that no frame has.
        """
        self._buffer += data
        while len(self._buffer) >= 4:
            (size,) = _LENGTH.unpack_from(self._buffer)
            if not 2 <= size <= limits.FRAME_BYTES:
                raise ProtocolError(
                    f"a frame of {size} bytes; 2 to {limits.FRAME_BYTES} are allowed"
                )
            if len(self._buffer) < 4 + size:
                return
            frame = bytes(self._buffer[4 : 4 + size])
            del self._buffer[: 4 + size]
            yield frame

    @property
    def empty(self) -> bool:
        """Whether no part of a frame is waiting."""
        return not self._buffer
