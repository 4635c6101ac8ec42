"""The pen of the event log: numbers, delay, and when commands away from safety have to wait."""

import pytest

from server.core.event_pen import EventPen
from server.core.now import Now
from server.runtime.records import NoteRecord, RecordKind
from tests.unit.core.script import MemoryLog

NOTE = NoteRecord("o", "text")


def at(seconds: float) -> Now:
    return Now(round(seconds * 1e9), 0, 0, 0.1)


def test_a_record_gets_the_number_that_was_promised_and_the_time_of_the_cycle() -> None:
    log = MemoryLog(first=7)
    pen = EventPen(log)
    promised = pen.next
    assert pen.append(RecordKind.NOTE, NOTE, Now(5, 6, 1, 0.1, epoch=3)) == promised == 7
    record = log.records[0]
    assert (record.mono_ns, record.utc_ns, record.time_epoch) == (5, 6, 3)


def test_an_event_that_is_durable_at_the_next_cycle_had_no_delay() -> None:
    pen = EventPen(MemoryLog())
    pen.append(RecordKind.NOTE, NOTE, at(1.0))
    pen.step(at(1.1))
    assert pen.delay_s == pytest.approx(0.0)
    assert pen.writable


def test_a_disk_that_hangs_makes_the_log_unwritable_after_two_seconds_and_until_it_is_back() -> None:
    log = MemoryLog()
    pen, log.disk = EventPen(log), False
    pen.append(RecordKind.NOTE, NOTE, at(1.0))
    pen.step(at(2.9))
    assert pen.writable
    pen.step(at(3.1))
    assert not pen.writable
    assert pen.delay_s == pytest.approx(2.1)
    log.disk = True
    pen.step(at(3.2))
    assert pen.writable


def test_a_mirror_that_does_not_work_makes_it_unwritable_at_once() -> None:
    well = True
    pen = EventPen(MemoryLog(), lambda mono_ns: well)
    pen.step(at(1.0))
    assert pen.writable
    well = False
    pen.step(at(1.1))
    assert not pen.writable


def test_without_room_a_record_is_counted_as_lost_and_nothing_is_raised() -> None:
    log = MemoryLog()
    pen, log.full = EventPen(log), True
    assert pen.append(RecordKind.NOTE, NOTE, at(1.0)) == 0
    assert (pen.lost, pen.writable) == (1, False)
