"""Wake-up of any number of processes by one write: a file on tmpfs that the receivers watch with inotify.

Nobody registers with the sender; dead or stopped receivers cost it nothing, and unread ticks merge into one. The file
is created and never replaced, truncated or removed: others watch its inode.
"""

import asyncio
import ctypes
import logging
import os
import struct
from pathlib import Path

from server.runtime.ordering import libc

log = logging.getLogger("gridbms.runtime")

_IN_MODIFY = 2
_IN_IGNORED = 0x8000  # the watched file was removed and its last descriptor closed
_EVENT = struct.Struct("iIII")  # watch, mask, cookie, length of a name (0: files have none)
POLL_S = 0.25
TICK = "tick"  # core -> faces, after each published image
APPENDED = "appended"  # core -> mirror: the log has grown
DURABLE = "durable"  # mirror -> core: the disk has it


def _touch(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)


class Tick:
    """The sending side; `name` is one of the files of the run directory named above."""

    def __init__(self, run: Path, name: str = TICK) -> None:
        self.path = run / name
        self._fd = _touch(self.path)

    def pulse(self) -> None:
        """Wake every receiver. Last thing in a cycle: a woken process may take the processor."""
        os.pwrite(self._fd, b"1", 0)

    def check_name(self) -> None:
        """Make the file again when it was removed from outside; receivers find it at their next time-out."""
        try:
            same = os.stat(self.path).st_ino == os.fstat(self._fd).st_ino
        except OSError:
            same = False
        if not same:
            fd = _touch(self.path)
            os.close(self._fd)
            self._fd = fd

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class Wake:
    """The receiving side: a descriptor for a selector or, with `wait`, for asyncio.

    Where the user's inotify instances are used up (128 by default) it falls back to time-outs: `fileno` is then -1 and
    `wait` lasts its whole time. Receivers look at the shared numbers after every wake-up and every time-out alike.
    """

    def __init__(self, run: Path, name: str = TICK) -> None:
        self.path = run / name
        self._inode = 0
        self._event: asyncio.Event | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._fd = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        if self._fd < 0:
            error = ctypes.get_errno()
            log.warning("no inotify (%s): %s is looked at every %.2f s instead", os.strerror(error), self.path, POLL_S)
            return
        self._watch()

    def _watch(self) -> None:
        fd = _touch(self.path)  # whichever side starts first makes the file
        try:
            self._inode = os.fstat(fd).st_ino
        finally:
            os.close(fd)
        if libc.inotify_add_watch(self._fd, os.fsencode(self.path), _IN_MODIFY) < 0:
            error = ctypes.get_errno()
            log.warning("no inotify watch on %s (%s): waiting by time-out", self.path, os.strerror(error))
            self._leave_loop()
            os.close(self._fd)
            self._fd = -1

    def fileno(self) -> int:
        """For select or epoll; -1 where only time-outs are left."""
        return int(self._fd)

    def drain(self) -> bool:
        """Forget the ticks so far; whether there were any."""
        if self._fd < 0:
            return False
        try:
            events = os.read(self._fd, 4096)
        except BlockingIOError:
            return False
        masks = 0
        for _, mask, _, _ in _EVENT.iter_unpack(events):
            masks |= mask
        if masks & _IN_IGNORED:
            self.check_name()
        return bool(masks & _IN_MODIFY)

    def check_name(self) -> None:
        """Follow the file when it was removed and made again (see `Tick.check_name`)."""
        if self._fd < 0:
            return
        try:
            if os.stat(self.path).st_ino != self._inode:
                self._watch()
        except OSError:
            return

    async def wait(self, timeout: float = POLL_S) -> bool:  # noqa: ASYNC109 (a time-out is a result here, no error)
        """Until the next tick or `timeout` seconds; True after a tick."""
        if self._fd < 0:
            await asyncio.sleep(timeout)
            return False
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._leave_loop()
            self._loop, self._event = loop, asyncio.Event()
            loop.add_reader(self._fd, self._on_readable)
        assert self._event is not None
        try:
            async with asyncio.timeout(timeout):
                await self._event.wait()
        except TimeoutError:
            self.check_name()
            return False
        self._event.clear()
        return True

    def _on_readable(self) -> None:
        if self.drain() and self._event is not None:
            self._event.set()

    def _leave_loop(self) -> None:
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(self._fd)
        self._loop = None

    def close(self) -> None:
        self._leave_loop()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
