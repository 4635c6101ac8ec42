"""What the core asks of the machine it runs on: the health of other processes, the kernel's clock, memory, certificate."""

import contextlib
import ctypes
import os
import time
from pathlib import Path

from cryptography import x509

from server.config.site import Site
from server.core.server_points import ClockState, Surroundings
from server.duties import duties_of
from server.pki.own_certificate import CERTIFICATE
from server.runtime.block import Unavailable
from server.runtime.health import Health, HealthReader, resident_bytes

_TIME_ERROR, _UNSYNCHRONISED, _NANOSECONDS = 5, 0x40, 0x2000


class _Timeval(ctypes.Structure):
    _fields_ = (("sec", ctypes.c_long), ("usec", ctypes.c_long))


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2) on 64-bit Linux."""

    _fields_ = (
        ("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("constant", ctypes.c_long),
        ("precision", ctypes.c_long), ("tolerance", ctypes.c_long), ("time", _Timeval), ("tick", ctypes.c_long),
        ("ppsfreq", ctypes.c_long), ("jitter", ctypes.c_long), ("shift", ctypes.c_int), ("stabil", ctypes.c_long),
        ("jitcnt", ctypes.c_long), ("calcnt", ctypes.c_long), ("errcnt", ctypes.c_long), ("stbcnt", ctypes.c_long),
        ("tai", ctypes.c_int), ("pad", ctypes.c_int * 11),
    )  # fmt: skip


def clock_state() -> ClockState | None:
    """State of the kernel's clock; None where it cannot be asked. Needs no right."""
    timex = _Timex()
    state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    if state < 0:
        return None
    unit = 1e-9 if timex.status & _NANOSECONDS else 1e-6
    synchronised = state != _TIME_ERROR and not timex.status & _UNSYNCHRONISED
    return ClockState(synchronised, timex.maxerror * 1e-6, timex.offset * unit)


class HealthOfOthers:
    """Health blocks of the other processes."""

    def __init__(self, run: Path, roles: tuple[str, ...]) -> None:
        self._readers = [HealthReader(run, role) for role in roles]

    def __call__(self) -> dict[str, Health]:
        """Those that can be read."""
        found = {}
        for reader in self._readers:
            with contextlib.suppress(Unavailable):
                found[reader.role] = reader.read()
        return found


def memory_limit_bytes() -> int:
    """The limit of the control group, else the memory of the machine."""
    total = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    with contextlib.suppress(OSError, ValueError):
        total = min(total, int(Path("/sys/fs/cgroup/memory.max").read_text()))
    return total


class CertificateEnd:
    """End of the own certificate, UTC ns. The face makes the certificate at its first start, so it is looked for."""

    def __init__(self, data: Path) -> None:
        self._path = data / "pki" / CERTIFICATE
        self._found: int | None = None

    def __call__(self) -> int | None:
        """None while there is no certificate."""
        if self._found is None and self._path.exists():
            with contextlib.suppress(OSError, ValueError):
                certificate = x509.load_der_x509_certificate(self._path.read_bytes())
                self._found = int(certificate.not_valid_after_utc.timestamp()) * 1_000_000_000
        return self._found


def surroundings(site: Site, run: Path, data: Path) -> Surroundings:
    """The surroundings of a core that runs as a process of this machine."""
    duties = duties_of(site, simulated=False)  # a plant that stands in for hardware has no health block
    others = (*(duty.name for duty in duties if duty.kind.name != "core"), "supervisor")
    return Surroundings(
        health=HealthOfOthers(run, others),
        clock=clock_state,
        cpu_s=time.process_time,
        rss_bytes=resident_bytes,
        memory_limit_bytes=memory_limit_bytes(),
        certificate_ends_utc_ns=CertificateEnd(data),
        faces=tuple(duty.name for duty in duties if duty.kind.face),
        fields=tuple(duty.name for duty in duties if duty.kind.name == "field"),
    )
