"""What stands in the payload of an event record: one structure with a version per kind, as JSON."""

import enum
from typing import Any

import msgspec

from server.runtime.segment import MAX_PAYLOAD, Record


class RecordKind(enum.IntEnum):
    """Kinds of event records; the numbers outlive a release."""

    CORE_STARTED = 1
    CORE_STOPPED = 2
    ALARM = 3
    COMMAND = 4
    OUTCOME = 5
    MODE = 6
    NOTE = 7
    CLOCK_STEPPED = 8
    AUDIT = 9
    ACKNOWLEDGE = 10
    SETTING = 11
    HEALTH = 12
    ANCHOR = 13


class StartRecord(msgspec.Struct, frozen=True):
    """The core starts or stops; `unclean` says that the last stop was none."""

    version: str = ""
    configuration_hash: str = ""
    catalogue_hash: str = ""
    unclean: bool = False


class AlarmRecord(msgspec.Struct, frozen=True):
    """A transition of an alarm. `level` 0 none, 1 warning, 2 limit, 3 trip; `location` is a CellAddress, 0 unknown."""

    element: str
    alarm: str
    level: int
    condition: str
    active: bool
    acked: bool = False
    latched: bool = False
    value: float | None = None
    severity: int = 0
    count: int = 0
    location: int = 0
    text: str = ""


class CommandRecord(msgspec.Struct, frozen=True):
    """A command as it was asked for, before it was judged."""

    id: str
    sequence: int
    command: str
    target: str
    arguments: dict[str, Any] = {}
    user: str = ""
    roles: list[str] = []
    origin: str = "remote"
    face: str = ""
    peer: str = ""
    test: bool = False


class OutcomeRecord(msgspec.Struct, frozen=True):
    """What became of a command: accepted, refused, done or failed."""

    id: str
    sequence: int
    command: str
    target: str
    outcome: str
    reason: str = ""
    permissives: list[str] = []
    message: str = ""


class ModeRecord(msgspec.Struct, frozen=True):
    """A state machine of an element went from one state to another."""

    element: str
    machine: str
    old: str
    new: str
    reason: str = ""


class NoteRecord(msgspec.Struct, frozen=True):
    """A remark of an operator."""

    user: str
    text: str
    element: str = ""


class ClockRecord(msgspec.Struct, frozen=True):
    """UTC was stepped; `epoch` is the time epoch that begins."""

    old_utc_ns: int
    new_utc_ns: int
    step_ns: int
    epoch: int


class AuditRecord(msgspec.Struct, frozen=True):
    """A matter of security: log-in, rejected certificate, refused service."""

    face: str
    event: str
    user: str = ""
    peer: str = ""
    ok: bool = True
    detail: str = ""


class AckRecord(msgspec.Struct, frozen=True):
    """An alarm was acknowledged."""

    element: str
    alarm: str
    condition: str = ""
    user: str = ""
    comment: str = ""
    face: str = ""


class SettingRecord(msgspec.Struct, frozen=True):
    """A run-time setting was changed."""

    point: str
    old: Any
    new: Any
    user: str = ""
    face: str = ""


class HealthRecord(msgspec.Struct, frozen=True):
    """A process started, died, was restarted, filled its memory."""

    process: str
    event: str
    detail: str = ""


class AnchorRecord(msgspec.Struct, frozen=True):
    """An estimate was pulled to a measurement; percent or ampere hours as `kind` says."""

    element: str
    kind: str
    before: float
    after: float
    sigma: float


Payload = (
    StartRecord
    | AlarmRecord
    | CommandRecord
    | OutcomeRecord
    | ModeRecord
    | NoteRecord
    | ClockRecord
    | AuditRecord
    | AckRecord
    | SettingRecord
    | HealthRecord
    | AnchorRecord
)

TABLE: dict[RecordKind, tuple[type[Payload], int]] = {
    RecordKind.CORE_STARTED: (StartRecord, 1),
    RecordKind.CORE_STOPPED: (StartRecord, 1),
    RecordKind.ALARM: (AlarmRecord, 1),
    RecordKind.COMMAND: (CommandRecord, 1),
    RecordKind.OUTCOME: (OutcomeRecord, 1),
    RecordKind.MODE: (ModeRecord, 1),
    RecordKind.NOTE: (NoteRecord, 1),
    RecordKind.CLOCK_STEPPED: (ClockRecord, 1),
    RecordKind.AUDIT: (AuditRecord, 1),
    RecordKind.ACKNOWLEDGE: (AckRecord, 1),
    RecordKind.SETTING: (SettingRecord, 1),
    RecordKind.HEALTH: (HealthRecord, 1),
    RecordKind.ANCHOR: (AnchorRecord, 1),
}
"""Kind -> (structure, version written). A change of a structure is a new version with a reader for the old one."""

_ENCODER = msgspec.json.Encoder()
_DECODERS = {kind: msgspec.json.Decoder(structure) for kind, (structure, _) in TABLE.items()}
_SHORT = 200


class UnknownRecord(Exception):  # noqa: N818 (a state of affairs, not a fault)
    """A record that this program cannot read: unknown kind, newer version or damaged payload. Skip it, do not stop."""


class RecordTooLargeError(ValueError):
    """A payload that stays above 4096 bytes although its texts were shortened."""


def version_of(kind: RecordKind) -> int:
    """The version that `encode` writes for a kind."""
    return TABLE[kind][1]


def encode(kind: RecordKind, content: Payload) -> bytes:
    """The payload, at most 4096 bytes: long texts are cut to 200 characters with an ellipsis where it would be longer.

    TypeError for the structure of another kind; RecordTooLargeError when cutting texts is not enough.
    """
    expected = TABLE[kind][0]
    if not isinstance(content, expected):
        raise TypeError(f"record {kind.name} takes {expected.__name__}, given {type(content).__name__}")
    payload = _ENCODER.encode(content)
    if len(payload) <= MAX_PAYLOAD:
        return payload
    payload = _ENCODER.encode({name: _shortened(value) for name, value in msgspec.structs.asdict(content).items()})
    if len(payload) > MAX_PAYLOAD:
        raise RecordTooLargeError(f"record {kind.name}: {len(payload)} bytes, at most {MAX_PAYLOAD}")
    return payload


def _shortened(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _SHORT:
        return value[: _SHORT - 1] + "…"
    return value


def decode(record: Record) -> Payload:
    """The structure in a record. UnknownRecord says why it cannot be read."""
    try:
        kind = RecordKind(record.kind)
    except ValueError:
        raise UnknownRecord(f"record {record.number}: kind {record.kind} is unknown to this program") from None
    if record.version > TABLE[kind][1]:
        raise UnknownRecord(
            f"record {record.number}: {kind.name} of version {record.version}, "
            f"this program reads up to version {TABLE[kind][1]}"
        )
    try:
        return _DECODERS[kind].decode(record.payload)
    except msgspec.MsgspecError as error:
        raise UnknownRecord(f"record {record.number}: {kind.name} cannot be read: {error}") from None
