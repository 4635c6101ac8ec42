"""What of a site file can be used, whatever is wrong in the rest of it.

The checks that follow the validation work on these parts. One that is wrong is None here: its mistake has been told, and
nothing that would only follow from it is told as well. Keys of lists count from 1, as in every message.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from information_model.topology import RackShape
from information_model.validation import Findings, Problem, examine
from server.config.model import Bus, CellLimits, RackType, Section, SimulatorSection, SiteFile, numbers

Table = Mapping[str, Any]
SectionModel = TypeVar("SectionModel", bound=Section)


@dataclass(frozen=True)
class RackRow:
    """A row `arrays.racks`: racks of one array that are alike."""

    key: str
    array: int | None
    """Number of the array; None also where another array has it."""
    numbers: tuple[int, ...]
    """Each number once; empty where they cannot be read."""
    type: str | None
    bus: str | None
    """With its placeholders."""
    map: str | None
    node: int | None
    node_is_stated: bool

    def bus_of(self, number: int) -> str | None:
        """Name of the bus of a rack of this row."""
        if self.bus is None or (self.array is None and "{array}" in self.bus):
            return None
        return self.bus.replace("{array}", str(self.array)).replace("{rack}", str(number))

    def bus_names(self) -> tuple[str, ...]:
        """Names of the buses of all racks of this row, each once."""
        some = self.numbers if self.bus is not None and "{rack}" in self.bus else (0,)
        return tuple(dict.fromkeys(name for number in some if (name := self.bus_of(number)) is not None))

    def node_of(self, number: int) -> int | None:
        """Node of a rack on its bus: the one stated, else its number. None where one is stated for several racks."""
        if not self.node_is_stated:
            return number
        return self.node if len(self.numbers) == 1 else None


@dataclass(frozen=True)
class CellRow:
    """What a rack type says of its cell; known where other keys of the type are wrong."""

    chemistry: str | None
    volts: Mapping[str, float]
    """Those of nominal_v, max_v and min_v that are right in themselves."""


@dataclass(frozen=True)
class Sections:
    """The parts from which racks, buses and thresholds follow."""

    rack_types: Mapping[str, RackType | None]
    shapes: Mapping[str, RackShape | None]
    """By rack type; known where only other keys of the type are wrong."""
    buses: Mapping[str, Bus | None]
    named: frozenset[str]
    """Of `rack_types` and `buses` those whose names are all there; a misspelt table may hold others."""
    unclear_buses: frozenset[str]
    """Those whose options are wrong in themselves: an adapter would miss there what has been told."""
    rows: tuple[RackRow, ...]
    cells: Mapping[str, "CellRow"]
    """By rack type, where the type says something of its cell."""
    thresholds: Mapping[str, Mapping[str, float | None]]
    """Scope -> name -> value of the thresholds that the file overrides; None for a value that is wrong in itself."""
    simulator: SimulatorSection | None
    """None where the file has none; a wrong key has its default here."""
    sound: bool
    """True where no key of rack types, buses and arrays is wrong."""

    def lacks_type(self, name: str) -> bool:
        """True where the file has no rack type of this name."""
        return "rack_types" in self.named and name not in self.rack_types

    def lacks_bus(self, name: str) -> bool:
        """True where the file has no bus of this name."""
        return "buses" in self.named and name not in self.buses


def read_sections(document: Table, findings: Findings[SiteFile], mistakes: list[Problem]) -> Sections:
    """The usable parts of a document that was validated with these `findings`; numbers given twice are told."""
    types, buses = _tables_in(document, "rack_types"), _tables_in(document, "buses")
    simulator = document.get("simulator")
    rack_types = {name: _section(RackType, table, findings, "rack_types", name) for name, table in types.items()}
    known_buses = {name: _section(Bus, table, findings, "buses", name) for name, table in buses.items()}
    return Sections(
        rack_types=rack_types,
        shapes={name: _shape(name, table, findings) for name, table in types.items()},
        buses=known_buses,
        named=frozenset(key for key in ("rack_types", "buses") if (key,) not in findings.spoilt),
        unclear_buses=frozenset(name for name in buses if findings.spoils("buses", name, "options")),
        rows=_rows(document, findings, mistakes),
        cells={name: _cell(name, table, findings) for name, table in types.items() if "cell" in table},
        thresholds={
            scope: {name: None if findings.spoils("thresholds", scope, name) else value for name, value in rows.items()}
            for scope, rows in _tables_in(document, "thresholds").items()
            if ("thresholds", scope, "[key]") not in findings.spoilt
        },
        simulator=_section(SimulatorSection, simulator, findings, "simulator") if isinstance(simulator, dict) else None,
        sound=not any(findings.spoils(key) for key in ("rack_types", "buses", "arrays")),
    )


def _table(value: object) -> Table:
    return value if isinstance(value, dict) else {}


def _tables(value: object) -> list[Table]:
    return [_table(item) for item in value] if isinstance(value, list) else []


def _tables_in(document: Table, key: str) -> dict[str, Table]:
    return {name: _table(table) for name, table in _table(document.get(key)).items()}


def _section(
    model: type[SectionModel], table: Table, findings: Findings[SiteFile], *location: str
) -> SectionModel | None:
    """The table as a section; what is wrong in it takes its default, and where there is none the section is None."""
    good = {
        key: value for key, value in table.items() if key in model.model_fields and not findings.spoils(*location, key)
    }
    return examine(model, good).model


def _shape(name: str, table: Table, findings: Findings[SiteFile]) -> RackShape | None:
    keys = ("modules", "cells_per_module", "probes_per_module")
    if any(key not in table or findings.spoils("rack_types", name, key) for key in keys):
        return None
    return RackShape(*(table[key] for key in keys))


def _cell(name: str, table: Table, findings: Findings[SiteFile]) -> CellRow:
    chemistry = None if findings.spoils("rack_types", name, "chemistry") else table.get("chemistry")
    given = _table(table["cell"])
    volts = {
        key: float(given[key])
        for key in CellLimits.model_fields
        if key in given and not findings.spoils("rack_types", name, "cell", key)
    }
    return CellRow(chemistry, volts)


def _rows(document: Table, findings: Findings[SiteFile], mistakes: list[Problem]) -> tuple[RackRow, ...]:
    found: list[RackRow] = []
    arrays: dict[int, str] = {}
    for i, array in enumerate(_tables(document.get("arrays"))):
        number = None if findings.spoils("arrays", i, "number") else array.get("number")
        key = f"arrays[{i + 1}]"
        if number is not None and arrays.setdefault(number, key) != key:
            expected, remedy = "a number that no other array has", f"{arrays[number]} has it already."
            mistakes.append(Problem(f"{key}.number", str(number), expected, remedy))
            number = None
        racks: set[int] = set()
        for j, row in enumerate(_tables(array.get("racks"))):
            usable = {name: value for name, value in row.items() if not findings.spoils("arrays", i, "racks", j, name)}
            given = _unique(f"{key}.racks[{j + 1}].numbers", usable.get("numbers"), racks, mistakes)
            found.append(
                RackRow(
                    key=f"{key}.racks[{j + 1}]",
                    array=number,
                    numbers=given,
                    type=usable.get("type"),
                    bus=usable.get("bus"),
                    map=usable.get("map"),
                    node=usable.get("node"),
                    node_is_stated="node" in row or findings.spoils("arrays", i, "racks", j, "node"),
                )
            )
    return tuple(found)


def _unique(key: str, text: str | None, taken: set[int], mistakes: list[Problem]) -> tuple[int, ...]:
    """Numbers of a row without those that another rack of the array has (`taken`, which grows)."""
    given = [] if text is None else numbers(text)
    unique: list[int] = []
    twice: list[int] = []
    for number in given:
        (twice if number in taken else unique).append(number)
        taken.add(number)
    if twice:
        expected = "numbers that no other rack of the array has"
        named = ", ".join(map(str, dict.fromkeys(twice)))
        mistakes.append(
            Problem(key, repr(text), expected, f"Each number names one rack for ever; {named} is given twice.")
        )
    return tuple(unique)
