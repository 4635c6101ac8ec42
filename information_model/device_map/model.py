"""A device map as a whole: validated in itself, loaded with every mistake that is in its file."""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PrivateAttr, model_validator

from information_model.device_map.messages import Check, CommandMessage
from information_model.device_map.points import MatrixPoint, ScalarPoint
from information_model.device_map.tables import Table
from information_model.validation import InvalidConfiguration, Problem, examine, read_toml

VERSION = 1

_REMEDIES = {
    "version": f"This program reads format version {VERSION}.",
    "point": "Write the group and the name of a point of the catalogue, for example Measurements.DcVoltage.",
    "sign": "Write 1, or -1 where the device counts discharge as negative.",
    "dbc": "Put the DBC beside the map and write its file name.",
}

_FILE_NAME = r"^[^/\\]+$"
_ROWS = ("matrix", "scalar", "check", "command")


class SlotRange(NamedTuple):
    """Where one point lies among the slots of its source."""

    point: str
    first: int
    count: int  # type: ignore[assignment]  # the field's name hides tuple.count, which nobody needs here
    period_s: float
    timeout_s: float


class DeviceMap(Table):
    """One map, validated in itself. Whether it fits its DBC is checked by the adapter, its points by the catalogue."""

    version: Literal[1]
    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=64)]
    kind: Literal["can"]
    dbc: Annotated[str, Field(pattern=_FILE_NAME, max_length=255)]
    node_offset: Annotated[int, Field(ge=0, lt=1 << 29)] = 0
    matrix: Annotated[tuple[MatrixPoint, ...], Field(strict=False)] = ()
    scalar: Annotated[tuple[ScalarPoint, ...], Field(strict=False)] = ()
    check: Annotated[tuple[Check, ...], Field(strict=False)] = ()
    command: Annotated[tuple[CommandMessage, ...], Field(strict=False)] = ()

    _directory: Path = PrivateAttr(default=Path())

    @model_validator(mode="after")
    def _nothing_twice(self) -> "DeviceMap":
        if not self.matrix and not self.scalar:
            raise ValueError("at least one matrix or scalar | Add the points of the device.")
        for key, names in (
            ("point", [row.point for row in self.points]),
            ("check", [row.message for row in self.check]),
            ("command", [row.message for row in self.command]),
        ):
            if double := sorted({name for name in names if names.count(name) > 1}):
                raise ValueError(f"each {key} once | {', '.join(double)} stands more than once.")
        if sum(row.liveness for row in self.check) > 1:
            raise ValueError("liveness in at most one check | Choose the counter that is the sign of life.")
        return self

    @property
    def points(self) -> tuple[MatrixPoint | ScalarPoint, ...]:
        """All points in the order of their slots."""
        return (*self.matrix, *self.scalar)

    @property
    def dbc_path(self) -> Path:
        """The DBC: beside the map."""
        return self._directory / self.dbc

    def slots(self) -> tuple[SlotRange, ...]:
        """Slot table of one source: pure, the same for everybody who asks."""
        rows, first = [], 0
        for row in self.points:
            rows.append(SlotRange(row.point, first, row.count, row.period, row.timeout))
            first += row.count
        return tuple(rows)

    @property
    def slot_count(self) -> int:
        """Number of slots of one source."""
        return sum(row.count for row in self.points)

    def placed_in(self, directory: Path) -> "DeviceMap":
        """The same map with its DBC looked for in `directory`."""
        placed = self.model_copy()
        placed._directory = directory
        return placed


def load_device_map(path: Path) -> DeviceMap:
    """The map in the file `path`; raises InvalidConfiguration with every mistake that is in it."""
    found, mistakes = examine_device_map(path)
    if found is None or mistakes:
        raise InvalidConfiguration(str(path), mistakes)
    return found


def examine_device_map(path: Path) -> tuple[DeviceMap | None, tuple[Problem, ...]]:
    """The map in the file `path` and every mistake that is in it.

    Where there are any, the map is what remains without the wrong rows: good for further checks only; None where
    nothing of use remains. Raises InvalidConfiguration when the file cannot be read.
    """
    document = read_toml(path)
    findings = examine(DeviceMap, document, _REMEDIES)
    found = findings.model
    if found is None:
        usable: dict[str, Any] = {"version": VERSION, "name": path.stem, "kind": "can"}
        usable |= {
            key: value
            for key, value in document.items()
            if key in DeviceMap.model_fields and not findings.concerns(key)
        }
        for kind in _ROWS:
            rows = document.get(kind)
            if isinstance(rows, list):
                usable[kind] = [row for number, row in enumerate(rows) if not findings.concerns(kind, number)]
        found = examine(DeviceMap, usable).model
    return (None if found is None else found.placed_in(path.parent)), findings.problems
