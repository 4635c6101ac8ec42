"""The simulated plant in real time: it steps ten times a second and is the hub of its buses."""

import asyncio
import contextlib
import logging
import signal
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Protocol

from adapters.simulator.control import FaultServer
from adapters.simulator.description import PlantDescription
from adapters.simulator.faults import Fault
from adapters.simulator.hub import Hub
from adapters.simulator.layout import PERIOD_S
from adapters.simulator.plant import SimulatedPlant
from adapters.simulator.wire import Columns

log = logging.getLogger("gridbms.simulator")

RETRY_S = 0.5
"""Pause between attempts to open the buses; short of the silence after which the plant would count as hung."""
_LATEST_S = 1.0
"""A plant that is further behind leaves time out instead of running after it."""


class Heartbeat(Protocol):
    """What whoever supervises the process wants to hear."""

    def ready(self) -> None:
        """Once, when the buses are open."""

    def beat(self) -> None:
        """With every step."""


class PlantServer:
    """A plant on its buses; lives on the running loop."""

    def __init__(self, plant: SimulatedPlant, sockets: Mapping[str, Path], control: Path | None = None) -> None:
        self.plant = plant
        self.hubs = {bus: Hub(path, partial(self._hear, bus)) for bus, path in sockets.items()}
        self._numbers = {bus: number for number, bus in enumerate(plant.description.buses)}
        self._faults = FaultServer(plant, control) if control is not None else None

    def _hear(self, bus: str, frames: Columns) -> None:
        self.plant.receive(bus, frames.ids, frames.data)

    async def keep_opening(self, beat: Heartbeat, stop: asyncio.Event) -> bool:
        """Try to open every bus until it works (True) or `stop`; a failure is told once, and so is the recovery."""
        failed = False
        while not stop.is_set():
            try:
                await self.open()
            except OSError as error:
                if not failed:
                    reason = error.strerror or error
                    log.error("the simulated plant cannot open its buses: %s; trying again until it works", reason)
                failed = True
            else:
                if failed:
                    log.info("the simulated plant has opened its buses")
                return True
            beat.beat()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), RETRY_S)
        return False

    async def open(self) -> None:
        """Open every bus; OSError when a path cannot be taken."""
        try:
            for hub in self.hubs.values():
                hub.open()
            if self._faults is not None:
                await self._faults.start()
        except OSError:
            self.close()
            raise

    def step(self) -> None:
        """One period of the plant, and its frames onto the buses."""
        self.plant.step(PERIOD_S)
        frames = self.plant.frames(time.monotonic_ns())
        for bus, hub in self.hubs.items():
            hub.broadcast(frames.of_bus(self._numbers.get(bus, -1)))

    async def serve(self, beat: Heartbeat, stop: asyncio.Event) -> None:
        """Step in real time until `stop`."""
        beat.ready()
        due_s = time.monotonic()
        while not stop.is_set():
            self.step()
            beat.beat()
            due_s = max(due_s + PERIOD_S, time.monotonic() - _LATEST_S)
            try:
                async with asyncio.timeout(max(due_s - time.monotonic(), 0.0)):
                    await stop.wait()
            except TimeoutError:
                continue

    def close(self) -> None:
        """Leave every bus."""
        for hub in self.hubs.values():
            hub.close()
        if self._faults is not None:
            self._faults.close()


async def _run(server: PlantServer, beat: Heartbeat) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    try:
        if await server.keep_opening(beat, stop):
            log.info("simulated plant: %d racks on %d buses", len(server.plant.controls), len(server.hubs))
            await server.serve(beat, stop)
    finally:
        server.close()


def run_plant(
    description: PlantDescription,
    sockets: Mapping[str, Path],
    beat: Heartbeat,
    *,
    control: Path | None = None,
    faults: Sequence[Fault] = (),
) -> None:
    """Run the plant until SIGTERM or SIGINT.

    `sockets`: bus name -> path of its socket, `control`: path for `FaultClient`. A path that cannot be taken is tried
    again.
    """
    asyncio.run(_run(PlantServer(SimulatedPlant(description, faults), sockets, control), beat))
