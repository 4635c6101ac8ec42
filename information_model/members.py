"""The nodes below an element: groups, variables, their properties, methods. One list serves types and instances.

The NodeSet generator writes the list of a level below the level's type, the OPC UA face answers from the list of a site
below each element: type and instance cannot differ. `rel` is the path below the element, the parent is the path without
its last part.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from enum import Enum

from information_model.alarms import TABLE as ALARMS
from information_model.alarms.mirrors import mirrors, thresholds
from information_model.commands import TABLE as COMMANDS
from information_model.commands import Command
from information_model.points import TABLE as POINTS
from information_model.points.row import BUILT_IN, Kind, Level, Point, Producer
from information_model.producers import TABLE as PRODUCTIONS

TYPE_OF_LEVEL = {
    Level.SYSTEM: "BessSystemType",
    Level.ARRAY: "BatteryArrayType",
    Level.RACK: "BatteryRackType",
    Level.MODULE: "BatteryModuleType",
}
CHILD_FOLDER = {Level.SYSTEM: "Arrays", Level.ARRAY: "Racks", Level.RACK: "Modules"}
BASE_TYPE = "BessElementType"

# nodes of namespace 0 (OPC 10000-5, OPC 10000-8)
BASE_OBJECT, FOLDER, BASE_DATA_VARIABLE, PROPERTY = 58, 61, 63, 68
ANALOG_UNIT, ANALOG_UNIT_RANGE = 17497, 17570
DATA_TYPE_IDS = BUILT_IN | {"Range": 884, "EUInformation": 887, "Argument": 296}


class NodeKind(Enum):
    """What a node is, and so where its value comes from."""

    GROUP = "group"
    CHILDREN = "children"
    POINT = "point"
    EU_RANGE = "EURange"
    ENGINEERING_UNITS = "EngineeringUnits"
    IEC61850 = "Iec61850Ref"
    ALARM_STATE = "State"
    ALARM_COUNT = "Count"
    ALARM_TIME = "LastTime"
    METHOD = "method"
    INPUT_ARGUMENTS = "InputArguments"
    OUTPUT_ARGUMENTS = "OutputArguments"


STANDARD_PROPERTIES = (
    NodeKind.EU_RANGE,
    NodeKind.ENGINEERING_UNITS,
    NodeKind.INPUT_ARGUMENTS,
    NodeKind.OUTPUT_ARGUMENTS,
)


@dataclass(frozen=True, slots=True)
class Member:
    """A node of a level. `standard_name` is true where the browse name belongs to namespace 0."""

    rel: str
    node_kind: NodeKind
    type_definition: int
    data_type: str = ""
    value_rank: int = -1
    optional: bool = False
    text: str = ""
    point: Point | None = None
    command: Command | None = None

    @property
    def name(self) -> str:
        """Browse name."""
        return self.rel.rpartition(".")[2]

    @property
    def parent(self) -> str:
        """Path of the parent; empty for the element itself."""
        return self.rel.rpartition(".")[0]

    @property
    def standard_name(self) -> bool:
        """True where the browse name is one of the standard's."""
        return self.node_kind in STANDARD_PROPERTIES

    @property
    def is_property(self) -> bool:
        """True where the parent has it as a property."""
        return self.standard_name or self.node_kind is NodeKind.IEC61850


def members(level: Level, points: Iterable[tuple[Point, bool, bool]]) -> list[Member]:
    """Nodes below an element of `level`, parents first. `points` are (point, optional, is the mirror of an alarm)."""
    found: dict[str, Member] = {}
    if level in CHILD_FOLDER:
        name = CHILD_FOLDER[level]
        found[name] = Member(name, NodeKind.CHILDREN, FOLDER, text=f"The {name.lower()} of the element.")
    for point, optional, mirror in points:
        _group(found, point.group, optional)
        for member in _variable(point, optional, mirror):
            found[member.rel] = member
    for command in COMMANDS:
        if level in command.levels:
            _group(found, "Control", False)
            for member in _method(command):
                found[member.rel] = member
    if level is not Level.MODULE:
        _group(found, "Conditions", False)
    return list(found.values())


def _group(found: dict[str, Member], path: str, optional: bool) -> None:
    parts = path.split(".")
    for depth in range(1, len(parts) + 1):
        rel = ".".join(parts[:depth])
        known = found.get(rel)
        if known is None or (known.optional and not optional):
            found[rel] = Member(rel, NodeKind.GROUP, FOLDER, optional=optional)


def _variable(point: Point, optional: bool, mirror: bool) -> Iterator[Member]:
    rank = {Kind.SCALAR: -1, Kind.TEXT: -1}.get(point.kind, 1 if point.level is Level.MODULE else 2)
    analog = point.unit is not None
    ranged = analog and point.low is not None
    kind = ANALOG_UNIT_RANGE if ranged else ANALOG_UNIT if analog else BASE_DATA_VARIABLE
    yield Member(point.path, NodeKind.POINT, kind, point.data_type, rank, optional, point.text, point)
    if ranged:
        yield Member(f"{point.path}.EURange", NodeKind.EU_RANGE, PROPERTY, "Range", point=point)
    if analog:
        rel = f"{point.path}.EngineeringUnits"
        yield Member(rel, NodeKind.ENGINEERING_UNITS, PROPERTY, "EUInformation", point=point)
    if point.iec61850:
        rel = f"{point.path}.Iec61850Ref"
        yield Member(
            rel, NodeKind.IEC61850, PROPERTY, "String", text="The same point on the IEC 61850 face.", point=point
        )
    if mirror:
        for role, data_type, text in (
            (NodeKind.ALARM_STATE, "AlarmState", "Activity, acknowledgement and latch of the alarm."),
            (NodeKind.ALARM_COUNT, "UInt32", "How often the alarm has become active."),
            (NodeKind.ALARM_TIME, "DateTime", "When the alarm last became active."),
        ):
            yield Member(f"{point.path}.{role.value}", role, BASE_DATA_VARIABLE, data_type, text=text, point=point)


def _method(command: Command) -> Iterator[Member]:
    rel = f"Control.{command.name}"
    yield Member(rel, NodeKind.METHOD, 0, text=command.text, command=command)
    if command.arguments:
        yield Member(f"{rel}.InputArguments", NodeKind.INPUT_ARGUMENTS, PROPERTY, "Argument", 1, command=command)
    yield Member(f"{rel}.OutputArguments", NodeKind.OUTPUT_ARGUMENTS, PROPERTY, "Argument", 1, command=command)


def points_of_type(level: Level) -> Iterator[tuple[Point, bool, bool]]:
    """The points that some site may have at a level, with what `members` wants to know of each."""
    given = {item: bool(line.needs) for line in PRODUCTIONS for item in line.points()}
    sources = {(point.level, point.path): point for point in POINTS}
    possible = set(given)
    possible |= {(Level.RACK, p.path) for p in POINTS if p.level is Level.RACK and p.producer is Producer.FIELD}
    for point in POINTS:
        if point.level is not level:
            continue
        item = (level, point.path)
        if item in given:
            yield point, given[item], False
        elif item in possible or point.producer is Producer.CONFIGURATION or point.kind is Kind.TEXT:
            yield point, True, False
    for alarm in ALARMS:
        if alarm.level is level and (level, alarm.source) in possible:
            always = not given.get((level, alarm.source), True)
            for mirror in mirrors(alarm):
                yield mirror.point, not always, True
            for _, _, point in thresholds(alarm, sources):
                yield point, not always, False
