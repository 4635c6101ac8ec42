"""The event log as the core sees it: append to a segment on tmpfs, never wait for a disk.

The mirror process copies the same bytes to the data directory and publishes how far they are durable. What a client is
told as acknowledged has a number <= `Log.durable`.
"""

import contextlib
import itertools
import logging
import mmap
from pathlib import Path

from server.runtime import segment
from server.runtime.logpage import DURABLE, HEAD, LOST, ControlPage, log_folder
from server.runtime.recovery import Recovery, recover
from server.runtime.segment import PAGE, Record, name_of, segments
from server.runtime.tick import APPENDED, Tick

__all__ = ["Log", "LogFull", "Recovery", "recover"]

log = logging.getLogger("gridbms.runtime")

SEGMENTS_IN_MEMORY = 16
SPARE = "spare"
TWINS_KEPT = 2


class LogFull(Exception):  # noqa: N818 (a state of affairs, not a fault)
    """No memory left for events: the disk has not kept up. The record was counted in `Log.lost`, not appended."""


class Log:
    """The only appender. Recovers first unless the result of `recover` is handed in.

    A start never continues an old segment. `segment_size` bytes times `segments_in_memory` bound what tmpfs holds while
    the disk is away (64 MB: about 260,000 records of 200 bytes).
    """

    def __init__(
        self,
        run: Path,
        data: Path,
        recovery: Recovery | None = None,
        segment_size: int = segment.SEGMENT_SIZE,
        segments_in_memory: int = SEGMENTS_IN_MEMORY,
    ) -> None:
        if segment_size < 2 * PAGE + segment.MAX_PAYLOAD or segment_size % PAGE:
            raise ValueError(
                f"event log: segment size {segment_size} must be a multiple of {PAGE}, at least {3 * PAGE}"
            )
        self.recovery = recovery if recovery is not None else recover(run, data)
        self._folder = log_folder(run)
        self._page = ControlPage(run)
        self._appended = Tick(run, APPENDED)
        self._size, self._most = segment_size, segments_in_memory
        self.next = self.recovery.next
        (self._folder / SPARE).unlink(missing_ok=True)
        self._spare: mmap.mmap | None = segment.create(self._folder / SPARE, segment_size)
        self._map, self._at = self._spare, PAGE
        self._use_spare()

    @property
    def head(self) -> int:
        """Number of the last record appended, 0 before the first."""
        return self._page[HEAD]

    @property
    def durable(self) -> int:
        """Number up to which every record is on disk."""
        return self._page[DURABLE]

    @property
    def lost(self) -> int:
        """Records that found no memory since the run directory was made."""
        return self._page[LOST]

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
        """Append one record and return its number. LogFull without room; ValueError for a payload above 4096 bytes."""
        record = Record(self.next, int(kind), version, flags, time_epoch, mono_ns, utc_ns, self._page[DURABLE], payload)
        content = segment.pack(record)
        if self._at + len(content) > self._size and not self._use_spare():
            self._page[LOST] = self._page[LOST] + 1
            raise LogFull(
                f"event {self.next}: all {self._most} segments of {self._size} bytes in memory wait for the disk"
            )
        self._map[self._at : self._at + len(content)] = content
        self._at = (self._at + len(content) + 7) & ~7
        self.next += 1
        self._page[HEAD] = record.number
        return record.number

    def wake_mirror(self) -> None:
        """Once per cycle and after each turn of the link that appended: the mirror writes all of it with one sync."""
        self._appended.pulse()

    def prepare(self) -> bool:
        """In the slack of a cycle: have the next segment ready once half of this one is used. False is an alarm.

        Removes twins that are durable, all but the newest two, and creates the spare.
        """
        if self._spare is not None or self._at < self._size // 2:
            return True
        firsts = segments(self._folder)
        durable = self.durable
        kept = len(firsts)
        for first, following in itertools.pairwise(firsts[: 1 - TWINS_KEPT]):
            if following - 1 > durable:
                break
            with contextlib.suppress(FileNotFoundError):
                (self._folder / name_of(first)).unlink()
            kept -= 1
        if kept >= self._most:
            return False
        try:
            self._spare = segment.create(self._folder / SPARE, self._size)
        except OSError as error:
            log.warning("no room for the next segment of the event log in %s: %s", self._folder, error.strerror)
            return False
        return True

    def _use_spare(self) -> bool:
        if self._spare is None:
            return False
        self._map, self._spare = self._spare, None
        self._map[0:PAGE] = segment.header(self.next, self._size)
        (self._folder / SPARE).rename(self._folder / name_of(self.next))
        self._at = PAGE
        return True

    def close(self) -> None:
        """Let go of files; every record appended stays for the mirror."""
        (self._folder / SPARE).unlink(missing_ok=True)
        self._spare = None
        self._appended.close()
        self._page.close()
