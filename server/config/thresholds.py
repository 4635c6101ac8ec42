"""Thresholds of the alarms: those of the tables by chemistry, or as the site file says."""

from collections.abc import Mapping, Sequence

from information_model.alarms import TABLE as ALARMS
from information_model.alarms.mirrors import thresholds
from information_model.expressions import evaluate
from information_model.points import TABLE as POINTS
from information_model.producers import produced
from information_model.topology import Topology
from information_model.validation import Problem, closest
from server.config.constants import Constants
from server.config.model import SiteFile
from server.config.names import Names
from server.config.racks import Rack

_SOURCES = {(point.level, point.path): point for point in POINTS}


def check_thresholds(
    given: Mapping[str, Sequence[str]], field_points: frozenset[str] | None, mistakes: list[Problem]
) -> None:
    """Every threshold of the site file (scope -> names) belongs to an alarm that exists on the site.

    Which alarms exist follows from `field_points`; None where these are in doubt: then those of every alarm are allowed.
    """
    known: dict[str, set[str]] = {"system": set(), "array": set(), "rack": set()}
    exists = None if field_points is None else produced(field_points)
    for alarm in ALARMS:
        if exists is None or (alarm.level, alarm.source) in exists:
            known[alarm.level.name.lower()].update(point.name for _, _, point in thresholds(alarm, _SOURCES))
    for scope, names in given.items():
        for name in names:
            if name not in known[scope]:
                expected = f"one of {', '.join(sorted(known[scope]))}"
                remedy = closest(name, known[scope], "Correct the name.")
                mistakes.append(Problem(f"thresholds.{scope}.{name}", repr(name), expected, remedy))


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
