"""The names that belong to each cell or probe matrix: its extremes in Measurements, their places in ExtremeCells."""

from typing import NamedTuple


class Names(NamedTuple):
    """`prefix` of the extremes (`CellVoltage` -> CellVoltageMax), `suffix` of their places (`Voltage` -> HighestVoltage)."""

    prefix: str
    suffix: str


MATRICES = {
    "CellVoltages": Names("CellVoltage", "Voltage"),
    "CellTemperatures": Names("CellTemperature", "Temperature"),
}


def extremes(matrix: str) -> dict[str, str]:
    """Path of each extreme of a matrix -> path of the address of its cell."""
    prefix, suffix = MATRICES[matrix]
    return {
        f"Measurements.{prefix}Max": f"ExtremeCells.Highest{suffix}",
        f"Measurements.{prefix}Min": f"ExtremeCells.Lowest{suffix}",
    }
