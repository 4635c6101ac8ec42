"""What the plant is asked for: a share of the rated current over time, positive is discharge."""

import math
from collections.abc import Callable
from typing import Protocol

import numpy as np

_DAY_S = 86_400.0


class Profile(Protocol):
    """Called once per step, in simulated time."""

    def __call__(self, time_s: float, dt_s: float, charge: float) -> float:
        """Share of the rated current, -1..1; `charge` is the mean charge of the closed racks, 0..1."""


class Rest:
    """Nothing."""

    def __call__(self, time_s: float, dt_s: float, charge: float) -> float:
        return 0.0


class FrequencyRegulation:
    """Two mean-reverting random walks of 60 s and 900 s, drawn back to half charge."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._fast = self._slow = 0.0

    def __call__(self, time_s: float, dt_s: float, charge: float) -> float:
        fast, slow = math.exp(-dt_s / 60), math.exp(-dt_s / 900)
        one, other = self._rng.standard_normal(2)
        self._fast = fast * self._fast + math.sqrt(1 - fast * fast) * float(one)
        self._slow = slow * self._slow + math.sqrt(1 - slow * slow) * float(other)
        return max(-1.0, min(1.0, 0.25 * self._fast + 0.35 * self._slow + 1.5 * (charge - 0.5)))


class PeakShaving:
    """Charges from 1 to 5 o'clock, discharges from 17 to 20; simulated time begins at noon."""

    def __call__(self, time_s: float, dt_s: float, charge: float) -> float:
        hour = (time_s % _DAY_S) / 3600 + 12
        hour -= 24 if hour >= 24 else 0
        if 1 <= hour < 5 and charge < 0.95:
            return -0.45
        return 0.6 if 17 <= hour < 20 and charge > 0.1 else 0.0


class FullCycle:
    """Full, half an hour of rest, empty, half an hour of rest, again and again; begins with charging."""

    def __init__(self) -> None:
        self._share, self._rest_s = -0.9, 0.0

    def __call__(self, time_s: float, dt_s: float, charge: float) -> float:
        if self._rest_s > 0:
            self._rest_s -= dt_s
            return 0.0
        if (self._share < 0 and charge >= 0.97) or (self._share > 0 and charge <= 0.04):
            self._share, self._rest_s = -self._share, 1800.0
            return 0.0
        return self._share


PROFILES: dict[str, Callable[[np.random.Generator], Profile]] = {
    "rest": lambda rng: Rest(),
    "frequency_regulation": FrequencyRegulation,
    "peak_shaving": lambda rng: PeakShaving(),
    "full_cycle": lambda rng: FullCycle(),
}
"""By the names that the site file knows."""
