"""Segments of the event log: a header page, then records, the same bytes on tmpfs and on disk.

========= ======= =================================   ========= ======== ==========================================
segment                                               record (on 8 bytes)
========= ======= =================================   ========= ======== ==========================================
0         8 bytes `GBELOG01`                        0         u4       CRC-32 over bytes 4 .. 48+length
8         u8      number of the first record          4         u4       length of the payload, at most 4096
16        u8      segment size                        8         u8       number, +1 per record for ever
4096              first record                        16, 24    i8, i8   monotonic ns, UTC ns
                                                      32        u8       durable number when it was appended
                                                      40        u2,u1,u1 kind, version, flags
                                                      44        u4       time epoch
                                                      48                 payload; zeros to the next 8 bytes
========= ======= =================================   ========= ======== ==========================================

The durable number tells a torn tail (nothing behind it was acknowledged: cut) from damage (a later record says that
this one was on disk: report).
"""

import itertools
import mmap
import os
import struct
from pathlib import Path
from typing import Any
from zlib import crc32

import msgspec
import numpy as np

from server.runtime.logpage import log_folder
from server.runtime.versions import another_version, head_of

FORMAT, VERSION = b"GBELOG", 1
MAGIC = FORMAT + b"%02d" % VERSION
PAGE = 4096
SEGMENT_SIZE = 4 << 20
MAX_PAYLOAD = 4096
RECORD = struct.Struct("<IIQqqQHBBI")
RECORD_HEAD = RECORD.size
LENGTH_AND_NUMBER = struct.Struct("<IQ")
SUFFIX = ".seg"


class Record(msgspec.Struct, frozen=True):
    """One entry of the event log as it was appended."""

    number: int
    kind: int
    version: int
    flags: int
    time_epoch: int
    mono_ns: int
    utc_ns: int
    durable: int
    payload: bytes


def name_of(first: int) -> str:
    """The file name of the segment whose first record has this number."""
    return f"{first:020d}{SUFFIX}"


def segments(folder: Path) -> list[int]:
    """First numbers of the segments in a folder, ascending; empty when the folder does not exist."""
    try:
        names = os.listdir(folder)
    except FileNotFoundError:
        return []
    return sorted(int(n[:20]) for n in names if len(n) == 24 and n.endswith(SUFFIX) and n[:20].isdecimal())


def segments_of_another_version(folder: Path) -> list[str]:
    """What to tell of segments that a newer program has written; nothing is changed.

    A magic that is none is damage: records have check sums of their own and are read without it.
    """
    told = []
    for first in segments(folder):
        path = folder / name_of(first)
        head = head_of(path, len(MAGIC))
        if head.startswith(FORMAT) and head != MAGIC and head[len(FORMAT) :].isdigit():
            told.append(another_version(path, int(head[len(FORMAT) :]), VERSION))
    return told


def header(first: int, size: int) -> bytes:
    """The header page of a segment."""
    return (MAGIC + first.to_bytes(8, "little") + size.to_bytes(8, "little")).ljust(PAGE, b"\0")


def create(path: Path, size: int) -> mmap.mmap:
    """A new zeroed file with all its memory reserved and mapped. OSError ENOSPC when there is no room."""
    fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o640)
    try:
        os.posix_fallocate(fd, 0, size)
        return mmap.mmap(fd, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)


def map_segment(path: Path) -> mmap.mmap:
    """A read-only mapping of a whole segment file; OSError EIO when it is shorter than its header page."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        size = os.fstat(fd).st_size
        if size < PAGE:
            raise OSError(5, f"{path}: {size} bytes, shorter than the header page of a log segment")
        return mmap.mmap(fd, size, flags=mmap.MAP_SHARED, prot=mmap.PROT_READ)
    finally:
        os.close(fd)


def pack(record: Record) -> bytes:
    """The bytes of a record without padding. ValueError when the payload is longer than 4096 bytes."""
    length = len(record.payload)
    if length > MAX_PAYLOAD:
        raise ValueError(f"event payload of {length} bytes, at most {MAX_PAYLOAD}; refer to a file instead")
    rest = (
        RECORD.pack(
            0,
            length,
            record.number,
            record.mono_ns,
            record.utc_ns,
            record.durable,
            record.kind,
            record.version,
            record.flags,
            record.time_epoch,
        )[4:]
        + record.payload
    )
    return crc32(rest).to_bytes(4, "little") + rest


def scan(
    view: memoryview | bytes, at: int, number: int, limit: int | None = None, check: bool = True
) -> tuple[int, int]:
    """(offset behind the last good record, number of the one that would follow), from record `number` at offset `at`.

    `limit` is the last number of interest; `check=False` trusts records whose number was published by their writer.
    """
    end = len(view) - RECORD_HEAD
    while at <= end and (limit is None or number <= limit):
        length, found = LENGTH_AND_NUMBER.unpack_from(view, at + 4)
        stop = at + RECORD_HEAD + length
        if found != number or length > MAX_PAYLOAD or stop > len(view):
            break
        if check and crc32(view[at + 4 : stop]) != int.from_bytes(view[at : at + 4], "little"):
            break
        at, number = (stop + 7) & ~7, number + 1
    return at, number


def read_record(view: memoryview | bytes, at: int, number: int) -> tuple[Record, int] | None:
    """(record `number` at offset `at`, offset behind it); None when it is not there whole and right."""
    behind, following = scan(view, at, number, number)
    if following == number:
        return None
    _, length, found, mono_ns, utc_ns, durable, kind, version, flags, epoch = RECORD.unpack_from(view, at)
    payload = bytes(view[at + RECORD_HEAD : at + RECORD_HEAD + length])
    return Record(found, kind, version, flags, epoch, mono_ns, utc_ns, durable, payload), behind


def find_behind(view: memoryview | bytes, at: int, number: int) -> list[Record]:
    """Whole records with a number above `number` anywhere behind offset `at`: there are none behind a torn tail."""
    start = (at + 7) & ~7
    count = (len(view) - start) // 8
    if count < RECORD_HEAD // 8:
        return []
    words: np.ndarray[Any, np.dtype[np.uint64]] = np.frombuffer(view, np.uint64, count, start)
    length = words[:-1] >> np.uint64(32)
    following = words[1:]
    most = number + len(view) // RECORD_HEAD
    likely = (length <= MAX_PAYLOAD) & (following > number) & (following <= most)
    found = []
    for k in np.flatnonzero(likely).tolist():
        entry = read_record(view, start + 8 * k, int(following[k]))
        if entry is not None:
            found.append(entry[0])
    return found


def release_segments(data: Path, up_to: int) -> int:
    """Delete segments on disk all of whose records have numbers <= `up_to`; the newest two always stay.

    Called by the archive with the least of its cursor and the log number of the older retained state. Returns how many.
    """
    folder = log_folder(data)
    firsts = segments(folder)
    released = 0
    for first, following in itertools.pairwise(firsts[:-1]):
        if following - 1 <= up_to:
            (folder / name_of(first)).unlink(missing_ok=True)
            released += 1
    return released
