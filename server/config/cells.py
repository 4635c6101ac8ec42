"""Voltages of a cell in the site file: possible for its chemistry, and in their order."""

from collections.abc import Mapping
from itertools import pairwise

from information_model.validation import Problem
from server.config.model import CELL_RANGE
from server.config.sections import CellRow

_ASCENDING = ("min_v", "nominal_v", "max_v")


def check_cells(cells: Mapping[str, CellRow], mistakes: list[Problem]) -> None:
    """Every voltage lies where a cell of the chemistry can be; the order is judged of those that do."""
    for name, cell in cells.items():
        key, volts = f"rack_types.{name}.cell", dict(cell.volts)
        if cell.chemistry is not None:
            low, high = CELL_RANGE[cell.chemistry]
            for impossible in [row for row, value in volts.items() if not low <= value <= high]:
                expected = f"{low:g} to {high:g} V, the range of {cell.chemistry} cells"
                remedy = "Take the voltage of one cell from its data sheet."
                mistakes.append(Problem(f"{key}.{impossible}", f"{volts.pop(impossible):g}", expected, remedy))
        for lower, higher in pairwise(row for row in _ASCENDING if row in volts):
            if volts[lower] >= volts[higher]:
                expected = f"more than {lower}, which is {volts[lower]:g}"
                remedy = "Write min_v below nominal_v below max_v."
                mistakes.append(Problem(f"{key}.{higher}", f"{volts[higher]:g}", expected, remedy))
