"""What protection derives from the measured current before it scans: magnitudes by direction, and the gates."""

import numpy as np
from numpy.typing import NDArray

from estimators.extremes import is_quiet
from information_model.alarms.row import Gate
from information_model.points.row import Level
from server.config.site import Site
from server.core.board import Board
from server.core.protection.places import GATES, Places

Flags = NDArray[np.bool_]
CURRENT = "Measurements.DcCurrent"
MOVING_SHARE = 1 / 50
"""Share of the rated capacity (as a current over one hour) above which a rack charges or discharges."""


class Quantities:
    """Protection.ChargeCurrent, DischargeCurrent, CurrentBelowBreakLimit, and the conditions that gate alarms."""

    def __init__(self, site: Site, board: Board, places: Places) -> None:
        kinds = [rack.kind for rack in site.racks]
        self._board, self._places = board, places
        self._array_of_rack = site.topology.rack_array
        self.capacity_ah = np.array([kind.rated_capacity_ah for kind in kinds])
        rated = np.array([max(kind.max_charge_current_a, kind.max_discharge_current_a) for kind in kinds])
        self.break_limit_a = site.file.core.break_current_share * rated
        racks = len(kinds)
        self.current_a = np.full(racks, np.nan)
        """Current of each rack, NaN where it is not known."""
        self.below_break = np.full(racks, board.view(Level.RACK, CURRENT) is None)
        """Contactors may open. Where a site measures no current at all there is nothing to wait for."""
        self.quiet = np.zeros(racks, np.bool_)
        """Hardly any current flows at this moment. (That a rack has *rested* takes a minute, and estimation.)"""
        self.charging = np.zeros(racks, np.bool_)
        self.discharging = np.zeros(racks, np.bool_)

    def step(self, utc_ns: int) -> None:
        """Derive everything from the current of this cycle."""
        current = self._board.view(Level.RACK, CURRENT)
        if current is None:
            return
        amperes = self.current_a = np.where(current.good, current.value, np.nan)
        board = self._board
        board.measure(Level.RACK, "Protection.ChargeCurrent", np.maximum(-amperes, 0.0), current.time, current.status)
        board.measure(Level.RACK, "Protection.DischargeCurrent", np.maximum(amperes, 0.0), current.time, current.status)
        self.below_break = np.asarray(np.abs(amperes) < self.break_limit_a)
        self.quiet = is_quiet(amperes, self.capacity_ah)
        self.charging = np.asarray(amperes < -MOVING_SHARE * self.capacity_ah)
        self.discharging = np.asarray(amperes > MOVING_SHARE * self.capacity_ah)
        board.state(Level.RACK, "Protection.CurrentBelowBreakLimit", self.below_break, utc_ns)

    def gates(self, closed: Flags, requested: Flags) -> Flags:
        """[gate codes, places]: whether the condition of each gate holds at each place; groups: at any of their racks."""
        by_gate = {
            Gate.AT_REST: self.quiet,
            Gate.CHARGING: self.charging,
            Gate.CLOSED: closed,
            Gate.CONNECT_REQUESTED: requested,
        }
        places = self._places
        found = np.ones((len(GATES), len(places)), np.bool_)
        of_rack = places.rack >= 0
        of_array = ~of_rack & (places.array >= 0)
        for code, gate in enumerate(GATES):
            if gate is not None:
                racks = by_gate[gate]
                found[code] = racks.any()
                found[code][of_rack] = racks[places.rack[of_rack]]
                arrays = np.bincount(self._array_of_rack, racks) > 0
                found[code][of_array] = arrays[places.array[of_array]]
        return found
