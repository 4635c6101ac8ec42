"""The command table: what may be asked of which element, by whom, under which permissives, and how long it may take.

A command names an intention and a target, never a wire. Every face turns its own form into one of these rows; the
core decides. `permissives` are points of the group `Permissives` (true permits) of the target and of its parents; one
that the site does not have is not required. Opening has none. A command answers when its log entry is durable, except
where `waits_for_disk` is false: opening never waits.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from information_model.enumerations import Authority
from information_model.points.row import Level
from information_model.roles import Role


class Effect(Enum):
    """What a command does in the core. Each has exactly one handler there; the core does not start without one.

    A new row never inherits an effect: what is not handled is refused, and above all never opens a rack.
    """

    CONNECT = "connect"
    OPEN = "open"
    OPEN_AT_ONCE = "open_at_once"
    OPEN_AND_DISABLE = "open_and_disable"
    ENABLE = "enable"
    ACKNOWLEDGE = "acknowledge"
    RESET = "reset"
    SET_AUTHORITY = "set_authority"


OPENING = (Effect.OPEN_AT_ONCE, Effect.OPEN, Effect.OPEN_AND_DISABLE)
"""Effects towards safety, the strongest first."""
MOVING = (Effect.CONNECT, *OPENING)
"""Effects that move contactors: of these only one is under way at an element."""


@dataclass(frozen=True, slots=True)
class Argument:
    """An input of a command: name, data type, smallest and largest value (a text: length)."""

    name: str
    data_type: str
    low: float
    high: float
    text: str


@dataclass(frozen=True, slots=True)
class Command:
    """One line: a command for the elements of `levels`. `timeout_s` is by level of the target."""

    name: str
    effect: Effect
    levels: tuple[Level, ...]
    roles: tuple[Role, ...]
    authorities: tuple[Authority, ...]
    timeout_s: Mapping[Level, float]
    text: str
    arguments: tuple[Argument, ...] = ()
    permissives: Mapping[Level, tuple[str, ...]] = field(default_factory=dict)
    iec61850: tuple[str, ...] = ()
    sunspec: str = ""
    waits_for_disk: bool = True


TABLE: tuple[Command, ...] = (
    Command(
        "Connect",
        Effect.CONNECT,
        levels=(
            Level.SYSTEM,
            Level.ARRAY,
            Level.RACK,
        ),
        roles=(
            Role.OPERATOR,
            Role.ENGINEER,
        ),
        authorities=(
            Authority.REMOTE,
            Authority.LOCAL,
        ),
        permissives={
            Level.RACK: (
                "CommunicationGood",
                "FeedbackFresh",
                "FirstFrameSeen",
                "NoTripActive",
                "Enabled",
                "NotInMaintenance",
                "InterlockClosed",
                "InsulationGood",
                "VoltageDifferenceGood",
                "CellVoltagesInRange",
                "TemperaturesInRange",
                "ContactorsHealthy",
                "PrechargeAvailable",
                "JournalWritable",
            ),
            Level.ARRAY: (
                "CommunicationGood",
                "NoTripActive",
                "NotInMaintenance",
                "NotBlocked",
                "EmergencyStopClear",
                "InterlockClosed",
                "FireSafe",
                "InsulationGood",
                "ContactorsHealthy",
                "AnyRackAvailable",
                "JournalWritable",
            ),
            Level.SYSTEM: (
                "NoTripActive",
                "NotInMaintenance",
                "NotBlocked",
                "EmergencyStopClear",
                "InterlockClosed",
                "FireSafe",
                "AnyRackAvailable",
                "JournalWritable",
                "NoForeignController",
            ),
        },
        iec61850=(
            "ESS/DSTO1.DEROpStCtl=2 sbo-with-enhanced-security",
            "ARR{a}/CSWI1.Pos=on sbo-with-enhanced-security",
            "ARR{a}R{r}/CSWI1.Pos=on sbo-with-enhanced-security",
        ),
        sunspec="802.SetOp=1;804.SetCon=1;803.StrSetCon=1",
        timeout_s={Level.RACK: 10, Level.ARRAY: 300, Level.SYSTEM: 600},
        text="Connects the element to its bus: racks one after another within the permitted voltage difference.",
    ),
    Command(
        "Disconnect",
        Effect.OPEN,
        levels=(
            Level.SYSTEM,
            Level.ARRAY,
            Level.RACK,
        ),
        roles=(
            Role.OPERATOR,
            Role.ENGINEER,
        ),
        authorities=(
            Authority.REMOTE,
            Authority.LOCAL,
            Authority.MAINTENANCE,
        ),
        iec61850=(
            "ESS/DSTO1.DEROpStCtl=3 sbo-with-enhanced-security",
            "ARR{a}/CSWI1.Pos=off sbo-with-enhanced-security",
            "ARR{a}R{r}/CSWI1.Pos=off sbo-with-enhanced-security",
        ),
        sunspec="802.SetOp=2;804.SetCon=2;803.StrSetCon=2",
        timeout_s={Level.RACK: 10, Level.ARRAY: 30, Level.SYSTEM: 60},
        waits_for_disk=False,
        text="Brings the current to zero and opens the contactors.",
    ),
    Command(
        "EmergencyDisconnect",
        Effect.OPEN_AT_ONCE,
        levels=(
            Level.SYSTEM,
            Level.ARRAY,
            Level.RACK,
        ),
        roles=(
            Role.OPERATOR,
            Role.ENGINEER,
        ),
        authorities=(
            Authority.REMOTE,
            Authority.LOCAL,
            Authority.MAINTENANCE,
        ),
        iec61850=("ESS/DSTO1.DEROpStCtl=4 sbo-with-enhanced-security",),
        timeout_s={Level.RACK: 5, Level.ARRAY: 5, Level.SYSTEM: 5},
        waits_for_disk=False,
        text="Opens at once; the break-current rule of the trip sequence still holds.",
    ),
    Command(
        "Enable",
        Effect.ENABLE,
        levels=(Level.RACK,),
        roles=(
            Role.ENGINEER,
            Role.OPERATOR,
        ),
        authorities=(
            Authority.REMOTE,
            Authority.LOCAL,
        ),
        permissives={
            Level.RACK: ("NotInMaintenance",),
        },
        iec61850=("ARR{a}R{r}/LLN0.Mod=1 direct-with-enhanced-security",),
        sunspec="804.SetEna=1;803.StrSetEna=1",
        timeout_s={Level.RACK: 5},
        text="Enables the rack for use.",
    ),
    Command(
        "Disable",
        Effect.OPEN_AND_DISABLE,
        levels=(Level.RACK,),
        roles=(
            Role.ENGINEER,
            Role.OPERATOR,
        ),
        authorities=(
            Authority.REMOTE,
            Authority.LOCAL,
            Authority.MAINTENANCE,
        ),
        iec61850=("ARR{a}R{r}/LLN0.Mod=5 direct-with-enhanced-security",),
        sunspec="804.SetEna=2;803.StrSetEna=2",
        timeout_s={Level.RACK: 15},
        waits_for_disk=False,
        text="Takes the rack out of use after opening it.",
    ),
    Command(
        "AcknowledgeAll",
        Effect.ACKNOWLEDGE,
        levels=(
            Level.SYSTEM,
            Level.ARRAY,
            Level.RACK,
        ),
        arguments=(Argument("Comment", "LocalizedText", 0, 1000, "The comment of the operator."),),
        roles=(
            Role.OPERATOR,
            Role.ENGINEER,
        ),
        authorities=(
            Authority.REMOTE,
            Authority.LOCAL,
            Authority.MAINTENANCE,
        ),
        timeout_s={Level.SYSTEM: 1, Level.ARRAY: 1, Level.RACK: 1},
        text="Acknowledges every alarm of the element and of the elements below it.",
    ),
    Command(
        "ResetAlarms",
        Effect.RESET,
        levels=(
            Level.SYSTEM,
            Level.ARRAY,
            Level.RACK,
        ),
        roles=(
            Role.ENGINEER,
            Role.OPERATOR,
        ),
        authorities=(
            Authority.LOCAL,
            Authority.REMOTE,
            Authority.MAINTENANCE,
        ),
        permissives={
            Level.RACK: (
                "TripCausesGone",
                "TripsAcknowledged",
                "ContactorsOpen",
            ),
            Level.ARRAY: (
                "TripCausesGone",
                "TripsAcknowledged",
            ),
            Level.SYSTEM: (
                "TripCausesGone",
                "TripsAcknowledged",
                "EmergencyStopClear",
            ),
        },
        iec61850=(
            "ESS/ISAF1.AlmRs=true direct-with-enhanced-security",
            "ESS/GGIO1.SPCSO1=true direct-with-enhanced-security",
        ),
        sunspec="802.AlmRst=1;715.AlarmReset=1",
        timeout_s={Level.RACK: 5, Level.ARRAY: 5, Level.SYSTEM: 5},
        text="Resets latched trips whose cause is gone and that are acknowledged.",
    ),
    Command(
        "SetAuthority",
        Effect.SET_AUTHORITY,
        levels=(
            Level.SYSTEM,
            Level.ARRAY,
            Level.RACK,
        ),
        arguments=(Argument("Authority", "Authority", 1, 3, "1 local, 2 remote, 3 maintenance."),),
        roles=(
            Role.ENGINEER,
            Role.OPERATOR,
        ),
        authorities=(
            Authority.LOCAL,
            Authority.REMOTE,
            Authority.MAINTENANCE,
        ),
        timeout_s={Level.RACK: 2, Level.ARRAY: 2, Level.SYSTEM: 2},
        text="Chooses who may command; to local only from the key switch or the console on site, never back remotely.",
    ),
)

BY_NAME: dict[str, Command] = {command.name: command for command in TABLE}
