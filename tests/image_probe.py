"""Reads the process image of a running program, as every face does."""

import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from server.config.site import Site
from server.runtime.block import Layout, Reader, Unavailable


class ImageProbe:
    """Values of points by their id."""

    def __init__(self, site: Site, run: Path) -> None:
        self._catalogue = site.catalogue
        self._columns = {name: np.zeros(length, dtype) for name, dtype, length in site.catalogue.columns()}
        self._reader = Reader(run / "image", Layout(site.catalogue.columns()))

    def refresh(self) -> None:
        """Take the newest image; keeps the last one while there is none."""
        try:
            self._reader.read(self._columns)
        except Unavailable:
            return

    def __call__(self, point: str) -> tuple[float, int]:
        """(value, severity: 0 Good, 1 Uncertain, 2 Bad) of the newest image."""
        self.refresh()
        found = self._catalogue.find(point)
        assert found is not None, point
        slot = found[0].base + found[1].ordinal
        return float(self._columns["value"][slot]), int(self._columns["status"][slot]) >> 30

    def measured(self) -> np.ndarray:
        """Severities of everything that the racks deliver, matrices included."""
        self.refresh()
        slots = [
            row.base + element.ordinal
            for element, row in self._catalogue.points()
            if row.base >= 0 and row.point.producer.value == "field"
        ]
        parts = [self._columns["status"][slots]]
        parts += [
            self._columns[f"{row.matrix}.status"]
            for row in self._catalogue.matrices()
            if row.point.producer.value == "field"
        ]
        return np.concatenate(parts) >> 30

    def wait(self, condition: Callable[["ImageProbe"], bool], timeout_s: float = 15.0) -> bool:
        """Look at each new image until the condition holds; False when it never does."""
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            if condition(self):
                return True
            time.sleep(0.02)  # images come every 100 ms; a test needs no wake-up of its own
        return False
