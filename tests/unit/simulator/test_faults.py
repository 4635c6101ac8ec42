"""What each fault looks like from outside, and how a faulty fault file is refused."""

from pathlib import Path

import numpy as np
import pytest

from adapters.api import BusSpec, SourceSpec
from adapters.can.pipeline import FramePipeline
from adapters.simulator.control import answer
from adapters.simulator.database import write_database
from adapters.simulator.faults import KINDS, Fault, load_faults
from information_model.device_map import DeviceMap, load_device_map
from information_model.quality import Quality
from information_model.validation import InvalidConfiguration

from .conftest import SHAPE, Operator

RACK = "ESS.ARR01.R001"


class Listener:
    """What a server would see of rack 1."""

    def __init__(self, someone: Operator, device: DeviceMap) -> None:
        self.someone = someone
        self.slots = {row.point: row.first for row in device.slots()}
        self.pipeline = FramePipeline(BusSpec("array1", "can", {}, (SourceSpec(RACK, 1, device, 0),)))
        self.value = np.full(device.slot_count, np.nan)
        self.quality = np.full(device.slot_count, Quality.WAITING, np.uint8)
        self.now_ns = 0

    def listen(self, seconds: float) -> None:
        for _ in range(round(seconds * 10)):
            self.someone.run(0.1)
            self.now_ns += 100_000_000
            batch = self.pipeline.feed(*self.someone.plant.frames(self.now_ns).of_bus(0))
            self.value[batch.slot], self.quality[batch.slot] = batch.value, batch.quality

    def cell(self, number: int) -> tuple[float, int]:
        at = self.slots["CellData.CellVoltages"] + number - 1
        return float(self.value[at]), int(self.quality[at])

    def scalar(self, point: str) -> tuple[float, int]:
        return float(self.value[self.slots[point]]), int(self.quality[self.slots[point]])


@pytest.fixture
def listener(operator, tmp_path: Path):
    def make(*faults: Fault) -> Listener:
        device = load_device_map(write_database(tmp_path, SHAPE.cells, SHAPE.probes, "rack"))
        return Listener(operator(1, *faults), device)

    return make


def test_a_fault_begins_and_ends_at_its_times(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="cell_over_voltage", cell=5, at_s=2.0, for_s=3.0))
    someone.listen(1.5)
    assert someone.cell(5)[0] < 3.4
    someone.listen(2.0)
    assert someone.cell(5) == (pytest.approx(3.8), Quality.GOOD)
    assert someone.cell(4)[0] < 3.4
    someone.listen(3.0)
    assert someone.cell(5)[0] < 3.4


def test_an_offset_cell_reads_high_by_its_value(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="offset_cell", cell=2, value=0.2))
    someone.listen(1.0)
    assert someone.cell(2)[0] == pytest.approx(someone.someone.plant.cells.voltage[1] + 0.2, abs=0.004)


def test_a_stuck_cell_repeats_its_last_reading(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="stuck_cell", cell=1, at_s=2.0))
    someone.listen(2.0)
    stuck, others = set(), set()
    for _ in range(8):
        someone.listen(1.0)
        stuck.add(someone.cell(1)[0])
        others.add(someone.cell(2)[0])
    assert len(stuck) == 1
    assert len(others) > 3


def test_a_bad_cell_is_marked_invalid_and_has_no_value(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="bad_cell", cell=12))
    someone.listen(1.0)
    value, quality = someone.cell(12)
    assert np.isnan(value)
    assert quality == Quality.INVALID


def test_a_glitch_is_one_sample(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="glitch", cell=3, at_s=1.0))
    seen = []
    for _ in range(40):
        someone.listen(0.1)
        seen.append(someone.cell(3)[1])
    assert seen.count(Quality.RANGE) == 10  # until the page comes again
    assert seen[-1] == Quality.GOOD


def test_a_hot_probe_reads_its_value(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="over_temperature", probe=4, value=71.5))
    someone.listen(1.0)
    first = someone.slots["CellData.CellTemperatures"]
    assert someone.value[first + 3] == pytest.approx(71.5)
    assert (someone.value[first : first + 3] < 30).all()


def test_a_current_offset_is_measured_and_does_not_flow(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="current_offset", value=7.0))
    someone.listen(1.0)
    assert someone.scalar("Measurements.DcCurrent")[0] == pytest.approx(7.0, abs=0.5)
    assert someone.someone.plant.status()[0].current_a == 0.0


def test_an_internal_short_empties_its_cell(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="internal_short", cell=6, value=50.0))
    before = someone.someone.plant.cells.charge.copy()
    someone.listen(20.0)
    lost = before - someone.someone.plant.cells.charge
    assert lost.argmax() == 5
    assert lost[5] == pytest.approx(50.0 * 20 / 3600 / 280, rel=0.1)


def test_a_runaway_cell_heats_itself_and_its_neighbours(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="thermal_runaway", cell=3, value=5000.0))
    before = someone.someone.plant.cells.temperature_degc.copy()
    someone.listen(30.0)
    risen = someone.someone.plant.cells.temperature_degc - before
    assert risen[2] > 20
    assert risen[1] > risen[0] + 0.02


def test_a_silent_rack_sends_and_hears_nothing(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="silence", at_s=3.5))
    someone.listen(3.0)
    received = int(someone.pipeline.received[0])
    someone.listen(4.0)
    assert someone.pipeline.received[0] - received <= 30
    assert someone.someone.plant.status()[0].supervision == 2


def test_wrong_check_sums_are_noticed(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="crc_errors", at_s=1.0))
    someone.listen(3.0)
    assert someone.pipeline.rejected[0] > 30
    assert someone.scalar("Measurements.DcVoltage")[1] == Quality.E2E


def test_a_frozen_counter_is_noticed(listener) -> None:
    someone = listener(Fault(rack=RACK, kind="frozen_counter", at_s=1.0))
    someone.listen(0.9)
    advances = int(someone.pipeline.advances[0])
    someone.listen(3.0)
    assert someone.pipeline.advances[0] - advances <= 2
    assert someone.pipeline.counter_errors[0] > 30


@pytest.mark.parametrize(
    ("kind", "point"),
    [
        ("interlock_open", "Safety.InterlockOpen"),
        ("fuse_open", "Protection.FuseOpen"),
        ("short_circuit", "Protection.ShortCircuitReported"),
    ],
)
def test_what_the_hardware_reports_arrives_as_a_point(listener, kind: str, point: str) -> None:
    someone = listener(Fault(rack=RACK, kind=kind, at_s=1.0))
    someone.listen(0.5)
    assert someone.scalar(point) == (0.0, Quality.GOOD)
    someone.listen(1.0)
    assert someone.scalar(point) == (1.0, Quality.GOOD)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_can_be_injected_and_cleared(operator, kind: str) -> None:
    someone = operator(2)
    someone.plant.inject(Fault(rack=RACK, kind=kind))
    someone.run(1.5)
    someone.plant.faults.clear(RACK)
    someone.run(0.2)
    effects = someone.plant.faults.effects
    assert not any((effects.any_cell, effects.silent.any(), effects.wrong_crc.any(), effects.leak_a.any()))


def test_a_fault_file_with_mistakes_names_all_of_them(operator, tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text(
        'version = 1\n[[fault]]\nrack = "ESS.ARR01.R009"\nkind = "weld"\n'
        '[[fault]]\nrack = "ESS.ARR01.R001"\nkind = "earthquake"\ncell = 13\n'
    )
    with pytest.raises(InvalidConfiguration) as error:
        load_faults(path, operator().plant.description)
    text = str(error.value)
    for part in (
        "fault[1].rack",
        "R009",
        "fault[2].kind",
        "earthquake",
        "cell_over_voltage",
        "fault[2].cell",
        "1 to 12",
    ):
        assert part in text


def test_a_fault_file_is_read_with_its_short_keys(operator, tmp_path: Path) -> None:
    path = tmp_path / "faults.toml"
    path.write_text('version = 1\n[[fault]]\nat = 5.0\nfor = 2.5\nrack = "ESS.ARR01.R001"\nkind = "silence"\n')
    (fault,) = load_faults(path, operator().plant.description)
    assert (fault.at_s, fault.for_s, fault.kind) == (5.0, 2.5, "silence")


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"inject": {}}',
        b'{"inject": {"kind": "weld", "rack": "nobody"}}',
        b'{"inject": {"kind": "weld", "rack": "ESS.ARR01.R001", "for": -1}}',
        b'{"inject": {"kind": "weld", "rack": "ESS.ARR01.R001", "value": 1e999}}',
        b'{"inject": {"kind": "weld", "rack": "ESS.ARR01.R001", "extra": 1}}',
        b'{"launch": true}',
        b"[" * 5000,
        bytes(range(256)),
    ],
)
def test_a_line_that_is_no_request_is_answered_with_an_error(operator, line: bytes) -> None:
    plant = operator().plant
    assert answer(plant, line).error
    plant.step(0.1)


def test_too_many_faults_are_refused(operator) -> None:
    plant = operator().plant
    for _ in range(1000):
        plant.inject(Fault(rack=RACK, kind="weld"))
    with pytest.raises(ValueError, match="clear some first"):
        plant.inject(Fault(rack=RACK, kind="weld"))
