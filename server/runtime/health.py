"""Health of a process: one small block per process on tmpfs, which the core turns into points `ESS.Server.*`."""

import os
import time
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from server.runtime.block import Layout, Reader, Writer

COUNTERS_LENGTH = 16

COLUMNS = (
    ("pid", "i8", 1),
    ("start_mono_ns", "i8", 1),
    ("beat", "u8", 1),
    ("cpu_s", "f8", 1),
    ("rss_bytes", "u8", 1),
    ("counters", "u8", COUNTERS_LENGTH),
)
LAYOUT = Layout(COLUMNS)

# kind of process -> names of its counters; the place in the tuple is the index in the block, so only append.
# A role is the kind, or kind-<name> where there are several of them: "field-can0".
COUNTERS: dict[str, tuple[str, ...]] = {
    "opcua": (
        "sessions",
        "subscriptions",
        "monitored_items",
        "rejected_requests",
        "authentication_failures",
        "rejected_certificates",
        "connections",
        "notifications",
    ),
    "archive": (
        "samples_written",
        "backlog_ms",
        "bytes_written",
        "fault",
        "damaged",
        "free_disk_ppm",
        "journal_number",
        "dropped",
    ),
    "field": ("frames", "rejected", "buses_alive", "buses"),
    "mirror": ("durable", "errno"),
    "core": ("cycles", "overruns", "commands_accepted", "commands_refused", "fifo"),
    "supervisor": ("core_restarts", "field_restarts", "face_restarts"),
}


class Health(msgspec.Struct, frozen=True):
    """One look at a process. `mono_ns` is when it wrote; older than two seconds is a process that does not run."""

    role: str
    pid: int
    start_mono_ns: int
    beat: int
    cpu_s: float
    rss_bytes: int
    counters: dict[str, int]
    mono_ns: int


def kind_of(role: str) -> str:
    """The key in COUNTERS for a role. ValueError for a kind that has no entry."""
    kind = role.partition("-")[0]
    if kind not in COUNTERS or "/" in role:
        raise ValueError(f"process role {role!r}: its kind must be one of {', '.join(COUNTERS)}")
    return kind


def health_path(run: Path, role: str) -> Path:
    """The block of a role."""
    return run / f"health-{role}.block"


@cache
def _statm() -> tuple[int, int]:
    """Descriptor of proc(5) statm, which stays open, and the size of a page."""
    return os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC), os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Resident memory of this process."""
    fd, page = _statm()
    return int(os.pread(fd, 256, 0).split()[1]) * page


class HealthWriter:
    """To be called more often than every two seconds: an older block is that of a process that does not run."""

    def __init__(self, run: Path, role: str) -> None:
        self._names = COUNTERS[kind_of(role)]
        self._start_ns = time.monotonic_ns()
        self._block = Writer(health_path(run, role), LAYOUT, self._start_ns)
        self._beat = 0
        self._counters = np.zeros(COUNTERS_LENGTH, np.uint64)

    def write(self, counters: Mapping[str, int], mono_ns: int, utc_ns: int) -> None:
        """Publish; counters left out keep their value. KeyError for a name that the role does not have."""
        for name, value in counters.items():
            if name not in self._names:
                raise KeyError(f"health counter {name!r}: this role has {', '.join(self._names)}")
            self._counters[self._names.index(name)] = max(0, value)
        self._beat += 1
        columns = self._block.begin()
        columns["pid"][0] = os.getpid()
        columns["start_mono_ns"][0] = self._start_ns
        columns["beat"][0] = self._beat
        columns["cpu_s"][0] = time.process_time()
        columns["rss_bytes"][0] = resident_bytes()
        columns["counters"][:] = self._counters
        self._block.publish(self._beat, mono_ns, utc_ns)
        self._block.check_name(mono_ns)

    def close(self) -> None:
        self._block.close()


class HealthReader:
    """The latest health of one role."""

    def __init__(self, run: Path, role: str) -> None:
        self.role = role
        self._names = COUNTERS[kind_of(role)]
        self._block = Reader(health_path(run, role), LAYOUT)
        self._into: dict[str, NDArray[Any]] = {name: np.zeros(length, dtype) for name, dtype, length in COLUMNS}

    def read(self) -> Health:
        """Unavailable (of the block) while the process has not written or has stopped."""
        stamp = self._block.read(self._into)
        values = self._into
        return Health(
            self.role,
            int(values["pid"][0]),
            int(values["start_mono_ns"][0]),
            int(values["beat"][0]),
            float(values["cpu_s"][0]),
            int(values["rss_bytes"][0]),
            dict(zip(self._names, values["counters"].tolist(), strict=False)),
            stamp.mono_ns,
        )
