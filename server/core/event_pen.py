"""The core's pen: every record goes through here, with the time of the cycle, and nothing waits for a disk.

Records are numbered by the event log; a number is what a client is told as the sequence of its command. While the log
cannot be made durable it is not *writable*: commands away from safety are then refused. (The *journal* is the table that
the archive process makes of the log.)
"""

import collections
import logging
from collections.abc import Callable
from typing import Protocol

from server.core.now import Now
from server.runtime.eventlog import LogFull
from server.runtime.records import Payload, RecordKind, RecordTooLargeError, encode, version_of

log = logging.getLogger("gridbms.core")

LATE_NS = 2_000_000_000
"""An event that is not durable after this time makes the log unwritable."""
WAITING_KEPT = 4096


class EventLog(Protocol):
    """What the pen needs of the event log."""

    next: int

    @property
    def head(self) -> int:
        """Number of the last record."""

    @property
    def durable(self) -> int:
        """Number up to which all records are on disk."""

    def append(
        self,
        kind: int,
        payload: bytes,
        mono_ns: int,
        utc_ns: int,
        time_epoch: int = 0,
        version: int = 1,
        flags: int = 0,
    ) -> int:
        """Append one record; its number. Raises LogFull."""

    def wake_mirror(self) -> None:
        """Tell the mirror that there is something to copy."""


class EventPen:
    """Appends records and knows how long they take to become durable.

    `mirror_well` tells whether the process that makes records durable works (its heart beats, its disk takes bytes);
    `room` is set false by the owner of the log when no further segment could be reserved.
    """

    def __init__(self, events: EventLog, mirror_well: Callable[[int], bool] = lambda mono_ns: True) -> None:
        self._events = events
        self._mirror_well = mirror_well
        self._waiting: collections.deque[tuple[int, int]] = collections.deque(maxlen=WAITING_KEPT)
        self.room = True
        self.writable = True
        self.delay_s = 0.0
        self.lost = 0

    @property
    def next(self) -> int:
        """Number that the next record will get."""
        return self._events.next

    @property
    def head(self) -> int:
        """Number of the newest record."""
        return self._events.head

    @property
    def durable(self) -> int:
        """Number up to which every record is on disk."""
        return self._events.durable

    def append(self, kind: RecordKind, content: Payload, now: Now) -> int:
        """Append a record with the time of the cycle; its number, or 0 where there was no room (counted in `lost`)."""
        try:
            payload = encode(kind, content)
            number = self._events.append(
                kind, payload, now.mono_ns, now.utc_ns, time_epoch=now.epoch, version=version_of(kind)
            )
        except (LogFull, RecordTooLargeError) as error:
            self.lost += 1
            if self.room:
                log.error("event not recorded: %s", error)
            if isinstance(error, LogFull):
                self.room = False
                self.writable = False
            return 0
        self._waiting.append((number, now.mono_ns))
        return number

    def wake(self) -> None:
        """Let the mirror copy what was appended."""
        self._events.wake_mirror()

    def step(self, now: Now) -> None:
        """Once per cycle: measure how long records wait, and decide whether the log counts as writable."""
        durable = self._events.durable
        while self._waiting and self._waiting[0][0] <= durable:
            # It became so at some moment since the last cycle, which must not count as its delay.
            self.delay_s = max(0.0, (now.mono_ns - self._waiting.popleft()[1]) / 1e9 - now.period_s)
        waits_ns = now.mono_ns - self._waiting[0][1] if self._waiting else 0
        if waits_ns / 1e9 > self.delay_s:
            self.delay_s = waits_ns / 1e9
        self.writable = self.room and waits_ns <= LATE_NS and self._mirror_well(now.mono_ns)
