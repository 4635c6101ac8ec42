"""What the contactors of each rack say: positions, and whether anything may be believed."""

import numpy as np
from numpy.typing import NDArray

from information_model.enumerations import DoublePoint
from information_model.points.row import Level
from server.core.board import Board

Flags = NDArray[np.bool_]
CONTACTORS = ("Positive", "Negative", "Precharge")


class Feedback:
    """Positions of this cycle, [racks]; a rack whose positions are not known is neither closed nor open."""

    def __init__(self, board: Board, racks: int) -> None:
        self._board = board
        self.names = tuple(
            name for name in CONTACTORS if board.view(Level.RACK, f"Contactors.{name}.Position") is not None
        )
        self.is_closed: dict[str, Flags] = {name: np.zeros(racks, np.bool_) for name in self.names}
        self.is_open: dict[str, Flags] = {name: np.zeros(racks, np.bool_) for name in self.names}
        self.known = np.zeros(racks, np.bool_)
        """Every contactor that the rack has stands in a definite position."""
        self.closed = np.zeros(racks, np.bool_)
        """Both main contactors are closed."""
        self.opened = np.zeros(racks, np.bool_)
        """All contactors are open."""

    def step(self) -> None:
        """Take the positions of this cycle."""
        if not self.names:
            return
        known = np.ones_like(self.known)
        opened, closed = known.copy(), known.copy()
        for name in self.names:
            view = self._board.view(Level.RACK, f"Contactors.{name}.Position")
            assert view is not None
            self.is_closed[name] = view.good & (view.value == DoublePoint.CLOSED)
            self.is_open[name] = view.good & (view.value == DoublePoint.OPEN)
            known &= self.is_closed[name] | self.is_open[name]
            opened &= self.is_open[name]
            if name != "Precharge":
                closed &= self.is_closed[name]
        self.known, self.closed, self.opened = known, closed, opened
