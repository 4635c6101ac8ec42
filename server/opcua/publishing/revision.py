"""What a client asked of an item, and what it gets (OPC 10000-4, 5.13.2 and 7.21)."""

from typing import Any

from server.opcua.limits import Limits
from server.opcua.publishing.budget import Budget
from server.opcua.publishing.filters import data_filter
from server.opcua.publishing.intervals import sampling_steps
from server.opcua.publishing.item import DEPTHS, Settings
from server.opcua.publishing.sources import OrdinarySource, Source, Sources

SLOT_BYTES = 28
"""Value, status and two times of one queued scalar."""
_SOURCE, _SERVER, _BOTH = 0, 1, 2


class Revision:
    """Revises MonitoringParameters; `memory` is what the queues of the subscription may take."""

    def __init__(self, sources: Sources, limits: Limits, memory: Budget) -> None:
        self._sources, self._limits, self._memory = sources, limits, memory

    def settings(self, given: Any, source: Source, times: int, publishing_ms: float, held: int = 1) -> Settings:
        """Settings for an item. Raises ItemError.

        Args:
            given: MonitoringParameters.
            source: what the item observes.
            times: TimestampsToReturn.
            publishing_ms: the publishing interval, for a sampling interval of -1.
            held: places in its queue that the item has already; they need no new memory.
        """
        trigger, deadband = data_filter(given.Filter, source, self._sources)
        fastest = source.fastest_ms if isinstance(source, OrdinarySource) else 0.0
        period_ms = self._limits.minimum_sample_rate_ms
        every = sampling_steps(float(given.SamplingInterval), publishing_ms, period_ms, fastest)
        size = min(max(int(given.QueueSize), 1), self._limits.monitored_item_queue, DEPTHS[-1])
        if size > held and not self._memory.room_for(SLOT_BYTES * size):
            size = held
        source_time, server_time = times in (_SOURCE, _BOTH), times in (_SERVER, _BOTH)
        handle, oldest = int(given.ClientHandle), bool(given.DiscardOldest)
        return Settings(handle, every, size, oldest, trigger, deadband, source_time, server_time)
