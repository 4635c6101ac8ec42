"""The group Control: authority, the last command of each element and what became of it."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from information_model.enumerations import CommandOutcome, RefusalReason
from information_model.points.row import PLANT, Level
from information_model.topology import Element
from server.config.site import Site
from server.core.board import Board
from server.core.commands.authority import Authorities
from server.core.commands.running import Ending, Running


class CommandPoints:
    """Remembers the last command of each element and writes the points."""

    def __init__(self, site: Site, board: Board) -> None:
        self._board = board
        self._rack_array = site.topology.rack_array
        self._last = {level: _Last(site.topology.count(level)) for level in PLANT}

    def note(self, element: Element, sequence: int, reason: RefusalReason) -> None:
        """A command to an element was judged."""
        self._last[element.level].note(element.ordinal, sequence, reason)

    def end(self, element: Element, sequence: int, ending: Ending) -> None:
        """A command to an element has ended."""
        self._last[element.level].end(element.ordinal, sequence, ending)

    def forgive(self, element: Element) -> None:
        """Somebody has seen that the last command failed."""
        self._last[element.level].failed[element.ordinal] = False

    def step(
        self, authorities: Authorities, wanted: NDArray[np.bool_], running: Sequence[Running], utc_ns: int
    ) -> None:
        """Write everything. `wanted`: racks whose desired state is connected."""
        board = self._board
        arrays = len(self._last[Level.ARRAY].outcome)
        by_array = np.bincount(self._rack_array, wanted, arrays) > 0
        requested = {Level.RACK: wanted, Level.ARRAY: by_array, Level.SYSTEM: wanted.any()}
        under_way = {level: np.zeros(len(self._last[level].outcome), np.bool_) for level in PLANT}
        for one in running:
            under_way[one.element.level][one.element.ordinal] = True
        for level in PLANT:
            last = self._last[level]
            board.state(level, "Control.Authority", authorities.own[level], utc_ns)
            board.state(level, "Control.ConnectRequested", requested[level], utc_ns)
            board.state(level, "Control.CommandInProgress", under_way[level], utc_ns)
            board.state(level, "Control.CommandFailed", last.failed, utc_ns)
            board.state(level, "Control.LastCommandOutcome", last.outcome, utc_ns)
            board.state(level, "Control.LastCommandSequence", last.sequence, utc_ns)
            board.state(level, "Control.RefusalReason", last.refusal, utc_ns)


class _Last:
    """The last command of each element of a level."""

    def __init__(self, count: int) -> None:
        self.outcome = np.zeros(count, np.int64)
        self.sequence = np.zeros(count, np.int64)
        self.refusal = np.zeros(count, np.int64)
        self.failed = np.zeros(count, np.bool_)

    def note(self, at: int, sequence: int, reason: RefusalReason) -> None:
        """A command was judged."""
        accepted = reason is RefusalReason.NONE
        self.sequence[at] = sequence % 2**32
        self.outcome[at] = int(CommandOutcome.ACCEPTED if accepted else CommandOutcome.REFUSED)
        self.refusal[at] = int(reason)
        if accepted:
            self.failed[at] = False

    def end(self, at: int, sequence: int, ending: Ending) -> None:
        """A command has ended; the outcome shows only where no later one was given."""
        if ending is Ending.UNCONFIRMED:
            self.failed[at] = True
        if self.sequence[at] == sequence % 2**32:
            self.outcome[at] = int(CommandOutcome.DONE if ending is Ending.DONE else CommandOutcome.FAILED)
