"""Faults of the simulated plant: from a file, at their times, or injected by hand.

version = 1

[[fault]]
at = 60.0                      # s after the start of the plant
for = 10.0                     # s; for ever where absent
rack = "ESS.ARR01.R001"
kind = "cell_over_voltage"     # one of the table KINDS below
cell = 17                      # from 1, where the kind has a cell
value = 3.8                    # where the kind has a value; each has a default
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from adapters.simulator.description import PlantDescription
from adapters.simulator.effects import Effects
from adapters.simulator.rack import NEGATIVE, POSITIVE, PRECHARGE
from information_model.validation import InvalidConfiguration, Problem, read_toml, validate

ACTIVE_LIMIT = 1000
_READINGS = ("cell_fixed_v", "cell_offset_v", "cell_stuck", "cell_invalid")
_CONTACTORS = {"positive": POSITIVE, "negative": NEGATIVE, "precharge": PRECHARGE}


class Fault(BaseModel):
    """One fault. `cell` and `probe` count from 1; `for_s` None is for ever."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False, populate_by_name=True)

    at_s: Annotated[float, Field(alias="at", ge=0)] = 0.0
    for_s: Annotated[float | None, Field(alias="for", gt=0)] = None
    rack: str
    kind: str
    cell: Annotated[int, Field(ge=1)] = 1
    probe: Annotated[int, Field(ge=1)] = 1
    value: float | None = None
    contactor: Literal["positive", "negative", "precharge"] = "positive"


class FaultFile(BaseModel):
    """The whole file."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    version: Literal[1]
    fault: list[Fault] = []


class Place(NamedTuple):
    """A fault's rack, cell and probe as indices into the plant's vectors."""

    rack: int
    cell: int
    probe: int


Apply = Callable[[Effects, Place, float, int], None]


class Kind(NamedTuple):
    """One kind of fault: its default value (with unit), what it does, and what it means."""

    default: float
    apply: Apply
    text: str


def _array(name: str, of: Literal["cell", "probe", "rack"]) -> Apply:
    """Writes the value into the place of a cell, probe or rack in an array of Effects."""

    def apply(effects: Effects, place: Place, value: float, contactor: int) -> None:
        array: NDArray[Any] = getattr(effects, name)
        array[getattr(place, of)] = value
        effects.any_cell = effects.any_cell or name in _READINGS

    return apply


def _set_defect(effects: Effects, place: Place, name: str, value: object) -> None:
    changed: dict[str, Any] = {name: value}
    effects.defects[place.rack] = replace(effects.defects[place.rack], **changed)


def _defect(name: str) -> Apply:
    def apply(effects: Effects, place: Place, value: float, contactor: int) -> None:
        _set_defect(effects, place, name, True)

    return apply


def _contacts(name: str) -> Apply:
    def apply(effects: Effects, place: Place, value: float, contactor: int) -> None:
        before = getattr(effects.defects[place.rack], name)
        after = tuple(state or number == contactor for number, state in enumerate(before))
        _set_defect(effects, place, name, after)

    return apply


def _nothing(effects: Effects, place: Place, value: float, contactor: int) -> None:
    """A glitch is no state: it is one sample (see FaultSchedule.glitches)."""


KINDS: dict[str, Kind] = {
    "cell_over_voltage": Kind(3.8, _array("cell_fixed_v", "cell"), "a cell reads this voltage (V)"),
    "cell_under_voltage": Kind(2.2, _array("cell_fixed_v", "cell"), "a cell reads this voltage (V)"),
    "offset_cell": Kind(0.05, _array("cell_offset_v", "cell"), "the reading of a cell is off by this (V)"),
    "stuck_cell": Kind(1, _array("cell_stuck", "cell"), "the reading of a cell does not change any more"),
    "bad_cell": Kind(1, _array("cell_invalid", "cell"), "a cell is marked as not available"),
    "glitch": Kind(66.0, _nothing, "one sample of a cell reads this voltage (V), as far as the wire can say it"),
    "internal_short": Kind(5.0, _array("leak_a", "cell"), "a cell loses this current beside the string (A)"),
    "thermal_runaway": Kind(2000.0, _array("heater_w", "cell"), "a cell produces this heat (W)"),
    "over_temperature": Kind(65.0, _array("probe_fixed_degc", "probe"), "a probe reads this temperature (degC)"),
    "current_offset": Kind(5.0, _array("current_offset_a", "rack"), "the current reads this much too high (A)"),
    "silence": Kind(1, _array("silent", "rack"), "the rack sends nothing"),
    "crc_errors": Kind(1, _array("wrong_crc", "rack"), "the rack's check sums are wrong"),
    "frozen_counter": Kind(1, _array("frozen_counter", "rack"), "the rack's alive counters stand still"),
    "weld": Kind(1, _contacts("welded"), "a contactor does not open"),
    "no_close": Kind(1, _contacts("blocked"), "a contactor does not close"),
    "precharge_open": Kind(1, _defect("precharge_open"), "the precharge resistor is broken"),
    "interlock_open": Kind(1, _defect("interlock_open"), "the interlock loop of the rack is open"),
    "fuse_open": Kind(1, _defect("fuse_open"), "the main fuse of the rack has opened"),
    "short_circuit": Kind(1, _defect("short_circuit"), "the rack's hardware reports a short circuit"),
}


def load_faults(path: Path, plant: PlantDescription) -> tuple[Fault, ...]:
    """The faults of a file; InvalidConfiguration with every mistake."""
    file = validate(FaultFile, read_toml(path), str(path))
    problems = [
        replace(row, key=f"fault[{number}].{row.key}")
        for number, fault in enumerate(file.fault, 1)
        for row in mistakes(fault, plant)
    ]
    if problems:
        raise InvalidConfiguration(str(path), problems)
    return tuple(file.fault)


def mistakes(fault: Fault, plant: PlantDescription) -> list[Problem]:
    """What in a fault does not fit the plant."""
    found: list[Problem] = []
    if fault.kind not in KINDS:
        found.append(Problem("kind", repr(fault.kind), f"one of {', '.join(KINDS)}", "Correct the kind."))
    rack = next((rack for rack in plant.racks if rack.element == fault.rack), None)
    if rack is None:
        known = ", ".join(rack.element for rack in plant.racks[:8])
        found.append(Problem("rack", repr(fault.rack), f"a simulated rack, for example {known}", "Correct the rack."))
    else:
        for key, given, most in (("cell", fault.cell, rack.shape.cells), ("probe", fault.probe, rack.shape.probes)):
            if given > max(most, 1):
                found.append(Problem(key, str(given), f"1 to {most}", "Correct the number."))
    return found


@dataclass
class _Active:
    fault: Fault
    begin_s: float
    end_s: float


class FaultSchedule:
    """Which faults are active; works out their effects when that changes."""

    def __init__(self, plant: PlantDescription, faults: Sequence[Fault] = ()) -> None:
        self._plant = plant
        shapes = [rack.shape for rack in plant.racks]
        self._cell = np.concatenate(([0], np.cumsum([shape.cells for shape in shapes]))).tolist()
        self._probe = np.concatenate(([0], np.cumsum([shape.probes for shape in shapes]))).tolist()
        self._rack = {rack.element: number for number, rack in enumerate(plant.racks)}
        self._rows: list[_Active] = []
        self._next_s = float("inf")
        self.effects = self._none()
        self.glitches: dict[int, float] = {}
        """Cell of the plant -> voltage of its next sample."""
        for fault in faults:
            self.add(fault, 0.0)

    def _none(self) -> Effects:
        return Effects.none(self._cell[-1], self._probe[-1], len(self._plant.racks))

    def add(self, fault: Fault, now_s: float) -> None:
        """Plan a fault, `at_s` from now. ValueError with every mistake, or when too many are planned."""
        wrong = mistakes(fault, self._plant)
        if wrong:
            raise ValueError("; ".join(f"{row.key}: {row.given}, expected {row.expected}" for row in wrong))
        if len(self._rows) >= ACTIVE_LIMIT:
            raise ValueError(f"more than {ACTIVE_LIMIT} faults: clear some first")
        begin = now_s + fault.at_s
        self._rows.append(_Active(fault, begin, float("inf") if fault.for_s is None else begin + fault.for_s))
        self._next_s = min(self._next_s, begin)

    def clear(self, rack: str | None = None) -> None:
        """Forget the faults of a rack, or all."""
        self._rows = [row for row in self._rows if rack is not None and row.fault.rack != rack]
        self._next_s = float("-inf")

    def step(self, now_s: float) -> bool:
        """Advance to `now_s`; True where `effects` are new."""
        if now_s < self._next_s:
            return False
        self._rows = [row for row in self._rows if row.end_s > now_s]
        self.effects = self._none()
        for row in list(self._rows):
            if row.begin_s <= now_s:
                self._apply(row)
        limits = [time for row in self._rows for time in (row.begin_s, row.end_s) if time > now_s]
        self._next_s = min(limits, default=float("inf"))
        return True

    def _apply(self, row: _Active) -> None:
        fault, kind = row.fault, KINDS[row.fault.kind]
        value = kind.default if fault.value is None else fault.value
        rack = self._rack[fault.rack]
        place = Place(rack, self._cell[rack] + fault.cell - 1, self._probe[rack] + fault.probe - 1)
        if fault.kind == "glitch":
            self.glitches[place.cell] = value
            self._rows.remove(row)
        kind.apply(self.effects, place, value, _CONTACTORS[fault.contactor])
