"""What a start of the core does with the log of the last one: complete it from memory, cut a torn tail, tell damage."""

import contextlib
import fcntl
import logging
import os
import time
from pathlib import Path
from typing import NamedTuple

from server.runtime.filesystem import sync_folder, write_all
from server.runtime.logpage import DURABLE, HEAD, OPENED, STARTS, ControlPage, log_folder
from server.runtime.segment import (
    PAGE,
    find_behind,
    header,
    map_segment,
    name_of,
    read_record,
    scan,
    segments,
    segments_of_another_version,
)
from server.runtime.tick import APPENDED, Tick
from server.runtime.versions import WrongVersionError

log = logging.getLogger("gridbms.runtime")

MIRROR_LOCK = "mirror.lock"


class Recovery(NamedTuple):
    """`next` is the number of the first record of this start; `damaged` says in words what the medium lost."""

    next: int
    damaged: list[str]
    newest_utc_ns: int


class _Twin(NamedTuple):
    content: bytes
    end: int
    following: int


class MirrorLock:
    """Who may write `DATA/log`: the mirror, or a recovery. Held by flock(2), so a death releases it."""

    def __init__(self, data: Path) -> None:
        folder = log_folder(data)
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.path = folder / MIRROR_LOCK
        self._fd = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def take(self) -> bool:
        """Without waiting; whether it is ours now."""
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def release(self) -> None:
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def close(self) -> None:
        os.close(self._fd)


def recover(run: Path, data: Path, known_durable: int = 0, wait_s: float = 5.0) -> Recovery:
    """Make `DATA/log` whole, remove the twins on tmpfs and say where numbering goes on.

    `known_durable` is a number that something else on disk (the retained state) proves to have been durable: a log that
    ends before it is damaged. A mirror still at work is asked to let go and waited for; OSError after `wait_s`.
    WrongVersionError for a log of another version, which is left as it is.
    """
    told = segments_of_another_version(log_folder(run)) + segments_of_another_version(log_folder(data))
    if told:
        raise WrongVersionError("\n".join(told))
    page = ControlPage(run)
    lock = MirrorLock(data)
    try:
        page[STARTS] = page[STARTS] + 1
        wake = Tick(run, APPENDED)
        wake.pulse()  # the mirror lets go when it sees the new start
        wake.close()
        until = time.monotonic() + wait_s
        while not lock.take():
            if time.monotonic() > until:
                raise OSError(
                    11,
                    f"{lock.path}: a mirror process still holds the event log after {wait_s} s; end it first",
                )
            time.sleep(0.002)  # another process's lock: nothing to wait on that has a time-out
        found = _recover(log_folder(run), log_folder(data), known_durable)
        page[DURABLE] = found.next - 1
        page[HEAD] = found.next - 1
        page[OPENED] = page[STARTS]
        return found
    finally:
        lock.close()
        page.close()


def _recover(memory: Path, disk: Path, known_durable: int) -> Recovery:
    on_disk, in_memory = segments(disk), segments(memory)
    newest = on_disk[-1] if on_disk else 0
    damaged: list[str] = []
    following, utc_ns = 1, 0
    for first in sorted({newest, *(n for n in in_memory if n >= newest)} - {0}):
        following, utc_ns, report = _recover_segment(memory, disk, first, utc_ns)
        damaged += report
    if utc_ns == 0:  # the newest segment was empty: the time of the last record stands in the one before
        for first in reversed(segments(disk)):
            last = _last_utc_ns(disk / name_of(first), first)
            if last:
                utc_ns = last
                break
    if following <= known_durable:
        damaged.append(
            f"{disk}: the log ends with record {following - 1}, but record {known_durable} was known to be durable; "
            f"numbers go on at {known_durable + 1}"
        )
        following = known_durable + 1
    sync_folder(disk)
    for first in in_memory:
        with contextlib.suppress(FileNotFoundError):
            (memory / name_of(first)).unlink()
    for text in damaged:
        log.error("event log damaged: %s", text)
    return Recovery(following, damaged, utc_ns)


def _read_twin(path: Path, first: int) -> _Twin:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        content = b""
    return _Twin(content, *(scan(content, PAGE, first) if len(content) >= PAGE else (PAGE, first)))


def _recover_segment(memory: Path, disk: Path, first: int, utc_ns: int) -> tuple[int, int, list[str]]:
    """(following number, newest UTC ns, damage) of one segment; its file on disk is whole and synced afterwards."""
    path = disk / name_of(first)
    on_disk, in_memory = _read_twin(path, first), _read_twin(memory / name_of(first), first)
    best = in_memory if in_memory.following > on_disk.following else on_disk
    behind = find_behind(best.content, best.end, best.following - 1)
    if any(record.durable >= best.following for record in behind):
        last = max(record.number for record in behind)
        text = (
            f"{path}: record {best.following} at offset {best.end} is unreadable although it was durable "
            f"(records up to {last} follow); the file is kept, numbers go on at {last + 1}"
        )
        return last + 1, max([utc_ns, *(record.utc_ns for record in behind)]), [text]
    if best.following == first:
        path.unlink(missing_ok=True)
        return first, utc_ns, []
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o640)
    try:
        # written again even when the bytes are there: after a failed sync they may be in the cache only
        page = header(first, len(best.content))
        if best.content[:16] == page[:16]:  # keep the size that the segment was made with
            page = best.content[:PAGE]
        write_all(fd, page + best.content[PAGE : best.end])
        os.ftruncate(fd, best.end)
        os.fdatasync(fd)
    finally:
        os.close(fd)
    return best.following, _newest_utc_ns(best.content, first, best.end), []


def _newest_utc_ns(content: bytes | memoryview, first: int, end: int) -> int:
    """UTC of the last record before offset `end`, 0 without records."""
    at, number, last = PAGE, first, -1
    while at < end:
        last = at
        at, number = scan(content, at, number, number, check=False)
        if at == last:
            break
    entry = read_record(content, last, number - 1) if last >= 0 else None
    return entry[0].utc_ns if entry else 0


def _last_utc_ns(path: Path, first: int) -> int:
    try:
        mapping = map_segment(path)
    except OSError:
        return 0
    view = memoryview(mapping)
    return _newest_utc_ns(view, first, scan(view, PAGE, first)[0])
