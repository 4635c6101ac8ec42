"""Device maps: where they are found, and whether they fit the racks that they are meant for."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from information_model.device_map import DeviceMap, examine_device_map, load_device_map
from information_model.points import TABLE as POINTS
from information_model.points.row import Kind, Level, Point, Producer
from information_model.topology import RackShape
from information_model.validation import InvalidConfiguration, Problem, closest
from server.config.sections import RackRow, Sections


def find_map(name: str, folder: Path) -> DeviceMap:
    """Device map `name`: a path relative to `folder`, else one of the program's own. Raises InvalidConfiguration."""
    place = _place(name, folder)
    if place is None:
        raise InvalidConfiguration(str(folder / name), [_absent("map", name, folder)])
    return load_device_map(place)


def load_maps(rows: Iterable[RackRow], folder: Path, mistakes: list[Problem]) -> tuple[dict[str, DeviceMap], bool]:
    """The maps that the rows name, each read once, and whether all of them are right.

    What is wrong in a map is left out of it, and a map that is wrong as a whole is absent.
    """
    maps: dict[str, DeviceMap] = {}
    found: list[Problem] = []
    tried: set[str] = set()
    for row in rows:
        if row.map is None:
            continue
        place = _place(row.map, folder)
        if place is None:
            found.append(_absent(f"{row.key}.map", row.map, folder))
        elif row.map not in tried:
            device, problems = _examined(place)
            found += [replace(problem, key=f"map {row.map}: {problem.key}") for problem in problems]
            if device is not None:
                maps[row.map] = device
        tried.add(row.map)
    mistakes += found
    return maps, not found


def _examined(path: Path) -> tuple[DeviceMap | None, tuple[Problem, ...]]:
    try:
        return examine_device_map(path)
    except InvalidConfiguration as error:
        return None, error.problems


def check_points(maps: Mapping[str, DeviceMap], mistakes: list[Problem]) -> None:
    """Every point of a map exists on a rack as a field point, and is given in its unit."""
    known = _rack_points()
    for name, device in maps.items():
        for entry in device.points:
            point = known.get(entry.point)
            key = f"map {name}: point {entry.point}"
            if point is None:
                remedy = closest(entry.point, known, "Name a field point of a rack.")
                mistakes.append(Problem(key, repr(entry.point), f"one of {', '.join(sorted(known))}", remedy))
            elif point.unit is not None and entry.unit and entry.unit != point.unit.symbol:
                mistakes.append(Problem(key, entry.unit, point.unit.symbol, "Convert with scale and offset."))


def check_counts(sections: Sections, maps: Mapping[str, DeviceMap], mistakes: list[Problem]) -> None:
    """Every matrix of a map has as many elements as the rack types that it is used for."""
    known = _rack_points()
    pairs = {(row.map, row.type): None for row in sections.rows if row.map is not None and row.type is not None}
    for name, kind in pairs:
        device, shape = maps.get(name), sections.shapes.get(kind)
        if device is None or shape is None:
            continue
        for entry in device.points:
            point = known.get(entry.point)
            if point is not None and entry.count != (expected := _elements(point, shape)):
                text = f"{expected} elements, as the rack type {kind} has"
                remedy = "Correct count or the rack type."
                mistakes.append(Problem(f"map {name}: point {entry.point}", f"{entry.count} elements", text, remedy))


def field_points(maps: Mapping[str, DeviceMap]) -> frozenset[str] | None:
    """Paths of the points that the racks deliver; None where a map names one that does not exist."""
    points = frozenset(entry.point for device in maps.values() for entry in device.points)
    return points if points <= _rack_points().keys() else None


def _rack_points() -> dict[str, Point]:
    return {point.path: point for point in POINTS if point.level is Level.RACK and point.producer is Producer.FIELD}


def _elements(point: Point, shape: RackShape) -> int:
    return {Kind.CELLS: shape.cells, Kind.PROBES: shape.probes}.get(point.kind, 1)


def _place(name: str, folder: Path) -> Path | None:
    for place in (folder / name, _own_maps() / name):
        try:
            if place.is_file():
                return place
        except OSError:  # a name that no file can have
            continue
    return None


def _absent(key: str, name: str, folder: Path) -> Problem:
    own = sorted(path.name for path in _own_maps().glob("*.toml"))
    return Problem(
        key,
        repr(name),
        f"a file in {folder}, or one of {', '.join(own)}",
        closest(name, own, "Correct the name of the map."),
    )


def _own_maps() -> Path:
    # A folder of data, named and not imported: the core reads the configuration too, and must not know adapters.
    return Path(str(files("adapters.maps")))
