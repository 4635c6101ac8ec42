"""Reading the history of a point: closed chunks from the database, the newest samples from the tails.

Everything is read-only and may run beside the writing process: a tail that disappears has become a chunk.
"""

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from information_model.catalogue import Catalogue
from server.store.chunk import Chunk, DamagedChunkError, Samples, check_sum
from server.store.database import ARCHIVE, open_for_reading
from server.store.groups import plan_groups
from server.store.tail import TailReader, decode_moment

BAD_DATA_LOST = 0x809D_0000
MAX_SPAN_NS = 2 * 86_400 * 1_000_000_000
"""No chunk spans more: a chunk that overlaps a range begins at most so long before it."""
TAIL_FOLDER = "tail"
FIRST, LAST = -(2**63) + 1, 2**63 - 1


class _Place(NamedTuple):
    """Where a point is kept."""

    group: str
    history: str
    matrix: bool


class History:
    """History of the points of a site. Calls are independent; each may run in a thread of its own."""

    def __init__(self, data: Path, catalogue: Catalogue) -> None:
        self._data = data
        self._places: dict[str, _Place] = {}
        for group in plan_groups(catalogue):
            for series in group.scalars:
                self._places[series.point] = _Place(group.name, group.history.value, False)
            for matrix in group.matrices:
                self._places[matrix.point] = _Place(group.name, group.history.value, True)

    def keeps(self, point: str) -> bool:
        """True where the archive keeps the point."""
        return point in self._places

    def forward(self, point: str, start_ns: int, end_ns: int) -> Iterator[Samples]:
        """Pieces of the samples with start <= time < end, in time order. A damaged chunk is one Bad sample."""
        yield from self._pieces(point, start_ns, end_ns, backward=False)

    def backward(self, point: str, start_ns: int, end_ns: int) -> Iterator[Samples]:
        """Pieces of the samples with end < time <= start, latest first."""
        for piece in self._pieces(point, end_ns + 1, start_ns + 1, backward=True):
            yield Samples(piece.time[::-1], piece.value[::-1], piece.status[::-1])

    def before(self, point: str, time_ns: int) -> Samples | None:
        """The latest sample before a time."""
        for piece in self.backward(point, time_ns - 1, FIRST):
            return Samples(piece.time[:1], piece.value[:1], piece.status[:1])
        return None

    def after(self, point: str, time_ns: int) -> Samples | None:
        """The earliest sample after a time."""
        for piece in self.forward(point, time_ns + 1, LAST):
            return Samples(piece.time[:1], piece.value[:1], piece.status[:1])
        return None

    def _pieces(self, point: str, start_ns: int, end_ns: int, *, backward: bool) -> Iterator[Samples]:
        place = self._places[point]
        # Tails first: one that becomes a chunk while we read is then seen twice rather than never.
        tails = [piece for piece in self._tails(point, place, start_ns, end_ns) if len(piece.time)]
        sources = [
            self._chunks(point, place, start_ns, end_ns, backward=backward),
            iter(tails[::-1] if backward else tails),
        ]
        if backward:
            sources.reverse()
        edge: int | None = None
        for source in sources:
            for piece in source:
                kept = _clip(piece, start_ns, end_ns)
                if edge is not None:
                    kept = _clip(kept, FIRST, edge) if backward else _clip(kept, edge + 1, LAST)
                if len(kept.time):
                    edge = int(kept.time[0] if backward else kept.time[-1])
                    yield kept

    def _chunks(self, point: str, place: _Place, start_ns: int, end_ns: int, *, backward: bool) -> Iterator[Samples]:
        try:
            database = open_for_reading(self._data / ARCHIVE)
        except (FileNotFoundError, sqlite3.Error):
            return
        try:
            names = database.execute(
                "SELECT g.id, s.id FROM groups g, series s WHERE g.name=? AND s.point=?", (place.group, point)
            ).fetchone()
            if names is None:
                return
            group, series = names
            order = "DESC" if backward else "ASC"
            low = max(start_ns - MAX_SPAN_NS, FIRST)
            query = (
                "SELECT epoch, first, check_sum, data FROM chunk WHERE group_id=? AND first>=? AND first<? AND last>=? "  # noqa: S608
                f"ORDER BY epoch {order}, first {order}"
            )
            for epoch, first, check, blob in database.execute(query, (group, low, min(end_ns, LAST), start_ns)):
                yield from self._read(group, epoch, first, check, blob, series)
        finally:
            database.close()

    def _read(self, group: int, epoch: int, first: int, check: int, blob: bytes, series: int) -> Iterator[Samples]:
        try:
            if check_sum(group, epoch, first, blob) != check:
                raise DamagedChunkError("check sum")
            samples = Chunk(blob).read(series)
        except DamagedChunkError:
            # A gap that says so: numbers that may be wrong are never shown.
            yield Samples(np.array([first]), np.array([np.nan]), np.array([BAD_DATA_LOST], np.uint32))
            return
        if samples is not None:
            yield _in_order(samples)

    def _tails(self, point: str, place: _Place, start_ns: int, end_ns: int) -> list[Samples]:
        found = []
        for path in sorted((self._data / TAIL_FOLDER).glob(f"{place.history}-*.tail")):
            try:
                found.append(_read_tail(path, place, point))
            except (FileNotFoundError, ValueError):
                continue
        return found


def _read_tail(path: Path, place: _Place, point: str) -> Samples:
    reader = TailReader(path)
    times: list[int] = []
    values: list[object] = []
    states: list[int] = []
    number: int | None = None
    index = -1
    for body in reader.records():
        if number is None:
            number, index = _find(reader, place, point)
            if number < 0:
                break
        for part in decode_moment(body, number).parts.values():
            if place.matrix:
                for matrix in part.matrices:
                    if matrix.index == index:
                        times.append(matrix.time)
                        values.append(matrix.value)
                        states.append(matrix.status)
            else:
                for row in part.scalars[part.scalars["index"] == index]:
                    times.append(int(row["time"]))
                    values.append(float(row["value"]))
                    states.append(int(row["status"]))
    samples = Samples(np.array(times, np.int64), np.array(values, np.float64), np.array(states, np.uint32))
    return _in_order(samples)


def _find(reader: TailReader, place: _Place, point: str) -> tuple[int, int]:
    """Number of the group and of the series in a tail; (-1, -1) where the tail does not have it."""
    for number, group in enumerate(reader.groups):
        if group.name == place.group:
            rows = group.matrices if place.matrix else group.scalars
            for index, (name, _, _) in enumerate(rows):
                if name == point:
                    return number, index
    return -1, -1


def _in_order(samples: Samples) -> Samples:
    if len(samples.time) > 1 and (np.diff(samples.time) < 0).any():
        order = np.argsort(samples.time, kind="stable")
        return Samples(samples.time[order], samples.value[order], samples.status[order])
    return samples


def _clip(samples: Samples, start_ns: int, end_ns: int) -> Samples:
    low, high = np.searchsorted(samples.time, (start_ns, end_ns), side="left")
    return Samples(samples.time[low:high], samples.value[low:high], samples.status[low:high])
