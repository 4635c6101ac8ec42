"""The monitored items of one subscription: scalars in lanes, everything else one by one."""

import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any

from asyncua import ua

from information_model.roles import Role
from server.opcua.limits import Limits
from server.opcua.publishing.budget import Budget
from server.opcua.publishing.item import Item, LaneKey, OrdinaryItem, ScalarItem, Settings
from server.opcua.publishing.lane import Lane
from server.opcua.publishing.lane_set import Entering, LaneSet
from server.opcua.publishing.ordinary import OrdinaryQueue
from server.opcua.publishing.ordinary_set import OrdinarySet
from server.opcua.publishing.revision import SLOT_BYTES, Revision
from server.opcua.publishing.sources import ItemError, ScalarSource, Sources
from server.opcua.publishing.triggering import Triggering
from server.opcua.wire import Pieces

Codes = ua.StatusCodes
_CREATED = struct.Struct("<IIdI3x")
_MODIFIED = struct.Struct("<IdI3x")
LONGEST_REST = 1_000
"""Ticks after which a subscription without items is looked at."""


class Items:
    """All items of a subscription.

    `phase` spreads the sampling of subscriptions over the ticks; `publishing_ms` is what a sampling interval of -1
    stands for; `roles` are those of the user, who may change. `rouse` is called when the next tick must not be slept
    over.
    """

    def __init__(
        self,
        sources: Sources,
        limits: Limits,
        memory: Budget,
        phase: int,
        publishing_ms: float,
        roles: frozenset[Role],
        rouse: Callable[[], None],
    ) -> None:
        self._sources, self._limits, self._phase, self._rouse = sources, limits, phase, rouse
        self._memory = Budget(limits.queue_bytes_per_subscription, memory)
        self._revision = Revision(sources, limits, self._memory)
        self.publishing_ms, self.roles = publishing_ms, roles
        self._ids = count(1)
        self._items: dict[int, Item] = {}
        self._lanes = LaneSet(sources.image)
        self._ordinary = OrdinarySet(sources)
        self._intervals: dict[int, int] = {}
        self.triggering = Triggering(self._items, self._ordinary, limits.triggering_links_per_subscription)
        self._turn = 0
        self.rest_until = 0
        """No interval begins before this tick."""

    def __len__(self) -> int:
        return len(self._items)

    @property
    def readable(self) -> bool:
        """False where the user may read no values: the statuses say so."""
        return bool(self.roles)

    @property
    def ordinary_reported(self) -> int:
        """Notifications that took the ordinary path."""
        return self._ordinary.reported

    def handles(self) -> list[tuple[int, int]]:
        """(item id, client handle) of every item."""
        return [(item.id, item.settings.handle) for item in self._items.values()]

    # -- create, modify, delete

    def create(self, requests: Sequence[Any], times: int, room: int, now: int) -> tuple[list[int], bytes]:
        """Create items and sample their first values.

        Args:
            requests: MonitoredItemCreateRequests.
            times: TimestampsToReturn.
            room: how many items the limits allow.
            now: the server's time in ticks.

        Returns:
            Ids of the items that were created; the encoded MonitoredItemCreateResults.
        """
        self._sources.freshen()
        self._stir()
        results: list[bytes] = []
        created: list[Item] = []
        entering = Entering()
        for request in requests:
            try:
                if len(created) >= room:
                    raise ItemError(Codes.BadTooManyMonitoredItems)
                item = self._create(request, times, entering)
            except ItemError as error:
                results.append(_CREATED.pack(error.code, 0, 0.0, 0))
                continue
            created.append(item)
            results.append(_CREATED.pack(0, item.id, self._interval_ms(item.settings), item.settings.size))
        self.triggering.fire(self._lanes.enter(entering, now, self.readable))
        for item in created:
            if isinstance(item, OrdinaryItem) and self._ordinary.sample(item, self.roles, now):
                self.triggering.fire((item,))
        return [item.id for item in created], b"".join(results)

    def _create(self, request: Any, times: int, entering: Entering) -> Item:
        source = self._sources.find(request.ItemToMonitor)
        settings = self._revision.settings(request.RequestedParameters, source, times, self.publishing_ms)
        mode, number = int(request.MonitoringMode), next(self._ids)
        item: Item
        if isinstance(source, ScalarSource):
            item = ScalarItem(number, source, settings, mode)
            entering.append(item, item.to_row())
            self._charge(item)
        else:
            queue = OrdinaryQueue(self._memory, settings.size, settings.oldest, settings.trigger, settings.deadband)
            item = OrdinaryItem(number, source, settings, mode, queue)
            self._ordinary.add(item)
        self._items[number] = item
        return item

    def _interval_ms(self, settings: Settings) -> float:
        return settings.every * self._limits.minimum_sample_rate_ms

    def _charge(self, item: ScalarItem, sign: int = 1) -> None:
        if item.depth > 1:
            self._memory.charge(sign * SLOT_BYTES * item.depth)

    def modify(self, requests: Sequence[Any], times: int, now: int) -> bytes:
        """Change items; the encoded MonitoredItemModifyResults."""
        self._sources.freshen()
        self._stir()
        results: list[bytes] = []
        gone: list[tuple[LaneKey, int]] = []
        entering = Entering()
        for request in requests:
            item = self._items.get(int(request.MonitoredItemId))
            try:
                if item is None:
                    raise ItemError(Codes.BadMonitoredItemIdInvalid)
                given, held = request.RequestedParameters, item.settings.size
                settings = self._revision.settings(given, item.source, times, self.publishing_ms, held)
            except ItemError as error:
                results.append(_MODIFIED.pack(error.code, 0.0, 0))
                continue
            if isinstance(item, ScalarItem):
                if item in entering:
                    # Named twice in a request: it must be in a lane before it moves again.
                    self._move(gone, entering, now)
                    gone, entering = [], Entering()
                assert item.lane is not None
                row = item.lane.export(item.row)
                gone.append((item.key, item.row))
                self._charge(item, -1)
                item.settings = settings
                self._charge(item)
                entering.append(item, item.to_row(row))
            else:
                self._ordinary.modify(item, settings)
            results.append(_MODIFIED.pack(0, self._interval_ms(settings), settings.size))
        self._move(gone, entering, now)
        return b"".join(results)

    def _move(self, gone: list[tuple[LaneKey, int]], entering: Entering, now: int) -> None:
        self._lanes.leave(gone)
        self.triggering.fire(self._lanes.enter(entering, now, self.readable))

    def delete(self, numbers: Iterable[int]) -> list[int]:
        """Delete items; a status for each."""
        codes: list[int] = []
        gone: list[tuple[LaneKey, int]] = []
        deleted: list[Item] = []
        for number in numbers:
            item = self._items.pop(int(number), None)
            codes.append(int(Codes.Good if item is not None else Codes.BadMonitoredItemIdInvalid))
            if item is None:
                continue
            deleted.append(item)
            if isinstance(item, ScalarItem):
                gone.append((item.key, item.row))
                self._charge(item, -1)
            else:
                self._ordinary.remove(item)
        self._lanes.leave(gone)
        self.triggering.remove(deleted)
        return codes

    def clear(self) -> None:
        """Let go of everything."""
        self._items.clear()
        self._lanes = LaneSet(self._sources.image)
        self._ordinary.clear()
        self._memory.release()
        self.triggering.clear()

    def set_mode(self, numbers: Iterable[int], mode: int, now: int) -> list[int]:
        """Change the monitoring mode of items; a status for each."""
        self._sources.freshen()
        self._stir()
        items = [self._items.get(int(number)) for number in numbers]
        scalars = [item for item in items if isinstance(item, ScalarItem)]
        self.triggering.fire(self._lanes.set_mode(scalars, mode, now, self.readable))
        for item in items:
            if isinstance(item, OrdinaryItem) and self._ordinary.set_mode(item, mode, self.roles, now):
                self.triggering.fire((item,))
        return [int(Codes.Good if item is not None else Codes.BadMonitoredItemIdInvalid) for item in items]

    # -- sampling

    def sample(self, tick: int, now: int) -> Iterator[None]:
        """Sample everything whose interval has begun, in steps between which other tasks may run.

        `tick` counts image periods, `now` is the server's time in ticks of 100 ns.
        """
        begun, rest_until = set(), tick + LONGEST_REST
        keys = self._lanes.keys()
        for every in {key[1] for key in keys} | self._ordinary.intervals():
            rest_until = min(rest_until, tick + every - (tick + self._phase) % every)
            interval = (tick + self._phase) // every
            if self._intervals.get(every) != interval:
                self._intervals[every] = interval
                begun.add(every)
        # Before the steps: what is changed between two of them is not slept over.
        self.rest_until = rest_until
        if begun:
            self._sources.freshen_once()
        for key in keys:
            if key[1] in begun:
                self.triggering.fire(self._lanes.sample(key, now, self.readable))
                yield
        for step in self._ordinary.sample_due(begun, self.roles, now):
            self.triggering.fire(step)
            yield

    def _stir(self) -> None:
        """Something is to be looked at in the next tick, whether an interval begins or not."""
        self.rest_until = 0
        self._rouse()

    def new_user(self, roles: frozenset[Role], now: int) -> None:
        """Another user: what depends on roles is judged anew, ordinary items at the next tick."""
        self.roles = roles
        self._sources.freshen()
        self._stir()
        self.triggering.fire(self._lanes.sample_all(now, self.readable))
        self._ordinary.look_again()

    def resend(self, now: int) -> None:
        """Queue the last value of every reporting item that has none queued, ordinary ones at the next tick."""
        self._sources.freshen()
        self._stir()
        self.triggering.fire(self._lanes.resend(now, self.readable))
        self._ordinary.resend()

    # -- reporting

    def ready(self) -> bool:
        """True where something is to be reported."""
        return self._ordinary.ready or self._lanes.ready()

    def take(self, limit: int, room: int) -> tuple[int, Pieces]:
        """Up to `limit` encoded notifications in about `room` bytes: (number, their bytes).

        Lanes and ordinary items take turns in being first, so that none starves behind the others.
        """
        parts: list[bytes] = []
        total, left = 0, room
        takers: list[Lane | None] = [*self._lanes, None]
        first = self._turn % len(takers)
        for taker in takers[first:] + takers[:first]:
            if total >= limit or left <= 0:
                break
            if taker is None:
                number, data = self._ordinary.take(limit - total, left, alone=not total)
            else:
                number, data = taker.take(min(limit - total, max(left // taker.item_bytes, int(not total))))
            total += number
            left -= len(data)
            parts.append(data)
        if self.ready():
            self._turn += 1
        else:
            self.forget_triggers()
        return total, tuple(parts)

    def forget_triggers(self) -> None:
        """End of a publishing cycle: what linked items queue from now on waits for the next trigger."""
        if self.triggering.served():
            self._lanes.forget_triggers()
            self._ordinary.forget_triggers()
