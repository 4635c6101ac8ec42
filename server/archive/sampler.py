"""Which samples are kept of an image: by history class, only what is new, each with the time at which it was measured."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model.points.row import History
from server.runtime.block import Stamp
from server.store.groups import Group, MatrixSeries
from server.store.tail import SCALAR, MatrixSample, Part, SeriesOfGroup

Columns = dict[str, NDArray[Any]]
RASTERS = (History.S1, History.S10, History.S60, History.DAY)


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


class Sampler:
    """Takes the samples that are due. A value that was kept already is not kept again."""

    def __init__(self, groups: tuple[Group, ...]) -> None:
        numbers = {history: [i for i, group in enumerate(groups) if group.history is history] for history in History}
        self._classes = {history: _Class(groups, found) for history, found in numbers.items() if found}
        self._raster: dict[History, int] = {}

    def due(self, stamp: Stamp) -> list[History]:
        """Classes of which a sample is due with this image: `change` always, a raster when it has turned."""
        found = [History.CHANGE] if History.CHANGE in self._classes else []
        for history in RASTERS:
            number = stamp.utc_ns // int(history.period_s * 1e9)
            if history in self._classes and self._raster.get(history) != number:
                self._raster[history] = number
                found.append(history)
        return found

    def sample(self, history: History, stamp: Stamp, columns: Columns) -> dict[int, Part]:
        """New samples of a class by the number of their group."""
        kept = self._classes[history]
        scalars = self._scalars(kept, stamp, columns, only_changes=history is History.CHANGE)
        matrices: dict[int, list[MatrixSample]] = {}
        for place, (number, index, series) in enumerate(kept.matrices):
            sample = self._matrix(kept, place, index, series, stamp, columns)
            if sample is not None:
                matrices.setdefault(number, []).append(sample)
        nothing = np.zeros(0, SCALAR)
        return {
            number: Part(scalars.get(number, nothing), tuple(matrices.get(number, ())))
            for number in sorted(scalars.keys() | matrices.keys())
        }

    def _scalars(self, kept: _Class, stamp: Stamp, columns: Columns, *, only_changes: bool) -> dict[int, NDArray[Any]]:
        value, status = columns["value"][kept.slots], columns["status"][kept.slots]
        time = columns["source_time"][kept.slots]
        moved = status != kept.status
        if only_changes:
            moved |= (value != kept.value) & ~(np.isnan(value) & np.isnan(kept.value))
        else:
            moved |= time > kept.time
        # No sample may have waited for its first value: nothing was measured then.
        at = np.flatnonzero(moved & (time > 0))
        if not len(at):
            return {}
        rows = np.empty(len(at), SCALAR)
        rows["index"], rows["value"], rows["status"] = kept.index[at], value[at], status[at]
        # A change of status alone has no measurement behind it: its time is that of the image.
        rows["time"] = np.where(time[at] > kept.time[at], time[at], np.maximum(stamp.utc_ns, kept.time[at] + 1))
        kept.value[at], kept.status[at], kept.time[at] = value[at], status[at], rows["time"]
        groups, first = np.unique(kept.group[at], return_index=True)
        return {int(group): part for group, part in zip(groups, np.split(rows, first[1:]), strict=True)}

    def _matrix(
        self, kept: _Class, place: int, index: int, series: MatrixSeries, stamp: Stamp, columns: Columns
    ) -> MatrixSample | None:
        status = int(columns[f"{series.column}.status"][series.rack])
        time, before = int(columns[f"{series.column}.time"][series.rack]), int(kept.matrix_time[place])
        if time <= 0 or (time <= before and status == kept.matrix_status[place]):
            return None
        if time <= before:
            time = max(stamp.utc_ns, before + 1)
        kept.matrix_status[place], kept.matrix_time[place] = status, time
        data = columns[series.column][series.first : series.first + series.count]
        return MatrixSample(index, status, time, data.astype(np.float32))


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
