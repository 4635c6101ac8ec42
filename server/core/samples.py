"""When the cell behind an extreme was sampled: the time of its own slot in the input block."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from information_model.cell_address import position_in_rack
from information_model.points.row import Level
from server.config.site import Site
from server.core.blocks import InputBlock
from server.core.extreme_cells import MATRICES, extremes

Indices = NDArray[np.int64]


class SampleTimes:
    """Finds sample times by the address of a cell. `take` hands over the blocks of the cycle."""

    def __init__(self, site: Site) -> None:
        topology, catalogue = site.topology, site.catalogue
        self._blocks: Sequence[InputBlock] = ()
        self._start = {"CellVoltages": topology.cell_start, "CellTemperatures": topology.probe_start}
        self._width = {
            "CellVoltages": np.array([shape.cells_per_module for shape in topology.shapes]),
            "CellTemperatures": np.array([shape.probes_per_module for shape in topology.shapes]),
        }
        self._plan = {name: np.full(int(start[-1]), -1) for name, start in self._start.items()}
        self._slot = {name: np.zeros(int(start[-1]), np.int64) for name, start in self._start.items()}
        for index, plan in enumerate(site.inputs):
            for target in plan.targets:
                if target.column in self._plan:
                    self._plan[target.column][target.place] = index
                    self._slot[target.column][target.place] = target.slot
        self._sources = {
            name: [
                catalogue.slots(Level.RACK, extreme) for extreme in extremes(name) if catalogue.has(Level.RACK, extreme)
            ]
            for name in MATRICES
        }

    def take(self, blocks: Sequence[InputBlock]) -> None:
        """The blocks of this cycle, in the order of the plans."""
        self._blocks = blocks

    def __call__(self, sources: Indices, racks: Indices, addresses: Indices) -> Indices:
        """Monotonic ns of the sample of each addressed cell; -1 where it is not known."""
        found = np.full(len(sources), -1)
        for name, slots in self._sources.items():
            for slot in slots:
                mine = np.flatnonzero((sources >= slot.start) & (sources < slot.stop) & (addresses > 0))
                found[mine] = self._of_matrix(name, racks[mine], addresses[mine])
        return found

    def _of_matrix(self, name: str, racks: Indices, addresses: Indices) -> Indices:
        place = self._start[name][racks] + position_in_rack(addresses, self._width[name][racks])
        plan, slot = self._plan[name][place], self._slot[name][place]
        found = np.full(len(place), -1)
        for index, block in enumerate(self._blocks):
            mine = plan == index
            found[mine] = block.columns["mono_ns"][slot[mine]]
        return found
