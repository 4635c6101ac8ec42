"""The site: what every process derives from the site file, and derives alike.

    load_site("examples/demo.toml") -> Site(file, topology, catalogue, maps, inputs, ...)

Everything is checked before anything starts, and every mistake is told at once.
"""

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from information_model import catalogue as catalogues
from information_model import topology as topologies
from information_model.alarms import TABLE as ALARMS
from information_model.alarms.mirrors import thresholds
from information_model.catalogue import Catalogue, Constant
from information_model.device_map import DeviceMap
from information_model.expressions import ExpressionError, evaluate
from information_model.points import TABLE as POINTS
from information_model.points.row import Kind, Level, Producer
from information_model.producers import produced
from information_model.topology import RackShape, Topology
from information_model.validation import InvalidConfiguration, Problem, read_toml, validate
from server import __version__
from server.config import names as naming
from server.config.inputs import InputPlan, RackSource, plan_inputs
from server.config.maps import find_map
from server.config.model import Array, Racks, RackType, SiteFile, numbers

VERSION = 1


@dataclass(frozen=True)
class Rack:
    """A rack as the site file has it."""

    element: str
    ordinal: int
    kind: RackType
    bus: str
    node: int
    map: DeviceMap


@dataclass(frozen=True)
class Site:
    """A validated site file and all that follows from it."""

    path: Path
    file: SiteFile
    topology: Topology
    catalogue: Catalogue
    racks: tuple[Rack, ...]
    inputs: tuple[InputPlan, ...]
    """One per field process."""
    names: Mapping[str, Mapping[str, float]] = field(repr=False)
    """Element id -> configuration names for expressions."""
    hash: str
    """Hash of the site file and its maps."""

    @property
    def id(self) -> str:
        """Id of the site."""
        return self.file.site.id

    @property
    def application_uri(self) -> str:
        """ApplicationUri of the OPC UA server of this site."""
        return f"urn:gridbms:application:{self.id}"

    def value(self, element: str, expression: str) -> float:
        """Value of a table's expression for an element."""
        return evaluate(expression, self.names[element])


def load_site(path: Path) -> Site:
    """Site of a file. Raises InvalidConfiguration with every mistake: key, given, expected, remedy."""
    document = read_toml(path)
    if document.get("version") != VERSION:
        given = repr(document.get("version", "nothing"))
        problem = Problem("version", given, str(VERSION), f"This program reads site files of version {VERSION}.")
        raise InvalidConfiguration(str(path), [problem])
    return build_site(path, validate(SiteFile, document, str(path)))


def build_site(path: Path, file: SiteFile) -> Site:
    """Site of a validated file whose maps are found relative to `path`."""
    mistakes: list[Problem] = []
    maps: dict[str, DeviceMap] = {}
    for name in sorted({racks.map for array in file.arrays for racks in array.racks}):
        try:
            maps[name] = find_map(name, path.parent)
        except InvalidConfiguration as error:
            mistakes += [Problem(f"map {name}: {p.key}", p.given, p.expected, p.remedy) for p in error.problems]
    plan = list(_racks(file, mistakes))
    topology = _topology(file, plan, mistakes)
    _check_maps(file, maps, plan, mistakes)
    if mistakes or topology is None:
        raise InvalidConfiguration(str(path), mistakes)
    racks = tuple(
        Rack(element.name, element.ordinal, file.rack_types[row.type], bus, node, maps[row.map])
        for element, (_, _, row, bus, node) in zip(topology.of_level(Level.RACK), plan, strict=True)
    )
    names = _names(file, topology, racks)
    constants = _constants(file, topology, plan, racks, names)
    field_points = frozenset(point.point for device in maps.values() for point in device.points)
    _thresholds(file, topology, names, constants, field_points, mistakes)
    if mistakes:
        raise InvalidConfiguration(str(path), mistakes)
    digest = hashlib.sha256(file.model_dump_json().encode())
    for name in sorted(maps):
        digest.update(name.encode() + maps[name].model_dump_json().encode())
    identity = digest.hexdigest()[:32]
    constants["ESS", "Server.Version"] = __version__
    constants["ESS", "Server.ConfigurationHash"] = identity
    # The row has to stand before the hash can be taken; the hash covers ids and places, no constants.
    constants["ESS", "Server.CatalogueHash"] = ""
    catalogue = catalogues.build(topology, field_points, constants)
    constants["ESS", "Server.CatalogueHash"] = catalogue.hash
    sources = [RackSource(rack.element, rack.ordinal, rack.bus, rack.node, rack.map) for rack in racks]
    return Site(
        path=path,
        file=file,
        topology=topology,
        catalogue=catalogue,
        racks=racks,
        inputs=plan_inputs(file, sources, catalogue),
        names=names,
        hash=identity,
    )


_PlannedRack = tuple[Array, int, Racks, str, int]


def _racks(file: SiteFile, mistakes: list[Problem]) -> Iterator[_PlannedRack]:
    """(array, rack number, its row, bus, node) of each rack, in the order of the file."""
    seen: dict[tuple[str, int], str] = {}
    for array in file.arrays:
        for row in array.racks:
            key = f"arrays[number={array.number}].racks[{row.numbers}]"
            given = numbers(row.numbers)
            if row.type not in file.rack_types:
                known = ", ".join(file.rack_types)
                mistakes.append(
                    Problem(f"{key}.type", repr(row.type), f"one of {known}", "Name a table of rack_types.")
                )
                continue
            if row.node is not None and len(given) > 1:
                mistakes.append(
                    Problem(
                        f"{key}.node", str(row.node), "no node for several racks", "Leave it out: node = rack number."
                    )
                )
            for number in given:
                bus = row.bus.replace("{array}", str(array.number)).replace("{rack}", str(number))
                node = number if row.node is None else row.node
                rack = f"ESS.ARR{array.number:02}.R{number:03}"
                if bus not in file.buses:
                    known = ", ".join(file.buses)
                    mistakes.append(Problem(f"{key}.bus", repr(bus), f"one of {known}", "Name a table of buses."))
                elif (bus, node) in seen:
                    other = seen[bus, node]
                    mistakes.append(
                        Problem(f"{key}.node", str(node), f"a node that is free on {bus}", f"{other} has it already.")
                    )
                seen.setdefault((bus, node), rack)
                yield array, number, row, bus, node


def _topology(file: SiteFile, plan: list[_PlannedRack], mistakes: list[Problem]) -> Topology | None:
    arrays = []
    for array in file.arrays:
        shapes = []
        for owner, number, row, _, _ in plan:
            if owner is array:
                kind = file.rack_types[row.type]
                shapes.append((number, RackShape(kind.modules, kind.cells_per_module, kind.probes_per_module)))
        arrays.append((array.number, shapes))
    try:
        return topologies.build(arrays)
    except ValueError as error:
        mistakes.append(Problem("arrays", str(error), "numbers that are unique", "Give each element its own number."))
        return None


def _check_maps(
    file: SiteFile, maps: Mapping[str, DeviceMap], plan: list[_PlannedRack], mistakes: list[Problem]
) -> None:
    """Every point of a map exists on a rack as a field point, and matrices have as many elements as the rack."""
    known = {point.path: point for point in POINTS if point.level is Level.RACK and point.producer is Producer.FIELD}
    pairs = {(row.map, row.type): row for _, _, row, _, _ in plan if row.map in maps}
    for (name, kind_name), _ in sorted(pairs.items()):
        kind = file.rack_types[kind_name]
        elements = {
            Kind.CELLS: kind.cells_in_series,
            Kind.PROBES: kind.modules * kind.probes_per_module,
            Kind.SCALAR: 1,
        }
        for entry in maps[name].points:
            point = known.get(entry.point)
            key = f"map {name}: point {entry.point}"
            if point is None:
                choices = ", ".join(sorted(known))
                mistakes.append(Problem(key, repr(entry.point), f"one of {choices}", "Name a field point of a rack."))
            elif entry.count != elements[point.kind]:
                expected = f"{elements[point.kind]} elements, as the rack type {kind_name} has"
                mistakes.append(Problem(key, f"{entry.count} elements", expected, "Correct count or the rack type."))
            elif point.unit is not None and entry.unit and entry.unit != point.unit.symbol:
                mistakes.append(Problem(key, entry.unit, point.unit.symbol, "Convert with scale and offset."))


def _names(file: SiteFile, topology: Topology, racks: tuple[Rack, ...]) -> dict[str, dict[str, float]]:
    system = naming.override(file, naming.group_names("system", [rack.kind for rack in racks]))
    found = {"ESS": system}
    for array in topology.of_level(Level.ARRAY):
        below = [racks[rack.ordinal] for rack in topology.racks_below(array)]
        found[array.name] = system | naming.group_names("array", [rack.kind for rack in below])
    for rack, element in zip(racks, topology.of_level(Level.RACK), strict=True):
        found[rack.element] = found[topology.elements[element.parent].name] | naming.rack_names(rack.kind)
        for module in topology.children[element.index]:
            found[topology.elements[module].name] = found[rack.element]
    return found


def _constants(
    file: SiteFile,
    topology: Topology,
    plan: list[_PlannedRack],
    racks: tuple[Rack, ...],
    names: Mapping[str, dict[str, float]],
) -> dict[tuple[str, str], Constant]:
    found = naming.identification("ESS", file.site, {})
    found |= naming.group_constants("ESS", "system", names["ESS"], len(racks))
    found["ESS", "Server.SiteId"] = file.site.id
    for array, element in zip(file.arrays, topology.of_level(Level.ARRAY), strict=True):
        found |= naming.identification(element.name, array, {})
        count = len(topology.children[element.index])
        found |= naming.group_constants(element.name, "array", names[element.name], count)
    for (array, number, row, _, _), rack in zip(plan, racks, strict=True):
        serial = row.serial_number.replace("{array}", f"{array.number:02}").replace("{rack}", f"{number:03}")
        identity = row.model_copy(update={"serial_number": serial})
        defaults = {"manufacturer": rack.kind.manufacturer, "model": rack.kind.model}
        found |= naming.identification(rack.element, identity, defaults)
        found |= naming.rack_constants(rack.element, rack.kind)
        for module in topology.children[topology.by_name[rack.element].index]:
            found[topology.elements[module].name, "Configuration.CellCount"] = rack.kind.cells_per_module
    return found


def _thresholds(
    file: SiteFile,
    topology: Topology,
    names: Mapping[str, dict[str, float]],
    constants: dict[tuple[str, str], Constant],
    field_points: frozenset[str],
    mistakes: list[Problem],
) -> None:
    """Thresholds of every alarm and element: of the table by chemistry, or as the site file says."""
    sources = {(point.level, point.path): point for point in POINTS}
    exists = produced(field_points)
    chemistry = {rack: kind.chemistry for rack, kind in _kinds(file, topology).items()}
    known: dict[str, set[str]] = {"system": set(), "array": set(), "rack": set()}
    for alarm in ALARMS:
        if (alarm.level, alarm.source) not in exists:
            continue
        scope = alarm.level.name.lower()
        for _, step, point in thresholds(alarm, sources):
            known[scope].add(point.name)
            for element in topology.of_level(alarm.level):
                text = step.nmc if chemistry.get(element.name, "LFP") == "NMC" else step.lfp
                try:
                    standard = evaluate(text, names[element.name])
                except ExpressionError as error:
                    mistakes.append(Problem(f"alarm {alarm.name}", text, "an expression", str(error)))
                    continue
                constants[element.name, point.path] = file.thresholds.get(scope, {}).get(point.name, standard)  # type: ignore[call-overload]  # the keys are the literals of the model
    for scope, rows in file.thresholds.items():
        for name in rows:
            if name not in known[scope]:
                expected = f"one of {', '.join(sorted(known[scope]))}"
                mistakes.append(Problem(f"thresholds.{scope}.{name}", repr(name), expected, "Correct the name."))


def _kinds(file: SiteFile, topology: Topology) -> dict[str, RackType]:
    types = {}
    for array in file.arrays:
        for row in array.racks:
            for number in numbers(row.numbers):
                types[f"ESS.ARR{array.number:02}.R{number:03}"] = file.rack_types[row.type]
    return {element.name: types[element.name] for element in topology.of_level(Level.RACK)}
