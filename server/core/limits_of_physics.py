"""What a value can be at all: range and largest step between two samples, by quantity."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from information_model.enumerations import ENUMERATIONS
from information_model.expressions import evaluate
from information_model.points.row import Level, Point
from information_model.quantities import DEGREE_CELSIUS, VOLT
from server.config.inputs import Target
from server.config.site import Site

CELL_VOLTAGE_V = (0.5, 5.0)
"""Outside, a cell's voltage is a fault of the sensor or its wire."""
TEMPERATURE_DEGC = (-50.0, 100.0)
MARGIN = 0.2
"""Share of the usual range by which a measurement may exceed it and still be believed."""
CELL_JUMP_V, TEMPERATURE_JUMP_K = 0.5, 20.0
"""Steps between two samples that no cell makes (open wire, wrong code)."""


@dataclass(frozen=True)
class Bounds:
    """Per slot of a target: lowest and highest value, smallest impossible step (inf: none)."""

    low: NDArray[np.float64]
    high: NDArray[np.float64]
    jump: NDArray[np.float64]
    can_freeze: bool


def bounds_of(site: Site, target: Target) -> Bounds:
    """Bounds of the slots of a target, in the order of the target."""
    n = len(target.slot)
    low, high, jump = np.full(n, -np.inf), np.full(n, np.inf), np.full(n, np.inf)
    if target.column != "value":
        unit = site.catalogue.row(Level.RACK, f"CellData.{target.column}").point.unit
        if unit == VOLT:
            low[:], high[:], jump[:] = *CELL_VOLTAGE_V, CELL_JUMP_V
            return Bounds(low, high, jump, can_freeze=True)
        if unit == DEGREE_CELSIUS:
            low[:], high[:], jump[:] = *TEMPERATURE_DEGC, TEMPERATURE_JUMP_K
        return Bounds(low, high, jump, can_freeze=False)
    racks = site.topology.of_level(Level.RACK)
    points = {row.base: row.point for row in site.catalogue.rows[Level.RACK].values() if row.base >= 0}
    for i in range(n):
        point = points[int(target.place[i] - target.rack[i])]
        low[i], high[i] = scalar_bounds(point, site.names[racks[target.rack[i]].name])
        if point.unit == DEGREE_CELSIUS:
            jump[i] = TEMPERATURE_JUMP_K
    return Bounds(low, high, jump, can_freeze=False)


def scalar_bounds(point: Point, names: Mapping[str, float]) -> tuple[float, float]:
    """Range that a scalar may have: codes of its enumeration, 0 and 1, or its usual range with a margin."""
    if point.is_enumeration:
        codes = [int(member) for member in ENUMERATIONS[point.data_type]]
        return float(min(codes)), float(max(codes))
    if point.data_type == "Boolean":
        return 0.0, 1.0
    if point.low is None or point.high is None:
        return -np.inf, np.inf
    low, high = evaluate(point.low, names), evaluate(point.high, names)
    margin = MARGIN * (high - low)
    return low - margin, high + margin
