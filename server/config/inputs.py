"""Which slot of which input block is which place of the image: the agreement between field processes and core.

An input block holds value, time and quality per slot (cells too). Its slots follow from the device maps alone: sources
(one rack on one bus) in the order of the buses, in each source the slots of its map.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from information_model.catalogue import Catalogue
from information_model.points.row import Kind, Level
from server.config.model import SiteFile
from server.config.racks import Rack


@dataclass(frozen=True, slots=True)
class PlannedSource:
    """A source, one rack on one bus, with its place: `index` among the sources of the process, `first_slot` in its block."""

    rack: Rack
    index: int
    first_slot: int


@dataclass(frozen=True)
class Target:
    """Slots that go to one column: `slot[i]` of the block belongs to `place[i]` of the image's column.

    `column` is "value" for scalars (place = image slot) or the name of a matrix (place = cell or probe of the site).
    `source[i]` is the source's index in the process; `period_s`, `timeout_s` come from the device map.
    """

    column: str
    slot: NDArray[np.int64]
    place: NDArray[np.int64]
    rack: NDArray[np.int64]
    source: NDArray[np.int64]
    period_s: NDArray[np.float64]
    timeout_s: NDArray[np.float64]


@dataclass(frozen=True)
class InputPlan:
    """All that one field process delivers."""

    process: str
    buses: tuple[str, ...]
    sources: tuple[PlannedSource, ...]
    slot_count: int
    targets: tuple[Target, ...]

    def columns(self) -> list[tuple[str, str, int]]:
        """Columns of the input block. See docs/formats.md."""
        n, k = self.slot_count, len(self.sources)
        return [
            ("value", "<f8", n),
            ("mono_ns", "<i8", n),
            ("quality", "|u1", n),
            *[(f"source.{name}", dtype, k) for name, dtype in SOURCE_COLUMNS],
            ("bus.alive", "|u1", len(self.buses)),
        ]

    def output_columns(self) -> list[tuple[str, str, int]]:
        """Columns of the output block to this process, one place per source."""
        return [(name, dtype, len(self.sources)) for name, dtype in OUTPUT_COLUMNS]


SOURCE_COLUMNS = (
    ("state", "|u1"),
    ("last_frame_mono_ns", "<i8"),
    ("frames_received", "<u8"),
    ("frames_rejected", "<u8"),
    ("counter_errors", "<u8"),
    ("counter_advances", "<u8"),
    ("timeouts", "<u8"),
    ("reconnects", "<u8"),
)
"""What a field process tells about each source beside its values."""

OUTPUT_COLUMNS = (
    ("desired", "|u1"),
    ("charge_limit_a", "<f8"),
    ("discharge_limit_a", "<f8"),
    ("reset_counter", "<u4"),
    ("lease_until_mono_ns", "<i8"),
    ("alive", "<u4"),
)
"""What the core asks of each source. `desired`: codes of information_model.enumerations.Desired."""


def plan_inputs(file: SiteFile, racks: Iterable[Rack], catalogue: Catalogue) -> tuple[InputPlan, ...]:
    """One plan per field process, in the order in which the site file names them."""
    by_process: dict[str, list[str]] = {}
    for name, bus in file.buses.items():
        by_process.setdefault(bus.process, []).append(name)
    racks = list(racks)
    return tuple(_plan(process, buses, racks, catalogue) for process, buses in by_process.items())


def _plan(process: str, buses: list[str], racks: list[Rack], catalogue: Catalogue) -> InputPlan:
    sources: list[PlannedSource] = []
    first = 0
    for bus in buses:
        for rack in racks:
            if rack.bus == bus:
                sources.append(PlannedSource(rack, len(sources), first))
                first += rack.map.slot_count
    return InputPlan(process, tuple(buses), tuple(sources), first, _targets(sources, catalogue))


def _targets(sources: list[PlannedSource], catalogue: Catalogue) -> tuple[Target, ...]:
    topology = catalogue.topology
    parts: dict[str, list[tuple[NDArray[np.int64], ...]]] = {}
    times: dict[str, list[tuple[float, float, int]]] = {}
    for planned in sources:
        ordinal = planned.rack.ordinal
        for point, start, count, period_s, timeout_s in planned.rack.map.slots():
            row = catalogue.row(Level.RACK, point)
            if row.matrix:
                starts = topology.cell_start if row.point.kind is Kind.CELLS else topology.probe_start
                column, base = row.matrix, int(starts[ordinal])
            else:
                column, base = "value", row.base + ordinal
            slot = planned.first_slot + start + np.arange(count)
            fill = np.full(count, ordinal), np.full(count, planned.index)
            parts.setdefault(column, []).append((slot, base + np.arange(count), *fill))
            times.setdefault(column, []).append((period_s, timeout_s, count))
    found = []
    for column, chunks in parts.items():
        slot, place, rack_of, source_of = (np.concatenate(part).astype(np.int64) for part in zip(*chunks, strict=True))
        period = np.concatenate([np.full(count, period_s) for period_s, _, count in times[column]])
        timeout = np.concatenate([np.full(count, timeout_s) for _, timeout_s, count in times[column]])
        found.append(Target(column, slot, place, rack_of, source_of, period, timeout))
    return tuple(found)
