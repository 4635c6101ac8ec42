"""The input block of a field process: what its adapters delivered, published for the core."""

import asyncio
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.api import Batch, SourceHealth
from information_model.enumerations import CommunicationState
from information_model.quality import Quality
from server.config.inputs import SOURCE_COLUMNS, InputPlan
from server.runtime.block import Layout, Writer

COALESCE_S = 0.005
"""What arrives within this time is published together; with the 5 ms of the readers it stays within 10 ms."""
SOURCES_NS = 90_000_000
"""Age at which the columns of the sources are renewed."""


class BusSink:
    """Where the adapter of one bus delivers; keeps `adapters.api.Sink`."""

    def __init__(self, deliver: Callable[[Batch], None], health: list[SourceHealth]) -> None:
        self._deliver, self._health = deliver, health

    def deliver(self, batch: Batch) -> None:
        """Into the slots of the process, and soon to the core."""
        self._deliver(batch)

    def health(self, source: int) -> SourceHealth:
        """The record of a source, by its index within the bus."""
        return self._health[source]


class Slots:
    """Values, times and qualities of all slots of a process, and the health of its sources.

    `value` f8, `mono_ns` i8, `quality` u1, each [slots]; a slot that never had a value is NaN and Waiting.
    """

    def __init__(self, plan: InputPlan) -> None:
        self.plan = plan
        self.value: NDArray[np.float64] = np.full(plan.slot_count, np.nan)
        self.mono_ns: NDArray[np.int64] = np.zeros(plan.slot_count, np.int64)
        self.quality: NDArray[np.uint8] = np.full(plan.slot_count, Quality.WAITING, np.uint8)
        self.health = [SourceHealth() for _ in plan.sources]
        self.alive = np.zeros(len(plan.buses), np.uint8)
        self._bus_of = np.array([plan.buses.index(planned.rack.bus) for planned in plan.sources], np.intp)
        self._sources = {name: np.zeros(len(plan.sources), dtype) for name, dtype in SOURCE_COLUMNS}
        self._sources_ns: int | None = None

    def health_of(self, bus: str) -> list[SourceHealth]:
        """The records of the sources of a bus, in order."""
        rows = zip(self.health, self.plan.sources, strict=True)
        return [health for health, planned in rows if planned.rack.bus == bus]

    def heard(self) -> NDArray[np.bool_]:
        """[sources]: whether anything usable has ever come."""
        return np.array([row.last_frame_mono_ns > 0 for row in self.health], np.bool_)

    def take(self, batch: Batch) -> None:
        """Store a batch; the last of several values for one slot holds."""
        self.value[batch.slot] = batch.value
        self.mono_ns[batch.slot] = batch.mono_ns
        self.quality[batch.slot] = batch.quality

    def fill(self, columns: Mapping[str, NDArray[Any]], now: int) -> None:
        """Everything into the columns of an input block; those of the sources are renewed ten times a second."""
        if self._sources_ns is None or now - self._sources_ns >= SOURCES_NS:
            self._sources_ns = now
            self._renew_sources()
        columns["value"][:], columns["mono_ns"][:], columns["quality"][:] = self.value, self.mono_ns, self.quality
        for name, values in self._sources.items():
            columns[f"source.{name}"][:] = values
        columns["bus.alive"][:] = self.alive

    def _renew_sources(self) -> None:
        for name, values in self._sources.items():
            values[:] = [getattr(row, name) for row in self.health]
        usable = np.isin(self._sources["state"], (CommunicationState.GOOD, CommunicationState.LATE))
        self.alive[:] = np.bincount(self._bus_of[usable], minlength=len(self.alive)) > 0


class Inputs:
    """The slots of a process and the block in which the core finds them; lives on the running loop."""

    def __init__(
        self,
        run: Path,
        plan: InputPlan,
        *,
        clock: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
    ) -> None:
        self.slots = Slots(plan)
        self.published_ns = 0
        """Monotonic time of the last publication."""
        self.published = 0
        self._clock, self._wall = clock, wall
        self._writer = Writer(run / f"inputs-{plan.process}", Layout(plan.columns()), clock())
        self._timer: asyncio.TimerHandle | None = None

    def sink(self, bus: str) -> BusSink:
        """The sink of one bus."""
        return BusSink(self.take, self.slots.health_of(bus))

    def take(self, batch: Batch) -> None:
        """Store a batch and publish it soon."""
        self.slots.take(batch)
        if self._timer is None:
            passed_s = (self._clock() - self.published_ns) / 1e9
            delay_s = min(max(COALESCE_S - passed_s, 0.0), COALESCE_S)
            self._timer = asyncio.get_running_loop().call_later(delay_s, self.publish)

    def publish(self) -> None:
        """Hand everything to the core, with the present time as its age."""
        self._cancel()
        now = self._clock()
        self.slots.fill(self._writer.begin(), now)
        self.published += 1
        self._writer.publish(self.published, now, self._wall())
        self._writer.check_name(now)
        self.published_ns = now

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def close(self) -> None:
        """Tell the core that this process has stopped on purpose."""
        self._cancel()
        self._writer.close()
