"""Ticks as calls: what a process does at each published image, without a task that waits for it.

A process that wakes ten times a second and finds nothing to do spends more on waking than on anything else. So there is
one call per tick and no task to switch to, and who knows that nothing is due for a while can close the ears until then.
"""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from server.runtime.tick import POLL_S, Wake


class Pause(NamedTuple):
    """Seconds for which no tick needs to be heard, and seconds after which to be called though none has come."""

    deaf_s: float = 0.0
    patience_s: float = POLL_S


class Follower:
    """Calls `turn` in the running loop: with True at a tick, with False when none came within the patience."""

    def __init__(self, wake: Wake, turn: Callable[[bool], Pause]) -> None:
        self._wake, self._turn = wake, turn
        self._loop = asyncio.get_running_loop()
        self._ended: asyncio.Future[None] = self._loop.create_future()
        self._timer: asyncio.TimerHandle | None = None
        self._fd = wake.fileno()
        self._deaf = True

    async def run(self) -> None:
        """Until cancelled. Raises what `turn` raises."""
        self.hear()
        try:
            await self._ended
        finally:
            self._wait(None, 0.0)
            self._listen(False)

    def hear(self) -> None:
        """Something has changed: the next tick is wanted. Ticks from before are not."""
        if self._deaf:
            self._wake.drain()
            self._listen(True)
            self._wait(self._missed, POLL_S)

    def _listen(self, listen: bool) -> None:
        if self._deaf is not listen:
            return
        self._deaf = not listen
        # Without inotify there is nothing to hear, and patience is all that is left.
        if self._fd >= 0:
            if listen:
                self._loop.add_reader(self._fd, self._on_readable)
            else:
                self._loop.remove_reader(self._fd)

    def _on_readable(self) -> None:
        if self._wake.drain():
            self._call(True)

    def _missed(self) -> None:
        self._wake.check_name()
        self._call(False)

    def _call(self, ticked: bool) -> None:
        try:
            pause = self._turn(ticked)
        except Exception as error:  # noqa: BLE001 -- handed over to whoever awaits
            if not self._ended.done():
                self._ended.set_exception(error)
            return
        if pause.deaf_s > 0:
            self._listen(False)
            self._wait(self.hear, pause.deaf_s)
        else:
            self._wait(self._missed, pause.patience_s)

    def _wait(self, then: Callable[[], None] | None, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None if then is None else self._loop.call_later(seconds, then)
