"""Plant, buses and field processes of a site in simulated time, without sockets, blocks and processes.

    field = LockstepField(site)
    inputs = field.step(0.1, now_ns)      # process -> columns of its input block
    ...                                   # the core's cycle
    field.apply(outputs, now_ns)          # process -> columns of its output block

The frames take the same path as on a bus: packed by the plant, checked and decoded by the pipeline of the CAN adapter.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.api import RackRequest, SafeRequest
from adapters.can.pipeline import FramePipeline
from adapters.can.watch import SourceWatch
from adapters.simulator.layout import WORD_OF_DESIRED
from adapters.simulator.plant import SimulatedPlant
from adapters.simulator.rack import Command
from information_model.enumerations import Desired
from server.config.inputs import InputPlan
from server.config.site import Site
from server.field.buses import bus_spec
from server.field.inputs import Slots
from server.field.plant import plant_description, plant_faults, simulated_buses
from server.field.requests import Requests

Columns = dict[str, NDArray[Any]]

_HEALTH_NS = 200_000_000


class _Bus:
    """One bus with what the CAN adapter has on it."""

    def __init__(self, site: Site, plan: InputPlan, name: str, number: int) -> None:
        spec = bus_spec(site, Path("/run"), plan, name)
        self.name, self.number = name, number
        self.pipeline = FramePipeline(spec)
        self.watch = SourceWatch(self.pipeline)
        self.nodes = [source.node for source in spec.sources]


class _Process:
    """One field process."""

    def __init__(self, site: Site, plan: InputPlan, numbers: Mapping[str, int]) -> None:
        self.slots = Slots(plan)
        self.requests = Requests(plan)
        self.buses = [_Bus(site, plan, name, numbers[name]) for name in plan.buses if name in numbers]
        self.columns: Columns = {name: np.zeros(length, dtype) for name, dtype, length in plan.columns()}


class LockstepField:
    """The field side of a site with a simulated plant; buses of other kinds stay silent.

    Raises InvalidConfiguration like the processes that it stands in for.
    """

    def __init__(self, site: Site) -> None:
        self.plant = SimulatedPlant(plant_description(site), plant_faults(site))
        names = self.plant.description.buses
        numbers = {name: names.index(name) for name in simulated_buses(site) if name in names}
        self._processes = {plan.process: _Process(site, plan, numbers) for plan in site.inputs}
        self._health_ns = 0
        self._alive = 0

    def step(self, dt_s: float, now_ns: int) -> Mapping[str, Columns]:
        """The next `dt_s` seconds (at most 1) up to `now_ns`, monotonic. The columns hold until the next step."""
        self._send(now_ns)
        self.plant.step(dt_s)
        frames = self.plant.frames(now_ns)
        judge = now_ns - self._health_ns >= _HEALTH_NS
        if judge:
            self._health_ns = now_ns
        for process in self._processes.values():
            for bus in process.buses:
                process.slots.take(bus.pipeline.feed(*frames.of_bus(bus.number)))
                if judge:
                    health = process.slots.health_of(bus.name)
                    bus.watch.judge(now_ns, 0, "", health.__getitem__)
            process.slots.fill(process.columns, now_ns)
        return {name: process.columns for name, process in self._processes.items()}

    def apply(self, outputs: Mapping[str, Mapping[str, NDArray[Any]]], now_ns: int) -> None:
        """What the core asks; reaches the racks with the next step."""
        for name, columns in outputs.items():
            self._processes[name].requests.take(columns, now_ns)

    def _send(self, now_ns: int) -> None:
        """Commands reach the racks unpacked: encoding and check sums would cost more than the plant itself."""
        self._alive = (self._alive + 1) % 256
        for process in self._processes.values():
            process.requests.judge(now_ns)
            heard = process.slots.heard()
            for bus in process.buses:
                for node, request in zip(
                    bus.nodes, process.requests.of_bus(bus.name, heard, now_ns) or (), strict=False
                ):
                    self.plant.command(bus.name, node, _command(request, self._alive))


def _command(request: RackRequest, alive: int) -> Command:
    """What the map of the simulated rack sends for a request."""
    still = request.safe >= SafeRequest.ZERO_CURRENT or not request.lease_valid
    close = request.desired == Desired.CLOSED and request.safe < SafeRequest.OPEN
    charge_a, discharge_a = (0.0, 0.0) if still else (request.charge_limit_a, request.discharge_limit_a)
    word = WORD_OF_DESIRED[Desired.CLOSED if close else Desired.OPEN]
    return Command(word, charge_a, discharge_a, request.reset_counter % 256, alive)
