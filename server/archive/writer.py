"""The thread that writes: tails first, chunks when a span is over. Nothing else touches the sample database.

A disk that hangs holds up this thread only; samples wait in a bounded queue, and those that do not fit are counted. What
is in memory is in a tail as well: when a chunk cannot be stored, its tail stays and is tried again, and memory is free.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from information_model.points.row import History
from server.archive.chunks import ChunkStore, Kept
from server.archive.open_chunk import CHUNK_S, OpenGroup, span_ns
from server.store.database import damaged_files
from server.store.tail import Part, SeriesOfGroup, TailReader, TailWriter, encode_part
from server.store.tail_index import TAIL_FOLDER

log = logging.getLogger("gridbms.archive")

QUEUE_LENGTH, QUEUE_BYTES = 2_000, 64 << 20
IDLE_S, RETRY_S = 0.5, 1.0
TEND_S, RETENTION_S, LEFT_S = 1.0, 60.0, 10.0


class Job(NamedTuple):
    """The samples of a class at a moment, waiting since `mono_ns`."""

    history: History
    epoch: int
    utc_ns: int
    parts: dict[int, Part]
    mono_ns: int
    size: int


@dataclass
class Span:
    """The open chunks of a class and the tails that hold the same samples."""

    key: tuple[int, int]
    groups: dict[int, OpenGroup] = field(default_factory=dict)
    tails: list[TailWriter] = field(default_factory=list)
    writing: bool = False
    """True while the last of `tails` takes more."""


class Writer(threading.Thread):
    """Owns archive.db and the tails. `put` never blocks."""

    def __init__(self, data: Path, layout: list[SeriesOfGroup], max_bytes: int, chunk_s: int = CHUNK_S) -> None:
        super().__init__(name="archive-writer", daemon=True)
        self._data, self._layout, self._max_bytes, self._chunk_s = data, layout, max_bytes, chunk_s
        self._jobs: queue.Queue[Job | None] = queue.Queue()
        self._lock = threading.Lock()
        self._waiting, self._waiting_bytes = 0, 0
        self._store = ChunkStore(data)
        (data / TAIL_FOLDER).mkdir(mode=0o700, exist_ok=True)
        self._spans: dict[History, Span] = {}
        self._left: list[Path] = []
        self._tend_due = self._retention_due = self._left_due = 0.0
        self._damaged_files = 0
        self._damaged_records = 0
        self._ending = threading.Event()
        self._failing = False
        self._overflowing = False
        self.samples_written = self.bytes_written = self.dropped = 0
        self._taken_mono_ns = 0
        self._recover()
        self._damaged_files = damaged_files(data)

    def newest(self) -> dict[str, Kept]:
        """Latest samples of the points before this start, as far as a sampler needs them to go on. Before `start`."""
        return self._store.newest()

    def put(self, history: History, epoch: int, utc_ns: int, parts: dict[int, Part]) -> None:
        """Hand over the samples of a moment. While the disk hangs the newest are dropped and counted."""
        size = sum(part.scalars.nbytes + sum(m.value.nbytes for m in part.matrices) for part in parts.values())
        with self._lock:
            full = self._waiting >= QUEUE_LENGTH or (self._waiting > 0 and self._waiting_bytes + size > QUEUE_BYTES)
            eased = self._waiting <= QUEUE_LENGTH // 2 and self._waiting_bytes <= QUEUE_BYTES // 2
            if not full:
                self._waiting += 1
                self._waiting_bytes += size
        if full:
            if not self._overflowing:
                log.error("the disk has not kept up: samples are dropped from now on")
            self._overflowing = True
            self.dropped += sum(len(part.scalars) + sum(len(m.value) for m in part.matrices) for part in parts.values())
        else:
            if self._overflowing and eased:  # at the brim it would be said at each sample that finds a place
                log.warning("the disk keeps up again; %d samples were dropped since the start", self.dropped)
                self._overflowing = False
            self._jobs.put(Job(history, epoch, utc_ns, parts, time.monotonic_ns(), size))

    @property
    def backlog(self) -> int:
        """Moments that wait."""
        return self._waiting

    @property
    def backlog_ms(self) -> int:
        """How long the oldest moment that is not yet in a tail has waited."""
        taken = self._taken_mono_ns
        return max(0, time.monotonic_ns() - taken) // 1_000_000 if taken else 0

    @property
    def fault(self) -> bool:
        """True while samples cannot be written as they should."""
        return self._failing or self._overflowing or bool(self._left)

    @property
    def damaged(self) -> int:
        """Damaged chunks, tails and databases that were found, those of earlier starts included while they lie there."""
        return self._store.damaged + self._damaged_files + self._damaged_records

    def stop(self, timeout_s: float) -> None:
        """Write what waits and end. A disk that fails is not waited for."""
        self._ending.set()
        self._jobs.put(None)
        self.join(timeout_s)

    def run(self) -> None:
        """The thread."""
        while True:
            try:
                job = self._jobs.get(timeout=IDLE_S)
            except queue.Empty:
                self._tend()
                continue
            if job is None:
                break
            self._taken_mono_ns = job.mono_ns
            while not self._write(job):
                if self._ending.wait(RETRY_S):
                    break
            self._taken_mono_ns = 0
            with self._lock:
                self._waiting -= 1
                self._waiting_bytes -= job.size
            self._tend()
        for span in self._spans.values():
            for tail in span.tails:
                tail.close()
        self._store.close()

    def _write(self, job: Job) -> bool:
        """False where the samples could not be written and are to be tried again."""
        try:
            self._take(job)
        except OSError as error:
            if not self._failing:
                log.error("samples cannot be written: %s; trying on", error)
            self._failing = True
            span = self._spans.get(job.history)
            if span is not None and span.writing:
                # What the old tail holds is whole up to here; behind a torn record nobody would read on.
                span.tails[-1].close()
                span.writing = False
            return False
        if self._failing:
            log.warning("samples can be written again")
        self._failing = False
        return True

    def _take(self, job: Job) -> None:
        key = (job.epoch, job.utc_ns // span_ns(job.history, self._chunk_s))
        span = self._spans.get(job.history)
        if span is not None and span.key != key:
            del self._spans[job.history]
            self._close(job.history, span)
            span = None
        if not job.parts:
            return
        if span is None:
            span = self._spans[job.history] = Span(key)
        if not span.writing:
            path = self._data / TAIL_FOLDER / f"{job.history.value}-{time.time_ns():020}.tail"
            span.tails.append(TailWriter(path, self._layout))
            span.writing = True
            self.bytes_written += span.tails[-1].written
        tail = span.tails[-1]
        before = tail.written
        tail.append(job.epoch, {number: encode_part(part) for number, part in job.parts.items()})
        self.bytes_written += tail.written - before
        for number, part in job.parts.items():
            span.groups.setdefault(number, OpenGroup()).add(part)
            self.samples_written += len(part.scalars) + sum(len(matrix.value) for matrix in part.matrices)

    def _close(self, history: History, span: Span) -> None:
        """Make the open chunks of a class permanent, then let go of its tails."""
        for tail in span.tails:
            tail.close()
        if self._keep(history, span.key[0], span.groups, self._layout, note=False):
            for tail in span.tails:
                tail.path.unlink(missing_ok=True)
        else:
            self._left += [tail.path for tail in span.tails]
            self._left_due = time.monotonic() + LEFT_S

    def _keep(
        self, history: History, epoch: int, groups: Mapping[int, OpenGroup], layout: list[SeriesOfGroup], *, note: bool
    ) -> bool:
        """False where the database did not take them; a damaged one is replaced at once."""
        for _ in range(2):
            before = self._store.bytes_written
            try:
                self._store.keep(history, epoch, groups, layout, note=note)
            except sqlite3.Error as error:
                log.error("chunks cannot be stored: %s; their tails stay", error)
                if not self._replace_damaged(error):
                    return False
                continue
            self.bytes_written += self._store.bytes_written - before
            return True
        return False

    def _replace_damaged(self, error: sqlite3.Error) -> bool:
        if not self._store.broken(error):
            return False
        try:
            self._store.replace()
        except (OSError, sqlite3.Error) as failure:
            log.error("the damaged database cannot be replaced: %s", failure)
            return False
        return True

    def _recover(self) -> None:
        """Samples of tails that an earlier process left behind become chunks."""
        for path in sorted((self._data / TAIL_FOLDER).glob("*.tail")):
            if not self._adopt(path, note=True):
                self._left.append(path)

    def _adopt(self, path: Path, *, note: bool) -> bool:
        """Make chunks of a tail and remove it; a record cut short is left out. False where it must be tried again."""
        reader = TailReader(path)
        by_epoch: dict[int, dict[int, OpenGroup]] = {}
        try:
            history = History(path.name.partition("-")[0])
            for moment in reader.moments():
                groups = by_epoch.setdefault(moment.epoch, {})
                for number, part in moment.parts.items():
                    groups.setdefault(number, OpenGroup()).add(part)
            for groups in by_epoch.values():
                for number, group in groups.items():
                    group.check(_described(reader.groups, number))
            lost = reader.lost_bytes()
        except FileNotFoundError:
            return True
        except OSError as error:
            log.error("%s cannot be read: %s; trying on", path, error)
            return False
        except (ValueError, IndexError) as error:
            log.error("%s cannot be read (%s): kept as damaged, its samples are missing", path, error)
            path.rename(path.with_suffix(".damaged"))
            self._damaged_files = damaged_files(self._data)
            return True
        if reader.damaged:
            log.error("%s: %d damaged records, their samples are missing", path, reader.damaged)
            self._damaged_records += reader.damaged
        if not all(self._keep(history, epoch, groups, reader.groups, note=note) for epoch, groups in by_epoch.items()):
            self._damaged_records -= reader.damaged
            return False
        if lost:
            log.error("%s: the last %d bytes cannot be read: kept as damaged, their samples are missing", path, lost)
            path.rename(path.with_suffix(".damaged"))
            self._damaged_files = damaged_files(self._data)
        else:
            path.unlink()
        return True

    def _tend(self) -> None:
        """What has time: size, tails that still wait for the database, a look for damage."""
        now = time.monotonic()
        if now < self._tend_due:
            return
        self._tend_due = now + TEND_S
        try:
            if self._left and now >= self._left_due:
                self._left_due = now + LEFT_S
                self._left = [path for path in self._left if not self._adopt(path, note=False)]
            if now >= self._retention_due and not self._store.make_room(self._max_bytes):
                self._retention_due = now + RETENTION_S
            self._store.scrub()
        except sqlite3.Error as error:
            log.error("the sample database cannot be looked after: %s", error)
            self._tend_due = now + LEFT_S
            self._replace_damaged(error)


def _described(groups: list[SeriesOfGroup], number: int) -> SeriesOfGroup:
    """What the numbers in a part of a tail mean. Raises ValueError where its head does not say it."""
    if not groups:
        raise ValueError("the record at its head that names the points is damaged: whose samples follow cannot be told")
    if number >= len(groups):
        raise ValueError(f"samples of group {number}, its head names {len(groups)} groups")
    return groups[number]
