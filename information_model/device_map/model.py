"""A device map as a whole: validated row by row. Its loading also looks at the rows beside one another."""

from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import Field, PrivateAttr

from information_model.device_map.messages import Check, CommandMessage
from information_model.device_map.points import MatrixPoint, ScalarPoint
from information_model.device_map.tables import Table

VERSION = 1

_FILE_NAME = r"^[^/\\]+$"


class SlotRange(NamedTuple):
    """Where one point lies among the slots of its source."""

    point: str
    first: int
    count: int  # type: ignore[assignment]  # the field's name hides tuple.count, which nobody needs here
    period_s: float
    timeout_s: float


class DeviceMap(Table):
    """One map, its rows each for itself. Whether it fits its DBC is checked by the adapter, its points by the catalogue."""

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
