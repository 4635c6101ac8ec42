r"""Device map: how the messages of one kind of device become points. Format version 1.

A map is a TOML file; the layout of the messages stands in a CAN database (DBC) beside it. The map says what a DBC
cannot: which point a signal is, its element number, its unit and sign, what is invalid, how old it may become, how a
message is protected end to end, and what is sent to the device.

    version = 1
    name = "example-rack"
    kind = "can"
    dbc = "example.dbc"            # file beside the map
    node_offset = 16               # frame id on the bus = id in the DBC + node * node_offset

    [[matrix]]                     # one value per cell or probe
    point = "CellData.CellVoltages"     # group and name of the point on the rack
    count = 96                     # number of elements
    signal = 'CellVoltage_(\d+)'   # regular expression over signal names; its group is the number of the element
    first = 1                      # the number that means element 1
    unit = "V"
    range = [1.5, 4.5]             # outside: quality Range, no value
    invalid = [0x3FFF]             # raw patterns (unsigned, before sign and scale) that mean "not available"
    period = 3.3                   # s, after which every element has come once
    timeout = 10.0                 # s, after which a value is too old

    [[scalar]]                     # one value
    point = "Measurements.DcCurrent"
    signal = "PackCurrent"
    message = "PackStatus"         # needed only where the signal's name occurs in several messages
    unit = "A"
    sign = -1                      # positive is discharge; a device that counts the other way has -1
    period = 0.01
    timeout = 0.5

    [[scalar]]
    point = "Status.ContactorState"
    signal = "State"
    codes = { 0 = 1, 3 = 2 }       # raw code -> value; a code that is not listed is invalid
    period = 0.1
    timeout = 1.0

    [[check]]                      # protection of a message
    message = "PackStatus"
    crc = { poly = 0x1D, init = 0xFF, xorout = 0xFF, byte = 7, over = 7, data_id = 0x21 }
    counter = { signal = "Alive", modulo = 15 }
    liveness = true                # this counter is the device's sign of life (at most one per map)

    [[command]]                    # sent to the device, again and again
    message = "RackCommand"
    period = 0.1                   # s
    modulo = 15                    # of the frame counter; all codes of the signal where absent
    codes = { Desired = { 0 = 0, 1 = 2 } }
    crc = { poly = 0x1D, init = 0xFF, xorout = 0xFF, byte = 7, over = 7, data_id = 0x22 }
    safe = { zero_current = { ChargeLimit = 0, DischargeLimit = 0 }, open = { Desired = 0 } }

    [command.signals]              # or on one line: signals = { Desired = "desired", ... }
    Desired = "desired"
    ChargeLimit = "charge_limit_a"
    DischargeLimit = "discharge_limit_a"
    Alive = "alive"
    Reset = "reset_counter"
    Mode = 1

Rules:

- value = sign * (physical value of the DBC * scale + offset); `scale` and `offset` are 1 and 0 where absent. Where
  `codes` is given, the listed value takes the place of that formula.
- The first finding decides the quality: `invalid`, an unlisted code, `range`. A value that is not good is not a number.
- Slots: first all matrices, then all scalars, each in the order of the file; a matrix has `count` slots.
- `crc` is a CRC-8: over `data_id` (if given), the first `over` bytes without byte `byte` itself, and `zeros` zero
  bytes; compared with byte `byte` (from 0). `reflected` mirrors input and output.
- `counter` is a signal of the message or `start` and `length` (bits, little-endian as in a DBC). `modulo` is the
  number of codes it runs through. A frame whose counter repeats or goes back is withheld.
- A signal of a command is a request field, or a number that is always sent. `alive` is counted up by one with every
  frame sent. `safe` replaces signals: `zero_current` while no current may flow, both tables while the rack must open.
- Limits are sent rounded down to the resolution of the signal and confined to what it can carry.
"""

from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field, PrivateAttr, model_validator

from information_model.device_map_messages import Check, Command, Crc
from information_model.device_map_points import MatrixPoint, Point, ScalarPoint
from information_model.device_map_tables import Table
from information_model.validation import InvalidConfiguration, Problem, examine, read_toml

__all__ = [
    "Check",
    "Command",
    "Crc",
    "DeviceMap",
    "MatrixPoint",
    "Point",
    "ScalarPoint",
    "SlotRange",
    "examine_device_map",
    "load_device_map",
]

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
    command: Annotated[tuple[Command, ...], Field(strict=False)] = ()

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
