"""State of charge by counting from an open-circuit start, with an uncertainty that grows.

Counting knows the change of charge well and its level not at all: the level comes from the open-circuit voltage at
the first rest, with the uncertainty that the curve allows there. From then on the uncertainty grows with the charge
that has passed (gain of the current sensor) and with time (its offset). No correction by a model yet.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.open_circuit import state_of_charge

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

NONE, OPEN_CIRCUIT_START, COUNTING = 0, 1, 2
"""Codes of StateOfChargeSource."""

LOADED_DOUBT_V = 0.08
"""How far the voltage of a loaded cell may be from its open-circuit voltage."""
GAIN_SIGMA = 0.01
"""Standard deviation of the gain of a current sensor."""
OFFSET_SIGMA_C = 0.002
"""Standard deviation of its offset, as a share of the rated current at 1C."""
LOWEST_SIGMA = 0.1
HIGHEST_SIGMA = 100.0
LONGEST_STEP_S = 1.0
"""A longer gap is not integrated: nobody knows what flowed in it, so the estimate becomes less certain."""


@dataclass
class ChargeCounter:
    """State of all racks. `capacity_ah` [racks], `chemistry` one text per rack."""

    capacity_ah: Floats
    chemistry: tuple[str, ...]
    soc: Floats = field(init=False)
    sigma: Floats = field(init=False)
    source: NDArray[np.int64] = field(init=False)
    _current_a: Floats = field(init=False)
    _start_sigma: Floats = field(init=False)
    _net_ah: Floats = field(init=False)
    _elapsed_s: Floats = field(init=False)
    _doubtful: Bools = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.capacity_ah)
        self.soc, self.sigma = np.full(n, np.nan), np.full(n, np.nan)
        self.source = np.zeros(n, np.int64)
        self._current_a = np.full(n, np.nan)
        self._doubtful = np.zeros(n, bool)
        self._start_sigma, self._net_ah, self._elapsed_s = np.zeros(n), np.zeros(n), np.zeros(n)

    def step(self, current_a: Floats, cell_voltage_v: Floats, quiet: Bools, rested: Bools, dt_s: float) -> None:
        """One step. `current_a` [racks], positive = discharge, NaN = not known; `cell_voltage_v` is the cells' mean.

        Counting is trapezoidal and needs both ends of the step. `quiet`: hardly any current flows; `rested`: it has been so
        for long enough that the voltage is near its open-circuit value.
        """
        self._start(cell_voltage_v, quiet, rested)
        known = ~np.isnan(self.soc)
        both = known & ~np.isnan(current_a) & ~np.isnan(self._current_a) & (dt_s <= LONGEST_STEP_S)
        moved_ah = np.where(both, (current_a + self._current_a) / 2 * dt_s / 3600, 0.0)
        self._current_a = current_a.copy()
        self.soc = np.where(both, np.clip(self.soc - 100 * moved_ah / self.capacity_ah, 0.0, 100.0), self.soc)
        self.source[both & (np.abs(moved_ah) > 0)] = COUNTING
        self._net_ah += moved_ah
        self._elapsed_s += np.where(known, dt_s, 0.0)
        self._widen(known & ~both, dt_s)
        self.sigma = np.where(known, self._uncertainty(), np.nan)

    def _start(self, cell_voltage_v: Floats, quiet: Bools, rested: Bools) -> None:
        """Start where nothing is known; a start under load is doubtful and repeated at the first rest."""
        measured = ~np.isnan(cell_voltage_v)
        unknown = np.isnan(self.soc)
        # At the very start nothing is known about the minutes before: a small current is taken for rest.
        settled = (unknown & quiet) | (self._doubtful & rested)
        for wanted, doubt_v in ((settled, 0.0), (unknown & ~quiet, LOADED_DOUBT_V)):
            fresh = np.flatnonzero(wanted & measured)
            for chemistry in {self.chemistry[rack] for rack in fresh}:
                racks = np.array([rack for rack in fresh if self.chemistry[rack] == chemistry])
                self.soc[racks], self._start_sigma[racks] = state_of_charge(chemistry, cell_voltage_v[racks], doubt_v)
                self.source[racks] = OPEN_CIRCUIT_START
                self._net_ah[racks], self._elapsed_s[racks] = 0.0, 0.0
                self._doubtful[racks] = doubt_v > 0

    def _widen(self, blind: Bools, dt_s: float) -> None:
        """While no current is known, anything up to a hundredth of the rated current may flow."""
        lost = 100 * 0.01 * dt_s / 3600
        self._start_sigma = np.where(blind, np.minimum(self._start_sigma + lost, HIGHEST_SIGMA), self._start_sigma)

    def _uncertainty(self) -> Floats:
        gain = 100 * GAIN_SIGMA * np.abs(self._net_ah) / self.capacity_ah
        offset = 100 * OFFSET_SIGMA_C * self._elapsed_s / 3600
        return np.clip(np.sqrt(self._start_sigma**2 + gain**2 + offset**2), LOWEST_SIGMA, HIGHEST_SIGMA)

    def retained(self) -> dict[str, list[float | None]]:
        """State that survives a restart."""
        return {"soc": _listed(self.soc), "sigma": _listed(self.sigma), "source": [float(code) for code in self.source]}

    def restore(self, body: dict[str, Any], down_s: float) -> None:
        """Go on from a retained state after `down_s` seconds in which nobody counted."""
        soc, sigma = _array(body["soc"]), _array(body["sigma"])
        if len(soc) != len(self.soc):
            raise ValueError(f"retained state of charge of {len(soc)} racks, expected {len(self.soc)}")
        self.soc = soc
        self._start_sigma = np.nan_to_num(sigma) + 100 * 0.01 * max(0.0, down_s) / 3600
        self.source = np.array(body["source"], np.int64)
        self.sigma = np.where(np.isnan(soc), np.nan, np.clip(self._start_sigma, LOWEST_SIGMA, HIGHEST_SIGMA))


def _listed(values: Floats) -> list[float | None]:
    return [None if np.isnan(value) else float(value) for value in values]


def _array(values: list[float | None]) -> Floats:
    return np.array([np.nan if value is None else value for value in values], np.float64)
