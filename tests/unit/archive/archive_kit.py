"""An archive without processes: a small site, its image as arrays that a test fills, sampler and writer behind it."""

from pathlib import Path

import numpy as np

from server.archive.sampler import Sampler, layout_of
from server.archive.writer import Writer
from server.config.site import Site
from server.runtime.block import Stamp
from server.store.groups import Group, plan_groups
from server.store.history import FIRST, LAST, History
from tests.unit.core.field_kit import make_site

BASE = 1_700_006_400_000_000_000
"""A midnight, UTC ns."""
S, MS = 1_000_000_000, 1_000_000
DAY = 86_400 * S
RACK = "ESS.ARR01.R001"
VOLTAGE = f"{RACK}.Measurements.DcVoltage"
CELLS = f"{RACK}.CellData.CellVoltages"
GOOD, BAD = 0, 0x8031_0000


class Archive:
    """Sampler and writer of one start over a data directory; `image` takes an image, `stop` ends this start."""

    def __init__(self, folder: Path, site: Site | None = None, *, start: bool = True) -> None:
        self.data = folder / "data"
        self.data.mkdir(exist_ok=True)
        self.site = site or make_site(folder)
        self.groups = plan_groups(self.site.catalogue)
        self.columns = {name: np.zeros(n, dtype) for name, dtype, n in self.site.catalogue.columns()}
        self.sequence = 0
        if start:
            self.start()

    def start(self, max_bytes: int = 10**9, *, thread: bool = True) -> "Archive":
        """A new start of the process on the same data."""
        self.writer = Writer(self.data, layout_of(self.groups), max_bytes)
        self.sampler = Sampler(self.groups)
        self.sampler.go_on(self.writer.newest())
        if thread:
            self.writer.start()
        return self

    def put(self, point: str, value: float, time_ns: int, status: int = GOOD) -> None:
        """A scalar in the next image."""
        found = self.site.catalogue.find(point)
        assert found is not None
        slot = found[0].base + found[1].ordinal
        for name, number in (("value", value), ("status", status), ("source_time", time_ns)):
            self.columns[name][slot] = number

    def put_cells(self, values: list[float], time_ns: int, status: int = GOOD) -> None:
        """The cell voltages of the first rack."""
        self.columns["CellVoltages"][: len(values)] = values
        self.columns["CellVoltages.status"][0] = status
        self.columns["CellVoltages.time"][0] = time_ns

    def image(self, utc_ns: int, epoch: int = 1) -> None:
        """The archive sees an image."""
        self.sequence += 1
        stamp = Stamp(self.sequence, self.sequence, utc_ns - BASE, utc_ns, epoch, 0)
        for history in self.sampler.due(stamp):
            self.writer.put(history, epoch, utc_ns, self.sampler.sample(history, stamp, self.columns))
        while self.writer.is_alive() and self.writer.backlog > 200:
            self.writer.join(0.001)

    def stop(self) -> None:
        """Everything that was handed over is in tails and chunks."""
        self.writer.stop(20.0)
        assert not self.writer.is_alive()

    def close_spans(self, epoch: int = 1) -> None:
        """An image two days later, of which nothing new is kept: every open chunk is closed."""
        self.image(BASE + 2 * DAY, epoch)

    def read(self, point: str, start: int = FIRST, end: int = LAST) -> list[tuple[int, object, int]]:
        """(ns since BASE, value, status) as a face reads it."""
        pieces = list(History(self.data, self.site.catalogue).forward(point, start, end))
        return [
            (int(time) - BASE, value.tolist(), int(status))
            for piece in pieces
            for time, value, status in zip(*piece, strict=True)
        ]

    def group_of(self, point: str) -> Group:
        """The group that keeps a point."""
        return next(g for g in self.groups if any(s.point == point for s in (*g.scalars, *g.matrices)))
