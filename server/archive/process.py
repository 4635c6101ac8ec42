"""The archive process: follows image and event log, keeps what the catalogue says."""

import logging
import os
import select
import signal
import sqlite3
import sys
import time
from pathlib import Path

import numpy as np

from server.archive.journal import JournalWriter
from server.archive.sampler import Sampler, layout_of
from server.archive.writer import Writer
from server.config.site import Site
from server.runtime.block import Layout, Reader, Unavailable
from server.runtime.health import HealthWriter
from server.runtime.parent import Beat
from server.runtime.tick import DURABLE, Wake
from server.store.database import WrongVersionError
from server.store.groups import plan_groups

log = logging.getLogger("gridbms.archive")

CONFIGURATION = 2
HEALTH_PERIOD_S = 0.5
WAIT_MS = 200
RETRY_S = 1.0


class Archive:
    """Everything of the process, turned by `turn`."""

    def __init__(self, site: Site, run: Path, data: Path) -> None:
        groups = plan_groups(site.catalogue)
        self._sampler = Sampler(groups)
        self._writer = Writer(data, layout_of(groups), int(site.file.archive.max_size_gb * 1e9))
        self._journal = JournalWriter(run, data)
        columns = site.catalogue.columns()
        self._columns = {name: np.zeros(length, dtype) for name, dtype, length in columns}
        self._reader = Reader(run / "image", Layout(columns))
        self._data, self._last = data, (0, 0)
        self._health = HealthWriter(run, "archive")
        self._health_due = 0.0
        self._journal_retry = 0.0
        self._journal_fault = False

    def begin(self) -> None:
        """Start the writing thread."""
        self._writer.start()

    def turn(self) -> None:
        """Take the newest image and the newest records."""
        try:
            stamp = self._reader.read(self._columns)
        except Unavailable:
            stamp = None
        if stamp is not None and (self._reader.epoch, stamp.sequence) != self._last:
            self._last = (self._reader.epoch, stamp.sequence)
            for history in self._sampler.due(stamp):
                parts = self._sampler.sample(history, stamp, self._columns)
                self._writer.put(history, stamp.time_epoch, stamp.utc_ns, parts)
        now = time.monotonic()
        if now >= self._journal_retry:
            self._copy_journal(now)
        if now >= self._health_due:
            self._health_due = now + HEALTH_PERIOD_S
            self._health.write(self._counters(), time.monotonic_ns(), time.time_ns())

    def _copy_journal(self, now: float) -> None:
        try:
            self._journal.copy()
            if self._journal_fault:
                log.warning("the journal can be written again")
            self._journal_fault = False
        except (OSError, sqlite3.Error) as error:
            if not self._journal_fault:
                log.error("the journal cannot be written: %s; the event log keeps its records meanwhile", error)
            self._journal_fault = True
            self._journal_retry = now + RETRY_S

    def _counters(self) -> dict[str, int]:
        disk = os.statvfs(self._data)
        writer = self._writer
        waiting_ms = (time.time_ns() - writer.oldest_waiting_ns) // 1_000_000 if writer.backlog > 1 else 0
        return {
            "samples_written": writer.samples_written,
            "backlog_ms": max(0, waiting_ms),
            "bytes_written": writer.bytes_written,
            "fault": int(writer.fault or self._journal_fault),
            "damaged": 0,
            "free_disk_ppm": disk.f_bavail * 1_000_000 // max(1, disk.f_blocks),
            "journal_number": self._journal.number,
        }

    def close(self) -> None:
        """Write what is there; the open chunks stay in their tails."""
        self._writer.stop(1.0)
        self._journal.close()
        self._health.close()


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
        sys.exit(CONFIGURATION)
    archive.begin()
    wakes = [Wake(run), Wake(run, DURABLE)]
    poll = select.poll()
    for wake in wakes:
        if wake.fileno() >= 0:
            poll.register(wake.fileno(), select.POLLIN)
    beat.ready()
    try:
        while not stopped:
            poll.poll(WAIT_MS)
            for wake in wakes:
                wake.drain()
            archive.turn()
            beat.beat()
    finally:
        archive.close()
        for wake in wakes:
            wake.close()
