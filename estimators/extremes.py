"""Recorded extremes and the rest detector: small states over racks."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


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
    """Racks whose current has stayed below a twentieth of an hour's rate for a minute."""

    capacity_ah: Floats
    wait_s: float = 60.0
    resting_s: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.resting_s = np.zeros(len(self.capacity_ah))

    def step(self, current_a: Floats, dt_s: float) -> NDArray[np.bool_]:
        """True where the rack rests; an unknown current is no rest."""
        quiet = np.abs(current_a) < self.capacity_ah / 20
        self.resting_s = np.where(quiet, self.resting_s + dt_s, 0.0)
        return self.resting_s >= self.wait_s
