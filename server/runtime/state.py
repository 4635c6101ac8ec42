"""Retained state: latches, acknowledgements, counters, estimator state, as bytes that the core gives a meaning.

`DATA/state.bin` holds `GBSTATE1`, u4 version, u4 length, u8 log number, i8 UTC ns, u4 CRC-32 over the header (with
0 in place of the CRC) and the body, then the body. The file before it stays as `state.bin.old`. A state is written
only when the log is durable up to its number, or a power cut would leave a state that no log explains. A start is the
state plus every log record behind its number. What cannot be read is given another name before its place is taken.
"""

import logging
import os
import struct
from pathlib import Path
from zlib import crc32

import msgspec

from server.runtime.filesystem import sync_folder, write_file
from server.runtime.versions import another_version, head_of

log = logging.getLogger("gridbms.runtime")

MAGIC = b"GBSTATE1"
VERSION = 1
HEADER = struct.Struct("<8sIIQqI")
NAME = "state.bin"
OLDER = NAME + ".old"
HIGHEST_VERSION = 0xFFFF
"""A header that names a higher one is damaged: no release will come near it."""
MOVED_AWAY = ", or move it away: a start without a readable state latches every trip that latches"
DAMAGED_KEPT = 9
PENDING = "state.pending"
MAX_BODY = 64 << 20


class StateLost(Exception):  # noqa: N818 (a state of affairs, not a fault)
    """There is a state on disk and none of it can be read: start with every trip latched, not empty."""


class RetainedState(msgspec.Struct, frozen=True):
    """`number` is the last log record that `body` contains."""

    body: bytes
    number: int
    utc_ns: int


def encode_state(body: bytes, number: int, utc_ns: int) -> bytes:
    """The bytes of a state file."""
    if len(body) > MAX_BODY:
        raise ValueError(f"retained state of {len(body)} bytes, at most {MAX_BODY}")
    fields = (MAGIC, VERSION, len(body), number, utc_ns)
    check = crc32(body, crc32(HEADER.pack(*fields, 0)))
    return HEADER.pack(*fields, check) + body


def decode_state(content: bytes) -> RetainedState:
    """The reverse; ValueError says what is wrong with the bytes."""
    if len(content) < HEADER.size:
        raise ValueError(f"{len(content)} bytes, shorter than its header of {HEADER.size}")
    magic, version, length, number, utc_ns, check = HEADER.unpack_from(content)
    if magic != MAGIC:
        raise ValueError(f"begins with {magic!r}, expected {MAGIC!r}")
    if version != VERSION:
        raise ValueError(f"version {version}, this program reads version {VERSION}")
    body = content[HEADER.size :]
    if len(body) != length:
        raise ValueError(f"body of {len(body)} bytes, the header says {length}")
    if crc32(body, crc32(HEADER.pack(magic, version, length, number, utc_ns, 0))) != check:
        raise ValueError("check sum is wrong")
    return RetainedState(body, number, utc_ns)


def states_of_another_version(data: Path) -> list[str]:
    """What to tell of retained states that a newer program has written; nothing is changed."""
    told = []
    for path in (data / NAME, data / OLDER):
        head = head_of(path, len(MAGIC) + 4)
        version = int.from_bytes(head[len(MAGIC) :], "little") if head.startswith(MAGIC) else 0
        if VERSION < version <= HIGHEST_VERSION:
            told.append(another_version(path, version, VERSION, MOVED_AWAY))
    return told


def load_state(data: Path) -> RetainedState | None:
    """The newest readable state of (`state.bin`, `state.bin.old`); None when there never was one.

    StateLost when files exist and none is readable. OSError of the disk passes through.
    """
    reasons: list[str] = []
    for name in (NAME, OLDER):
        path = data / name
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            continue
        try:
            state = decode_state(content)
        except ValueError as error:
            reasons.append(f"{path}: {error}")
            continue
        for reason in reasons:
            log.error("retained state damaged: %s; using %s", reason, path)
        return state
    if reasons:
        raise StateLost("; ".join(reasons))
    return None


def write_state(data: Path, body: bytes, number: int, utc_ns: int) -> None:
    """Replace `state.bin` atomically and keep the present one as `.old`. Takes a sync: never in the cycle.

    Neither takes the place of one that cannot be read: that is kept as `<name>.damaged-<1..9>`.
    """
    _write_content(data, encode_state(body, number, utc_ns))


def _write_content(data: Path, content: bytes) -> None:
    path, older, part = data / NAME, data / OLDER, data / (NAME + ".part")
    write_file(part, content, sync=True)
    if _readable(path):  # a damaged present one must not push out a good older one
        _readable(older)
        link = data / (OLDER + ".part")
        link.unlink(missing_ok=True)
        os.link(path, link)
        os.rename(link, older)
        link.unlink(missing_ok=True)  # rename(2) leaves it when both names already were one file
    os.rename(part, path)
    sync_folder(data)


def _readable(path: Path) -> bool:
    """Whether a good state has this name. One that is not good has a second name afterwards: its place is needed."""
    try:
        decode_state(path.read_bytes())
    except FileNotFoundError:
        return False
    except (OSError, ValueError) as error:
        _set_aside(path, error)
        return False
    return True


def _set_aside(path: Path, error: Exception) -> None:
    """Kept by a link: without any state a start would take itself for the first. Nine at most, or a bad disk is filled."""
    for number in range(1, DAMAGED_KEPT + 1):
        target = path.with_name(f"{path.name}.damaged-{number}")
        if not target.exists():
            os.link(path, target)
            log.error("retained state damaged: %s: %s; kept as %s", path, error, target)
            return


def hand_over_state(run: Path, body: bytes, number: int, utc_ns: int) -> None:
    """Core: leave a state for the mirror, on tmpfs only. A newer one replaces one that still waits."""
    part = run / (PENDING + ".part")
    write_file(part, encode_state(body, number, utc_ns), sync=False)
    os.rename(part, run / PENDING)


class PendingState:
    """Mirror: what the core has handed over and the disk does not have yet."""

    def __init__(self, run: Path, data: Path) -> None:
        self._path, self._data = run / PENDING, data
        self._written: tuple[int, int] | None = None

    def write(self, durable: int) -> bool:
        """Write it when the log is durable up to its number; whether something was written. OSError of the disk."""
        try:
            status = self._path.stat()
        except FileNotFoundError:
            return False
        mark = (status.st_ino, status.st_mtime_ns)
        if mark == self._written:
            return False
        try:
            content = self._path.read_bytes()
            state = decode_state(content)
        except FileNotFoundError:
            return False
        except ValueError as error:
            log.warning("%s from the core is not a state: %s", self._path, error)
            self._written = mark
            return False
        if state.number > durable:
            return False
        _write_content(self._data, content)
        self._written = mark
        return True
