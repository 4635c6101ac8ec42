"""One process under the supervisor: started, heard, judged, restarted with back-off."""

import os
import random
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field

from server.duties import Duty
from server.exit_codes import ExitCode
from server.runtime.parent import READY
from server.supervisor.command_line import StartOptions, command_line, environment

START_LIMIT_S = 60.0
HEALTHY_AFTER_S = 60.0
FIRST_DELAY_S, LONGEST_DELAY_S = 0.25, 30.0


@dataclass
class Child:
    """A duty and the process that does it now."""

    duty: Duty
    options: StartOptions
    say: Callable[[str], None]
    process: subprocess.Popen[bytes] | None = None
    pipe: int = -1
    started_s: float = 0.0
    heard_s: float = 0.0
    excused_s: float = 0.0
    """Silence before it is not counted: the supervisor itself was away."""
    not_before_s: float = 0.0
    ready: bool = False
    failures: int = 0
    restarts: int = 0
    given_up: bool = False
    _random: random.Random = field(default_factory=random.Random)

    @property
    def pid(self) -> int:
        """Process id; 0 while none runs."""
        return self.process.pid if self.process is not None else 0

    def start(self, now_s: float) -> None:
        """Start the process. A file that is missing or not executable raises OSError."""
        reading, writing = os.pipe()
        try:
            self.process = subprocess.Popen(
                command_line(self.duty, self.options, writing),
                pass_fds=(writing,),
                start_new_session=True,
                stdin=subprocess.DEVNULL,
                env=environment(),
            )
        finally:
            os.close(writing)
        os.set_blocking(reading, False)
        self.pipe, self.started_s, self.heard_s, self.ready = reading, now_s, now_s, False

    def listen(self, now_s: float) -> bool:
        """Read the heartbeat; True where the process has just become ready."""
        if self.process is None:
            return False
        try:
            data = os.read(self.pipe, 4096)
        except BlockingIOError:
            return False
        if not data:
            return False
        self.heard_s = now_s
        if READY in data and not self.ready:
            self.ready = True
            if self.failures:
                self.say(f"{self.duty.name} serves again after {self.failures} failure(s)")
            return True
        return False

    def hung(self, now_s: float) -> bool:
        """True where the process is silent for too long."""
        if self.process is None:
            return False
        silent_s = now_s - max(self.heard_s, self.excused_s)
        return silent_s > (self.duty.kind.silence_s if self.ready else START_LIMIT_S)

    def kill(self) -> None:
        """End the process at once."""
        if self.process is not None:
            self.process.kill()

    def terminate(self) -> None:
        """Ask the process to end."""
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)

    def reap(self, now_s: float, stopping: bool) -> bool:
        """Take note of a death; True where the process has just ended."""
        code = None if self.process is None else self.process.poll()
        if code is None:
            return False
        self.process = None
        os.close(self.pipe)
        self.pipe = -1
        if stopping:
            return True
        if self.ready and now_s - self.started_s > HEALTHY_AFTER_S:
            self.failures = 0
        self.failures += 1
        self.restarts += 1
        self.ready = False
        delay = 0.0
        if self.failures > 1:
            delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2 ** (self.failures - 2)) * self._random.uniform(0.8, 1.2)
        self.not_before_s = now_s + delay
        why = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        if code == ExitCode.CONFIGURATION:
            self.given_up = True
            self.say(f"{self.duty.name} ended ({why}): configuration error, not started again")
        elif self.failures in (1, 5):
            self.say(f"{self.duty.name} ended ({why}), restart in {delay:.2f} s, failure {self.failures}")
        return True
