"""A reader of the event log with a cursor of its own: every record once, in order, from memory or from disk."""

import mmap
import os
from pathlib import Path

from server.runtime.logpage import DURABLE, HEAD, ControlPage, log_folder
from server.runtime.segment import PAGE, Record, map_segment, name_of, read_record, scan, segments

WINDOW = 256 * 1024
GAPS_KEPT = 1000


class Tail:
    """Records behind number `after`. Reads `RUN/log` and, where that no longer reaches, `DATA/log`.

    `gaps` are the (first, last) numbers that no segment holds any more (released or damaged), newest 1000; `missed`
    counts all of those records. Who passes records on to another machine's database reads with `durable=True`:
    numbers that were never durable may be given again after a power cut.
    """

    def __init__(self, run: Path, data: Path, after: int = 0) -> None:
        self._run = run
        self._folders = (log_folder(run), log_folder(data))
        self.next = after + 1
        self.gaps: list[tuple[int, int]] = []
        self.missed = 0
        self._page: ControlPage | None = None
        self._map: mmap.mmap | None = None
        self._fd = -1
        self._at = 0

    def poll(self, limit: int = 1000, durable: bool = False) -> list[Record]:
        """At most `limit` records that have been appended (or, with `durable`, are on disk) since the last poll."""
        page = self._control()
        if page is None:
            return []
        last = page[DURABLE if durable else HEAD]
        found: list[Record] = []
        while self.next <= last and len(found) < limit:
            if self._take(found, last, limit):
                continue
            if not self._find() and not self._skip_hole(last):
                break
        return found

    def _control(self) -> ControlPage | None:
        if self._page is not None and self._page.replaced():
            self._page.close()
            self._page = None
            self._leave()
        if self._page is None:
            try:
                self._page = ControlPage(self._run, write=False)
            except OSError:
                return None
        return self._page

    def _take(self, found: list[Record], last: int, limit: int) -> bool:
        """Take records from the segment at hand; whether there was one."""
        view = self._window()
        at, before = 0, len(found)
        while self.next <= last and len(found) < limit:
            entry = read_record(view, at, self.next)
            if entry is None:
                break
            found.append(entry[0])
            at = entry[1]
            self.next += 1
        self._at += at
        return len(found) > before

    def _window(self) -> memoryview | bytes:
        if self._map is not None:
            return memoryview(self._map)[self._at :]
        if self._fd >= 0:  # read, not mapped: a recovery may shorten a file on disk, and a mapping would be SIGBUS
            return os.pread(self._fd, WINDOW, self._at)
        return b""

    def _find(self) -> bool:
        """Attach to the newest segment that starts at or before the wanted number; whether it holds that record."""
        self._leave()
        for folder in self._folders:
            firsts = [first for first in segments(folder) if first <= self.next]
            if firsts and self._attach(folder, firsts[-1]):
                return True
        return False

    def _attach(self, folder: Path, first: int) -> bool:
        path = folder / name_of(first)
        try:
            if folder is self._folders[0]:
                self._map = map_segment(path)
            else:
                self._fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # released between listing and opening: the other folder, or a hole
            return False
        self._at = PAGE
        number = first
        while number < self.next:
            moved, following = scan(self._window(), 0, number, self.next - 1, check=False)
            if following == number:
                break
            self._at += moved
            number = following
        if number == self.next and read_record(self._window(), 0, number) is not None:
            return True
        self._leave()
        return False

    def _skip_hole(self, last: int) -> bool:
        """Jump to the next segment that exists; whether there is one."""
        later = [first for folder in self._folders for first in segments(folder) if self.next < first <= last]
        if not later:
            return False
        hole = (self.next, min(later) - 1)
        self.gaps.append(hole)
        del self.gaps[:-GAPS_KEPT]
        self.missed += hole[1] - hole[0] + 1
        self.next = hole[1] + 1
        return True

    def _leave(self) -> None:
        self._map = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def close(self) -> None:
        self._leave()
        if self._page is not None:
            self._page.close()
            self._page = None
