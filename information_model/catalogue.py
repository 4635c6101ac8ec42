"""The catalogue of one site: every point, alarm and command that exists there, with its place in the image.

The same tables and the same site file give the same catalogue in every process; `Catalogue.hash` proves it. Slots are
point-major: `slot = row.base + ordinal of the element in its level`, so one quantity over all racks is one slice. Slots
are valid for one start; whoever stores data refers to point ids.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from information_model.alarms import TABLE as ALARMS
from information_model.alarms.mirrors import Mirror, mirrors, thresholds
from information_model.alarms.row import Alarm
from information_model.points import TABLE as POINTS
from information_model.points.row import Kind, Level, Point, Producer
from information_model.producers import produced
from information_model.topology import Element, Topology

type_of_matrix = {"Float": "<f4", "Double": "<f8", "Byte": "|u1", "Boolean": "|u1"}
Constant = float | str | int
"""A configured value: number, text, or a date as UTC nanoseconds."""


@dataclass(frozen=True, slots=True)
class Row:
    """A point of a level as it stands in this site.

    `base` is its first slot in the scalar columns of the image (-1: constant, matrix or text). `matrix` names its
    column where it is a matrix; a module's matrix is a row of its rack's. `alarm_base` is its first place in the alarm
    columns where it mirrors an alarm (-1 otherwise).
    """

    point: Point
    base: int = -1
    matrix: str = ""
    mirror: Mirror | None = None
    alarm_base: int = -1

    @property
    def constant(self) -> bool:
        """True where the value comes from the configuration and takes no room in the image."""
        return self.base < 0 and not self.matrix


@dataclass(frozen=True)
class Catalogue:
    """All rows of a site by level and path, and the constants of its elements."""

    topology: Topology
    rows: Mapping[Level, Mapping[str, Row]]
    alarms: tuple[Alarm, ...]
    constants: Mapping[tuple[str, str], Constant] = field(repr=False)
    """(element id, path) -> value of the rows that are constant."""
    scalar_count: int
    alarm_count: int

    def row(self, level: Level, path: str) -> Row:
        """Row of a point; KeyError names the level and the path."""
        try:
            return self.rows[level][path]
        except KeyError:
            raise KeyError(f"{level.name.lower()} point {path} does not exist on this site") from None

    def has(self, level: Level, path: str) -> bool:
        """True where the point is instantiated on the elements of the level."""
        return path in self.rows[level]

    def slots(self, level: Level, path: str) -> slice:
        """Slice of a scalar over all elements of its level, in the order of their ordinals."""
        row = self.row(level, path)
        if row.base < 0:
            raise KeyError(f"{level.name.lower()} point {path} has no slot: it is a constant or a matrix")
        return slice(row.base, row.base + self.topology.count(level))

    def find(self, point_id: str) -> tuple[Row, Element] | None:
        """Row and element of `<element>.<path>`, or None."""
        parts = point_id.split(".")
        for depth in range(min(4, len(parts)), 0, -1):
            element = self.topology.by_name.get(".".join(parts[:depth]))
            if element is not None:
                row = self.rows[element.level].get(".".join(parts[depth:]))
                return None if row is None else (row, element)
        return None

    def points(self) -> Iterator[tuple[Element, Row]]:
        """Every point of the site: elements breadth first, rows in the order of the tables."""
        for element in self.topology.elements:
            for row in self.rows[element.level].values():
                if not row.constant or (element.name, row.point.path) in self.constants:
                    yield element, row

    def matrices(self) -> Iterator[Row]:
        """The rack's matrix rows: each is a column of the image."""
        return (row for row in self.rows[Level.RACK].values() if row.matrix)

    def columns(self) -> list[tuple[str, str, int]]:
        """Columns of the image: (name, dtype, length). See docs/formats.md."""
        topology, racks = self.topology, self.topology.count(Level.RACK)
        found = [("value", "<f8", self.scalar_count), ("status", "<u4", self.scalar_count)]
        found.append(("source_time", "<i8", self.scalar_count))
        for row in self.matrices():
            starts = topology.cell_start if row.point.kind is Kind.CELLS else topology.probe_start
            found.append((row.matrix, type_of_matrix[row.point.data_type], int(starts[-1])))
            found += [(f"{row.matrix}.status", "<u4", racks), (f"{row.matrix}.time", "<i8", racks)]
        found += [("alarm.state", "|u1", self.alarm_count), ("alarm.count", "<u4", self.alarm_count)]
        found.append(("alarm.time", "<i8", self.alarm_count))
        return found

    @cached_property
    def hash(self) -> str:
        """Hash over every id, data type and place: equal in all processes of one start."""
        digest = hashlib.sha256()
        for element in self.topology.elements:
            digest.update(element.name.encode())
        for level, rows in self.rows.items():
            for path, row in rows.items():
                digest.update(
                    f"{level.name}|{path}|{row.point.data_type}|{row.base}|{row.matrix}|{row.alarm_base}".encode()
                )
        digest.update(repr(self.columns()).encode())
        return digest.hexdigest()[:32]


def build(
    topology: Topology,
    field_points: frozenset[str],
    constants: Mapping[tuple[str, str], Constant],
) -> Catalogue:
    """Catalogue of a site: `field_points` are the rack points that the device maps deliver, `constants` the configured
    values by (element id, path), thresholds included where the site file overrides them."""
    exists = produced(field_points)
    exists |= {(topology.by_name[name].level, path) for name, path in constants}
    sources = {(point.level, point.path): point for point in POINTS}
    alarms = tuple(alarm for alarm in ALARMS if (alarm.level, alarm.source) in exists)
    rows: dict[Level, dict[str, Row]] = {level: {} for level in Level}
    scalars = 0
    for point in POINTS:
        if (point.level, point.path) not in exists:
            continue
        if point.producer is Producer.CONFIGURATION or point.kind is Kind.TEXT:
            rows[point.level][point.path] = Row(point)
        elif point.kind is Kind.SCALAR:
            rows[point.level][point.path] = Row(point, base=scalars)
            scalars += topology.count(point.level)
        else:
            rows[point.level][point.path] = Row(point, matrix=point.name)
    places = 0
    for alarm in alarms:
        for mirror in mirrors(alarm):
            rows[alarm.level][mirror.point.path] = Row(mirror.point, base=scalars, mirror=mirror, alarm_base=places)
            scalars += topology.count(alarm.level)
            places += topology.count(alarm.level)
        for _, _, point in thresholds(alarm, sources):
            rows[alarm.level][point.path] = Row(point)
    return Catalogue(topology, rows, alarms, constants, scalars, places)
