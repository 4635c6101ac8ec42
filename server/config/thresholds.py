"""Thresholds of the alarms: those of the tables by chemistry, or as the site file says."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from information_model.alarms import TABLE as ALARMS
from information_model.alarms.mirrors import thresholds
from information_model.alarms.row import Alarm, AlarmLevel, Side, Step
from information_model.expressions import ExpressionError, evaluate
from information_model.points import TABLE as POINTS
from information_model.points.row import Point
from information_model.producers import produced
from information_model.topology import Topology
from information_model.validation import Problem, closest
from server.config.constants import Constants
from server.config.model import SiteFile
from server.config.names import Names, group_names, rack_names
from server.config.racks import DraftRack, Rack
from server.config.sections import Sections

_SOURCES = {(point.level, point.path): point for point in POINTS}
_REMEDY = "Write it in the unit of the point; the levels of an alarm are reached one after the other."


@dataclass(frozen=True)
class Place:
    """Elements that are judged alike: of one rack type, an array, the system; as far as they are known."""

    where: str
    names: Names
    chemistry: str | None = None
    """None where it is not known; the tables then have a number only where it is the same for all."""


def check_thresholds(
    sections: Sections, racks: Sequence[DraftRack], field_points: frozenset[str] | None, mistakes: list[Problem]
) -> None:
    """Every threshold of the site file belongs to an alarm of the site, and can be reached, in the order of the levels.

    Which alarms exist follows from `field_points`; None where these are in doubt: then those of every alarm are allowed.
    """
    exists = None if field_points is None else produced(field_points)
    alarms = [alarm for alarm in ALARMS if exists is None or (alarm.level, alarm.source) in exists]
    for scope, values in sections.thresholds.items():
        rows = {alarm: list(thresholds(alarm, _SOURCES)) for alarm in alarms if alarm.level.name.lower() == scope}
        known = sorted({point.name for row in rows.values() for _, _, point in row})
        for name in values:
            if name not in known:
                remedy = closest(name, known, "Correct the name.")
                expected = f"one of {', '.join(known)}"
                mistakes.append(Problem(f"thresholds.{scope}.{name}", repr(name), expected, remedy))
        places = tuple(_places(scope, sections, racks))
        for alarm, row in rows.items():
            if any(point.name in values for _, _, point in row):
                told: dict[str, Problem] = {}
                for place in places:
                    for problem in _impossible(alarm, row, values, place):
                        told.setdefault(problem.key, problem)  # once, however many places it is wrong for
                mistakes += told.values()


def _places(scope: str, sections: Sections, racks: Sequence[DraftRack]) -> Iterator[Place]:
    if scope == "rack":
        used = {rack.kind for rack in racks}
        kinds = {name: kind for name, kind in sections.rack_types.items() if kind is not None and kind in used}
        for name, kind in kinds.items():
            yield Place(f"rack type {name}", rack_names(kind), kind.chemistry)
        if not kinds:
            yield Place("a rack", {})
        return
    groups: dict[int | None, list[DraftRack]] = {}
    for rack in racks:
        groups.setdefault(rack.array if scope == "array" else None, []).append(rack)
    for number, members in groups.items():
        known = [rack.kind for rack in members if rack.kind is not None]
        names = group_names(scope, known) if len(known) == len(members) else {}
        # The site file may state other ratings of the system than its racks have.
        names = {name: value for name, value in names.items() if scope == "array" or ".rated_" not in name}
        yield Place("the system" if number is None else f"array {number}", names)
    if not groups:
        yield Place(f"the {scope}", {})


def _impossible(
    alarm: Alarm, row: Sequence[tuple[AlarmLevel, Step, Point]], given: Mapping[str, float | None], place: Place
) -> Iterator[Problem]:
    """Values of the site file that one alarm cannot have at one place; the order is judged of those that it can."""
    scope = alarm.level.name.lower()
    low, high = _bounds(alarm, place)
    levels: list[tuple[AlarmLevel, str, float]] = []
    for level, step, point in row:
        value = given[point.name] if point.name in given else _standard(step, place)
        if value is None:
            continue
        if point.name in given and ((low is not None and value < low) or (high is not None and value > high)):
            unit = "" if point.unit is None else f" {point.unit.symbol}"
            expected = f"{_number(low)} to {_number(high)}{unit}, the range of {alarm.source} for {place.where}"
            yield Problem(f"thresholds.{scope}.{point.name}", f"{value:g}", expected, _REMEDY)
            continue
        levels.append((level, point.name, value))
    rising = alarm.side is not Side.LOW
    for (below, lesser, first), (above, greater, second) in pairwise(levels):
        if first == second or (first < second) is rising:
            continue
        if greater in given:
            name, value, other, bound, at_least = greater, second, below, first, rising
        elif lesser in given:
            name, value, other, bound, at_least = lesser, first, above, second, not rising
        else:
            continue  # an order of the tables is not for the site file to mend
        expected = f"at {'least' if at_least else 'most'} {bound:g}, the {other.name.lower()} for {place.where}"
        yield Problem(f"thresholds.{scope}.{name}", f"{value:g}", expected, _REMEDY)


def _bounds(alarm: Alarm, place: Place) -> tuple[float | None, float | None]:
    """Range of the source, as far as it is known; that of its magnitude where the alarm looks at that."""
    source = _SOURCES[alarm.level, alarm.source]
    low, high = (_evaluated(text, place.names) for text in (source.low, source.high))
    if alarm.side in (Side.DEVIATION, Side.RATE):
        high = None if high is None or low is None else max(-low, high)
        low = 0.0
    return low, high


def _standard(step: Step, place: Place) -> float | None:
    """The number of the tables for a place; None where it is in doubt."""
    if place.chemistry is None and step.lfp != step.nmc:
        return None
    return _evaluated(step.nmc if place.chemistry == "NMC" else step.lfp, place.names)


def _evaluated(text: str | None, names: Names) -> float | None:
    try:
        return None if text is None else evaluate(text, names)
    except ExpressionError:  # a name of what is wrong in the site file, or absent there
        return None


def _number(value: float | None) -> str:
    return "…" if value is None else f"{value:g}"


def threshold_constants(
    file: SiteFile, topology: Topology, racks: Sequence[Rack], names: Mapping[str, Names], field_points: frozenset[str]
) -> Constants:
    """The threshold points of every element. A file without mistakes has every name that the tables use."""
    found: Constants = {}
    given = {str(scope): values for scope, values in file.thresholds.items()}
    exists = produced(field_points)
    nmc = {rack.element for rack in racks if rack.kind.chemistry == "NMC"}
    for alarm in ALARMS:
        if (alarm.level, alarm.source) not in exists:
            continue
        overridden = given.get(alarm.level.name.lower(), {})
        for _, step, point in thresholds(alarm, _SOURCES):
            for element in topology.of_level(alarm.level):
                text = step.nmc if element.name in nmc else step.lfp
                standard = evaluate(text, names[element.name])
                found[element.name, point.path] = overridden.get(point.name, standard)
    return found
