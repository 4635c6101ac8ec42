"""The stage `protect` of the cycle: quantities, scan, points, and what it all demands of the racks."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from server.config.site import Site
from server.core.blocks import InputBlock
from server.core.board import Board
from server.core.event_pen import EventPen
from server.core.now import Now
from server.core.protection.actions import Actions, Demand
from server.core.protection.alarms import Alarms
from server.core.protection.points import ProtectionPoints
from server.core.protection.quantities import Quantities
from server.core.samples import SampleTimes

MOST_COUNTED_S = 1.0
"""A cycle that comes later than this counts no longer than this: nothing was seen in between."""


class Protection:
    """Everything that decides whether something is wrong."""

    def __init__(self, site: Site, board: Board, pen: EventPen) -> None:
        self.alarms = Alarms(site, board.working, pen)
        self.quantities = Quantities(site, board, self.alarms.places)
        self._actions = Actions(self.alarms.places, site.topology)
        self._samples = SampleTimes(site)
        self._site, self._board = site, board
        self._points: ProtectionPoints | None = None
        self._before_ns = 0

    def step(
        self, inputs: Sequence[InputBlock], closed: NDArray[np.bool_], requested: NDArray[np.bool_], now: Now
    ) -> Demand:
        """Scan and publish. `closed` and `requested` are the racks' of the cycle before."""
        if self._points is None:
            self._points = ProtectionPoints(self._site, self._board, self.alarms, now.utc_ns)
        passed_s = (now.mono_ns - self._before_ns) / 1e9 if self._before_ns else 0.0
        self._before_ns = now.mono_ns
        self.quantities.step(now.utc_ns)
        self._samples.take(inputs)
        gates = self.quantities.gates(closed, requested)
        self.alarms.step(now, min(passed_s, MOST_COUNTED_S), gates, self._samples)
        self._points.step(now.utc_ns)
        return self._actions.demand(self.alarms.shown)
