"""The tail: samples that are not yet in a chunk, in an append-only file. Format version 1 (docs/formats.md).

    "GBTAIL" u2 version | record ...
    record: u4 CRC-32 over the rest | u4 length of the rest | u1 kind | 3x | body
    kind 1, once at the head: JSON of the series of each group
    kind 2, samples of a moment: i8 time epoch | u4 groups | groups x (u4 group, u4 offset, u4 length) | parts
    a part is deflated: u4 scalars | u4 matrices | scalars x (u4 index, f8 value, u4 status, i8 source time)
                        | matrices x (u4 index, u4 status, i8 source time, u4 width, width x f4)

A record whose check sum is wrong ends the file: it was being written when the process died. Where whole records follow
it, it is damage: it is left out and counted.
"""

import os
import struct
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, NamedTuple
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
LIMIT = 1 << 26
"""Bytes of a record at most."""
_WINDOW = 1 << 20


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
        try:
            self._write(MAGIC + VERSION.to_bytes(2, "little"))
            self._record(LAYOUT, msgspec.json.encode(list(groups)))
        except OSError:
            self.close()
            path.unlink(missing_ok=True)
            raise

    def append(self, epoch: int, parts: Mapping[int, bytes]) -> None:
        """One moment: encoded parts by the number of their group."""
        entries, offset = [], 0
        for group, data in parts.items():
            entries.append(_ENTRY.pack(group, offset, len(data)))
            offset += len(data)
        self._record(MOMENT, b"".join((_MOMENT.pack(epoch, len(parts)), *entries, *parts.values())))

    def _record(self, kind: int, body: bytes) -> None:
        if len(body) + 4 > LIMIT:
            raise ValueError(f"{self.path}: a record of {len(body)} bytes, at most {LIMIT}")
        rest = struct.pack("<IB3x", len(body) + 4, kind) + body
        self._write(crc32(rest).to_bytes(4, "little") + rest)

    def _write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._fd, view) :]
        self.written += len(data)

    def close(self) -> None:
        """Close the file; it stays until its samples are in chunks."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Entry(NamedTuple):
    """Where the part of a group stands in a tail."""

    group: int
    offset: int
    length: int


class Record(NamedTuple):
    """A moment in a tail, not yet inflated."""

    epoch: int
    entries: list[Entry]
    body: bytes
    offset: int

    def part(self, entry: Entry) -> Part:
        """The samples of one group. Raises ValueError."""
        return decode_part(self.body[entry.offset - self.offset :][: entry.length])


class TailReader:
    """Reads a tail from where it has got to; safe while another process appends. `damaged` counts unreadable records."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.groups: list[SeriesOfGroup] = []
        self.damaged = 0
        self._at = 0
        self._longest = {LAYOUT: 0, MOMENT: 0}

    def records(self) -> Iterator[Record]:
        """Moments that have come since the last call; ends at the first record that is not whole.

        Raises ValueError for a file that is no tail of this version, FileNotFoundError where it has become a chunk.
        """
        with open(self.path, "rb", buffering=0) as file:
            if self._at == 0:
                head = file.read(HEAD_BYTES)
                if len(head) < HEAD_BYTES:
                    return
                if head != MAGIC + VERSION.to_bytes(2, "little"):
                    raise ValueError(f"{self.path}: no tail of version {VERSION}")
                self._at = HEAD_BYTES
            while True:
                data = _read_at(file, self._at, _WINDOW)
                if len(data) >= _RECORD.size and _length(data, 0) > len(data) - _RECORD.size:
                    data = _read_at(file, self._at, _length(data, 0) + _WINDOW)
                start, at = self._at, 0
                for kind, begin, end in self._whole(data):
                    at = end
                    body = data[begin:end]
                    self._at = start + end
                    if kind in self._longest:
                        self._longest[kind] = max(self._longest[kind], end - begin + _RECORD.size)
                    if kind == LAYOUT:
                        self.groups = _groups(body)
                    elif kind == MOMENT:
                        yield _record(body, start + begin)
                if at == 0:
                    return

    def lost_bytes(self) -> int:
        """Bytes behind the last readable record that are more than one record cut short: damage, not a killed writer."""
        rest = os.path.getsize(self.path) - max(self._at, HEAD_BYTES)
        return rest if rest > (self._longest[MOMENT] or self._longest[LAYOUT]) else 0

    def _whole(self, data: bytes) -> Iterator[tuple[int, int, int]]:
        """(kind, begin, end of the body) of the records in the bytes."""
        at = 0
        while _is_whole(data, at) or (_fits(data, at) and _is_whole(data, _length(data, at) + at)):
            end = at + _length(data, at)
            if _is_whole(data, at):
                yield data[at + 8], at + _RECORD.size, end
            else:
                self.damaged += 1
            at = end

    def moments(self) -> Iterator[Moment]:
        """The same, decoded."""
        for record in self.records():
            yield Moment(record.epoch, {entry.group: record.part(entry) for entry in record.entries})


def _read_at(file: RawIOBase, at: int, size: int) -> bytes:
    file.seek(at)
    return file.read(size) or b""


def _length(data: bytes, at: int) -> int:
    """Bytes of the record that begins here, as it says itself."""
    return 8 + min(int.from_bytes(data[at + 4 : at + 8], "little"), LIMIT)


def _fits(data: bytes, at: int) -> bool:
    return at + _RECORD.size <= len(data) and _RECORD.size <= _length(data, at) <= len(data) - at


def _is_whole(data: bytes, at: int) -> bool:
    return _fits(data, at) and crc32(memoryview(data)[at + 4 : at + _length(data, at)]) == int.from_bytes(
        data[at : at + 4], "little"
    )


def _groups(body: bytes) -> list[SeriesOfGroup]:
    try:
        return msgspec.json.decode(body, type=list[SeriesOfGroup])
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from None


def _record(body: bytes, offset: int) -> Record:
    try:
        epoch, count = _MOMENT.unpack_from(body)
        rows = [_ENTRY.unpack_from(body, _MOMENT.size + i * _ENTRY.size) for i in range(count)]
    except struct.error as error:
        raise ValueError(str(error)) from None
    parts = offset + _MOMENT.size + count * _ENTRY.size
    return Record(epoch, [Entry(group, parts + at, length) for group, at, length in rows], body, offset)
