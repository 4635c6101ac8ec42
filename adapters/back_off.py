"""Pauses between attempts at something that may come back."""

import random

SHORTEST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 10.0


class BackOff:
    """Pauses between attempts: 0.1 s doubling to 10 s, each shortened by up to a half at random."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._pause_s = SHORTEST_PAUSE_S

    def next_pause_s(self) -> float:
        """The pause before the next attempt, in s."""
        pause, self._pause_s = self._pause_s, min(2 * self._pause_s, LONGEST_PAUSE_S)
        return pause * self._rng.uniform(0.5, 1.0)

    def reset(self) -> None:
        """After a success the next pause is the shortest again."""
        self._pause_s = SHORTEST_PAUSE_S
