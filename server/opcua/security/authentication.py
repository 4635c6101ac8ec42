"""Checking passwords without holding the loop, and slowing down those who guess.

Wrong answers are delayed, never refused for good: locking an account would lock out the operator.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from server.opcua.limits import Limits
from server.users import User, UserDirectory, check_password, normalise

MAXIMUM_KEYS = 2000
PARALLEL_CHECKS = 2


@dataclass
class _Failures:
    count: int
    last_s: float


class FailureDelays:
    """How long the next answer to somebody who failed before is held back: 1, 2, 4 ... seconds after three failures."""

    def __init__(self, limits: Limits, clock: Callable[[], float] = time.monotonic) -> None:
        self._limits = limits
        self._clock = clock
        self._failures: OrderedDict[Hashable, _Failures] = OrderedDict()

    def failed(self, *keys: Hashable) -> None:
        """Count one failure for each key, such as the address and (address, user name)."""
        now = self._clock()
        for key in keys:
            entry = self._failures.pop(key, None)
            if entry is None or now - entry.last_s > self._limits.failure_memory_s:
                entry = _Failures(0, now)
            entry.count += 1
            entry.last_s = now
            self._failures[key] = entry
        while len(self._failures) > MAXIMUM_KEYS:
            self._failures.popitem(last=False)

    def succeeded(self, *keys: Hashable) -> None:
        """Forget the failures of these keys."""
        for key in keys:
            self._failures.pop(key, None)

    def delay_s(self, *keys: Hashable) -> float:
        """Seconds to hold the answer back: the longest of the keys."""
        now, longest = self._clock(), 0.0
        for key in keys:
            entry = self._failures.get(key)
            if entry is None or now - entry.last_s > self._limits.failure_memory_s:
                continue
            beyond = entry.count - self._limits.free_failures
            if beyond >= 0:
                longest = max(longest, min(2.0 ** min(beyond, 30), self._limits.maximum_delay_s))
        return longest


class Authenticator:
    """Answers "is this the password of that user?" with the same cost for known and unknown names."""

    def __init__(
        self,
        directory: UserDirectory,
        limits: Limits,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.directory = directory
        self.delays = FailureDelays(limits, clock)
        self._limits = limits
        self._sleep = sleep
        self._sleepers = 0
        self._waiting = 0
        # Two at most: one check takes 32 MB and most of a core for a tenth of a second.
        self._pool = ThreadPoolExecutor(PARALLEL_CHECKS, thread_name_prefix="scrypt")

    async def check(self, address: str, name: str, password: str | None) -> User | None:
        """The user when the password is right, else None after the delay that the failures so far have earned.

        `password` None means that it could not be decrypted: same cost, same answer.
        """
        name = normalise(name)
        keys = (address, (address, name))
        await self._hold_back(self.delays.delay_s(*keys))
        if self._waiting >= self._limits.delayed_answers:
            return None
        self._waiting += 1
        try:
            user = self.directory.find(name)
            right = await asyncio.get_running_loop().run_in_executor(
                self._pool, check_password, user if password is not None else None, password or ""
            )
        finally:
            self._waiting -= 1
        # Read again: the user may have been removed while the check ran.
        if not right or self.directory.find(name) != user:
            self.delays.failed(*keys)
            return None
        # Only the pair is forgotten: one known password must not wash an address clean.
        self.delays.succeeded((address, name))
        return user

    async def _hold_back(self, seconds: float) -> None:
        # Beyond the cap nobody waits; scrypt itself with two in parallel is the brake then.
        if seconds <= 0 or self._sleepers >= self._limits.delayed_answers:
            return
        self._sleepers += 1
        try:
            await self._sleep(seconds)
        finally:
            self._sleepers -= 1

    def close(self) -> None:
        """Let the worker threads end."""
        self._pool.shutdown(wait=False, cancel_futures=True)
