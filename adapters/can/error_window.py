"""Share of rejected frames per message over the last ten seconds."""

import numpy as np
from numpy.typing import NDArray

SECONDS = 10
SHARE = 0.1
LEAST = 3
_NS = 1_000_000_000


class ErrorWindow:
    """Ring of one-second buckets per unit (one message of one source).

    A unit is *disturbed* while more than a tenth of its frames of the last ten seconds, and at least three, had to
    be rejected: single errors are dropped and forgotten, a message that is mostly wrong is as good as lost.
    """

    def __init__(self, units: int) -> None:
        self._total = np.zeros((SECONDS, units), np.int64)
        self._rejected = np.zeros((SECONDS, units), np.int64)
        self._second = -1
        self.disturbed: NDArray[np.bool_] = np.zeros(units, np.bool_)

    def add(self, unit: NDArray[np.intp], rejected: NDArray[np.bool_]) -> None:
        """Counts frames into the bucket of the present second (see `advance`)."""
        bucket = self._second % SECONDS
        units = self._total.shape[1]
        self._total[bucket] += np.bincount(unit, minlength=units)
        self._rejected[bucket] += np.bincount(unit[rejected], minlength=units)

    def advance(self, now_ns: int) -> None:
        """Moves on to the second of `now_ns`; time that goes backwards is ignored."""
        second = now_ns // _NS
        if second <= self._second:
            return
        passed = min(second - self._second, SECONDS)
        cleared = np.arange(second - passed + 1, second + 1) % SECONDS
        self._total[cleared] = self._rejected[cleared] = 0
        self._second = second

    def judge(self) -> NDArray[np.intp]:
        """Updates `disturbed`; returns the units that have become so."""
        rejected = self._rejected.sum(axis=0)
        disturbed = (rejected >= LEAST) & (rejected > SHARE * self._total.sum(axis=0))
        risen = np.flatnonzero(disturbed & ~self.disturbed)
        self.disturbed = disturbed
        return risen
