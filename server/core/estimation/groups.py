"""Estimates of arrays and system: sums, means, extremes over the racks whose values are good, and how many those are."""

import numpy as np
from numpy.typing import NDArray

from estimators.aggregate import Groups
from estimators.charge import ChargeCounter
from estimators.energy import Throughput
from estimators.extremes import Recorded
from estimators.segments import Extremes
from information_model.cell_address import within_group
from information_model.points.row import Level
from server.config.site import Site
from server.core.estimation.output import Output
from server.core.extreme_cells import MATRICES

Floats = NDArray[np.float64]


class GroupEstimates:
    """Everything of arrays and system that follows from racks."""

    def __init__(self, site: Site, arrays: Groups, capacity_ah: Floats, energy_wh: Floats) -> None:
        racks = len(capacity_ah)
        self._capacity_ah, self._energy_wh = capacity_ah, energy_wh
        self._levels = {Level.ARRAY: arrays, Level.SYSTEM: Groups(np.array([0, racks]))}
        self._numbers = np.array([element.number for element in site.topology.of_level(Level.RACK)])
        # At system level a rack number alone may exist once per array; the address keeps it, the array is named by the id.
        self._energy = {level: groups.total(energy_wh) for level, groups in self._levels.items()}

    def step(
        self,
        out: Output,
        found: dict[str, Extremes],
        recorded: dict[str, Recorded],
        charge: ChargeCounter,
        throughput: Throughput,
    ) -> None:
        """Write the estimates of both levels."""
        current, voltage = out.read("Measurements.DcCurrent"), out.read("Measurements.DcVoltage")
        bus = out.read("Measurements.BusVoltage")
        included = ~np.isnan(current.value) & ~np.isnan(charge.soc if "CellVoltages" in found else current.value)
        for level, groups in self._levels.items():
            self._electrical(out, level, groups, current.value, voltage.value, bus.value)
            self._included(out, level, groups, included)
            for name, extremes in found.items():
                self._extremes(out, level, groups, name, extremes)
                if level is Level.ARRAY:
                    self._record(out, level, groups, name, recorded[name])
            if "CellVoltages" in found:
                self._charge(out, level, groups, charge)
            self._counters(out, level, groups, throughput)

    def _time(self, out: Output, groups: Groups, path: str, known: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Source time of an aggregate: that of its oldest part."""
        return groups.racks.earliest(out.read(path).time, known)

    def _electrical(
        self, out: Output, level: Level, groups: Groups, current: Floats, voltage: Floats, bus: Floats
    ) -> None:
        current_time = self._time(out, groups, "Measurements.DcCurrent", ~np.isnan(current))
        voltage_time = self._time(out, groups, "Measurements.DcVoltage", ~np.isnan(voltage))
        out.write(level, "Measurements.DcCurrent", groups.total(current), current_time)
        power_time = np.minimum(current_time, voltage_time)
        out.write(level, "Measurements.DcActivePower", groups.total(current * voltage), power_time)
        # The bus is measured by every rack that hangs on it; without such a measurement the racks stand for it.
        ones = np.ones(len(voltage))
        measured = groups.mean(bus, ones)
        standing = groups.mean(voltage, ones)
        out.write(level, "Measurements.DcVoltage", np.where(np.isnan(measured), standing, measured), voltage_time)
        if level is not Level.ARRAY:
            return
        for label, values, time in (("Current", current, current_time), ("Voltage", voltage, voltage_time)):
            spread = groups.spread(values)
            out.write(level, f"Measurements.Rack{label}Avg", spread.mean, time)
            out.write(level, f"Measurements.Rack{label}Max", spread.high, time)
            out.write(level, f"Measurements.Rack{label}Min", spread.low, time)
            for suffix, at in (("Max", spread.high_at), ("Min", spread.low_at)):
                number = np.where(at < 0, 0, self._numbers[np.maximum(at, 0)])
                out.write(level, f"ExtremeRacks.Rack{label}{suffix}Rack", number, time, missing=at < 0)

    def _included(self, out: Output, level: Level, groups: Groups, included: NDArray[np.bool_]) -> None:
        now = out.now.utc_ns
        out.write(level, "Estimation.IncludedRackCount", groups.racks.counts(included).astype(float), now)
        share = 100 * groups.racks.sums(np.where(included, self._energy_wh, 0.0)) / self._energy[level]
        out.write(level, "Estimation.IncludedEnergyShare", share, now)

    def _extremes(self, out: Output, level: Level, groups: Groups, name: str, racks: Extremes) -> None:
        prefix, suffix = MATRICES[name]
        high, low = groups.spread(racks.high), groups.spread(racks.low)
        time = self._time(out, groups, f"Measurements.{prefix}Max", ~np.isnan(racks.high))
        out.write(level, f"Measurements.{prefix}Max", high.high, time)
        out.write(level, f"Measurements.{prefix}Min", low.low, time)
        if level is Level.ARRAY:
            mean = groups.mean(racks.mean, racks.known.astype(float))
            out.write(level, f"Measurements.{prefix}Avg", mean, time)
            out.write(level, f"Measurements.{prefix}Spread", high.high - low.low, time)
        for label, at in (("Highest", high.high_at), ("Lowest", low.low_at)):
            path = f"ExtremeCells.{label}{suffix}"
            local = out.read(path).value[np.maximum(at, 0)]
            address = within_group(self._numbers[np.maximum(at, 0)], local)
            out.write(level, path, address, time, missing=(at < 0) | np.isnan(local))

    def _record(self, out: Output, level: Level, groups: Groups, name: str, recorded: Recorded) -> None:
        suffix = MATRICES[name].suffix
        now = out.now.utc_ns
        out.write(level, f"ExtremeCells.Recorded{suffix}Max", groups.racks.highest(recorded.high), now)
        out.write(level, f"ExtremeCells.Recorded{suffix}Min", groups.racks.lowest(recorded.low), now)

    def _charge(self, out: Output, level: Level, groups: Groups, charge: ChargeCounter) -> None:
        soc, sigma, energy = charge.soc, charge.sigma, self._energy_wh
        time = self._time(out, groups, "Measurements.StateOfCharge", ~np.isnan(soc))
        mean, high, low = groups.mean(soc, energy), groups.racks.highest(soc), groups.racks.lowest(soc)
        stored = groups.total(soc / 100 * energy)
        for name, value in (
            ("StateOfCharge", mean),
            ("StateOfChargeMax", high),
            ("StateOfChargeMin", low),
            ("StateOfChargeSpread", high - low),
            ("StateOfChargeSigma", groups.mean(sigma, energy)),
            ("StoredEnergy", stored),
            ("DischargeableEnergy", stored),
            ("ChargeableEnergy", groups.total((1 - soc / 100) * energy)),
            ("EffectiveEnergyCapacity", groups.total(np.where(np.isnan(soc), np.nan, energy))),
        ):
            out.write(level, f"Measurements.{name}", value, time)

    def _counters(self, out: Output, level: Level, groups: Groups, throughput: Throughput) -> None:
        totals = {name: groups.racks.sums(values) for name, values in throughput.totals.items()}
        charge = totals["charged_ah"] + totals["discharged_ah"]
        connected = groups.racks.highest(throughput.totals["connected_s"])
        for name, value in (
            ("ChargeThroughput", totals["charged_ah"]),
            ("DischargeThroughput", totals["discharged_ah"]),
            ("CapacityThroughput", charge),
            ("ChargedEnergyTotal", totals["charged_wh"]),
            ("DischargedEnergyTotal", totals["discharged_wh"]),
            ("EnergyThroughput", totals["charged_wh"] + totals["discharged_wh"]),
            ("EquivalentFullCycles", charge / (2 * groups.total(self._capacity_ah))),
            ("ConnectedTime", connected),
        ):
            out.write(level, f"Counters.{name}", value, out.now.utc_ns)
