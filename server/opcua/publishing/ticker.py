"""The one clock of publishing. A *tick* is an image period.

An image that is heard of is a tick, and the clock counts those that passed unheard before it. When none come, the time
makes the ticks, so that keep-alives, lifetimes and the news that everything has turned Bad do not depend on the core.
The work of a tick is done in slices, between which other tasks of the loop run.
"""

import asyncio
import time
from collections.abc import Callable, Iterator

SLICE_S = 0.010
"""After this much work other tasks get the loop."""
SILENCE_PERIODS = 2.5
"""Image periods without an image after which the time ticks instead."""
_DONE = object()


class Ticker:
    """Counts ticks and drives the work of each.

    `work` gives the steps of a tick, `next_due` the first tick at which there will be something to do again: those before
    are only counted. `silence` is asked when images are missing; False where nobody would notice.
    """

    def __init__(
        self,
        period_s: float,
        clock: Callable[[], float],
        work: Callable[[], Iterator[None]],
        silence: Callable[[], bool],
        next_due: Callable[[], float] = lambda: 0,
    ) -> None:
        self._period_s, self._clock, self._work, self._silence = period_s, clock, work, silence
        self._next_due = next_due
        self._rest_until = 0.0
        self.tick = 0
        self._last_s = clock()
        self._silent = False
        self._steps: Iterator[None] | None = None
        self._again = False
        self._left_over = asyncio.Event()

    def on_image(self) -> None:
        """An image is the tick. One that comes before the last tick is done with is worked on after it."""
        self._silent = False
        self._start()

    def finish(self) -> None:
        """Do what is left over to its end, for a caller who has nothing else to do meanwhile."""
        while self._steps is not None:
            self._advance()

    async def run(self) -> None:
        """Finish what is left over, whenever something is."""
        while True:
            await self._left_over.wait()
            self._left_over.clear()
            while self._steps is not None:
                self._advance()
                await asyncio.sleep(0)

    def rouse(self) -> None:
        """Something has changed: the next tick is worked on."""
        self._rest_until = 0

    @property
    def rest(self) -> float:
        """Ticks to come at which there is nothing to do."""
        return 0 if self._steps is not None else self._rest_until - self.tick - 1

    def step(self) -> float:
        """Tick if images have been missing for too long; returns the seconds until to look again.

        To be called only when none was heard of for the seconds that it returned last.
        """
        wait_s = self._patience_s() - (self._clock() - self._last_s)
        if wait_s > 0:
            return wait_s
        self._silent = True
        if self._silence():
            self._start()
        return self._patience_s()

    def _patience_s(self) -> float:
        return self._period_s * (1.0 if self._silent else SILENCE_PERIODS)

    def _start(self) -> None:
        now = self._clock()
        self.tick += max(1, round((now - self._last_s) / self._period_s))
        self._last_s = now
        if self._steps is not None:
            self._again = True
            return
        if self.tick < self._rest_until:
            return
        self._steps = self._work()
        self._advance()

    def _advance(self) -> None:
        """Work for a slice of time."""
        until = time.perf_counter() + SLICE_S
        while self._steps is not None:
            if next(self._steps, _DONE) is _DONE:
                self._steps = self._work() if self._again else None
                self._again = False
                self._rest_until = self._next_due()
            if time.perf_counter() >= until:
                break
        if self._steps is not None:
            self._left_over.set()
