"""The alarm table of a site as arrays: one *place* per level (warning, limit, trip) of each alarm of each element.

A place is at the same time a Boolean mirror and an entry of the image's alarm columns; the order is that of the
catalogue (`Row.alarm_base` + ordinal of the element).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model.alarms.mirrors import mirrors
from information_model.alarms.row import Action, Alarm, ConditionClass, Gate, Severity, Side
from information_model.points.row import Level, Point
from information_model.topology import Element
from server.config.site import Site

Indices = NDArray[np.int64]
Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]

GATES = (None, *Gate)
"""Codes of the column `gate`."""
ACTION_BIT = {action: 1 << position for position, action in enumerate(Action)}
"""Bits of the column `action`."""

# Where the extreme cell of a source stands.
LOCATION_OF = {
    "Measurements.CellVoltageMax": "ExtremeCells.HighestVoltage",
    "Measurements.CellVoltageMin": "ExtremeCells.LowestVoltage",
    "Measurements.CellTemperatureMax": "ExtremeCells.HighestTemperature",
    "Measurements.CellTemperatureMin": "ExtremeCells.LowestTemperature",
}


@dataclass(frozen=True, slots=True)
class Condition:
    """What is acknowledged as one: warning and limit of an alarm together, or its trip."""

    element: Element
    alarm: Alarm
    name: str
    places: tuple[int, ...]
    trip: bool


@dataclass(frozen=True)
class Places:
    """Columns over all places, [places]. `threshold` is multiplied by `sign`: active is sign * value >= threshold."""

    source: Indices
    """Slot of the watched value in the image."""
    magnitude: Flags
    """Where the magnitude of the value counts (deviation, rate)."""
    sign: Reals
    threshold: Reals
    hysteresis: Reals
    delay_s: Reals
    samples: Indices
    """Different samples that have to be beyond the threshold before the level becomes active."""
    gate: NDArray[np.uint8]
    level: NDArray[np.uint8]
    """1 warning, 2 limit, 3 trip."""
    severity: Indices
    """Severity of OPC 10000-5, 6.4.2."""
    latching: Flags
    maintenance: Flags
    """Alarms of class maintenance or system."""
    mirror: Indices
    """Slot of the Boolean mirror."""
    location: Indices
    """Slot of the address of the extreme cell, -1 without."""
    upper: Indices
    """Place of the limit beside a warning, -1 without."""
    condition: Indices
    rack: Indices
    """Ordinal of the rack, -1 for places of groups."""
    array: Indices
    """Ordinal of the array, -1 for places of the system."""
    action: NDArray[np.uint8]
    share: Reals
    """Share of the rating that a limiting action leaves."""
    conditions: tuple[Condition, ...] = field(repr=False)
    by_name: dict[tuple[str, str], int] = field(repr=False)
    """(element, condition) -> index of the condition."""

    def __len__(self) -> int:
        return len(self.source)


def build_places(site: Site) -> Places:
    """Places of a site. Thresholds are the constants of the catalogue, so a site file that overrides one is obeyed."""
    catalogue = site.catalogue
    columns: dict[str, list[float]] = {name: [] for name in _COLUMNS}
    conditions: list[Condition] = []
    for alarm in catalogue.alarms:
        elements = site.topology.of_level(alarm.level)
        steps = list(zip(mirrors(alarm), alarm.steps(), strict=True))
        first = len(columns["source"])
        sampled = is_sampled(catalogue.row(alarm.level, alarm.source).point)
        pair = len(steps) > 1 and steps[0][1][0] is Severity.WARNING and steps[1][1][0] is Severity.LIMIT
        for position, (mirror, (severity, step)) in enumerate(steps):
            row = catalogue.row(alarm.level, mirror.point.path)
            assert row.alarm_base == len(columns["source"])
            share = alarm.limit_percent / 100
            actions = alarm.on_limit if severity is Severity.LIMIT else ()
            if severity is Severity.TRIP and alarm.on_trip is not None:
                actions = (alarm.on_trip,)
            for element in elements:
                low = alarm.side is Side.LOW
                if alarm.side is Side.OFF_NORMAL:
                    abnormal = float(step.lfp)
                    low, threshold, hysteresis = abnormal == 0, 0.5, 0.0
                else:
                    key = (element.name, f"Configuration.Thresholds.{alarm.name}{severity.name.capitalize()}")
                    threshold = float(catalogue.constants[key])
                    hysteresis = site.value(element.name, alarm.hysteresis)
                sign = -1.0 if low else 1.0
                values = (
                    catalogue.slots(alarm.level, alarm.source).start + element.ordinal,
                    alarm.side in (Side.DEVIATION, Side.RATE),
                    sign,
                    sign * threshold,
                    hysteresis,
                    step.delay_s,
                    2 if sampled and step.delay_s > 0 else 1,
                    GATES.index(step.gate),
                    int(severity),
                    step.severity,
                    alarm.latching and severity is Severity.TRIP,
                    alarm.condition_class in (ConditionClass.MAINTENANCE, ConditionClass.SYSTEM),
                    row.base + element.ordinal,
                    _location(site, alarm, element),
                    first + len(elements) + element.ordinal if pair and position == 0 else -1,
                    -1,
                    element.rack if alarm.level is Level.RACK else -1,
                    element.array,
                    sum(ACTION_BIT[action] for action in actions),
                    share,
                )
                for name, value in zip(_COLUMNS, values, strict=True):
                    columns[name].append(float(value))
        levels = len(steps) - (steps[-1][1][0] is Severity.TRIP)
        for trip, positions in ((False, range(levels)), (True, range(levels, len(steps)))):
            if not positions:
                continue
            for element in elements:
                places = tuple(first + position * len(elements) + element.ordinal for position in positions)
                for place in places:
                    columns["condition"][place] = len(conditions)
                conditions.append(Condition(element, alarm, steps[positions[0]][0].condition, places, trip))
    arrays: dict[str, Any] = {name: np.array(columns[name], dtype) for name, dtype in _COLUMNS.items()}
    names = {(condition.element.name, condition.name): index for index, condition in enumerate(conditions)}
    return Places(**arrays, conditions=tuple(conditions), by_name=names)


def is_sampled(point: Point) -> bool:
    """True where a source is made of samples of the field, any of which may be a bad one; states and ages are not."""
    return point.group in ("Measurements", "Safety") or (point.group == "Protection" and point.stale_after_s > 0)


def _location(site: Site, alarm: Alarm, element: Element) -> int:
    path = LOCATION_OF.get(alarm.source)
    if path is None or not site.catalogue.has(alarm.level, path):
        return -1
    return int(site.catalogue.slots(alarm.level, path).start) + element.ordinal


_COLUMNS: dict[str, type] = {
    "source": np.int64,
    "magnitude": np.bool_,
    "sign": np.float64,
    "threshold": np.float64,
    "hysteresis": np.float64,
    "delay_s": np.float64,
    "samples": np.int64,
    "gate": np.uint8,
    "level": np.uint8,
    "severity": np.int64,
    "latching": np.bool_,
    "maintenance": np.bool_,
    "mirror": np.int64,
    "location": np.int64,
    "upper": np.int64,
    "condition": np.int64,
    "rack": np.int64,
    "array": np.int64,
    "action": np.uint8,
    "share": np.float64,
}
