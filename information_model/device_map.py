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

import re
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, field_validator, model_validator

from information_model.validation import InvalidConfiguration, Problem, read_toml, validate

VERSION = 1

REQUEST_FIELDS = ("desired", "charge_limit_a", "discharge_limit_a", "alive", "reset_counter")
"""What a signal of a command may carry."""

_REMEDIES = {
    "version": f"This program reads format version {VERSION}.",
    "point": "Write the group and the name of a point of the catalogue, for example Measurements.DcVoltage.",
    "sign": "Write 1, or -1 where the device counts discharge as negative.",
    "dbc": "Put the DBC beside the map and write its file name.",
}

_MAX_ELEMENTS = 10_000
_FILE_NAME = r"^[^/\\]+$"
_POINT = r"^[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*){1,3}$"

Seconds = Annotated[float, Field(gt=0, le=86_400)]
Raw = Annotated[int, Field(ge=0, lt=1 << 64)]
Byte = Annotated[int, Field(ge=0, le=255)]


class _Table(BaseModel):
    """Every table of a map: strict types, unknown keys refused, never changed, nan and inf refused."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def _code_table(codes: dict[str, float]) -> dict[int, float]:
    """Keys of a TOML table are text; 3 and 0x3 are the same code."""
    try:
        return {int(key, 0): value for key, value in codes.items()}
    except ValueError as error:
        raise ValueError("whole numbers as keys | Write for example { 0 = 1, 0x10 = 2 }.") from error


class Crc(_Table):
    """CRC-8 of a message. Parameters as in the catalogue of parametrised CRC algorithms."""

    poly: Annotated[int, Field(ge=1, le=255)]
    init: Byte = 0
    reflected: bool = False
    xorout: Byte = 0
    byte: Annotated[int, Field(ge=0, le=7)]
    over: Annotated[int, Field(ge=1, le=8)]
    zeros: Annotated[int, Field(ge=0, le=64)] = 0
    data_id: Byte | None = None

    @property
    def covered(self) -> tuple[int, ...]:
        """Numbers of the bytes that are covered; the byte that carries the CRC is never among them."""
        return tuple(number for number in range(self.over) if number != self.byte)


class Counter(_Table):
    """Alive counter inside a message: by signal name, or by start bit and length (little-endian)."""

    signal: str | None = None
    start: Annotated[int, Field(ge=0, le=63)] | None = None
    length: Annotated[int, Field(ge=1, le=32)] | None = None
    modulo: Annotated[int, Field(ge=2, le=1 << 32)] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Counter":
        by_bits = self.start is not None and self.length is not None
        mixed = self.signal is not None and (self.start is not None or self.length is not None)
        if mixed or (self.signal is None and not by_bits):
            raise ValueError("either signal or start and length | Give one of the two, wholly.")
        if self.start is not None and self.length is not None:
            if self.start + self.length > 64:
                raise ValueError("start + length of at most 64 | Shorten the counter.")
            if self.modulo is not None and self.modulo > 1 << self.length:
                raise ValueError(f"modulo of at most {1 << self.length} | Lower modulo.")
        return self


class Point(_Table):
    """What scalars and matrices have in common."""

    point: Annotated[str, Field(pattern=_POINT, max_length=128)]
    signal: Annotated[str, Field(min_length=1, max_length=256)]
    message: str | None = None
    unit: str = ""
    scale: float = 1.0
    offset: float = 0.0
    sign: Literal[1, -1] = 1
    range: Annotated[tuple[float, float], Field(strict=False)] | None = None
    invalid: Annotated[tuple[Raw, ...], Field(strict=False, max_length=64)] = ()
    codes: Annotated[dict[str, float], Field(max_length=256)] = {}
    period: Seconds
    timeout: Seconds

    @field_validator("codes")
    @classmethod
    def _codes_are_numbers(cls, codes: dict[str, float]) -> dict[str, float]:
        _code_table(codes)
        return codes

    @model_validator(mode="after")
    def _consistent(self) -> "Point":
        if self.timeout < self.period:
            raise ValueError(f"timeout of at least the period {self.period} s | Raise timeout.")
        if self.range is not None and self.range[0] >= self.range[1]:
            raise ValueError("range as [low, high] with low below high | Exchange the two.")
        if self.scale == 0:
            raise ValueError("scale other than 0 | Leave scale out where none is needed.")
        return self

    @property
    def code_table(self) -> dict[int, float]:
        """Raw code -> value; empty when the value is linear."""
        return _code_table(self.codes)


class MatrixPoint(Point):
    """One value per cell or probe."""

    count: Annotated[int, Field(ge=1, le=_MAX_ELEMENTS)]
    first: int = 1

    @field_validator("signal")
    @classmethod
    def _has_a_number(cls, signal: str) -> str:
        try:
            groups = re.compile(signal).groups
        except re.error as error:
            raise ValueError(f"a regular expression ({error}) | Correct the expression.") from error
        if groups != 1:
            raise ValueError(r"exactly one group, the number of the element | Write for example Cell_(\d+).")
        return signal


class ScalarPoint(Point):
    """One value."""

    @property
    def count(self) -> int:
        """A scalar takes one slot."""
        return 1


class Check(_Table):
    """End-to-end protection of one message."""

    message: str
    crc: Crc | None = None
    counter: Counter | None = None
    liveness: bool = False

    @model_validator(mode="after")
    def _checks_something(self) -> "Check":
        if self.crc is None and self.counter is None:
            raise ValueError("crc, counter or both | Add what protects the message, or remove the check.")
        if self.liveness and self.counter is None:
            raise ValueError("a counter where liveness is true | Add the counter.")
        return self


class Safe(_Table):
    """Signals of a command that replace the requested ones when the request is not to be trusted."""

    zero_current: dict[str, float] = {}
    open: dict[str, float] = {}


class Command(_Table):
    """A message that is sent to the device again and again."""

    message: str
    period: Annotated[float, Field(ge=0.005, le=60)]
    signals: Annotated[dict[str, str | float], Field(min_length=1)]
    codes: dict[str, dict[str, float]] = {}
    modulo: Annotated[int, Field(ge=2, le=1 << 32)] | None = None
    crc: Crc | None = None
    safe: Safe

    @field_validator("signals")
    @classmethod
    def _known_fields(cls, signals: dict[str, str | float]) -> dict[str, str | float]:
        for name, field in signals.items():
            if isinstance(field, str) and field not in REQUEST_FIELDS:
                known = ", ".join(REQUEST_FIELDS)
                raise ValueError(f"a number or one of {known} for {name} | Correct {field!r}.")
        return signals

    @field_validator("codes")
    @classmethod
    def _codes_are_numbers(cls, codes: dict[str, dict[str, float]]) -> dict[str, dict[str, float]]:
        for table in codes.values():
            _code_table(table)
        return codes

    @model_validator(mode="after")
    def _names_agree(self) -> "Command":
        named = {*self.codes, *self.safe.zero_current, *self.safe.open}
        if unknown := named - set(self.signals):
            raise ValueError(f"codes and safe to name signals of the command | Add {sorted(unknown)} to signals.")
        if not self.safe.zero_current or not self.safe.open:
            raise ValueError("safe with zero_current and open | Say what is sent when nothing may be requested.")
        return self

    def code_table(self, signal: str) -> dict[int, float]:
        """Request value -> what is sent for it; empty when it is sent as it is."""
        return _code_table(self.codes.get(signal, {}))


class SlotRange(NamedTuple):
    """Where one point lies among the slots of its source."""

    point: str
    first: int
    count: int  # type: ignore[assignment]  # the field's name hides tuple.count, which nobody needs here
    period_s: float
    timeout_s: float


class DeviceMap(_Table):
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
    document = read_toml(path)
    version = document.get("version")
    if isinstance(version, int) and version != VERSION:
        # Another version has other keys: one message says more than a list of keys that are unknown here.
        row = Problem("version", str(version), str(VERSION), _REMEDIES["version"])
        raise InvalidConfiguration(str(path), [row])
    return validate(DeviceMap, document, str(path), _REMEDIES).placed_in(path.parent)
