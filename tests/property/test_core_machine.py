"""Whatever operators, faults and the plant do: the promises of protection and control hold in every cycle."""

import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from information_model.commands import BY_NAME
from information_model.points.row import Level
from tests.unit.core.script import CLOSED, RACKS, Script

TARGETS = ("ESS", "ESS.ARR01", "ESS.ARR02", *RACKS)
CLOSE = 2


class Plant(RuleBasedStateMachine):
    """Random commands, faults and restarts over four racks."""

    @initialize()
    def begin(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.script = Script(Path(self.folder.name)).at(1.0)
        self.asked = dict.fromkeys(RACKS, 1)
        self.rising: list[str] = []

    def teardown(self) -> None:
        if hasattr(self, "folder"):
            self.folder.cleanup()

    def _cycle(self) -> None:
        """One cycle, then every promise."""
        script = self.script
        script.cycle()
        control = script.state.control
        racks = control.racks
        for index, name in enumerate(RACKS):
            commanded = int(racks.commanded[index])
            if commanded == CLOSE and self.asked[name] == 1:
                assert control.permissives.permitted[index], f"{name} is closed without all permissives"
                for permissive in BY_NAME["Connect"].permissives[Level.RACK]:
                    path = f"{name}.Permissives.{permissive}"
                    if script.site.catalogue.find(path) is not None:
                        script.expect(path, 1)
            self.asked[name] = commanded or self.asked[name]
            if racks.state[index] != 3:  # not closed: no current may flow
                script.expect(f"{name}.Limits.MaxChargeCurrent", 0)
                script.expect(f"{name}.Limits.MaxDischargeCurrent", 0)
            if script.value(f"{name}.Protection.LatchedTrip") and racks.adopted[index]:
                assert racks.state[index] in (0, 1, 5, 6), f"{name} is held on the bus by a latched trip"
                assert not racks.wanted[index]

    @rule(seconds=st.sampled_from([0.1, 0.5, 2.0, 4.0]))
    def wait(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self._cycle()

    @rule(
        command=st.sampled_from([*BY_NAME, "Connect", "Connect", "Nonsense"]),
        element=st.sampled_from(TARGETS),
        role=st.sampled_from(["Operator", "Engineer", "Observer"]),
        origin=st.sampled_from(["remote", "remote", "local", "station", "mars"]),
        argument=st.sampled_from([{}, {"Authority": 2}, {"Authority": 1}, {"Comment": ""}]),
    )
    def command(self, command: str, element: str, role: str, origin: str, argument: dict[str, Any]) -> None:
        before = self.script.log.head
        self.script.ask(command, element, roles=[role], origin=origin, arguments=argument)
        answer = self.script.answers[-1]
        assert answer.sequence > before
        assert (answer.result == "accepted") == (answer.reason == "")
        if role == "Observer":
            assert answer.result == "refused"
        self._cycle()

    @rule(rack=st.sampled_from(RACKS), volts=st.sampled_from([3.75, 2.3, 4.9]), cell=st.integers(1, 4))
    def one_bad_sample(self, rack: str, volts: float, cell: int) -> None:
        """A single implausible sample of a healthy rack changes nothing."""
        script = self.script
        if script.racks[rack].silent:
            return
        trips = script.value("ESS.Alarms.ActiveTripCount")
        while round(script.seconds * 10) % 10 != 9:
            self._cycle()
        if script.value("ESS.Alarms.ActiveTripCount") != trips:
            return
        before = script.state.protection.alarms.debounce.latched.copy()
        script.given(rack, cell=(1, cell, volts))
        self._cycle()
        self._cycle()
        script.given(rack, cell=(1, cell, 3.3))
        for _ in range(12):
            self._cycle()
        risen = script.state.protection.alarms.debounce.latched & ~before
        places = script.state.protection.alarms.places
        names = [places.conditions[c].name for c in places.condition[risen]]
        assert not [name for name in names if name.startswith("Cell")], names

    @rule(rack=st.sampled_from(RACKS))
    def a_real_fault(self, rack: str) -> None:
        """A cell that stays above its limit opens its rack."""
        script = self.script
        if script.racks[rack].silent or script.racks[rack].welded:
            return
        script.given(rack, cell=(2, 1, 3.72))
        for _ in range(90):
            self._cycle()
        if not script.racks[rack].silent:
            script.expect(f"{rack}.Alarms.CellOverVoltageTrip", 1)
            assert script.racks[rack].main != CLOSED
        script.given(rack, cell_v=3.3)

    @rule(rack=st.sampled_from(RACKS), silent=st.booleans())
    def bus(self, rack: str, silent: bool) -> None:
        self.script.given(rack, silent=silent)

    @rule(rack=st.sampled_from(RACKS), refuses=st.booleans(), amperes=st.sampled_from([0.0, 30.0, -30.0]))
    def hardware(self, rack: str, refuses: bool, amperes: float) -> None:
        self.script.given(rack, refuses_to_close=refuses, current_a=amperes)

    @rule(keep=st.booleans())
    def restart(self, keep: bool) -> None:
        latched = set(self._latched())
        closed = [name for name in RACKS if self.script.racks[name].main == CLOSED]
        self.script.restart(keep_state=keep)
        assert set(self._latched()) == latched
        for _ in range(4):
            self._cycle()
        assert all(self.asked[name] in (0, 1, 2) for name in closed)

    def _latched(self) -> list[tuple[str, str]]:
        alarms = self.script.state.protection.alarms
        conditions = [alarms.places.conditions[c] for c in alarms.places.condition[alarms.debounce.latched]]
        return [(condition.element.name, condition.name) for condition in conditions]

    @invariant()
    def every_record_has_the_next_number(self) -> None:
        if hasattr(self, "script"):
            numbers = [record.number for record in self.script.log.records]
            assert numbers == list(range(1, len(numbers) + 1))


TestPlant = Plant.TestCase
TestPlant.settings = settings(
    max_examples=5,
    stateful_step_count=10,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
