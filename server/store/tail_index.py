"""The tails of a data directory as a reader sees them: where each group's parts stand, and what was read of them.

A tail is read once, however often history is asked for: what has come since is added. Bounded by the number of groups
that are remembered.
"""

import os
import threading
from array import array
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from server.store.chunk import Samples
from server.store.columns import as_stored
from server.store.tail import SCALAR, MatrixSample, TailReader, decode_part

TAIL_FOLDER = "tail"
REMEMBERED = 64


@dataclass
class _Parts:
    """Offsets and lengths of the parts of one group."""

    offsets: "array[int]" = field(default_factory=lambda: array("Q"))
    lengths: "array[int]" = field(default_factory=lambda: array("I"))


@dataclass
class _Read:
    """What was inflated of a group: `count` parts."""

    count: int = 0
    scalars: NDArray[Any] = field(default_factory=lambda: np.zeros(0, SCALAR))
    matrices: list[MatrixSample] = field(default_factory=list)


class _Tail:
    """One file and its index."""

    def __init__(self, path: Path) -> None:
        self.reader = TailReader(path)
        self.parts: dict[int, _Parts] = {}

    def refresh(self) -> None:
        """Index what was appended."""
        for record in self.reader.records():
            for entry in record.entries:
                parts = self.parts.setdefault(entry.group, _Parts())
                parts.offsets.append(entry.offset)
                parts.lengths.append(entry.length)

    def add(self, number: int, read: _Read) -> None:
        """Inflate the parts of a group that are not yet in `read`."""
        parts = self.parts.get(number)
        if parts is None or read.count == len(parts.offsets):
            return
        found = []
        fd = os.open(self.reader.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            for offset, length in zip(parts.offsets[read.count :], parts.lengths[read.count :], strict=True):
                found.append(decode_part(os.pread(fd, length, offset)))
        finally:
            os.close(fd)
        read.count = len(parts.offsets)
        read.scalars = np.concatenate([read.scalars, *(part.scalars for part in found)])
        read.matrices = [*read.matrices, *(matrix for part in found for matrix in part.matrices)]


class Tails:
    """All tails of a data directory. Calls may come from several threads."""

    def __init__(self, data: Path) -> None:
        self._folder = data / TAIL_FOLDER
        self._lock = threading.Lock()
        self._tails: dict[str, _Tail] = {}
        self._read: OrderedDict[tuple[str, int], _Read] = OrderedDict()

    def read(self, history: str, group: str, point: str, *, matrix: bool) -> list[Samples]:
        """Samples of a point, one entry per tail, as a chunk would give them back."""
        with self._lock:
            try:
                names = sorted(name for name in os.listdir(self._folder) if name.endswith(".tail"))
            except FileNotFoundError:
                names = []
            for name in self._tails.keys() - set(names):
                self._forget(name)
            wanted = [name for name in names if name.startswith(f"{history}-")]
            return [found for name in wanted if (found := self._of(name, group, point, matrix)) is not None]

    def _forget(self, name: str) -> None:
        self._tails.pop(name, None)
        for key in [key for key in self._read if key[0] == name]:
            del self._read[key]

    def _of(self, name: str, group: str, point: str, matrix: bool) -> Samples | None:
        tail = self._tails.get(name)
        if tail is None:
            tail = self._tails[name] = _Tail(self._folder / name)
        try:
            tail.refresh()
            number, index, step = _find(tail.reader, group, point, matrix)
            if number < 0:
                return None
            read = self._read.setdefault((name, number), _Read())
            self._read.move_to_end((name, number))
            while len(self._read) > REMEMBERED:
                self._read.popitem(last=False)
            tail.add(number, read)
        except (FileNotFoundError, ValueError):  # it has become a chunk, or the writer has put it aside as damaged
            self._forget(name)
            return None
        return _matrices(read, index, step) if matrix else _scalars(read, index, step)


def _find(reader: TailReader, group: str, point: str, matrix: bool) -> tuple[int, int, float]:
    """Number of the group and of the series in a tail, and the storage step; -1 where the tail does not have it."""
    for number, described in enumerate(reader.groups):
        if described.name == group:
            for index, (name, step, _) in enumerate(described.matrices if matrix else described.scalars):
                if name == point:
                    return number, index, step
    return -1, -1, 0.0


def _scalars(read: _Read, index: int, step: float) -> Samples | None:
    rows = read.scalars[read.scalars["index"] == index]
    if not len(rows):
        return None
    return Samples(rows["time"].astype(np.int64), as_stored(rows["value"], step), rows["status"].astype(np.uint32))


def _matrices(read: _Read, index: int, step: float) -> Samples | None:
    found = [matrix for matrix in read.matrices if matrix.index == index]
    if not found:
        return None
    return Samples(
        np.array([matrix.time for matrix in found], np.int64),
        as_stored(np.stack([matrix.value for matrix in found]), step),
        np.array([matrix.status for matrix in found], np.uint32),
    )
