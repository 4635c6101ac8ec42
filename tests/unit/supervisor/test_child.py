"""A process under the supervisor: heard, judged, taken note of when it dies, started again with a growing delay."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from server.duties import Duty
from server.exit_codes import ExitCode
from server.runtime.parent import ALIVE, READY
from server.supervisor.child import HEALTHY_AFTER_S, LONGEST_DELAY_S, START_LIMIT_S, Child
from server.supervisor.command_line import StartOptions

DUTY = Duty("archive")


class Stage:
    """A child whose process is a real one that we choose, and the end of its pipe that the process would hold."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.child = Child(DUTY, StartOptions(Path("site.toml"), Path("run"), Path("data")), self.said.append)
        self.beat = -1

    def begin(self, now_s: float, code: str) -> None:
        reading, self.beat = os.pipe()
        os.set_blocking(reading, False)
        self.child.process = subprocess.Popen([sys.executable, "-S", "-c", code])
        self.child.pipe, self.child.started_s, self.child.heard_s, self.child.ready = reading, now_s, now_s, False

    def die(self, now_s: float, code: str = "raise SystemExit(1)", *, stopping: bool = False) -> bool:
        self.begin(now_s, code)
        assert self.child.process is not None
        self.child.process.wait()
        os.close(self.beat)
        return self.child.reap(now_s, stopping)


@pytest.fixture
def stage():
    stage = Stage()
    yield stage
    if stage.child.process is not None:
        stage.child.kill()
        stage.child.process.wait()
        os.close(stage.child.pipe)
        os.close(stage.beat)


def test_a_process_is_ready_when_it_says_so_and_alive_while_it_beats(stage) -> None:
    stage.begin(0.0, "import time; time.sleep(60)")
    assert not stage.child.listen(0.5)
    os.write(stage.beat, ALIVE)
    assert not stage.child.listen(1.0)
    os.write(stage.beat, READY)
    assert stage.child.listen(2.0)
    assert stage.child.ready
    assert stage.child.heard_s == 2.0
    assert not stage.child.listen(3.0), "ready is told once"


def test_silence_counts_from_the_last_beat_and_a_start_has_longer(stage) -> None:
    stage.begin(0.0, "import time; time.sleep(60)")
    assert not stage.child.hung(DUTY.kind.silence_s + 1), "it still starts"
    assert stage.child.hung(START_LIMIT_S + 1)
    os.write(stage.beat, READY)
    stage.child.listen(20.0)
    assert not stage.child.hung(20.0 + DUTY.kind.silence_s)
    assert stage.child.hung(20.1 + DUTY.kind.silence_s)


def test_silence_while_the_supervisor_itself_was_away_is_not_counted(stage) -> None:
    stage.begin(0.0, "import time; time.sleep(60)")
    os.write(stage.beat, READY)
    stage.child.listen(20.0)
    stage.child.excused_s = 100.0
    assert not stage.child.hung(100.0 + DUTY.kind.silence_s)
    assert stage.child.hung(100.1 + DUTY.kind.silence_s)


def test_the_first_death_is_mended_at_once_and_the_delay_then_doubles_to_its_limit(stage) -> None:
    delays = []
    for _ in range(12):
        assert stage.die(100.0)
        delays.append(stage.child.not_before_s - 100.0)
    assert delays[0] == 0.0
    for number, delay in enumerate(delays[1:]):
        wanted = min(LONGEST_DELAY_S, 0.25 * 2**number)
        assert 0.8 * wanted <= delay <= 1.2 * wanted
    assert stage.child.restarts == 12
    assert len(stage.said) == 2, "the first and the fifth failure are told, not every one"


def test_a_minute_of_health_forgives_earlier_failures(stage) -> None:
    stage.die(0.0)
    stage.die(1.0)
    stage.begin(2.0, "raise SystemExit(1)")
    os.write(stage.beat, READY)
    stage.child.listen(3.0)
    assert any("serves again after 2 failure(s)" in line for line in stage.said)
    stage.child.process.wait()
    os.close(stage.beat)
    assert stage.child.reap(3.0 + HEALTHY_AFTER_S, stopping=False)
    assert stage.child.failures == 1
    assert stage.child.not_before_s == 3.0 + HEALTHY_AFTER_S


def test_a_configuration_error_is_not_tried_again(stage) -> None:
    stage.die(0.0, f"raise SystemExit({ExitCode.CONFIGURATION.value})")
    assert stage.child.given_up
    assert "not started again" in stage.said[-1]


def test_a_death_while_everything_stops_is_no_failure(stage) -> None:
    assert stage.die(0.0, "import os, signal; os.kill(os.getpid(), signal.SIGTERM)", stopping=True)
    assert stage.child.restarts == 0
    assert stage.said == []


def test_the_signal_that_ended_it_is_named(stage) -> None:
    stage.die(0.0, "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert "signal SIGKILL" in stage.said[0]
