"""Cells of the whole plant in one vector: two RC pairs, hysteresis and heat per cell, each cell a little different.

    voltage = ocv(z) + m h - (r0 i + r1 i1 + r2 i2) f(T)        f(T) = exp(2500 K (1/T - 1/298.15 K))

z: charge (0..1), h: hysteresis state (-1..1, one-state model after Plett 2004), i1, i2: currents of the RC pairs.
Positive current is discharge. Parameters are those of a 280 Ah LFP cell, scaled with the capacity.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from adapters.simulator.description import RackDescription

Floats = NDArray[np.float64]

_REFERENCE_AH = 280.0
_R0_OHM, _R1_OHM, _R2_OHM = 2.5e-4, 2.0e-4, 4.0e-4
_TAU1_S, _TAU2_S = 20.0, 500.0
_GAMMA = 50.0
_HYSTERESIS_V = 0.010
_HEAT_J_K, _COOLING_W_K, _NEIGHBOUR_W_K = 5400.0, 0.4, 0.5
_ARRHENIUS_K, _ZERO_DEGC_K, _REFERENCE_K = 2500.0, 273.15, 298.15
_COOLANT_W_K = 500.0
"""Heat that the coolant of a rack carries per kelvin (W/K)."""
_SELF_DISCHARGE_PER_MONTH = 0.01
_MONTH_S = 30 * 86_400.0
_THERMAL_S = 1.0
"""Temperatures move slowly: they are renewed once a second."""

_OCV_POINTS: dict[str, tuple[tuple[float, float], ...]] = {
    "LFP": (
        (-0.05, 1.0), (0.0, 2.60), (0.01, 2.90), (0.02, 3.02), (0.05, 3.13), (0.10, 3.200), (0.15, 3.225),
        (0.20, 3.242), (0.30, 3.276), (0.40, 3.2935), (0.50, 3.2984), (0.60, 3.3022), (0.65, 3.308), (0.70, 3.318),
        (0.80, 3.334), (0.90, 3.338), (0.95, 3.343), (0.97, 3.355), (0.99, 3.395), (1.0, 3.450), (1.02, 3.70),
        (1.05, 4.50),
    ),
    "NMC": (
        (-0.05, 1.5), (0.0, 3.00), (0.05, 3.36), (0.10, 3.46), (0.20, 3.56), (0.30, 3.61), (0.40, 3.66), (0.50, 3.73),
        (0.60, 3.83), (0.70, 3.93), (0.80, 4.02), (0.90, 4.10), (1.0, 4.20), (1.05, 4.60),
    ),
}  # fmt: skip
_LOWEST, _HIGHEST, _STEPS = -0.05, 1.05, 1100


class OcvTable:
    """Open-circuit voltage over charge, linear between 1101 places from -5 % to 105 %."""

    def __init__(self, chemistry: str) -> None:
        charge, volts = zip(*_OCV_POINTS[chemistry], strict=True)
        grid = np.linspace(_LOWEST, _HIGHEST, _STEPS + 1)
        # The knees of the points are smoothed over 2 %: a real curve has none.
        fine = np.interp(grid, charge, volts)
        window = np.hanning(23)[1:-1] / np.hanning(23)[1:-1].sum()
        smooth = np.convolve(np.pad(fine, 10, mode="reflect", reflect_type="odd"), window, mode="valid")
        self.volts = np.maximum.accumulate(smooth)
        self.slope = np.diff(self.volts)

    def __call__(self, charge: Floats) -> Floats:
        """Volts per cell."""
        place = (charge - _LOWEST) * (_STEPS / (_HIGHEST - _LOWEST))
        np.clip(place, 0.0, _STEPS - 1e-9, out=place)
        at = place.astype(np.intp)
        place -= at
        result: Floats = self.volts[at] + place * self.slope[at]
        return result


def _spread(rng: np.random.Generator, mean: Floats, sigma: float) -> Floats:
    return mean * (1 + sigma * np.clip(rng.standard_normal(len(mean)), -3, 3))


@dataclass
class Terminal:
    """What a rack is as a source: inner voltage and resistance, [racks]."""

    emf_v: Floats
    resistance_ohm: Floats


@dataclass
class _Step:
    dt_s: float = 0.0
    keep1: Floats = field(default_factory=lambda: np.empty(0))
    keep2: Floats = field(default_factory=lambda: np.empty(0))


class Cells:
    """All cells of all racks, rack after rack. Arrays without another remark are [cells]."""

    def __init__(
        self, racks: Sequence[RackDescription], rng: np.random.Generator, start_soc: float, ambient_degc: float
    ) -> None:
        counts = np.array([rack.shape.cells for rack in racks])
        self.start: NDArray[np.int64] = np.concatenate(([0], np.cumsum(counts)))
        self.rack: NDArray[np.int64] = np.repeat(np.arange(len(racks)), counts)
        self.count = int(counts.sum())
        self._first = self.start[:-1]
        kinds = sorted({rack.chemistry for rack in racks})
        self._tables = [
            (OcvTable(kind), np.flatnonzero(np.array([rack.chemistry == kind for rack in racks])[self.rack]))
            for kind in kinds
        ]
        capacity = np.repeat(np.array([rack.capacity_ah for rack in racks]), counts)
        scale = _REFERENCE_AH / capacity
        self.capacity_as = _spread(rng, capacity * 3600, 0.01)
        self._r0, self._r1, self._r2 = (_spread(rng, r * scale, 0.05) for r in (_R0_OHM, _R1_OHM, _R2_OHM))
        self._tau1, self._tau2 = (_spread(rng, np.full(self.count, tau), 0.05) for tau in (_TAU1_S, _TAU2_S))
        self._hysteresis_v = _spread(rng, np.full(self.count, _HYSTERESIS_V), 0.1)
        self._heat_j_k = _HEAT_J_K / scale
        self._self_discharge_a = (
            capacity * _spread(rng, np.full(self.count, 3600.0), 0.3) * (_SELF_DISCHARGE_PER_MONTH / _MONTH_S)
        )
        charge = 0.015 * np.clip(rng.standard_normal(self.count), -3, 3)
        # The spread is one of cells, not of racks: racks that start alike may be closed one after the other.
        charge -= self.mean(charge)[self.rack]
        self.charge: Floats = np.clip(start_soc / 100 + charge, 0.0, 1.0)
        self.i1, self.i2, self.h = (np.zeros(self.count) for _ in range(3))
        self.leak_a: Floats = np.zeros(self.count)
        self.heater_w: Floats = np.zeros(self.count)
        self.temperature_degc: Floats = ambient_degc + 0.3 * rng.standard_normal(self.count)
        self.inlet_degc = ambient_degc
        self.outlet_degc: Floats = np.full(len(racks), ambient_degc)
        self._neighbours = np.concatenate(
            [_module_joints(rack.shape.modules, rack.shape.cells_per_module) for rack in racks]
        )
        self._heat_j = np.zeros(self.count)
        self._since_s = 0.0
        self._step = _Step()
        self._warm()
        self.ocv: Floats = self._open_circuit()
        self.voltage: Floats = self.ocv.copy()
        self._emf = self.ocv.copy()

    def mean(self, values: Floats) -> Floats:
        """Mean over the cells of each rack, [racks]."""
        result: Floats = np.add.reduceat(values, self._first) / np.diff(self.start)
        return result

    def sum(self, values: Floats) -> Floats:
        """Sum over the cells of each rack, [racks]."""
        result: Floats = np.add.reduceat(values, self._first)
        return result

    def _open_circuit(self) -> Floats:
        if len(self._tables) == 1:
            return self._tables[0][0](self.charge)
        volts = np.empty(self.count)
        for table, cells in self._tables:
            volts[cells] = table(self.charge[cells])
        return volts

    def _warm(self) -> None:
        """Resistances at the present temperatures."""
        factor = np.exp(_ARRHENIUS_K * (1 / (self.temperature_degc + _ZERO_DEGC_K) - 1 / _REFERENCE_K))
        self._hot0, self._hot1, self._hot2 = self._r0 * factor, self._r1 * factor, self._r2 * factor
        self._rack_ohm = self.sum(self._hot0)

    def terminal(self) -> Terminal:
        """The racks as sources at this moment."""
        self.ocv = self._open_circuit()
        self._emf = self.ocv + self._hysteresis_v * self.h - self._hot1 * self.i1 - self._hot2 * self.i2
        return Terminal(self.sum(self._emf), self._rack_ohm)

    def advance(self, dt_s: float, current_a: Floats) -> None:
        """The next `dt_s` seconds with `current_a` [racks]; to be called after `terminal`."""
        if dt_s != self._step.dt_s:
            self._step = _Step(dt_s, -np.expm1(-dt_s / self._tau1), -np.expm1(-dt_s / self._tau2))
        i = current_a[self.rack]
        self.voltage = self._emf - self._hot0 * i
        self.i1 += self._step.keep1 * (i - self.i1)
        self.i2 += self._step.keep2 * (i - self.i2)
        moved = i * (dt_s / self.capacity_as)
        self.h -= np.minimum(np.abs(moved) * _GAMMA, 1.0) * self.h + np.clip(moved * _GAMMA, -1.0, 1.0)
        self.charge -= moved
        self._heat_j += i * (self.ocv - self.voltage) * dt_s
        self._since_s += dt_s
        if self._since_s >= _THERMAL_S - 1e-9:
            self._exchange_heat(self._since_s)
            self._since_s = 0.0

    def _exchange_heat(self, dt_s: float) -> None:
        """Heat of the last second into the cells, to their neighbours and the coolant; charge lost beside the string."""
        self.charge -= (self._self_discharge_a + self.leak_a) * (dt_s / self.capacity_as)
        self._heat_j += (self.heater_w + self.leak_a * self.voltage) * dt_s
        cooled = _COOLING_W_K * (self.temperature_degc - self.inlet_degc)
        flow = np.diff(self.temperature_degc) * self._neighbours[:-1]
        self._heat_j -= cooled * dt_s
        self._heat_j[:-1] += flow * dt_s
        self._heat_j[1:] -= flow * dt_s
        self.temperature_degc += self._heat_j / self._heat_j_k
        self._heat_j[:] = 0.0
        self.outlet_degc = self.inlet_degc + self.sum(cooled) / _COOLANT_W_K
        self._warm()


def _module_joints(modules: int, cells: int) -> Floats:
    """Conductance from each cell to the next: none across the wall of a module."""
    joints = np.full(modules * cells, _NEIGHBOUR_W_K)
    joints[cells - 1 :: cells] = 0.0
    return joints


def probe_cells(racks: Sequence[RackDescription]) -> NDArray[np.int64]:
    """Cell of the plant beside each probe: the probes of a module are spread evenly over its cells."""
    found: list[NDArray[np.int64]] = []
    first = 0
    for rack in racks:
        shape = rack.shape
        within = (np.arange(shape.probes_per_module) + 0.5) * shape.cells_per_module / max(shape.probes_per_module, 1)
        for module in range(shape.modules):
            found.append(first + module * shape.cells_per_module + within.astype(np.int64))
        first += shape.cells
    return np.concatenate(found) if found else np.empty(0, np.int64)
