"""The journal: numbers, delay, and when commands away from safety have to wait."""

import pytest

from server.core.journal import Journal
from server.core.now import Now
from server.runtime.records import NoteRecord, RecordKind
from tests.unit.core.script import MemoryLog

NOTE = NoteRecord("o", "text")


def at(seconds: float) -> Now:
    return Now(round(seconds * 1e9), 0, 0, 0.1)


def test_a_record_gets_the_number_that_was_promised_and_the_time_of_the_cycle() -> None:
    log = MemoryLog(first=7)
    journal = Journal(log)
    promised = journal.next
    assert journal.append(RecordKind.NOTE, NOTE, Now(5, 6, 1, 0.1, epoch=3)) == promised == 7
    record = log.records[0]
    assert (record.mono_ns, record.utc_ns, record.time_epoch) == (5, 6, 3)


def test_an_event_that_is_durable_at_the_next_cycle_had_no_delay() -> None:
    journal = Journal(MemoryLog())
    journal.append(RecordKind.NOTE, NOTE, at(1.0))
    journal.step(at(1.1))
    assert journal.delay_s == pytest.approx(0.0)
    assert journal.writable


def test_a_disk_that_hangs_makes_the_journal_unwritable_after_two_seconds_and_until_it_is_back() -> None:
    log = MemoryLog()
    journal, log.disk = Journal(log), False
    journal.append(RecordKind.NOTE, NOTE, at(1.0))
    journal.step(at(2.9))
    assert journal.writable
    journal.step(at(3.1))
    assert not journal.writable
    assert journal.delay_s == pytest.approx(2.1)
    log.disk = True
    journal.step(at(3.2))
    assert journal.writable


def test_a_mirror_that_does_not_work_makes_it_unwritable_at_once() -> None:
    well = True
    journal = Journal(MemoryLog(), lambda mono_ns: well)
    journal.step(at(1.0))
    assert journal.writable
    well = False
    journal.step(at(1.1))
    assert not journal.writable


def test_without_room_a_record_is_counted_as_lost_and_nothing_is_raised() -> None:
    log = MemoryLog()
    journal, log.full = Journal(log), True
    assert journal.append(RecordKind.NOTE, NOTE, at(1.0)) == 0
    assert (journal.lost, journal.writable) == (1, False)
