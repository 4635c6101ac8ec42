"""Items on what is no scalar of the image: arrays, texts, structures, other attributes, stored nodes.

One object per item. What they observe is read and encoded once per tick for all of them, so the queue holds bytes that
are shared.
"""

from collections import deque
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from server.opcua import wire
from server.opcua.address_space.values import Value
from server.opcua.publishing.budget import Budget
from server.opcua.publishing.encoding import OVERFLOW
from server.opcua.publishing.row import STATUS_VALUE, STATUS_VALUE_TIMESTAMP

ENTRY_BYTES = 200
"""What a queued entry costs beside its value."""


class Sampled(NamedTuple):
    """A queued entry; `stamp` is the server's time of sampling in ticks."""

    variant: bytes
    status: int
    ticks: int
    stamp: int


class OrdinaryQueue:
    """Comparison and queue of one item. Every entry is charged to `budget`; when that is used up, queues stay short."""

    __slots__ = ("_budget", "deadband", "entries", "fresh", "last", "oldest", "size", "trigger")

    def __init__(self, budget: Budget, size: int, oldest: bool, trigger: int, deadband: float) -> None:
        self._budget = budget
        self.size, self.oldest, self.trigger, self.deadband = size, oldest, trigger, deadband
        self.entries: deque[Sampled] = deque()
        self.last = Value(b"")
        self.fresh = True

    def change(self, size: int, oldest: bool, trigger: int, deadband: float) -> None:
        """New settings; what no longer fits into the queue is discarded by policy."""
        self.size, self.oldest, self.trigger, self.deadband = size, oldest, trigger, deadband
        lost = len(self.entries) > size
        while len(self.entries) > size:
            # The newest value always stays; without discardOldest the one before it goes.
            self._drop(0 if oldest or size == 1 else len(self.entries) - 2)
        if lost:
            self._mark(0 if oldest else -1)

    def sample(self, value: Value, now: int) -> bool:
        """Queue a sample if it is to be reported; True where it is."""
        if not (self.fresh or self._moved(value)):
            return False
        self.fresh = False
        self.last = value
        self._queue(Sampled(value.variant, value.status, value.ticks, now))
        return True

    def _moved(self, value: Value) -> bool:
        last = self.last
        if value.status != last.status:
            return True
        if self.trigger < STATUS_VALUE:
            return False
        if value.variant != last.variant and (not self.deadband or exceeds(value.variant, last.variant, self.deadband)):
            return True
        return self.trigger == STATUS_VALUE_TIMESTAMP and not self.deadband and value.ticks != last.ticks

    def _queue(self, entry: Sampled) -> None:
        full = len(self.entries) >= self.size
        if self.entries and not full and not self._budget.room_for(len(entry.variant) + ENTRY_BYTES):
            full = True
        if full:
            self._drop(0 if self.oldest or self.size == 1 else -1)
        self.entries.append(entry)
        self._budget.charge(len(entry.variant) + ENTRY_BYTES)
        if full:
            self._mark(0 if self.oldest else -1)

    def _drop(self, place: int) -> None:
        self._budget.charge(-len(self.entries[place].variant) - ENTRY_BYTES)
        del self.entries[place]

    def _mark(self, place: int) -> None:
        if self.size > 1:
            self.entries[place] = self.entries[place]._replace(status=self.entries[place].status | OVERFLOW)

    def take(self) -> Sampled:
        """The oldest entry."""
        entry = self.entries[0]
        self._drop(0)
        return entry

    def clear(self) -> None:
        """Empty the queue."""
        while self.entries:
            self._drop(0)


def notification(handle: int, entry: Sampled, source_time: bool, server_time: bool) -> bytes:
    """Encoded MonitoredItemNotification."""
    ticks, stamp = entry.ticks if source_time else 0, entry.stamp if server_time else 0
    return handle.to_bytes(4, "little") + wire.data_value(entry.variant, entry.status, ticks, stamp)


def exceeds(new: bytes, old: bytes, deadband: float) -> bool:
    """True where any number of one encoded Variant is further from the other's than the deadband, or shapes differ."""
    if new[:1] != old[:1]:
        return True
    now, last = _numbers(new), _numbers(old)
    if now is None or last is None or len(now) != len(last) or _dimensions(new) != _dimensions(old):
        return True
    with np.errstate(invalid="ignore"):
        moved = (now != last) & ~(np.abs(now - last) <= deadband) & ~(np.isnan(now) & np.isnan(last))
    return bool(moved.any())


def _numbers(variant: bytes) -> NDArray[Any] | None:
    """Numbers of an encoded Variant, scalar or array, as f8; None where it holds none."""
    kind = wire.WIRE_TYPE.get(variant[0] & 0x3F) if variant else None
    if kind is None:
        return None
    if not variant[0] & 0x80:
        return np.frombuffer(variant, kind, 1, 1).astype("f8")
    count = int.from_bytes(variant[1:5], "little", signed=True)
    return np.frombuffer(variant, kind, max(count, 0), 5).astype("f8")


def _dimensions(variant: bytes) -> bytes:
    """What stands behind the numbers of a matrix; empty for scalars and arrays of one dimension."""
    if variant[0] & 0xC0 != 0xC0:
        return b""
    count = int.from_bytes(variant[1:5], "little")
    return variant[5 + count * np.dtype(wire.WIRE_TYPE[variant[0] & 0x3F]).itemsize :]
