"""Append never waits for a disk; what is durable is on disk, in order, once; what is lost is counted."""

import errno
import mmap
import os
import threading
from pathlib import Path

import pytest

from server.runtime import segment
from server.runtime.eventlog import Log, LogFull, recover
from server.runtime.logpage import BEAT, ERROR, ControlPage, log_folder
from server.runtime.mirror import Mirror, run_mirror
from server.runtime.recovery import MirrorLock
from server.runtime.segment import PAGE, Record, name_of, release_segments, segments
from server.runtime.tail import Tail
from server.runtime.versions import WrongVersionError

SMALL = 3 * PAGE


class Folders:
    def __init__(self, base: Path) -> None:
        self.run, self.data = base / "run", base / "data"
        self.run.mkdir()
        self.data.mkdir()

    def log(self, most: int = 16) -> Log:
        return Log(self.run, self.data, segment_size=SMALL, segments_in_memory=most)

    def tail(self, after: int = 0) -> Tail:
        return Tail(self.run, self.data, after)

    def everything(self, durable: bool = True) -> list[Record]:
        return self.tail().poll(100_000, durable)


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path)


def fill(log: Log, count: int, size: int = 200) -> None:
    for _ in range(count):
        log.append(7, f"{log.next}".encode().ljust(size), log.next * 10, log.next * 100, 2)
        log.prepare()


def texts(records: list[Record]) -> list[int]:
    return [int(record.payload) for record in records]


def test_a_record_comes_back_as_it_was_appended(folders: Folders) -> None:
    log = folders.log()
    number = log.append(3, b'{"a":1}', mono_ns=-5, utc_ns=6, time_epoch=7, version=8, flags=9)
    assert number == log.head == 1
    assert folders.everything(durable=False) == [Record(1, 3, 8, 9, 7, -5, 6, 0, b'{"a":1}')]


def test_a_face_sees_a_record_before_it_is_durable_and_an_archive_only_afterwards(folders: Folders) -> None:
    log = folders.log()
    copy = Mirror(folders.run, folders.data)
    face, archive = folders.tail(), folders.tail()
    fill(log, 3)
    assert texts(face.poll()) == [1, 2, 3]
    assert archive.poll(durable=True) == []
    assert copy.step() == log.durable == 3
    assert texts(archive.poll(durable=True)) == [1, 2, 3]
    assert face.poll() == []


def test_twins_have_the_same_bytes_at_the_same_place(folders: Folders) -> None:
    log = folders.log()
    fill(log, 20)
    Mirror(folders.run, folders.data).step()
    name = name_of(1)
    assert (log_folder(folders.run) / name).read_bytes() == (log_folder(folders.data) / name).read_bytes()


def test_a_tail_takes_at_most_its_limit_and_goes_on_where_it_stopped(folders: Folders) -> None:
    log = folders.log()
    fill(log, 120)
    tail = folders.tail(after=10)
    seen = []
    while records := tail.poll(limit=7):
        assert len(records) <= 7
        seen += texts(records)
    assert seen == list(range(11, 121))
    assert tail.gaps == []


def test_a_tail_reads_from_disk_what_memory_has_released(folders: Folders) -> None:
    log = folders.log()
    copy = Mirror(folders.run, folders.data)
    for _ in range(40):
        fill(log, 10)
        copy.step()
    assert len(segments(log_folder(folders.run))) <= 3
    assert len(segments(log_folder(folders.data))) > 10
    assert texts(folders.everything(durable=False)) == list(range(1, 401))


def test_a_payload_above_4_kb_is_refused_and_takes_no_number(folders: Folders) -> None:
    log = folders.log()
    log.append(1, b"x" * 4096, 0, 0)
    with pytest.raises(ValueError, match="4097 bytes, at most 4096"):
        log.append(1, b"x" * 4097, 0, 0)
    assert log.append(1, b"y", 0, 0) == 2


def test_without_a_mirror_memory_fills_to_its_limit_then_records_are_counted_as_lost(folders: Folders) -> None:
    log = folders.log(most=4)
    warned = 0
    refusal = ""
    while not refusal:
        try:
            log.append(7, f"{log.next}".encode().ljust(200), 0, 0)
        except LogFull as full:
            refusal = str(full)
        warned += not log.prepare()
    assert "wait for the disk" in refusal
    assert warned > 5  # prepare says so half a segment ahead
    head = log.head
    assert log.lost == 1
    assert len(segments(log_folder(folders.run))) == 4
    Mirror(folders.run, folders.data).step()
    assert log.prepare()
    assert log.append(7, f"{log.next}".encode(), 0, 0) == head + 1
    Mirror(folders.run, folders.data).step()
    assert texts(folders.everything()) == list(range(1, head + 2))


def test_numbers_go_on_over_a_restart_in_a_new_segment(folders: Folders) -> None:
    log = folders.log()
    fill(log, 5)
    recovery = recover(folders.run, folders.data)
    assert tuple(recovery) == (6, [], 500)
    again = Log(folders.run, folders.data, recovery, segment_size=SMALL)
    assert again.append(7, b"6", 0, 0) == 6
    Mirror(folders.run, folders.data).step()
    assert texts(folders.everything()) == [1, 2, 3, 4, 5, 6]
    assert segments(log_folder(folders.data)) == [1, 6]


def test_recovery_of_nothing_begins_at_one(folders: Folders) -> None:
    assert recover(folders.run, folders.data) == (1, [], 0)
    assert recover(folders.run, folders.data) == (1, [], 0)


def test_a_log_that_ends_before_a_number_known_to_be_durable_is_damaged(folders: Folders) -> None:
    fill(folders.log(), 5)
    recovery = recover(folders.run, folders.data, known_durable=9)
    assert recovery.next == 10
    assert "ends with record 5" in recovery.damaged[0]


def test_a_log_of_a_newer_version_is_refused_and_left_as_it_is(folders: Folders) -> None:
    fill(folders.log(), 5)
    Mirror(folders.run, folders.data).step()
    path = log_folder(folders.data) / name_of(1)
    content = path.read_bytes().replace(b"GBELOG01", b"GBELOG02", 1)
    path.write_bytes(content)
    with pytest.raises(WrongVersionError, match=r"\.seg: written by version 2 of the format, this program reads 1"):
        recover(folders.run, folders.data)
    assert path.read_bytes() == content
    assert segments(log_folder(folders.run)) == [1]


def test_records_are_read_behind_a_damaged_magic(folders: Folders) -> None:
    fill(folders.log(), 5)
    Mirror(folders.run, folders.data).step()
    recover(folders.run, folders.data)
    path = log_folder(folders.data) / name_of(1)
    path.write_bytes(b"G?ELOG01" + path.read_bytes()[8:])
    assert recover(folders.run, folders.data)[:2] == (6, [])
    assert path.read_bytes().startswith(b"GBELOG01")


def test_a_torn_tail_is_cut_without_an_alarm(folders: Folders) -> None:
    log = folders.log()
    fill(log, 5)
    Mirror(folders.run, folders.data).step()
    recover(folders.run, folders.data)
    path = log_folder(folders.data) / name_of(1)
    content = bytearray(path.read_bytes())
    content[-20] ^= 1
    path.write_bytes(content + os.urandom(3000))
    assert recover(folders.run, folders.data)[:2] == (5, [])
    assert texts(folders.everything()) == [1, 2, 3, 4]


def test_damage_before_a_durable_record_is_reported_kept_and_stepped_over(folders: Folders) -> None:
    log = folders.log()
    copy = Mirror(folders.run, folders.data)
    for _ in range(5):
        fill(log, 1)
        copy.step()
    recover(folders.run, folders.data)
    path = log_folder(folders.data) / name_of(1)
    content = bytearray(path.read_bytes())
    content[PAGE + 2 * 248 + 100] ^= 1
    path.write_bytes(content)
    recovery = recover(folders.run, folders.data)
    assert recovery.next == 6
    assert "record 3 at offset" in recovery.damaged[0]
    assert path.read_bytes() == content
    fill(Log(folders.run, folders.data, recovery, segment_size=SMALL), 2)
    tail = folders.tail()
    assert texts(tail.poll()) == [1, 2, 6, 7]
    assert tail.gaps == [(3, 5)]
    assert tail.missed == 3


def test_after_a_failed_sync_the_segment_is_written_again_from_memory(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = folders.log()
    copy = Mirror(folders.run, folders.data)
    fill(log, 3)
    copy.step()
    fill(log, 3)
    path = log_folder(folders.data) / name_of(1)
    good = os.fdatasync

    def failing(fd: int) -> None:
        path.write_bytes(bytes(SMALL))  # the kernel drops what it could not write
        raise OSError(errno.EIO, "injected")

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(OSError, match="injected"):
        copy.step()
    assert log.durable == 3
    monkeypatch.setattr(os, "fdatasync", good)
    copy.forget()
    assert copy.step() == 6
    assert texts(folders.everything()) == [1, 2, 3, 4, 5, 6]


def test_a_mirror_whose_segment_has_vanished_says_so_instead_of_inventing(folders: Folders) -> None:
    log = folders.log()
    copy = Mirror(folders.run, folders.data)
    fill(log, 200)
    for first in segments(log_folder(folders.run))[:2]:
        (log_folder(folders.run) / name_of(first)).unlink()
    with pytest.raises(OSError, match="no segment holds record 1"):
        copy.step()
    assert log.durable == 0


def test_a_full_disk_is_known_one_segment_early_and_caught_up_when_there_is_room(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = folders.log()
    copy = Mirror(folders.run, folders.data)
    fill(log, 1)
    copy.step()
    copy.reserve()
    (log_folder(folders.data) / "ahead").unlink()
    good = segment.create

    def full_disk(path: Path, size: int) -> mmap.mmap:
        if path.is_relative_to(folders.data):
            raise OSError(errno.ENOSPC, "No space left on device")
        return good(path, size)

    monkeypatch.setattr(segment, "create", full_disk)
    with pytest.raises(OSError, match="No space"):
        copy.reserve()
    fill(log, 5)
    assert copy.step() == 6  # the present segment still takes them
    fill(log, 100)
    with pytest.raises(OSError, match="No space"):
        copy.step()
    assert 6 < log.durable < 106
    monkeypatch.setattr(segment, "create", good)
    copy.reserve()
    assert copy.step() == 106
    assert texts(folders.everything()) == list(range(1, 107))


def test_only_segments_whose_records_all_were_copied_are_released_and_two_always_stay(folders: Folders) -> None:
    log = folders.log()
    fill(log, 200)
    Mirror(folders.run, folders.data).step()
    firsts = segments(log_folder(folders.data))
    assert release_segments(folders.data, firsts[2] - 2) == 1
    assert segments(log_folder(folders.data)) == firsts[1:]
    release_segments(folders.data, 10**9)
    assert segments(log_folder(folders.data)) == firsts[-2:]
    tail = Tail(folders.run, folders.data)
    recover(folders.run, folders.data)
    assert tail.poll(1)[0].number == firsts[-2]
    assert tail.gaps == [(1, firsts[-2] - 1)]


class MirrorThread(threading.Thread):
    """The main loop of the mirror process, beside the test."""

    def __init__(self, folders: Folders) -> None:
        super().__init__(daemon=True)
        self.folders, self.over = folders, threading.Event()
        self.turned = threading.Event()

    def run(self) -> None:
        run_mirror(self.folders.run, self.folders.data, self.over.is_set, self.turned.set)

    def end(self) -> None:
        self.over.set()
        self.join(30)
        assert not self.is_alive()

    def wait_for(self, log: Log, number: int) -> None:
        for _ in range(600):
            if log.durable >= number:
                return
            self.turned.clear()
            self.turned.wait(1)
        raise AssertionError(f"record {number} did not become durable")


def test_the_mirror_outlives_restarts_of_the_core_and_beats(folders: Folders) -> None:
    copy = MirrorThread(folders)
    copy.start()
    for start in range(3):
        log = Log(folders.run, folders.data, segment_size=SMALL)
        fill(log, 100)
        log.wake_mirror()
        copy.wait_for(log, 100 * (start + 1))
    copy.end()
    page = ControlPage(folders.run)
    assert page[BEAT] > 0
    assert page[ERROR] == 0
    assert texts(folders.everything()) == list(range(1, 301))


def test_a_failing_disk_shows_in_the_control_page_and_is_taken_back(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = folders.log()
    good, failing = os.fdatasync, threading.Event()
    failing.set()
    failed = threading.Event()

    def fdatasync(fd: int) -> None:
        if failing.is_set():
            failed.set()
            raise OSError(errno.EIO, "injected")
        good(fd)

    monkeypatch.setattr(os, "fdatasync", fdatasync)
    copy = MirrorThread(folders)
    copy.start()
    fill(log, 5)
    log.wake_mirror()
    assert failed.wait(30)
    copy.turned.clear()
    assert copy.turned.wait(30)
    page = ControlPage(folders.run)
    assert (page[ERROR], log.durable) == (errno.EIO, 0)
    failing.clear()
    copy.wait_for(log, 5)
    copy.end()
    assert page[ERROR] == 0


def test_a_stopped_mirror_has_written_what_was_appended_before(folders: Folders) -> None:
    log = folders.log()
    copy = MirrorThread(folders)
    copy.start()
    assert copy.turned.wait(30)
    fill(log, 50)
    copy.end()
    assert log.durable == 50


def test_a_recovery_that_cannot_have_the_log_says_who_holds_it(folders: Folders) -> None:
    held = MirrorLock(folders.data)
    assert held.take()
    with pytest.raises(OSError, match="a mirror process still holds the event log"):
        recover(folders.run, folders.data, wait_s=0.0)
    held.release()
    assert recover(folders.run, folders.data).next == 1
