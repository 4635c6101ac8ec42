"""Racks that exist only as numbers: plausible values that move, contactors that obey, no physics of the cell."""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from adapters.api import RackRequest, SafeRequest, SourceSpec
from information_model.enumerations import Desired, DoublePoint

Floats = NDArray[np.float64]

CELLS, PROBES = "CellData.CellVoltages", "CellData.CellTemperatures"
POINTS = (
    CELLS,
    PROBES,
    "Measurements.DcVoltage",
    "Measurements.BusVoltage",
    "Measurements.DcCurrent",
    "Measurements.AmbientTemperature",
    "Contactors.Positive.Position",
    "Contactors.Negative.Position",
    "Contactors.Precharge.Position",
    "Safety.InterlockOpen",
    "Protection.FuseOpen",
    "Protection.ShortCircuitReported",
    "Thermal.CoolantInletTemperature",
    "Thermal.CoolantOutletTemperature",
)
"""What a batch source can deliver."""

SILENCE_ZERO_NS, SILENCE_OPEN_NS = 1_000_000_000, 6_000_000_000
_OPEN, _NEGATIVE, _PRECHARGE, _CLOSED = range(4)
_CELL_V, _CELL_OHM = 3.295, 4e-4
_AMBIENT_DEGC, _WARMER_K = 22.0, 3.0
_PERIODS_S = (47.0, 313.0, 1201.0)


class BatchRacks:
    """The racks of one bus. Arrays without another remark are [sources]."""

    def __init__(self, sources: Sequence[SourceSpec], seed: int) -> None:
        rng = self._rng = np.random.default_rng([seed, len(sources)])
        count = len(sources)
        self.cells = [_count(source, CELLS) for source in sources]
        self._probes = [_count(source, PROBES) for source in sources]
        self._cell_offset = [0.0015 * rng.standard_normal(cells) for cells in self.cells]
        self._probe_offset = [0.6 * rng.standard_normal(probes) for probes in self._probes]
        self._phase = rng.uniform(0, 2 * math.pi, (len(_PERIODS_S), 1))
        self._string_v = np.array(
            [_CELL_V * cells + offset.sum() for cells, offset in zip(self.cells, self._cell_offset, strict=True)]
        )
        self._string_ohm = np.array(self.cells) * _CELL_OHM
        names = [source.name.rpartition(".")[0] for source in sources]
        self._array = np.array([sorted(set(names)).index(name) for name in names])
        self._step = np.full(count, _OPEN)
        self._requests: list[RackRequest] = []
        self._applied_ns = 0
        self.current_a: Floats = np.zeros(count)

    def apply(self, requests: Sequence[RackRequest], now_ns: int) -> None:
        """Keeps one request per rack; ValueError when their number is another."""
        if len(requests) != len(self.cells):
            raise ValueError(f"{len(requests)} requests for {len(self.cells)} sources: give one per source, in order")
        self._requests, self._applied_ns = list(requests), now_ns

    def step(self, now_ns: int) -> None:
        """The next 100 ms: contactors one step further, currents within the limits."""
        silent_ns = now_ns - self._applied_ns
        charge, discharge = np.zeros(len(self.cells)), np.zeros(len(self.cells))
        for number, request in enumerate(self._requests):
            may_close = (
                request.desired == Desired.CLOSED and request.safe < SafeRequest.OPEN and silent_ns <= SILENCE_OPEN_NS
            )
            self._step[number] = min(self._step[number] + 1, _CLOSED) if may_close else _OPEN
            valid = request.lease_valid and request.safe == SafeRequest.NONE and silent_ns <= SILENCE_ZERO_NS
            if valid and self._step[number] == _CLOSED:
                charge[number], discharge[number] = request.charge_limit_a, request.discharge_limit_a
        angle = 2 * math.pi * now_ns / 1e9 / np.array(_PERIODS_S)[:, None] + self._phase
        share = np.sin(angle).mean(axis=0)
        self.current_a = np.where(share < 0, share * np.nan_to_num(charge), share * np.nan_to_num(discharge))

    def scalars(self, point: str) -> Floats | float:
        """Present value of a scalar point for all racks."""
        noise = self._rng.standard_normal
        count = len(self.cells)
        match point:
            case "Measurements.DcVoltage":
                return self._terminal_v() + 0.05 * noise(count)
            case "Measurements.BusVoltage":
                return self._bus_v() + 0.05 * noise(count)
            case "Measurements.DcCurrent":
                return self.current_a + 0.05 * noise(count)
            case "Contactors.Positive.Position":
                return self._position(self._step == _CLOSED)
            case "Contactors.Negative.Position":
                return self._position(self._step >= _NEGATIVE)
            case "Contactors.Precharge.Position":
                return self._position(self._step == _PRECHARGE)
            case "Measurements.AmbientTemperature" | "Thermal.CoolantInletTemperature":
                return np.round(_AMBIENT_DEGC + 0.05 * noise(count), 1)
            case "Thermal.CoolantOutletTemperature":
                return np.round(_AMBIENT_DEGC + _WARMER_K / 2 + 0.05 * noise(count), 1)
            case _:
                return 0.0

    def cell_voltages(self, rack: int) -> Floats:
        """Present voltages of the cells of a rack, with noise and the resolution of 0.1 mV."""
        offset = self._cell_offset[rack]
        noise = 0.0004 * self._rng.standard_normal(len(offset))
        result: Floats = np.round(_CELL_V + offset + noise - _CELL_OHM * self.current_a[rack], 4)
        return result

    def temperatures(self, rack: int) -> Floats:
        """Present temperatures of the probes of a rack."""
        offset = self._probe_offset[rack]
        noise = 0.1 * self._rng.standard_normal(len(offset))
        result: Floats = np.round(_AMBIENT_DEGC + _WARMER_K + offset + noise, 1)
        return result

    def _terminal_v(self) -> Floats:
        result: Floats = self._string_v - self._string_ohm * self.current_a
        return result

    def _bus_v(self) -> Floats:
        """Mean of the closed racks of an array; an array without one has no voltage."""
        closed = self._step == _CLOSED
        arrays = int(self._array.max(initial=-1)) + 1
        number = np.bincount(self._array[closed], minlength=arrays)
        volts = np.bincount(self._array[closed], self._terminal_v()[closed], minlength=arrays)
        result: Floats = (volts / np.maximum(number, 1))[self._array]
        return result

    @staticmethod
    def _position(closed: NDArray[np.bool_]) -> Floats:
        return np.where(closed, float(DoublePoint.CLOSED), float(DoublePoint.OPEN))


def _count(source: SourceSpec, point: str) -> int:
    return next((row.count for row in source.map.points if row.point == point), 0)
