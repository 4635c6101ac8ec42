"""The sample database as its writer uses it: chunks in, the oldest out, and a look at what is kept."""

import logging
import math
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from information_model.points.row import History
from server.archive.names import Names
from server.archive.open_chunk import OpenGroup, time_step_ns
from server.store.chunk import Column, check_sum, encode_chunk
from server.store.database import ARCHIVE, is_damage, open_for_writing, set_aside
from server.store.tail import SeriesOfGroup

log = logging.getLogger("gridbms.archive")

RETENTION_SLICE = 200
SCRUB_ROWS, SCRUB_BYTES = 64, 1 << 20


class Kept(NamedTuple):
    """The latest sample of a series that the archive has."""

    time: int
    value: float
    status: int


class ChunkStore:
    """Owns archive.db. `damaged` counts chunks whose check sum is wrong and databases that were put aside."""

    def __init__(self, data: Path) -> None:
        self._path = data / ARCHIVE
        self.damaged = self.bytes_written = 0
        self.recent: dict[str, Kept] = {}
        """The latest samples of what `keep` was given, of any class."""
        self._known_damaged: set[int] = set()
        self._scrub_from: int | None = None
        self._open()

    def _open(self) -> None:
        # FULL, because the tail of a span goes once its chunks are in: they must have reached the disk by then.
        self._database = open_for_writing(self._path, "archive", synchronous="FULL")
        self._names = Names(self._database)

    def replace(self) -> None:
        """Put a database that turned out to be damaged aside and begin a new one."""
        self._database.close()
        set_aside(self._path)
        self.damaged += 1
        self._known_damaged.clear()
        self._open()

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()

    def newest(self) -> dict[str, Kept]:
        """Latest samples by point: of the points that are kept on change, and of what was kept since the start."""
        rows = self._database.execute("SELECT point, time, value, status FROM newest JOIN series ON id=series_id")
        kept = {point: Kept(time, math.nan if value is None else value, status) for point, time, value, status in rows}
        return kept | self.recent

    def keep(
        self, history: History, epoch: int, groups: Mapping[int, OpenGroup], layout: list[SeriesOfGroup], *, note: bool
    ) -> None:
        """The groups as chunks, all or none. A chunk that is there already (its tail outlived it) is not written twice.

        `note` keeps the latest samples in `recent`. Raises sqlite3.Error.
        """
        if not groups:
            return
        self._names.learn(layout[number] for number in groups)
        database = self._database
        written = 0
        database.execute("BEGIN IMMEDIATE")
        try:
            for number, group in groups.items():
                described = layout[number]
                columns = group.columns(described, self._names.series)
                row = self._row(self._names.groups[described.name], history, epoch, columns, group.samples)
                written += self._insert(row)
                last = dict(_latest(columns, {self._names.series[name]: name for name, _, _ in described.scalars}))
                if history is History.CHANGE:
                    self._note(last)
                if note:
                    self.recent |= last
            database.execute("COMMIT")
        except sqlite3.Error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            raise
        self.bytes_written += written

    def _row(
        self, group: int, history: History, epoch: int, columns: list[Column], samples: int
    ) -> tuple[int, int, int, int, int, int, bytes]:
        first = min(int(column.time.min()) for column in columns)
        last = max(int(column.time.max()) for column in columns)
        blob = encode_chunk(columns, time_step_ns(history))
        return group, epoch, first, last, samples, check_sum(group, epoch, first, last, blob), blob

    def _insert(self, row: tuple[int, int, int, int, int, int, bytes]) -> int:
        group, epoch, first, last, _, check, blob = row
        same = self._database.execute(
            "SELECT 1 FROM chunk WHERE group_id=? AND first=? AND epoch=? AND last=? AND check_sum=?",
            (group, first, epoch, last, check),
        ).fetchone()
        if same is not None:
            return 0
        self._database.execute("INSERT INTO chunk VALUES(?,?,?,?,?,?,?)", row)
        return len(blob)

    def _note(self, last: Mapping[str, Kept]) -> None:
        self._database.executemany(
            "INSERT INTO newest VALUES(?,?,?,?) ON CONFLICT(series_id) DO UPDATE SET "
            "time=excluded.time, value=excluded.value, status=excluded.status",
            [(self._names.series[point], *kept) for point, kept in last.items()],
        )

    def make_room(self, max_bytes: int) -> bool:
        """Delete a slice of the oldest chunks where the database is larger; True where there is more to delete."""
        pages, free, size = (
            int(self._database.execute(f"PRAGMA {name}").fetchone()[0])
            for name in ("page_count", "freelist_count", "page_size")
        )
        if (pages - free) * size <= max_bytes:
            return False
        found = self._database.execute(
            "DELETE FROM chunk WHERE rowid IN (SELECT rowid FROM chunk ORDER BY last LIMIT ?)", (RETENTION_SLICE,)
        )
        return found.rowcount == RETENTION_SLICE

    def scrub(self) -> None:
        """Look at some more chunks, newest first, round and round: damage is to be told before somebody needs the data."""
        if self._scrub_from is None:
            self._scrub_from = int(self._database.execute("SELECT coalesce(max(rowid), 0) FROM chunk").fetchone()[0])
        read = count = 0
        rows = self._database.execute(
            "SELECT rowid, group_id, epoch, first, last, check_sum, data FROM chunk WHERE rowid<=? "
            "ORDER BY rowid DESC LIMIT ?",
            (self._scrub_from, SCRUB_ROWS),
        )
        for row, group, epoch, first, last, check, blob in rows:
            self._scrub_from = row - 1
            if check_sum(group, epoch, first, last, blob) != check and row not in self._known_damaged:
                self._known_damaged.add(row)
                self.damaged += 1
                log.error("%s: chunk %d of group %d is damaged; its samples are shown as lost", self._path, row, group)
            read, count = read + len(blob), count + 1
            if read > SCRUB_BYTES:
                break
        if not count:
            self._scrub_from = None

    @staticmethod
    def broken(error: sqlite3.Error) -> bool:
        """True where the database must be replaced."""
        return is_damage(error)


def _latest(columns: list[Column], names: Mapping[int, str]) -> Iterator[tuple[str, Kept]]:
    for column in columns:
        if column.series in names:
            at = int(column.time.argmax())
            yield names[column.series], Kept(int(column.time[at]), float(column.value[at]), int(column.status[at]))
