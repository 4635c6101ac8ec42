"""Lanes for queues longer than one: a ring per item (OPC 10000-4, 5.13.1.5).

Most queues never hold more than one value, because it is published before the next one comes. As long as that holds for
all of a lane, its rings are not used: the queued value is the last one reported, as in a lane without queues. When a second
value comes, the first ones move into the rings. Items that were made alike and change alike have their rings in step: then
a sample is one column of all rings, written and read as a whole. Everything else goes ring by ring.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from server.opcua.publishing.columns import Array
from server.opcua.publishing.encoding import OVERFLOW, scalars
from server.opcua.publishing.lane import Lane
from server.opcua.publishing.row import Entry, Row, cut


class QueueLane(Lane):
    """Items with longer queues: rings of `depth` places of which an item uses its own `size`."""

    columns = Lane.columns | {"size": "i4", "oldest": "?", "head": "i4"}
    size: Array
    oldest: Array
    head: Array
    q_value: Array
    q_status: Array
    q_ticks: Array
    q_stamp: Array

    def __init__(self, built_in: int, *, source_time: bool = True, server_time: bool = False, depth: int) -> None:
        self._single = True
        super().__init__(built_in, source_time=source_time, server_time=server_time, depth=depth)
        for name, kind in (("q_value", "f8"), ("q_status", "u4"), ("q_ticks", "i8"), ("q_stamp", "i8")):
            if server_time or name != "q_stamp":
                self._store[name] = np.zeros((0, depth), kind)
        self._view()

    def add(self, rows: Sequence[Row]) -> Array:
        """Take over items; returns their row numbers."""
        self._spill()
        start, entries = self.count, [row.entries for row in rows]
        bare = [_without_entries(row) for row in rows]
        found = super().add(bare)
        for name in ("size", "oldest"):
            self._store[name][start : self.count] = [getattr(row, name) for row in rows]
        self._store["head"][start : self.count] = 0
        for index, row, queued in zip(found.tolist(), rows, entries, strict=True):
            for place, entry in enumerate(cut(queued, row.size, row.oldest)):
                self.q_value[index, place], self.q_status[index, place] = entry.value, entry.status
                self.q_ticks[index, place] = entry.ticks
                if self.server_time:
                    self.q_stamp[index, place] = entry.stamp
                self.pending[index] = place + 1
        self._settle()
        return found

    def export(self, index: int) -> Row:
        """An item with everything that another lane needs to go on with it."""
        row = super().export(index)
        row.size, row.oldest = int(self.size[index]), bool(self.oldest[index])
        return row

    def entries(self, index: int) -> list[Entry]:
        """Queued entries of an item, oldest first."""
        if self._single:
            return super().entries(index)
        places = (int(self.head[index]) + np.arange(int(self.pending[index]))) % int(self.size[index] or 1)
        stamps: Iterable[int] = self.q_stamp[index, places].tolist() if self.server_time else [0] * len(places)
        columns = (self.q_value, self.q_status, self.q_ticks)
        lists = [column[index, places].tolist() for column in columns]
        return [Entry(*numbers) for numbers in zip(*lists, stamps, strict=True)]

    def _settle(self) -> None:
        super()._settle()
        self._one_size = _same(self.size)

    def _spill(self) -> None:
        """From now on the rings are used."""
        if not self._single:
            return
        self._single = False
        rows = np.flatnonzero(self.pending)
        head = self.head[rows]
        for name in ("value", "status", "ticks", *(("stamp",) if self.server_time else ())):
            self._store[f"q_{name}"][rows, head] = self._store[name][rows]

    def _queue(self, rows: Any, value: Array, status: Array, ticks: Array, now: int) -> None:
        if self._single:
            if not self.pending[rows].any():
                super()._queue(rows, value, status, ticks, now)
                return
            self._spill()
        self.value[rows], self.status[rows], self.ticks[rows] = value, status, ticks
        if isinstance(rows, slice):
            if self._one_size and self.pending[0] < self.size[0] and _same(self.head) and _same(self.pending):
                column = int(self.head[0] + self.pending[0]) % int(self.size[0])
                self.q_value[:, column], self.q_status[:, column], self.q_ticks[:, column] = value, status, ticks
                if self.server_time:
                    self.q_stamp[:, column] = now
                self.pending += 1
                return
            rows = np.arange(self.count)
        full = self.pending[rows] >= self.size[rows]
        if full.any():
            status = self._make_room(rows, full, status)
        place = (self.head[rows] + self.pending[rows]) % self.size[rows]
        self.q_value[rows, place], self.q_status[rows, place], self.q_ticks[rows, place] = value, status, ticks
        if self.server_time:
            self.q_stamp[rows, place] = now
        self.pending[rows] += 1

    def _make_room(self, rows: Array, full: Array, status: Array) -> Array:
        """Discard by policy and mark the value next to the gap; returns the statuses of the new values."""
        oldest = self.oldest[rows]
        drop = rows[full & oldest]
        self.head[drop] = (self.head[drop] + 1) % self.size[drop]
        self.q_status[drop, self.head[drop]] |= np.uint32(OVERFLOW)
        # Otherwise the newest queued value gives way to the new one, which is marked.
        self.pending[rows[full]] -= 1
        return np.where(full & ~oldest, status | np.uint32(OVERFLOW), status)

    def _pack(self, rows: Array) -> bytes:
        if self._single:
            return super()._pack(rows)
        data = self._pack_oldest(rows)
        self._single = not self.pending.any()
        return data

    def _pack_oldest(self, rows: Array) -> bytes:
        if len(rows) == self.count and self._one_size and _same(self.head):
            column = int(self.head[0])
            stamp = self.q_stamp[:, column] if self.server_time else None
            whole = self._pack_whole(self.q_value[:, column], self.q_status[:, column], self.q_ticks[:, column], stamp)
            if whole:
                self.pending -= 1
                self.head[:] = (self.pending > 0) * ((column + 1) % int(self.size[0]))
                return whole
        head = self.head[rows]
        source_times = self.q_ticks[rows, head] if self.source_time else None
        server_times = self.q_stamp[rows, head] if self.server_time else None
        data = scalars(
            self.built_in,
            self.handle[rows],
            self.q_value[rows, head],
            self.q_status[rows, head],
            source_times,
            server_times,
        )
        left = self.pending[rows] - 1
        self.pending[rows] = left
        # An empty ring begins at its first place again: so those that were out of step come together.
        self.head[rows] = (left > 0) * ((head + 1) % self.size[rows])
        return data


def _same(column: Array) -> bool:
    """True where all rows have the same number."""
    return len(column) > 0 and bool((column == column[0]).all())


def _without_entries(row: Row) -> Row:
    return Row(
        row.slot, row.handle, row.deadband, row.trigger, row.mode, row.size, row.oldest,
        row.value, row.status, row.ticks, row.fresh,
    )  # fmt: skip


def make_lane(built_in: int, *, source_time: bool, server_time: bool, depth: int) -> Lane:
    """The kind of lane that a queue of this depth needs."""
    if depth == 1:
        return Lane(built_in, source_time=source_time, server_time=server_time)
    return QueueLane(built_in, source_time=source_time, server_time=server_time, depth=depth)
