"""All lanes of a subscription, and which item is which row."""

from collections.abc import Iterable, Iterator

import numpy as np

from server.opcua.publishing.columns import Array
from server.opcua.publishing.item import LaneKey, ScalarItem
from server.opcua.publishing.lane import Lane
from server.opcua.publishing.queue_lane import make_lane
from server.opcua.publishing.row import DISABLED, Image, Row


class Entering:
    """Rows of one request, collected so that each lane is touched once."""

    def __init__(self) -> None:
        self.by_lane: dict[LaneKey, tuple[list[ScalarItem], list[Row]]] = {}
        self._items: set[int] = set()

    def append(self, item: ScalarItem, row: Row) -> None:
        """One more row, for the lane that the item's settings name."""
        items, rows = self.by_lane.setdefault(item.key, ([], []))
        items.append(item)
        rows.append(row)
        self._items.add(item.id)

    def __contains__(self, item: ScalarItem) -> bool:
        return item.id in self._items


class LaneSet:
    """Lanes by their key. What samples returns the items whose change triggers others."""

    def __init__(self, image: Image) -> None:
        self._image = image
        self._lanes: dict[LaneKey, Lane] = {}
        self._members: dict[LaneKey, list[ScalarItem | None]] = {}

    def __iter__(self) -> Iterator[Lane]:
        return iter(self._lanes.values())

    def keys(self) -> list[LaneKey]:
        """Keys of all lanes."""
        return list(self._lanes)

    # -- rows

    def enter(self, entering: Entering, now: int, readable: bool) -> list[ScalarItem]:
        """Put rows into their lanes and sample those that wait for their first value."""
        triggers = []
        for key, (items, rows) in entering.by_lane.items():
            lane = self._lanes.get(key)
            if lane is None:
                built_in, _, source_time, server_time, depth = key
                lane = self._lanes[key] = make_lane(
                    built_in, source_time=source_time, server_time=server_time, depth=depth
                )
                self._members[key] = []
            numbers = lane.add(rows)
            self._members[key] += items
            for item, row in zip(items, numbers.tolist(), strict=True):
                item.lane, item.row = lane, row
            linkers = np.array([item.row for item in items if item.links], "i8")
            if len(linkers):
                lane.set_linker(linkers, True)
            triggers += self._sample_waiting(key, lane, numbers, now, readable)
        return triggers

    def leave(self, gone: Iterable[tuple[LaneKey, int]]) -> None:
        """Take rows out of their lanes; a lane without rows ends."""
        by_lane: dict[LaneKey, list[int]] = {}
        for key, row in gone:
            by_lane.setdefault(key, []).append(row)
        for key, rows in by_lane.items():
            lane, members = self._lanes[key], self._members[key]
            for row in rows:
                members[row] = None
            lane.remove(np.array(rows))
            if not lane.live:
                del self._lanes[key], self._members[key]

    def set_mode(self, items: Iterable[ScalarItem], mode: int, now: int, readable: bool) -> list[ScalarItem]:
        """Change the mode; items that were disabled report their first value."""
        by_lane: dict[LaneKey, set[int]] = {}
        for item in items:
            by_lane.setdefault(item.key, set()).add(item.row)
            item.mode = mode
        triggers = []
        for key, rows in by_lane.items():
            lane, found = self._lanes[key], np.array(sorted(rows))
            lane.set_mode(found, mode)
            triggers += self._sample_waiting(key, lane, found, now, readable)
        return triggers

    # -- sampling

    def _sample_waiting(self, key: LaneKey, lane: Lane, rows: Array, now: int, readable: bool) -> list[ScalarItem]:
        waiting = rows[lane.fresh[rows] & (lane.mode[rows] != DISABLED)]
        return self._changed(key, lane, lane.sample(self._image, now, waiting, readable)) if len(waiting) else []

    def sample(self, key: LaneKey, now: int, readable: bool) -> list[ScalarItem]:
        """Sample a lane."""
        lane = self._lanes.get(key)
        if lane is None:
            return []
        old = lane.order()
        if old is not None:
            self._reorder(key, lane, old)
        return self._changed(key, lane, lane.sample(self._image, now, None, readable))

    def sample_all(self, now: int, readable: bool) -> list[ScalarItem]:
        """Sample every lane, whether its interval is over or not."""
        return [item for key in self.keys() for item in self.sample(key, now, readable)]

    def resend(self, now: int, readable: bool) -> list[ScalarItem]:
        """Queue the value of every reporting item that has none queued."""
        triggers = []
        for key, lane in self._lanes.items():
            triggers += self._sample_waiting(key, lane, lane.resend(), now, readable)
        return triggers

    def _changed(self, key: LaneKey, lane: Lane, rows: Array) -> list[ScalarItem]:
        if not lane.linkers or not len(rows):
            return []
        members = self._members[key]
        found = [members[row] for row in rows[lane.linker[rows]].tolist()]
        return [item for item in found if item is not None]

    def _reorder(self, key: LaneKey, lane: Lane, old: Array) -> None:
        lane.reorder(old)
        before = self._members[key]
        after = self._members[key] = [before[row] for row in old.tolist()]
        for row, item in enumerate(after):
            if item is not None:
                item.row = row

    # -- reporting

    def ready(self) -> bool:
        """True where something is to be reported."""
        return any(lane.ready() for lane in self._lanes.values())

    def forget_triggers(self) -> None:
        """What sampling items queue from now on waits for the next trigger."""
        for lane in self._lanes.values():
            lane.forget_triggers()
