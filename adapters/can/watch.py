"""State of the communication with each source, judged by ages on the monotonic clock."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from adapters.api import BusSpec, SourceHealth
from adapters.can.database import BoundMessage
from adapters.can.pipeline import FramePipeline
from information_model.enumerations import CommunicationState

LOST_AT_LEAST_NS = 1_000_000_000
BUS_SILENT_AT_LEAST_NS = 2_000_000_000
_UNKNOWN_PERIOD_S = 1.0
_NEVER, _GOOD, _LATE, _LOST, _REJECTED = (int(state) for state in CommunicationState)


def fastest_period_ns(bus: BusSpec) -> int:
    """Shortest period that a map of the bus states."""
    periods = [row.period for source in bus.sources for row in source.map.points]
    return round(min(periods, default=_UNKNOWN_PERIOD_S) * 1e9)


def bus_silence_ns(bus: BusSpec) -> int:
    """Without any data frame for so long a bus is taken for lost: 2 s, or three times its fastest period."""
    return max(BUS_SILENT_AT_LEAST_NS, 3 * fastest_period_ns(bus))


class SourceWatch:
    """Turns the counts of the pipeline into `SourceHealth`.

    A source is late after two periods without a sign of life, lost after three, at least 1 s; its sign of life is the
    alive counter that its map names, or else any frame that was used, and its period that of this message. It is
    rejected while it sends and what it sends cannot be used.
    """

    def __init__(self, pipeline: FramePipeline) -> None:
        self._pipeline = pipeline
        period = np.array([_period_ns(pipeline, n) for n in range(len(pipeline.bus.sources))], np.int64)
        self._lost_ns: NDArray[np.int64] = np.maximum(3 * period, LOST_AT_LEAST_NS)
        self._late_ns: NDArray[np.int64] = np.maximum(2 * period, LOST_AT_LEAST_NS // 5)
        self._state = np.full(len(period), _NEVER, np.int64)
        self._timeouts = np.zeros(len(period), np.int64)

    def judge(self, now_ns: int, reconnects: int, failure: str, health: Callable[[int], SourceHealth]) -> None:
        """Writes the health of every source; `failure` is the reason while the bus is closed, else empty."""
        flow = self._pipeline
        flow.window.advance(now_ns)
        flow.window.judge()
        disturbed = np.zeros(len(self._state), np.bool_)
        disturbed[flow.tables.unit_source[flow.window.disturbed]] = True
        age = now_ns - flow.last_alive_ns
        sending = (flow.received > 0) & (now_ns - flow.last_received_ns <= self._lost_ns)
        rejecting = sending & (flow.last_frame_ns < flow.last_received_ns) & (age > self._lost_ns)
        seen = flow.advances > 0
        state = np.select(
            [sending & disturbed | rejecting, ~seen, age <= self._late_ns, age <= self._lost_ns],
            [_REJECTED, _NEVER, _GOOD, _LATE],
            _LOST,
        )
        usable = (self._state == _GOOD) | (self._state == _LATE)
        self._timeouts += usable & (state == _LOST)
        self._state = state
        for number in range(len(state)):
            row = health(number)
            row.state = CommunicationState(int(state[number]))
            row.frames_received = int(flow.received[number])
            row.frames_rejected = int(flow.rejected[number])
            row.counter_errors = int(flow.counter_errors[number])
            row.timeouts = int(self._timeouts[number])
            row.reconnects = reconnects
            row.last_frame_mono_ns = int(flow.last_frame_ns[number])
            row.counter_advances = int(flow.advances[number])
            row.detail = self._detail(number, now_ns, failure)

    def _detail(self, number: int, now_ns: int, failure: str) -> str:
        state = int(self._state[number])
        if state == _GOOD:
            return ""
        if failure:
            return failure
        if state == _NEVER:
            return "nothing usable has been received"
        if state == _REJECTED:
            return "frames arrive, but their check sums or counters are wrong"
        age = (now_ns - int(self._pipeline.last_alive_ns[number])) / 1e9
        return f"no sign of life for {age:.1f} s"


def _period_ns(pipeline: FramePipeline, source: int) -> int:
    bound = pipeline.tables.bound[source]
    alive = next((row for row in bound.messages if row.check is not None and row.check.liveness), None)
    if alive is None:
        period = min((row.period for row in bound.map.points), default=_UNKNOWN_PERIOD_S)
    else:
        period = _message_period_s(alive)
    return round(period * 1e9)


def _message_period_s(row: BoundMessage) -> float:
    """From the map's points, or else the database's cycle time."""
    stated = [signal.point.period for signal in row.signals]
    if stated:
        return min(stated)
    return row.message.cycle_time / 1e3 if row.message.cycle_time else _UNKNOWN_PERIOD_S
