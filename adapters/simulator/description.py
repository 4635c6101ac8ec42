"""What is simulated: racks, their buses and nodes, and how the plant is run."""

from collections import Counter
from dataclasses import dataclass

from adapters.simulator.layout import NODES, PAGES, PER_PAGE
from information_model.topology import RackShape


@dataclass(frozen=True, slots=True)
class RackDescription:
    """One rack. `element` is its id; racks of one array (the id without its last part) hang on one DC bus."""

    element: str
    bus: str
    node: int
    shape: RackShape
    capacity_ah: float
    max_charge_a: float
    max_discharge_a: float
    chemistry: str = "LFP"

    @property
    def array(self) -> str:
        """Id of the array."""
        return self.element.rpartition(".")[0]


@dataclass(frozen=True)
class PlantDescription:
    """The plant; the same description and seed give the same plant.

    ValueError for racks that the wire layout cannot carry, or that share a node of a bus.
    """

    racks: tuple[RackDescription, ...]
    seed: int = 1
    profile: str = "frequency_regulation"
    start_soc: float = 50.0
    """Percent."""
    ambient_degc: float = 22.0
    connected: bool = False
    """Whether the racks are closed at the start; without a command they open after 6 s."""
    name: str = ""

    def __post_init__(self) -> None:
        if not self.racks:
            raise ValueError("simulated plant: no rack is on a simulated bus")
        most = PAGES * PER_PAGE
        for rack in self.racks:
            if not 0 <= rack.node < NODES:
                raise ValueError(f"{rack.element}: node {rack.node}; a simulated rack has a node of 0 to {NODES - 1}")
            if not 1 <= rack.shape.cells <= most or rack.shape.probes > most:
                raise ValueError(
                    f"{rack.element}: {rack.shape.cells} cells and {rack.shape.probes} probes; a simulated rack has "
                    f"1 to {most} cells and at most {most} probes"
                )
        shared = [key for key, count in Counter((rack.bus, rack.node) for rack in self.racks).items() if count > 1]
        if shared:
            raise ValueError(f"bus {shared[0][0]}: node {shared[0][1]} is given to several racks")

    @property
    def buses(self) -> tuple[str, ...]:
        """Names of the buses in the order of their first rack."""
        return tuple(dict.fromkeys(rack.bus for rack in self.racks))
