"""The field process: adapters of a group of buses between the hardware and the blocks that the core reads and writes."""

import asyncio
import logging
import signal
import time
from pathlib import Path
from typing import Protocol

from server.config.inputs import InputPlan
from server.config.site import Site
from server.field.buses import bus_spec
from server.field.host import BusHost
from server.field.inputs import Inputs
from server.field.requests import OutputBlock, Requests
from server.runtime.health import HealthWriter
from server.runtime.tick import Wake

log = logging.getLogger("gridbms.field")

TURN_S = 0.1
"""The input block is published, requests are renewed and the health is written at least this often."""
POLL_S = 0.02
"""Without wake-ups by the core its block is looked at this often."""
_TURN_NS = 90_000_000
_LAST_WORD_S = 0.5


class Heartbeat(Protocol):
    """server.runtime.parent.Beat, or what stands in for it."""

    def ready(self) -> None:
        """Once, when the input block is there."""

    def beat(self) -> None:
        """Every turn."""


class FieldProcess:
    """Adapters, input block, requests and health of one process; lives on the running loop."""

    def __init__(self, site: Site, process: str, run: Path) -> None:
        self.plan = plan = _plan(site, process)
        self.inputs = Inputs(run, plan)
        self.outputs = OutputBlock(run, plan)
        self.requests = Requests(plan)
        self.hosts = {bus: BusHost(bus_spec(site, run, plan, bus), self.inputs.sink(bus)) for bus in plan.buses}
        self._health = HealthWriter(run, f"field-{process}")
        self._wake = Wake(run)
        self._health_ns = 0

    async def serve(self, beat: Heartbeat, stop: asyncio.Event) -> None:
        """Until `stop`; then the racks are asked for zero current and every bus is closed."""
        tasks = [asyncio.create_task(host.run(), name=f"bus {bus}") for bus, host in self.hosts.items()]
        try:
            self.inputs.publish()
            beat.ready()
            while not stop.is_set():
                await self._wake.wait(TURN_S if self._wake.fileno() >= 0 else POLL_S)
                self.turn()
                beat.beat()
            await self._say_last_word()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.close()

    def turn(self) -> None:
        """After each image of the core and at least every 0.1 s."""
        if (found := self.outputs.read()) is not None:
            self.requests.take(*found)
        now, heard = time.monotonic_ns(), self.inputs.slots.heard()
        self.requests.judge(now)
        for bus, host in self.hosts.items():
            requests = self.requests.of_bus(bus, heard, now)
            if requests is not None:
                host.apply(requests)
        if now - self.inputs.published_ns >= _TURN_NS:
            self.inputs.publish()
        if now - self._health_ns >= _TURN_NS:
            self._health_ns = now
            self._write_health(now)

    def _write_health(self, now: int) -> None:
        slots = self.inputs.slots
        counters = {
            "frames": sum(row.frames_received for row in slots.health),
            "rejected": sum(row.frames_rejected for row in slots.health),
            "buses_alive": int(slots.alive.sum()),
            "buses": len(self.plan.buses),
        }
        self._health.write(counters, now, time.time_ns())

    async def _say_last_word(self) -> None:
        now, heard = time.monotonic_ns(), self.inputs.slots.heard()
        said = False
        for bus, host in self.hosts.items():
            if (requests := self.requests.at_stop(bus, heard, now)) is not None:
                host.apply(requests)
                said = True
        if said:
            # Adapters send in the period of the map and do not tell when they have: wait for the slowest one.
            periods = [row.period for planned in self.plan.sources for row in planned.rack.map.command]
            await asyncio.sleep(min(max(periods, default=0.0) * 1.2, _LAST_WORD_S))

    def close(self) -> None:
        """Tell the core that this process has stopped."""
        self.inputs.close()
        self._health.close()
        self._wake.close()


def _plan(site: Site, process: str) -> InputPlan:
    for plan in site.inputs:
        if plan.process == process:
            return plan
    known = ", ".join(plan.process for plan in site.inputs)
    raise ValueError(f"field process {process!r}: the site has {known}; check `process` of its buses")


async def _run(site: Site, process: str, run: Path, beat: Heartbeat) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    field = FieldProcess(site, process, run)
    await field.serve(beat, stop)


def run_field(site: Site, process: str, run: Path, beat: Heartbeat) -> None:
    """The process `field:<process>` until SIGTERM. ValueError for a process that the site does not have."""
    asyncio.run(_run(site, process, run, beat))
