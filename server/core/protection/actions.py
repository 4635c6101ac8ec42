"""What the active alarms demand of each rack: the strongest wins, from any level of the plant above it."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from information_model.alarms.row import Action, AlarmLevel
from information_model.topology import Topology
from server.core.protection.places import ACTION_BIT, Places

Flags = NDArray[np.bool_]
_OPEN = ACTION_BIT[Action.OPEN_RACK] | ACTION_BIT[Action.OPEN_ARRAY] | ACTION_BIT[Action.OPEN_SYSTEM]
_OPEN_ARRAY = ACTION_BIT[Action.OPEN_ARRAY]
_OPEN_SYSTEM = ACTION_BIT[Action.OPEN_SYSTEM]


@dataclass
class Demand:
    """Per rack, [racks]: open now; share of the rated current that charging and discharging may still use."""

    open: Flags
    open_once: Flags
    """A limit that opens has just arisen: it opens what is closed and keeps nobody from trying again."""
    charge_share: NDArray[np.float64]
    discharge_share: NDArray[np.float64]


class Actions:
    """The places that act, prepared once."""

    def __init__(self, places: Places, topology: Topology) -> None:
        self._places, self._rack_array = places, topology.rack_array
        self._racks = len(topology.rack_array)
        self._arrays = int(topology.rack_array.max(initial=-1)) + 1
        self._acting = np.flatnonzero(places.action)
        self._opened = np.zeros(len(self._acting), np.bool_)

    def demand(self, shown: Flags) -> Demand:
        """Demands of the levels that are shown (a trip: active or latched)."""
        places, at = self._places, self._acting
        acting = shown[at]
        action = places.action[at]
        opens = acting & (action & _OPEN > 0)
        trips = places.level[at] == int(AlarmLevel.TRIP)
        once = opens & ~trips & ~self._opened
        self._opened = opens & ~trips
        charge = self._shares(at[acting & (action & _CHARGE > 0)])
        discharge = self._shares(at[acting & (action & _DISCHARGE > 0)])
        return Demand(self._open(at[opens & trips]), self._open(at[once]), charge, discharge)

    def _open(self, at: NDArray[np.int64]) -> Flags:
        """Racks that the places open."""
        places, found = self._places, np.zeros(self._racks, np.bool_)
        if not len(at):
            return found
        action, rack, array = places.action[at], places.rack[at], places.array[at]
        if (action & _OPEN_SYSTEM).any():
            found[:] = True
        whole = array[(action & _OPEN_ARRAY > 0) & (array >= 0)]
        found |= np.isin(self._rack_array, whole)
        found[rack[rack >= 0]] = True
        return found

    def _shares(self, at: NDArray[np.int64]) -> NDArray[np.float64]:
        """Least share per rack that the places leave."""
        places = self._places
        share = np.ones(self._racks)
        if not len(at):
            return share
        zero = places.action[at] & ACTION_BIT[Action.ZERO_CURRENT] > 0
        left = np.where(zero, 0.0, places.share[at])
        rack, array = places.rack[at], places.array[at]
        np.minimum.at(share, rack[rack >= 0], left[rack >= 0])
        by_array = np.ones(self._arrays)
        group = (rack < 0) & (array >= 0)
        np.minimum.at(by_array, array[group], left[group])
        system = left[(rack < 0) & (array < 0)]
        np.minimum(share, by_array[self._rack_array], out=share)
        return np.asarray(np.minimum(share, system.min(initial=1.0)))


_CHARGE = ACTION_BIT[Action.LIMIT_CHARGE] | ACTION_BIT[Action.ZERO_CURRENT]
_DISCHARGE = ACTION_BIT[Action.LIMIT_DISCHARGE] | ACTION_BIT[Action.ZERO_CURRENT]
