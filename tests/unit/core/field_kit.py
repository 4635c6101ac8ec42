"""A small site and its input blocks, filled by hand: what a field process would have written."""

from pathlib import Path

import numpy as np

from information_model.points.row import Level
from information_model.quality import Quality
from server.config.site import Site, load_site
from server.core.blocks import InputBlock
from server.core.now import Now
from server.core.working import Working

START_NS, OFFSET_NS = 1_000_000_000_000, 1_700_000_000_000_000_000
CELLS, PROBES = "CellData.CellVoltages", "CellData.CellTemperatures"
SCALARS = {
    "Measurements.DcVoltage": 26.4,
    "Measurements.BusVoltage": 26.4,
    "Measurements.DcCurrent": 0.0,
    "Contactors.Positive.Position": 2.0,
}


def make_site(folder: Path, racks: str = "1-2", cells: int = 4, modules: int = 2, capacity: float = 100.0) -> Site:
    """2 arrays of the same racks on one field process."""
    count = cells * modules
    points = "".join(
        f'[[scalar]]\npoint = "{path}"\nsignal = "S{i}"\nperiod = 0.1\ntimeout = 0.5\n'
        for i, path in enumerate(SCALARS)
    )
    (folder / "rack.toml").write_text(
        'version = 1\nname = "rack"\nkind = "can"\ndbc = "rack.dbc"\n'
        f'[[matrix]]\npoint = "{CELLS}"\ncount = {count}\nsignal = "V(\\\\d+)"\nperiod = 1.0\ntimeout = 3.0\n'
        f'[[matrix]]\npoint = "{PROBES}"\ncount = {modules}\nsignal = "T(\\\\d+)"\nperiod = 1.0\ntimeout = 3.0\n'
        + points
    )
    arrays = "".join(
        f'[[arrays]]\nnumber = {number}\n[[arrays.racks]]\nnumbers = "{racks}"\n'
        f'type = "small"\nbus = "bus{number}"\nmap = "rack.toml"\n'
        for number in (1, 2)
    )
    (folder / "site.toml").write_text(
        'version = 1\n[site]\nid = "TEST01"\nserial_number = "1"\n[rack_types.small]\nchemistry = "LFP"\n'
        f"modules = {modules}\ncells_per_module = {cells}\nprobes_per_module = 1\nrated_capacity_ah = {capacity}\n"
        "max_charge_current_a = 100.0\nmax_discharge_current_a = 100.0\n"
        '[buses.bus1]\nadapter = "can"\n[buses.bus2]\nadapter = "can"\n' + arrays
    )
    return load_site(folder / "site.toml")


class Field:
    """The input block of the only field process; `now` moves by `tick`."""

    def __init__(self, site: Site) -> None:
        self.site = site
        (self.plan,) = site.inputs
        self.columns = {name: np.zeros(length, dtype) for name, dtype, length in self.plan.columns()}
        self.columns["quality"][:] = Quality.WAITING
        self.columns["bus.alive"][:] = 1
        self.ns = START_NS
        self.alive = True
        self.period_s = 0.1

    @property
    def now(self) -> Now:
        return Now(self.ns, self.ns + OFFSET_NS, OFFSET_NS, self.period_s)

    @property
    def blocks(self) -> list[InputBlock]:
        return [InputBlock(self.plan, self.columns, self.ns if self.alive else None)]

    def tick(self, seconds: float = 0.1) -> Now:
        self.ns += round(seconds * 1e9)
        return self.now

    def slots(self, rack: int, path: str) -> np.ndarray:
        source = next(s for s in self.plan.sources if s.rack.ordinal == rack)
        row = next(r for r in source.rack.map.slots() if r.point == path)
        return source.first_slot + row.first + np.arange(row.count)

    def put(self, rack: int, path: str, value, quality: Quality = Quality.GOOD) -> None:
        at = self.slots(rack, path)
        self.columns["value"][at] = value
        self.columns["mono_ns"][at] = self.ns
        self.columns["quality"][at] = quality

    def put_cell(self, rack: int, cell: int, value: float, quality: Quality = Quality.GOOD) -> None:
        at = self.slots(rack, CELLS)[cell]
        self.columns["value"][at], self.columns["mono_ns"][at], self.columns["quality"][at] = value, self.ns, quality

    def all_good(self, cell_v: float = 3.3, **scalars: float) -> None:
        """One fresh good sample of everything."""
        for rack in range(self.site.topology.count(Level.RACK)):
            self.put(rack, CELLS, cell_v)
            self.put(rack, PROBES, 25.0)
            for path, value in SCALARS.items():
                self.put(rack, path, scalars.get(path.rpartition(".")[2], value))
        at = np.arange(len(self.plan.sources))
        self.columns["source.state"][at] = 1
        self.columns["source.last_frame_mono_ns"][at] = self.ns
        self.columns["source.frames_received"][at] += 10
        self.columns["source.counter_advances"][at] += 1


def value(working: Working, level: Level, path: str, ordinal: int = 0) -> tuple[float, int]:
    """Value and severity (0 Good, 1 Uncertain, 2 Bad) of a scalar."""
    scalars = working.scalars(level, path)
    return float(scalars.value[ordinal]), int(scalars.status[ordinal]) >> 30
