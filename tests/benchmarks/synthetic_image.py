"""Images of the site of 240 racks, second by second, as its archive would see them.

Cells carry 0.5 mV of noise in steps of 1 mV over a voltage that follows the rack's current and drifts slowly; probes
0.05 K in steps of 0.1 K. What the core derives from them is derived here; counters grow with full mantissas; every
other number walks by half a step of its storage resolution a second. States rest.
"""

import tomllib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from information_model.points.row import Aggregation, History, Kind, Level
from server.config.site import Site, load_site
from tests.benchmarks.child import ROOT
from tests.benchmarks.offline_archive import Columns

SECOND_NS = 1_000_000_000
CELL_NOISE_V, CELL_STEP_V, CELL_OHM, CELL_SPREAD_V = 0.0005, 0.001, 4e-4, 0.004
PROBE_NOISE_K, PROBE_STEP_K, PROBE_SPREAD_K = 0.05, 0.1, 0.8
DRIFT_V_PER_S = 1e-6
"""3.6 mV an hour: a quarter of the plateau of LFP."""
CURRENT_A, CURRENT_NOISE_A = 100.0, 0.05
PERIODS_S = (47.0, 313.0, 1201.0)
ANALOGUE = (History.S1, History.S10, History.S60)


def large_site(folder: Path, arrays: int) -> Site:
    """The first arrays of examples/large.toml."""
    source = (ROOT / "examples" / "large.toml").read_text()
    known = len(tomllib.loads(source)["arrays"])
    if not 1 <= arrays <= known:
        raise ValueError(f"{arrays} arrays: examples/large.toml has 1 to {known}")
    head, *rest = source.split("[[arrays]]")
    path = folder / "large.toml"
    path.write_text("[[arrays]]".join([head, *rest[:arrays]]))
    return load_site(path)


class SyntheticImage:
    """Fills the columns of a site. Arrays without another remark are [racks]."""

    def __init__(self, site: Site, columns: Columns, seed: int = 1) -> None:
        self._rng = rng = np.random.default_rng(seed)
        self._columns, catalogue = columns, site.catalogue
        racks = self._racks = site.topology.count(Level.RACK)
        cells, probes = len(columns["CellVoltages"]) // racks, len(columns["CellTemperatures"]) // racks
        self._modules = site.topology.count(Level.MODULE) // racks
        self._cell_offset = CELL_SPREAD_V * rng.standard_normal((racks, cells))
        self._probe_offset = PROBE_SPREAD_K * rng.standard_normal((racks, probes))
        self._phase = rng.uniform(0, 2 * np.pi, (len(PERIODS_S), racks))
        self._soc = rng.uniform(40, 60, racks)
        self._slots: dict[tuple[Level, str], slice] = {}
        walking, steps, counting = [], [], []
        for level, rows in catalogue.rows.items():
            for path, row in rows.items():
                if row.base < 0:
                    continue
                self._slots[level, path] = span = catalogue.slots(level, path)
                places = np.arange(span.start, span.stop)
                if row.point.aggregation is Aggregation.TOTAL:
                    counting.append(places)
                elif row.point.history in ANALOGUE and row.point.kind is Kind.SCALAR and row.point.unit is not None:
                    walking.append(places)
                    steps.append(np.full(len(places), row.point.step))
        self._walking, self._steps = np.concatenate(walking), np.concatenate(steps)
        self._counting = np.concatenate(counting)
        self._rate = rng.uniform(0, 0.01, len(self._counting))
        columns["value"][self._walking] = rng.uniform(10, 50, len(self._walking))

    def at(self, second: int, utc_ns: int) -> None:
        """The image of a second."""
        rng, columns, racks = self._rng, self._columns, self._racks
        value, source = columns["value"], columns["source_time"]
        value[self._walking] += 0.5 * self._steps * rng.standard_normal(len(self._walking))
        value[self._counting] += self._rate * rng.uniform(0.5, 1.5, len(self._counting))
        source[:] = utc_ns
        angle = 2 * np.pi * second / np.array(PERIODS_S)[:, None] + self._phase
        current = CURRENT_A * np.sin(angle).mean(axis=0) + CURRENT_NOISE_A * rng.standard_normal(racks)
        self._soc -= current / 280 / 36
        noise = CELL_NOISE_V * rng.standard_normal(self._cell_offset.shape, np.float32)
        level = 3.295 - DRIFT_V_PER_S * second - CELL_OHM * current
        cells = np.round((level[:, None] + self._cell_offset + noise) / CELL_STEP_V) * CELL_STEP_V
        probes = 25 + self._probe_offset + PROBE_NOISE_K * rng.standard_normal(self._probe_offset.shape, np.float32)
        probes = np.round(probes / PROBE_STEP_K) * PROBE_STEP_K
        for name, matrix in (("CellVoltages", cells), ("CellTemperatures", probes)):
            columns[name][:] = matrix.reshape(-1)
            # The time of a matrix is that of its oldest cell.
            columns[f"{name}.time"][:] = utc_ns - rng.integers(0, SECOND_NS, racks)
        columns["CellQuality.time"][:] = columns["CellVoltages.time"]
        self._derived(cells, probes, current)
        received = utc_ns - rng.integers(0, SECOND_NS // 10, racks)
        for name in ("DcVoltage", "BusVoltage", "DcCurrent"):
            source[self._slots[Level.RACK, f"Measurements.{name}"]] = received

    def _derived(self, cells: NDArray[np.float64], probes: NDArray[np.float64], current: NDArray[np.float64]) -> None:
        noise = self._rng.standard_normal
        volts = cells.sum(axis=1)
        racks: dict[str, NDArray[np.floating]] = {
            "Measurements.DcVoltage": volts + 0.05 * noise(len(volts)),
            "Measurements.BusVoltage": volts.mean() + 0.05 * noise(len(volts)),
            "Measurements.DcCurrent": current,
            "Measurements.DcActivePower": volts * current,
            "Measurements.StateOfCharge": self._soc,
            "Measurements.CellVoltageSum": volts,
        }
        self._spread(racks, "Voltage", cells)
        self._spread(racks, "Temperature", probes)
        for quantity, matrix in (("Voltage", cells), ("Temperature", probes)):
            racks[f"ExtremeCells.Highest{quantity}"] = matrix.argmax(axis=1) + 1.0
            racks[f"ExtremeCells.Lowest{quantity}"] = matrix.argmin(axis=1) + 1.0
        self._put(Level.RACK, racks)
        modules: dict[str, NDArray[np.floating]] = {}
        self._spread(modules, "Voltage", cells.reshape(len(cells) * self._modules, -1))
        self._spread(modules, "Temperature", probes.reshape(len(probes) * self._modules, -1))
        self._put(Level.MODULE, modules)

    @staticmethod
    def _spread(found: dict[str, NDArray[np.floating]], quantity: str, matrix: NDArray[np.float64]) -> None:
        low, high = matrix.min(axis=1), matrix.max(axis=1)
        for name, values in (("Min", low), ("Max", high), ("Avg", matrix.mean(axis=1)), ("Spread", high - low)):
            found[f"Measurements.Cell{quantity}{name}"] = values

    def _put(self, level: Level, found: dict[str, NDArray[np.floating]]) -> None:
        for path, values in found.items():
            slots = self._slots.get((level, path))
            if slots is not None:
                self._columns["value"][slots] = values
