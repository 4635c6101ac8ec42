"""One monitored item: what a client set, and where its samples are kept."""

from dataclasses import dataclass

from server.opcua.publishing.lane import Lane
from server.opcua.publishing.ordinary import OrdinaryQueue
from server.opcua.publishing.row import Row
from server.opcua.publishing.sources import OrdinarySource, ScalarSource

DEPTHS = (1, 4, 20, 100)
"""Places in the queues of a lane: queues of similar length share one."""
LaneKey = tuple[int, int, bool, bool, int]
"""Built-in type, image periods between samples, source time wanted, server time wanted, depth."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What a client set for an item. `every` counts image periods, `oldest` is the discard policy, `source_time` and
    `server_time` say which times are wanted."""

    handle: int
    every: int
    size: int
    oldest: bool
    trigger: int
    deadband: float
    source_time: bool
    server_time: bool


@dataclass(slots=True, eq=False)
class ScalarItem:
    """An item that is a row of a lane; both are set when it enters one."""

    id: int
    source: ScalarSource
    settings: Settings
    mode: int
    lane: Lane | None = None
    row: int = -1
    links: set[int] | None = None

    @property
    def depth(self) -> int:
        """Places of its queue in the lane."""
        return next(depth for depth in DEPTHS if depth >= self.settings.size)

    @property
    def key(self) -> LaneKey:
        """The lane in which its settings belong."""
        settings = self.settings
        return (self.source.built_in, settings.every, settings.source_time, settings.server_time, self.depth)

    def to_row(self, row: Row | None = None) -> Row:
        """The item as a new row, or an exported row with the settings of now."""
        settings = self.settings
        row = row or Row(self.source.slot, settings.handle, mode=self.mode)
        row.handle, row.deadband, row.trigger = settings.handle, settings.deadband, settings.trigger
        row.size, row.oldest = settings.size, settings.oldest
        return row


@dataclass(slots=True, eq=False)
class OrdinaryItem:
    """An item with a queue of its own."""

    id: int
    source: OrdinarySource
    settings: Settings
    mode: int
    queue: OrdinaryQueue
    links: set[int] | None = None
    triggered: bool = False


Item = ScalarItem | OrdinaryItem
