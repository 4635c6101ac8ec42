"""Writing points by name. Which one:

state      what is decided or counted: its time moves only when value or status change
measure    a number of this cycle: it carries the time that is given; NaN becomes Bad
estimate   a number made of other points: where it cannot be made it is Bad and keeps the time of the last one
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model import quality
from information_model.points.row import Level
from server.core.working import Scalars, Working

Flags = NDArray[np.bool_]


class Board:
    """Views of the working image by (level, path), found once. A point that the site does not have is passed over."""

    def __init__(self, working: Working) -> None:
        self.working = working
        self._views: dict[tuple[int, str], Scalars | None] = {}

    def asked(self) -> list[tuple[Level, str]]:
        """Every (level, path) that somebody has asked for, whether the site has it or not."""
        return [(level, path) for level in Level for known, path in self._views if known == id(level)]

    def view(self, level: Level, path: str) -> Scalars | None:
        """The point over all elements of its level, or None where the site does not have it."""
        key = (id(level), path)  # the members of an enumeration are slow to hash and live for ever
        try:
            return self._views[key]
        except KeyError:
            found = self.working.scalars(level, path) if self.working.has(level, path) else None
            self._views[key] = found
            return found

    def state(self, level: Level, path: str, value: Any, utc_ns: int, status: Any = quality.GOOD) -> None:
        """Write states, [elements] or one for all: the time moves only where value or status change."""
        view = self.view(level, path)
        if view is None:
            return
        changed = (view.value != value) | (view.status != status)
        if changed.any():
            changed &= ~(np.isnan(view.value) & np.isnan(value)) | (view.status != status)
            view.value[:] = value
            view.status[:] = status
            view.time[changed] = utc_ns

    def measure(self, level: Level, path: str, value: Any, time: Any, status: Any = quality.GOOD) -> None:
        """Write numbers of this cycle; NaN becomes Bad."""
        view = self.view(level, path)
        if view is not None:
            view.write(value, time, status)

    def estimate(self, level: Level, path: str, value: Any, time: Any, missing: Flags | None = None) -> None:
        """Write estimates; NaN (or `missing`) becomes Bad, or goes on waiting where there never was one."""
        view = self.view(level, path)
        if view is None:
            return
        lost = np.isnan(value) if missing is None else missing
        if not lost.any():
            view.value[:], view.time[:], view.status[:] = value, time, quality.GOOD
            return
        view.value[:] = np.where(lost, np.nan, value)
        # What cannot be estimated keeps the time of the last estimate: nothing was measured at this moment.
        view.time[:] = np.where(lost, view.time, time)
        never = lost & (view.status == quality.WAITING)
        view.status[:] = np.where(never, quality.WAITING, np.where(lost, quality.BAD_STALE, quality.GOOD))

    def numbers(self, level: Level, path: str) -> NDArray[np.float64] | None:
        """Values where they may be used, NaN elsewhere; None where the site does not have the point."""
        view = self.view(level, path)
        return None if view is None else np.where(view.good, view.value, np.nan)

    def true(self, level: Level, path: str) -> Flags | None:
        """Where a Boolean is known to be true; None where the site does not have the point."""
        view = self.view(level, path)
        return None if view is None else np.asarray(view.good & (view.value == 1))
