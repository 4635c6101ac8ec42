"""The plant behaves as a battery: charge moves, voltages follow, limits hold; the same seed gives the same plant."""

import numpy as np
import pytest

from adapters.api import BusSpec, SourceSpec
from adapters.can.pipeline import FramePipeline
from adapters.simulator.cell import OcvTable
from adapters.simulator.database import write_database
from adapters.simulator.description import PlantDescription
from adapters.simulator.layout import RequestWord
from adapters.simulator.plant import SimulatedPlant
from adapters.simulator.rack import Command
from information_model.device_map import load_device_map
from information_model.enumerations import OperatingState
from information_model.topology import RackShape

from .conftest import SHAPE, rack_description


def test_the_same_seed_gives_the_same_frames_and_another_seed_others(operator) -> None:
    def frames(seed: int) -> bytes:
        someone = operator(2, seed=seed, profile="frequency_regulation")
        someone.run(5.0)
        return someone.plant.frames(1).columns.data.tobytes()

    assert frames(1) == frames(1)
    assert frames(1) != frames(2)


@pytest.mark.parametrize("chemistry", ["LFP", "NMC"])
def test_open_circuit_voltage_rises_with_charge(chemistry: str) -> None:
    volts = OcvTable(chemistry)(np.linspace(-0.1, 1.1, 500))
    assert (np.diff(volts) >= 0).all()
    low, high = OcvTable(chemistry)(np.array([0.05, 0.95]))
    assert 3.0 < low < high < 4.25


def test_discharging_takes_as_much_charge_as_flows(operator) -> None:
    someone = operator(1, start_soc=90.0, profile="peak_shaving")
    someone.closed()
    someone.plant.time_s = 5.5 * 3600  # 17:30, the evening peak
    someone.plant.controls[0]._valid_s = someone.plant.time_s
    before, flowed = someone.plant.status()[0].charge, 0.0
    for _ in range(600):
        flowed += someone.run(0.1)[0].current_a * 0.1
    after = someone.plant.status()[0].charge
    assert flowed > 2000
    assert before - after == pytest.approx(flowed / 3600 / 280, rel=0.02)


def test_current_lowers_the_voltage_and_rest_brings_most_of_it_back(operator) -> None:
    someone = operator(1, profile="full_cycle")
    resting = someone.closed()[0].voltage_v
    charging = someone.run(60.0)[0]
    assert charging.current_a < -90
    assert charging.voltage_v > resting + 0.2
    someone.limit_a = 0.0
    assert someone.run(60.0)[0].voltage_v < charging.voltage_v - 0.2


@pytest.mark.parametrize("limit_a", [80.0, 12.5, 0.0])
def test_the_converter_keeps_every_rack_inside_its_commanded_limit(operator, limit_a: float) -> None:
    someone = operator(3, profile="full_cycle")
    someone.run(10.0)
    someone.limit_a = limit_a
    racks = someone.run(1.0)
    assert all(abs(rack.current_a) <= limit_a + 0.1 for rack in racks) or limit_a == 0
    assert max(-rack.current_a for rack in racks) == pytest.approx(limit_a, abs=1.0)
    assert sum(rack.current_a for rack in racks) == pytest.approx(-3 * limit_a, rel=0.05, abs=0.3)


def test_closed_racks_of_an_array_have_one_voltage_and_open_racks_no_current(operator) -> None:
    someone = operator(3, profile="full_cycle")
    someone.plant.controls[2].defects.blocked = (True, True, True)
    first, second, third = someone.run(6.0)
    assert first.voltage_v == pytest.approx(second.voltage_v, abs=1e-6)
    assert first.bus_voltage_v == third.bus_voltage_v == pytest.approx(first.voltage_v, abs=1e-6)
    assert third.current_a == 0.0


def test_arrays_do_not_see_each_other() -> None:
    racks = (rack_description(1, 1), rack_description(1, 2))
    plant = SimulatedPlant(PlantDescription(racks, connected=True))
    plant.controls[1] = SimulatedPlant(PlantDescription(racks)).controls[1]
    plant.step(1.0)
    assert plant.status()[0].bus_voltage_v > 30
    for _ in range(60):
        plant.step(1.0)
    assert plant.status()[1].bus_voltage_v < 1


def test_cells_warm_up_under_current_and_the_coolant_carries_it_away(operator) -> None:
    someone = operator(1, profile="full_cycle", ambient_degc=20.0)
    someone.closed()
    before = someone.plant.cells.temperature_degc.mean()
    for _ in range(1800):
        someone.alive = (someone.alive + 1) % 256
        someone.run(0.1)
        someone.plant.step(0.9)
    assert someone.plant.cells.temperature_degc.mean() > before + 0.5
    assert someone.plant.cells.outlet_degc[0] > someone.plant.cells.inlet_degc


def test_charging_stays_bounded_in_the_cells_own_range(operator) -> None:
    someone = operator(1, profile="full_cycle", start_soc=96.0)
    someone.run(120.0)
    assert np.isfinite(someone.plant.cells.voltage).all()
    assert someone.plant.cells.voltage.max() < 4.0


@pytest.mark.parametrize("profile", ["rest", "frequency_regulation", "peak_shaving", "full_cycle"])
def test_every_profile_runs_and_stays_inside_the_rating(operator, profile: str) -> None:
    someone = operator(2, profile=profile)
    someone.limit_a = 140.0
    highest = max(abs(rack.current_a) for _ in range(60) for rack in someone.run(1.0))
    assert highest <= 141
    assert (highest < 1) == (profile in ("rest", "peak_shaving"))


def test_every_cell_and_probe_is_sent_once_a_second_and_decodes_to_the_truth(tmp_path) -> None:
    device = load_device_map(write_database(tmp_path, SHAPE.cells, SHAPE.probes, "rack"))
    racks = tuple(rack_description(number) for number in (1, 2))
    plant = SimulatedPlant(PlantDescription(racks))
    sources = tuple(
        SourceSpec(rack.element, rack.node, device, number * device.slot_count) for number, rack in enumerate(racks)
    )
    pipeline = FramePipeline(BusSpec("array1", "can", {}, sources))
    seen = np.zeros(2 * device.slot_count, np.int64)
    value = np.full(2 * device.slot_count, np.nan)
    for tick in range(10):
        plant.step(0.1)
        batch = pipeline.feed(*plant.frames(tick).of_bus(0))
        assert (batch.quality == 0).all()
        np.add.at(seen, batch.slot, 1)
        value[batch.slot] = batch.value
    cells, probes = SHAPE.cells, SHAPE.probes
    for rack in range(2):
        first = rack * device.slot_count
        assert (seen[first : first + cells + probes] == 1).all()
        truth = plant.cells.voltage[rack * cells : (rack + 1) * cells]
        assert value[first : first + cells] == pytest.approx(truth, abs=0.004)
    assert pipeline.counters.unknown_ids == pipeline.counters.crc_or_counter == 0


def test_a_long_step_sends_every_page_once() -> None:
    plant = SimulatedPlant(PlantDescription((rack_description(1),)))
    plant.step(1.0)
    pages = plant.frames(1).columns
    paged = ((pages.ids >> 8) & 0xFF) == 3
    assert sorted(pages.data[paged, 0].tolist()) == list(range(4))


@pytest.mark.parametrize("dt_s", [0.1, 0.5, 0.9])
def test_racks_close_in_the_same_time_whatever_the_step(operator, dt_s: float) -> None:
    someone = operator(2)
    plant, state = someone.plant, 0
    while state != OperatingState.CLOSED and plant.time_s < 5:
        someone.alive += 1
        for rack in plant.description.racks:
            plant.command(rack.bus, rack.node, Command(RequestWord.CLOSE, 50.0, 50.0, 0, someone.alive))
        plant.step(dt_s)
        state = min(rack.state for rack in plant.status())
    assert plant.time_s < 3.0


def test_racks_of_other_shapes_and_chemistries_live_in_one_plant() -> None:
    racks = (rack_description(1), rack_description(2, 1, RackShape(1, 7, 0)))
    nmc = type(racks[0])(
        **{
            **{n: getattr(racks[0], n) for n in racks[0].__slots__},
            "node": 3,
            "chemistry": "NMC",
            "element": "ESS.ARR02.R001",
            "bus": "array2",
        }
    )
    plant = SimulatedPlant(PlantDescription((*racks, nmc)))
    plant.step(0.1)
    first, second, third = plant.status()
    assert second.voltage_v == pytest.approx(first.voltage_v * 7 / 12, rel=0.01)
    assert third.voltage_v > first.voltage_v + 4
    assert len(plant.frames(1).of_bus(1).ids) > 2


@pytest.mark.parametrize(
    ("racks", "message"),
    [
        ((), "no rack"),
        ((rack_description(256),), "node 256"),
        ((rack_description(1), rack_description(1)), "several racks"),
        ((rack_description(1, 1, RackShape(8, 97, 1)),), "at most"),
        ((rack_description(1, 1, RackShape(1, 1, 769)),), "768 probes"),
    ],
)
def test_a_plant_that_the_wire_cannot_carry_is_refused(racks, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        PlantDescription(racks)


@pytest.mark.parametrize("dt_s", [0.0, -0.1, 1.5, float("nan")])
def test_a_step_of_impossible_length_is_refused(operator, dt_s: float) -> None:
    with pytest.raises(ValueError, match="plant step"):
        operator().plant.step(dt_s)


def test_random_frames_change_nothing(operator) -> None:
    someone = operator()
    someone.closed()
    rng = np.random.default_rng(5)
    for _ in range(200):
        count = int(rng.integers(0, 50))
        ids = rng.integers(0, 1 << 32, count, np.uint32)
        ids[::2] = (ids[::2] & 0xFF) | 0x98F01000
        someone.plant.receive("array1", ids, rng.integers(0, 256, (count, 8), np.uint8))
        someone.desired = RequestWord.CLOSE
        someone.run(0.1)
    assert someone.plant.status()[0].state == 3
