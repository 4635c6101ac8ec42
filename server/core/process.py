"""The core process: it recovers what was, runs the cycle until it is told to stop, and serves the link in between.

Start: event log made whole, retained state plus the records behind it, then the first image. Stop (SIGTERM): a record
says so and the blocks are closed; the desired state stays as it is. Nothing is switched on a stop: the lease of each
rack runs out, the field processes ask for zero current at once and for opening after their own time, and a core that
is started again before that takes the racks over as they are.
"""

import gc
import logging
import signal
import time
from pathlib import Path
from types import FrameType

from server import __version__
from server.config.site import Site
from server.core.blocks import InputBlocks, OutputBlocks
from server.core.cycle import State, step
from server.core.event_pen import EventPen
from server.core.machine import surroundings
from server.core.now import Now
from server.core.statistics import CycleStatistics
from server.runtime.block import Layout, Writer
from server.runtime.clock import Clock, Stepped
from server.runtime.eventlog import Log, recover
from server.runtime.health import HealthWriter
from server.runtime.link import Answer, LinkServer, Request
from server.runtime.logpage import BEAT, ERROR, STARTS, ControlPage
from server.runtime.parent import Beat
from server.runtime.realtime import freeze_garbage, request_realtime
from server.runtime.records import ClockRecord, HealthRecord, RecordKind, StartRecord
from server.runtime.state import RetainedState, StateLost, hand_over_state, load_state
from server.runtime.tail import Tail
from server.runtime.tick import DURABLE, Tick, Wake

log = logging.getLogger("gridbms.core")

COLLECT_CYCLES = 100
COLLECT_ALL_CYCLES = 600
SLACK_S = 0.02
"""Slack that a garbage collection needs to be begun in a cycle."""
HEALTH_CYCLES = 2
FREEZE_AT_CYCLE = 20
CYCLES_PER_NAME_CHECK = 10
STATE_PERIOD_NS = 10_000_000_000
MIRROR_SILENT_NS = 2_000_000_000


class Stop:
    """Set by SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self.asked = True


def run_core(site: Site, run: Path, data: Path, beat: Beat, *, simulated: bool) -> None:
    """Run the core of a site until SIGTERM. Raises OSError where the run directory has no room for the image."""
    stop = Stop()
    core = CoreProcess(site, run, data, simulated=simulated)
    try:
        core.cycle()
        beat.ready()
        while not stop.asked:
            core.wait()
            core.cycle()
            beat.beat()
    finally:
        core.close()


class MirrorWatch:
    """Whether the mirror process makes records durable: its heart beats and its disk takes bytes."""

    def __init__(self, run: Path) -> None:
        self._page = ControlPage(run, write=False)
        self._start_ns = time.monotonic_ns()

    def __call__(self, mono_ns: int) -> bool:
        """At `mono_ns`; a mirror has a moment to begin after the core has started."""
        beat_ns = max(self._page[BEAT], self._start_ns)
        return self._page[ERROR] == 0 and mono_ns - beat_ns <= MIRROR_SILENT_NS

    @property
    def starts(self) -> int:
        """How often a core has started in this run directory."""
        return self._page[STARTS]

    def close(self) -> None:
        """Let go of the page."""
        self._page.close()


class CoreProcess:
    """The core with its files, clock and link; `cycle` and `wait` are called in turn."""

    def __init__(self, site: Site, run: Path, data: Path, *, simulated: bool) -> None:
        self.site, self.run, self.data = site, run, data
        self.period_s = site.file.core.period_s
        self.statistics = CycleStatistics(self.period_s)
        found = _find_state(data)
        self.log = Log(
            run, data, recover(run, data, known_durable=found.number if isinstance(found, RetainedState) else 0)
        )
        self.mirror = MirrorWatch(run)
        self.pen = EventPen(self.log, self.mirror)
        around = surroundings(site, run, data)
        self.state = State(site, self.pen, self.statistics, around, simulated=simulated)
        epoch = time.monotonic_ns()
        self.clock = Clock(not_before_ns=self.log.recovery.newest_utc_ns)
        self.now = self._read_clock()
        self._recover(found)
        self.image = Writer(run / "image", Layout(site.catalogue.columns()), epoch)
        self.inputs = InputBlocks(run, site.inputs)
        self.outputs = OutputBlocks(run, site.inputs, epoch)
        self.tick = Tick(run)
        self.link = LinkServer(run / "link.sock", self.handle, lambda: self.log.durable)
        self.durable_wake = Wake(run, DURABLE)
        self.link.wake_on(self.durable_wake.fileno())
        self.health = HealthWriter(run, "core")
        granted = request_realtime()
        self.state.server.real_time = granted.fifo
        log.info(
            "real-time priority %s%s", "granted" if granted.fifo else "refused", granted.why and f": {granted.why}"
        )
        self._state_due_ns = 0
        self._latched = -1
        self.due_s = time.monotonic()

    def _read_clock(self) -> Now:
        mono_ns = time.monotonic_ns()
        return Now(mono_ns, self.clock.utc(mono_ns), self.clock.offset_ns, self.period_s, self.clock.epoch)

    def _recover(self, found: RetainedState | str | None) -> None:
        """Take over what was: the state, then the records behind it; then say that the core has started."""
        retained, alarms = self.state.retained, self.state.protection.alarms
        lost = found if isinstance(found, str) else ""
        number = 0
        if isinstance(found, RetainedState):
            try:
                retained.restore(found.body, self.now)
                number = found.number
            except ValueError as error:
                lost = str(error)
        tail = Tail(self.run, self.data, after=number)
        while records := tail.poll():
            retained.replay(records, self.now)
        tail.close()
        damaged = [*self.log.recovery.damaged, *(f"records {a} to {b} are missing" for a, b in tail.gaps if number)]
        self.clock.epoch += retained.epoch
        self.now = self._read_clock()
        start = StartRecord(
            version=__version__,
            configuration_hash=self.site.hash,
            catalogue_hash=self.site.catalogue.hash,
            unclean=retained.unclean,
        )
        self.pen.append(RecordKind.CORE_STARTED, start, self.now)
        self.state.server.core_restarted = retained.unclean and self.mirror.starts > 1
        self.state.server.unclean_stop = retained.unclean and self.mirror.starts <= 1
        if lost:
            log.error("retained state lost: %s; every trip is latched until it has been looked at", lost)
            alarms.latch_everything(self.now)
        for text in damaged:
            self.pen.append(RecordKind.HEALTH, HealthRecord("core", "log damaged", text[:1000]), self.now)
        if self.clock.behind_ns:
            back = ClockRecord(self.log.recovery.newest_utc_ns, self.now.utc_ns, -self.clock.behind_ns, self.now.epoch)
            self.pen.append(RecordKind.CLOCK_STEPPED, back, self.now)
        retained.finish(self.now)
        self.pen.wake()

    def handle(self, request: Request) -> tuple[Answer, bool]:
        """Judge and do a request of a face, between two cycles."""
        answer = self.state.handle(request, self._read_clock())
        self.pen.wake()
        return answer

    def wait(self) -> None:
        """Serve the link until the next cycle is due; a cycle that took too long leaves out the ones it covered."""
        self.due_s += self.period_s
        late_s = time.monotonic() - self.due_s
        if late_s > self.period_s:
            skipped = int(late_s / self.period_s)
            self.statistics.overrun(skipped)
            self.due_s += skipped * self.period_s
        self.link.serve(self.due_s)

    def cycle(self) -> None:
        """One cycle: everything from the inputs to the wake-up of the faces."""
        begun_s = time.monotonic()
        stepped = self.clock.tick()
        self.now = now = self._read_clock()
        if stepped is not None:
            self._note_step(stepped)
        outputs = step(self.state, self.inputs.read(), now)
        self.outputs.write(outputs, self.statistics.count, now.mono_ns, now.utc_ns)
        self.state.working.copy_into(self.image.begin())
        self.image.publish(self.statistics.count, now.mono_ns, now.utc_ns, now.epoch, self.pen.head)
        self.tick.pulse()
        self.pen.wake()
        self.statistics.add(begun_s - self.due_s, time.monotonic() - begun_s)
        self._housekeeping()

    def _note_step(self, stepped: Stepped) -> None:
        record = ClockRecord(stepped.before_utc_ns, stepped.after_utc_ns, stepped.step_ns, stepped.epoch)
        self.pen.append(RecordKind.CLOCK_STEPPED, record, self.now)
        self.state.server.clock_stepped(stepped.step_ns, self.now)

    def _housekeeping(self) -> None:
        """What may come after the image: state for the mirror, names of files, health, garbage."""
        count, now = self.statistics.count, self.now
        self.pen.room = self.log.prepare()
        self._hand_over()
        self.image.check_name(now.mono_ns)
        if count % CYCLES_PER_NAME_CHECK == 0:
            self.tick.check_name()
        if count % HEALTH_CYCLES == 0:
            server = self.state.server
            self.health.write(
                {
                    "cycles": count,
                    "overruns": self.statistics.overruns,
                    "commands_accepted": server.accepted,
                    "commands_refused": server.refused,
                    "fifo": int(server.real_time),
                },
                now.mono_ns,
                now.utc_ns,
            )
        if count == FREEZE_AT_CYCLE:
            freeze_garbage()
        elif count > FREEZE_AT_CYCLE and self.due_s + self.period_s - time.monotonic() > SLACK_S:
            if count % COLLECT_ALL_CYCLES == 0:
                gc.collect()
            elif count % COLLECT_CYCLES == 0:
                gc.collect(0)

    def _hand_over(self) -> None:
        """Retained state for the mirror, every ten seconds and whenever a latch came or went."""
        latched = int(self.state.protection.alarms.debounce.latched.sum())
        if self.now.mono_ns < self._state_due_ns and latched == self._latched:
            return
        self._state_due_ns, self._latched = self.now.mono_ns + STATE_PERIOD_NS, latched
        try:
            hand_over_state(self.run, self.state.retained.body(self.now), self.pen.head, self.now.utc_ns)
        except OSError as error:
            log.warning("retained state not handed over: %s", error)

    def close(self) -> None:
        """Say that the core stops, and let go of everything; the desired state stays as it is."""
        self.now = self._read_clock()
        self.pen.append(RecordKind.CORE_STOPPED, StartRecord(version=__version__), self.now)
        self.state.retained.running = False
        self._state_due_ns = 0
        self._hand_over()
        self.pen.wake()
        self.link.close()
        self.health.close()
        self.outputs.close()
        self.image.close()
        self.log.close()
        self.mirror.close()
        self.tick.close()
        self.durable_wake.close()


def _find_state(data: Path) -> RetainedState | str | None:
    """The retained state, why there is none that can be read, or None where there never was one."""
    try:
        return load_state(data)
    except (StateLost, OSError) as error:
        return str(error)
