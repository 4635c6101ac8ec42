"""A small plant, and whoever commands it over its bus."""

from collections.abc import Callable

import numpy as np
import pytest

from adapters.simulator.description import PlantDescription, RackDescription
from adapters.simulator.faults import Fault
from adapters.simulator.layout import COMMAND, Message, RequestWord, check_sums, frame_id
from adapters.simulator.plant import RackStatus, SimulatedPlant
from information_model.topology import RackShape

SHAPE = RackShape(modules=2, cells_per_module=6, probes_per_module=2)


def rack_description(number: int, array: int = 1, shape: RackShape = SHAPE) -> RackDescription:
    return RackDescription(f"ESS.ARR{array:02}.R{number:03}", f"array{array}", number, shape, 280.0, 140.0, 140.0)


class Operator:
    """Commands all racks of a plant ten times a second and lets time pass."""

    def __init__(self, plant: SimulatedPlant) -> None:
        self.plant = plant
        self.desired = RequestWord.CLOSE
        self.limit_a = 100.0
        self.reset = 0
        self.alive = 0
        self.alive_step = 1
        self.wrong_crc = False
        self.silent = False

    def frames(self) -> np.ndarray:
        row = (self.desired, round(self.limit_a * 10), round(self.limit_a * 10), self.reset, self.alive, 0)
        frame = np.array([row], COMMAND).view(np.uint8).reshape(1, 8)
        frame[:, 7] = check_sums(Message.COMMAND, frame)
        frame[:, 7] ^= self.wrong_crc
        return frame

    def run(self, seconds: float) -> list[RackStatus]:
        for _ in range(round(seconds * 10)):
            if not self.silent:
                self.alive = (self.alive + self.alive_step) % 256
                for rack in self.plant.description.racks:
                    ids = np.array([frame_id(Message.COMMAND, rack.node)], np.uint32)
                    self.plant.receive(rack.bus, ids, self.frames())
            self.plant.step(0.1)
        return self.plant.status()

    def closed(self) -> list[RackStatus]:
        """Three seconds are enough to close every rack."""
        return self.run(3.0)


MakeOperator = Callable[..., Operator]


@pytest.fixture
def operator() -> MakeOperator:
    def make(racks: int = 1, *faults: Fault, profile: str = "rest", **description: object) -> Operator:
        rows = tuple(rack_description(number) for number in range(1, racks + 1))
        return Operator(SimulatedPlant(PlantDescription(rows, profile=profile, **description), faults))

    return make
