"""Pieces of the OPC UA binary encoding that are written by hand (OPC 10000-6, 5.2), because objects would be too slow.

Everything is little-endian. A time on the wire counts 100 ns ticks since 1601-01-01.
"""

import struct
import time
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from information_model.points.row import BUILT_IN

EPOCH_TICKS = 116_444_736_000_000_000
"""1970-01-01 in ticks since 1601-01-01."""

BOOLEAN, FLOAT, DOUBLE = BUILT_IN["Boolean"], BUILT_IN["Float"], BUILT_IN["Double"]
STRING, DATE_TIME = BUILT_IN["String"], BUILT_IN["DateTime"]
"""Built-in type ids (OPC 10000-6, 5.1.2)."""
FLOATS = (FLOAT, DOUBLE)
"""Types that have NaN."""

WIRE_TYPE = {
    1: "u1", 2: "i1", 3: "u1", 4: "<i2", 5: "<u2", 6: "<i4", 7: "<u4", 8: "<i8", 9: "<u8", 10: "<f4", 11: "<f8",
    13: "<i8", 19: "<u4",
}  # fmt: skip
"""Built-in type id -> format of a scalar on the wire."""

_CODES = {1: "B", 2: "b", 3: "B", 4: "h", 5: "H", 6: "i", 7: "I", 8: "q", 9: "Q", 10: "f", 11: "d", 13: "q", 19: "I"}
_PACK = {kind: struct.Struct("<" + code) for kind, code in _CODES.items()}
Piece = bytes | memoryview
Pieces = tuple[Piece, ...]
"""Encoded bytes that belong one behind the other: put together where they go out, not before."""
NULL_STRING = b"\xff\xff\xff\xff"
NULL_NODE_ID = b"\x00\x00"


def ticks(utc_ns: int) -> int:
    """A time as it travels; 0 (not known) stays 0."""
    return utc_ns // 100 + EPOCH_TICKS if utc_ns else 0


def ticks_array(utc_ns: NDArray[np.int64]) -> NDArray[np.int64]:
    """The same for arrays."""
    return np.where(utc_ns == 0, 0, utc_ns // 100 + EPOCH_TICKS)


def now_ticks() -> int:
    """The server's clock as it travels."""
    return time.time_ns() // 100 + EPOCH_TICKS


def string(text: str | None) -> bytes:
    """String; None is the null string."""
    if text is None:
        return NULL_STRING
    data = text.encode("utf-8")
    return len(data).to_bytes(4, "little") + data


def numeric_node_id(identifier: int, namespace: int = 0) -> bytes:
    """Numeric NodeId in its shortest form."""
    if namespace == 0 and identifier < 256:
        return bytes((0, identifier))
    if namespace < 256 and identifier < 65536:
        return struct.pack("<BBH", 1, namespace, identifier)
    return struct.pack("<BHI", 2, namespace, identifier)


def string_node_id(identifier: str, namespace: int) -> bytes:
    """String NodeId."""
    return struct.pack("<BH", 3, namespace) + string(identifier)


def qualified_name(name: str, namespace: int) -> bytes:
    """QualifiedName."""
    return namespace.to_bytes(2, "little") + string(name)


def localized_text(text: str, locale: str = "en") -> bytes:
    """LocalizedText with text and locale; empty text is the null text."""
    return b"\x03" + string(locale) + string(text) if text else b"\x00"


def scalar(built_in: int, value: float) -> bytes:
    """Variant of a number or Boolean."""
    number = value if built_in in FLOATS else int(value)
    return bytes((built_in,)) + _PACK[built_in].pack(number)


def matrix(built_in: int, values: NDArray[np.generic]) -> bytes:
    """Variant of an array of numbers with one or more dimensions."""
    data = np.ascontiguousarray(values, WIRE_TYPE[built_in])
    head = bytes((built_in | (0x80 if data.ndim == 1 else 0xC0),)) + data.size.to_bytes(4, "little")
    if data.ndim == 1:
        return head + data.tobytes()
    return head + data.tobytes() + struct.pack(f"<i{data.ndim}i", data.ndim, *data.shape)


def data_value(value: bytes, status: int = 0, source_ticks: int = 0, server_ticks: int = 0) -> bytes:
    """DataValue of an encoded Variant (empty = none); Good status and times of 0 are left out."""
    mask = bool(value) | (status != 0) << 1 | (source_ticks != 0) << 2 | (server_ticks != 0) << 3
    parts = [bytes((mask,)), value]
    if status:
        parts.append(status.to_bytes(4, "little"))
    if source_ticks:
        parts.append(source_ticks.to_bytes(8, "little"))
    if server_ticks:
        parts.append(server_ticks.to_bytes(8, "little"))
    return b"".join(parts)


def response_head(encoding_id: int, request_handle: int, result: int = 0) -> bytes:
    """Type id of a response and its ResponseHeader without diagnostics."""
    return numeric_node_id(encoding_id) + struct.pack("<qIIBiBBB", now_ticks(), request_handle, result, 0, -1, 0, 0, 0)


def array(items: Iterable[bytes]) -> bytes:
    """Array of encoded items."""
    items = list(items)
    return len(items).to_bytes(4, "little") + b"".join(items)
