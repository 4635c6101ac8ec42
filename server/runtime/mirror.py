"""The mirror: the process that makes what the core appended durable, so that no disk can ever hold up the core.

It copies the bytes of the segments from tmpfs to the data directory, syncs once for all that has come together,
publishes the durable number and wakes the core. It also writes the retained state that the core hands over.
"""

import contextlib
import errno
import logging
import mmap
import os
import select
import time
from collections.abc import Callable
from pathlib import Path

from server.runtime import segment
from server.runtime.filesystem import sync_folder, write_all
from server.runtime.logpage import BEAT, DURABLE, ERROR, HEAD, OPENED, STARTS, ControlPage, log_folder
from server.runtime.recovery import MirrorLock
from server.runtime.segment import PAGE, header, map_segment, name_of, scan, segments
from server.runtime.state import PendingState
from server.runtime.tick import APPENDED, Tick, Wake
from server.runtime.tick import DURABLE as DURABLE_TICK

log = logging.getLogger("gridbms.runtime")

AHEAD = "ahead"
WAIT_S = 0.05
RETRY_S = 0.2
RESERVE_NS = 1_000_000_000


class Mirror:
    """One copy of the log, from the durable number of the control page on. `run_mirror` drives it."""

    def __init__(self, run: Path, data: Path) -> None:
        self._memory, self._disk = log_folder(run), log_folder(data)
        self._disk.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.page = ControlPage(run)
        self.starts = self.page[STARTS]
        self.durable = self.page[DURABLE]
        self._number = self.durable + 1  # of the next record to copy, at `_at`
        self._at = 0
        self._source: mmap.mmap | None = None
        self._view = memoryview(b"")
        self._fd = -1
        self._size = segment.SEGMENT_SIZE

    def step(self) -> int:
        """Make everything appended so far durable; the durable number.

        OSError: what was written since the last good sync may be gone although a later sync succeeds (the kernel drops
        dirty pages after an error), so call `forget` and step again: the whole segment is then written again.
        """
        head = self.page[HEAD]
        while self.durable < head:
            if self._source is None or scan(self._view, self._at, self._number, self._number, False)[1] == self._number:
                self._open()
            end, following = scan(self._view, self._at, self._number, head, False)
            if following == self._number:
                raise OSError(errno.EIO, f"{self._memory}: no record {following} in any segment")
            self._at = write_all(self._fd, self._view[self._at : end], self._at)
            os.fdatasync(self._fd)
            self._number = following
            if following - 1 > self.durable:
                self.durable = following - 1
                self.page[DURABLE] = self.durable
        return self.durable

    def _open(self) -> None:
        """Begin the segment that holds the first record that is not durable, at its start."""
        self.forget()
        firsts = [first for first in segments(self._memory) if first <= self.durable + 1]
        if not firsts:
            raise OSError(errno.ENOENT, f"{self._memory}: no segment holds record {self.durable + 1}")
        first = firsts[-1]
        source = map_segment(self._memory / name_of(first))
        self._size = len(source)
        path = self._disk / name_of(first)
        ahead = self._disk / AHEAD
        if not path.exists():
            if ahead.exists() and ahead.stat().st_size == self._size:
                ahead.rename(path)
            else:
                segment.create(path, self._size).close()
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            write_all(fd, header(first, self._size))
            sync_folder(self._disk)
        except OSError:
            os.close(fd)
            raise
        self._fd, self._source, self._view = fd, source, memoryview(source)
        self._at, self._number = PAGE, first
        wanted = self.durable + 1
        if scan(self._view, PAGE, first, wanted, False)[1] <= wanted:
            raise OSError(errno.EIO, f"{self._memory / name_of(first)}: record {wanted} is not in it")

    def reserve(self) -> None:
        """Keep room for one more segment on disk: a full disk is known one segment early. OSError ENOSPC."""
        ahead = self._disk / AHEAD
        with contextlib.suppress(FileNotFoundError):
            if ahead.stat().st_size == self._size:
                return
        segment.create(ahead, self._size).close()

    def forget(self) -> None:
        """Let go of the segment in work; the next `step` writes it again from its start."""
        self._view.release()
        self._view = memoryview(b"")
        self._source = None
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def outdated(self) -> bool:
        """Whether a core has begun a new start, or the run directory was made anew: this object has to be replaced."""
        return self.page[STARTS] != self.starts or self.page.replaced()

    def close(self) -> None:
        self.forget()
        self.page.close()


class _Service:
    """The mirror's turns: copying, state, room ahead, errors said once and taken back once."""

    def __init__(self, run: Path, data: Path, mirror: Mirror) -> None:
        self.mirror = mirror
        self._run = run
        self._pending = PendingState(run, data)
        self._durable_tick = Tick(run, DURABLE_TICK)
        self._reserve_due_ns = 0
        self._said = 0
        self._reserve_error = 0

    def turn(self, now_ns: int) -> bool:
        """One turn; False after an error of the disk (then wait a little longer)."""
        mirror = self.mirror
        before = mirror.durable
        failure: OSError | None = None
        try:
            mirror.step()
            self._pending.write(mirror.durable)
        except OSError as error:
            mirror.forget()
            failure = error
        if mirror.durable > before:
            self._durable_tick.pulse()
        if now_ns >= self._reserve_due_ns:
            self._reserve_due_ns = now_ns + RESERVE_NS
            self._reserve_error = 0
            try:
                mirror.reserve()
            except OSError as error:
                self._reserve_error = error.errno or errno.EIO
        code = (failure.errno or errno.EIO) if failure else self._reserve_error
        mirror.page[ERROR] = code
        mirror.page[BEAT] = now_ns
        if code and not self._said:
            log.error("the event log cannot be made durable: %s; trying on", failure or os.strerror(code))
        elif self._said and not code:
            log.warning("the event log is durable again up to record %d", mirror.durable)
        self._said = code
        return failure is None

    def close(self) -> None:
        self._durable_tick.close()


def run_mirror(
    run: Path,
    data: Path,
    stop: Callable[[], bool],
    each_turn: Callable[[], None] | None = None,
    mono_ns: Callable[[], int] = time.monotonic_ns,
) -> None:
    """The main loop of the mirror process, until `stop()`: woken by the core's appends, at the latest after 50 ms.

    Outlives restarts of the core: it lets go of `DATA/log` while a recovery works there and goes on behind it.
    `each_turn` is for the heartbeat. Whatever the disk does shows in the control page and nowhere else.
    """
    lock = MirrorLock(data)
    wake = Wake(run, APPENDED)
    poll = select.poll()
    if wake.fileno() >= 0:
        poll.register(wake.fileno(), select.POLLIN)
    held = False
    service: _Service | None = None
    try:
        while True:
            last = stop()
            if service is not None and service.mirror.outdated():
                service.close()
                service.mirror.close()
                service = None
                lock.release()
                held = False
                wake.check_name()
            if service is None and not last:
                held = held or lock.take()
                if held:
                    service = _begin(run, data)
                    if service is None:
                        lock.release()
                        held = False
            good = service.turn(mono_ns()) if service is not None else True
            if each_turn is not None:
                each_turn()
            if last:
                return
            if good:
                poll.poll(int(1000 * WAIT_S))
                wake.drain()
            else:
                time.sleep(RETRY_S)  # not woken by appends: a failing disk is not asked more often
    finally:
        if service is not None:
            service.close()
            service.mirror.close()
        wake.close()
        lock.close()


def _begin(run: Path, data: Path) -> _Service | None:
    """A mirror for the present start of the core; None while a recovery is under way or the run directory is absent."""
    try:
        mirror = Mirror(run, data)
    except OSError as error:
        log.warning("the mirror cannot begin: %s; trying on", error)
        return None
    if mirror.page[OPENED] != mirror.starts:
        mirror.close()
        return None
    return _Service(run, data, mirror)
