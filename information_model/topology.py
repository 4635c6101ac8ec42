"""The elements of a site: system > array > rack > module, their ids and their numbers.

An element has a *number*, written in the site file and part of its id for ever, and an *ordinal*, its position among
the elements of its level. The ordinal is an index into the image; it is valid for one start only.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from information_model.points.row import Level


@dataclass(frozen=True, slots=True)
class RackShape:
    """What a rack is made of. Cells in series = modules * cells_per_module; probes are temperature sensors."""

    modules: int
    cells_per_module: int
    probes_per_module: int

    @property
    def cells(self) -> int:
        """Cell groups in series that are measured one by one."""
        return self.modules * self.cells_per_module

    @property
    def probes(self) -> int:
        """Temperature probes of the rack."""
        return self.modules * self.probes_per_module


@dataclass(frozen=True, slots=True)
class Element:
    """One element. `parent` is its index in `Topology.elements` (-1 for the system)."""

    index: int
    name: str
    level: Level
    number: int
    ordinal: int
    parent: int
    array: int = -1
    rack: int = -1

    @property
    def label(self) -> str:
        """Last part of the id: `R001`."""
        return self.name.rpartition(".")[2]


@dataclass(frozen=True)
class Topology:
    """All elements of a site, breadth first, with the index arrays that vectorised code needs."""

    elements: tuple[Element, ...] = field(repr=False)
    children: tuple[range, ...] = field(repr=False)
    shapes: tuple[RackShape, ...] = field(repr=False)
    by_name: dict[str, Element] = field(repr=False)
    rack_array: NDArray[np.int64]
    """[racks] ordinal of the array of each rack."""
    cell_start: NDArray[np.int64]
    """[racks + 1] first cell of each rack in a vector of all cells of the site."""
    probe_start: NDArray[np.int64]
    """[racks + 1] likewise for the probes."""
    module_rack: NDArray[np.int64]
    """[modules] ordinal of the rack of each module."""

    def count(self, level: Level) -> int:
        """Number of elements of a level."""
        return len(self._levels[level])

    def of_level(self, level: Level) -> tuple[Element, ...]:
        """The elements of a level in the order of their ordinals."""
        return self._levels[level]

    @cached_property
    def _levels(self) -> dict[Level, tuple[Element, ...]]:
        return {level: tuple(e for e in self.elements if e.level is level) for level in Level}

    def ancestors(self, element: Element) -> list[Element]:
        """The element's parents, nearest first."""
        found = []
        while element.parent >= 0:
            element = self.elements[element.parent]
            found.append(element)
        return found

    def racks_below(self, element: Element) -> list[Element]:
        """The racks that belong to an element: itself, those of its array, or all."""
        match element.level:
            case Level.SYSTEM:
                return list(self.of_level(Level.RACK))
            case Level.ARRAY:
                return [self.elements[i] for i in self.children[element.index]]
            case Level.RACK:
                return [element]
            case Level.MODULE:
                return [self.elements[element.parent]]


def build(arrays: Sequence[tuple[int, Sequence[tuple[int, RackShape]]]]) -> Topology:
    """Topology of arrays as (number, racks as (number, shape)), in the order of the site file.

    Raises ValueError for a number outside 1..99 (array), 1..999 (rack), or one that is given twice.
    """
    elements = [Element(0, "ESS", Level.SYSTEM, 0, 0, -1)]
    _unique("array", [number for number, _ in arrays], 99)
    for ordinal, (number, _) in enumerate(arrays):
        elements.append(Element(len(elements), f"ESS.ARR{number:02}", Level.ARRAY, number, ordinal, 0, ordinal))
    shapes: list[RackShape] = []
    for ordinal, (number, racks) in enumerate(arrays):
        _unique(f"rack of array {number}", [rack for rack, _ in racks], 999)
        for rack, shape in racks:
            parent = elements[1 + ordinal]
            index, name = len(elements), f"{parent.name}.R{rack:03}"
            elements.append(Element(index, name, Level.RACK, rack, len(shapes), parent.index, ordinal, len(shapes)))
            shapes.append(shape)
    modules = 0
    for rack_element in [element for element in elements if element.level is Level.RACK]:
        for number in range(1, shapes[rack_element.ordinal].modules + 1):
            index, name = len(elements), f"{rack_element.name}.M{number:02}"
            array, rack = rack_element.array, rack_element.ordinal
            elements.append(Element(index, name, Level.MODULE, number, modules, rack_element.index, array, rack))
            modules += 1
    first: dict[int, list[int]] = {}
    for element in elements:
        first.setdefault(element.parent, []).append(element.index)
    children = tuple(range(kids[0], kids[-1] + 1) if (kids := first.get(e.index)) else range(0) for e in elements)
    return Topology(
        elements=tuple(elements),
        children=children,
        shapes=tuple(shapes),
        by_name={element.name: element for element in elements},
        rack_array=np.array([e.array for e in elements if e.level is Level.RACK], np.int64),
        cell_start=np.concatenate(([0], np.cumsum([shape.cells for shape in shapes]))).astype(np.int64),
        probe_start=np.concatenate(([0], np.cumsum([shape.probes for shape in shapes]))).astype(np.int64),
        module_rack=np.array([e.rack for e in elements if e.level is Level.MODULE], np.int64),
    )


def _unique(what: str, numbers: Sequence[int], highest: int) -> None:
    for number in numbers:
        if not 1 <= number <= highest:
            raise ValueError(f"{what}: number {number} is not allowed; allowed: 1..{highest}")
        if list(numbers).count(number) > 1:
            raise ValueError(f"{what}: number {number} is given twice; each number names one element for ever")
