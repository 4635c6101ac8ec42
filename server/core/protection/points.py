"""What protection shows: mirrors, alarm columns, counts of groups, permissives about trips and ranges."""

import numpy as np
from numpy.typing import NDArray

from information_model import quality
from information_model.alarms.row import AlarmLevel
from information_model.points.row import PLANT, Level
from server.config.site import Site
from server.core.board import Board
from server.core.protection.alarms import Alarms

_RANGES = (
    ("Permissives.CellVoltagesInRange", "CellVoltage", "CellUnderVoltage", "CellOverVoltage"),
    ("Permissives.TemperaturesInRange", "CellTemperature", "CellUnderTemperature", "CellOverTemperature"),
)


class ProtectionPoints:
    """Writes every point of the producers' lines of this module and the alarm columns of the image."""

    def __init__(self, site: Site, board: Board, alarms: Alarms, start_utc_ns: int) -> None:
        self._site, self._board, self._alarms = site, board, alarms
        self._racks, self._arrays = site.topology.count(Level.RACK), site.topology.count(Level.ARRAY)
        self._places = alarms.places
        times = board.working.columns["source_time"]
        times[self._places.mirror] = start_utc_ns
        # When the quality of each mirror changed last; 0 before the first cycle, and as long as it has stayed.
        self._turned_ns = np.zeros(len(self._places.mirror), np.int64)
        self._usable: NDArray[np.bool_] | None = None
        self._limits = {
            path: (quantity, self._threshold(low), self._threshold(high))
            for path, quantity, low, high in _RANGES
            if board.view(Level.RACK, path) is not None
        }

    def _threshold(self, alarm: str) -> NDArray[np.float64]:
        constants = self._site.catalogue.constants
        path = f"Configuration.Thresholds.{alarm}Limit"
        return np.array([float(constants[rack.element, path]) for rack in self._site.racks])

    def step(self, utc_ns: int) -> None:
        """After the scan: mirrors each cycle (their quality follows the source), the rest when something changed."""
        alarms, columns = self._alarms, self._board.working.columns
        self._qualities(utc_ns)
        self._ranges(utc_ns)
        if not alarms.changed:
            return
        alarms.changed = False
        columns["value"][self._places.mirror] = alarms.shown
        times = np.maximum(alarms.history.last_ns, self._turned_ns)
        happened = times > 0
        columns["source_time"][self._places.mirror[happened]] = times[happened]
        columns["alarm.state"][:] = alarms.states()
        columns["alarm.count"][:] = alarms.history.count
        columns["alarm.time"][:] = alarms.history.last_ns
        self._groups(utc_ns)
        self._trips(utc_ns)

    def _qualities(self, utc_ns: int) -> None:
        """A mirror is as good as what its alarm judges; its time is also that of a quality that changes alone
        (OPC 10000-4, 7.7.3)."""
        usable, columns = self._alarms.debounce.usable, self._board.working.columns
        columns["status"][self._places.mirror] = np.where(usable, quality.GOOD, quality.UNCERTAIN_LAST_USABLE)
        if self._usable is not None:
            turned = usable != self._usable
            if turned.any():
                self._turned_ns[turned] = utc_ns
                columns["source_time"][self._places.mirror[turned]] = utc_ns
        self._usable = usable.copy()

    def _ranges(self, utc_ns: int) -> None:
        for path, (quantity, low, high) in self._limits.items():
            least = self._board.numbers(Level.RACK, f"Measurements.{quantity}Min")
            most = self._board.numbers(Level.RACK, f"Measurements.{quantity}Max")
            if least is not None and most is not None:
                self._board.state(Level.RACK, path, (least > low) & (most < high), utc_ns)

    def _sum(self, places: NDArray[np.int64]) -> dict[Level, NDArray[np.int64]]:
        """Number of places per element, the elements below included."""
        rack, array = self._places.rack[places], self._places.array[places]
        return {
            Level.RACK: np.bincount(rack[rack >= 0], minlength=self._racks),
            Level.ARRAY: np.bincount(array[array >= 0], minlength=self._arrays),
            Level.SYSTEM: np.array([len(places)]),
        }

    def _own(self, places: NDArray[np.int64]) -> dict[Level, NDArray[np.bool_]]:
        """Whether an element itself has any of the places, the elements below not counted."""
        rack, array = self._places.rack[places], self._places.array[places]
        return {
            Level.RACK: np.bincount(rack[rack >= 0], minlength=self._racks) > 0,
            Level.ARRAY: np.bincount(array[(rack < 0) & (array >= 0)], minlength=self._arrays) > 0,
            Level.SYSTEM: np.array([bool(((rack < 0) & (array < 0)).any())]),
        }

    def _groups(self, utc_ns: int) -> None:
        alarms, places = self._alarms, self._places
        shown = alarms.shown.copy()
        paired = np.flatnonzero(places.upper >= 0)
        hidden = paired[alarms.shown[places.upper[paired]]]
        shown[hidden] = False  # a limit that is reached counts once, not as its warning too
        level = places.level
        counts = {
            "ActiveWarningCount": self._sum(np.flatnonzero(shown & (level == int(AlarmLevel.WARNING)))),
            "ActiveLimitCount": self._sum(np.flatnonzero(shown & (level == int(AlarmLevel.LIMIT)))),
            "ActiveTripCount": self._sum(np.flatnonzero(shown & (level == int(AlarmLevel.TRIP)))),
        }
        pending = np.unique(places.condition[alarms.pending])
        heads = np.array([places.conditions[c].places[0] for c in pending.tolist()], np.int64)
        counts["UnacknowledgedCount"] = self._sum(heads)
        indication = self._sum(np.flatnonzero(shown & places.maintenance))
        for level_ in PLANT:
            for name, by_level in counts.items():
                self._board.state(level_, f"Alarms.{name}", by_level[level_], utc_ns)
            bad = counts["ActiveLimitCount"][level_] + counts["ActiveTripCount"][level_] > 0
            self._board.state(level_, "Alarms.GroupAlarm", bad, utc_ns)
            self._board.state(level_, "Alarms.GroupWarning", counts["ActiveWarningCount"][level_] > 0, utc_ns)
            self._board.state(level_, "Alarms.GroupIndication", indication[level_] > 0, utc_ns)
        self._severities(np.flatnonzero(shown), utc_ns)

    def _severities(self, at: NDArray[np.int64], utc_ns: int) -> None:
        places = self._places
        rack, array, severity = places.rack[at], places.array[at], places.severity[at]
        by_rack, by_array = np.zeros(self._racks, np.int64), np.zeros(self._arrays, np.int64)
        np.maximum.at(by_rack, rack[rack >= 0], severity[rack >= 0])
        np.maximum.at(by_array, array[array >= 0], severity[array >= 0])
        self._board.state(Level.RACK, "Alarms.HighestSeverity", by_rack, utc_ns)
        self._board.state(Level.ARRAY, "Alarms.HighestSeverity", by_array, utc_ns)
        self._board.state(Level.SYSTEM, "Alarms.HighestSeverity", severity.max(initial=0), utc_ns)

    def _trips(self, utc_ns: int) -> None:
        alarms, places = self._alarms, self._places
        trip = places.level == int(AlarmLevel.TRIP)
        latched = alarms.debounce.latched
        tripped = self._own(np.flatnonzero(alarms.shown & trip))
        held = self._own(np.flatnonzero(latched))
        caused = self._own(np.flatnonzero(latched & alarms.debounce.active))
        unseen = self._own(np.flatnonzero(latched & alarms.pending))
        for level in PLANT:
            self._board.state(level, "Protection.TripActive", tripped[level], utc_ns)
            self._board.state(level, "Protection.LatchedTrip", held[level], utc_ns)
            self._board.state(level, "Permissives.NoTripActive", ~tripped[level], utc_ns)
            self._board.state(level, "Permissives.TripCausesGone", ~caused[level], utc_ns)
            self._board.state(level, "Permissives.TripsAcknowledged", ~unseen[level], utc_ns)
        at = np.flatnonzero(trip & (places.rack >= 0))
        counts = np.bincount(places.rack[at], alarms.history.count[at], self._racks)
        self._board.state(Level.RACK, "Counters.TripCount", counts, utc_ns)
