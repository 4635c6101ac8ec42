"""The real sampler and writer, driven without the other processes and in simulated time."""

import sqlite3
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from information_model.points.row import History
from server.archive.sampler import Sampler, layout_of
from server.archive.writer import Writer
from server.config.site import Site
from server.runtime.block import Stamp
from server.store.database import ARCHIVE
from server.store.groups import plan_groups

Columns = dict[str, NDArray[Any]]
MOST_WAITING = 500
DAY_NS = 86_400_000_000_000
NO_LIMIT = 1 << 50


class OfflineArchive:
    """An archive of a site. `take` is what the archive process does with an image."""

    def __init__(self, site: Site, data: Path) -> None:
        data.mkdir(mode=0o700, exist_ok=True)
        self.columns: Columns = {name: np.zeros(length, dtype) for name, dtype, length in site.catalogue.columns()}
        self._data = data
        self._groups = plan_groups(site.catalogue)
        self._sampler = Sampler(self._groups)
        self.writer = Writer(data, layout_of(self._groups), NO_LIMIT)
        self._sequence = self.last_ns = 0
        self.busy_s = 0.0
        self.writer.start()

    def group(self, name: str) -> tuple[int, Any]:
        """Number and group of a name such as `ESS.ARR01.R001/1s`."""
        return next((i, group) for i, group in enumerate(self._groups) if group.name == name)

    def take(self, utc_ns: int) -> None:
        """The present columns as the image of a moment. Waits while the writer is behind: nothing may be dropped."""
        began = time.thread_time()
        self._sequence += 1
        self.last_ns = utc_ns
        stamp = Stamp(self._sequence, self._sequence, utc_ns, utc_ns, 1, 0)
        for history in self._sampler.due(stamp):
            self.writer.put(history, 1, utc_ns, self._sampler.sample(history, stamp, self.columns))
        self.busy_s += time.thread_time() - began
        self.wait(MOST_WAITING)

    def wait(self, most: int) -> None:
        """Until not more than `most` moments wait."""
        while self.writer.backlog > most and self.writer.is_alive():
            time.sleep(0.002)

    def close(self) -> int:
        """Turn every open chunk into a row and close; returns the size of the database, indices included."""
        self.wait(0)
        for history in History:
            if history is not History.NONE:
                self.writer.put(history, 1, self.last_ns + 10 * DAY_NS, {})
        self.writer.stop(120)
        if self.writer.dropped or self.writer.fault or self.writer.is_alive():
            raise RuntimeError(f"the archive did not keep everything: {self.writer.dropped} dropped")
        return (self._data / ARCHIVE).stat().st_size


def by_class(data: Path) -> dict[str, tuple[int, int]]:
    """(samples, bytes of the chunks) by history class."""
    samples: Counter[str] = Counter()
    size: Counter[str] = Counter()
    database = sqlite3.connect(data / ARCHIVE)
    query = (
        "SELECT g.name, sum(c.samples), sum(length(c.data)) FROM chunk c JOIN groups g ON g.id=c.group_id GROUP BY 1"
    )
    for name, count, length in database.execute(query):
        history = name.rpartition("/")[2]
        samples[history] += count
        size[history] += length
    database.close()
    return {history: (samples[history], size[history]) for history in sorted(samples)}
