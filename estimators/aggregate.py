"""Sums, means and extremes over the racks of a group; racks without a value are left out, never counted as zero."""

import numpy as np
from numpy.typing import NDArray

from estimators.segments import Extremes, Segments

Floats = NDArray[np.float64]


class Groups:
    """Racks in groups. `start` [groups + 1]: the racks of a group lie one behind another."""

    def __init__(self, start: NDArray[np.int64]) -> None:
        self.racks = Segments(start)

    def total(self, values: Floats) -> Floats:
        """Sum of the known values; NaN where none is known."""
        known = ~np.isnan(values)
        return np.where(self.racks.counts(known) > 0, self.racks.sums(values), np.nan)

    def mean(self, values: Floats, weight: Floats) -> Floats:
        """Mean of the known values by weight; NaN where none is known."""
        used = np.where(np.isnan(values), 0.0, weight)
        sums, weights = self.racks.sums(values * used), self.racks.sums(used)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(weights > 0, sums / weights, np.nan)

    def spread(self, values: Floats) -> Extremes:
        """Extremes over the racks with their positions."""
        return self.racks.extremes(values)
