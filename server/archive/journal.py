"""Journal and audit: the event log, copied record by record, each once, before its segments may go."""

import logging
import sqlite3
from pathlib import Path
from zlib import crc32

from server.runtime.records import RecordKind, UnknownRecord, decode
from server.runtime.segment import Record, release_segments
from server.runtime.tail import Tail
from server.store.database import JOURNAL, open_for_writing

log = logging.getLogger("gridbms.archive")

BATCH = 500
RELEASE_EVERY = 10_000


class JournalWriter:
    """Owns journal.db. `copy` moves what the log holds durably."""

    def __init__(self, run: Path, data: Path) -> None:
        self._data = data
        self._database = open_for_writing(data / JOURNAL, "journal", synchronous="FULL")
        self.number = int(self._database.execute("SELECT coalesce(max(number), 0) FROM journal").fetchone()[0])
        self._released = self.number
        self._tail = Tail(run, data, after=self.number)

    def copy(self) -> int:
        """Copy what has become durable; returns how many records. A failure leaves everything for the next time."""
        records = self._tail.poll(BATCH, durable=True)
        if not records:
            return 0
        rows = [_row(record) for record in records]
        self._database.execute("BEGIN IMMEDIATE")
        try:
            self._database.executemany("INSERT OR IGNORE INTO journal VALUES(?,?,?,?,?,?,?,?,?)", rows)
            self._database.execute("COMMIT")
        except sqlite3.Error:
            if self._database.in_transaction:
                self._database.execute("ROLLBACK")
            self._tail.close()
            raise
        self.number = records[-1].number
        if self.number - self._released >= RELEASE_EVERY:
            self._released = self.number
            release_segments(self._data, self.number)
        return len(records)

    def close(self) -> None:
        """Copy the rest and close."""
        while self.copy():
            pass
        self._tail.close()
        self._database.close()


def _row(record: Record) -> tuple[int, int, int, int, int, int, str, str, int]:
    payload = record.payload.decode("utf-8", "replace")
    check = crc32(record.payload, record.number & 0xFFFF_FFFF)
    return (
        record.number,
        int(record.kind),
        record.version,
        record.utc_ns,
        record.mono_ns,
        record.time_epoch,
        _element(record),
        payload,
        check,
    )


def _element(record: Record) -> str:
    """The element that the record is about, for the journal's index."""
    try:
        content = decode(record)
    except UnknownRecord:
        return ""
    for name in ("element", "target"):
        value = getattr(content, name, "")
        if value:
            return str(value)
    return "ESS" if record.kind != RecordKind.AUDIT else ""
