"""What the active faults do to the plant, as arrays over its cells, probes and racks."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.simulator.rack import Defects

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass
class Effects:
    """All neutral where nothing is wrong. NaN in a `fixed` array means that the sensor reads what is there."""

    cell_offset_v: Floats
    cell_fixed_v: Floats
    cell_invalid: Flags
    cell_stuck: Flags
    leak_a: Floats
    heater_w: Floats
    probe_fixed_degc: Floats
    current_offset_a: Floats
    silent: Flags
    wrong_crc: Flags
    frozen_counter: Flags
    defects: list[Defects]
    any_cell: bool = False
    """Whether any reading of a cell is disturbed: the usual case costs nothing."""

    @classmethod
    def none(cls, cells: int, probes: int, racks: int) -> "Effects":
        """Nothing is wrong."""
        return cls(
            cell_offset_v=np.zeros(cells),
            cell_fixed_v=np.full(cells, np.nan),
            cell_invalid=np.zeros(cells, np.bool_),
            cell_stuck=np.zeros(cells, np.bool_),
            leak_a=np.zeros(cells),
            heater_w=np.zeros(cells),
            probe_fixed_degc=np.full(probes, np.nan),
            current_offset_a=np.zeros(racks),
            silent=np.zeros(racks, np.bool_),
            wrong_crc=np.zeros(racks, np.bool_),
            frozen_counter=np.zeros(racks, np.bool_),
            defects=[Defects() for _ in range(racks)],
        )
