"""Derating curves: the share of the rated current that a quantity leaves. Proposals until the cell's data sheet.

Voltages in V of the highest (charging) or lowest (discharging) cell, temperatures in degC; between the points linear.
The curves end inside the alarm limits, so that a well-behaved inverter never meets them.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from information_model.enumerations import LimitReason

Curve = tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class Derating:
    """One curve: for charging or discharging, over which measurement, by chemistry, and the reason it gives."""

    charging: bool
    path: str
    curves: dict[str, Curve]
    reason: LimitReason


TABLE = (
    Derating(
        True,
        "Measurements.CellVoltageMax",
        {"LFP": ((3.50, 1.0), (3.58, 0.02), (3.60, 0.0)), "NMC": ((4.10, 1.0), (4.16, 0.2), (4.18, 0.0))},
        LimitReason.CELL_VOLTAGE,
    ),
    Derating(
        False,
        "Measurements.CellVoltageMin",
        {"LFP": ((2.80, 0.0), (2.92, 0.02), (3.00, 1.0)), "NMC": ((3.30, 0.0), (3.314, 0.1), (3.34, 1.0))},
        LimitReason.CELL_VOLTAGE,
    ),
    Derating(
        True,
        "Measurements.CellTemperatureMin",
        {"LFP": ((0.0, 0.0), (15.0, 1.0)), "NMC": ((-10.0, 0.0), (15.0, 1.0))},
        LimitReason.TEMPERATURE_LOW,
    ),
    Derating(
        True,
        "Measurements.CellTemperatureMax",
        {"LFP": ((45.0, 1.0), (55.0, 0.0)), "NMC": ((35.0, 1.0), (45.0, 0.0))},
        LimitReason.TEMPERATURE_HIGH,
    ),
    Derating(
        False,
        "Measurements.CellTemperatureMin",
        {"LFP": ((-20.0, 0.0), (10.0, 1.0)), "NMC": ((-20.0, 0.0), (5.0, 1.0))},
        LimitReason.TEMPERATURE_LOW,
    ),
    Derating(
        False,
        "Measurements.CellTemperatureMax",
        {"LFP": ((50.0, 1.0), (60.0, 0.0)), "NMC": ((35.0, 1.0), (45.0, 0.0))},
        LimitReason.TEMPERATURE_HIGH,
    ),
)


def share(curve: Curve, value: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share that the curve leaves at each value; nothing where the value is not known."""
    at, left = zip(*curve, strict=True)
    found: NDArray[np.float64] = np.interp(value, at, left)
    found[np.isnan(value)] = 0.0
    return found
