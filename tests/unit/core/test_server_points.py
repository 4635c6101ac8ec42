"""The server about itself, from health blocks, clock and statistics that are handed in."""

from pathlib import Path

import numpy as np
import pytest

from server.core.server_points import ClockState, Surroundings
from server.core.statistics import CycleStatistics
from server.runtime.health import Health
from tests.unit.core.script import START_NS, Script


class World:
    """What the core sees of the machine; a process that runs writes its health in each cycle."""

    def __init__(self) -> None:
        self.script: Script | None = None
        self.counters: dict[str, dict[str, int]] = {"opcua": {}, "field-north": {}, "field-south": {}, "archive": {}}
        self.cpu_s = 0.0
        self.synchronised = True

    def health(self) -> dict[str, Health]:
        now_ns = START_NS if self.script is None else self.script.ns
        return {
            role: Health(role, 1, 0, 1, self.cpu_s, 50 << 20, counters, now_ns)
            for role, counters in self.counters.items()
        }

    def around(self) -> Surroundings:
        clock = lambda: ClockState(self.synchronised, 0.002, -0.0001)  # noqa: E731
        end_ns = START_NS + 1_700_000_000_000_000_000 + 864_000 * 10**9
        faces, fields = ("opcua",), ("field-north", "field-south")
        return Surroundings(
            self.health, clock, lambda: self.cpu_s, lambda: 50 << 20, 1 << 30, lambda: end_ns, faces, fields
        )


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture
def script(tmp_path: Path, world: World) -> Script:
    world.script = Script(tmp_path, surroundings=world.around())
    return world.script.at(2.0)


def test_processes_that_run_are_alive_and_one_that_falls_silent_is_missing(script: Script, world: World) -> None:
    script.expect("ESS.Server.FieldProcessesAlive", 2).expect("ESS.Server.FieldProcessesMissing", 0)
    del world.counters["field-south"]
    script.later(3.5).expect("ESS.Server.FieldProcessesMissing", 1).expect("ESS.Alarms.FieldProcessLost", 1)


def test_a_process_that_is_still_starting_is_not_missing_yet(script: Script, world: World) -> None:
    world.counters.clear()
    script.start_from(None, 0).later(5.0).expect("ESS.Server.FacesAlive", 0).expect("ESS.Server.FacesMissing", 0)
    script.later(6.0).expect("ESS.Server.FacesMissing", 1)


def test_counters_of_a_face_become_points_and_are_bad_while_it_does_not_run(script: Script, world: World) -> None:
    world.counters["opcua"] = {"sessions": 3, "subscriptions": 5, "monitored_items": 1200}
    script.later(1.0).expect("ESS.Server.OpcUaSessions", 3).expect("ESS.Server.OpcUaMonitoredItems", 1200)
    del world.counters["opcua"]
    script.later(1.0)
    assert np.isnan(script.value("ESS.Server.OpcUaSessions"))


def test_failed_log_ins_are_counted_over_ten_minutes(script: Script, world: World) -> None:
    for failures in (4, 7):
        world.counters["opcua"] = {"authentication_failures": failures}
        script.later(1.1)
    script.expect("ESS.Server.AuthenticationFailures", 7).expect("ESS.Server.AuthenticationFailuresRecent", 3)


def test_a_clock_step_is_shown_for_a_minute(script: Script) -> None:
    script.state.server.clock_stepped(3_600_000_000_000, script.now)
    script.later(0.5).expect("ESS.Server.ClockStep", 3600).expect("ESS.Alarms.ClockStepped", 1)
    script.expect("ESS.Alarms.ClockSteppedLimit", 1).expect("ESS.Server.ClockSteps", 1)
    script.later(60.0).expect("ESS.Server.ClockStep", 0).expect("ESS.Alarms.ClockStepped", 0)


def test_a_clock_that_does_not_follow_its_source_is_told(script: Script, world: World) -> None:
    world.synchronised = False
    script.later(1.0).expect("ESS.Server.ClockSynchronised", 0)


def test_a_restart_shows_until_it_is_acknowledged(script: Script) -> None:
    script.state.server.core_restarted = True
    script.cycle().expect("ESS.Server.CoreRestarted", 1).expect("ESS.Alarms.CoreRestarted", 1)
    script.ask("CoreRestarted", "ESS", kind="acknowledge").accepted().cycle().cycle()
    script.expect("ESS.Server.CoreRestarted", 0).expect("ESS.Alarms.CoreRestarted", 0)


def test_the_delay_of_the_journal_is_that_of_the_oldest_event_that_waits(script: Script) -> None:
    script.log.disk = False
    script.ask("Enable", "ESS.ARR01.R001").later(1.5)
    assert script.value("ESS.Server.JournalDelay") == pytest.approx(1.5, abs=0.11)
    script.expect("ESS.Alarms.JournalDelayed", 1)


def test_load_memory_and_certificate(script: Script, world: World) -> None:
    world.cpu_s = 1.0
    script.later(3.0)
    assert 0 < script.value("ESS.Server.CpuLoad") < 1000
    assert script.value("ESS.Server.MemoryUsed") == pytest.approx(100 * 250 / 1024, rel=0.01)
    assert script.value("ESS.Server.CertificateRemainingTime") == pytest.approx(864_000, abs=10)


def test_statistics_know_the_last_minute_only() -> None:
    statistics = CycleStatistics(0.1)
    statistics.add(0.5, 0.03)
    statistics.overrun(4)
    for _ in range(601):
        statistics.add(0.001, 0.002)
    assert (statistics.lateness_max_s, statistics.duration_max_s) == (0.001, 0.002)
    assert (statistics.overruns, statistics.overruns_recent) == (4, 0)
