"""Which samples are kept of an image: by history class, only what is new, each with the time at which it was measured."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model.points.row import History
from information_model.quality import BAD, is_bad
from server.archive.chunks import Kept
from server.archive.open_chunk import time_step_ns
from server.runtime.block import Stamp
from server.store.groups import Group
from server.store.tail import SCALAR, MatrixSample, Part, SeriesOfGroup

Columns = dict[str, NDArray[Any]]
RASTERS = (History.S1, History.S10, History.S60, History.DAY)
OLDEST_NS, AHEAD_NS = 86_400 * 1_000_000_000, 1_000_000_000
"""A sample is stamped at most so long before its image, and so much behind it: chunks have ends."""
LATE_NS = 60 * 1_000_000_000
"""How often a daily value that was not there in time is looked for."""


class _Class:
    """All groups of one history class: where their series are, and what was kept of them last."""

    def __init__(self, groups: tuple[Group, ...], numbers: list[int]) -> None:
        parts = [groups[number].slots for number in numbers]
        sizes = [len(part) for part in parts]
        self.slots = np.concatenate([np.zeros(0, np.int64), *parts]).astype(np.int64)
        self.group = np.repeat(np.array(numbers, np.int64), sizes)
        self.index = np.concatenate([np.zeros(0, np.int64), *[np.arange(size) for size in sizes]])
        self.matrices = [(number, i, series) for number in numbers for i, series in enumerate(groups[number].matrices)]
        n, m = len(self.slots), len(self.matrices)
        self.value, self.status, self.time = (
            np.full(n, np.nan),
            np.full(n, 0xFFFF_FFFF, np.uint32),
            np.zeros(n, np.int64),
        )
        self.matrix_status, self.matrix_time = np.full(m, -1, np.int64), np.zeros(m, np.int64)

    def forget(self) -> None:
        """Take everything anew: another time epoch has begun."""
        self.status[:], self.time[:] = 0xFFFF_FFFF, 0
        self.matrix_status[:], self.matrix_time[:] = -1, 0


class Sampler:
    """Takes the samples that are due. A value that was kept already is not kept again."""

    def __init__(self, groups: tuple[Group, ...]) -> None:
        numbers = {history: [i for i, group in enumerate(groups) if group.history is history] for history in History}
        self._classes = {history: _Class(groups, found) for history, found in numbers.items() if found}
        self._raster: dict[History, int] = {}
        self._late = 0
        self._only_missing = False
        self._epoch: int | None = None
        self._groups = groups

    def go_on(self, newest: Mapping[str, Kept]) -> None:
        """Begin behind what the archive has: a value that it holds with its status is not kept again."""
        for kept in self._classes.values():
            for slot, (number, index) in enumerate(zip(kept.group.tolist(), kept.index.tolist(), strict=True)):
                found = newest.get(self._groups[number].scalars[index].point)
                if found is not None:
                    kept.time[slot], kept.value[slot], kept.status[slot] = found

    def due(self, stamp: Stamp) -> list[History]:
        """Classes of which a sample is due with this image: `change` always, a raster when it has turned."""
        self._follow_clock(stamp)
        found = [History.CHANGE] if History.CHANGE in self._classes else []
        for history in RASTERS:
            number = stamp.utc_ns // int(history.period_s * 1e9)
            if history in self._classes and self._raster.get(history) != number:
                self._raster[history] = number
                found.append(history)
        minute = stamp.utc_ns // LATE_NS
        self._only_missing = History.DAY not in found
        if self._only_missing and minute != self._late and History.DAY in self._classes:
            found.append(History.DAY)
        self._late = minute
        return found

    def _follow_clock(self, stamp: Stamp) -> None:
        if self._epoch is None:
            # What an earlier process kept may lie behind a step back of the clock.
            for kept in self._classes.values():
                kept.time[kept.time > stamp.utc_ns + AHEAD_NS] = 0
        elif self._epoch != stamp.time_epoch:
            for kept in self._classes.values():
                kept.forget()
        self._epoch = stamp.time_epoch

    def needs_matrices(self, utc_ns: int) -> bool:
        """True where classes that are due at this time need more of the image than its scalars."""
        for history in RASTERS:
            period_ns = LATE_NS if history is History.DAY else int(history.period_s * 1e9)
            last = self._late if history is History.DAY else self._raster.get(history)
            if history in self._classes and self._classes[history].matrices and last != utc_ns // period_ns:
                return True
        return False

    def sample(self, history: History, stamp: Stamp, columns: Columns) -> dict[int, Part]:
        """New samples of a class by the number of their group."""
        kept = self._classes[history]
        scalars = self._scalars(history, kept, stamp, columns)
        matrices: dict[int, list[MatrixSample]] = {}
        for place, (number, index, series) in enumerate(kept.matrices):
            status = int(columns[f"{series.column}.status"][series.rack])
            time = _cut(int(columns[f"{series.column}.time"][series.rack]), history)
            before, last = int(kept.matrix_time[place]), int(kept.matrix_status[place])
            if time <= 0 or (time <= before and status == last):
                continue
            if history is History.DAY and self._only_missing and (status >= BAD or 0 <= last < BAD):
                continue
            kept.matrix_status[place] = status
            kept.matrix_time[place] = time = int(_stamped(np.array([time]), np.array([before]), stamp, history)[0])
            data = columns[series.column][series.first : series.first + series.count]
            matrices.setdefault(number, []).append(MatrixSample(index, status, time, data.astype(np.float32)))
        nothing = np.zeros(0, SCALAR)
        return {
            number: Part(scalars.get(number, nothing), tuple(matrices.get(number, ())))
            for number in sorted(scalars.keys() | matrices.keys())
        }

    def _scalars(self, history: History, kept: _Class, stamp: Stamp, columns: Columns) -> dict[int, NDArray[Any]]:
        value, status = columns["value"][kept.slots], columns["status"][kept.slots]
        time = _cut(columns["source_time"][kept.slots], history)
        moved = status != kept.status
        if history is History.CHANGE:
            moved |= (value != kept.value) & ~(np.isnan(value) & np.isnan(kept.value))
        else:
            moved |= time > kept.time
        if history is History.DAY and self._only_missing:
            moved &= is_bad(kept.status) & ~is_bad(status)
        # No sample may have waited for its first value: nothing was measured then.
        at = np.flatnonzero(moved & (time > 0))
        if not len(at):
            return {}
        rows = np.empty(len(at), SCALAR)
        rows["index"], rows["value"], rows["status"] = kept.index[at], value[at], status[at]
        rows["time"] = _stamped(time[at], kept.time[at], stamp, history)
        kept.value[at], kept.status[at], kept.time[at] = value[at], status[at], rows["time"]
        groups, first = np.unique(kept.group[at], return_index=True)
        return {int(group): part for group, part in zip(groups, np.split(rows, first[1:]), strict=True)}


def _cut(time: Any, history: History) -> Any:
    """Times (number or array) as chunks keep them: cut, never ahead of the measurement."""
    step = time_step_ns(history)
    return time // step * step


def _stamped(time: NDArray[np.int64], before: NDArray[np.int64], stamp: Stamp, history: History) -> NDArray[np.int64]:
    """Times of samples [n] behind those `before` [n].

    A change of status alone has no measurement behind it: its time is that of the image. So is that of a value whose
    source stamps it in the future, or longer ago than a chunk may reach.
    """
    now, step = int(_cut(stamp.utc_ns, history)), time_step_ns(history)
    found = np.where(time > before, time, np.maximum(now, before + step))
    return np.where((found > now + AHEAD_NS) | (found < now - OLDEST_NS), now, found)


def layout_of(groups: tuple[Group, ...]) -> list[SeriesOfGroup]:
    """The groups as the head of a tail tells them."""
    return [
        SeriesOfGroup(
            group.name,
            group.history.value,
            [(series.point, series.step, series.built_in) for series in group.scalars],
            [(series.point, series.step, series.built_in) for series in group.matrices],
        )
        for group in groups
    ]
