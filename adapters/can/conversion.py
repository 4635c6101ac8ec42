"""From the physical value of the database to the point's value and quality."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.can.database import BoundSignal
from information_model.quality import Quality


class Conversion:
    """Scale, sign, codes, invalid patterns and range of every signal of a bus."""

    def __init__(self, signals: Sequence[BoundSignal]) -> None:
        points = [row.point for row in signals]
        self._scale = np.array([p.sign * p.scale for p in points], np.float64)
        self._offset = np.array([p.sign * p.offset for p in points], np.float64)
        self._low = np.array([p.range[0] if p.range else -np.inf for p in points], np.float64)
        self._high = np.array([p.range[1] if p.range else np.inf for p in points], np.float64)
        widest = max((len(p.invalid) for p in points), default=0)
        self._invalid = np.zeros((len(points), widest), np.uint64)
        self._invalid_used = np.zeros((len(points), widest), np.bool_)
        for number, point in enumerate(points):
            self._invalid[number, : len(point.invalid)] = point.invalid
            self._invalid_used[number, : len(point.invalid)] = True
        # All cells of a matrix share one point, hence one table.
        self._codes = np.full(len(points), -1, np.intp)
        self._tables: list[tuple[NDArray[np.uint64], NDArray[np.float64]]] = []
        numbers: dict[int, int] = {}
        for number, point in enumerate(points):
            if not point.codes:
                continue
            if id(point) not in numbers:
                numbers[id(point)] = len(self._tables)
                self._tables.append(_sorted_codes(point.code_table))
            self._codes[number] = numbers[id(point)]

    def judge(
        self, signal: NDArray[np.intp], raw: NDArray[np.uint64], physical: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.uint8]]:
        """Values (NaN where not good) and qualities of M signals; the first finding holds."""
        with np.errstate(over="ignore", invalid="ignore"):  # a floating-point signal may carry anything
            value = physical * self._scale[signal] + self._offset[signal]
        refused = ~np.isfinite(value)
        if self._invalid.shape[1]:
            refused |= ((raw[:, None] == self._invalid[signal]) & self._invalid_used[signal]).any(axis=1)
        if self._tables:
            self._apply_codes(signal, raw, value, refused)
        quality = np.zeros(len(signal), np.uint8)
        quality[(value < self._low[signal]) | (value > self._high[signal])] = Quality.RANGE
        quality[refused] = Quality.INVALID
        value[quality != Quality.GOOD] = np.nan
        return value, quality

    def _apply_codes(
        self,
        signal: NDArray[np.intp],
        raw: NDArray[np.uint64],
        value: NDArray[np.float64],
        refused: NDArray[np.bool_],
    ) -> None:
        table_of = self._codes[signal]
        for number, (codes, values) in enumerate(self._tables):
            at = np.flatnonzero(table_of == number)
            if not len(at):
                continue
            place = np.minimum(np.searchsorted(codes, raw[at]), len(codes) - 1)
            value[at] = values[place]
            refused[at] |= codes[place] != raw[at]


def _sorted_codes(table: dict[int, float]) -> tuple[NDArray[np.uint64], NDArray[np.float64]]:
    codes = sorted(table)
    return np.array(codes, np.uint64), np.array([table[code] for code in codes], np.float64)
