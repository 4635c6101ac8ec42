"""The working image: the columns that a cycle fills and then publishes.

Every stage of the cycle reads and writes these arrays and nothing else; publishing copies them into a slot. A quantity
of a level is one slice, so all stages are vectorised over the elements of a level.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model import quality
from information_model.catalogue import Catalogue
from information_model.points.row import Level

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Scalars:
    """A quantity over all elements of its level: views into the working image, [elements]."""

    value: NDArray[np.float64]
    status: NDArray[np.uint32]
    time: NDArray[np.int64]

    @property
    def good(self) -> NDArray[np.bool_]:
        """Where the value may be used: not Bad, and a number."""
        return np.asarray(~quality.is_bad(self.status) & ~np.isnan(self.value))

    def write(self, value: Any, time: Any, status: Any = quality.GOOD) -> None:
        """Set values (broadcast); where a value is NaN and the status not Bad, the status becomes Bad (no data)."""
        self.value[:] = value
        self.time[:] = time
        self.status[:] = status
        lost = np.isnan(self.value) & ~quality.is_bad(self.status)
        self.status[lost] = quality.BAD_STALE


@dataclass(frozen=True, slots=True)
class Matrix:
    """A cell or probe matrix over all racks: values [cells of the site], status and time [racks]."""

    value: Array
    status: NDArray[np.uint32]
    time: NDArray[np.int64]
    start: NDArray[np.int64]
    """[racks + 1] first element of each rack."""


class Working:
    """All columns of the image as own arrays. Values start as NaN, status as Bad (waiting for initial data)."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self._views: dict[tuple[Level, str], Scalars] = {}
        self.columns: dict[str, Array] = {n: np.zeros(length, dtype) for n, dtype, length in catalogue.columns()}
        for name, column in self.columns.items():
            if column.dtype.kind == "f":
                column[:] = np.nan
            if name.endswith("status"):
                column[:] = quality.WAITING

    def scalars(self, level: Level, path: str) -> Scalars:
        """Views of a scalar point; KeyError where the site does not have it."""
        found = self._views.get((level, path))
        if found is None:
            at = self.catalogue.slots(level, path)
            found = Scalars(self.columns["value"][at], self.columns["status"][at], self.columns["source_time"][at])
            self._views[level, path] = found
        return found

    def matrix(self, name: str) -> Matrix:
        """Views of a matrix point by its name (`CellVoltages`)."""
        row = self.catalogue.row(Level.RACK, f"CellData.{name}")
        topology = self.catalogue.topology
        start = topology.probe_start if row.point.kind.value == "probe_matrix" else topology.cell_start
        columns = self.columns
        return Matrix(columns[name], columns[f"{name}.status"], columns[f"{name}.time"], start)

    def has(self, level: Level, path: str) -> bool:
        """True where the site has the point."""
        return self.catalogue.has(level, path)

    def copy_into(self, slot: Mapping[str, Array]) -> None:
        """Copy every column into a slot of the image."""
        for name, column in self.columns.items():
            np.copyto(slot[name], column)
