"""What the racks of the plant send: readings with noise and resolution, packed into frames, all racks at once."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.simulator.cell import probe_cells
from adapters.simulator.description import RackDescription
from adapters.simulator.effects import Effects
from adapters.simulator.layout import (
    AMPERE,
    CELL_VOLT,
    DEGREE,
    ELECTRICAL,
    INVALID_TEMPERATURE,
    INVALID_VOLTAGE,
    PER_PAGE,
    RACK_VOLT,
    ROUND_TICKS,
    THERMAL,
    Message,
    check_sums,
    frame_id,
)
from adapters.simulator.wire import Columns

Floats = NDArray[np.float64]

CELL_NOISE_V, CELL_OFFSET_V = 0.0005, 0.001
PROBE_NOISE_K, PROBE_OFFSET_K = 0.1, 0.5
CURRENT_NOISE_A, CURRENT_OFFSET_A, CURRENT_GAIN = 0.05, 0.1, 0.002
VOLTAGE_NOISE_V, VOLTAGE_GAIN = 0.05, 0.0002
_WRONG = np.uint8(0x55)


class PlantFrames(NamedTuple):
    """Frames of all buses; `bus` is the number of each frame's bus."""

    bus: NDArray[np.int64]
    columns: Columns

    def of_bus(self, number: int) -> Columns:
        """Those of one bus."""
        at = np.flatnonzero(self.bus == number)
        ids, data, length, mono_ns = self.columns
        return Columns(ids[at], data[at], length[at], mono_ns[at])


class Truth(NamedTuple):
    """What the sensors look at. Per cell or per rack."""

    cell_v: Floats
    cell_degc: Floats
    rack_v: Floats
    bus_v: Floats
    current_a: Floats
    ambient_degc: float
    inlet_degc: float
    outlet_degc: Floats
    status: NDArray[np.void]
    """STATE[racks], without counter and check sum."""


class _Pages(NamedTuple):
    """The pages of one kind that are due in one of the ten ticks: a rack and three elements each (-1: none)."""

    rack: NDArray[np.int64]
    page: NDArray[np.uint8]
    element: NDArray[np.int64]
    ids: NDArray[np.uint32]


class FrameBuilder:
    """Keeps the sensors' own errors, the counters, and which page is due when."""

    def __init__(self, racks: Sequence[RackDescription], rng: np.random.Generator) -> None:
        self._rng = rng
        buses = {name: number for number, name in enumerate(dict.fromkeys(rack.bus for rack in racks))}
        self._bus = np.array([buses[rack.bus] for rack in racks])
        self._nodes = [rack.node for rack in racks]
        cells, probes = sum(rack.shape.cells for rack in racks), sum(rack.shape.probes for rack in racks)
        self._beside = probe_cells(racks)
        self._cell_offset = rng.uniform(-CELL_OFFSET_V, CELL_OFFSET_V, cells)
        self._probe_offset = rng.uniform(-PROBE_OFFSET_K, PROBE_OFFSET_K, probes)
        self._gain = 1 + rng.uniform(-CURRENT_GAIN, CURRENT_GAIN, len(racks))
        self._zero = rng.uniform(-CURRENT_OFFSET_A, CURRENT_OFFSET_A, len(racks))
        self._voltage_gain = 1 + rng.uniform(-VOLTAGE_GAIN, VOLTAGE_GAIN, (2, len(racks)))
        self._counter = np.zeros(len(racks), np.uint8)
        self._raw_cells = np.full(cells + 1, INVALID_VOLTAGE, np.uint16)
        self._raw_probes = np.full(probes + 1, INVALID_TEMPERATURE, np.int16)
        self._cell_pages = self._plan(Message.CELL_VOLTAGES, [rack.shape.cells for rack in racks])
        self._probe_pages = self._plan(Message.CELL_TEMPERATURES, [rack.shape.probes for rack in racks])
        self._ids = {
            message: self._rack_ids(message) for message in (Message.ELECTRICAL, Message.STATE, Message.THERMAL)
        }

    def _rack_ids(self, message: Message) -> NDArray[np.uint32]:
        return np.array([frame_id(message, node) for node in self._nodes], np.uint32)

    def _plan(self, message: Message, counts: Sequence[int]) -> list[_Pages]:
        """Spread the pages of each rack evenly over the ticks; racks begin at different pages."""
        rows: list[list[tuple[int, int, list[int], int]]] = [[] for _ in range(ROUND_TICKS)]
        first = 0
        for rack, count in enumerate(counts):
            pages = -(-count // PER_PAGE)
            for page in range(pages):
                numbers = [page * PER_PAGE + place for place in range(PER_PAGE)]
                elements = [first + number if number < count else -1 for number in numbers]
                tick = (page * ROUND_TICKS // pages + rack) % ROUND_TICKS
                rows[tick].append((rack, page, elements, frame_id(message, self._nodes[rack])))
            first += count
        return [
            _Pages(
                np.array([row[0] for row in tick], np.int64),
                np.array([row[1] for row in tick], np.uint8),
                np.array([row[2] for row in tick], np.int64).reshape(-1, PER_PAGE),
                np.array([row[3] for row in tick], np.uint32),
            )
            for tick in rows
        ]

    def build(
        self, ticks: Sequence[int], mono_ns: int, truth: Truth, effects: Effects, glitches: dict[int, float]
    ) -> PlantFrames:
        """Frames that are due in these ticks (0..9); a tick is 0.1 s. Glitches that were sent are removed."""
        self._counter += ~effects.frozen_counter
        parts = [self._electrical(truth, effects), self._state(truth, effects)]
        racks = [np.arange(len(self._nodes))] * 2
        ids = [self._ids[Message.ELECTRICAL], self._ids[Message.STATE]]
        for tick in ticks:
            for pages, values in (
                (self._cell_pages[tick], self._cell_values(self._cell_pages[tick], truth, effects, glitches)),
                (self._probe_pages[tick], self._probe_values(self._probe_pages[tick], truth, effects)),
            ):
                parts.append(_paged(pages.page, values))
                racks.append(pages.rack)
                ids.append(pages.ids)
        if 0 in ticks:
            parts.append(self._thermal(truth))
            racks.append(racks[0])
            ids.append(self._ids[Message.THERMAL])
        data, rack, ident = np.concatenate(parts), np.concatenate(racks), np.concatenate(ids)
        if effects.silent.any():
            kept = ~effects.silent[rack]
            data, rack, ident = data[kept], rack[kept], ident[kept]
        count = len(ident)
        columns = Columns(ident, data, np.full(count, 8, np.uint8), np.full(count, mono_ns, np.int64))
        return PlantFrames(self._bus[rack], columns)

    def _electrical(self, truth: Truth, effects: Effects) -> NDArray[np.uint8]:
        noise = self._rng.standard_normal((3, len(self._nodes)))
        frames = np.zeros(len(self._nodes), ELECTRICAL)
        voltage = np.stack((truth.rack_v, truth.bus_v)) * self._voltage_gain + noise[:2] * VOLTAGE_NOISE_V
        raw = np.clip(np.rint(voltage / RACK_VOLT), 0, 0xFFFE)
        frames["dc"], frames["bus"] = raw
        current = truth.current_a * self._gain + self._zero + noise[2] * CURRENT_NOISE_A + effects.current_offset_a
        frames["current"] = np.clip(np.rint(current / AMPERE), -0x7FFF, 0x7FFE)
        frames["counter"] = self._counter
        return self._sealed(Message.ELECTRICAL, frames.view(np.uint8).reshape(-1, 8), effects)

    def _state(self, truth: Truth, effects: Effects) -> NDArray[np.uint8]:
        frames = truth.status.copy()
        frames["counter"] = self._counter
        return self._sealed(Message.STATE, frames.view(np.uint8).reshape(-1, 8), effects)

    def _sealed(self, message: Message, frames: NDArray[np.uint8], effects: Effects) -> NDArray[np.uint8]:
        frames[:, 7] = check_sums(message, frames)
        frames[effects.wrong_crc, 7] ^= _WRONG
        return frames

    def _thermal(self, truth: Truth) -> NDArray[np.uint8]:
        frames = np.zeros(len(self._nodes), THERMAL)
        for name, value in (
            ("ambient", truth.ambient_degc), ("inlet", truth.inlet_degc), ("outlet", truth.outlet_degc),
        ):  # fmt: skip
            frames[name] = np.clip(np.rint(np.asarray(value) / DEGREE), -0x7FFF, 0x7FFE)
        return frames.view(np.uint8).reshape(-1, 8)

    def _cell_values(
        self, pages: _Pages, truth: Truth, effects: Effects, glitches: dict[int, float]
    ) -> NDArray[np.uint16]:
        at = pages.element.ravel()
        at = at[at >= 0]
        volts = truth.cell_v[at] + self._cell_offset[at] + self._rng.standard_normal(len(at)) * CELL_NOISE_V
        if effects.any_cell:
            fixed = effects.cell_fixed_v[at]
            volts = np.where(np.isnan(fixed), volts + effects.cell_offset_v[at], fixed)
        raw = np.clip(np.rint(volts / CELL_VOLT), 0, INVALID_VOLTAGE - 1).astype(np.uint16)
        if effects.any_cell:
            known = effects.cell_stuck[at] & (self._raw_cells[at] != INVALID_VOLTAGE)
            raw[known] = self._raw_cells[at][known]
            raw[effects.cell_invalid[at]] = INVALID_VOLTAGE
        self._raw_cells[at] = raw
        values = self._raw_cells[pages.element]
        for cell in [cell for cell in glitches if (pages.element == cell).any()]:
            spike = min(max(round(glitches.pop(cell) / CELL_VOLT), 0), INVALID_VOLTAGE - 1)
            values[pages.element == cell] = spike
        return values

    def _probe_values(self, pages: _Pages, truth: Truth, effects: Effects) -> NDArray[np.uint16]:
        at = pages.element.ravel()
        at = at[at >= 0]
        noise = self._rng.standard_normal(len(at)) * PROBE_NOISE_K
        degc = truth.cell_degc[self._beside[at]] + self._probe_offset[at] + noise
        fixed = effects.probe_fixed_degc[at]
        degc = np.where(np.isnan(fixed), degc, fixed)
        self._raw_probes[at] = np.clip(np.rint(degc / DEGREE), -0x7FFF, INVALID_TEMPERATURE - 1).astype(np.int16)
        values: NDArray[np.uint16] = self._raw_probes[pages.element].view(np.uint16)
        return values


def _paged(page: NDArray[np.uint8], values: NDArray[np.uint16]) -> NDArray[np.uint8]:
    """u1[N, 8]: page number, three values, one byte that is not used."""
    frames = np.zeros((len(page), 8), np.uint8)
    frames[:, 0] = page
    frames[:, 1:7] = np.ascontiguousarray(values).astype("<u2").view(np.uint8).reshape(-1, 6)
    return frames
