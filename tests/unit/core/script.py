"""Cycle scripts: a small plant in simulated time, told as "at this second, given this, expect that".

The plant behind the core is a stand-in for hardware only: four racks of eight cells whose contactors take 0.2 s to move
and which sequence their own precharge. Everything else is the product's own code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from information_model.enumerations import Desired
from information_model.quality import GOOD, Quality
from server.config.site import Site, load_site
from server.core.blocks import InputBlock
from server.core.board import Board
from server.core.cycle import Blocks, State, step
from server.core.estimation.estimation import Estimation
from server.core.event_pen import EventPen
from server.core.now import Now
from server.core.server_points import Surroundings
from server.runtime.eventlog import LogFull
from server.runtime.link import Answer, Request
from server.runtime.records import Payload, RecordKind, decode
from server.runtime.segment import Record

PERIOD_S, LONG_PERIOD_S = 0.1, 0.5
LONG_WAIT_S = 1.2
START_NS, OFFSET_NS = 1_000_000_000_000, 1_700_000_000_000_000_000
MODULES, CELLS = 2, 4
CELL_COUNT = MODULES * CELLS
OPEN, CLOSED, INTERMEDIATE = 1.0, 2.0, 0.0
MOVES_IN_S, PRECHARGE_S = 0.2, 0.3
R1, R2, R3, R4 = "ESS.ARR01.R001", "ESS.ARR01.R002", "ESS.ARR02.R001", "ESS.ARR02.R002"
RACKS = (R1, R2, R3, R4)
SCALARS = (
    "Measurements.DcVoltage",
    "Measurements.BusVoltage",
    "Measurements.DcCurrent",
    "Contactors.Positive.Position",
    "Contactors.Negative.Position",
    "Contactors.Precharge.Position",
    "Safety.InterlockOpen",
    "Protection.FuseOpen",
    "Protection.ShortCircuitReported",
)


def make_site(folder: Path, extra: str = "") -> Site:
    """2 arrays x 2 racks x 2 modules x 4 cells on two field processes."""
    points = "".join(
        f'[[scalar]]\npoint = "{path}"\nsignal = "S{i}"\nperiod = 0.1\ntimeout = 1.0\n'
        for i, path in enumerate(SCALARS)
    )
    (folder / "rack.toml").write_text(
        'version = 1\nname = "rack"\nkind = "can"\ndbc = "rack.dbc"\n'
        f'[[matrix]]\npoint = "CellData.CellVoltages"\ncount = {CELL_COUNT}\nsignal = "V(\\\\d+)"\n'
        "period = 1.0\ntimeout = 3.0\n"
        f'[[matrix]]\npoint = "CellData.CellTemperatures"\ncount = {MODULES}\nsignal = "T(\\\\d+)"\n'
        "period = 1.0\ntimeout = 3.0\n" + points
    )
    arrays = "".join(
        f'[[arrays]]\nnumber = {n}\n[[arrays.racks]]\nnumbers = "1-2"\ntype = "small"\nbus = "bus{n}"\nmap = "rack.toml"\n'
        for n in (1, 2)
    )
    (folder / "site.toml").write_text(
        'version = 1\n[site]\nid = "TEST01"\nserial_number = "1"\n[rack_types.small]\nchemistry = "LFP"\n'
        f"modules = {MODULES}\ncells_per_module = {CELLS}\nprobes_per_module = 1\nrated_capacity_ah = 100.0\n"
        "max_charge_current_a = 100.0\nmax_discharge_current_a = 100.0\n"
        '[buses.bus1]\nadapter = "can"\nprocess = "north"\n[buses.bus2]\nadapter = "can"\nprocess = "south"\n'
        + arrays
        + extra
    )
    return load_site(folder / "site.toml")


class MemoryLog:
    """An event log in memory; `disk` false: nothing becomes durable; `full`: nothing can be appended."""

    def __init__(self, first: int = 1) -> None:
        self.next = first
        self.records: list[Record] = []
        self.disk, self.full = True, False
        self._durable = first - 1

    @property
    def head(self) -> int:
        return self.next - 1

    @property
    def durable(self) -> int:
        if self.disk:
            self._durable = self.head
        return self._durable

    def append(
        self,
        kind: int,
        payload: bytes,
        mono_ns: int,
        utc_ns: int,
        time_epoch: int = 0,
        version: int = 1,
        flags: int = 0,
    ) -> int:
        if self.full:
            raise LogFull("no memory left")
        self.records.append(
            Record(self.next, int(kind), version, flags, time_epoch, mono_ns, utc_ns, self.durable, payload)
        )
        self.next += 1
        return self.head

    def wake_mirror(self) -> None:
        """Nobody sleeps here."""


class EveryFifthCycle:
    """The estimators, five times as rarely as in a plant: cells come once a second, and scripts are many."""

    def __init__(self, estimation: Estimation) -> None:
        self._estimation = estimation
        self._due_ns = 0

    def step(self, board: Board, now: Now) -> None:
        if now.mono_ns >= self._due_ns:
            self._due_ns = now.mono_ns + 450_000_000
            self._estimation.step(board, now)

    def retained(self) -> dict[str, Any]:
        return self._estimation.retained()

    def restore(self, body: dict[str, Any], down_s: float) -> None:
        self._estimation.restore(body, down_s)


@dataclass
class Rack:
    """The hardware of one rack: cells, contactors that take their time, and what a test does to it."""

    cell_v: np.ndarray = field(default_factory=lambda: np.full(CELL_COUNT, 3.3))
    temperature: np.ndarray = field(default_factory=lambda: np.full(MODULES, 25.0))
    current_a: float = 0.0
    main: float = OPEN
    precharge: float = OPEN
    silent: bool = False
    cells_silent: bool = False
    alive: bool = True
    welded: bool = False
    refuses_to_close: bool = False
    precharge_only: bool = False
    interlock_open: float = 0.0
    follows_limits: bool = True
    desired: int = 0
    charge_limit_a: float = 0.0
    discharge_limit_a: float = 0.0
    reset_counter: int = 0
    asked_for_s: float = 0.0

    def move(self, passed_s: float) -> None:
        """Follow the desired state: precharge and then main contactors, or open."""
        self.asked_for_s += passed_s
        if self.desired == Desired.CLOSED and self.main != CLOSED and not self.refuses_to_close:
            self.precharge = CLOSED if self.asked_for_s >= MOVES_IN_S else INTERMEDIATE
            if self.asked_for_s >= MOVES_IN_S + PRECHARGE_S and not self.precharge_only:
                self.main, self.precharge = CLOSED, OPEN
        elif self.desired == Desired.OPEN:
            self.precharge = OPEN
            if self.asked_for_s >= MOVES_IN_S and not self.welded:
                self.main = OPEN
        if self.main != CLOSED:
            self.current_a = 0.0
        elif self.follows_limits:
            self.current_a = max(-self.charge_limit_a, min(self.discharge_limit_a, self.current_a))

    def obey(self, desired: int, charge_a: float, discharge_a: float, reset_counter: int) -> None:
        """Take a request."""
        if desired != self.desired:
            self.asked_for_s = 0.0
        self.desired, self.charge_limit_a, self.discharge_limit_a = desired, charge_a, discharge_a
        self.reset_counter = reset_counter


class Script:
    """A core over the plant. `at` lets time pass; the other words act or look at that moment."""

    def __init__(self, folder: Path, extra: str = "", surroundings: Surroundings | None = None) -> None:
        self.site = make_site(folder, extra)
        self.log = MemoryLog()
        self.racks = {name: Rack() for name in RACKS}
        self.bus_v: dict[str, float] = {}
        self.ns = START_NS
        self.begun_ns = START_NS
        self.offset_ns = OFFSET_NS
        self.field_alive = True
        self._surroundings = surroundings
        self._numbers = 0
        self._period_s = PERIOD_S
        self._second = -1
        self._columns = [{n: np.zeros(k, d) for n, d, k in plan.columns()} for plan in self.site.inputs]
        self.answers: list[Answer] = []
        self.waits = False
        self.outputs: Blocks | None = None
        self._start()

    def _start(self) -> None:
        self.pen = EventPen(self.log)
        estimation = EveryFifthCycle(Estimation(self.site))
        around = self._surroundings
        self.state = State(self.site, self.pen, surroundings=around, simulated=True, estimation=estimation)

    @property
    def now(self) -> Now:
        return Now(self.ns, self.ns + self.offset_ns, self.offset_ns, self._period_s)

    @property
    def seconds(self) -> float:
        return (self.ns - self.begun_ns) / 1e9

    # time

    def at(self, seconds: float) -> Script:
        """Run cycles until this second of the script: of 0.1 s, in a long wait of 0.5 s but for its last seconds."""
        while self.seconds < seconds - PERIOD_S / 2:
            self.cycle(LONG_PERIOD_S if seconds - self.seconds > LONG_WAIT_S else PERIOD_S)
        return self

    def later(self, seconds: float) -> Script:
        """Run cycles for so long."""
        return self.at(self.seconds + seconds)

    def cycle(self, period_s: float = PERIOD_S) -> Script:
        """One cycle: the plant moves, the core looks, the plant is told."""
        self._period_s = period_s
        self.ns += round(period_s * 1e9)
        for rack in self.racks.values():
            rack.move(period_s)
        self._sample()
        blocks = [
            InputBlock(plan, columns, self.ns if self.field_alive else None)
            for plan, columns in zip(self.site.inputs, self._columns, strict=True)
        ]
        self.outputs = step(self.state, blocks, self.now)
        for plan in self.site.inputs:
            asked = self.outputs[plan.process]
            for source in plan.sources:
                i = source.index
                if not self.racks[source.rack.element].silent:
                    self.racks[source.rack.element].obey(
                        int(asked["desired"][i]),
                        float(asked["charge_limit_a"][i]),
                        float(asked["discharge_limit_a"][i]),
                        int(asked["reset_counter"][i]),
                    )
        return self

    def _sample(self) -> None:
        """What the field processes write. Cells come once a second, all else in each cycle."""
        second = (self.ns - self.begun_ns - 100_000_000) // 1_000_000_000
        cells_due, self._second = second != self._second, second
        for plan, columns in zip(self.site.inputs, self._columns, strict=True):
            columns["bus.alive"][:] = 1
            for source in plan.sources:
                rack = self.racks[source.rack.element]
                if rack.silent:
                    continue
                i = source.index
                columns["source.state"][i] = 1
                columns["source.last_frame_mono_ns"][i] = self.ns
                columns["source.frames_received"][i] += 10
                columns["source.counter_advances"][i] += rack.alive
                for row in source.rack.map.slots():
                    cells = row.point.startswith("CellData")
                    if cells and (not cells_due or rack.cells_silent):
                        continue
                    at = source.first_slot + row.first + np.arange(row.count)
                    columns["value"][at] = self._value(source.rack.element, row.point)
                    columns["mono_ns"][at] = self.ns
                    columns["quality"][at] = Quality.GOOD

    def _value(self, name: str, path: str) -> Any:
        rack = self.racks[name]
        array = name[:9]
        closed = [r for n, r in self.racks.items() if n.startswith(array) and r.main == CLOSED]
        bus_v = float(np.mean([r.cell_v.sum() for r in closed])) if closed else 0.0
        return {
            "CellData.CellVoltages": rack.cell_v,
            "CellData.CellTemperatures": rack.temperature,
            "Measurements.DcVoltage": rack.cell_v.sum(),
            "Measurements.BusVoltage": self.bus_v.get(array, bus_v),
            "Measurements.DcCurrent": rack.current_a,
            "Contactors.Positive.Position": rack.main,
            "Contactors.Negative.Position": rack.main,
            "Contactors.Precharge.Position": rack.precharge,
            "Safety.InterlockOpen": rack.interlock_open,
            "Protection.FuseOpen": 0.0,
            "Protection.ShortCircuitReported": 0.0,
        }[path]

    # acts

    def given(self, rack: str, **conditions: Any) -> Script:
        """Change the hardware of a rack: `cell_v=3.7` for all cells, `cell=(module, cell, volts)`, or a field."""
        hardware = self.racks[rack]
        for name, value in conditions.items():
            if name == "cell":
                module, cell, volts = value
                hardware.cell_v[(module - 1) * CELLS + cell - 1] = volts
            elif name in ("cell_v", "temperature"):
                getattr(hardware, name)[:] = value
            else:
                setattr(hardware, name, value)
        return self

    def ask(self, command: str, target: str, kind: str = "command", **options: Any) -> Script:
        """A request of a face, as an operator at the control centre unless told otherwise."""
        self._numbers += 1
        settings: dict[str, Any] = {"roles": ["Operator"], "user": "operator", "face": "test", "id": str(self._numbers)}
        settings |= options
        request = Request(kind=kind, target=target, command=command, **settings)
        answer, self.waits = self.state.handle(request, self.now)
        self.answers.append(answer)
        return self

    def restart(self, *, keep_state: bool = True, after_s: float = 0.5) -> Script:
        """Kill the core and start another from the retained state of the last moment and the log."""
        body, number = self.state.retained.body(self.now), self.log.head
        return self.start_from(body if keep_state else None, number, after_s)

    def start_from(self, body: bytes | None, number: int, after_s: float = 0.5) -> Script:
        """A new core over a body of `number` and the records behind it."""
        self.ns += round(after_s * 1e9)
        self._start()
        retained = self.state.retained
        if body is not None:
            retained.restore(body, self.now)
        retained.replay([r for r in self.log.records if body is None or r.number > number], self.now)
        retained.finish(self.now)
        return self

    # looks

    def value(self, point: str) -> float:
        """Value of a point as the image has it."""
        found = self.site.catalogue.find(point)
        assert found is not None, point
        row, element = found
        return float(self.state.working.columns["value"][row.base + element.ordinal])

    def status(self, point: str) -> int:
        """StatusCode of a point."""
        found = self.site.catalogue.find(point)
        assert found is not None, point
        row, element = found
        return int(self.state.working.columns["status"][row.base + element.ordinal])

    def time(self, point: str) -> int:
        """Source time of a point, UTC ns."""
        row, element = self.site.catalogue.find(point)  # type: ignore[misc]
        return int(self.state.working.columns["source_time"][row.base + element.ordinal])

    def alarm(self, point: str) -> tuple[int, int, int]:
        """(AlarmState, count, time) beside a Boolean mirror."""
        row, element = self.site.catalogue.find(point)  # type: ignore[misc]
        columns, at = self.state.working.columns, row.alarm_base + element.ordinal
        return int(columns["alarm.state"][at]), int(columns["alarm.count"][at]), int(columns["alarm.time"][at])

    def expect(self, point: str, expected: float, status: int = GOOD) -> Script:
        """The point has this value and is good, or has the StatusCode that is asked for."""
        found = self.value(point), f"{self.status(point):#010x}"
        assert found == (expected, f"{status:#010x}"), f"at {self.seconds:.1f} s {point}"
        return self

    def asked(self, rack: str, desired: int) -> Script:
        """What the rack was last told: 0 nothing, 1 open, 2 close."""
        assert self.racks[rack].desired == desired, f"at {self.seconds:.1f} s {rack}"
        return self

    def accepted(self) -> Script:
        """The last request was accepted."""
        assert self.answers[-1].result == "accepted", self.answers[-1]
        return self

    def refused(self, reason: str, *permissives: str) -> Script:
        """The last request was refused for this reason, with exactly these permissives false."""
        answer = self.answers[-1]
        assert (answer.result, answer.reason) == ("refused", reason), answer
        assert answer.permissives == list(permissives), answer
        return self

    def records(self, kind: RecordKind) -> list[Payload]:
        """Contents of all records of a kind."""
        return [decode(record) for record in self.log.records if record.kind == kind]

    def connected(self, *racks: str, ramp_s: float = 0.0) -> Script:
        """Bring racks onto the bus by command; their limits need about five seconds to rise."""
        for rack in racks:
            self.ask("Connect", rack).accepted().later(0.8)
            assert self.racks[rack].main == CLOSED, f"{rack} did not close"
        return self.later(ramp_s)
