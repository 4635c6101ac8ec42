"""Validation: what comes from the field is judged before anybody uses it.

For each slot: the quality that the field process gives, then age, physical range, rate, frozen value; the first cause
wins. A single bad sample is withheld and never shown as good; a missing one is Bad and no number.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from estimators.segments import Segments
from information_model import quality
from information_model.catalogue import Catalogue
from information_model.points.row import Kind, Level
from information_model.quality import STATUS, Quality
from server.config.inputs import Target
from server.config.site import Site
from server.core.blocks import InputBlock
from server.core.board import Board
from server.core.limits_of_physics import Bounds, bounds_of
from server.core.now import Now
from server.core.working import Array, Matrix, Working

UNCERTAIN_AFTER_PERIODS = 2.0
CONSISTENT_SAMPLES = 3
"""So many samples that agree with one another re-establish a value after a jump."""
FROZEN_AFTER_NS = 60_000_000_000
FROZEN_CURRENT_SHARE = 0.05
SUM_OFFSET_TIME_S, SUM_OFFSET_LIMIT = 600.0, 0.01
"""Time in which the difference between sum of cells and pack meter is learned, and its largest share of the voltage."""
SENSOR_CAUSES = (Quality.INVALID, Quality.RANGE, Quality.E2E, Quality.RATE, Quality.FROZEN)


class Judge:
    """Keeps the accepted value, its time and its quality for the slots of one target."""

    def __init__(self, target: Target, bounds: Bounds, capacity_ah: NDArray[np.float64]) -> None:
        order = np.argsort(target.place, kind="stable")
        self.slot, self.place = target.slot[order], target.place[order]
        self.rack, self.source = target.rack[order], target.source[order]
        self.period_ns = (target.period_s[order] * UNCERTAIN_AFTER_PERIODS * 1e9).astype(np.int64)
        self.timeout_ns = (target.timeout_s[order] * 1e9).astype(np.int64)
        self._low, self._high, self._jump = bounds.low[order], bounds.high[order], bounds.jump[order]
        n = len(self.slot)
        self.value = np.full(n, np.nan)
        self.time = np.zeros(n, np.int64)
        self.quality = np.full(n, Quality.WAITING, np.uint8)
        self._known, self._known_ns = np.full(n, np.nan), np.zeros(n, np.int64)
        self._seen = np.zeros(n, np.int64)
        self._suspect, self._suspected = np.full(n, np.nan), np.zeros(n, np.int64)
        self._watch_frozen = bounds.can_freeze
        self._moved, self._raw = np.zeros(n, np.int64), np.full(n, np.nan)
        self._current_low, self._current_high = np.full(n, np.nan), np.full(n, np.nan)
        self._current_step = (capacity_ah * FROZEN_CURRENT_SHARE)[self.rack]

    def step(self, columns: dict[str, Array], current_a: NDArray[np.float64], now: Now) -> NDArray[np.uint8]:
        """Judge the samples that are new and return the quality of every slot at this moment."""
        time = columns["mono_ns"][self.slot]
        fresh = np.flatnonzero(time != self._seen)
        if len(fresh):
            self._seen[fresh] = time[fresh]
            self._take(fresh, columns["value"][self.slot[fresh]], time[fresh], columns["quality"][self.slot[fresh]])
            if self._watch_frozen:
                self._freeze(fresh, current_a[self.rack[fresh]], now.mono_ns)
        return self._aged(now.mono_ns)

    def _take(
        self, at: NDArray[np.int64], value: NDArray[np.float64], time: NDArray[np.int64], given: NDArray[np.uint8]
    ) -> None:
        cause = given.copy()
        good = cause == Quality.GOOD
        cause[good & np.isnan(value)] = Quality.INVALID
        good = cause == Quality.GOOD
        cause[good & ((value < self._low[at]) | (value > self._high[at]))] = Quality.RANGE
        self._recall(at, time)
        good = cause == Quality.GOOD
        jumped = good & self._jumps(at, value)
        cause[jumped] = Quality.RATE
        kept = cause == Quality.GOOD
        here = at[kept]
        self.value[here], self.time[here] = value[kept], time[kept]
        self._known[here], self._known_ns[here] = value[kept], time[kept]
        self._suspected[at[~jumped]] = 0
        # A jump leaves the last good value and its time standing; any other cause takes the value away.
        lost = at[~kept & ~jumped]
        self.value[lost], self.time[lost] = np.nan, time[~kept & ~jumped]
        self.quality[at] = cause

    def _recall(self, at: NDArray[np.int64], time: NDArray[np.int64]) -> None:
        """What a bad sample took away is what the next one is compared with, as long as it is not out of date."""
        here = at[np.isnan(self.value[at]) & (time - self._known_ns[at] <= self.timeout_ns[at])]
        self.value[here], self.time[here] = self._known[here], self._known_ns[here]

    def _jumps(self, at: NDArray[np.int64], value: NDArray[np.float64]) -> NDArray[np.bool_]:
        jump = self._jump[at]
        far = np.abs(value - self.value[at]) >= jump
        agrees = np.abs(value - self._suspect[at]) < jump
        count = np.where(far, np.where(agrees & (self._suspected[at] > 0), self._suspected[at] + 1, 1), 0)
        self._suspected[at] = count
        self._suspect[at] = np.where(far, value, np.nan)
        return np.asarray(far & (count < CONSISTENT_SAMPLES))

    def _freeze(self, at: NDArray[np.int64], current_a: NDArray[np.float64], now_ns: int) -> None:
        """A value that stands still for a minute while the current changes is not measured any more."""
        moved = self.value[at] != self._raw[at]
        self._raw[at] = self.value[at]
        self._moved[at[moved]] = now_ns
        self._current_low[at] = np.where(moved, current_a, np.fmin(self._current_low[at], current_a))
        self._current_high[at] = np.where(moved, current_a, np.fmax(self._current_high[at], current_a))
        swing = self._current_high[at] - self._current_low[at]
        frozen = (now_ns - self._moved[at] > FROZEN_AFTER_NS) & (swing > self._current_step[at])
        here = at[frozen & (self.quality[at] == Quality.GOOD)]
        self.quality[here] = Quality.FROZEN
        self.value[here] = np.nan
        # The raw value stays known, so that a value which moves again is believed again.

    def _aged(self, now_ns: int) -> NDArray[np.uint8]:
        age = now_ns - self.time
        usable = (self.quality == Quality.GOOD) | (self.quality == Quality.RATE)
        found = self.quality.copy()
        found[(self.quality == Quality.GOOD) & (age > self.period_ns)] = Quality.LAST_USABLE
        found[usable & (age > self.timeout_ns)] = Quality.STALE
        return found


class Validation:
    """All targets of all field processes, and what follows from their judgement."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self._catalogue: Catalogue = site.catalogue
        self._capacity = np.array([rack.kind.rated_capacity_ah for rack in site.racks])
        self._judges: dict[tuple[str, str], Judge] = {}
        for plan in site.inputs:
            for target in plan.targets:
                bounds = bounds_of(site, target)
                self._judges[plan.process, target.column] = Judge(target, bounds, self._capacity)
        topology = site.topology
        self._cells, self._probes = Segments(topology.cell_start), Segments(topology.probe_start)
        self._qualities: dict[str, NDArray[np.uint8]] = {}
        self._times: dict[str, NDArray[np.int64]] = {}
        for row in self._catalogue.matrices():
            segments = self._segments(row.point.kind)
            self._qualities[row.matrix] = np.full(len(segments.group_of), Quality.WAITING, np.uint8)
            self._times[row.matrix] = np.zeros(len(segments.group_of), np.int64)
        self._sum_offset_v = np.zeros(len(site.racks))

    def _segments(self, kind: Kind) -> Segments:
        return self._cells if kind is Kind.CELLS else self._probes

    def step(self, blocks: Sequence[InputBlock], board: Board, now: Now) -> None:
        """Judge all blocks and write what they measure into the working image."""
        working = board.working
        current = self._current(working)
        for block in blocks:
            for target in block.plan.targets:
                judge = self._judges[block.plan.process, target.column]
                self._write(block, target.column, judge, current, working, now)
        for row in self._catalogue.matrices():
            if row.matrix in self._qualities and self._judged(row.matrix):
                self._finish_matrix(row.matrix, self._segments(row.point.kind), working)
        self._write_counts(board, now)

    def _judged(self, matrix: str) -> bool:
        return any(column == matrix for _, column in self._judges)

    def _current(self, working: Working) -> NDArray[np.float64]:
        if not working.has(Level.RACK, "Measurements.DcCurrent"):
            return np.full(len(self._capacity), np.nan)
        return working.scalars(Level.RACK, "Measurements.DcCurrent").value.copy()

    def _write(
        self,
        block: InputBlock,
        column: str,
        judge: Judge,
        current: NDArray[np.float64],
        working: Working,
        now: Now,
    ) -> None:
        if block.alive(now):
            found = judge.step(block.columns, current, now)
        else:
            found = np.where(judge.quality == Quality.WAITING, Quality.WAITING, Quality.NO_COMMUNICATION).astype(
                np.uint8
            )
        status = STATUS[found]
        value = np.where(quality.is_bad(status), np.nan, judge.value)
        utc = np.where(judge.time == 0, 0, judge.time + now.offset_ns)
        if column == "value":
            working.columns["value"][judge.place] = value
            working.columns["status"][judge.place] = status
            working.columns["source_time"][judge.place] = utc
        else:
            working.columns[column][judge.place] = value
            self._qualities[column][judge.place] = found
            self._times[column][judge.place] = utc

    def _finish_matrix(self, name: str, segments: Segments, working: Working) -> None:
        """One status and one time per rack: the time of the oldest good element."""
        found, matrix = self._qualities[name], working.matrix(name)
        good = found == Quality.GOOD
        usable = good | ~quality.is_bad(STATUS[found])
        all_good = segments.counts(good) == segments.sizes
        none = segments.counts(usable) == 0
        first = found[np.minimum(segments.start[:-1], len(found) - 1)] if len(found) else np.zeros(0, np.uint8)
        uncertain = STATUS[Quality.INCONSISTENT]
        matrix.status[:] = np.where(none, STATUS[first], np.where(all_good, quality.GOOD, uncertain))
        oldest = segments.earliest(self._times[name], good)
        kept = segments.earliest(self._times[name], self._times[name] > 0)
        matrix.time[:] = np.where(oldest > 0, oldest, kept)
        if name == "CellVoltages" and working.has(Level.RACK, "CellData.CellQuality"):
            self._write_flags(usable, good, matrix, working)

    def _write_flags(
        self,
        usable: NDArray[np.bool_],
        good: NDArray[np.bool_],
        cells: Matrix,
        working: Working,
    ) -> None:
        flags = working.matrix("CellQuality")
        flags.value[:] = np.where(good, 0, np.where(usable, 1, 2))
        flags.time[:] = cells.time
        flags.status[:] = np.where(quality.is_bad(cells.status), cells.status, quality.GOOD)

    def _write_counts(self, board: Board, now: Now) -> None:
        def put(path: str, values: NDArray[np.number]) -> None:
            board.measure(Level.RACK, path, values, now.utc_ns)

        if "CellVoltages" in self._qualities:
            found = self._qualities["CellVoltages"]
            put("Protection.InvalidCellCount", self._cells.counts(np.isin(found, SENSOR_CAUSES)))
            put("Protection.FrozenValueCount", self._cells.counts(found == Quality.FROZEN))
            self._compare_sums(found, board, now)
        if "CellTemperatures" in self._qualities:
            found = self._qualities["CellTemperatures"]
            put("Protection.InvalidProbeCount", self._probes.counts(np.isin(found, SENSOR_CAUSES)))

    def _compare_sums(self, found: NDArray[np.uint8], board: Board, now: Now) -> None:
        """Sum of the cells against the pack voltage, less the constant difference that two meters always have."""
        working = board.working
        if not working.has(Level.RACK, "Protection.VoltageSumDifference"):
            return
        pack = working.scalars(Level.RACK, "Measurements.DcVoltage")
        cells = working.matrix("CellVoltages")
        complete = (self._cells.counts(found == Quality.GOOD) == self._cells.sizes) & pack.good & (pack.value > 1.0)
        difference = np.where(complete, self._cells.sums(cells.value) - pack.value, np.nan)
        share = now.period_s / SUM_OFFSET_TIME_S
        learned = self._sum_offset_v + share * (np.nan_to_num(difference) - self._sum_offset_v)
        limit = SUM_OFFSET_LIMIT * np.nan_to_num(pack.value)
        self._sum_offset_v = np.where(complete, np.clip(learned, -limit, limit), self._sum_offset_v)
        time = np.minimum(pack.time, cells.time)
        with np.errstate(invalid="ignore", divide="ignore"):
            percent = 100 * (difference - self._sum_offset_v) / pack.value
        board.measure(Level.RACK, "Protection.VoltageSumDifference", percent, time)
        board.measure(Level.RACK, "Protection.VoltageSumOffset", self._sum_offset_v, now.utc_ns)
