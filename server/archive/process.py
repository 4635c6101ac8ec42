"""The archive process: follows image and event log, keeps what the catalogue says."""

import contextlib
import logging
import os
import select
import signal
import sys
import threading
import time
from pathlib import Path

import numpy as np

from server.archive.journal import JournalThread
from server.archive.sampler import Sampler, layout_of
from server.archive.writer import Writer
from server.config.site import Site
from server.exit_codes import ExitCode
from server.runtime.block import Layout, Reader, Unavailable
from server.runtime.health import HealthWriter
from server.runtime.parent import Beat
from server.runtime.tick import Wake
from server.store.database import WrongVersionError
from server.store.groups import plan_groups

log = logging.getLogger("gridbms.archive")

SCALARS = ("value", "status", "source_time")
HEALTH_PERIOD_S, DISK_PERIOD_S = 0.5, 10.0
WAIT_MS = 200
STOP_S = 1.0


class Archive:
    """Everything of the process, turned by `turn`. Nothing here waits for a disk: two threads do."""

    def __init__(self, site: Site, run: Path, data: Path) -> None:
        groups = plan_groups(site.catalogue)
        section = site.file.archive
        self._writer = Writer(data, layout_of(groups), int(section.max_size_gb * 1e9), section.chunk_s)
        self._sampler = Sampler(groups)
        self._sampler.go_on(self._writer.newest())
        self._journal = JournalThread(run, data)
        columns = site.catalogue.columns()
        self._columns = {name: np.zeros(length, dtype) for name, dtype, length in columns}
        self._scalars = {name: self._columns[name] for name in SCALARS}
        self._reader = Reader(run / "image", Layout(columns))
        self._last = (0, 0)
        self._disk = FreeDisk(data)
        self._health = HealthWriter(run, "archive")
        self._health_due = 0.0

    def begin(self) -> None:
        """Start the writing threads."""
        self._writer.start()
        self._journal.start()
        self._disk.start()

    def turn(self) -> None:
        """Take the newest image. Raises RuntimeError when a thread has ended: the supervisor begins anew."""
        self._sample()
        if not (self._writer.is_alive() and self._journal.is_alive()):
            raise RuntimeError("a writing thread of the archive has ended")
        now = time.monotonic()
        if now >= self._health_due:
            self._health_due = now + HEALTH_PERIOD_S
            self._health.write(self._counters(), time.monotonic_ns(), time.time_ns())

    def _sample(self) -> None:
        try:
            stamp = self._reader.read(self._scalars)
            if (self._reader.epoch, stamp.sequence) == self._last:
                return
            if self._sampler.needs_matrices(stamp.utc_ns):
                stamp = self._reader.read(self._columns)
        except Unavailable:
            return
        self._last = (self._reader.epoch, stamp.sequence)
        for history in self._sampler.due(stamp):
            parts = self._sampler.sample(history, stamp, self._columns)
            self._writer.put(history, stamp.time_epoch, stamp.utc_ns, parts)

    def _counters(self) -> dict[str, int]:
        writer = self._writer
        return {
            "samples_written": writer.samples_written,
            "backlog_ms": writer.backlog_ms,
            "bytes_written": writer.bytes_written,
            "fault": int(writer.fault or self._journal.fault),
            "damaged": writer.damaged + self._journal.damaged,
            "free_disk_ppm": self._disk.ppm,
            "journal_number": self._journal.number,
            "dropped": writer.dropped,
        }

    def close(self) -> None:
        """Write what is there; the open chunks stay in their tails."""
        self._writer.stop(STOP_S)
        self._journal.stop(STOP_S)
        self._health.close()


class FreeDisk(threading.Thread):
    """Looks at the room on the data disk; statvfs(2) may hang with it."""

    def __init__(self, data: Path) -> None:
        super().__init__(name="archive-disk", daemon=True)
        self._data = data
        self.ppm = 0
        self._look()

    def _look(self) -> None:
        with contextlib.suppress(OSError):
            disk = os.statvfs(self._data)
            self.ppm = disk.f_bavail * 1_000_000 // max(1, disk.f_blocks)

    def run(self) -> None:
        """The thread."""
        ever = threading.Event()
        while not ever.wait(DISK_PERIOD_S):
            self._look()


def run_archive(site: Site, run: Path, data: Path, beat: Beat) -> None:
    """Main function of the process, until SIGTERM."""
    stopped = False

    def stop(number: int, frame: object) -> None:
        nonlocal stopped
        stopped = True

    signal.signal(signal.SIGTERM, stop)
    try:
        archive = Archive(site, run, data)
    except WrongVersionError as error:
        log.error("%s", error)
        sys.exit(ExitCode.CONFIGURATION)
    archive.begin()
    wake = Wake(run)
    poll = select.poll()
    if wake.fileno() >= 0:
        poll.register(wake.fileno(), select.POLLIN)
    beat.ready()
    try:
        while not stopped:
            poll.poll(WAIT_MS)
            if not wake.drain():
                wake.check_name()
            archive.turn()
            beat.beat()
    finally:
        archive.close()
        wake.close()
