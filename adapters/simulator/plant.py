"""The simulated plant in simulated time: no socket, no thread, no clock. The same seed gives the same plant.

plant = SimulatedPlant(description)
plant.step(0.1)                       # the next 100 ms
frames = plant.frames(now_ns)         # what the racks have to say, stamped with `now_ns`
plant.receive("array1", ids, data)    # what was heard on a bus
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.simulator.cell import Cells
from adapters.simulator.dc_bus import DcBus
from adapters.simulator.description import PlantDescription
from adapters.simulator.faults import Fault, FaultSchedule
from adapters.simulator.frames import FrameBuilder, PlantFrames, Truth
from adapters.simulator.layout import (
    AMPERE,
    BASE_ID,
    COMMAND,
    EXTENDED,
    NODES,
    PERIOD_S,
    ROUND_TICKS,
    STATE,
    Message,
    check_sums,
)
from adapters.simulator.profiles import PROFILES
from adapters.simulator.rack import FASTEST_S, SLOWEST_S, Command, RackControl

Floats = NDArray[np.float64]

LONGEST_STEP_S = 1.0
_COMMAND_IDS = np.uint32(EXTENDED | BASE_ID | Message.COMMAND << 8)
_HEARD_AT_ONCE = 1000


class RackStatus(NamedTuple):
    """One rack as it truly is."""

    element: str
    state: int
    failure: int
    supervision: int
    positions: tuple[int, int, int]
    """Positive, negative, precharge."""
    current_a: float
    voltage_v: float
    bus_voltage_v: float
    charge: float
    limits_a: tuple[float, float]


class SimulatedPlant:
    """All racks, their cells, the DC buses of the arrays and the converters on them."""

    def __init__(self, description: PlantDescription, faults: Sequence[Fault] = ()) -> None:
        self.description = description
        racks = description.racks
        physics, sensors, control = (np.random.default_rng([description.seed, part]) for part in range(3))
        self.cells = Cells(racks, physics, description.start_soc, description.ambient_degc)
        self.controls = [
            RackControl(lambda: float(control.uniform(FASTEST_S, SLOWEST_S)), connected=description.connected)
            for _ in racks
        ]
        self.faults = FaultSchedule(description, faults)
        self.time_s = 0.0
        self.current_a: Floats = np.zeros(len(racks))
        self._profile = PROFILES[description.profile](control)
        self._builder = FrameBuilder(racks, sensors)
        self._terminal = self.cells.terminal()
        self._arrays = self._dc_buses()
        self._rack_at = {(rack.bus, rack.node): number for number, rack in enumerate(racks)}
        self._ticks = 0
        self.commands_accepted = self.commands_refused = 0

    def _dc_buses(self) -> list[DcBus]:
        members: dict[str, list[int]] = {}
        for number, rack in enumerate(self.description.racks):
            members.setdefault(rack.array, []).append(number)
        racks = self.description.racks
        found = []
        for numbers in members.values():
            bus = DcBus(numbers, [racks[n].max_charge_a for n in numbers], [racks[n].max_discharge_a for n in numbers])
            if self.description.connected:
                bus.voltage_v = float(self._terminal.emf_v[numbers].mean())
            found.append(bus)
        return found

    @property
    def bus_voltage_v(self) -> Floats:
        """Voltage of the DC bus at each rack, [racks]."""
        volts = np.empty(len(self.controls))
        for bus in self._arrays:
            volts[bus.members] = bus.voltage_v
        return volts

    @property
    def rack_voltage_v(self) -> Floats:
        """Terminal voltage of each rack, [racks]."""
        return self.cells.sum(self.cells.voltage)

    def step(self, dt_s: float) -> None:
        """The next `dt_s` seconds. ValueError outside 0 < dt_s <= 1."""
        if not 0 < dt_s <= LONGEST_STEP_S:
            raise ValueError(f"plant step of {dt_s} s: allowed are more than 0 and at most {LONGEST_STEP_S} s")
        terminal = self._terminal = self.cells.terminal()
        charge = self._charge_of_closed()
        share = self._profile(self.time_s, dt_s, charge)
        # Contactors and precharge need their own pace; while nothing moves one long piece is as good.
        pieces = math.ceil(dt_s / PERIOD_S - 1e-6) if any(control.moving for control in self.controls) else 1
        emf = terminal.emf_v.tolist()
        flowed = np.zeros(len(self.controls))
        for _ in range(max(pieces, 1)):
            piece_s = dt_s / max(pieces, 1)
            self.time_s += piece_s
            if self.faults.step(self.time_s):
                self._take_effects()
            bus_v = self.bus_voltage_v.tolist()
            for number, control in enumerate(self.controls):
                control.step(self.time_s, emf[number], bus_v[number])
            for bus in self._arrays:
                bus.step(piece_s, share, self.controls, terminal.emf_v, terminal.resistance_ohm, self.current_a)
            flowed += self.current_a * piece_s
        self.cells.advance(dt_s, self.current_a if pieces <= 1 else flowed / dt_s)

    def _charge_of_closed(self) -> float:
        closed = [number for number, control in enumerate(self.controls) if control.conducting]
        return float(self.cells.mean(self.cells.charge)[closed].mean()) if closed else 0.5

    def _take_effects(self) -> None:
        effects = self.faults.effects
        self.cells.leak_a, self.cells.heater_w = effects.leak_a, effects.heater_w
        for control, defects in zip(self.controls, effects.defects, strict=True):
            control.defects = defects

    def frames(self, now_ns: int) -> PlantFrames:
        """Frames that have become due since the last call, stamped with `now_ns`; at least those of one period."""
        ticks = int(self.time_s / PERIOD_S + 1e-6)
        first = max(self._ticks, ticks - ROUND_TICKS)
        due = [tick % ROUND_TICKS for tick in range(min(first, ticks - 1), ticks)]
        self._ticks = ticks
        cells = self.cells
        truth = Truth(
            cells.voltage,
            cells.temperature_degc,
            self.rack_voltage_v,
            self.bus_voltage_v,
            self.current_a,
            self.description.ambient_degc,
            cells.inlet_degc,
            cells.outlet_degc,
            self._status(),
        )
        return self._builder.build(due, now_ns, truth, self.faults.effects, self.faults.glitches)

    def _status(self) -> NDArray[np.void]:
        rows = []
        for control in self.controls:
            positive, negative, precharge = (int(contactor.position) for contactor in control.contactors)
            flags = control.defects
            word = int(control.state) | positive << 4 | negative << 6 | precharge << 8
            word |= flags.interlock_open << 10 | flags.fuse_open << 11 | flags.short_circuit << 12
            rows.append((word, int(control.failure) | int(control.supervision) << 4, control.reset_echo, 0, 0, 0))
        return np.array(rows, STATE)

    def receive(self, bus: str, ids: NDArray[np.uint32], data: NDArray[np.uint8]) -> None:
        """Frames heard on a bus: u4[N] ids with flags, u1[N, 8] data. Anything but commands is passed over."""
        at = np.flatnonzero((ids & ~np.uint32(NODES - 1)) == _COMMAND_IDS)[-_HEARD_AT_ONCE:]
        if not len(at):
            return
        heard = np.ascontiguousarray(data[at])
        right = check_sums(Message.COMMAND, heard) == heard[:, 7]
        rows = heard.view(COMMAND)[:, 0]
        nodes = (ids[at] & np.uint32(NODES - 1)).tolist()
        for node, good, row in zip(nodes, right.tolist(), rows.tolist(), strict=True):
            desired, charge, discharge, reset, alive, _ = row
            if good:
                self.command(bus, node, Command(desired, charge * AMPERE, discharge * AMPERE, reset, alive))
            else:
                self.commands_refused += 1

    def command(self, bus: str, node: int, command: Command) -> None:
        """A command whose check sum was right; nobody there, or a rack without communication: nothing happens."""
        number = self._rack_at.get((bus, node))
        if number is None or self.faults.effects.silent[number]:
            return
        if self.controls[number].receive(command, self.time_s):
            self.commands_accepted += 1
        else:
            self.commands_refused += 1

    def inject(self, fault: Fault) -> None:
        """A fault from now on (or `at_s` later). ValueError when it does not fit the plant."""
        self.faults.add(fault, self.time_s)

    def status(self) -> list[RackStatus]:
        """Every rack as it truly is."""
        volts, bus_v, charge = self.rack_voltage_v, self.bus_voltage_v, self.cells.mean(self.cells.charge)
        return [
            RackStatus(
                rack.element,
                int(control.state),
                int(control.failure),
                int(control.supervision),
                tuple(int(contactor.position) for contactor in control.contactors),  # type: ignore[arg-type]  # three
                float(self.current_a[number]),
                float(volts[number]),
                float(bus_v[number]),
                float(charge[number]),
                control.limits_a,
            )
            for number, (rack, control) in enumerate(zip(self.description.racks, self.controls, strict=True))
        ]
