"""Samples reach the disk at once and chunks when their span is over; nothing is lost to errors, restarts or damage."""

import os
import sqlite3

import pytest

from information_model.points.row import History as HistoryClass
from server.archive.writer import QUEUE_LENGTH
from server.store import tail as tail_module
from server.store.history import HistoryUnavailableError
from tests.unit.archive.archive_kit import BAD, BASE, CELLS, DAY, MS, RACK, VOLTAGE, Archive, S

STATE = f"{RACK}.Estimation.StateOfChargeSource"
LOST = 0x809D_0000


def volts(archive: Archive) -> list[object]:
    return [value for _, value, status in archive.read(VOLTAGE) if status == 0]


def fill(archive: Archive, first: int, count: int, epoch: int = 1, offset: int = 0) -> None:
    """One voltage a second: second i has i mod 100 volts (plus `offset`)."""
    for i in range(first, first + count):
        archive.put(VOLTAGE, i % 100 + offset, BASE + i * S)
        archive.image(BASE + i * S + 10 * MS, epoch)


def expected(first: int, count: int) -> list[tuple[int, float, int]]:
    return [(i * S, float(i % 100), 0) for i in range(first, first + count)]


def rows(archive: Archive, query: str) -> list[tuple]:
    with sqlite3.connect(archive.data / "archive.db") as database:
        return database.execute(query).fetchall()


def corrupt(archive: Archive, group: str) -> None:
    with sqlite3.connect(archive.data / "archive.db") as database:
        ((row, blob),) = database.execute(
            "SELECT chunk.rowid, data FROM chunk JOIN groups ON groups.id=group_id WHERE name=? ORDER BY first LIMIT 1",
            (group,),
        ).fetchall()
        bad = bytearray(blob)
        bad[len(bad) // 2] ^= 0x55
        database.execute("UPDATE chunk SET data=? WHERE rowid=?", (bytes(bad), row))


def test_samples_are_the_same_from_the_tail_and_from_the_chunk(tmp_path) -> None:
    archive = Archive(tmp_path)
    archive.put_cells([3.30051, 3.4, 3.5, 3.6, 3.7, 3.8, 3.9, 4.0], BASE + 7 * MS)
    archive.put(STATE, 2, BASE + 123_456_789)
    fill(archive, 1, 5)
    archive.stop()
    points = (VOLTAGE, CELLS, STATE)
    before = [archive.read(point) for point in points]
    assert before[0] == expected(1, 5)
    assert before[1] == [(7 * MS, [3.301, 3.4, 3.5, 3.6, 3.7, 3.8, 3.9, 4.0], 0)]
    assert before[2] == [(123_456_789, 2.0, 0)]
    archive.start()
    archive.stop()
    assert not list((archive.data / "tail").iterdir())
    assert [archive.read(point) for point in points] == before


def test_a_span_that_is_over_becomes_one_chunk_of_each_group_and_its_tail_goes(tmp_path) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 310)
    archive.stop()
    assert archive.read(VOLTAGE) == expected(0, 310)
    assert rows(archive, "SELECT count(*), sum(samples) FROM chunk") == [(1, 300)]
    assert len(list((archive.data / "tail").glob("1s-*.tail"))) == 1


def test_a_restart_in_the_middle_of_a_span_neither_loses_nor_doubles_nor_reorders(tmp_path) -> None:
    archive = Archive(tmp_path)
    for start in range(4):
        if start:
            archive.start()
        archive.put(STATE, 5, BASE)
        archive.put(VOLTAGE, 10 * start % 100, BASE + 10 * start * S)
        archive.image(BASE + 10 * start * S + 5 * MS)
        archive.image(BASE + 10 * start * S + 5 * MS)
        fill(archive, 10 * start + 1, 9)
        archive.stop()
    assert archive.read(VOLTAGE) == expected(0, 40)
    assert archive.read(STATE) == [(0, 5.0, 0)]


def test_a_value_that_lasts_over_days_of_restarts_stays_readable_beside_new_ones(tmp_path) -> None:
    archive = Archive(tmp_path)
    archive.put(STATE, 5, BASE)
    archive.image(BASE)
    archive.stop()
    archive.start()
    archive.image(BASE + 10 * DAY)
    archive.put(STATE, 6, BASE + 10 * DAY + S)
    archive.image(BASE + 10 * DAY + S)
    archive.stop()
    archive.start()
    archive.stop()
    assert archive.read(STATE) == [(0, 5.0, 0), (10 * DAY + S, 6.0, 0)]
    assert archive.read(STATE, BASE + 10 * DAY) == [(10 * DAY + S, 6.0, 0)]


def test_a_status_that_changed_while_the_archive_was_down_is_kept(tmp_path) -> None:
    archive = Archive(tmp_path)
    archive.put(STATE, 5, BASE)
    archive.image(BASE)
    archive.stop()
    archive.start()
    archive.put(STATE, 5, BASE, BAD)
    archive.image(BASE + 60 * S)
    archive.stop()
    assert archive.read(STATE) == [(0, 5.0, 0), (60 * S, 5.0, BAD)]


def test_a_tail_that_outlived_its_chunk_is_not_stored_twice(tmp_path) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 5)
    archive.stop()
    (tail,) = (archive.data / "tail").glob("1s-*.tail")
    content = tail.read_bytes()
    archive.start()
    archive.stop()
    tail.write_bytes(content)  # as after a kill between the commit and the removal
    assert archive.read(VOLTAGE) == expected(0, 5)
    archive.start()
    archive.stop()
    assert archive.read(VOLTAGE) == expected(0, 5)
    assert rows(archive, "SELECT count(*) FROM chunk JOIN groups g ON g.id=group_id WHERE name LIKE '%R001/1s'") == [
        (1,)
    ]


def test_a_clock_that_is_set_back_loses_nothing_and_reads_in_order_of_time(tmp_path) -> None:
    archive = Archive(tmp_path)
    fill(archive, 100, 20, epoch=1)
    fill(archive, 105, 10, epoch=2, offset=1000)
    fill(archive, 115, 400, epoch=2, offset=1000)
    archive.stop()
    found = archive.read(VOLTAGE)
    assert [time for time, _, _ in found] == sorted(time for time, _, _ in found)
    assert len(found) == 20 + 410
    first = [(time, value) for time, value, _ in found if value < 1000]
    assert first == [(i * S, float(i % 100)) for i in range(100, 120)]


def test_an_error_of_the_disk_loses_no_sample_and_is_told_until_it_is_over(tmp_path, monkeypatch, caplog) -> None:
    archive = Archive(tmp_path, start=False)
    archive.start(thread=False)
    good = os.write
    left = 3

    def failing(fd: int, data: bytes) -> int:
        nonlocal left
        if len(data) > 8 and b"GBTAIL" not in bytes(data[:8]) and left:
            left -= 1
            good(fd, data[: len(data) // 2])
            raise OSError(28, "no space left on device")
        return good(fd, data)

    monkeypatch.setattr(tail_module.os, "write", failing)
    monkeypatch.setattr("server.archive.writer.RETRY_S", 0.01)
    fill(archive, 0, 5)
    archive.writer.start()
    while left:
        archive.writer.join(0.01)
    fill(archive, 5, 310)
    archive.stop()
    assert archive.read(VOLTAGE) == expected(0, 315)
    assert not archive.writer.fault
    assert caplog.text.count("cannot be written") >= 1
    assert "can be written again" in caplog.text
    archive.start()
    archive.stop()
    assert archive.read(VOLTAGE) == expected(0, 315)
    assert archive.writer.damaged == 0


def test_chunks_that_the_database_does_not_take_stay_in_their_tails_and_are_stored_later(tmp_path, monkeypatch) -> None:
    archive = Archive(tmp_path, start=False).start(thread=False)
    good = archive.writer._store.keep
    failures = 2

    def busy(*arguments, **options) -> None:
        nonlocal failures
        if failures:
            failures -= 1
            raise sqlite3.OperationalError("database is locked")
        good(*arguments, **options)

    monkeypatch.setattr(archive.writer._store, "keep", busy)
    monkeypatch.setattr("server.archive.writer.LEFT_S", 0.0)
    monkeypatch.setattr("server.archive.writer.TEND_S", 0.0)
    fill(archive, 0, 620)
    archive.writer.start()
    archive.stop()
    assert archive.read(VOLTAGE) == expected(0, 620)
    assert not archive.writer.fault
    assert rows(archive, "SELECT sum(samples) FROM chunk") == [(600,)]


def test_while_the_disk_hangs_samples_wait_and_then_are_counted_as_dropped(tmp_path) -> None:
    archive = Archive(tmp_path, start=False).start(thread=False)
    for i in range(QUEUE_LENGTH + 10):
        archive.writer.put(HistoryClass.S1, 1, BASE + i * S, {})
    fill(archive, 10_000, 1)
    assert archive.writer.backlog == QUEUE_LENGTH
    assert archive.writer.dropped > 0
    assert archive.writer.fault
    archive.writer.start()
    archive.stop()


def test_an_episode_of_dropping_is_told_once_and_lasts_until_there_is_room_again(tmp_path, caplog) -> None:
    writer = Archive(tmp_path, start=False).start(thread=False).writer

    def put(count: int) -> None:
        for i in range(count):
            writer.put(HistoryClass.S1, 1, BASE + i * S, {})

    def told() -> list[str]:
        return [record.levelname for record in caplog.records if record.name == "gridbms.archive"]

    def take(count: int) -> None:
        """The thread's turn, a moment at a time: between two of them the queue is full again."""
        for _ in range(count):
            writer._jobs.get_nowait()
            writer._waiting -= 1

    put(QUEUE_LENGTH + 10)
    for _ in range(5):
        take(1)
        put(2)
    assert told() == ["ERROR"]
    assert writer.fault
    take(QUEUE_LENGTH // 2)
    put(1)
    assert told() == ["ERROR", "WARNING"]
    assert not writer.fault
    writer.start()
    writer.stop(20.0)


def test_a_damaged_chunk_is_a_gap_that_says_so_and_is_counted(tmp_path) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 610)
    archive.stop()
    corrupt(archive, archive.group_of(VOLTAGE).name)
    found = archive.read(VOLTAGE)
    assert [(time, status) for time, _, status in found[:2]] == [(0, LOST), (300 * S, 0)]
    assert found[1:] == expected(300, 310)
    assert [(t, s) for t, _, s in archive.read(VOLTAGE, BASE + 100 * S, BASE + 200 * S)] == [(100 * S, LOST)]
    archive.start()
    assert archive.writer.damaged == 0
    archive.image(BASE + 611 * S)
    archive.stop()
    assert archive.writer.damaged == 1


def test_a_damaged_database_is_kept_aside_counted_and_a_new_one_begun(tmp_path) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 5)
    archive.stop()
    (archive.data / "archive.db").write_bytes(b"no database" * 1000)
    with pytest.raises(HistoryUnavailableError):
        archive.read(CELLS)
    archive.start()
    assert archive.writer.damaged == 1
    archive.stop()
    assert archive.read(VOLTAGE) == expected(0, 5)  # its tail was still there
    assert len(list(archive.data.glob("archive.db.damaged-*Z"))) == 1
    archive.start()
    assert archive.writer.damaged == 1
    archive.stop()


def test_a_database_that_breaks_while_it_is_used_is_replaced_and_the_span_is_kept(tmp_path) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 310)
    archive.stop()
    archive.start(thread=False)
    error = sqlite3.DatabaseError("database disk image is malformed")
    error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
    good, raised = archive.writer._store._insert, []

    def broken(row):
        if not raised:
            raised.append(row)
            raise error
        return good(row)

    archive.writer._store._insert = broken
    fill(archive, 310, 310)
    archive.writer.start()
    archive.stop()
    assert archive.writer.damaged >= 1
    assert archive.read(VOLTAGE)[-310:] == expected(310, 310)


def test_a_torn_record_at_the_end_of_a_tail_is_left_out_silently(tmp_path) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 5)
    archive.stop()
    (tail,) = (archive.data / "tail").glob("1s-*.tail")
    tail.write_bytes(tail.read_bytes()[:-3])
    assert archive.read(VOLTAGE) == expected(0, 4)
    archive.start()
    archive.stop()
    assert archive.read(VOLTAGE) == expected(0, 4)
    assert archive.writer.damaged == 0


def test_a_damaged_record_inside_a_tail_is_left_out_and_counted(tmp_path) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 5)
    archive.stop()
    (tail,) = (archive.data / "tail").glob("1s-*.tail")
    content = bytearray(tail.read_bytes())
    at = 8
    for _ in range(3):
        at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
    content[at + 30] ^= 1
    tail.write_bytes(content)
    rest = expected(0, 2) + expected(3, 2)
    assert archive.read(VOLTAGE) == rest
    archive.start()
    archive.stop()
    assert archive.read(VOLTAGE) == rest
    assert archive.writer.damaged == 1


def test_a_tail_whose_head_is_damaged_is_kept_aside_and_the_reason_is_told(tmp_path, caplog) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 5)
    archive.stop()
    (tail,) = (archive.data / "tail").glob("1s-*.tail")
    content = bytearray(tail.read_bytes())
    content[40] ^= 1
    tail.write_bytes(content)
    archive.start()
    archive.stop()
    assert archive.writer.damaged == 1
    assert tail.with_suffix(".damaged").read_bytes() == content
    said = "the record at its head that names the points is damaged: whose samples follow cannot be told"
    assert f"{tail} cannot be read ({said}): kept as damaged" in caplog.text


@pytest.mark.parametrize("record", [0, 3])
def test_a_tail_that_cannot_be_read_to_its_end_is_kept_aside_with_what_was_read_in_a_chunk(
    tmp_path, caplog, record
) -> None:
    archive = Archive(tmp_path)
    fill(archive, 0, 6)
    archive.stop()
    (tail,) = (archive.data / "tail").glob("1s-*.tail")
    content = bytearray(tail.read_bytes())
    at = 8
    for _ in range(record):
        at += 8 + int.from_bytes(content[at + 4 : at + 8], "little")
    content[at + 6] ^= 0x10
    tail.write_bytes(content)
    archive.start()
    archive.stop()
    assert archive.writer.damaged == 1
    assert tail.with_suffix(".damaged").read_bytes() == content
    assert f"the last {len(content) - at} bytes cannot be read: kept as damaged" in caplog.text
    assert archive.read(VOLTAGE) == expected(0, max(record - 1, 0))


@pytest.mark.parametrize("content", [b"", b"GBTA", b"GBTAIL\x01\x00"])
def test_a_tail_whose_process_died_at_once_is_removed(tmp_path, content) -> None:
    archive = Archive(tmp_path, start=False)
    (archive.data / "tail").mkdir()
    (archive.data / "tail" / "1s-00000000000000000001.tail").write_bytes(content)
    assert archive.read(VOLTAGE) == []
    archive.start()
    archive.stop()
    assert archive.writer.damaged == 0
    assert not list((archive.data / "tail").iterdir())


@pytest.mark.parametrize("name", ["1s-00000000000000000001.tail", "foreign.tail"])
def test_a_file_that_is_no_tail_is_kept_aside_and_counted(tmp_path, name) -> None:
    archive = Archive(tmp_path, start=False)
    (archive.data / "tail").mkdir()
    (archive.data / "tail" / name).write_bytes(b"whatever this is")
    archive.start()
    archive.stop()
    assert archive.writer.damaged == 1
    assert [path.suffix for path in (archive.data / "tail").iterdir()] == [".damaged"]


def test_the_oldest_chunks_go_when_the_database_is_larger_than_allowed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("server.archive.chunks.RETENTION_SLICE", 1)
    monkeypatch.setattr("server.archive.writer.TEND_S", 0.0)
    archive = Archive(tmp_path)
    fill(archive, 0, 910)
    archive.stop()
    archive.start(max_bytes=1)
    fill(archive, 910, 5)
    archive.stop()
    assert archive.read(VOLTAGE) == expected(910, 5)
    assert rows(archive, "SELECT count(*) FROM chunk") == [(0,)]
