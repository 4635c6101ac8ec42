"""Communication with the field as points: counters, ages, states, how many points are good, and what may be believed."""

import collections
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from information_model import quality
from information_model.enumerations import CommunicationState
from information_model.points.row import Level
from server.config.inputs import InputPlan
from server.config.site import Site
from server.core.blocks import InputBlock
from server.core.board import Board
from server.core.now import Now
from server.core.working import Array, Working

COUNTERS = {
    "FramesReceived": "frames_received",
    "FramesRejected": "frames_rejected",
    "CounterErrors": "counter_errors",
    "Timeouts": "timeouts",
    "Reconnects": "reconnects",
}
"""Point -> column of the input block."""
SHARE_WINDOW_S = 10.0
ADVANCES_BEFORE_BELIEF = 2
"""A device's counter must be seen to advance twice before anything is requested of it: one frame may be an old one."""
FEEDBACK_LIMIT_NS = 1_000_000_000
CONTACTOR = "Contactors.Positive.Position"


Put = Callable[[Level, str, Array | float], None]
"""Writes a number of this cycle: (level, path, values)."""


class Communication:
    """Counters and states of all racks, in the order of their ordinals."""

    def __init__(self, site: Site) -> None:
        self._site = site
        n = len(site.racks)
        self._of_plan = {plan.process: _ordinals(plan) for plan in site.inputs}
        self._counters = {name: np.zeros(n) for name in (*COUNTERS.values(), "counter_advances")}
        self._last_frame = np.zeros(n, np.int64)
        self._state = np.zeros(n, np.int64)
        self._first_advance = np.full(n, -1.0)
        self._started_ns = 0
        self._window: collections.deque[tuple[int, NDArray[np.float64], NDArray[np.float64]]] = collections.deque()
        self._share = np.zeros(n)
        self._counted_ns = 0
        self._slots = {level: _scalar_slots(site, level) for level in Level}
        self._rack_array = site.topology.rack_array

    def step(self, blocks: Sequence[InputBlock], board: Board, now: Now) -> None:
        """Write the group Communication and the permissives that rest on it."""
        if not self._started_ns:
            self._started_ns = now.mono_ns
        buses = [self._take(block, now) for block in blocks]
        working = board.working

        def put(level: Level, path: str, values: Array | float) -> None:
            board.measure(level, path, values, now.utc_ns)

        for name, column in COUNTERS.items():
            put(Level.RACK, f"Communication.{name}", self._counters[column])
        self._slide_window(now)
        put(Level.RACK, "Communication.RejectedShare", self._share)
        age_s = (now.mono_ns - np.maximum(self._last_frame, self._started_ns)) / 1e9
        put(Level.RACK, "Communication.LastUpdateAge", age_s)
        put(Level.RACK, "Communication.State", self._state)
        self._current_age(put, working, now)
        put(Level.SYSTEM, "Communication.AliveBusCount", sum(alive_buses for alive_buses, _ in buses))
        put(Level.SYSTEM, "Communication.BusCount", sum(count for _, count in buses))
        put(Level.SYSTEM, "Communication.Heartbeat", (now.mono_ns - self._started_ns) // 1_000_000_000 % 2**32)
        self._permissives(put, working, now)
        if now.mono_ns - self._counted_ns >= 1_000_000_000:
            self._counted_ns = now.mono_ns
            self._count_points(put, working)

    def _take(self, block: InputBlock, now: Now) -> tuple[int, int]:
        """Columns of one process; returns (buses alive, buses)."""
        at = self._of_plan[block.plan.process]
        here = block.alive(now)
        columns = block.columns
        if here:
            for name, values in self._counters.items():
                values[at] = columns[f"source.{name}"]
            self._last_frame[at] = columns["source.last_frame_mono_ns"]
            self._state[at] = columns["source.state"]
            self._note_advances(at)
        else:
            known = self._state[at] != CommunicationState.NEVER_SEEN
            self._state[at[known]] = CommunicationState.LOST
        return int(columns["bus.alive"].sum()) if here else 0, len(block.plan.buses)

    def _note_advances(self, at: NDArray[np.int64]) -> None:
        count, first = self._counters["counter_advances"][at], self._first_advance[at]
        # A smaller number means that the field process has been started again and counts from 0.
        self._first_advance[at] = np.where((first < 0) | (count < first), count, first)

    def _slide_window(self, now: Now) -> None:
        window = self._window
        if not window or now.mono_ns - window[-1][0] >= 1_000_000_000:
            rejected, received = self._counters["frames_rejected"], self._counters["frames_received"]
            window.append((now.mono_ns, received.copy(), rejected.copy()))
        while len(window) > 1 and now.mono_ns - window[0][0] > SHARE_WINDOW_S * 1e9:
            window.popleft()
        _, received, rejected = window[0]
        got = np.maximum(self._counters["frames_received"] - received, 0)
        lost = np.maximum(self._counters["frames_rejected"] - rejected, 0)
        self._share = 100 * lost / np.maximum(got + lost, 1)

    def _current_age(self, put: Put, working: Working, now: Now) -> None:
        if working.has(Level.RACK, "Communication.CurrentAge"):
            current = working.scalars(Level.RACK, "Measurements.DcCurrent")
            measured = np.where(current.time > 0, current.time - now.offset_ns, self._started_ns)
            put(Level.RACK, "Communication.CurrentAge", np.maximum((now.mono_ns - measured) / 1e9, 0.0))

    def _permissives(self, put: Put, working: Working, now: Now) -> None:
        good = self._state == CommunicationState.GOOD
        advanced = self._counters["counter_advances"] - self._first_advance
        seen = (self._first_advance >= 0) & (advanced >= ADVANCES_BEFORE_BELIEF)
        feedback = good
        if working.has(Level.RACK, CONTACTOR):
            contactor = working.scalars(Level.RACK, CONTACTOR)
            feedback = contactor.good & (now.utc_ns - contactor.time <= FEEDBACK_LIMIT_NS)
        put(Level.RACK, "Permissives.CommunicationGood", good)
        put(Level.RACK, "Permissives.FeedbackFresh", feedback)
        put(Level.RACK, "Permissives.FirstFrameSeen", seen)
        arrays = self._site.topology.count(Level.ARRAY)
        # An array has no device of its own: its communication is good while any of its racks can be heard.
        put(Level.ARRAY, "Permissives.CommunicationGood", np.bincount(self._rack_array, good, arrays) > 0)

    def _count_points(self, put: Put, working: Working) -> None:
        """Points by quality, those of the elements below included."""
        topology = self._site.topology
        counts = {}
        for name in ("Good", "Uncertain", "Bad"):
            rack = self._of_quality(working, Level.RACK, name)
            modules = self._of_quality(working, Level.MODULE, name)
            rack = rack + np.bincount(topology.module_rack, modules, len(rack))
            array = self._of_quality(working, Level.ARRAY, name)
            array = array + np.bincount(self._rack_array, rack, len(array))
            system = self._of_quality(working, Level.SYSTEM, name) + array.sum()
            counts[name] = {Level.RACK: rack, Level.ARRAY: array, Level.SYSTEM: system}
        for name, levels in counts.items():
            for level, values in levels.items():
                put(level, f"Communication.{name}PointCount", values)

    def _of_quality(self, working: Working, level: Level, name: str) -> NDArray[np.float64]:
        wanted = {"Good": 0, "Uncertain": 1, "Bad": 2}[name]
        found = (quality.severity(working.columns["status"][self._slots[level]]) == wanted).sum(axis=0).astype(float)
        if level is Level.RACK:
            for row in self._site.catalogue.matrices():
                found += quality.severity(working.columns[f"{row.matrix}.status"]) == wanted
        return np.asarray(found, np.float64)


def _ordinals(plan: InputPlan) -> NDArray[np.int64]:
    return np.array([planned.rack.ordinal for planned in plan.sources], np.int64)


def _scalar_slots(site: Site, level: Level) -> NDArray[np.int64]:
    """[rows, elements] slots of all scalars of a level."""
    count = site.topology.count(level)
    bases = [row.base for row in site.catalogue.rows[level].values() if row.base >= 0]
    return np.array(bases, np.int64).reshape(-1, 1) + np.arange(count)
