"""Throughput counters: charge and energy, in and out separated, trapezoidal, never backwards."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

LONGEST_STEP_S = 1.0
NAMES = ("charged_ah", "discharged_ah", "charged_wh", "discharged_wh", "connected_s", "operating_s")


@dataclass
class Throughput:
    """Counters of `count` racks. Current and power are positive while discharging."""

    count: int
    totals: dict[str, Floats] = field(init=False)
    _current_a: Floats = field(init=False)
    _power_w: Floats = field(init=False)

    def __post_init__(self) -> None:
        self.totals = {name: np.zeros(self.count) for name in NAMES}
        self._current_a, self._power_w = np.full(self.count, np.nan), np.full(self.count, np.nan)

    def step(self, current_a: Floats, power_w: Floats, connected: NDArray[np.bool_], dt_s: float) -> None:
        """One step. A value that is not known (NaN) at one end of the step leaves its counters as they are."""
        if dt_s <= LONGEST_STEP_S:
            self._count("_ah", (current_a + self._current_a) / 2 * dt_s / 3600)
            self._count("_wh", (power_w + self._power_w) / 2 * dt_s / 3600)
            self.totals["connected_s"] += np.where(connected, dt_s, 0.0)
            self.totals["operating_s"] += dt_s
        self._current_a, self._power_w = current_a.copy(), power_w.copy()

    def _count(self, unit: str, moved: Floats) -> None:
        moved = np.nan_to_num(moved)
        self.totals[f"discharged{unit}"] += np.maximum(moved, 0.0)
        self.totals[f"charged{unit}"] += np.maximum(-moved, 0.0)

    def equivalent_full_cycles(self, capacity_ah: Floats) -> Floats:
        """Half of all charge that passed, in rated capacities."""
        return (self.totals["charged_ah"] + self.totals["discharged_ah"]) / (2 * capacity_ah)

    def retained(self) -> dict[str, list[float]]:
        """Counters that survive a restart."""
        return {name: values.tolist() for name, values in self.totals.items()}

    def restore(self, body: dict[str, Any]) -> None:
        """Go on from retained counters."""
        for name in NAMES:
            values = np.array(body[name], np.float64)
            if len(values) != self.count:
                raise ValueError(f"retained counter {name} of {len(values)} racks, expected {self.count}")
            self.totals[name] = values
