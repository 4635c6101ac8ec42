"""The tail: samples that are not yet in a chunk, in an append-only file. Format version 1 (docs/formats.md).

    "GBTAIL" u2 version | record ...
    record: u4 CRC-32 over the rest | u4 length of the rest | u1 kind | 3x | body
    kind 1, once at the head: JSON of the series of each group
    kind 2, samples of a moment: i8 time epoch | u4 groups | groups x (u4 group, u4 offset, u4 length) | parts
    a part is deflated: u4 scalars | u4 matrices | scalars x (u4 index, f8 value, u4 status, i8 source time)
                        | matrices x (u4 index, u4 status, i8 source time, u4 width, width x f4)

A record whose check sum is wrong ends the file: it was being written when the process died.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np
from numpy.typing import NDArray

MAGIC, VERSION = b"GBTAIL", 1
HEAD_BYTES = 8
_RECORD = struct.Struct("<IIB3x")
_MOMENT = struct.Struct("<qI")
_ENTRY = struct.Struct("<III")
_COUNTS = struct.Struct("<II")
_MATRIX = struct.Struct("<IIqI")
SCALAR = np.dtype([("index", "<u4"), ("value", "<f8"), ("status", "<u4"), ("time", "<i8")])
LAYOUT, MOMENT = 1, 2
_LIMIT = 1 << 28


class SeriesOfGroup(msgspec.Struct, frozen=True):
    """What the numbers in the records mean: group name, (point, step, built-in type) of its scalars and matrices."""

    name: str
    history: str
    scalars: list[tuple[str, float, int]]
    matrices: list[tuple[str, float, int]]


@dataclass(frozen=True)
class MatrixSample:
    """A matrix of a group at one moment."""

    index: int
    status: int
    time: int
    value: NDArray[np.float32]


@dataclass(frozen=True)
class Part:
    """What one group has at one moment: scalars as records of dtype SCALAR, and matrices."""

    scalars: NDArray[Any]
    matrices: tuple[MatrixSample, ...] = ()


@dataclass(frozen=True)
class Moment:
    """All groups that have something at one moment."""

    epoch: int
    parts: dict[int, Part]


def encode_part(part: Part) -> bytes:
    """Deflated bytes of a part."""
    pieces = [_COUNTS.pack(len(part.scalars), len(part.matrices)), part.scalars.tobytes()]
    for matrix in part.matrices:
        pieces.append(_MATRIX.pack(matrix.index, matrix.status, matrix.time, len(matrix.value)))
        pieces.append(matrix.value.astype("<f4").tobytes())
    return zlib.compress(b"".join(pieces), 1)


def decode_part(data: bytes) -> Part:
    """The inverse. Raises ValueError for bytes that are no part."""
    try:
        raw = zlib.decompress(data)
        scalars, matrices = _COUNTS.unpack_from(raw)
        at = _COUNTS.size
        rows = np.frombuffer(raw, SCALAR, scalars, at)
        at += scalars * SCALAR.itemsize
        found = []
        for _ in range(matrices):
            index, status, time, width = _MATRIX.unpack_from(raw, at)
            at += _MATRIX.size
            found.append(MatrixSample(index, status, time, np.frombuffer(raw, "<f4", width, at)))
            at += 4 * width
    except (zlib.error, struct.error) as error:
        raise ValueError(str(error)) from None
    return Part(rows, tuple(found))


class TailWriter:
    """Appends to a new tail file. `written` counts the bytes."""

    def __init__(self, path: Path, groups: Sequence[SeriesOfGroup]) -> None:
        self.path = path
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.written = 0
        self._write(MAGIC + VERSION.to_bytes(2, "little"))
        self._record(LAYOUT, msgspec.json.encode(list(groups)))

    def append(self, epoch: int, parts: Mapping[int, bytes]) -> None:
        """One moment: encoded parts by the number of their group."""
        entries, offset = [], 0
        for group, data in parts.items():
            entries.append(_ENTRY.pack(group, offset, len(data)))
            offset += len(data)
        self._record(MOMENT, b"".join((_MOMENT.pack(epoch, len(parts)), *entries, *parts.values())))

    def _record(self, kind: int, body: bytes) -> None:
        rest = struct.pack("<IB3x", len(body) + 4, kind) + body
        self._write(crc32(rest).to_bytes(4, "little") + rest)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.written += len(data)

    def close(self) -> None:
        """Close the file; it stays until its samples are in chunks."""
        os.close(self._fd)


class TailReader:
    """Reads a tail from where it has got to; safe while another process appends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.groups: list[SeriesOfGroup] = []
        self._at = 0
        self._inode = 0

    def records(self) -> Iterator[bytes]:
        """Bodies of the moments that have come since the last call; ends at the first record that is not whole."""
        with open(self.path, "rb", buffering=0) as file:
            inode = os.fstat(file.fileno()).st_ino
            if inode != self._inode:
                self._at, self._inode, self.groups = 0, inode, []
            if self._at == 0:
                if file.read(HEAD_BYTES) != MAGIC + VERSION.to_bytes(2, "little"):
                    raise ValueError(f"{self.path}: no tail of version {VERSION}")
                self._at = HEAD_BYTES
            file.seek(self._at)
            data = file.read()
        at = 0
        while at + _RECORD.size <= len(data):
            check, length, kind = _RECORD.unpack_from(data, at)
            end = at + 8 + length
            if length < 4 or length > _LIMIT or end > len(data) or crc32(data[at + 4 : end]) != check:
                break
            body = data[at + _RECORD.size : end]
            at = end
            self._at += 8 + length
            if kind == LAYOUT:
                self.groups = msgspec.json.decode(body, type=list[SeriesOfGroup])
            elif kind == MOMENT:
                yield body

    def moments(self) -> Iterator[Moment]:
        """The same, decoded."""
        for body in self.records():
            yield decode_moment(body)


def decode_moment(body: bytes, wanted: int | None = None) -> Moment:
    """A moment from its record; only the group `wanted` where one is named."""
    epoch, count = _MOMENT.unpack_from(body)
    bodies = _MOMENT.size + count * _ENTRY.size
    parts = {}
    for i in range(count):
        group, offset, length = _ENTRY.unpack_from(body, _MOMENT.size + i * _ENTRY.size)
        if wanted is None or group == wanted:
            parts[group] = decode_part(body[bodies + offset : bodies + offset + length])
    return Moment(epoch, parts)
