"""Permissives: what has to be true before something may be closed. True permits; what is not known does not permit."""

import numpy as np
from numpy.typing import NDArray

from information_model.commands import BY_NAME
from information_model.points.row import PLANT, Level
from server.config.site import Site
from server.core.board import Board
from server.core.control.feedback import Feedback
from server.core.control.racks import Racks
from server.core.now import Now

Flags = NDArray[np.bool_]
REST_AFTER_FAILURE_NS = 10_000_000_000
FAILURE_WINDOW_NS = 600_000_000_000
FAILURES_ALLOWED = 3
LOCKED_AFTER_FAILURES = 2
"""Closings in a row that were not confirmed after which a rack is no longer closed (alarm ContactorNotClosing, trip)."""


class Permissives:
    """Writes the permissives of control and combines all of them for closing."""

    def __init__(self, site: Site, board: Board, racks: Racks, feedback: Feedback) -> None:
        self._site, self._board, self._racks, self._feedback = site, board, racks, feedback
        self._rack_array = site.topology.rack_array
        self._arrays = site.topology.count(Level.ARRAY)
        self._difference_v = site.file.core.closing_voltage_difference_v
        required = BY_NAME["Connect"].permissives
        self._required = {
            level: tuple(
                path for name in required[level] if board.view(level, path := f"Permissives.{name}") is not None
            )
            for level in PLANT
        }
        n = len(site.racks)
        self.own = np.zeros(n, np.bool_)
        """All permissives of the rack itself are true."""
        self.permitted = np.zeros(n, np.bool_)
        """Those of its array and of the system too."""
        self.array_permitted = np.zeros(self._arrays, np.bool_)
        self.system_permitted = False

    def step(self, writable: bool, quiet: Flags, now: Now) -> None:
        """Write what is control's, then combine."""
        board, racks, utc = self._board, self._racks, now.utc_ns
        for level in PLANT:
            board.state(level, "Permissives.JournalWritable", writable, utc)
        board.state(Level.RACK, "Permissives.Enabled", racks.enabled, utc)
        board.state(Level.RACK, "Permissives.AtRest", quiet, utc)
        board.state(Level.RACK, "Permissives.PrechargeAvailable", self._precharge_available(now.mono_ns), utc)
        healthy = ~racks.any_weld & (racks.close_failures < LOCKED_AFTER_FAILURES)
        board.state(Level.RACK, "Permissives.ContactorsHealthy", healthy, utc)
        opened = self._feedback.opened
        board.state(Level.RACK, "Permissives.ContactorsOpen", opened, utc)
        board.state(Level.ARRAY, "Permissives.ContactorsOpen", self._all(opened), utc)
        board.state(Level.SYSTEM, "Permissives.ContactorsOpen", opened.all(), utc)
        board.state(Level.RACK, "Permissives.VoltageDifferenceGood", self._voltages_match(), utc)
        self.own = self._combined(Level.RACK, len(self.own))
        available = self.own | racks.is_closed
        by_array = np.bincount(self._rack_array, available, self._arrays) > 0
        board.state(Level.ARRAY, "Permissives.AnyRackAvailable", by_array, utc)
        board.state(Level.SYSTEM, "Permissives.AnyRackAvailable", by_array.any(), utc)
        self.system_permitted = bool(self._combined(Level.SYSTEM, 1)[0])
        self.array_permitted = self._combined(Level.ARRAY, self._arrays) & self.system_permitted
        self.permitted = self.own & self.array_permitted[self._rack_array]

    def _combined(self, level: Level, count: int) -> Flags:
        found = np.ones(count, np.bool_)
        for path in self._required[level]:
            true = self._board.true(level, path)
            if true is not None:
                found &= true
        return found

    def _all(self, racks: Flags) -> Flags:
        return np.asarray(np.bincount(self._rack_array, ~racks, self._arrays) == 0)

    def _precharge_available(self, now_ns: int) -> Flags:
        """The resistor rests after a failure, and is locked after three of them within ten minutes."""
        racks = self._racks
        free = (racks.last_failure_ns == 0) | (now_ns - racks.last_failure_ns >= REST_AFTER_FAILURE_NS)
        for rack in np.flatnonzero(racks.last_failure_ns).tolist():
            recent = [at for at in racks.recent_failures[rack] if now_ns - at < FAILURE_WINDOW_NS]
            free[rack] &= len(recent) < FAILURES_ALLOWED
        return np.asarray(free)

    def _voltages_match(self) -> Flags:
        """Against a bus that carries racks the difference counts; an idle bus is brought up by the precharge."""
        rack_v = self._board.numbers(Level.RACK, "Measurements.DcVoltage")
        bus_v = self._board.numbers(Level.RACK, "Measurements.BusVoltage")
        if rack_v is None or bus_v is None:
            return np.zeros(len(self.own), np.bool_)
        live = np.bincount(self._rack_array, self._racks.is_closed, self._arrays) > 0
        close = np.abs(rack_v - bus_v) <= self._difference_v
        chargeable = ~live[self._rack_array] & (bus_v <= rack_v + self._difference_v)
        return np.asarray(close | chargeable)
