"""The alarm table of a site as arrays: one *place* per level (warning, limit, trip) of each alarm of each element.

A place is at the same time a Boolean mirror and an entry of the image's alarm columns; the order is that of the
catalogue (`Row.alarm_base` + ordinal of the element).
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model.alarms.mirrors import mirrors
from information_model.alarms.row import Action, Alarm, AlarmLevel, ConditionClass, Gate, Side, Step
from information_model.points.row import Level, Point
from information_model.topology import Element
from server.config.site import Site
from server.core.extreme_cells import MATRICES, extremes

Indices = NDArray[np.int64]
Reals = NDArray[np.float64]
Flags = NDArray[np.bool_]

GATES = (None, *Gate)
"""Codes of the column `gate`."""
ACTION_BIT = {action: 1 << position for position, action in enumerate(Action)}
"""Bits of the column `action`."""

LOCATION_OF = {extreme: place for matrix in MATRICES for extreme, place in extremes(matrix).items()}
"""Where the extreme cell of a source stands."""


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
    columns: dict[str, list[float]] = {name: [] for name in _COLUMNS}
    conditions: list[Condition] = []
    for alarm in site.catalogue.alarms:
        first = len(columns["source"])
        for mirror, (level, step) in zip(mirrors(alarm), alarm.steps(), strict=True):
            row = site.catalogue.row(alarm.level, mirror.point.path)
            assert row.alarm_base == len(columns["source"])
            same = _of_level(site, alarm, level, step)
            for element in site.topology.of_level(alarm.level):
                own = _of_element(site, alarm, level, step, element)
                for name, value in (same | own | {"mirror": row.base + element.ordinal}).items():
                    columns[name].append(float(value))
        _pair(site, alarm, first, columns)
        _add_conditions(site, alarm, first, columns, conditions)
    arrays: dict[str, Any] = {name: np.array(columns[name], dtype) for name, dtype in _COLUMNS.items()}
    names = {(condition.element.name, condition.name): index for index, condition in enumerate(conditions)}
    return Places(**arrays, conditions=tuple(conditions), by_name=names)


def _of_level(site: Site, alarm: Alarm, level: AlarmLevel, step: Step) -> dict[str, float]:
    """What a level of an alarm has in common at all elements."""
    actions = alarm.on_limit if level is AlarmLevel.LIMIT else ()
    if level is AlarmLevel.TRIP and alarm.on_trip is not None:
        actions = (alarm.on_trip,)
    sampled = is_sampled(site.catalogue.row(alarm.level, alarm.source).point)
    return {
        "magnitude": alarm.side in (Side.DEVIATION, Side.RATE),
        "delay_s": step.delay_s,
        "samples": 2 if sampled and step.delay_s > 0 else 1,
        "gate": GATES.index(step.gate),
        "level": int(level),
        "severity": step.severity,
        "latching": alarm.latching and level is AlarmLevel.TRIP,
        "maintenance": alarm.condition_class in (ConditionClass.MAINTENANCE, ConditionClass.SYSTEM),
        "action": sum(ACTION_BIT[action] for action in actions),
        "share": alarm.limit_percent / 100,
        "upper": -1,
        "condition": -1,
    }


def _of_element(site: Site, alarm: Alarm, level: AlarmLevel, step: Step, element: Element) -> dict[str, float]:
    """What is of one element: the watched slot, its threshold, where it belongs."""
    low = alarm.side is Side.LOW
    if alarm.side is Side.OFF_NORMAL:
        low, threshold, hysteresis = float(step.lfp) == 0, 0.5, 0.0
    else:
        key = (element.name, f"Configuration.Thresholds.{alarm.name}{level.name.capitalize()}")
        threshold = float(site.catalogue.constants[key])
        hysteresis = site.value(element.name, alarm.hysteresis)
    sign = -1.0 if low else 1.0
    return {
        "source": site.catalogue.slots(alarm.level, alarm.source).start + element.ordinal,
        "sign": sign,
        "threshold": sign * threshold,
        "hysteresis": hysteresis,
        "location": _location(site, alarm, element),
        "rack": element.rack if alarm.level is Level.RACK else -1,
        "array": element.array,
    }


def _pair(site: Site, alarm: Alarm, first: int, columns: dict[str, list[float]]) -> None:
    """Beside a warning stands its limit: the places of the next level, in the same order of elements."""
    levels = [level for level, _ in alarm.steps()]
    if levels[:2] == [AlarmLevel.WARNING, AlarmLevel.LIMIT]:
        count = site.topology.count(alarm.level)
        for ordinal in range(count):
            columns["upper"][first + ordinal] = first + count + ordinal


def _add_conditions(
    site: Site, alarm: Alarm, first: int, columns: dict[str, list[float]], conditions: list[Condition]
) -> None:
    """Warning and limit of an element are one condition, its trip is another."""
    steps = list(zip(mirrors(alarm), alarm.steps(), strict=True))
    elements = site.topology.of_level(alarm.level)
    levels = len(steps) - (steps[-1][1][0] is AlarmLevel.TRIP)
    for trip, positions in ((False, range(levels)), (True, range(levels, len(steps)))):
        if not positions:
            continue
        for element in elements:
            places = tuple(first + position * len(elements) + element.ordinal for position in positions)
            for place in places:
                columns["condition"][place] = len(conditions)
            conditions.append(Condition(element, alarm, steps[positions[0]][0].condition, places, trip))


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
