"""Estimation: binds the estimators to the working image, and gives every estimate the quality of its inputs."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from estimators.aggregate import Groups
from estimators.charge import ChargeCounter
from estimators.energy import Throughput
from estimators.extremes import Recorded, RestDetector, is_quiet
from estimators.segments import Extremes, Segments
from information_model import quality
from information_model.cell_address import within_rack
from information_model.enumerations import DoublePoint
from information_model.points.row import Level
from server.config.site import Site
from server.core.board import Board
from server.core.estimation.groups import GroupEstimates
from server.core.estimation.output import Output
from server.core.extreme_cells import MATRICES
from server.core.now import Now

VERSION = 1
Floats = NDArray[np.float64]


class Estimation:
    """All estimators of a site. `step` once per cycle; `retained` and `restore` carry their state over a restart."""

    def __init__(self, site: Site) -> None:
        topology = site.topology
        kinds = [rack.kind for rack in site.racks]
        self.capacity_ah = np.array([kind.rated_capacity_ah for kind in kinds])
        self.energy_wh = np.array([kind.rated_energy_wh for kind in kinds])
        self._segments = {
            "CellVoltages": Segments(topology.cell_start),
            "CellTemperatures": Segments(topology.probe_start),
        }
        per_module = {
            "CellVoltages": np.array([shape.cells_per_module for shape in topology.shapes]),
            "CellTemperatures": np.array([shape.probes_per_module for shape in topology.shapes]),
        }
        self._per_module = per_module
        self._modules = {name: Segments(_module_starts(site, per_module[name])) for name in MATRICES}
        self._recorded = {name: Recorded(len(kinds)) for name in MATRICES}
        self._rest = RestDetector(self.capacity_ah)
        self._charge = ChargeCounter(self.capacity_ah, tuple(kind.chemistry for kind in kinds))
        self._throughput = Throughput(len(kinds))
        self._groups = GroupEstimates(site, Groups(_array_starts(site)), self.capacity_ah, self.energy_wh)
        self._before_ns = 0

    def step(self, board: Board, now: Now) -> None:
        """Estimate everything from what validation let through."""
        dt_s = (now.mono_ns - self._before_ns) / 1e9 if self._before_ns else 0.0
        self._before_ns = now.mono_ns
        out = Output(board, now)
        found = {name: self._matrix(name, out) for name in MATRICES if out.has_matrix(name)}
        current, voltage = out.read("Measurements.DcCurrent"), out.read("Measurements.DcVoltage")
        rested = self._rest.step(current.value, dt_s)
        cells = found.get("CellVoltages")
        self._rack_measurements(out, rested, cells)
        power = current.value * voltage.value
        power_time = np.minimum(current.time, voltage.time)
        out.rack("Measurements.DcActivePower", power, power_time)
        bus = out.read("Measurements.BusVoltage")
        difference = np.abs(bus.value - voltage.value)
        out.rack("Measurements.BusVoltageDifference", difference, np.minimum(bus.time, voltage.time))
        self._count_charge(out, current.value, current.time, cells, rested, dt_s)
        closed = out.read("Contactors.Positive.Position").value == DoublePoint.CLOSED
        self._throughput.step(current.value, power, closed, dt_s)
        self._counters(out, now)
        self._groups.step(out, found, self._recorded, self._charge, self._throughput)

    def _matrix(self, name: str, out: Output) -> Extremes:
        """Extremes of one matrix over racks and modules, with their places."""
        prefix, suffix = MATRICES[name]
        matrix = out.working.matrix(name)
        segments = self._segments[name]
        found = segments.extremes(matrix.value)
        usable = ~quality.is_bad(matrix.status)
        time = np.where(usable, matrix.time, 0)
        for label, values in (("Max", found.high), ("Min", found.low), ("Avg", found.mean)):
            out.rack(f"Measurements.{prefix}{label}", values, time)
        out.rack(f"Measurements.{prefix}Spread", found.high - found.low, time)
        if name == "CellVoltages":
            out.rack("Measurements.CellVoltageSum", _complete(found, segments), time)
        for label, at in (("Highest", found.high_at), ("Lowest", found.low_at)):
            local = np.where(at < 0, -1, at - segments.start[:-1])
            out.rack(f"ExtremeCells.{label}{suffix}", within_rack(local, self._per_module[name]), time, missing=at < 0)
        recorded = self._recorded[name]
        recorded.step(found.low, found.high)
        out.rack(f"ExtremeCells.Recorded{suffix}Max", recorded.high, out.now.utc_ns)
        out.rack(f"ExtremeCells.Recorded{suffix}Min", recorded.low, out.now.utc_ns)
        modules = self._modules[name].extremes(matrix.value)
        module_time = time[out.working.catalogue.topology.module_rack]
        for label, values in (("Max", modules.high), ("Min", modules.low), ("Avg", modules.mean)):
            out.write(Level.MODULE, f"Measurements.{prefix}{label}", values, module_time)
        return found

    def _rack_measurements(self, out: Output, rested: NDArray[np.bool_], cells: Extremes | None) -> None:
        if cells is None or not out.has("Measurements.CellVoltageSpreadAtRest"):
            return
        # Between two rests the spread of the last one stands, with its time: no reading is better than a loaded one.
        point = out.working.scalars(Level.RACK, "Measurements.CellVoltageSpreadAtRest")
        spread = cells.high - cells.low
        taken = rested & ~np.isnan(spread)
        time = out.working.matrix("CellVoltages").time
        point.value[taken], point.time[taken], point.status[taken] = spread[taken], time[taken], quality.GOOD

    def _count_charge(
        self,
        out: Output,
        current: Floats,
        time: NDArray[np.int64],
        cells: Extremes | None,
        rested: NDArray[np.bool_],
        dt_s: float,
    ) -> None:
        if cells is None:
            return
        charge = self._charge
        charge.step(current, cells.mean, is_quiet(current, self.capacity_ah), rested, dt_s)
        out.rack("Measurements.StateOfCharge", charge.soc, time)
        out.rack("Estimation.StateOfChargeMean", charge.soc, time)
        out.rack("Measurements.StateOfChargeSigma", charge.sigma, time)
        out.rack("Estimation.StateOfChargeSource", charge.source, out.now.utc_ns)
        out.rack("Measurements.DepthOfDischarge", 100 - charge.soc, time)
        share = charge.soc / 100
        out.rack("Measurements.AvailableDischargeCapacity", share * self.capacity_ah, time)
        out.rack("Measurements.AvailableChargeCapacity", (1 - share) * self.capacity_ah, time)
        out.rack("Measurements.DischargeableEnergy", share * self.energy_wh, time)
        out.rack("Measurements.ChargeableEnergy", (1 - share) * self.energy_wh, time)

    def _counters(self, out: Output, now: Now) -> None:
        totals = self._throughput.totals
        values = {
            "ChargeThroughput": totals["charged_ah"],
            "DischargeThroughput": totals["discharged_ah"],
            "CapacityThroughput": totals["charged_ah"] + totals["discharged_ah"],
            "ChargedEnergyTotal": totals["charged_wh"],
            "DischargedEnergyTotal": totals["discharged_wh"],
            "EnergyThroughput": totals["charged_wh"] + totals["discharged_wh"],
            "EquivalentFullCycles": self._throughput.equivalent_full_cycles(self.capacity_ah),
            "ConnectedTime": totals["connected_s"],
            "OperatingTime": totals["operating_s"],
        }
        for name, value in values.items():
            out.rack(f"Counters.{name}", value, now.utc_ns)

    def retained(self) -> dict[str, Any]:
        """State that survives a restart, by rack in the order of the topology."""
        return {
            "version": VERSION,
            "charge": self._charge.retained(),
            "throughput": self._throughput.retained(),
            "recorded": {name: recorded.retained() for name, recorded in self._recorded.items()},
        }

    def restore(self, body: dict[str, Any], down_s: float) -> None:
        """Go on from a retained state after `down_s` seconds. ValueError where it is of another version or site."""
        if body.get("version") != VERSION:
            raise ValueError(f"retained estimates of version {body.get('version')}, expected {VERSION}")
        self._charge.restore(body["charge"], down_s)
        self._throughput.restore(body["throughput"])
        for name, recorded in self._recorded.items():
            recorded.restore(body["recorded"][name])


def _complete(found: Extremes, segments: Segments) -> Floats:
    """A sum says something only when nothing is missing in it."""
    return np.where(found.known == segments.sizes, found.total, np.nan)


def _module_starts(site: Site, per_module: NDArray[np.int64]) -> NDArray[np.int64]:
    sizes = [np.full(shape.modules, width) for shape, width in zip(site.topology.shapes, per_module, strict=True)]
    return np.concatenate(([0], np.cumsum(np.concatenate(sizes)))).astype(np.int64)


def _array_starts(site: Site) -> NDArray[np.int64]:
    counts = np.bincount(site.topology.rack_array, minlength=site.topology.count(Level.ARRAY))
    return np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
