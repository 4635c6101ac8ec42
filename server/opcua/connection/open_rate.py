"""How many OpenSecureChannel requests one address may make: each costs RSA operations."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable

MAXIMUM_ADDRESSES = 1000


class OpenRate:
    """Token bucket per address. Above the rate a request waits; the wait is told, not slept, here."""

    def __init__(self, per_second: float, burst: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._per_second = per_second
        self._burst = burst
        self._clock = clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()
        """address -> (tokens left, time of that count); below zero tokens are owed by requests that wait already."""

    def delay_s(self, address: str) -> float:
        """Take one token; seconds to wait before the request may be served."""
        now = self._clock()
        tokens, since = self._buckets.pop(address, (float(self._burst), now))
        tokens = min(tokens + (now - since) * self._per_second, self._burst) - 1
        self._buckets[address] = (tokens, now)
        while len(self._buckets) > MAXIMUM_ADDRESSES:
            self._buckets.popitem(last=False)
        return max(0.0, -tokens / self._per_second)
