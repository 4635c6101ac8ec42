"""The one debounce engine: every level of every alarm counts up while it is violated and down when it has recovered.

A level becomes active when its source has been beyond the threshold for the delay *and* in enough different samples;
it is over when the counter has come back to zero, which needs the value to be back behind threshold and hysteresis for
as long as it had been beyond. Between threshold and hysteresis, and while the source is Bad, the counter stands still: an
active alarm stays, an inactive one does not arise.
"""

import numpy as np
from numpy.typing import NDArray

from information_model.alarms.row import Gate
from server.core.protection.places import GATES, Places

Flags = NDArray[np.bool_]
_TOLERANCE_S = 1e-6  # of sums of periods against a delay

# Gates whose absence ends the matter itself; without the others (rest, charging) the counter stands still.
_ENDING_GATES = (GATES.index(Gate.CLOSED), GATES.index(Gate.CONNECT_REQUESTED))


class Debounce:
    """Counters and activity, [places]. `latched` stays until it is reset."""

    def __init__(self, places: Places) -> None:
        n = len(places)
        self._places = places
        self._timer_s = np.zeros(n)
        self._violated = np.zeros(n, np.bool_)
        self._samples = np.zeros(n, np.int64)
        self._stamp = np.full(n, np.iinfo(np.int64).min)
        self._gated = np.flatnonzero(places.gate)
        self._ends = np.isin(places.gate, _ENDING_GATES)
        self._low = places.threshold - places.hysteresis
        self.usable = np.zeros(n, np.bool_)
        self.measured = np.full(n, np.nan)
        """Value of each source with its sign, NaN where it may not be used."""
        self.active = np.zeros(n, np.bool_)
        self.latched = np.zeros(n, np.bool_)

    def look(self, value: NDArray[np.float64], usable: Flags, gates: NDArray[np.bool_]) -> Flags:
        """Where a level is violated now. `value` and `usable` are columns of the image, `gates` [gate codes, places]."""
        places = self._places
        measured = value[places.source]
        np.abs(measured, out=measured, where=places.magnitude)
        measured *= places.sign
        self.usable = usable[places.source] & ~np.isnan(measured)
        self.measured = np.where(self.usable, measured, np.nan)
        violated = np.asarray(self.measured >= places.threshold)
        at = self._gated
        violated[at] &= gates[places.gate[at], at]
        return violated

    def count(self, violated: Flags, stamp: NDArray[np.int64], gates: NDArray[np.bool_], passed_s: float) -> None:
        """Count `passed_s` seconds. `stamp` [places] tells one sample of a source from the next."""
        places = self._places
        recovered = np.asarray(self.measured < self._low)
        at = self._gated
        recovered[at] |= self._ends[at] & ~gates[places.gate[at], at]
        recovered &= ~violated
        timer = self._timer_s
        np.add(timer, passed_s, out=timer, where=violated & self._violated)
        np.subtract(timer, passed_s, out=timer, where=recovered)
        np.clip(timer, 0.0, places.delay_s, out=timer)
        fresh = violated & (stamp != self._stamp)
        self._samples[fresh] += 1
        self._stamp[violated] = stamp[violated]
        over = recovered & (timer <= _TOLERANCE_S)
        self._samples[over] = 0
        self._violated = violated
        arisen = violated & (timer >= places.delay_s - _TOLERANCE_S) & (self._samples >= places.samples)
        self.active |= arisen
        self.active &= ~over
        self.latched |= arisen & places.latching

    def restore(self, place: int, *, active: bool, latched: bool) -> None:
        """Take over what was before a restart: an active level has to recover like any other."""
        self.active[place], self.latched[place] = active, latched
        self._timer_s[place] = self._places.delay_s[place] if active else 0.0
        self._samples[place] = self._places.samples[place] if active else 0
