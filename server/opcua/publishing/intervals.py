"""Revision of what clients ask for: sampling and publishing intervals, keep-alive and lifetime counts."""

import math
from typing import NamedTuple

STEPS = (1, 2, 5, 10, 20, 50, 100, 600)
"""Sampling intervals in image periods: 100, 200, 500 ms, 1, 2, 5, 10, 60 s at 100 ms."""
PUBLISHING_STEP_MS = 50.0
FASTEST_PUBLISHING_MS, SLOWEST_PUBLISHING_MS = 100.0, 3_600_000.0
LONGEST_LIFETIME_MS = 3_600_000.0
DEFAULT_KEEP_ALIVE, MOST_KEEP_ALIVE = 10, 10_000
SMALLEST_LIFETIME = 3
"""Times the keep-alive count (OPC 10000-4, 5.14.2)."""


def sampling_steps(requested_ms: float, publishing_ms: float, period_ms: float, fastest_ms: float = 0.0) -> int:
    """Sampling interval in image periods: the next of `STEPS`, the last where none is long enough.

    Negative means the publishing interval, 0 or NaN the fastest (OPC 10000-4, 7.21).
    """
    wanted = 0.0 if math.isnan(requested_ms) else publishing_ms if requested_ms < 0 else requested_ms
    wanted = max(wanted, fastest_ms)
    return next((step for step in STEPS if step * period_ms >= wanted - 1e-6), STEPS[-1])


class Timing(NamedTuple):
    """Revised parameters of a subscription."""

    interval_ms: float
    lifetime: int
    keep_alive: int


def subscription_timing(interval_ms: float, lifetime: int, keep_alive: int, period_ms: float) -> Timing:
    """Publishing interval, lifetime and keep-alive count that the server keeps (OPC 10000-4, 5.14.2).

    The interval is a multiple of 50 ms and not shorter than 100 ms or the image period, because nothing new is there
    to be published; a lifetime is at most an hour, unless three intervals are longer.
    """
    fastest = max(FASTEST_PUBLISHING_MS, math.ceil(period_ms / PUBLISHING_STEP_MS) * PUBLISHING_STEP_MS)
    wanted = interval_ms if interval_ms > 0 else 0.0  # NaN included
    interval = math.ceil(min(wanted, SLOWEST_PUBLISHING_MS) / PUBLISHING_STEP_MS - 1e-9) * PUBLISHING_STEP_MS
    interval = max(interval, fastest)
    longest = max(SMALLEST_LIFETIME, int(LONGEST_LIFETIME_MS / interval))
    keep = min(keep_alive or DEFAULT_KEEP_ALIVE, MOST_KEEP_ALIVE, longest // SMALLEST_LIFETIME)
    return Timing(interval, max(SMALLEST_LIFETIME * keep, min(lifetime, longest)), keep)
