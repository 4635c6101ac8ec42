"""Captures of CAN traffic as frames: candump logs and GVRET CSV (SavvyCAN), plain or compressed with gzip.

A line that cannot be read is counted and reported with its number; it never ends the reading. Files of any length
are read in blocks. Times begin at 0 with the first frame; a step back by more than 1 s or forward by more than an hour
(a counter that wrapped, two captures joined, a damaged stamp) is closed up and counted.
"""

import gzip
import re
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from adapters.can.frame import ERROR, EXTENDED, EXTENDED_IDS, REMOTE, STANDARD_IDS, Frames, pack_frames
from adapters.errors import AdapterError

BLOCK = 1024
LONGEST_LINE = 1024
LONGEST_PAYLOAD = 64
LISTED = 10
_STEP_BACK_NS = 1_000_000_000
_STEP_FORWARD_NS = 3_600_000_000_000
_LATEST_NS = 1 << 61

Line = tuple[int, int, bytes]
"""Time in ns, identifier with flags, payload."""


class CaptureError(AdapterError):
    """The file cannot be opened, or its name says no known format."""


@dataclass
class CaptureReport:
    """What was found while a capture was read."""

    lines: int = 0
    frames: int = 0
    malformed: int = 0
    examples: list[str] = field(default_factory=list)
    """The first malformed lines: number and reason."""
    time_steps: int = 0

    def reject(self, reason: str) -> None:
        """Counts the present line as malformed."""
        self.malformed += 1
        if len(self.examples) < LISTED:
            self.examples.append(f"line {self.lines}: {reason}")


_CANDUMP = re.compile(
    r"\((\d{1,12})\.(\d{1,9})\)\s+\S+\s+([0-9A-Fa-f]{3}|[0-9A-Fa-f]{8})#"
    r"(R[0-9A-Fa-f]?|#[0-9A-Fa-f][0-9A-Fa-f.]*|[0-9A-Fa-f.]*)(?:\s+[RT])?\s*",
    re.ASCII,
)


class CandumpParser:
    """Lines of `candump -l`: `(seconds.fraction) interface id#data`, remote `id#R`, CAN FD `id##<flags><data>`."""

    def parse(self, line: str) -> Line | None:
        """The frame of a line, None for a line without one; raises ValueError with the reason."""
        if not line.strip():
            return None
        match = _CANDUMP.fullmatch(line)
        if match is None:
            raise ValueError("not of the form (seconds.fraction) interface id#data")
        seconds, fraction, ident_text, body = match.groups()
        ident = int(ident_text, 16)
        if len(ident_text) == 8:
            ident = ident & (ERROR | EXTENDED_IDS - 1) if ident & ERROR else ident % EXTENDED_IDS | EXTENDED
        elif ident >= STANDARD_IDS:
            raise ValueError(f"identifier {ident_text} has more than 11 bits")
        time_ns = int(seconds) * 1_000_000_000 + int(fraction.ljust(9, "0"))
        if body.startswith("R"):
            return time_ns, ident | REMOTE, b""
        data = bytes.fromhex((body[2:] if body.startswith("#") else body).replace(".", ""))
        if len(data) > (LONGEST_PAYLOAD if body.startswith("#") else 8):
            raise ValueError(f"{len(data)} bytes are too many")
        return time_ns, ident, data


class GvretParser:
    """Lines of SavvyCAN's GVRET CSV: times in us, columns as the header names them, with or without Dir."""

    def __init__(self) -> None:
        self._columns = {"time stamp": 0, "id": 1, "extended": 2, "len": 4, "d1": 5}

    def parse(self, line: str) -> Line | None:
        """The frame of a line, None for the header or an empty line; raises ValueError with the reason."""
        cells = [cell.strip() for cell in line.strip().split(",")]
        if cells == [""]:
            return None
        if cells[0].lower() == "time stamp":
            self._read_header([cell.lower() for cell in cells])
            return None
        at = self._columns
        if len(cells) <= max(at["len"], at["id"]):
            raise ValueError(f"{len(cells)} columns are too few")
        time_us, length = int(cells[at["time stamp"]]), int(cells[at["len"]])
        if not 0 <= time_us * 1000 < _LATEST_NS:
            raise ValueError(f"time {time_us} us")
        if not 0 <= length <= LONGEST_PAYLOAD:
            raise ValueError(f"length {length}")
        extended = cells[at["extended"]].lower() in ("true", "1")
        ident = int(cells[at["id"]], 16)
        if not 0 <= ident < (EXTENDED_IDS if extended else STANDARD_IDS):
            raise ValueError(f"identifier {cells[at['id']]}")
        data = [int(cell, 16) for cell in cells[at["d1"] : at["d1"] + length]]
        if len(data) < length:
            raise ValueError(f"{len(data)} of {length} bytes")
        return time_us * 1000, ident | EXTENDED if extended else ident, bytes(data)

    def _read_header(self, names: list[str]) -> None:
        found = {name: number for number, name in enumerate(names)}
        if missing := [name for name in self._columns if name not in found]:
            raise ValueError(f"header without {', '.join(missing)}")
        self._columns = {name: found[name] for name in self._columns}


_FORMATS: dict[str, Callable[[], CandumpParser | GvretParser]] = {".log": CandumpParser, ".csv": GvretParser}
SUFFIXES = tuple(suffix + packed for suffix in _FORMATS for packed in ("", ".gz"))


def has_known_format(path: Path) -> bool:
    """Whether the name ends as one of the formats that can be read."""
    return path.name.lower().endswith(SUFFIXES)


def read_capture(path: Path, report: CaptureReport, width: int = 8) -> Iterator[Frames]:
    """Blocks of frames in the order of the file; `mono_ns` is the time since the first frame.

    Raises CaptureError when the file cannot be opened.
    """
    suffix = path.name.lower().removesuffix(".gz")[-4:]
    if suffix not in _FORMATS:
        raise CaptureError(f"{path}: the name must end in one of {', '.join(SUFFIXES)}")
    parser = _FORMATS[suffix]()
    times = _TimeBase(report)
    ids: list[int] = []
    payloads: list[bytes] = []
    stamps: list[int] = []
    for line in _lines(path, report):
        try:
            frame = parser.parse(line)
        except ValueError as error:
            report.reject(str(error))
            continue
        if frame is None:
            continue
        stamps.append(frame[0])
        ids.append(frame[1])
        payloads.append(frame[2])
        if len(ids) == BLOCK:
            yield times.relative(pack_frames(ids, payloads, stamps, width))
            ids, payloads, stamps = [], [], []
    if ids:
        yield times.relative(pack_frames(ids, payloads, stamps, width))


def _lines(path: Path, report: CaptureReport) -> Iterator[str]:
    try:
        file = _open(path)
    except OSError as error:
        raise CaptureError(f"{path}: {error.strerror or error}") from error
    with file:
        try:
            while line := file.readline(LONGEST_LINE):
                report.lines += 1
                if len(line) == LONGEST_LINE and not line.endswith("\n"):
                    report.reject(f"longer than {LONGEST_LINE} characters")
                    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith("\n"):
                        pass
                    continue
                yield line
        except (OSError, EOFError, zlib.error) as error:  # a damaged or truncated gzip file: what came before counts
            report.lines += 1
            report.reject(f"the rest cannot be read: {error}")


def _open(path: Path) -> TextIO:
    if path.name.lower().endswith(".gz"):
        return gzip.open(path, "rt", encoding="ascii", errors="replace")
    return path.open(encoding="ascii", errors="replace")


class _TimeBase:
    """Makes times relative to the first frame and closes up steps; carries over from block to block."""

    def __init__(self, report: CaptureReport) -> None:
        self._report = report
        self._last: int | None = None
        self._elapsed = 0

    def relative(self, frames: Frames) -> Frames:
        """The block with relative times."""
        before = self._last if self._last is not None else int(frames.mono_ns[0])
        self._last = int(frames.mono_ns[-1])
        step = np.diff(frames.mono_ns, prepend=np.int64(before)).astype(np.int64)
        closed = (step < -_STEP_BACK_NS) | (step > _STEP_FORWARD_NS)
        step[closed] = 0
        times: NDArray[np.int64] = self._elapsed + np.cumsum(step)
        self._elapsed = int(times[-1])
        self._report.time_steps += int(closed.sum())
        self._report.frames += len(times)
        return frames._replace(mono_ns=times)
