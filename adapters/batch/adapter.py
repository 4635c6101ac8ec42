"""A batch source: racks without frames, for large sites and for measuring the program instead of a bus.

Scalars come ten times a second, cells and probes once a second with the racks spread over it, all on a grid of 100 ms
of the monotonic clock, so that the buses of a process deliver together.
"""

import asyncio
import time
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.api import Batch, BusSpec, Clock, RackRequest, Sink
from adapters.batch.racks import CELLS, POINTS, PROBES, BatchRacks
from adapters.errors import AdapterConfigurationError, Problem
from information_model.enumerations import CommunicationState
from information_model.quality import Quality

TICK_NS = 100_000_000
TICKS = 10


class _Part(NamedTuple):
    """What is delivered in one of the ten ticks: slots of the scalars, then of the matrices of some racks."""

    slot: NDArray[np.int64]
    quality: NDArray[np.uint8]
    matrices: list[tuple[str, int]]


class BatchAdapter:
    """One bus of numbers; keeps the contract of `adapters.api.Adapter`. Option: `seed`, a whole number."""

    def __init__(self, bus: BusSpec, *, clock: Clock = time.monotonic_ns) -> None:
        self._spec, self._clock = bus, clock
        self._racks = BatchRacks(bus.sources, _checked_seed(bus))
        self._scalars, self._parts = self._plan()
        self._frames = 0

    def _plan(self) -> tuple[list[tuple[str, NDArray[np.int64]]], list[_Part]]:
        """Scalar points with the racks that have them, and what each tick delivers."""
        slots: dict[str, list[tuple[int, int]]] = {}
        matrices: list[list[tuple[str, int, NDArray[np.int64]]]] = [[] for _ in range(TICKS)]
        for number, source in enumerate(self._spec.sources):
            for row in source.map.slots():
                first = source.first_slot + row.first
                if row.point in (CELLS, PROBES):
                    span = first + np.arange(row.count, dtype=np.int64)
                    matrices[number % TICKS].append((row.point, number, span))
                else:
                    slots.setdefault(row.point, []).append((number, first))
        scalars = [(point, np.array([number for number, _ in rows], np.int64)) for point, rows in slots.items()]
        always = [slot for rows in slots.values() for _, slot in rows]
        parts = []
        for tick in matrices:
            slot = np.concatenate([np.array(always, np.int64), *(span for _, _, span in tick)])
            parts.append(
                _Part(slot, np.full(len(slot), Quality.GOOD, np.uint8), [(point, rack) for point, rack, _ in tick])
            )
        return scalars, parts

    def apply(self, requests: Sequence[RackRequest]) -> None:
        """Keeps one request per source."""
        self._racks.apply(requests, self._clock())

    async def run(self, sink: Sink) -> None:
        """Delivers until cancelled."""
        due = self._clock() // TICK_NS * TICK_NS
        while True:
            now = self._clock()
            due = max(due + TICK_NS, now // TICK_NS * TICK_NS)
            if due > now:
                await asyncio.sleep((due - now) / 1e9)
            self.tick(sink, due // TICK_NS % TICKS)

    def tick(self, sink: Sink, number: int) -> None:
        """One of the ten ticks of a second: everything of this moment in one batch."""
        now = self._clock()
        self._racks.step(now)
        part = self._parts[number]
        values: list[NDArray[np.float64]] = []
        for point, racks in self._scalars:
            value = self._racks.scalars(point)
            values.append(np.broadcast_to(value, len(self._spec.sources))[racks])
        for point, rack in part.matrices:
            values.append(self._racks.cell_voltages(rack) if point == CELLS else self._racks.temperatures(rack))
        self._frames += 1
        for source in range(len(self._spec.sources)):
            health = sink.health(source)
            health.state = CommunicationState.GOOD
            health.frames_received = health.counter_advances = self._frames
            health.last_frame_mono_ns = now
        count = len(part.slot)
        if count:
            value = np.concatenate(values)
            sink.deliver(Batch(part.slot, value, np.full(count, now, np.int64), part.quality))


def _checked_seed(bus: BusSpec) -> int:
    wrong = [
        Problem(f"options.{key}", repr(bus.options[key]), "only seed", "Remove it.")
        for key in sorted(set(bus.options) - {"seed"})
    ]
    seed = bus.options.get("seed", 0)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        wrong.append(Problem("options.seed", repr(seed), "a whole number from 0", "Write a number."))
    for name, device in {source.map.name: source.map for source in bus.sources}.items():
        for row in device.points:
            if row.point not in POINTS:
                expected = f"one of {', '.join(POINTS)}"
                wrong.append(Problem(f"map {name}", row.point, expected, "A batch source cannot make other points."))
    if wrong or not isinstance(seed, int):
        raise AdapterConfigurationError(f"bus {bus.name}", wrong)
    return seed
