"""The shape of a line of the point tables."""

from dataclasses import KW_ONLY, dataclass
from enum import Enum

from information_model.enumerations import ENUMERATIONS
from information_model.quantities import Unit
from information_model.roles import Role


class Level(Enum):
    """A level of the plant; the value is its depth below the site."""

    SYSTEM = 0
    ARRAY = 1
    RACK = 2
    MODULE = 3


PLANT = (Level.SYSTEM, Level.ARRAY, Level.RACK)
"""The levels that are commanded and that carry alarms: all but the modules."""


class Kind(Enum):
    """Shape of a point: one number, a matrix [module, cell] or [module, probe] (one row of it in a module), or a text."""

    SCALAR = "scalar"
    CELLS = "cell_matrix"
    PROBES = "probe_matrix"
    TEXT = "text"


class Producer(Enum):
    """Where a point comes from: the program writes it (`information_model.producers` says which part), or not."""

    FIELD = "field"
    CONFIGURATION = "configuration"
    PROGRAM = "program"


class History(Enum):
    """Class of the archive: kept with each change, at a period, once a day, or not at all."""

    NONE = "none"
    CHANGE = "change"
    S1 = "1s"
    S10 = "10s"
    S60 = "60s"
    DAY = "day"

    @property
    def period_s(self) -> float:
        """Sampling period of the class; 0 for `change` and `none`."""
        return {"1s": 1.0, "10s": 10.0, "60s": 60.0, "day": 86400.0}.get(self.value, 0.0)


class Aggregation(Enum):
    """How history may be combined: a value of the moment, a stepped state, a counter."""

    INSTANTANEOUS = "instantaneous"
    STATE = "state"
    TOTAL = "total"


BUILT_IN: dict[str, int] = {
    "Boolean": 1, "Byte": 3, "UInt16": 5, "Int32": 6, "UInt32": 7, "Float": 10, "Double": 11, "String": 12, "DateTime": 13,
    "CellAddress": 7,
}  # fmt: skip
"""OPC UA built-in type of a data type that is no enumeration (OPC 10000-6, table 1). A cell address is a UInt32."""

ENUMERATION_TYPE = 6


@dataclass(frozen=True, slots=True)
class Point:
    """One line: a quantity of one level. Its id is `<element>.<group>.<name>` = `<element>.<path>`.

    `low` and `high` are the usual range (EURange): numbers, or expressions over configuration names
    (`information_model.expressions`); None where the type is a state or a text. `step` is the storage resolution,
    `deadband` the default of reports (0 = each change), `period_s` 0 = on change, `stale_after_s` 0 = no age limit of
    its own. `cdc` is the common data class of `iec61850` (IEC 61850-7-3); the IEC 61850 face will read it.
    """

    level: Level
    path: str
    data_type: str
    _: KW_ONLY
    text: str
    kind: Kind = Kind.SCALAR
    unit: Unit | None = None
    low: str | None = None
    high: str | None = None
    step: float = 1.0
    deadband: float = 0.0
    period_s: float = 0.0
    stale_after_s: float = 0.0
    history: History = History.CHANGE
    aggregation: Aggregation = Aggregation.STATE
    producer: Producer = Producer.PROGRAM
    iec61850: str = ""
    cdc: str = ""
    sunspec: str = ""
    write_role: Role | None = None

    @property
    def group(self) -> str:
        """Path of the object that holds the point below its element."""
        return self.path.rpartition(".")[0]

    @property
    def name(self) -> str:
        """Last part of the path: the browse name."""
        return self.path.rpartition(".")[2]

    @property
    def built_in(self) -> int:
        """OPC UA built-in type id of the value."""
        return ENUMERATION_TYPE if self.data_type in ENUMERATIONS else BUILT_IN[self.data_type]

    @property
    def is_enumeration(self) -> bool:
        """True where the values are codes of an enumeration."""
        return self.data_type in ENUMERATIONS
