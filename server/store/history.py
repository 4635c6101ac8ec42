"""Reading the history of a point: closed chunks from the database, the newest samples from the tails.

Everything is read-only and may run beside the writing process: a tail that disappears has become a chunk.
"""

import heapq
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from information_model.catalogue import Catalogue
from server.store.chunk import Chunk, DamagedChunkError, Samples, check_sum, joined
from server.store.database import ARCHIVE, open_for_reading
from server.store.groups import plan_groups
from server.store.tail_index import TAIL_FOLDER, Tails

__all__ = ["FIRST", "LAST", "TAIL_FOLDER", "History", "HistoryUnavailableError"]

BAD_DATA_LOST, BAD_DATA_UNAVAILABLE = 0x809D_0000, 0x809E_0000
MAX_SPAN_NS = 3 * 86_400 * 1_000_000_000
"""No chunk spans more: a chunk that overlaps a range begins at most so long before it."""
FIRST, LAST = -(2**63) + 1, 2**63 - 1


class HistoryUnavailableError(Exception):
    """The database cannot be read now: busy, out of reach, damaged."""


class _Place(NamedTuple):
    """Where a point is kept. `width` is that of its matrix, 0 for a scalar."""

    group: str
    history: str
    width: int


class _Source(NamedTuple):
    """Something that holds samples, with the times that its samples do not leave."""

    first: int
    last: int
    load: Callable[[], Samples | None]


class History:
    """History of the points of a site. Calls are independent; each may run in a thread of its own."""

    def __init__(self, data: Path, catalogue: Catalogue) -> None:
        self._data = data
        self._tails = Tails(data)
        self._places: dict[str, _Place] = {}
        for group in plan_groups(catalogue):
            for series in group.scalars:
                self._places[series.point] = _Place(group.name, group.history.value, 0)
            for matrix in group.matrices:
                self._places[matrix.point] = _Place(group.name, group.history.value, matrix.count)

    def keeps(self, point: str) -> bool:
        """True where the archive keeps the point."""
        return point in self._places

    def forward(self, point: str, start_ns: int, end_ns: int, *, mark: bool = True) -> Iterator[Samples]:
        """Pieces of the samples with start <= time < end, in time order.

        A damaged chunk is one Bad sample where it begins; with `mark` at the start of the range where it begins before.
        Raises HistoryUnavailableError.
        """
        yield from self._pieces(point, start_ns, end_ns, backward=False, mark=mark)

    def backward(self, point: str, start_ns: int, end_ns: int, *, mark: bool = True) -> Iterator[Samples]:
        """Pieces of the samples with end < time <= start, latest first. As `forward`."""
        for piece in self._pieces(point, end_ns + 1, start_ns + 1, backward=True, mark=mark):
            yield piece.take(slice(None, None, -1))

    def before(self, point: str, time_ns: int) -> Samples | None:
        """The latest sample before a time."""
        for piece in self.backward(point, time_ns - 1, FIRST):
            return piece.take(slice(1))
        return None

    def after(self, point: str, time_ns: int) -> Samples | None:
        """The earliest sample after a time."""
        for piece in self.forward(point, time_ns + 1, LAST):
            return piece.take(slice(1))
        return None

    def _pieces(self, point: str, start_ns: int, end_ns: int, *, backward: bool, mark: bool) -> Iterator[Samples]:
        """Sources in the order of their edges; of what was read, that leaves which no later source can precede."""
        place = self._places[point]
        # Tails first: one that becomes a chunk while we read is then seen twice rather than never.
        tails = [
            _whole(_fitted(samples, place))
            for samples in self._tails.read(place.history, place.group, point, matrix=place.width > 0)
        ]
        try:
            database = open_for_reading(self._data / ARCHIVE)
        except FileNotFoundError:
            database = None
        except sqlite3.Error as error:
            raise HistoryUnavailableError(str(error)) from None
        try:
            chunks = (
                ()
                if database is None
                else _chunks(database, point, place, start_ns, end_ns, backward=backward, mark=mark)
            )
            held: list[Samples] = []
            for source in heapq.merge(chunks, sorted(tails, key=_order(backward)), key=_order(backward)):
                ready, held = _split(held, source.last + 1 if backward else source.first, backward=backward)
                if ready is not None:
                    yield ready
                samples = source.load()
                if samples is not None and len((kept := _clip(_in_order(samples), start_ns, end_ns)).time):
                    held.append(kept)
            if held:
                yield _merged(held)
        except sqlite3.Error as error:
            raise HistoryUnavailableError(str(error)) from None
        finally:
            if database is not None:
                database.close()


def _order(backward: bool) -> Callable[[_Source], int]:
    return (lambda source: -source.last) if backward else (lambda source: source.first)


def _chunks(
    database: sqlite3.Connection,
    point: str,
    place: _Place,
    start_ns: int,
    end_ns: int,
    *,
    backward: bool,
    mark: bool,
) -> Iterator[_Source]:
    database.execute("BEGIN")
    names = database.execute(
        "SELECT g.id, s.id FROM groups g, series s WHERE g.name=? AND s.point=?", (place.group, point)
    ).fetchone()
    if names is None:
        return
    group, series = names
    start, end = max(start_ns, FIRST), min(end_ns, LAST)
    low, high = max(start - MAX_SPAN_NS, FIRST), min(end + MAX_SPAN_NS, LAST)
    query = "SELECT rowid, epoch, first, last FROM chunk WHERE group_id=? AND "
    if backward:
        found = database.execute(
            query + "last>=? AND last<=? AND first<? ORDER BY last DESC, epoch DESC", (group, start, high, end)
        )
    else:
        found = database.execute(
            query + "first>=? AND first<? AND last>=? ORDER BY first, epoch", (group, low, end, start)
        )
    for row, epoch, first, last in found:

        def load(row: int = row, epoch: int = epoch, first: int = first, last: int = last) -> Samples | None:
            check, blob = database.execute("SELECT check_sum, data FROM chunk WHERE rowid=?", (row,)).fetchone()
            try:
                if check_sum(group, epoch, first, last, blob) != check:
                    raise DamagedChunkError("check sum")
                samples = Chunk(blob).read(series)
            except DamagedChunkError:
                edge = last if backward else first
                return _lost(place, max(start_ns, min(edge, end_ns - 1)) if mark else edge)
            return None if samples is None else _fitted(samples, place)

        yield _Source(first, last, load)


def _lost(place: _Place, time_ns: int) -> Samples:
    """A gap that says so: numbers that may be wrong are never shown."""
    value = np.full((1, *_shape(place)), np.nan)
    return Samples(np.array([time_ns], np.int64), value, np.array([BAD_DATA_LOST], np.uint32))


def _shape(place: _Place) -> tuple[int, ...]:
    return (place.width,) if place.width else ()


def _fitted(samples: Samples, place: _Place) -> Samples:
    """A matrix that had another size then cannot be shown in the shape of now: Bad."""
    if not place.width:
        return samples
    values = samples.value.reshape(len(samples.time), -1)
    if values.shape[1] != place.width:
        status = np.full(len(samples.time), BAD_DATA_UNAVAILABLE, np.uint32)
        return Samples(samples.time, np.full((len(status), *_shape(place)), np.nan), status)
    return Samples(samples.time, values, samples.status)


def _whole(samples: Samples) -> _Source:
    return _Source(int(samples.time.min()), int(samples.time.max()), lambda: samples)


def _split(held: list[Samples], limit: int, *, backward: bool) -> tuple[Samples | None, list[Samples]]:
    """What lies before `limit` (behind it where `backward`) is ready, the rest is held."""
    if not held:
        return None, held
    merged = _merged(held)
    if not backward and merged.time[-1] < limit:
        return merged, []
    low, high = _clip(merged, FIRST, limit), _clip(merged, limit, LAST)
    ready, rest = (high, low) if backward else (low, high)
    return ready if len(ready.time) else None, [rest] if len(rest.time) else []


def _merged(pieces: list[Samples]) -> Samples:
    """Samples of several sources in order of time; one that came from two of them (a tail and its chunk) once."""
    if len(pieces) == 1:
        return pieces[0]
    samples = _in_order(joined(pieces))
    twice = (np.diff(samples.time) == 0) & (samples.status[1:] == samples.status[:-1])
    twice &= _same(samples.value[1:], samples.value[:-1])
    return samples.take(np.concatenate(([True], ~twice))) if twice.any() else samples


def _same(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = (a == b) | (np.isnan(a) & np.isnan(b))
    return same if same.ndim == 1 else np.asarray(same.all(axis=1), bool)


def _in_order(samples: Samples) -> Samples:
    if (samples.time[1:] < samples.time[:-1]).any():
        return samples.take(np.argsort(samples.time, kind="stable"))
    return samples


def _clip(samples: Samples, start_ns: int, end_ns: int) -> Samples:
    if len(samples.time) and start_ns <= samples.time[0] and samples.time[-1] < end_ns:
        return samples
    low, high = np.searchsorted(samples.time, (start_ns, end_ns), side="left")
    return samples.take(slice(int(low), int(high)))
