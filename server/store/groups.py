"""What is kept: the points of a site in groups, each group an owner (system, array or rack) and a history class.

A module's points belong to the group of its rack. A group becomes one row of the archive for each chunk of time.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from information_model.catalogue import Catalogue
from information_model.points.row import Aggregation, History, Kind, Level, Point
from information_model.topology import Element

EXACT = 0.0
"""Step of a value that is kept exactly: counters, and numbers of the class `change`, whose every value is told."""


@dataclass(frozen=True)
class Series:
    """A scalar point that is kept: its id, its slot in the image, its storage step, its built-in type."""

    point: str
    slot: int
    step: float
    built_in: int


@dataclass(frozen=True)
class MatrixSeries:
    """A matrix point of a rack that is kept: its column, the part of it that is the rack's, its storage step."""

    point: str
    column: str
    rack: int
    first: int
    count: int
    step: float
    built_in: int


@dataclass(frozen=True)
class Group:
    """Series that are stored together. `slots` [scalars] are those of the series, in their order."""

    name: str
    history: History
    scalars: tuple[Series, ...]
    matrices: tuple[MatrixSeries, ...]
    slots: NDArray[np.int64]


def plan_groups(catalogue: Catalogue) -> tuple[Group, ...]:
    """The groups of a site, in a fixed order."""
    scalars: dict[tuple[str, History], list[Series]] = {}
    matrices: dict[tuple[str, History], list[MatrixSeries]] = {}
    topology = catalogue.topology
    for element in topology.elements:
        for row in catalogue.rows[element.level].values():
            point = row.point
            if point.history is History.NONE or row.constant:
                continue
            key = (_owner(catalogue, element), point.history)
            name = f"{element.name}.{point.path}"
            if row.base >= 0:
                scalars.setdefault(key, []).append(
                    Series(name, row.base + element.ordinal, _step(point), point.built_in)
                )
            elif element.level is Level.RACK:
                start = topology.cell_start if point.kind is Kind.CELLS else topology.probe_start
                first, end = int(start[element.rack]), int(start[element.rack + 1])
                if first == end:  # a rack without probes
                    continue
                matrices.setdefault(key, []).append(
                    MatrixSeries(name, row.matrix, element.rack, first, end - first, point.step, point.built_in)
                )
    found = []
    for owner, history in sorted(set(scalars) | set(matrices), key=lambda key: (key[0], key[1].value)):
        series = tuple(scalars.get((owner, history), ()))
        slots = np.array([one.slot for one in series], np.int64)
        found.append(
            Group(f"{owner}/{history.value}", history, series, tuple(matrices.get((owner, history), ())), slots)
        )
    return tuple(found)


def _step(point: Point) -> float:
    told = point.history is History.CHANGE and point.data_type in ("Float", "Double")
    return EXACT if told or point.aggregation is Aggregation.TOTAL else point.step


def _owner(catalogue: Catalogue, element: Element) -> str:
    return catalogue.topology.elements[element.parent].name if element.level is Level.MODULE else element.name
