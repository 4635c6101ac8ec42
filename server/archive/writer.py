"""The thread that writes: tails first, chunks when a span is over. Nothing else touches the sample database.

A disk that hangs holds up this thread only; samples wait in a bounded queue, and those that do not fit are counted.
"""

import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from information_model.points.row import History
from server.archive.open_chunk import SPAN_S, OpenGroup, time_step_ns
from server.store.chunk import check_sum, encode_chunk
from server.store.database import ARCHIVE, open_for_writing
from server.store.tail import Part, SeriesOfGroup, TailReader, TailWriter, encode_part

log = logging.getLogger("gridbms.archive")

TAIL_FOLDER = "tail"
QUEUE_LENGTH = 2_000
RETENTION_SLICE = 200
RETENTION_PERIOD_S = 60.0
Job = tuple[History, int, int, dict[int, Part]]


class Writer(threading.Thread):
    """Owns archive.db and the tails. `put` never blocks."""

    def __init__(self, data: Path, layout: list[SeriesOfGroup], max_bytes: int) -> None:
        super().__init__(name="archive-writer", daemon=True)
        self._data, self._layout, self._max_bytes = data, layout, max_bytes
        self._jobs: queue.Queue[Job | None] = queue.Queue(QUEUE_LENGTH)
        self._database = open_for_writing(data / ARCHIVE, "archive", synchronous="NORMAL")
        (data / TAIL_FOLDER).mkdir(mode=0o700, exist_ok=True)
        self._tails: dict[History, TailWriter] = {}
        self._open: dict[History, dict[int, OpenGroup]] = {}
        self._span: dict[History, tuple[int, int]] = {}
        self._retention_due = 0.0
        self.samples_written = self.bytes_written = self.dropped = 0
        self.fault = False
        self.oldest_waiting_ns = 0
        self._recover()

    def put(self, history: History, epoch: int, utc_ns: int, parts: dict[int, Part]) -> None:
        """Hand over the samples of a moment. While the disk hangs the newest are dropped and counted."""
        try:
            self._jobs.put_nowait((history, epoch, utc_ns, parts))
        except queue.Full:
            self.dropped += sum(len(part.scalars) for part in parts.values())

    @property
    def backlog(self) -> int:
        """Moments that wait."""
        return self._jobs.qsize()

    def stop(self, timeout_s: float) -> None:
        """Write what waits and end."""
        self._jobs.put(None)
        self.join(timeout_s)

    def run(self) -> None:
        """The thread."""
        while (job := self._jobs.get()) is not None:
            self.oldest_waiting_ns = job[2]
            try:
                self._take(*job)
                if self.fault:
                    log.warning("samples can be written again")
                self.fault = False
            except (OSError, sqlite3.Error) as error:
                if not self.fault:
                    log.error("samples cannot be written: %s; trying on", error)
                self.fault = True
                self._abandon(job[0])
        for tail in self._tails.values():
            tail.close()
        self._database.close()

    def _abandon(self, history: History) -> None:
        """After an error begin a new tail: what the old one holds becomes a chunk at the next start."""
        tail = self._tails.pop(history, None)
        if tail is not None:
            tail.close()

    def _take(self, history: History, epoch: int, utc_ns: int, parts: dict[int, Part]) -> None:
        span = (epoch, utc_ns // (SPAN_S[history] * 1_000_000_000))
        if self._span.get(history, span) != span:
            self._close(history)
        self._span[history] = span
        if parts:
            tail = self._tails.get(history) or self._begin(history)
            before = tail.written
            tail.append(epoch, {number: encode_part(part) for number, part in parts.items()})
            self.bytes_written += tail.written - before
            groups = self._open.setdefault(history, {})
            for number, part in parts.items():
                groups.setdefault(number, OpenGroup()).add(part)
                self.samples_written += len(part.scalars) + sum(len(matrix.value) for matrix in part.matrices)
        if time.monotonic() >= self._retention_due:
            self._retention_due = time.monotonic() + RETENTION_PERIOD_S
            self._retain()

    def _begin(self, history: History) -> TailWriter:
        path = self._data / TAIL_FOLDER / f"{history.value}-{time.time_ns():020}.tail"
        tail = self._tails[history] = TailWriter(path, self._layout)
        return tail

    def _close(self, history: History) -> None:
        """Make the open chunk of a class permanent, then let go of its tail."""
        groups = self._open.pop(history, {})
        tail = self._tails.pop(history, None)
        self._store(history, self._span[history][0], groups, self._layout)
        if tail is not None:
            tail.close()
            tail.path.unlink(missing_ok=True)

    def _store(self, history: History, epoch: int, groups: dict[int, OpenGroup], layout: list[SeriesOfGroup]) -> None:
        if not groups:
            return
        rows = list(self._rows(history, epoch, groups, layout))
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany("INSERT OR REPLACE INTO chunk VALUES(?,?,?,?,?,?,?)", rows)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            raise
        self.bytes_written += sum(len(row[-1]) for row in rows)

    def _rows(
        self, history: History, epoch: int, groups: dict[int, OpenGroup], layout: list[SeriesOfGroup]
    ) -> Iterator[tuple[int, int, int, int, int, int, bytes]]:
        for number, group in groups.items():
            described = layout[number]
            columns = group.columns(described, self._series(described))
            first = min(int(column.time.min()) for column in columns)
            last = max(int(column.time.max()) for column in columns)
            blob = encode_chunk(columns, time_step_ns(history))
            group_id = self._group(described.name)
            yield group_id, epoch, first, last, group.samples, check_sum(group_id, epoch, first, blob), blob

    def _group(self, name: str) -> int:
        self._database.execute("INSERT OR IGNORE INTO groups(name) VALUES(?)", (name,))
        return int(self._database.execute("SELECT id FROM groups WHERE name=?", (name,)).fetchone()[0])

    def _series(self, layout: SeriesOfGroup) -> dict[str, int]:
        """Numbers of the points of a group; a point that is new gets the next number."""
        rows = [(point, built_in) for point, _, built_in in (*layout.scalars, *layout.matrices)]
        marks = ",".join("?" * len(rows))
        names = [point for point, _ in rows]
        query = f"SELECT point, id FROM series WHERE point IN ({marks})"  # noqa: S608 - only question marks go in
        found: dict[str, int] = dict(self._database.execute(query, names))
        if len(found) < len(rows):
            self._database.executemany("INSERT OR IGNORE INTO series(point, built_in) VALUES(?,?)", rows)
            found = dict(self._database.execute(query, names))
        return found

    def _recover(self) -> None:
        """Samples of tails that an earlier process left behind become chunks; a record cut short is left out."""
        for path in sorted((self._data / TAIL_FOLDER).glob("*.tail")):
            history = History(path.name.partition("-")[0])
            reader = TailReader(path)
            try:
                by_epoch: dict[int, dict[int, OpenGroup]] = {}
                for moment in reader.moments():
                    groups = by_epoch.setdefault(moment.epoch, {})
                    for number, part in moment.parts.items():
                        groups.setdefault(number, OpenGroup()).add(part)
            except ValueError as error:
                log.error("%s cannot be read (%s): kept, its samples are missing", path, error)
                path.rename(path.with_suffix(".damaged"))
                continue
            for epoch, groups in by_epoch.items():
                self._store(history, epoch, groups, reader.groups)
            path.unlink()

    def _retain(self) -> None:
        """Keep the database below its size: the oldest chunks go first, in small slices."""
        pages, free, size = (
            int(self._database.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size > self._max_bytes:
            self._database.execute(
                "DELETE FROM chunk WHERE rowid IN (SELECT rowid FROM chunk ORDER BY last LIMIT ?)", (RETENTION_SLICE,)
            )
            self._retention_due = 0.0
