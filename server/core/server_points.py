"""The server about itself: ESS.Server.* from the cycle's statistics, the health of the other processes, the machine.

A number that nobody on this machine can know is Bad, not zero. What touches a disk is not read in the cycle: the free
space comes from the archive process, the end of the own certificate is read once, when it exists.
"""

import collections
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import numpy as np

from information_model.points.row import Level
from server.core.board import Board
from server.core.event_pen import EventPen
from server.core.now import Now
from server.core.protection.alarms import ALL
from server.core.statistics import CycleStatistics
from server.runtime.health import Health

SECOND_NS = 1_000_000_000
FRESH_NS = 2 * SECOND_NS
"""A process whose health block is older does not run."""
START_NS = 10 * SECOND_NS
"""After the start of the core a process that has not shown itself yet is starting, not missing."""
STEP_SHOWN_NS = 60 * SECOND_NS
RECENT_NS = 600 * SECOND_NS
FULL_SERVICE, DEGRADED_SERVICE, NO_DATA_SERVICE = 255, 200, 150
"""Service levels (OPC 10000-4, 6.6.2.4): healthy from 200 on, degraded from 2 to 199."""


class ClockState(NamedTuple):
    """What the kernel says about the clock, adjtimex(2)."""

    synchronised: bool
    max_error_s: float
    offset_s: float


class Surroundings(NamedTuple):
    """Where the numbers come from; the process gives the real ones, a simulation its own."""

    health: Callable[[], Mapping[str, Health]]
    """Newest health of every other process by role; one that never wrote is absent."""
    clock: Callable[[], ClockState | None]
    cpu_s: Callable[[], float]
    """CPU seconds of the core itself."""
    rss_bytes: Callable[[], int]
    memory_limit_bytes: int
    certificate_ends_utc_ns: Callable[[], int | None]
    faces: tuple[str, ...]
    """Roles of the configured faces."""
    fields: tuple[str, ...]
    """Roles of the configured field processes."""


def no_surroundings() -> Surroundings:
    """A core alone in the world, as in a simulation."""
    return Surroundings(dict, lambda: None, lambda: 0.0, lambda: 0, 1, lambda: None, (), ())


class ServerPoints:
    """Written once a second, the few that tell of the cycle in each."""

    def __init__(
        self,
        board: Board,
        pen: EventPen,
        statistics: CycleStatistics,
        surroundings: Surroundings,
        *,
        simulated: bool,
    ) -> None:
        self._board, self._pen, self._statistics, self._around = board, pen, statistics, surroundings
        self._simulated = simulated
        self._start_ns = 0
        self._next_ns = 0
        self._seen: set[str] = set()
        self._stepped: tuple[int, float] | None = None
        self.clock_steps = 0
        self.core_restarted = False
        self.unclean_stop = False
        self.real_time = False
        self.accepted = self.refused = 0
        self._events: collections.deque[tuple[int, int]] = collections.deque(maxlen=4096)
        self._failures: collections.deque[tuple[int, int]] = collections.deque()
        self._load: collections.deque[tuple[int, float]] = collections.deque(maxlen=11)

    def clock_stepped(self, step_ns: int, now: Now) -> None:
        """The wall clock was set; the size is shown for a minute."""
        self._stepped = (now.mono_ns, step_ns / 1e9)
        self.clock_steps += 1

    def acknowledged(self, element: str, condition: str) -> None:
        """Somebody has seen that the server was restarted: what was not acknowledged before ends with it."""
        if element == "ESS":
            self.core_restarted &= condition not in (ALL, "CoreRestarted")
            self.unclean_stop &= condition not in (ALL, "UncleanStop")

    def step(self, now: Now) -> None:
        """Write what is due."""
        if not self._start_ns:
            self._start_ns = now.mono_ns
            self._state("State.SimulationActive", self._simulated, now)
        if self._stepped is not None and now.mono_ns - self._stepped[0] > STEP_SHOWN_NS:
            self._stepped = None
        self._put("ClockStep", self._stepped[1] if self._stepped else 0.0, now)
        self._put("JournalDelay", self._pen.delay_s, now)
        self._put("CycleCount", self._statistics.count % 2**32, now)
        self._put("CycleLateness", self._statistics.lateness_s, now)
        self._put("CycleTime", self._statistics.duration_s, now)
        for name, value in (
            ("CoreRestarted", self.core_restarted),
            ("UncleanStop", self.unclean_stop),
            ("RealTimePriority", self.real_time),
            ("TimeEpoch", now.epoch),
            ("ClockSteps", self.clock_steps),
            ("CommandsAccepted", self.accepted),
            ("CommandsRefused", self.refused),
            ("EventsLogged", self._pen.head % 2**32),
            ("OverrunCount", self._statistics.overruns),
            ("OverrunsRecent", self._statistics.overruns_recent),
        ):
            self._state(f"Server.{name}", value, now)
        if now.mono_ns >= self._next_ns:
            self._next_ns = now.mono_ns + SECOND_NS
            self._each_second(now)

    def _put(self, name: str, value: float, now: Now) -> None:
        self._board.measure(Level.SYSTEM, f"Server.{name}", value, now.utc_ns)

    def _state(self, path: str, value: Any, now: Now) -> None:
        self._board.state(Level.SYSTEM, path, value, now.utc_ns)

    def _each_second(self, now: Now) -> None:
        statistics, around = self._statistics, self._around
        self._put("Uptime", (now.mono_ns - self._start_ns) / 1e9, now)
        self._put("CycleLatenessMax", statistics.lateness_max_s, now)
        self._put("CycleTimeMax", statistics.duration_max_s, now)
        health = around.health()
        alive = {role for role, entry in health.items() if now.mono_ns - entry.mono_ns <= FRESH_NS}
        self._processes(health, alive, now)
        self._opcua(health.get("opcua") if "opcua" in alive else None, now)
        self._archive(health.get("archive") if "archive" in alive else None, now)
        self._machine([entry for role, entry in health.items() if role in alive], now)
        self._clock(now)
        ends = around.certificate_ends_utc_ns()
        self._put("CertificateRemainingTime", np.nan if ends is None else (ends - now.utc_ns) / 1e9, now)

    def _processes(self, health: Mapping[str, Health], alive: set[str], now: Now) -> None:
        around = self._around
        self._seen |= alive
        starting = now.mono_ns - self._start_ns < START_NS
        for name, roles in (("Faces", around.faces), ("FieldProcesses", around.fields)):
            running = sum(role in alive for role in roles)
            missing = sum(role not in alive and (role in self._seen or not starting) for role in roles)
            self._state(f"Server.{name}Configured", len(roles), now)
            self._state(f"Server.{name}Alive", running, now)
            self._state(f"Server.{name}Missing", missing, now)
        supervisor = health.get("supervisor")
        restarts = {} if supervisor is None else supervisor.counters
        for name, counter in (
            ("CoreRestarts", "core_restarts"),
            ("FieldProcessRestarts", "field_restarts"),
            ("FaceRestarts", "face_restarts"),
        ):
            self._state(f"Server.{name}", restarts.get(counter, 0), now)
        heard = self._board.numbers(Level.SYSTEM, "State.CommunicatingRackCount")
        level = FULL_SERVICE
        if not self._pen.writable:
            level = DEGRADED_SERVICE
        if heard is None or not heard[0] > 0:
            level = NO_DATA_SERVICE
        self._state("Server.ServiceLevel", level, now)

    def _opcua(self, face: Health | None, now: Now) -> None:
        """Counters of the OPC UA face; while it does not run they are not known."""
        counters: Mapping[str, float] = {} if face is None else face.counters
        for name, counter in (
            ("OpcUaSessions", "sessions"),
            ("OpcUaSubscriptions", "subscriptions"),
            ("OpcUaMonitoredItems", "monitored_items"),
            ("RejectedRequests", "rejected_requests"),
            ("AuthenticationFailures", "authentication_failures"),
            ("RejectedCertificateCount", "rejected_certificates"),
        ):
            self._put(name, counters.get(counter, np.nan), now)
        failures = counters.get("authentication_failures")
        if failures is None:
            self._put("AuthenticationFailuresRecent", np.nan, now)
            return
        window = self._failures
        if window and failures < window[-1][1]:
            window.clear()  # the face was started again and counts from 0
        window.append((now.mono_ns, int(failures)))
        while now.mono_ns - window[0][0] > RECENT_NS:
            window.popleft()
        self._put("AuthenticationFailuresRecent", min(failures - window[0][1], 65535), now)

    def _archive(self, archive: Health | None, now: Now) -> None:
        counters: Mapping[str, float] = {} if archive is None else archive.counters
        self._put("ArchiveBacklog", counters.get("backlog_ms", np.nan) / 1000, now)
        self._put("ArchiveFault", float(counters.get("fault", np.nan) > 0) if archive else np.nan, now)
        self._put("ArchiveDamaged", float(counters.get("damaged", np.nan) > 0) if archive else np.nan, now)
        self._put("DiskFree", counters.get("free_disk_ppm", np.nan) / 1e4, now)
        self._backlog(counters.get("journal_number"), now)

    def _backlog(self, copied: float | None, now: Now) -> None:
        """Age of the oldest event that the archive has not copied."""
        head = self._pen.head
        if not self._events or self._events[-1][0] != head:
            self._events.append((head, now.mono_ns))
        if copied is None:
            self._put("EventLogBacklog", np.nan, now)
            return
        while self._events and self._events[0][0] <= copied:
            self._events.popleft()
        age_s = (now.mono_ns - self._events[0][1]) / 1e9 if self._events else 0.0
        self._put("EventLogBacklog", age_s, now)

    def _machine(self, others: list[Health], now: Now) -> None:
        around = self._around
        cpu_s = around.cpu_s() + sum(entry.cpu_s for entry in others)
        if self._load and cpu_s < self._load[-1][1]:
            self._load.clear()  # a process was started again
        self._load.append((now.mono_ns, cpu_s))
        passed_ns = now.mono_ns - self._load[0][0]
        share = 1e11 * (cpu_s - self._load[0][1]) / passed_ns if passed_ns else np.nan
        self._put("CpuLoad", share, now)
        used = around.rss_bytes() + sum(entry.rss_bytes for entry in others)
        self._put("MemoryUsed", 100 * used / around.memory_limit_bytes, now)

    def _clock(self, now: Now) -> None:
        clock = self._around.clock()
        self._put("ClockSynchronised", np.nan if clock is None else float(clock.synchronised), now)
        self._put("ClockMaxError", np.nan if clock is None else clock.max_error_s, now)
        self._put("ClockOffset", np.nan if clock is None else clock.offset_s, now)
