"""How a set of delays is spread, in milliseconds."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

COUNTS_BELOW_MS = 1.0
"""A figure counts when the empty loop's p99.9 is below this."""


class Spread(NamedTuple):
    """Percentiles and the greatest, in ms."""

    number: int
    p50: float
    p99: float
    p999: float
    greatest: float

    @classmethod
    def of(cls, delays_s: Sequence[float]) -> "Spread":
        """Spread of delays in seconds."""
        values = np.asarray(delays_s) * 1e3
        p50, p99, p999 = np.percentile(values, (50, 99, 99.9))
        return cls(len(values), float(p50), float(p99), float(p999), float(values.max()))

    def __str__(self) -> str:
        return f"p50 {self.p50:.2f}, p99 {self.p99:.2f}, p99.9 {self.p999:.2f}, max {self.greatest:.2f} ms"


def verdict(ok: bool, empty: Spread) -> bool | None:
    """None where the machine itself was too late for the figure to count."""
    return ok if empty.p999 < COUNTS_BELOW_MS else None
