"""Current and power limits: the narrowest of all reasons, per rack and for the groups that share a bus.

A limit falls at once and rises by a ramp. Racks in parallel share the current by their capacity, so an array may carry
what its weakest connected rack allows, times its share.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from information_model.enumerations import LimitReason
from information_model.points.row import Level
from server.config.site import Site
from server.core.board import Board
from server.core.control.derating import TABLE, Derating, share
from server.core.now import Now
from server.core.protection.actions import Demand

Flags = NDArray[np.bool_]
Reals = NDArray[np.float64]
RAMP_PER_S = 0.2
"""Share of the rating by which a limit may rise in a second."""


@dataclass
class Direction:
    """Limits of charging or discharging, [racks]: rating, limit and the reason of the limit."""

    name: str
    charging: bool
    rated_a: Reals
    rack_a: Reals
    rack_reason: NDArray[np.int64]


class Limits:
    """`step` computes and writes the points of the group Limits; `charge.rack_a` goes to the racks."""

    def __init__(self, site: Site, board: Board) -> None:
        kinds = [rack.kind for rack in site.racks]
        self._site, self._board = site, board
        self._rack_array = site.topology.rack_array
        self._arrays = site.topology.count(Level.ARRAY)
        self._numbers = np.array([element.number for element in site.topology.of_level(Level.RACK)])
        self._capacity = np.array([kind.rated_capacity_ah for kind in kinds])
        self._chemistry = np.array([kind.chemistry for kind in kinds])
        n = len(kinds)
        self.charge = Direction(
            "Charge", True, np.array([k.max_charge_current_a for k in kinds]), np.zeros(n), np.zeros(n, np.int64)
        )
        self.discharge = Direction(
            "Discharge", False, np.array([k.max_discharge_current_a for k in kinds]), np.zeros(n), np.zeros(n, np.int64)
        )
        self.derated = np.zeros(n, np.bool_)
        """Closed racks that an alarm or a derating curve keeps below their rating."""
        self._highest_v = self._cell_limit("CellOverVoltageLimit")
        self._lowest_v = self._cell_limit("CellUnderVoltageLimit")

    def _cell_limit(self, threshold: str) -> Reals:
        """Rack voltage at which every cell would stand at a threshold; without one, at the limit of its kind."""
        found = []
        for rack in self._site.racks:
            usual = rack.kind.limits.max_v if "Over" in threshold else rack.kind.limits.min_v
            cell = self._site.catalogue.constants.get((rack.element, f"Configuration.Thresholds.{threshold}"), usual)
            found.append(float(cell) * rack.kind.cells_in_series)
        return np.array(found)

    def step(self, connected: Flags, communicating: Flags, demand: Demand, now: Now) -> None:
        """Limits of this cycle. `connected`: racks that may carry current now."""
        self.derated = np.zeros_like(connected)
        for direction, alarm_share in ((self.charge, demand.charge_share), (self.discharge, demand.discharge_share)):
            self._narrow(direction, alarm_share, connected, communicating, now)
            self._write_racks(direction, now)
            self._write_groups(direction, connected, now)
        self._write_voltages(now)

    def _narrow(
        self, direction: Direction, alarm_share: Reals, connected: Flags, communicating: Flags, now: Now
    ) -> None:
        """The narrowest share of the rating and its reason; a later line wins only where it is narrower."""
        least = np.ones(len(connected))
        reason = np.full(len(connected), int(LimitReason.RATING))

        def narrow(value: Reals, why: LimitReason) -> None:
            tighter = value < least
            least[tighter] = value[tighter]
            reason[tighter] = int(why)

        narrow(np.where(connected, 1.0, 0.0), LimitReason.NOT_CONNECTED)
        narrow(np.where(communicating, 1.0, 0.0), LimitReason.COMMUNICATION)
        narrow(alarm_share, LimitReason.ALARM)
        for line in TABLE:
            value = self._board.numbers(Level.RACK, line.path)
            if line.charging is direction.charging and value is not None:
                narrow(self._derating(line, value), line.reason)
        self.derated |= connected & (least < 1.0)
        before = direction.rack_a / direction.rated_a
        narrow(before + RAMP_PER_S * now.period_s, LimitReason.RAMP)
        direction.rack_a = least * direction.rated_a
        direction.rack_reason = reason

    def _derating(self, line: Derating, value: Reals) -> Reals:
        found = np.ones_like(value)
        for chemistry, curve in line.curves.items():
            mine = self._chemistry == chemistry
            found[mine] = share(curve, value[mine])
        return found

    def _write_racks(self, direction: Direction, now: Now) -> None:
        board, name, utc = self._board, direction.name, now.utc_ns
        board.measure(Level.RACK, f"Limits.Max{name}Current", direction.rack_a, utc)
        board.state(Level.RACK, f"Limits.{name}LimitReason", direction.rack_reason, utc)
        self._power(Level.RACK, direction, direction.rack_a, utc)

    def _power(self, level: Level, direction: Direction, current_a: Reals | float, utc_ns: int) -> None:
        voltage = self._board.numbers(level, "Measurements.DcVoltage")
        if voltage is not None:
            power = np.where(np.asarray(current_a) == 0, 0.0, current_a * voltage)
            self._board.measure(level, f"Limits.Available{direction.name}Power", power, utc_ns)

    def _write_groups(self, direction: Direction, connected: Flags, now: Now) -> None:
        board, name, utc = self._board, direction.name, now.utc_ns
        current = np.zeros(self._arrays)
        reason = np.full(self._arrays, int(LimitReason.NOT_CONNECTED))
        limiting = np.zeros(self._arrays)
        for array in range(self._arrays):
            racks = np.flatnonzero(connected & (self._rack_array == array))
            if not len(racks):
                continue
            shares = self._capacity[racks] / self._capacity[racks].sum()
            carried = direction.rack_a[racks] / shares
            weakest = racks[int(carried.argmin())]
            current[array] = carried.min()
            reason[array] = direction.rack_reason[weakest]
            limiting[array] = self._numbers[weakest]
            if reason[array] == LimitReason.RATING and carried.max() > carried.min() * 1.001:
                reason[array] = int(LimitReason.PARALLEL_SHARING)
        board.measure(Level.ARRAY, f"Limits.Max{name}Current", current, utc)
        board.state(Level.ARRAY, f"Limits.{name}LimitReason", reason, utc)
        board.state(Level.ARRAY, f"Limits.{name}LimitingRack", limiting, utc)
        self._power(Level.ARRAY, direction, current, utc)
        live = np.flatnonzero(current > 0)
        part = reason[live] if len(live) else reason
        board.measure(Level.SYSTEM, f"Limits.Max{name}Current", current.sum(), utc)
        board.state(Level.SYSTEM, f"Limits.{name}LimitReason", part[0] if (part == part[0]).all() else _COMMON, utc)
        powers = board.numbers(Level.ARRAY, f"Limits.Available{name}Power")
        if powers is not None:
            board.measure(Level.SYSTEM, f"Limits.Available{name}Power", powers.sum(), utc)

    def _write_voltages(self, now: Now) -> None:
        board, utc = self._board, now.utc_ns
        board.measure(Level.RACK, "Limits.MaxChargeVoltage", self._highest_v, utc)
        board.measure(Level.RACK, "Limits.MinDischargeVoltage", self._lowest_v, utc)
        highest, lowest = np.full(self._arrays, np.inf), np.zeros(self._arrays)
        np.minimum.at(highest, self._rack_array, self._highest_v)
        np.maximum.at(lowest, self._rack_array, self._lowest_v)
        board.measure(Level.ARRAY, "Limits.MaxChargeVoltage", highest, utc)
        board.measure(Level.ARRAY, "Limits.MinDischargeVoltage", lowest, utc)


_COMMON = int(LimitReason.RACK_LIMIT)
"""Reason of the system where its arrays have different ones."""
