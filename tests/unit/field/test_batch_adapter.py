"""The batch source: whole racks as numbers, once and ten times a second, obeying requests."""

from pathlib import Path

import numpy as np
import pytest

from adapters.api import Batch, BusSpec, RackRequest, SourceHealth
from adapters.batch.adapter import BatchAdapter
from adapters.errors import AdapterConfigurationError
from information_model.enumerations import CommunicationState, Desired
from server.config.maps import find_map
from server.config.site import Site
from server.field.buses import bus_spec

HERE = Path(__file__).parent
SECOND = 10**9


class Second:
    """Ticks of a batch adapter in simulated time, and all that it delivered."""

    def __init__(self, site: Site, seed: int = 1) -> None:
        spec = bus_spec(site, Path("/run"), site.inputs[0], "array1")
        self.now = 100 * SECOND
        self.adapter = BatchAdapter(BusSpec("array1", "batch", {"seed": seed}, spec.sources), clock=lambda: self.now)
        self.slots = {row.point: row.first for row in spec.sources[0].map.slots()}
        self.count = np.zeros(site.inputs[0].slot_count, np.int64)
        self.value = np.full(site.inputs[0].slot_count, np.nan)
        self.rows = [SourceHealth() for _ in spec.sources]

    def deliver(self, batch: Batch) -> None:
        np.add.at(self.count, batch.slot, 1)
        self.value[batch.slot] = batch.value
        assert (batch.mono_ns == self.now).all()

    def health(self, source: int) -> SourceHealth:
        return self.rows[source]

    def run(self, *requests: RackRequest, ticks: int = 10) -> None:
        for number in range(ticks):
            self.now += SECOND // 10
            if requests:
                self.adapter.apply(requests)
            self.adapter.tick(self, number % 10)

    def of(self, point: str) -> float:
        return float(self.value[self.slots[point]])


CLOSE = RackRequest(Desired.CLOSED, 100.0, 100.0, 0, 1, True)
OPEN = RackRequest(Desired.OPEN, 0.0, 0.0, 0, 1, True)


def test_scalars_come_ten_times_and_matrices_once_a_second(site: Site) -> None:
    second = Second(site)
    second.run()
    cells_and_probes = 12 + 4
    for first in (0, 28):
        assert (second.count[first : first + cells_and_probes] == 1).all()
        assert (second.count[first + cells_and_probes : first + 28] == 10).all()
    assert not np.isnan(second.value).any()
    assert all(row.state == CommunicationState.GOOD and row.counter_advances == 10 for row in second.rows)


def test_values_are_plausible_and_move(site: Site) -> None:
    second = Second(site)
    second.run()
    cells = second.value[:12].copy()
    assert ((cells > 3.2) & (cells < 3.4)).all()
    assert second.of("Measurements.DcVoltage") == pytest.approx(cells.sum(), abs=0.3)
    second.run()
    assert (second.value[:12] != cells).sum() > 6


def test_the_same_seed_gives_the_same_values(site: Site) -> None:
    runs = [Second(site, seed) for seed in (1, 1, 2)]
    for run in runs:
        run.run()
    assert np.array_equal(runs[0].value, runs[1].value)
    assert not np.array_equal(runs[0].value, runs[2].value)


def test_a_rack_closes_and_opens_as_requested_and_carries_current_within_its_limits(site: Site) -> None:
    second = Second(site)
    second.run(CLOSE, OPEN)
    positions = "Contactors.Positive.Position", "Contactors.Negative.Position", "Contactors.Precharge.Position"
    assert [second.of(point) for point in positions] == [2, 2, 1]
    assert second.of("Measurements.BusVoltage") == pytest.approx(second.of("Measurements.DcVoltage"), abs=0.5)
    assert 1 < abs(second.of("Measurements.DcCurrent")) <= 101
    assert abs(second.value[28 + second.slots["Measurements.DcCurrent"]]) < 1
    second.run(OPEN, OPEN, ticks=1)
    assert [second.of(point) for point in positions] == [1, 1, 1]


def test_without_renewed_requests_the_current_ends_after_one_second_and_the_racks_open_after_six(site: Site) -> None:
    second = Second(site)
    second.run(CLOSE, CLOSE)
    second.run(ticks=12)
    assert abs(second.of("Measurements.DcCurrent")) < 1
    assert second.of("Contactors.Positive.Position") == 2
    second.run(ticks=50)
    assert second.of("Contactors.Positive.Position") == 1


@pytest.mark.parametrize("options", [{"seed": "one"}, {"seed": -1}, {"seed": True}, {"sead": 1}])
def test_options_that_do_not_exist_are_refused(site: Site, options: dict) -> None:
    spec = bus_spec(site, Path("/run"), site.inputs[0], "array1")
    with pytest.raises(AdapterConfigurationError, match="seed"):
        BatchAdapter(BusSpec("array1", "batch", options, spec.sources))


def test_another_number_of_requests_than_racks_is_refused(site: Site) -> None:
    with pytest.raises(ValueError, match="1 requests for 2 sources"):
        Second(site).adapter.apply([OPEN])


def test_a_map_with_a_point_that_cannot_be_made_is_refused(site: Site) -> None:
    device = find_map("gridbms_rack.toml", HERE)
    strange = device.scalar[0].model_copy(update={"point": "Thermal.FanFault"})
    device = device.model_copy(update={"scalar": (strange,)})
    source = bus_spec(site, Path("/run"), site.inputs[0], "array1").sources[0]
    changed = type(source)(source.name, source.node, device, 0)
    with pytest.raises(AdapterConfigurationError, match=r"Thermal\.FanFault"):
        BatchAdapter(BusSpec("array1", "batch", {}, (changed,)))
