"""The state points of racks, arrays and the system: what the machines do in the words of each standard."""

import numpy as np
from numpy.typing import NDArray

from information_model import quality
from information_model.enumerations import (
    Authority,
    ChargeStatus,
    ConnectionFailure,
    DERState,
    DeviceHealth,
    DisabledReason,
    DoublePoint,
    OperatingState,
)
from information_model.points.row import PLANT, Level
from server.config.site import Site
from server.core.board import Board
from server.core.control.feedback import CONTACTORS, Feedback
from server.core.control.permissives import Permissives
from server.core.control.racks import Racks
from server.core.protection.quantities import MOVING_SHARE, Quantities

Flags = NDArray[np.bool_]
Codes = NDArray[np.int64]
S = OperatingState

DER_STATE = {
    S.OFF: DERState.NOT_READY,
    S.STANDBY: DERState.AVAILABLE,
    S.PRECHARGE: DERState.SYNCHRONISING,
    S.CLOSED: DERState.RUNNING,
    S.DERATED: DERState.RUNNING,
    S.OPENING: DERState.STOPPING,
    S.FAULT: DERState.FAILED,
    S.MAINTENANCE: DERState.MAINTENANCE,
}
_DER = np.array([int(DER_STATE[state]) for state in S])
# A group shows the state of its most active rack: what runs, then what is about to, then what could.
_GROUP_ORDER = (S.PRECHARGE, S.OPENING, S.CLOSED, S.DERATED, S.STANDBY, S.FAULT, S.OFF)
EMPTY_PERCENT, FULL_PERCENT = 0.5, 99.5


class States:
    """Writes the group State (and what belongs to it) of all three levels."""

    def __init__(
        self,
        site: Site,
        board: Board,
        racks: Racks,
        feedback: Feedback,
        permissives: Permissives,
        quantities: Quantities,
    ) -> None:
        self._site, self._board = site, board
        self._racks, self._feedback, self._permissives, self._quantities = racks, feedback, permissives, quantities
        self._rack_array = site.topology.rack_array
        self._arrays = site.topology.count(Level.ARRAY)

    def step(self, derated: Flags, authority: dict[Level, Codes], utc_ns: int) -> None:
        """Write everything for this cycle. `authority` is the one in force, [elements of the level]."""
        self._operating(derated, utc_ns)
        self._rack_flags(utc_ns)
        self._contactors(utc_ns)
        self._charge_status(utc_ns)
        self._health(utc_ns)
        self._group_counts(utc_ns)
        for level, codes in authority.items():
            self._board.state(level, "State.LocalControl", codes == Authority.LOCAL, utc_ns)

    def _operating(self, derated: Flags, utc_ns: int) -> None:
        racks, board = self._racks, self._board
        state = racks.state.astype(np.int64)
        state[racks.is_closed & derated] = int(S.DERATED)
        status = np.where(racks.adopted, quality.GOOD, quality.UNCERTAIN_LAST_USABLE)
        emergency = racks.emergency & (racks.state == S.OPENING)
        board.state(Level.RACK, "State.OperatingState", state, utc_ns, status)
        board.state(Level.RACK, "State.OperationalState", self._der(state, emergency), utc_ns, status)
        known = np.bincount(self._rack_array, racks.adopted, self._arrays) > 0
        by_array = np.array([_of_group(state[self._rack_array == a]) for a in range(self._arrays)])
        urgent = np.bincount(self._rack_array, emergency, self._arrays) > 0
        tripped = self._board.true(Level.ARRAY, "Protection.TripActive")
        if tripped is not None:
            by_array = np.where(tripped & ~np.isin(by_array, _ON_BUS), int(S.FAULT), by_array)
        of_array = np.where(known, quality.GOOD, quality.UNCERTAIN_LAST_USABLE)
        board.state(Level.ARRAY, "State.OperatingState", by_array, utc_ns, of_array)
        board.state(Level.ARRAY, "State.OperationalState", self._der(by_array, urgent), utc_ns, of_array)
        whole = _of_group(by_array)
        of_system = quality.GOOD if known.any() else quality.UNCERTAIN_LAST_USABLE
        board.state(Level.SYSTEM, "State.OperatingState", whole, utc_ns, of_system)
        code = int(DERState.EMERGENCY_STOPPING) if urgent.any() else int(_DER[whole])
        board.state(Level.SYSTEM, "State.OperationalState", code, utc_ns, of_system)

    def _der(self, state: Codes, emergency: Flags) -> Codes:
        return np.where(emergency, int(DERState.EMERGENCY_STOPPING), _DER[state])

    def _rack_flags(self, utc_ns: int) -> None:
        board, racks, feedback = self._board, self._racks, self._feedback
        known = np.where(feedback.known, quality.GOOD, quality.BAD_NO_COMMUNICATION)
        believed = np.where(feedback.known, feedback.closed, np.nan)
        board.state(Level.RACK, "State.ContactorsClosed", believed, utc_ns, known)
        on = np.where(feedback.known, feedback.closed & racks.enabled, np.nan)
        board.state(Level.RACK, "State.BatteryOn", on, utc_ns, known)
        current = self._quantities.current_a
        moving = np.where(np.isnan(current), quality.BAD_NO_COMMUNICATION, quality.GOOD)
        for path, flags in (
            ("State.Charging", self._quantities.charging),
            ("State.Discharging", self._quantities.discharging),
        ):
            board.state(Level.RACK, path, np.where(np.isnan(current), np.nan, flags), utc_ns, moving)
        board.state(Level.RACK, "State.Enabled", racks.enabled, utc_ns)
        why = np.where(racks.enabled, int(DisabledReason.NONE), int(DisabledReason.EXTERNAL))
        board.state(Level.RACK, "State.DisabledReason", why, utc_ns)
        can_close = self._permissives.permitted & ~racks.is_closed
        board.state(Level.RACK, "State.CloseEnabled", can_close, utc_ns)
        can_open = racks.adopted & feedback.known & ~feedback.opened
        board.state(Level.RACK, "State.OpenEnabled", can_open, utc_ns)
        board.state(Level.RACK, "State.CloseFailureCount", racks.close_failures, utc_ns)
        board.state(Level.RACK, "State.PrechargeFailureCount", racks.precharge_failures, utc_ns)
        board.state(Level.RACK, "State.ConnectionFailureReason", self._failure(), utc_ns)

    def _failure(self) -> Codes:
        """Why a rack is not on the bus, the gravest cause first."""
        racks, board = self._racks, self._board
        tripped = board.true(Level.RACK, "Protection.TripActive")
        matched = board.true(Level.RACK, "Permissives.VoltageDifferenceGood")
        fuse = board.true(Level.RACK, "Protection.FuseOpen")
        no = np.zeros(len(racks.enabled), np.bool_)
        causes = (
            (fuse if fuse is not None else no, ConnectionFailure.FUSE_OPEN),
            (racks.precharge_failures > 0, ConnectionFailure.PRECHARGE),
            ((racks.close_failures > 0) | racks.any_weld, ConnectionFailure.CONTACTOR),
            (tripped if tripped is not None else no, ConnectionFailure.RACK_FAULT),
            (~racks.enabled, ConnectionFailure.NOT_ENABLED),
            (~matched if matched is not None else no, ConnectionFailure.VOLTAGE_RANGE),
        )
        found = np.select([flag for flag, _ in causes], [int(code) for _, code in causes], int(ConnectionFailure.NONE))
        return np.where(racks.is_closed, int(ConnectionFailure.NONE), found)

    def _contactors(self, utc_ns: int) -> None:
        board, racks, feedback = self._board, self._racks, self._feedback
        position = np.where(
            feedback.closed,
            int(DoublePoint.CLOSED),
            np.where(feedback.opened, int(DoublePoint.OPEN), int(DoublePoint.INTERMEDIATE)),
        )
        seen = feedback.closed | feedback.opened | feedback.known
        status = np.where(seen, quality.GOOD, quality.BAD_NO_COMMUNICATION)
        board.state(Level.RACK, "Contactors.Position", np.where(seen, position, np.nan), utc_ns, status)
        for name in CONTACTORS:
            board.state(Level.RACK, f"Contactors.{name}.OperationCount", racks.operations[name], utc_ns)
            board.state(Level.RACK, f"Contactors.{name}.WeldDetected", racks.welded[name], utc_ns)
        board.state(Level.RACK, "State.WeldDetected", racks.any_weld, utc_ns)

    def _charge_status(self, utc_ns: int) -> None:
        quantities, board = self._quantities, self._board
        closed = self._racks.is_closed
        unknown = np.full(len(closed), np.nan)
        soc = board.numbers(Level.RACK, "Measurements.StateOfCharge")
        rack = _charge_code(closed, quantities.charging, quantities.discharging, unknown if soc is None else soc)
        board.state(Level.RACK, "State.ChargeStatus", rack, utc_ns)
        by_array = np.bincount(self._rack_array, closed, self._arrays) > 0
        capacity = np.bincount(self._rack_array, quantities.capacity_ah, self._arrays)
        for level, connected, share in (
            (Level.ARRAY, by_array, MOVING_SHARE * capacity),
            (Level.SYSTEM, np.array([closed.any()]), np.array([MOVING_SHARE * capacity.sum()])),
        ):
            current = board.numbers(level, "Measurements.DcCurrent")
            charge = board.numbers(level, "Measurements.StateOfCharge")
            empty = np.full(len(connected), np.nan)
            amperes = empty if current is None else current
            code = _charge_code(connected, amperes < -share, amperes > share, empty if charge is None else charge)
            board.state(level, "State.ChargeStatus", code, utc_ns)

    def _health(self, utc_ns: int) -> None:
        """NE 107: what has failed, what is outside its specification, what asks for maintenance."""
        for level in PLANT:
            trips = self._board.numbers(level, "Alarms.ActiveTripCount")
            limits = self._board.numbers(level, "Alarms.ActiveLimitCount")
            notes = self._board.true(level, "Alarms.GroupIndication")
            if trips is None or limits is None or notes is None:
                continue
            code = np.select(
                [trips > 0, limits > 0, notes],
                [int(DeviceHealth.FAILURE), int(DeviceHealth.OFF_SPEC), int(DeviceHealth.MAINTENANCE_REQUIRED)],
                int(DeviceHealth.NORMAL),
            )
            self._board.state(level, "State.DeviceHealth", code, utc_ns)

    def _group_counts(self, utc_ns: int) -> None:
        board, racks, permissives = self._board, self._racks, self._permissives
        none = np.zeros(len(racks.enabled), np.bool_)
        limits = board.numbers(Level.RACK, "Alarms.ActiveLimitCount")
        trips = board.numbers(Level.RACK, "Alarms.ActiveTripCount")
        heard = board.true(Level.RACK, "Permissives.CommunicationGood")
        counts = {
            "AlarmRackCount": none if limits is None or trips is None else limits + trips > 0,
            "AvailableRackCount": racks.is_closed | permissives.own,
            "CommunicatingRackCount": none if heard is None else heard,
            "ConnectedRackCount": racks.is_closed,
        }
        for name, flags in counts.items():
            board.state(Level.ARRAY, f"State.{name}", np.bincount(self._rack_array, flags, self._arrays), utc_ns)
            board.state(Level.SYSTEM, f"State.{name}", flags.sum(), utc_ns)
        open_racks = np.bincount(self._rack_array, ~racks.is_closed, self._arrays) > 0
        board.state(Level.ARRAY, "State.CloseEnabled", permissives.array_permitted & open_racks, utc_ns)
        board.state(Level.SYSTEM, "State.CloseEnabled", permissives.system_permitted and open_racks.any(), utc_ns)
        closed = np.bincount(self._rack_array, racks.adopted & ~self._feedback.opened, self._arrays) > 0
        board.state(Level.ARRAY, "State.OpenEnabled", closed, utc_ns)
        board.state(Level.SYSTEM, "State.ArrayCount", self._arrays, utc_ns)
        board.state(Level.SYSTEM, "State.RackCount", len(racks.enabled), utc_ns)


_ON_BUS = (int(S.PRECHARGE), int(S.CLOSED), int(S.DERATED), int(S.OPENING))


def _of_group(states: Codes) -> int:
    found = set(states.tolist())
    return next((int(state) for state in _GROUP_ORDER if state in found), int(S.OFF))


def _charge_code(connected: Flags, charging: Flags, discharging: Flags, soc: NDArray[np.float64]) -> Codes:
    choices = (
        (~connected, ChargeStatus.OFF),
        (charging, ChargeStatus.CHARGING),
        (discharging, ChargeStatus.DISCHARGING),
        (soc >= FULL_PERCENT, ChargeStatus.FULL),
        (soc <= EMPTY_PERCENT, ChargeStatus.EMPTY),
    )
    return np.select([flag for flag, _ in choices], [int(code) for _, code in choices], int(ChargeStatus.HOLDING))
