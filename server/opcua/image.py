"""The face's copy of the process image, made when somebody looks; Bad as soon as the core falls silent."""

import logging
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from information_model import quality
from information_model.catalogue import Catalogue
from server.opcua import wire
from server.runtime.block import BLOCK_LIMIT_NS, LappedError, Layout, Reader, Unavailable

log = logging.getLogger("gridbms.opcua.image")

STOPPED = "the core has stopped publishing: every value is Bad until it publishes again"


class ImageView:
    """Columns of the newest image as own arrays.

    `value` f8, `status` u4, `ticks` i8 (source time as it travels) are [scalars]; `columns` holds every column. Whoever
    is about to look at values calls `refresh` first. While no image younger than a second exists, every status is Bad
    (no communication) and every number NaN.
    """

    def __init__(self, path: Path, catalogue: Catalogue, clock: Callable[[], int] = time.monotonic_ns) -> None:
        self._clock = clock
        self._reader = Reader(path, Layout(catalogue.columns()))
        self.columns = {name: np.zeros(length, dtype) for name, dtype, length in catalogue.columns()}
        self.value = self.columns["value"]
        self.status = self.columns["status"]
        self.ticks = np.zeros(len(self.value), np.int64)
        self.mono_ns = 0
        self.sequence = 0
        self.alive = False
        self.cycle = 0
        self.epoch = 0
        self._silence()

    def refresh(self) -> bool:
        """Copy the newest image unless the columns hold it; True where they have changed, or have just turned Bad."""
        try:
            stamp = self._reader.read({})
            self.mono_ns = stamp.mono_ns
            if self._clock() - self.mono_ns > BLOCK_LIMIT_NS:
                return self._expire(STOPPED)
            if self.alive and (stamp.sequence, self._reader.epoch) == (self.sequence, self.epoch):
                return False
            stamp = self._reader.read(self.columns)
        except LappedError as error:
            # A mixture of two images must never be shown.
            return self._expire(f"{error}: every value is Bad until the next image")
        except Unavailable as error:
            return self._clock() - self.mono_ns > BLOCK_LIMIT_NS and self._expire(str(error))
        self.sequence, self.cycle, self.mono_ns = stamp.sequence, stamp.cycle, stamp.mono_ns
        self.epoch = self._reader.epoch
        self.ticks = wire.ticks_array(self.columns["source_time"])
        if not self.alive:
            log.info("image of the core: cycle %d", self.cycle)
        self.alive = True
        return True

    def _expire(self, why: str) -> bool:
        if not self.alive:
            return False
        log.warning(why)
        self._silence()
        return True

    def _silence(self) -> None:
        self.alive = False
        for name, column in self.columns.items():
            if name.endswith("status"):
                column[:] = quality.BAD_NO_COMMUNICATION
            elif column.dtype.kind == "f":
                column[:] = np.nan
