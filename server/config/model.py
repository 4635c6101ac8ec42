"""The site file: one TOML file describes one system. Strict: an unknown key or a wrong type is an error.

The format carries `version = 1` and is frozen in docs/formats.md; a later version comes with a migration.
"""

import ipaddress
import re
from datetime import date
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PlainValidator

from information_model.enumerations import CellChemistry
from information_model.topology import RackShape

VERSION = 1
REMEDIES = {"version": f"This program reads site files of version {VERSION}."}
"""Better remedies than the general ones, by key."""

PLACEHOLDERS = ("{run}", "{site}")
"""What the options of a bus may hold: the run directory, and the folder of the site file."""

_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")
_LONGEST_HOST = 253


class Section(BaseModel):
    """Base of all sections: immutable, nothing beside the named keys, every number finite."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


def numbers(text: str) -> list[int]:
    """Numbers of a list such as `1-12,15`, in its order; ValueError says what is wrong."""
    found: list[int] = []
    for part in text.replace(" ", "").split(","):
        match = re.fullmatch(r"([0-9]{1,3})(?:-([0-9]{1,3}))?", part)
        first, last = (int(match[1]), int(match[2] or match[1])) if match else (0, 0)
        if not 1 <= first <= last:
            raise ValueError(f"numbers of 1 to 999 and ranges such as 1-12,15 | {part!r} is neither.")
        found += range(first, last + 1)
    return found


def _readable(text: str) -> str:
    numbers(text)
    return text


def _day(text: str) -> str:
    if text:
        try:
            date.fromisoformat(text)
        except ValueError:
            raise ValueError("a day such as 2026-05-31 | Write year, month and day.") from None
    return text


def _option(value: object) -> object:
    # A union of types would be told as one mistake per type.
    if not isinstance(value, str | int | float):
        raise ValueError("text, a number, true or false | Write a single value.")  # noqa: TRY004 - pydantic's way
    if isinstance(value, str) and re.search("[{}]", re.sub("|".join(PLACEHOLDERS), "", value)):
        raise ValueError(f"text in which only {' and '.join(PLACEHOLDERS)} have braces | Correct the placeholder.")
    return value


def _host(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        labels = text.removesuffix(".").split(".")
        if len(text) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)) or labels[-1].isdecimal():
            expected = "an IP address, or a host name of letters, digits, hyphens and dots"
            raise ValueError(f"{expected} | Write for example 0.0.0.0 for every interface, or 127.0.0.1.") from None
    return text


Numbers = Annotated[str, AfterValidator(_readable)]
Day = Annotated[str, Field(pattern=r"^(\d{4}-\d{2}-\d{2})?$"), AfterValidator(_day)]
Option = Annotated[str | int | float | bool, PlainValidator(_option)]
Host = Annotated[str, AfterValidator(_host)]
Positive = Annotated[float, Field(gt=0)]
Identifier = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,31}$")]


class Identity(Section):
    """Who made what: texts that the faces show and no program interprets."""

    name: str = ""
    manufacturer: str = ""
    model: str = ""
    serial_number: str = ""
    hardware_revision: str = ""
    software_revision: str = ""
    asset_id: str = ""
    location: str = ""
    commissioning_date: Day = ""
    manufacturing_date: Day = ""


class SiteSection(Identity):
    """The system as a whole. `id` names the IED, the topic and the application; it stands in no point id."""

    id: Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]{1,15}$")]
    rated_charge_power_w: Positive | None = None
    rated_discharge_power_w: Positive | None = None
    grid_voltage_v: Positive | None = None


class CellLimits(Section):
    """Voltages of one cell (V)."""

    nominal_v: Positive
    max_v: Positive
    min_v: Positive


CELL_LIMITS: dict[str, CellLimits] = {
    "LFP": CellLimits(nominal_v=3.2, max_v=3.65, min_v=2.5),
    "NMC": CellLimits(nominal_v=3.7, max_v=4.25, min_v=3.0),
}
"""Usual voltages by chemistry; the data sheet of the cell wins."""

CELL_RANGE: dict[str, tuple[float, float]] = {"LFP": (2.0, 3.8), "NMC": (2.5, 4.5)}
"""What a data sheet may say at all (V): beyond, a cell of the chemistry is deeply discharged or damaged by overcharge."""


class RackType(Section):
    """A kind of rack: what it is made of and what it may carry."""

    chemistry: Literal["LFP", "NMC"]
    modules: Annotated[int, Field(ge=1, le=99)]
    cells_per_module: Annotated[int, Field(ge=1, le=999)]
    probes_per_module: Annotated[int, Field(ge=0, le=999)]
    cells_in_parallel: Annotated[int, Field(ge=1)] = 1
    rated_capacity_ah: Positive
    max_charge_current_a: Positive
    max_discharge_current_a: Positive
    cell: CellLimits | None = None
    manufacturer: str = ""
    model: str = ""

    @property
    def limits(self) -> CellLimits:
        """Voltages of the cell: those given, else those usual for the chemistry."""
        return self.cell or CELL_LIMITS[self.chemistry]

    @property
    def shape(self) -> RackShape:
        """What the rack is made of."""
        return RackShape(self.modules, self.cells_per_module, self.probes_per_module)

    @property
    def cells_in_series(self) -> int:
        """Cells in series of the rack."""
        return self.modules * self.cells_per_module

    @property
    def max_voltage_v(self) -> float:
        """Highest voltage of the rack."""
        return self.cells_in_series * self.limits.max_v

    @property
    def nominal_voltage_v(self) -> float:
        """Nominal voltage of the rack."""
        return self.cells_in_series * self.limits.nominal_v

    @property
    def rated_energy_wh(self) -> float:
        """Rated energy of the rack."""
        return self.rated_capacity_ah * self.nominal_voltage_v

    @property
    def chemistry_code(self) -> CellChemistry:
        """Chemistry as the enumeration that the faces serve."""
        return CellChemistry[self.chemistry]


class Bus(Section):
    """A bus: the adapter that serves it, the field process that hosts the adapter, and what the adapter is told.

    A text in `options` may hold `{run}` (the run directory) and `{site}` (the folder of the site file), and no other braces.
    """

    adapter: Identifier
    process: Identifier = "field1"
    options: dict[str, Option] = {}


class Racks(Identity):
    """Racks of one array that are alike.

    `{array}` and `{rack}` stand for the numbers: in `bus` as they are (1, 12), in `serial_number` with the digits of the
    ids (01, 012).
    """

    numbers: Numbers
    type: Identifier
    bus: str
    map: str
    node: Annotated[int, Field(ge=0)] | None = None


class Array(Identity):
    """An array: what hangs on one DC bus."""

    number: Annotated[int, Field(ge=1, le=99)]
    racks: Annotated[list[Racks], Field(min_length=1)]


class CoreSection(Section):
    """The control cycle."""

    period_s: Annotated[float, Field(ge=0.02, le=1.0)] = 0.1
    lease_s: Annotated[float, Field(ge=0.5, le=10.0)] = 1.0
    closing_voltage_difference_v: Positive = 3.0
    break_current_share: Annotated[float, Field(gt=0, le=1)] = 0.02
    """Share of the rated current below which contactors may open under load in an ordinary opening."""


class OpcUaSection(Section):
    """The OPC UA face. `security_none` offers sessions without encryption: only for a closed test network.

    What is not given of `max_...` is as in `server.opcua.limits`.
    """

    enabled: bool = True
    host: Host = "0.0.0.0"  # noqa: S104 - the face serves the plant network; unknown clients are refused
    port: Annotated[int, Field(ge=0, le=65535)] = 4840
    security_none: bool = False
    host_names: list[Host] = []
    max_sessions: Annotated[int | None, Field(ge=1, le=1000)] = None
    max_connections: Annotated[int | None, Field(ge=1, le=5000)] = None
    max_connections_per_address: Annotated[int | None, Field(ge=1, le=5000)] = None
    max_subscriptions_per_session: Annotated[int | None, Field(ge=1, le=1000)] = None
    max_monitored_items_per_session: Annotated[int | None, Field(ge=1, le=500_000)] = None


class ArchiveSection(Section):
    """The archive. `max_size_gb` bounds the sample database; the oldest samples go first."""

    enabled: bool = True
    chunk_s: Annotated[int, Field(ge=60, le=3600)] = 300
    max_size_gb: Positive = 100.0


class SimulatorSection(Section):
    """The simulated plant that stands in for the hardware of this site."""

    seed: Annotated[int, Field(ge=0)] = 1
    profile: Literal["rest", "frequency_regulation", "peak_shaving", "full_cycle"] = "frequency_regulation"
    start_soc: Annotated[float, Field(ge=0, le=100)] = 50.0
    ambient_degc: float = 22.0
    connected: bool = False
    faults: str = ""
    """A file of scripted faults, beside the site file."""


class SiteFile(Section):
    """The whole file."""

    version: Literal[1]
    site: SiteSection
    rack_types: Annotated[dict[Identifier, RackType], Field(min_length=1)]
    buses: Annotated[dict[Identifier, Bus], Field(min_length=1)]
    arrays: Annotated[list[Array], Field(min_length=1, max_length=99)]
    thresholds: dict[Literal["system", "array", "rack"], dict[str, float]] = {}
    core: CoreSection = CoreSection()
    opcua: OpcUaSection = OpcUaSection()
    archive: ArchiveSection = ArchiveSection()
    simulator: SimulatorSection | None = None
