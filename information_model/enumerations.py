"""Enumerations of point values; codes of the standards where one has them. Texts are what clients show."""

from enum import IntEnum


class DERState(IntEnum):
    """State of the resource (IEC 61850-7-420, DERStateKind)."""

    NOT_READY = 1
    STARTING = 2
    AVAILABLE = 3
    AUTHORISED = 4
    SYNCHRONISING = 5
    RUNNING = 6
    EMERGENCY_STOPPING = 7
    STOPPING = 8
    BLOCKED = 9
    MAINTENANCE = 10
    FAILED = 11
    UNKNOWN = 98


class OperatingState(IntEnum):
    """State of the connection of an element to its bus."""

    OFF = 0
    STANDBY = 1
    PRECHARGE = 2
    CLOSED = 3
    DERATED = 4
    OPENING = 5
    FAULT = 6
    MAINTENANCE = 7


class ChargeStatus(IntEnum):
    """SunSpec 802.ChaSt."""

    OFF = 1
    EMPTY = 2
    DISCHARGING = 3
    CHARGING = 4
    FULL = 5
    HOLDING = 6
    TESTING = 7


class DeviceHealth(IntEnum):
    """NAMUR NE 107 as in OPC 10000-100, DeviceHealthEnumeration."""

    NORMAL = 0
    FAILURE = 1
    CHECK_FUNCTION = 2
    OFF_SPEC = 3
    MAINTENANCE_REQUIRED = 4


class BehaviourMode(IntEnum):
    """IEC 61850-7-4, BehaviourModeKind."""

    ON = 1
    BLOCKED = 2
    TEST = 3
    TEST_BLOCKED = 4
    OFF = 5


class DoublePoint(IntEnum):
    """IEC 61850-7-3, Dbpos."""

    INTERMEDIATE = 0
    OPEN = 1
    CLOSED = 2
    BAD = 3


class ConnectionFailure(IntEnum):
    """SunSpec 804.ConFail."""

    NONE = 0
    BUTTON = 1
    GROUND_FAULT = 2
    VOLTAGE_RANGE = 3
    NOT_ENABLED = 4
    FUSE_OPEN = 5
    CONTACTOR = 6
    PRECHARGE = 7
    RACK_FAULT = 8


class DisabledReason(IntEnum):
    """SunSpec 803.StrDisRsn."""

    NONE = 0
    FAULT = 1
    MAINTENANCE = 2
    EXTERNAL = 3
    OTHER = 4


class BatteryType(IntEnum):
    """IEC 61850-7-420, BatteryTypeKind; SunSpec 802.Typ."""

    UNKNOWN = 0
    LEAD_ACID = 1
    NICKEL_METAL_HYDRIDE = 2
    NICKEL_CADMIUM = 3
    LITHIUM_ION = 4
    CARBON_ZINC = 5
    ZINC_CHLORIDE = 6
    ALKALINE = 7
    RECHARGEABLE_ALKALINE = 8
    SODIUM_SULPHUR = 9
    FLOW = 10
    NOT_KNOWN = 98
    OTHER = 99


class CellChemistry(IntEnum):
    """Chemistry of the cells of a rack."""

    UNKNOWN = 0
    LFP = 1
    NMC = 2
    NCA = 3
    LTO = 4
    SODIUM_ION = 5


class Authority(IntEnum):
    """Who may command."""

    LOCAL = 1
    REMOTE = 2
    MAINTENANCE = 3


class CommandOutcome(IntEnum):
    """What became of the last command."""

    NONE = 0
    ACCEPTED = 1
    REFUSED = 2
    DONE = 3
    FAILED = 4


class RefusalReason(IntEnum):
    """Why the last command was refused."""

    NONE = 0
    ROLE = 1
    AUTHORITY = 2
    PERMISSIVE = 3
    RANGE = 4
    BUSY = 5
    DUPLICATE = 6
    MODE = 7
    STALE_FEEDBACK = 8
    NOT_SUPPORTED = 9
    PROTECTION = 10


class LimitReason(IntEnum):
    """What narrows a current or power limit."""

    RATING = 0
    CELL_VOLTAGE = 1
    STATE_OF_CHARGE = 2
    TEMPERATURE_HIGH = 3
    TEMPERATURE_LOW = 4
    POWER_MODEL = 5
    RACK_LIMIT = 6
    ALARM = 7
    THERMAL_SYSTEM = 8
    RAMP = 9
    EMS_LIMIT = 10
    EMS_SILENT = 11
    COMMUNICATION = 12
    NOT_CONNECTED = 13
    BLOCKED = 14
    CHARGE_END = 15
    UNCERTAINTY = 16
    PARALLEL_SHARING = 17


class FallbackAction(IntEnum):
    """What is done when the controller falls silent."""

    HOLD = 0
    RAMP_TO_ZERO = 1
    OPEN = 2


class HeartbeatState(IntEnum):
    """State of the controller's heartbeat."""

    NEVER_SEEN = 0
    ALIVE = 1
    LATE = 2
    LOST = 3
    BACK_BUT_HELD = 4


class CommunicationState(IntEnum):
    """State of the communication with a device."""

    NEVER_SEEN = 0
    GOOD = 1
    LATE = 2
    LOST = 3
    REJECTED = 4


class StateOfChargeSource(IntEnum):
    """Where the state of charge comes from."""

    NONE = 0
    OPEN_CIRCUIT_START = 1
    COUNTING = 2
    MODEL = 3
    ANCHOR = 4
    DEVICE = 5
    MANUAL = 6


class EstimateState(IntEnum):
    """How far an estimate of health may be trusted."""

    NOT_ESTIMABLE = 0
    PRIOR = 1
    ESTIMATED = 2
    FULL_CYCLE_MEASURED = 3


class ChargePhase(IntEnum):
    """Phase of a charge."""

    IDLE = 0
    CONSTANT_CURRENT = 1
    TAPER = 2
    HOLD = 3
    TERMINATED = 4
    REST = 5


class BalancingState(IntEnum):
    """What balancing does."""

    OFF = 0
    IDLE = 1
    PASSIVE = 2
    ACTIVE = 3
    MEASURING_PAUSE = 4
    INHIBITED = 5


class BalancingInhibit(IntEnum):
    """What keeps balancing from working."""

    NONE = 0
    TEMPERATURE = 1
    VOLTAGE = 2
    SENSOR = 3
    ALARM = 4
    UNCERTAINTY = 5
    COMMUNICATION = 6


class ThermalMode(IntEnum):
    """Mode of the thermal system."""

    OFF = 0
    CIRCULATE = 1
    COOL = 2
    HEAT = 3
    DEHUMIDIFY = 4
    PREHEAT = 5
    AUTOMATIC = 6


class ActuatorState(IntEnum):
    """State of a pump, fan or machine."""

    OFF = 0
    RUNNING = 1
    FAULT = 2


class ClockSync(IntEnum):
    """IEC 61850-7-4, ClockSyncKind."""

    INTERNAL = 0
    LOCAL_AREA = 1
    GLOBAL = 2


class ClockSource(IntEnum):
    """IEC 61850-7-4, source of the time of a clock."""

    UNKNOWN = 1
    SNTP = 2
    PTP = 3
    IRIG_B = 4
    SUBSTATION_INTERNAL = 5


class AlarmState(IntEnum):
    """State of an alarm beside its Boolean: activity, acknowledgement and latch in one number."""

    NORMAL = 0
    ACTIVE = 1
    ACTIVE_ACKNOWLEDGED = 2
    RETURNED = 3
    LATCHED = 4
    LATCHED_ACKNOWLEDGED = 5


class Desired(IntEnum):
    """What is desired of a rack, from the core to the adapters; no data type of a point, so faces do not know it."""

    NOTHING = 0
    OPEN = 1
    CLOSED = 2


_ACRONYMS = frozenset({"LFP", "NMC", "NCA", "LTO", "SNTP", "PTP", "EMS", "IRIG", "B"})


def text_of(member: IntEnum) -> str:
    """What a client shows for a member: its name in words (`NOT_READY` -> "Not ready")."""
    words = [word if word in _ACRONYMS else word.lower() for word in member.name.split("_")]
    return words[0][0].upper() + " ".join(words)[1:]


ENUMERATIONS: dict[str, type[IntEnum]] = {
    kind.__name__: kind
    for kind in (
        DERState, OperatingState, ChargeStatus, DeviceHealth, BehaviourMode, DoublePoint, ConnectionFailure,
        DisabledReason, BatteryType, CellChemistry, Authority, CommandOutcome, RefusalReason, LimitReason,
        FallbackAction, HeartbeatState, CommunicationState, StateOfChargeSource, EstimateState, ChargePhase,
        BalancingState, BalancingInhibit, ThermalMode, ActuatorState, ClockSync, ClockSource, AlarmState,
    )
}  # fmt: skip
"""Every enumeration that a point may have as data type, by its name."""
