"""UTC from the monotonic clock: one offset, constant within a cycle, slewed for small errors, stepped for large ones.

UTC therefore rises strictly inside a time epoch, whatever is done to the wall clock. Ages, delays and periods use the
monotonic clock alone. Linux suspends CLOCK_MONOTONIC with the machine; compare with CLOCK_BOOTTIME to see that.
"""

import time
from collections.abc import Callable
from typing import NamedTuple

STEP_NS = 1_000_000_000
BRACKET_NS = 100_000
TRIES = 5
SLEW_PPM = 500


class Stepped(NamedTuple):
    """A step of the wall clock by more than 1 s: the new epoch, its size, UTC of `mono_ns` before and after."""

    epoch: int
    step_ns: int
    mono_ns: int
    before_utc_ns: int
    after_utc_ns: int


class Clock:
    """Both sources are injected and give nanoseconds.

    `not_before_ns` is the UTC of the newest record of the log: when the wall clock stands behind it, `behind_ns` is
    positive and the clock begins with a new epoch. `epoch` is the time epoch of the last run.
    """

    def __init__(
        self,
        mono: Callable[[], int] = time.monotonic_ns,
        wall: Callable[[], int] = time.time_ns,
        epoch: int = 0,
        not_before_ns: int = 0,
    ) -> None:
        self._mono, self._wall = mono, wall
        self._tick_ns, self.offset_ns, _ = self._measure()
        self.error_ns = 0
        self.behind_ns = max(0, not_before_ns - self.utc(self._tick_ns))
        self.epoch = epoch + (1 if self.behind_ns > 0 else 0)

    def utc(self, mono_ns: int) -> int:
        """UTC ns of a reading of the monotonic clock."""
        return mono_ns + self.offset_ns

    def _measure(self) -> tuple[int, int, bool]:
        """(monotonic ns, wall - monotonic, whether the bracket was narrow enough) of the narrowest of five tries."""
        best: tuple[int, int, int] | None = None
        for _ in range(TRIES):
            before = self._mono()
            wall = self._wall()
            after = self._mono()
            width = after - before
            if best is None or width < best[0]:
                best = (width, after, wall - (before + width // 2))
            if width <= BRACKET_NS:
                break
        assert best is not None
        return best[1], best[2], best[0] <= BRACKET_NS

    def tick(self) -> Stepped | None:
        """Once per cycle, before its first stamp. Stepped when the wall clock was set by more than 1 s.

        A preempted measurement keeps the offset. `error_ns` is what remains to be slewed: a point of its own.
        """
        now_ns, measured, narrow = self._measure()
        passed_ns, self._tick_ns = now_ns - self._tick_ns, now_ns
        if not narrow:
            return None
        error = measured - self.offset_ns
        if abs(error) > STEP_NS:
            before = self.utc(now_ns)
            self.offset_ns, self.error_ns = measured, 0
            self.epoch += 1
            return Stepped(self.epoch, error, now_ns, before, self.utc(now_ns))
        most = passed_ns * SLEW_PPM // 1_000_000
        move = max(-most, min(most, error))
        self.offset_ns += move
        self.error_ns = error - move
        return None
