"""Links between the items of a subscription (OPC 10000-4, 5.13.1.6 and 5.13.5): a change of one reports others."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from asyncua import ua

from server.opcua.publishing.item import Item, OrdinaryItem, ScalarItem
from server.opcua.publishing.ordinary_set import OrdinarySet
from server.opcua.publishing.row import SAMPLING
from server.opcua.publishing.sources import ItemError

Codes = ua.StatusCodes


class Triggering:
    """Which item reports which others. `items` are those of the subscription by id; `maximum` bounds all links."""

    def __init__(self, items: Mapping[int, Item], ordinary: OrdinarySet, maximum: int) -> None:
        self._items, self._ordinary, self._maximum = items, ordinary, maximum
        self._links = 0
        self._fired = False

    def link(self, trigger: int, add: Iterable[int], remove: Iterable[int]) -> tuple[list[int], list[int]]:
        """Add and remove links from a triggering item; a status for each. Raises ItemError for an unknown trigger."""
        item = self._items.get(trigger)
        if item is None:
            raise ItemError(Codes.BadMonitoredItemIdInvalid)
        links = item.links = item.links or set()
        before = len(links)
        removed: list[int] = []
        # Removed first (OPC 10000-4, 5.13.5.1).
        for number in map(int, remove):
            removed.append(int(Codes.Good if number in links else Codes.BadMonitoredItemIdInvalid))
            links.discard(number)
        added: list[int] = []
        for number in map(int, add):
            if number not in self._items:
                added.append(int(Codes.BadMonitoredItemIdInvalid))
            elif self._links + len(links) - before >= self._maximum:
                added.append(int(Codes.BadTooManyMonitoredItems))
            else:
                added.append(int(Codes.Good))
                links.add(number)
        self._links += len(links) - before
        if isinstance(item, ScalarItem) and item.lane is not None:
            item.lane.set_linker(np.array([item.row]), bool(links))
        return added, removed

    def remove(self, deleted: Sequence[Item]) -> None:
        """Items that are gone trigger nothing, and nothing triggers them."""
        self._links -= sum(len(item.links or ()) for item in deleted)
        if not self._links or not deleted:
            return
        gone = {item.id for item in deleted}
        for other in self._items.values():
            if other.links:
                self._links -= len(other.links & gone)
                other.links -= gone

    def clear(self) -> None:
        """All items are gone."""
        self._links = 0

    def fire(self, items: Iterable[Item]) -> None:
        """A change of these items was seen, reported or not: what their partners have queued is reported."""
        for item in items:
            for number in item.links or ():
                linked = self._items.get(number)
                if linked is None or linked.mode != SAMPLING:
                    continue
                self._fired = True
                if isinstance(linked, OrdinaryItem):
                    self._ordinary.trigger(linked)
                elif linked.lane is not None:
                    linked.lane.trigger_rows(np.array([linked.row]))

    def served(self) -> bool:
        """A publishing cycle ends: True where anything was triggered in it."""
        fired, self._fired = self._fired, False
        return fired
