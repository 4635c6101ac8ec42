"""A chunk: the columns of one group over a span of time, in one blob. Format version 1 (docs/formats.md).

    "GBCHUNK" u1 version | u4 columns | u4 time columns | table of columns | table of time columns | bodies
    column:      u4 series  u4 count  u4 time column  f8 step  u1 built-in type  3x  u4 offset  u4 length  u4 status length
    time column: u4 count  u4 offset  u4 length

The body of a column is its values, then its status codes (length 0: all Good). Offsets count from the first body. Columns
that were sampled at the same moments share a time column. The check sum of the blob stands beside it in the database.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from server.store.columns import DamagedColumnError, decode_integers, encode_integers, to_integers, to_numbers

MAGIC, VERSION = b"GBCHUNK", 1
_HEAD = struct.Struct("<7sBII")
_COLUMN = struct.Struct("<IIIdB3xIII")
_COLUMNS = np.dtype({"names": ["series"], "formats": ["<u4"], "offsets": [0], "itemsize": _COLUMN.size})
_TIME = struct.Struct("<III")


class DamagedChunkError(ValueError):
    """The blob is no chunk of this version, or its check sum is wrong."""


@dataclass(frozen=True)
class Column:
    """Samples of one series: values [n] or [n, width], status [n], source times [n] (UTC ns)."""

    series: int
    step: float
    built_in: int
    value: NDArray[np.floating]
    status: NDArray[np.uint32]
    time: NDArray[np.int64]


class Samples(NamedTuple):
    """What a reader gets: times (UTC ns), values ([n] or [n, width]), status codes."""

    time: NDArray[np.int64]
    value: NDArray[np.float64]
    status: NDArray[np.uint32]

    def take(self, which: slice | NDArray[Any]) -> "Samples":
        """Some of them: a slice, a mask or an order."""
        return Samples(self.time[which], self.value[which], self.status[which])


def joined(pieces: Sequence[Samples]) -> Samples:
    """One after the other; at least one, and all of one width."""
    if len(pieces) == 1:
        return pieces[0]
    return Samples(
        np.concatenate([piece.time for piece in pieces]),
        np.concatenate([piece.value for piece in pieces]),
        np.concatenate([piece.status for piece in pieces]),
    )


def encode_chunk(columns: Sequence[Column], time_step_ns: int) -> bytes:
    """Columns as a blob. Times are kept as multiples of `time_step_ns`."""
    bodies: list[bytes] = []
    times: dict[bytes, int] = {}
    time_rows: list[bytes] = []
    rows: list[bytes] = []
    offset = 0

    def place(body: bytes) -> int:
        nonlocal offset
        at = offset
        bodies.append(body)
        offset += len(body)
        return at

    for column in columns:
        stamps = np.rint(column.time / time_step_ns).astype(np.int64) if time_step_ns > 1 else column.time
        key = stamps.tobytes()
        if key not in times:
            body = time_step_ns.to_bytes(8, "little") + encode_integers(stamps)
            times[key] = len(time_rows)
            time_rows.append(_TIME.pack(len(stamps), place(body), len(body)))
        values = encode_integers(to_integers(column.value, column.step))
        status = encode_integers(column.status.astype(np.int64)) if column.status.any() else b""
        at = place(values + status)
        count = len(column.time)
        rows.append(
            _COLUMN.pack(column.series, count, times[key], column.step, column.built_in, at, len(values), len(status))
        )
    head = _HEAD.pack(MAGIC, VERSION, len(rows), len(time_rows))
    return b"".join((head, *rows, *time_rows, *bodies))


def check_sum(group: int, epoch: int, first_ns: int, last_ns: int, blob: bytes) -> int:
    """Check sum of a row: it covers the key, so that a row cannot stand in for another."""
    return crc32(blob, crc32(struct.pack("<qqqq", group, epoch, first_ns, last_ns)))


class Chunk:
    """Reads single columns of a blob. Raises DamagedChunkError."""

    def __init__(self, blob: bytes) -> None:
        try:
            magic, version, columns, times = _HEAD.unpack_from(blob)
            if magic != MAGIC or version != VERSION:
                raise DamagedChunkError(f"no chunk of version {VERSION}")
            self._series = np.frombuffer(blob, _COLUMNS, columns, _HEAD.size)["series"]
        except (struct.error, ValueError) as error:
            raise DamagedChunkError(str(error)) from None
        self._blob, self._time_rows = blob, times
        self._times_at = _HEAD.size + columns * _COLUMN.size
        self._bodies = self._times_at + times * _TIME.size
        if self._bodies > len(blob):
            raise DamagedChunkError("the blob ends too early")

    @property
    def series(self) -> list[int]:
        """Series that the chunk holds."""
        return [int(series) for series in self._series]

    def read(self, series: int) -> Samples | None:
        """Samples of a series; None where the chunk does not hold it."""
        places = np.flatnonzero(self._series == series)
        if not len(places):
            return None
        row = _COLUMN.unpack_from(self._blob, _HEAD.size + int(places[-1]) * _COLUMN.size)
        _, count, time_column, step, _, offset, length, status_length = row
        try:
            values = to_numbers(decode_integers(self._body(offset, length), count), step)
            status = np.zeros(count, np.uint32)
            if status_length:
                status = decode_integers(self._body(offset + length, status_length), count).astype(np.uint32)
            return Samples(self._time(time_column), values, status)
        except DamagedColumnError as error:
            raise DamagedChunkError(f"series {series}: {error}") from None

    def _time(self, column: int) -> NDArray[np.int64]:
        if column >= self._time_rows:
            raise DamagedColumnError(f"time column {column} of {self._time_rows}")
        count, offset, length = _TIME.unpack_from(self._blob, self._times_at + column * _TIME.size)
        body = self._body(offset, length)
        return decode_integers(body[8:], count) * int.from_bytes(body[:8], "little")

    def _body(self, offset: int, length: int) -> bytes:
        at = self._bodies + offset
        if at + length > len(self._blob):
            raise DamagedColumnError("the blob ends too early")
        return self._blob[at : at + length]
