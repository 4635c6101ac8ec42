"""Open-circuit voltage of a cell over its state of charge, by chemistry.

LFP: mean of the charge and discharge branch of a 1.2 Ah cell at 25 degC, thinned (data of the repository
LFP-SOC-Estimation-Fisher-Information-Fusion, MIT). NMC: LG M50 5 Ah, thinned (data of PyBOP, BSD-3-Clause). A cell of its
own brings its own table later.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_LFP = (
    (0, 2.3806), (1, 2.8092), (2, 2.9226), (3, 2.9959), (5, 3.0945), (7.5, 3.1747), (10, 3.2032), (15, 3.2151),
    (20, 3.2401), (25, 3.2602), (30, 3.2757), (35, 3.2865), (40, 3.2943), (50, 3.2982), (60, 3.3017), (65, 3.3046),
    (70, 3.3110), (75, 3.3271), (80, 3.3356), (90, 3.3393), (95, 3.3426), (97.5, 3.3512), (99, 3.3969), (100, 3.5760),
)  # fmt: skip
_NMC = (
    (0, 2.8723), (1, 2.9605), (2, 3.0280), (3, 3.0956), (5, 3.2001), (7, 3.2536), (10, 3.3239), (15, 3.4081),
    (20, 3.4647), (25, 3.5198), (30, 3.5688), (40, 3.6312), (50, 3.6935), (60, 3.8064), (70, 3.9074), (80, 4.0013),
    (90, 4.0848), (95, 4.1080), (100, 4.1753),
)  # fmt: skip

TABLES: dict[str, Floats] = {"LFP": np.array(_LFP).T, "NMC": np.array(_NMC).T}
"""Chemistry -> [2, n]: state of charge in percent, voltage in V, both rising."""

VOLTAGE_SIGMA_V = {"LFP": 0.010, "NMC": 0.010}
"""Hysteresis, relaxation and sensor together: how far a rested voltage may be from the curve."""


def state_of_charge(chemistry: str, voltage_v: Floats, doubt_v: float = 0.0) -> tuple[Floats, Floats]:
    """State of charge (percent) of rested cells and its standard deviation.

    The deviation follows from the slope of the curve: wide on a plateau, where a millivolt says little. `doubt_v` is how
    much further the voltage may be from the open-circuit one, because a load stands on the cells.
    """
    charge, voltage = TABLES[chemistry]
    found = np.interp(voltage_v, voltage, charge)
    spread = VOLTAGE_SIGMA_V[chemistry] + doubt_v
    low, high = np.interp(voltage_v - spread, voltage, charge), np.interp(voltage_v + spread, voltage, charge)
    sigma = np.maximum((high - low) / 2, 2.0)
    return np.where(np.isnan(voltage_v), np.nan, found), np.where(np.isnan(voltage_v), np.nan, sigma)
