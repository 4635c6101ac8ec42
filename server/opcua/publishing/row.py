"""An item as a lane holds it, and the values of the enumerations that lanes compare with."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from server.opcua.publishing.columns import Array
from server.opcua.publishing.encoding import OVERFLOW

DISABLED, SAMPLING, REPORTING = 0, 1, 2
"""MonitoringMode (OPC 10000-4, 7.23)."""
STATUS, STATUS_VALUE, STATUS_VALUE_TIMESTAMP = 0, 1, 2
"""DataChangeTrigger (OPC 10000-4, 7.22.2)."""


class Image(Protocol):
    """What a lane needs of the image: value f8, status u4, source time i8 in ticks, each [slots]."""

    value: Array
    status: Array
    ticks: Array


class Entry(NamedTuple):
    """A queued scalar; `stamp` is the server's time of sampling in ticks."""

    value: float
    status: int
    ticks: int
    stamp: int


@dataclass(slots=True)
class Row:
    """An item as a lane takes it over: settings, last queued value, queued entries (oldest first)."""

    slot: int
    handle: int
    deadband: float = 0.0
    trigger: int = STATUS_VALUE
    mode: int = REPORTING
    size: int = 1
    oldest: bool = True
    value: float = float("nan")
    status: int = 0
    ticks: int = 0
    fresh: bool = True
    entries: Sequence[Entry] = ()


def cut(entries: Sequence[Entry], size: int, oldest: bool) -> list[Entry]:
    """Entries that stay when a queue shrinks, with the overflow bit next to the gap unless only one stays."""
    kept = list(entries)
    if len(kept) <= size:
        return kept
    if size == 1:
        return [kept[-1]]
    at = 0 if oldest else -1
    kept = kept[-size:] if oldest else [*kept[: size - 1], kept[-1]]
    kept[at] = kept[at]._replace(status=kept[at].status | OVERFLOW)
    return kept
