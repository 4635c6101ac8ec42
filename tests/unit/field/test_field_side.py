"""Slots, buses, hosts, plant and lockstep of the field side, without processes."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from adapters import back_off
from adapters.api import Batch, BusSpec, RackRequest, Sink
from information_model.enumerations import CommunicationState
from information_model.quality import Quality
from information_model.validation import InvalidConfiguration
from server.config.site import Site, read_draft
from server.field import buses
from server.field import host as hosts
from server.field.buses import bus_spec, check_buses, resolved_options
from server.field.inputs import BusSink, Inputs, Slots
from server.field.lockstep import LockstepField
from server.field.plant import check_plant, plant_description, plant_faults, plant_sockets
from server.runtime.block import Layout, Reader

from .conftest import SITE, write_site


def batch(slots: Sequence[int], values: Sequence[float], mono_ns: int = 5) -> Batch:
    count = len(slots)
    return Batch(
        np.array(slots, np.int64), np.array(values), np.full(count, mono_ns, np.int64), np.zeros(count, np.uint8)
    )


def read(site: Site, run: Path) -> dict[str, np.ndarray]:
    (plan,) = site.inputs
    into = {name: np.zeros(length, dtype) for name, dtype, length in plan.columns()}
    Reader(run / "inputs-field1", Layout(plan.columns())).read(into)
    return into


def test_a_slot_without_a_value_is_waiting_and_not_a_number(site: Site, tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, site.inputs[0])
    inputs.publish()
    block = read(site, tmp_path)
    assert np.isnan(block["value"]).all()
    assert (block["quality"] == Quality.WAITING).all()
    assert (block["source.state"] == CommunicationState.NEVER_SEEN).all()
    assert block["bus.alive"].tolist() == [0]
    inputs.close()


async def test_a_delivery_is_published_by_itself_and_soon(site: Site, tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, site.inputs[0])
    inputs.sink("array1").deliver(batch([3, 3, 4], [1.0, 2.0, 7.0]))
    async with asyncio.timeout(5):
        while not inputs.published:
            await asyncio.sleep(0)
    block = read(site, tmp_path)
    assert block["value"][[3, 4]].tolist() == [2.0, 7.0]  # the last value for a slot holds
    assert block["mono_ns"][3] == 5
    inputs.close()


async def test_what_comes_within_the_coalescing_time_is_published_once(site: Site, tmp_path: Path) -> None:
    inputs = Inputs(tmp_path, site.inputs[0], clock=lambda: 10**9)
    inputs.publish()
    for value in range(50):
        inputs.take(batch([0], [value]))
    async with asyncio.timeout(5):
        while inputs.published < 2:
            await asyncio.sleep(0)
    assert read(site, tmp_path)["value"][0] == 49
    assert inputs.published == 2
    inputs.close()


def test_a_bus_is_alive_while_one_of_its_sources_is(site: Site) -> None:
    slots = Slots(site.inputs[0])
    columns = {name: np.zeros(length, dtype) for name, dtype, length in site.inputs[0].columns()}
    BusSink(slots.take, slots.health_of("array1")).health(1).state = CommunicationState.LATE
    slots.fill(columns, 10**9)
    assert columns["bus.alive"].tolist() == [1]
    assert columns["source.state"].tolist() == [0, 2]
    slots.health[1].state = CommunicationState.LOST
    slots.fill(columns, 2 * 10**9)
    assert columns["bus.alive"].tolist() == [0]


def test_placeholders_stand_for_run_directory_and_folder_of_the_site(site: Site, tmp_path: Path) -> None:
    run = Path("/run/somewhere")
    assert resolved_options(site, run, "array1")["channel"] == "/run/somewhere/plant/array1.sock"
    assert plant_sockets(site, run) == {"array1": Path("/run/somewhere/plant/array1.sock")}
    other = write_site(tmp_path, SITE.replace("{run}/plant", "{site}/x"))
    assert resolved_options(other, run, "array1")["channel"] == f"{tmp_path.resolve()}/x/array1.sock"


def test_a_bus_specification_has_the_slots_of_the_plan(site: Site) -> None:
    spec = bus_spec(site, Path("/run"), site.inputs[0], "array1")
    assert [(source.name, source.node, source.first_slot) for source in spec.sources] == [
        ("ESS.ARR01.R001", 1, 0),
        ("ESS.ARR01.R002", 2, 28),
    ]


def test_mistakes_of_adapters_are_found_without_opening_anything(site: Site, tmp_path: Path) -> None:
    assert check_buses(read_draft(site.path)) == []
    site.path.write_text(SITE.replace('interface = "gridbms-plant", ', ""))
    (problem,) = check_buses(read_draft(site.path))
    assert problem.key == "buses.array1.options.interface"
    (tmp_path / "tiny.dbc").write_text("no database")
    database, options = check_buses(read_draft(site.path))
    assert options == problem
    assert database.key == "map tiny.toml: dbc"
    assert "tiny.dbc" in database.given


def test_a_map_that_several_buses_use_is_told_once(site: Site, tmp_path: Path) -> None:
    bus = SITE[SITE.index("[buses.array1]") : SITE.index("[[arrays]]")]
    text = SITE.replace(bus, bus + bus.replace("array1", "array2"))
    rows = text[text.index("[[arrays]]") : text.index("[simulator]")]
    site.path.write_text(
        text.replace(rows, rows + rows.replace("number = 1", "number = 2").replace("array1", "array2"))
    )
    device = tmp_path / "tiny.toml"
    device.write_text(device.read_text().replace('signal = "DcVoltage"', 'signal = "Voltage"'))
    draft = read_draft(site.path)
    assert len(draft.racks) == 4
    (problem,) = check_buses(draft)
    assert problem.key == "map tiny.toml: scalar Measurements.DcVoltage.signal"


def test_nodes_that_a_bus_cannot_tell_apart_are_told_beside_a_refused_option(site: Site, tmp_path: Path) -> None:
    device = tmp_path / "tiny.toml"
    device.write_text(device.read_text().replace("node_offset = 1", "node_offset = 0"))
    site.path.write_text(SITE.replace('"gridbms-plant"', '"nosuchdriver"'))
    keys = [problem.key for problem in check_buses(read_draft(site.path))]
    assert keys[0] == "buses.array1.options.interface"
    assert set(keys[1:]) == {"buses.array1: node"}


def with_two_buses(adapter: str, first: str, second: str) -> str:
    """The site with a rack on each of two buses."""
    bus = SITE[SITE.index("[buses.array1]") : SITE.index("[[arrays]]")]
    buses_ = "".join(
        f'[buses.{name}]\nadapter = "{adapter}"\noptions = {{ {options} }}\n'
        for name, options in (("east", first), ("west", second))
    )
    row = SITE[SITE.index("[[arrays.racks]]") : SITE.index("[simulator]")]
    rows = row.replace('"1-2"', '"1"').replace("array1", "east") + row.replace('"1-2"', '"2"').replace("array1", "west")
    return SITE[: SITE.index("[simulator]")].replace(bus, buses_).replace(row, rows)


@pytest.mark.parametrize(
    ("adapter", "first", "second", "same"),
    [
        (
            "can",
            'interface = "socketcan", channel = "can0"',
            'interface = "socketcan", channel = "can0"',
            "socketcan can0",
        ),
        (
            "can",
            'interface = "kvaser", channel = 0',
            'interface = "kvaser", channel = "0", bitrate = 250000',
            "kvaser 0",
        ),
        ("can", 'interface = "pcan"', 'interface = "pcan", fd = true', "pcan"),
        ("can", 'interface = "socketcan", channel = "can0"', 'interface = "socketcan", channel = "can1"', None),
        ("can", 'interface = "vector", channel = 0, serial = 1', 'interface = "vector", channel = 0, serial = 2', None),
        ("can", 'interface = "pcan", device_id = 1', 'interface = "pcan", device_id = 2', None),
        (
            "can",
            'interface = "virtual", channel = "{run}/x"',
            'interface = "virtual", channel = "/run/x"',
            "virtual /run/x",
        ),
        # A file may be replayed twice, and numbers come from no device.
        ("replay", 'file = "a.log"', 'file = "a.log"', None),
        ("batch", "seed = 1", "seed = 1", None),
    ],
)
def test_two_names_of_one_bus_are_a_mistake(
    site: Site, adapter: str, first: str, second: str, same: str | None
) -> None:
    site.path.write_text(with_two_buses(adapter, first, second))
    found = [problem for problem in check_buses(read_draft(site.path)) if problem.key == "buses.west.options"]
    assert [problem.given for problem in found] == ([] if same is None else [same])
    assert all("Buses east and west are the same" in problem.remedy for problem in found)


class Fragile:
    """An adapter plug-in that does not say what it dislikes."""

    def __init__(self, bus: BusSpec) -> None:
        raise TypeError("unexpected keyword")


def test_an_adapter_that_fails_while_it_is_made_is_a_mistake_like_others(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buses, "create_adapter", Fragile)
    (problem,) = check_buses(read_draft(site.path))
    assert problem.key == "buses.array1.adapter"
    assert "unexpected keyword" in problem.remedy


def test_every_mistake_of_the_plant_comes_at_once(site: Site, tmp_path: Path) -> None:
    options = '{ interface = "gridbms-plant", channel = "{run}/plant/array1.sock" }'
    text = SITE.replace(options, '{ interface = "gridbms-plant", chanel = "x", wait_s = "long" }')
    text = text.replace('map = "tiny.toml"', 'map = "tiny.toml"\nnode = 9000').replace(
        'numbers = "1-2"', 'numbers = "1"'
    )
    site.path.write_text(text + 'faults = "faults.toml"\n')
    (tmp_path / "faults.toml").write_text('version = 1\n[[fault]]\nrack = "ESS.ARR01.R009"\nkind = "wield"\nfro = 1\n')
    found = {problem.key: problem for problem in check_plant(read_draft(site.path))}
    assert set(found) == {
        "buses.array1.options.chanel",
        "buses.array1.options.channel",
        "buses.array1.options.wait_s",
        "simulator",
        f"simulator.faults ({tmp_path / 'faults.toml'}): fault[1].fro",
    }
    assert found["buses.array1.options.chanel"].remedy == "Did you mean channel?"
    assert "node 9000" in found["simulator"].given


def test_faults_are_checked_with_the_racks_that_are_known(site: Site, tmp_path: Path) -> None:
    wrong = '[[fault]]\nrack = "ESS.ARR01.R009"\nkind = "wield"\n[[fault]]\nrack = "ESS.ARR01.R001"\nkind = "weld"\ncell = 99\n'
    (tmp_path / "faults.toml").write_text("version = 1\n" + wrong)
    site.path.write_text(SITE + 'faults = "faults.toml"\n')
    keys = [problem.key.rpartition(" ")[2] for problem in check_plant(read_draft(site.path))]
    assert keys == ["fault[1].kind", "fault[1].rack", "fault[2].cell"]
    other = '[[arrays.racks]]\nnumbers = "9"\ntype = "tiny"\nbus = "array1"\nmap = "tiny.toml"\n'
    site.path.write_text(SITE.replace("[simulator]", f"{other}[simulator]") + 'faults = "faults.toml"\n')
    keys = [problem.key.rpartition(" ")[2] for problem in check_plant(read_draft(site.path))]
    assert keys == ["fault[1].kind", "fault[2].cell"], "rack 9 is there, only its type is wrong"


def test_a_simulator_without_a_simulated_bus_is_a_mistake(site: Site) -> None:
    site.path.write_text(SITE.replace('"gridbms-plant"', '"virtual"'))
    (problem,) = check_plant(read_draft(site.path))
    assert "no rack is on a simulated bus" in problem.given


def test_the_plant_of_a_site_has_its_racks_and_settings(site: Site) -> None:
    plant = plant_description(site)
    assert [(rack.element, rack.bus, rack.node, rack.shape.cells) for rack in plant.racks] == [
        ("ESS.ARR01.R001", "array1", 1, 12),
        ("ESS.ARR01.R002", "array1", 2, 12),
    ]
    assert (plant.seed, plant.profile, plant.connected) == (3, "full_cycle", False)


def test_a_site_without_a_simulated_bus_has_no_plant(tmp_path: Path) -> None:
    text = SITE.replace('"gridbms-plant"', '"virtual"')
    with pytest.raises(InvalidConfiguration, match="no rack is on a simulated bus"):
        plant_description(write_site(tmp_path, text))


def test_scripted_faults_lie_beside_the_site_file(tmp_path: Path) -> None:
    site = write_site(tmp_path, SITE + 'faults = "faults.toml"\n')
    with pytest.raises(InvalidConfiguration, match=r"faults\.toml"):
        plant_faults(site)
    (tmp_path / "faults.toml").write_text('version = 1\n[[fault]]\nrack = "ESS.ARR01.R002"\nkind = "weld"\n')
    assert [fault.rack for fault in plant_faults(site)] == ["ESS.ARR01.R002"]


class Failing:
    """An adapter plug-in with every fault that one can have."""

    starts: ClassVar[list[int]] = []

    def __init__(self, bus: BusSpec) -> None:
        self.starts.append(len(self.starts))

    async def run(self, sink: Sink) -> None:
        match self.starts[-1]:
            case 0:
                return
            case 1:
                raise ExceptionGroup("both", [KeyError("x"), OSError(5, "io")])
            case 2:
                raise ZeroDivisionError
        sink.deliver(batch([0], [1.0]))
        await asyncio.get_running_loop().create_future()

    def apply(self, requests: Sequence[RackRequest]) -> None:
        raise RuntimeError("not today")


async def test_an_adapter_that_fails_is_started_again_and_told_once(
    site: Site, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    Failing.starts.clear()
    monkeypatch.setattr(hosts, "create_adapter", Failing)
    monkeypatch.setattr(back_off, "SHORTEST_PAUSE_S", 0.001)
    slots = Slots(site.inputs[0])
    spec = bus_spec(site, Path("/run"), site.inputs[0], "array1")
    host = hosts.BusHost(spec, BusSink(slots.take, slots.health))
    task = asyncio.create_task(host.run())
    async with asyncio.timeout(10):
        while np.isnan(slots.value[0]):
            await asyncio.sleep(0)
    host.apply([])
    host.apply([])
    assert len(Failing.starts) == 4
    assert [record.levelname for record in caplog.records] == ["ERROR", "ERROR"]
    assert "ended by itself" in caplog.text
    assert "not today" in caplog.text
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_bus_whose_configuration_is_wrong_stays_absent(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    slots = Slots(site.inputs[0])
    spec = BusSpec("array1", "telepathy", {}, bus_spec(site, Path("/run"), site.inputs[0], "array1").sources)
    await hosts.BusHost(spec, BusSink(slots.take, slots.health)).run()
    assert "telepathy" in caplog.text
    assert slots.health[0].detail == "the configuration of the bus is wrong"


def test_in_lockstep_a_core_closes_racks_and_reads_their_cells(site: Site) -> None:
    field = LockstepField(site)
    (plan,) = site.inputs
    out = {name: np.zeros(length, dtype) for name, dtype, length in plan.output_columns()}
    now = 10**9
    for cycle in range(40):
        now += 10**8
        columns = field.step(0.1, now)["field1"]
        out["desired"][:], out["alive"][:] = 2, cycle
        out["charge_limit_a"][:] = out["discharge_limit_a"][:] = 80.0
        out["lease_until_mono_ns"][:] = now + 10**9
        field.apply({"field1": out}, now)
    assert (columns["quality"] == Quality.GOOD).all()
    assert columns["value"][:12] == pytest.approx(field.plant.cells.voltage[:12], abs=0.01)
    assert columns["source.state"].tolist() == [1, 1]
    assert [rack.state for rack in field.plant.status()] == [3, 3]
    for _ in range(20):
        now += 10**8
        field.step(0.1, now)
    assert all(rack.limits_a == (0.0, 0.0) for rack in field.plant.status())
