"""Ragged groups in one vector: racks of cells, modules of cells. NaN means "not known" and never wins."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]


class Extremes(NamedTuple):
    """Of each group: lowest, highest, mean, sum, how many values are known, and where the extremes lie.

    The positions are in the whole vector, the first of equal values; -1 where the group has no known value.
    """

    low: Floats
    high: Floats
    mean: Floats
    total: Floats
    known: Indices
    low_at: Indices
    high_at: Indices


class Segments:
    """Groups that lie one behind another: group g holds [start[g], start[g + 1]). Empty groups are allowed."""

    def __init__(self, start: Indices) -> None:
        self.start = np.asarray(start, np.int64)
        self.count = len(self.start) - 1
        self.sizes = np.diff(self.start)
        self.group_of = np.repeat(np.arange(self.count), self.sizes)
        self._filled = np.flatnonzero(self.sizes)
        self._at = self.start[:-1][self._filled]
        self._positions = np.arange(int(self.start[-1]))

    def _reduce(self, function: np.ufunc, values: NDArray[np.generic], empty: float) -> NDArray[np.generic]:
        if len(self._filled) == self.count:
            return np.asarray(function.reduceat(values, self._at))
        found = np.full(self.count, empty, values.dtype if values.dtype.kind == "i" else np.float64)
        if len(self._filled):
            found[self._filled] = function.reduceat(values, self._at)
        return found

    def extremes(self, values: NDArray[np.floating]) -> Extremes:
        """Extremes of each group. `values` [elements]."""
        known = ~np.isnan(values)
        low, high = self.lowest(values), self.highest(values)
        count = np.asarray(self._reduce(np.add, known.astype(np.int64), 0), np.int64)
        total = np.asarray(self._reduce(np.add, np.where(known, values, 0.0).astype(np.float64), 0.0), np.float64)
        total[count == 0] = np.nan
        mean = total / np.maximum(count, 1)
        return Extremes(low, high, mean, total, count, self._first(values, low), self._first(values, high))

    def _first(self, values: NDArray[np.floating], wanted: Floats) -> Indices:
        size = len(self._positions)
        hit = values == wanted[self.group_of]
        at = np.asarray(self._reduce(np.minimum, np.where(hit, self._positions, size), size), np.int64)
        return np.where(at >= size, -1, at)

    def sums(self, values: NDArray[np.floating]) -> Floats:
        """Sum of each group; NaN counts as nothing."""
        known = np.where(np.isnan(values), 0.0, values)
        return np.asarray(self._reduce(np.add, known, 0.0), np.float64)

    def lowest(self, values: NDArray[np.floating]) -> Floats:
        """Lowest known value of each group."""
        return np.asarray(self._reduce(np.fmin, values, np.nan), np.float64)

    def highest(self, values: NDArray[np.floating]) -> Floats:
        """Highest known value of each group."""
        return np.asarray(self._reduce(np.fmax, values, np.nan), np.float64)

    def counts(self, mask: NDArray[np.bool_]) -> Indices:
        """How many elements of each group are True."""
        return np.asarray(self._reduce(np.add, mask.astype(np.int64), 0), np.int64)

    def earliest(self, times: NDArray[np.int64], mask: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Smallest time of the elements that are True; 0 where none is."""
        latest = np.iinfo(np.int64).max
        found = np.asarray(self._reduce(np.minimum, np.where(mask, times, latest), latest), np.int64)
        return np.where(found == latest, 0, found)
