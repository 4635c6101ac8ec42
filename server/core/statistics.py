"""How punctual the cycle is: lateness and duration of each, the greatest of the last minute, cycles skipped."""

import collections

WINDOW_S = 60.0


class CycleStatistics:
    """Filled by the owner of the loop; the points about the server read it. Times in seconds."""

    def __init__(self, period_s: float) -> None:
        self.period_s = period_s
        self.count = 0
        self.lateness_s = 0.0
        self.duration_s = 0.0
        self.overruns = 0
        self._minute: collections.deque[tuple[float, float]] = collections.deque(
            maxlen=max(1, int(WINDOW_S / period_s))
        )
        self._recent_overruns: collections.deque[int] = collections.deque()

    def add(self, lateness_s: float, duration_s: float) -> None:
        """One cycle is done."""
        self.count += 1
        self.lateness_s, self.duration_s = max(0.0, lateness_s), duration_s
        self._minute.append((self.lateness_s, duration_s))

    def overrun(self, skipped: int) -> None:
        """Cycles had to be left out because one took too long."""
        self.overruns += skipped
        self._recent_overruns.extend([self.count] * min(skipped, 1000))

    @property
    def overruns_recent(self) -> int:
        """Overruns of the last minute."""
        since = self.count - int(WINDOW_S / self.period_s)
        while self._recent_overruns and self._recent_overruns[0] < since:
            self._recent_overruns.popleft()
        return len(self._recent_overruns)

    @property
    def lateness_max_s(self) -> float:
        """Greatest lateness of the last minute."""
        return max((late for late, _ in self._minute), default=0.0)

    @property
    def duration_max_s(self) -> float:
        """Longest cycle of the last minute."""
        return max((duration for _, duration in self._minute), default=0.0)
