"""The time of a cycle: read once, handed to every stage."""

from typing import NamedTuple


class Now(NamedTuple):
    """Monotonic and UTC time of a cycle (ns), the offset between them, the period (s), the time epoch."""

    mono_ns: int
    utc_ns: int
    offset_ns: int
    period_s: float
    epoch: int = 0
