"""Rows kept as columns: arrays that grow together, each an attribute of the name that it has in the table."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Columns:
    """A table of `count` rows. A subclass says in `columns` what they are called and of which type they are."""

    columns: ClassVar[dict[str, str]] = {}

    def __init__(self) -> None:
        self.count = 0
        self._store: dict[str, Array] = {name: np.zeros(0, kind) for name, kind in self.columns.items()}

    def _view(self) -> None:
        """The columns as far as they are in use, as attributes. To be called whenever `count` or the store has changed."""
        for name, column in self._store.items():
            setattr(self, name, column[: self.count])
        self._settle()

    def _settle(self) -> None:
        """What holds for all rows is decided once per change of rows, not once per use."""

    def _grow(self, more: int) -> int:
        """Make room for more rows, whose content is left to the caller; returns the number of the first."""
        start, self.count = self.count, self.count + more
        room = len(next(iter(self._store.values())))
        if self.count > room:
            room = max(2 * room, self.count)
            for name, column in self._store.items():
                # Column by column, so that the same place of all rings is one run of memory.
                self._store[name] = np.zeros((room, *column.shape[1:]), column.dtype, order="F")
                self._store[name][:start] = column[:start]
        return start

    def reorder(self, old: Array) -> None:
        """Move rows: new row i is old row `old[i]`; rows not named are gone."""
        for column in self._store.values():
            column[: len(old)] = column[old]
        self.count = len(old)
        self._view()
