"""Recorded extremes and the rest detector: small states over racks."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


QUIET_SHARE = 1 / 20
"""Share of the rated capacity (as a current over one hour) below which a rack is quiet at this moment."""


def is_quiet(current_a: Floats, capacity_ah: Floats) -> NDArray[np.bool_]:
    """Racks in which hardly any current flows now; an unknown current is not quiet."""
    return np.asarray(np.abs(current_a) < QUIET_SHARE * capacity_ah)


@dataclass
class Recorded:
    """Lowest and highest value ever seen, NaN before the first."""

    count: int
    low: Floats = field(init=False)
    high: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.low, self.high = np.full(self.count, np.nan), np.full(self.count, np.nan)

    def step(self, low: Floats, high: Floats) -> None:
        """Take the extremes of this moment; NaN changes nothing."""
        self.low, self.high = np.fmin(self.low, low), np.fmax(self.high, high)

    def retained(self) -> dict[str, list[float | None]]:
        """State that survives a restart."""
        return {
            name: [None if np.isnan(value) else float(value) for value in values]
            for name, values in (("low", self.low), ("high", self.high))
        }

    def restore(self, body: dict[str, Any]) -> None:
        """Go on from a retained state."""
        low, high = (np.array([np.nan if v is None else v for v in body[name]], np.float64) for name in ("low", "high"))
        if len(low) != self.count or len(high) != self.count:
            raise ValueError(f"recorded extremes of {len(low)} racks, expected {self.count}")
        self.low, self.high = low, high


@dataclass
class RestDetector:
    """Racks that have been quiet for a minute have *rested*: their cells stand near the open-circuit voltage."""

    capacity_ah: Floats
    wait_s: float = 60.0
    resting_s: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.resting_s = np.zeros(len(self.capacity_ah))

    def step(self, current_a: Floats, dt_s: float) -> NDArray[np.bool_]:
        """True where the rack has rested."""
        self.resting_s = np.where(is_quiet(current_a, self.capacity_ah), self.resting_s + dt_s, 0.0)
        return self.resting_s >= self.wait_s
