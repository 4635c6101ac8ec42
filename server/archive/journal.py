"""Journal and audit: the event log, copied record by record, each once, before its segments may go."""

import contextlib
import logging
import select
import sqlite3
import threading
import time
from pathlib import Path
from zlib import crc32

from server.runtime.logpage import HEAD, OPENED, STARTS, ControlPage
from server.runtime.records import RecordKind, UnknownRecord, decode
from server.runtime.segment import Record, release_segments
from server.runtime.state import decode_state
from server.runtime.tail import Tail
from server.runtime.tick import DURABLE, Wake
from server.store.database import JOURNAL, is_damage, open_for_writing, set_aside

log = logging.getLogger("gridbms.archive")

BATCH = 500
RELEASE_EVERY = 10_000
SCRUB_ROWS = 500
WAIT_MS = 200
RETRY_S, SCRUB_S = 1.0, 10.0


class JournalWriter:
    """Owns journal.db. `copy` moves what the log holds durably. `damaged` counts what was found damaged or missing."""

    def __init__(self, run: Path, data: Path) -> None:
        self._run, self._data = run, data
        self.damaged = 0
        self._scrubbed = 0
        self._numbering_known = False
        self._open()

    def _open(self) -> None:
        self._database = open_for_writing(self._data / JOURNAL, "journal", synchronous="FULL")
        self.number = int(self._database.execute("SELECT coalesce(max(number), 0) FROM journal").fetchone()[0])
        self._released: int | None = None
        self._tail = Tail(self._run, self._data, after=self.number)

    def copy(self) -> int:
        """Copy what has become durable; returns how many records. A failure leaves everything for the next time.

        Raises OSError and sqlite3.Error; a database that turns out to be damaged is put aside and a new one begun.
        """
        try:
            if not self._numbering_known:
                self._check_numbering()
            return self._copy()
        except (OSError, sqlite3.Error) as error:
            # The tail has gone on already: only one that begins behind the database's last record leaves none out.
            self._tail.close()
            self._tail = Tail(self._run, self._data, after=self.number)
            if isinstance(error, sqlite3.Error) and is_damage(error):
                self._replace()
            raise

    def _copy(self) -> int:
        holes = len(self._tail.gaps)
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
            raise
        self.number = records[-1].number
        for first, last in self._tail.gaps[holes:]:
            self.damaged += 1
            log.error("records %d to %d of the event log are gone: the journal goes on behind them", first, last)
        if self._released is None or self.number - self._released >= RELEASE_EVERY:
            self._released = self.number
            release_segments(self._data, min(self.number, self._needed_by_state()))
        return len(records)

    def _needed_by_state(self) -> int:
        """A start may have to replay the log behind the older retained state; without one, all of it."""
        try:
            return decode_state((self._data / "state.bin.old").read_bytes()).number
        except (OSError, ValueError):
            return 0

    def _check_numbering(self) -> None:
        """A log that was removed begins to count anew; its records must not be taken for those of the old one."""
        try:
            page = ControlPage(self._run, write=False)
        except OSError:
            return
        try:
            if page[STARTS] == 0 or page[STARTS] != page[OPENED]:
                return
            self._numbering_known = True
            if page[HEAD] < self.number:
                log.error(
                    "the event log ends with record %d, the journal with %d: the log is another one",
                    page[HEAD],
                    self.number,
                )
                self._replace()
        finally:
            page.close()

    def _replace(self) -> None:
        self._tail.close()
        self._database.close()
        set_aside(self._data / JOURNAL)
        self.damaged += 1
        self._scrubbed = 0
        self._open()

    def scrub(self) -> None:
        """Compare some more rows with their check sums, round and round."""
        rows = self._database.execute(
            "SELECT number, payload, check_sum FROM journal WHERE number>? ORDER BY number LIMIT ?",
            (self._scrubbed, SCRUB_ROWS),
        ).fetchall()
        for number, payload, check in rows:
            if _check(number, payload) != check:
                self.damaged += 1
                log.error("journal record %d is damaged", number)
        # Once: a journal is small, and what is damaged is not to be counted again each round.
        self._scrubbed = rows[-1][0] if rows else self._scrubbed

    def close(self) -> None:
        """Copy the rest and close."""
        with contextlib.suppress(OSError, sqlite3.Error):
            while self.copy():
                pass
        self.release()

    def release(self) -> None:
        """Let go of the files."""
        self._tail.close()
        self._database.close()


class JournalThread(threading.Thread):
    """Copies whenever the mirror says that more is durable. A disk that hangs holds up this thread only."""

    def __init__(self, run: Path, data: Path) -> None:
        super().__init__(name="archive-journal", daemon=True)
        self._writer = JournalWriter(run, data)
        self._wake = Wake(run, DURABLE)
        self._ending = threading.Event()
        self.fault = False

    @property
    def number(self) -> int:
        """The last record that the journal has."""
        return self._writer.number

    @property
    def damaged(self) -> int:
        """What was found damaged or missing since the start."""
        return self._writer.damaged

    def run(self) -> None:
        """The thread."""
        poll = select.poll()
        if self._wake.fileno() >= 0:
            poll.register(self._wake.fileno(), select.POLLIN)
        scrub_due = 0.0
        while not self._ending.is_set():
            if self._turn(scrub=time.monotonic() >= scrub_due):
                scrub_due = time.monotonic() + SCRUB_S
            if self.fault:
                self._ending.wait(RETRY_S)
            else:
                poll.poll(WAIT_MS)
            self._wake.drain()
        self._writer.close()
        self._wake.close()

    def _turn(self, *, scrub: bool) -> bool:
        """Copy all there is, and look at some rows where `scrub`; True where that was done."""
        try:
            while self._writer.copy() == BATCH and not self._ending.is_set():
                pass
            if scrub:
                self._writer.scrub()
        except (OSError, sqlite3.Error) as error:
            if not self.fault:
                log.error("the journal cannot be written: %s; the event log keeps its records meanwhile", error)
            self.fault = True
            return False
        if self.fault:
            log.warning("the journal can be written again")
        self.fault = False
        return scrub

    def stop(self, timeout_s: float) -> None:
        """Copy what is durable and end."""
        self._ending.set()
        self.join(timeout_s)


def _check(number: int, payload: str) -> int:
    return crc32(payload.encode(), number & 0xFFFF_FFFF)


def _row(record: Record) -> tuple[int, int, int, int, int, int, str, str, int]:
    payload = record.payload.decode("utf-8", "replace")
    return (
        record.number,
        int(record.kind),
        record.version,
        record.utc_ns,
        record.mono_ns,
        record.time_epoch,
        _element(record),
        payload,
        _check(record.number, payload),
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
