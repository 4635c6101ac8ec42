"""What the estimators read and write in one cycle: only points that the site has, with the quality of their inputs."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from information_model.points.row import Level
from server.core.board import Board
from server.core.now import Now
from server.core.working import Array


class Read(NamedTuple):
    """A rack quantity as an estimator may use it: NaN where it is Bad or absent."""

    value: NDArray[np.float64]
    time: NDArray[np.int64]


class Output:
    """Access of the estimators to the working image in one cycle."""

    def __init__(self, board: Board, now: Now) -> None:
        self._board, self.working, self.now = board, board.working, now
        self._racks = self.working.catalogue.topology.count(Level.RACK)

    def has(self, path: str) -> bool:
        """True where racks have the point."""
        return self.working.has(Level.RACK, path)

    def has_matrix(self, name: str) -> bool:
        """True where racks have the matrix."""
        return self.working.has(Level.RACK, f"CellData.{name}")

    def read(self, path: str) -> Read:
        """A rack quantity; all NaN where the site does not have it."""
        if not self.has(path):
            return Read(np.full(self._racks, np.nan), np.zeros(self._racks, np.int64))
        scalars = self.working.scalars(Level.RACK, path)
        return Read(np.where(scalars.good, scalars.value, np.nan), scalars.time.copy())

    def rack(self, path: str, value: Array, time: Array | int, missing: NDArray[np.bool_] | None = None) -> None:
        """Write a rack estimate; NaN (or `missing`) becomes Bad."""
        self.write(Level.RACK, path, value, time, missing)

    def write(
        self, level: Level, path: str, value: Array, time: Array | int, missing: NDArray[np.bool_] | None = None
    ) -> None:
        """Write an estimate of any level."""
        self._board.estimate(level, path, value, time, missing)
