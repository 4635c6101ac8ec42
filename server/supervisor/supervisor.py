"""The supervisor's loop: it holds no data and decides nothing about the plant, so that it may be simple."""

import contextlib
import logging
import os
import selectors
import signal
import time
from collections.abc import Callable
from pathlib import Path

from server.config.site import Site
from server.duties import duties_of
from server.exit_codes import ExitCode
from server.runtime.health import HealthWriter
from server.runtime.logpage import DURABLE, HEAD, ControlPage
from server.runtime.parent import notify
from server.runtime.rundir import remove_run
from server.supervisor.child import Child
from server.supervisor.command_line import StartOptions
from server.supervisor.ready import ReadyFile, content

log = logging.getLogger("gridbms.supervisor")

POLL_S = 0.1
STALL_S = 0.5
"""A turn that took longer was no turn: somebody has stopped the supervisor (Ctrl-Z) or the machine held it up."""
STOP_LIMIT_S = 2.5
TURN_LIMIT_S = 1.0
CORE_FRESH_S = 1.0
HEALTH_PERIOD_S = 0.5


class Supervisor:
    """Runs a site until it is told to stop.

    `on_ready` gets the content of ready.json when everything serves for the first time, `on_turn` comes each turn.
    """

    def __init__(
        self,
        site: Site,
        options: StartOptions,
        on_ready: Callable[[dict[str, object]], None] = lambda content: None,
        on_turn: Callable[[], None] = lambda: None,
    ) -> None:
        self.site, self.options = site, options
        self._on_ready, self._on_turn = on_ready, on_turn
        self.children = [Child(duty, options, log.warning) for duty in duties_of(site, simulated=options.simulate)]
        self._faces = [child.duty.name for child in self.children if child.duty.kind.face]
        self._ready_file = ReadyFile(options.data, options.run, self._faces)
        self._selector = selectors.DefaultSelector()
        self._stop = False
        self._announced = False
        self._health = HealthWriter(options.run, "supervisor")
        self._health_due_s = 0.0
        self._listened_s = time.monotonic()

    def stop(self) -> None:
        """Ask the loop to end; may be called from a signal handler."""
        self._stop = True

    def run(self) -> int:
        """Run until stopped; STOPPED, or CANNOT_START where a process that is needed can never start."""
        wake_read, wake_write = os.pipe()
        for fd in (wake_read, wake_write):
            os.set_blocking(fd, False)
        self._selector.register(wake_read, selectors.EVENT_READ)
        before = signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
        handlers = {number: signal.signal(number, self._on_signal) for number in stop_signals()}
        try:
            self._ready_file.tell({})
            while not self._stop and not self._hopeless():
                self._turn(wake_read)
            self._end()
        finally:
            signal.set_wakeup_fd(before)
            for number, handler in handlers.items():
                signal.signal(number, handler)
            for fd in (wake_read, wake_write):
                os.close(fd)
            self._selector.close()
        return ExitCode.CANNOT_START if self._hopeless() and not self._stop else ExitCode.STOPPED

    def _on_signal(self, number: int, frame: object) -> None:
        self._stop = True

    def _hopeless(self) -> bool:
        return any(child.given_up for child in self.children)

    def _turn(self, wake: int) -> None:
        now = time.monotonic()
        for child in self.children:
            if child.process is None and not child.given_up and now >= child.not_before_s:
                self._start(child, now)
        self._selector.select(POLL_S)
        with contextlib.suppress(BlockingIOError):
            os.read(wake, 4096)
        now = time.monotonic()
        self._listen(now)
        self._judge(now)
        self._announce()
        self._on_turn()

    def _start(self, child: Child, now: float) -> None:
        child.start(now)
        self._selector.register(child.pipe, selectors.EVENT_READ)

    def _listen(self, now: float) -> None:
        """Read every pipe, whatever the selector says: after a stall it names none, and the beats wait.

        `now` is from before the reading, and judged is by the same: a stall in between judges nobody.
        """
        stalled = now - self._listened_s > STALL_S
        self._listened_s = now
        for child in self.children:
            if stalled:
                child.excused_s = now
            child.listen(now)

    def _judge(self, now: float) -> None:
        for child in self.children:
            if child.hung(now):
                log.error("%s has been silent for %.1f s: killed", child.duty.name, now - child.heard_s)
                child.kill()
                if child.process is not None:
                    child.process.wait()
            self._reap(child, now, stopping=False)
        if now >= self._health_due_s:
            self._health_due_s = now + HEALTH_PERIOD_S
            self._write_health()

    def _reap(self, child: Child, now: float, *, stopping: bool) -> bool:
        pipe = child.pipe
        if not child.reap(now, stopping):
            return False
        self._selector.unregister(pipe)
        return True

    def _write_health(self) -> None:
        def restarts(kind: str) -> int:
            return sum(child.restarts for child in self.children if child.duty.kind.name == kind)

        faces = sum(child.restarts for child in self.children if child.duty.kind.face)
        counters = {"core_restarts": restarts("core"), "field_restarts": restarts("field"), "face_restarts": faces}
        self._health.write(counters, time.monotonic_ns(), time.time_ns())

    def _announce(self) -> None:
        """Say who serves: once all do, and from then on while every face does. Who is being replaced is not named."""
        ready = {child.duty.name: child.pid for child in self.children if child.ready}
        first = not self._announced and len(ready) == len(self.children)
        self._announced |= first
        pids = {"supervisor": os.getpid()} | ready if self._announced and ready.keys() >= set(self._faces) else {}
        self._ready_file.tell(pids)
        if first:
            notify("READY=1")
            self._on_ready(content(self.options.run, self._faces, pids))
        core = next(child for child in self.children if child.duty.name == "core")
        if core.ready and time.monotonic() - core.heard_s < CORE_FRESH_S:
            notify("WATCHDOG=1")

    def _end(self) -> None:
        """Faces first, then core, then field, then what keeps the log; the whole within three seconds."""
        notify("STOPPING=1")
        self._ready_file.tell({})
        end = time.monotonic() + STOP_LIMIT_S
        for turn in sorted({child.duty.kind.stop_turn for child in self.children}):
            group = [child for child in self.children if child.duty.kind.stop_turn == turn]
            for child in group:
                child.terminate()
            limit = min(end, time.monotonic() + TURN_LIMIT_S)
            while any(child.process is not None for child in group) and time.monotonic() < limit:
                for child in group:
                    self._reap(child, time.monotonic(), stopping=True)
                time.sleep(0.005)  # a death has no descriptor to wait for once the pipe is closed by the child
            for child in group:
                if child.process is not None:
                    log.warning("%s did not stop in time: killed", child.duty.name)
                    child.kill()
                    child.process.wait()
                    self._reap(child, time.monotonic(), stopping=True)
        self._health.close()
        clear_run(self.options.run)


def stop_signals() -> list[signal.Signals]:
    """Signals that stop the program in order; a hang-up that nohup(1) has told to ignore stays ignored."""
    ignored = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    return [signal.SIGTERM, signal.SIGINT, *([] if ignored else [signal.SIGHUP])]


def clear_run(run: Path) -> None:
    """Remove the run directory when nothing runs any more, unless the event log has records that no disk has."""
    if _log_is_durable(run):
        remove_run(run)
    else:
        log.error("the event log could not be made durable: its twin stays in %s for the next start", run)


def _log_is_durable(run: Path) -> bool:
    """True where the mirror has copied all that the core appended, or no core has ever run."""
    try:
        page = ControlPage(run, write=False)
    except OSError:
        return True
    try:
        return page[DURABLE] >= page[HEAD]
    finally:
        page.close()
