"""Lanes: monitored scalars of one subscription that are sampled together, as arrays with one row per item.

A value is compared with the last one that was *put into the queue*, never with the last sample: a slow ramp passes its
deadband in the end. NaN after NaN is no change, a new status always is (OPC 10000-4, 7.22.2).
"""

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
from asyncua import ua

from information_model.quality import BAD
from server.opcua import wire
from server.opcua.publishing.columns import Array, Columns
from server.opcua.publishing.encoding import LARGEST_ITEM_BYTES, OVERFLOW, as_type, record, scalars
from server.opcua.publishing.row import DISABLED, REPORTING, STATUS_VALUE, STATUS_VALUE_TIMESTAMP, Entry, Image, Row

DENIED, NO_DATA = int(ua.StatusCodes.BadUserAccessDenied), int(ua.StatusCodes.BadNoData)
_WHOLE = slice(None)


class Lane(Columns):
    """Items with a queue of one: the queued value is the last one reported, so no queue is stored."""

    columns: ClassVar[dict[str, str]] = {
        "slot": "i8", "handle": "<u4", "deadband": "f8", "trigger": "u1", "mode": "u1",
        "value": "f8", "status": "u4", "ticks": "i8", "stamp": "i8",
        "fresh": "?", "linker": "?", "triggered": "?", "used": "?", "pending": "i4",
    }  # fmt: skip

    def __init__(self, built_in: int, *, source_time: bool = True, server_time: bool = False, depth: int = 1) -> None:
        self.built_in, self.depth = built_in, depth
        self.source_time, self.server_time = source_time, server_time
        super().__init__()
        self._free = 0
        self._next = 0
        self.slot: Array
        self.handle: Array
        self.deadband: Array
        self.trigger: Array
        self.mode: Array
        self.value: Array
        self.status: Array
        self.ticks: Array
        self.stamp: Array
        self.fresh: Array
        self.linker: Array
        self.triggered: Array
        self.used: Array
        self.pending: Array
        self._view()

    # -- rows

    def _settle(self) -> None:
        self._deadbands = bool((self.deadband != 0).any())
        self._plain = bool((self.trigger == STATUS_VALUE).all())
        self._enabled = bool((self.mode != DISABLED).all())
        self._reporting = bool((self.mode == REPORTING).all())
        self._freshes = bool(self.fresh.any())
        self.linkers = bool(self.linker.any())
        self._buffer: Array | None = None
        first = int(self.slot[0]) if self.count else 0
        run = self.count > 0 and bool((self.slot == np.arange(first, first + self.count)).all())
        self._run = slice(first, first + self.count) if run else None

    def add(self, rows: Sequence[Row]) -> Array:
        """Take over items; returns their row numbers."""
        start = self._grow(len(rows))
        for name in ("slot", "handle", "deadband", "trigger", "mode", "value", "status", "ticks", "fresh"):
            self._store[name][start : self.count] = [getattr(row, name) for row in rows]
        for name in ("linker", "triggered", "pending", "stamp"):
            self._store[name][start : self.count] = 0
        self._store["used"][start : self.count] = True
        self._view()
        for index, row in enumerate(rows, start):
            if row.entries:
                self._restore(index, row)
        return np.arange(start, self.count)

    def _restore(self, index: int, row: Row) -> None:
        last = row.entries[-1]
        # A queue of one never tells of an overflow.
        self.value[index], self.status[index] = last.value, last.status & ~OVERFLOW
        self.ticks[index], self.stamp[index], self.pending[index] = last.ticks, last.stamp, 1

    def export(self, index: int) -> Row:
        """An item with everything that another lane needs to go on with it."""
        return Row(
            int(self.slot[index]),
            int(self.handle[index]),
            float(self.deadband[index]),
            int(self.trigger[index]),
            int(self.mode[index]),
            1,
            True,
            float(self.value[index]),
            int(self.status[index]),
            int(self.ticks[index]),
            bool(self.fresh[index]),
            self.entries(index),
        )

    def entries(self, index: int) -> list[Entry]:
        """Queued entries of an item, oldest first."""
        if not self.pending[index]:
            return []
        columns = (self.value, self.status, self.ticks, self.stamp)
        value, status, ticks, stamp = (column[index].item() for column in columns)
        return [Entry(value, status, ticks, stamp)]

    def remove(self, rows: Array) -> None:
        """Free rows; `order` tells when it is worth closing the gaps."""
        self.used[rows] = self.linker[rows] = self.triggered[rows] = self.fresh[rows] = False
        self.mode[rows] = self.pending[rows] = 0
        self._free += len(rows)
        self._settle()

    def order(self) -> Array | None:
        """Old row numbers in their new order where rows should move, else None.

        Gaps are closed when they are a quarter of the lane; rows that cover a run of slots are sorted, because a slice
        is sampled faster than a scatter of slots.
        """
        if self._free * 4 > self.count:
            return np.flatnonzero(self.used)
        if self._free or self._run is not None or self.count < 2:
            return None
        if int(self.slot.max()) - int(self.slot.min()) + 1 != self.count:
            return None
        found = np.argsort(self.slot, kind="stable")
        return found if bool((np.diff(self.slot[found]) == 1).all()) else None

    def reorder(self, old: Array) -> None:
        """Move rows: new row i is old row `old[i]`; rows not named are gone."""
        self._free = self._next = 0
        super().reorder(old)

    def set_mode(self, rows: Array, mode: int) -> None:
        """Change the mode; a disabled item loses its queue, one that is enabled again reports its first value."""
        woken = rows[self.mode[rows] == DISABLED] if mode != DISABLED else rows[:0]
        self.fresh[woken] = True
        self.mode[rows] = mode
        if mode == DISABLED:
            self.pending[rows], self.triggered[rows] = 0, False
        self._settle()

    def set_linker(self, rows: Array, linker: bool) -> None:
        """Say whether changes of these rows trigger other items."""
        self.linker[rows] = linker
        self._settle()

    def resend(self) -> Array:
        """Rows of reporting items without a queued value; their next sample is reported whatever it is."""
        rows = np.flatnonzero((self.mode == REPORTING) & (self.pending == 0))
        self.fresh[rows] = True
        self._settle()
        return rows

    # -- sampling

    def sample(self, image: Image, now: int = 0, only: Array | None = None, readable: bool = True) -> Array:
        """Compare with what was queued last, queue what moved; returns the rows that did.

        Args:
            now: the server's time in ticks.
            only: rows to sample; by default all.
            readable: False where the user may read no values: the status says so.
        """
        rows: Any = _WHOLE if only is None else only
        value, status, ticks = self._look(image, rows, only is None, readable)
        last = self.value[rows]
        moved = value != last
        if moved.any():
            moved &= (value == value) | (last == last)  # false for NaN only
            if self._deadbands:
                with np.errstate(invalid="ignore"):
                    moved &= ~(np.abs(value - last) <= self.deadband[rows])
        if not self._plain:
            trigger = self.trigger[rows]
            moved &= trigger >= STATUS_VALUE
            stamps = (trigger == STATUS_VALUE_TIMESTAMP) & (self.deadband[rows] == 0)
            moved |= stamps & (ticks != self.ticks[rows])
        moved |= status != self.status[rows]
        if self._freshes:
            moved |= self.fresh[rows]
        if not self._enabled:
            moved &= self.mode[rows] != DISABLED
        changed = np.flatnonzero(moved)
        if not len(changed):
            return changed
        if only is None and len(changed) == self.count:
            self._queue(_WHOLE, value, status, ticks, now)
        else:
            found = changed if only is None else only[changed]
            self._queue(found, value[changed], status[changed], ticks[changed], now)
            changed = found
        if self._freshes:
            self.fresh[changed] = False
            self._freshes = bool(self.fresh.any())
        return changed

    def _look(self, image: Image, rows: Any, every: bool, readable: bool) -> tuple[Array, Array, Array]:
        if not readable:
            count = len(self.slot[rows])
            return np.full(count, np.nan), np.full(count, DENIED, "u4"), np.zeros(count, "i8")
        slot: Any = self._run if every and self._run is not None else self.slot[rows]
        value, status, ticks = image.value[slot], image.status[slot], image.ticks[slot]
        if self.built_in == wire.FLOAT:
            # Compared as it travels, or one Float would be reported twice.
            value = as_type(wire.FLOAT, value).astype("f8")
        elif self.built_in not in wire.FLOATS:
            empty = np.isnan(value) & (status < BAD)
            if empty.any():
                # An integer has no NaN: without a number there is no value to send.
                status = np.where(empty, np.uint32(NO_DATA), status)
        return value, status, ticks

    def _queue(self, rows: Any, value: Array, status: Array, ticks: Array, now: int) -> None:
        self.value[rows], self.status[rows], self.ticks[rows] = value, status, ticks
        if self.server_time:
            self.stamp[rows] = now
        self.pending[rows] = 1

    # -- reporting

    def trigger_rows(self, rows: Array) -> None:
        """Report what these sampling items have queued."""
        self.triggered[rows] = True

    def forget_triggers(self) -> None:
        """A trigger has been served: later values of sampling items wait for the next one."""
        self.triggered[:] = False

    def _ready(self) -> Array:
        ready = self.pending > 0
        if not self._reporting:
            ready &= (self.mode == REPORTING) | self.triggered
        return ready

    def ready(self) -> bool:
        """True where something is to be reported."""
        return bool(self._ready().any())

    def take(self, limit: int) -> tuple[int, bytes]:
        """Up to `limit` encoded notifications: (number, bytes). Items that found no room come first the next time."""
        rows = np.flatnonzero(self._ready())
        if not len(rows):
            return 0, b""
        if len(rows) > limit:
            rows = np.roll(rows, -int(np.searchsorted(rows, self._next)))
        parts, total = [], 0
        while len(rows) and total < limit:
            taken = rows[: limit - total]
            parts.append(self._pack(taken))
            total += len(taken)
            self._next = int(taken[-1]) + 1
            rows = rows[self.pending[rows] > 0] if self.depth > 1 and self.pending.any() else rows[:0]
        return total, b"".join(parts)

    def _pack(self, rows: Array) -> bytes:
        if len(rows) == self.count:
            self.pending[:] = 0
            whole = self._pack_whole(self.value, self.status, self.ticks, self.stamp)
            if whole:
                return whole
        else:
            self.pending[rows] = 0
        source_times = self.ticks[rows] if self.source_time else None
        server_times = self.stamp[rows] if self.server_time else None
        return scalars(
            self.built_in, self.handle[rows], self.value[rows], self.status[rows], source_times, server_times
        )

    def _pack_whole(self, value: Array, status: Array, ticks: Array, stamp: Array | None) -> bytes:
        """All rows, with these values, from a prepared array of records; empty unless all are Good and have a time."""
        if status.any() or (self.source_time and not ticks.all()):
            return b""
        if self._buffer is None:
            layout, mask = record(self.built_in, True, False, self.source_time, self.server_time)
            self._buffer = np.empty(self.count, layout)
            self._buffer["handle"], self._buffer["mask"], self._buffer["type"] = self.handle, mask, self.built_in
        out = self._buffer
        out["value"] = as_type(self.built_in, value)
        if self.source_time:
            out["source_time"] = ticks
        if self.server_time:
            out["server_time"] = stamp
        return out.tobytes()

    @property
    def live(self) -> int:
        """Rows in use."""
        return self.count - self._free

    @property
    def item_bytes(self) -> int:
        """No notification of this lane is longer."""
        return LARGEST_ITEM_BYTES
