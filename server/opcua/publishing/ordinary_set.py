"""The ordinary items of a subscription: when they are sampled, and which of them have something to report."""

from collections.abc import Iterator

from asyncua import ua

from information_model.roles import Role
from server.opcua.publishing.item import OrdinaryItem, Settings
from server.opcua.publishing.ordinary import notification
from server.opcua.publishing.row import DISABLED, REPORTING
from server.opcua.publishing.sources import Sources

SLICE_ITEMS = 200
MESSAGE_ITEMS = 2_000
"""Most ordinary notifications in one message: they cost a hundred times as much as scalars."""
_TOO_LONG = int(ua.StatusCodes.BadEncodingLimitsExceeded)


class OrdinarySet:
    """Items by id, by sampling interval, and by readiness."""

    def __init__(self, sources: Sources) -> None:
        self._sources = sources
        self._items: dict[int, OrdinaryItem] = {}
        self._by_interval: dict[int, dict[int, OrdinaryItem]] = {}
        self._urgent: dict[int, OrdinaryItem] = {}
        self._ready: dict[int, OrdinaryItem] = {}
        self.reported = 0

    # -- items

    def add(self, item: OrdinaryItem) -> None:
        """A new item. What never changes is sampled only when it is asked for."""
        self._items[item.id] = item
        if item.source.changes:
            self._by_interval.setdefault(item.settings.every, {})[item.id] = item

    def remove(self, item: OrdinaryItem) -> None:
        """The item is deleted."""
        item.queue.clear()
        self._take_out(item)
        for table in (self._items, self._urgent, self._ready):
            table.pop(item.id, None)

    def _take_out(self, item: OrdinaryItem) -> None:
        same = self._by_interval.get(item.settings.every, {})
        same.pop(item.id, None)
        if not same:
            self._by_interval.pop(item.settings.every, None)

    def clear(self) -> None:
        """Let go of everything; the memory budget is given back as a whole."""
        for table in (self._items, self._by_interval, self._urgent, self._ready):
            table.clear()

    def modify(self, item: OrdinaryItem, settings: Settings) -> None:
        """New settings."""
        self._take_out(item)
        item.settings = settings
        item.queue.change(settings.size, settings.oldest, settings.trigger, settings.deadband)
        self.add(item)

    def set_mode(self, item: OrdinaryItem, mode: int, roles: frozenset[Role], now: int) -> bool:
        """Change the mode; True where that made the item report its first value."""
        before, item.mode = item.mode, mode
        changed = False
        if mode == DISABLED:
            item.queue.clear()
            item.triggered = False
        elif before == DISABLED:
            item.queue.fresh = True
            changed = self.sample(item, roles, now)
        self._offer(item)
        return changed

    # -- sampling

    def intervals(self) -> set[int]:
        """Sampling intervals in use, in image periods."""
        return set(self._by_interval)

    def sample(self, item: OrdinaryItem, roles: frozenset[Role], now: int) -> bool:
        """Sample one item; True where it has changed."""
        if item.mode == DISABLED or not item.queue.sample(self._sources.read(item.source, roles), now):
            return False
        self._offer(item)
        return True

    def sample_due(self, begun: set[int], roles: frozenset[Role], now: int) -> Iterator[list[OrdinaryItem]]:
        """Sample in steps the items whose interval has begun; each step gives those that changed and have links."""
        due = [item for every in begun for item in self._by_interval.get(every, {}).values()]
        due += [item for item in self._urgent.values() if item.settings.every not in begun or not item.source.changes]
        self._urgent.clear()
        for start in range(0, len(due), SLICE_ITEMS):
            step = []
            for item in due[start : start + SLICE_ITEMS]:
                # Between two steps an item may have been deleted.
                if item.id in self._items and self.sample(item, roles, now) and item.links:
                    step.append(item)
            yield step

    def look_again(self) -> None:
        """Sample everything at the next tick."""
        self._urgent.update(self._items)

    def resend(self) -> None:
        """Report the value of every reporting item that has none queued, whether it has changed or not."""
        for item in self._items.values():
            if item.mode == REPORTING and not item.queue.entries:
                item.queue.fresh = True
                self._urgent[item.id] = item

    # -- triggering and reporting

    def trigger(self, item: OrdinaryItem) -> None:
        """Report what this sampling item has queued."""
        item.triggered = True
        self._offer(item)

    def forget_triggers(self) -> None:
        """What sampling items queue from now on waits for the next trigger."""
        for item in self._items.values():
            item.triggered = False

    def _offer(self, item: OrdinaryItem) -> None:
        if item.queue.entries and (item.mode == REPORTING or item.triggered):
            self._ready[item.id] = item
        else:
            self._ready.pop(item.id, None)

    @property
    def ready(self) -> bool:
        """True where something is to be reported."""
        return bool(self._ready)

    def take(self, limit: int, room: int, *, alone: bool) -> tuple[int, bytes]:
        """Up to `limit` encoded notifications in `room` bytes: (number, bytes).

        Where the message would otherwise be empty (`alone`), a value that fits into no message of this client gives
        way to a status that says so.
        """
        parts: list[bytes] = []
        left = room
        while self._ready and len(parts) < min(limit, MESSAGE_ITEMS):
            number, item = next(iter(self._ready.items()))
            settings, entry = item.settings, item.queue.entries[0]
            data = notification(settings.handle, entry, settings.source_time, settings.server_time)
            if len(data) > left:
                if parts or not alone:
                    break
                entry = entry._replace(variant=b"", status=_TOO_LONG)
                data = notification(settings.handle, entry, settings.source_time, settings.server_time)
            item.queue.take()
            # Behind all others, so that a full queue holds up nobody.
            del self._ready[number]
            self._offer(item)
            parts.append(data)
            left -= len(data)
        self.reported += len(parts)
        return len(parts), b"".join(parts)
