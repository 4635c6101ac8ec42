"""The shape of a line of the alarm tables."""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass
from enum import Enum, IntEnum

from information_model.points.row import Level
from information_model.quantities import Unit


class AlarmLevel(IntEnum):
    """The three levels of an alarm, and none. Only a trip latches and opens."""

    NONE = 0
    WARNING = 1
    LIMIT = 2
    TRIP = 3


class Side(Enum):
    """On which side of the threshold the alarm is active (>= for high, <= for low; deviation and rate: the magnitude)."""

    HIGH = "high"
    LOW = "low"
    OFF_NORMAL = "off_normal"
    DEVIATION = "deviation"
    RATE = "rate"


class Action(Enum):
    """The least that is done while the level is active (a trip: active or latched)."""

    LIMIT_CHARGE = "limit_charge"
    LIMIT_DISCHARGE = "limit_discharge"
    ZERO_CURRENT = "zero_current"
    OPEN_RACK = "open_rack"
    OPEN_ARRAY = "open_array"
    OPEN_SYSTEM = "open_system"


class ConditionClass(Enum):
    """Condition class of OPC 10000-9, 5.9; the value is its node in namespace 0."""

    PROCESS = 11164
    MAINTENANCE = 11165
    SYSTEM = 11166
    SAFETY = 17218


class Gate(Enum):
    """A condition without which a level does not count up."""

    AT_REST = "at_rest"
    CHARGING = "charging"
    CLOSED = "closed"
    CONNECT_REQUESTED = "connect_requested"


@dataclass(frozen=True, slots=True)
class Step:
    """One level of an alarm: threshold by chemistry (number or expression in the unit of the source), delay, severity.

    `severity` is the 1..1000 of OPC 10000-5, 6.4.2. `iec61850` names the setting that carries the threshold.
    """

    lfp: str
    nmc: str
    delay_s: float
    severity: int
    gate: Gate | None = None
    iec61850: str = ""


@dataclass(frozen=True, slots=True)
class Alarm:
    """One line: an alarm of one level of the plant with up to three levels of its own.

    Warning and limit are one condition, `Conditions.<name>`; a trip is `Conditions.<name>Trip`, or `Conditions.<name>`
    where it is the only level. `hysteresis` counts back from each threshold. The OPC UA type of a condition follows from
    side, levels and condition class. `parent` waits for the suppression of alarms: its alarm, of the same element or one
    above, will silence the notice of warning and limit, never a trip or an action.
    """

    level: Level
    name: str
    source: str
    side: Side
    _: KW_ONLY
    warning: Step | None = None
    limit: Step | None = None
    trip: Step | None = None
    unit: Unit | None = None
    hysteresis: str = "0"
    latching: bool = False
    on_limit: tuple[Action, ...] = ()
    limit_percent: float = 0.0
    on_trip: Action | None = None
    condition_class: ConditionClass = ConditionClass.PROCESS
    iec61850_warning: str = ""
    iec61850_alarm: str = ""
    sunspec: str = ""
    parent: str = ""
    text: str
    remedy: str

    def steps(self) -> Iterator[tuple[AlarmLevel, Step]]:
        """The levels that this alarm has, lowest first."""
        for level, step in ((AlarmLevel.WARNING, self.warning), (AlarmLevel.LIMIT, self.limit), (AlarmLevel.TRIP, self.trip)):
            if step is not None:
                yield level, step

    @property
    def has_level_condition(self) -> bool:
        """True where warning or limit exist: the condition `Conditions.<name>` is about them."""
        return self.warning is not None or self.limit is not None
