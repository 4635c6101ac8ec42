"""Device maps: what a correct one means, and what a wrong one is told."""

import pickle
import textwrap
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.api import BusSpec
from adapters.can.tables import DecodeTables
from adapters.errors import AdapterConfigurationError
from information_model import device_map as device_map_module
from information_model.device_map import DeviceMap, load_device_map
from information_model.validation import InvalidConfiguration, validate
from server.config.maps import find_map

from .conftest import RACK_DBC, RACK_MAP

HERE = Path(__file__).parent
MAPS = HERE.parents[2] / "adapters" / "maps"


def test_matrices_take_one_slot_per_element_and_scalars_follow(rack_map: DeviceMap) -> None:
    rows = [tuple(row) for row in rack_map.slots()]
    assert rows == [
        ("CellData.CellVoltages", 0, 4, 0.1, 1.0),
        ("Measurements.DcCurrent", 4, 1, 0.1, 1.0),
        ("Status.ContactorState", 5, 1, 0.1, 1.0),
    ]
    assert rack_map.slot_count == 6


def test_the_example_in_the_description_of_the_format_is_a_correct_map() -> None:
    lines = (device_map_module.__doc__ or "").partition("Rules:")[0].splitlines()
    example = "\n".join(line for line in lines if line.startswith("    "))
    found = validate(DeviceMap, tomllib.loads(textwrap.dedent(example)), "example")
    assert [row.point for row in found.slots()] == [
        "CellData.CellVoltages", "Measurements.DcCurrent", "Status.ContactorState",
    ]  # fmt: skip
    assert found.command[0].signals["Alive"] == "alive"


def test_a_map_survives_the_way_to_another_process_with_its_database(rack_map: DeviceMap) -> None:
    copy = pickle.loads(pickle.dumps(rack_map))
    assert copy == rack_map
    assert copy.dbc_path == rack_map.dbc_path


@pytest.mark.parametrize("name", sorted(path.name for path in MAPS.glob("*.toml")))
def test_every_shipped_map_fits_its_database(name: str, make_bus: Callable[..., BusSpec]) -> None:
    device_map = find_map(name, HERE)
    tables = DecodeTables(make_bus(device_map).sources)
    assert sorted(set(tables.signal_slot.tolist())) == list(range(device_map.slot_count))


def test_an_unknown_shipped_map_is_refused_with_the_names_that_exist() -> None:
    with pytest.raises(InvalidConfiguration, match=r"given 'nope'; expected .*tesla_model_s\.toml"):
        find_map("nope", HERE)


def test_all_mistakes_are_told_at_once_with_key_value_expectation_and_remedy(
    make_map: Callable[..., DeviceMap],
) -> None:
    toml = (
        RACK_MAP.replace("count = 4", "count = 0")
        .replace("sign = -1", "sign = 2")
        .replace('kind = "can"', 'knd = "can"')
        .replace("range = [1.5, 4.5]", "range = [4.5, 1.5]")
        .replace("0x3 = 2", "three = 2")
        .replace("over = 7, data_id = 0x21", "over = 9")
        .replace('Counter = "alive"', 'Counter = "heart"')
    )
    with pytest.raises(InvalidConfiguration) as caught:
        make_map(toml)
    found = {problem.key: str(problem) for problem in caught.value.problems}
    assert set(found) == {
        "kind", "knd", "matrix[1].range", "matrix[1].count", "scalar[1].sign", "scalar[2].codes", "check[1].crc.over",
        "command[1].signals.Counter",
    }  # fmt: skip
    assert found["matrix[1].count"] == "matrix[1].count: given 0; expected a number of at least 1. Raise the value."
    assert "Did you mean kind?" in found["knd"]
    assert "discharge as negative" in found["scalar[1].sign"]
    assert "charge_limit_a" in found["command[1].signals.Counter"]


@pytest.mark.parametrize(
    ("replaced", "by", "key", "message"),
    [
        ("timeout = 1.0", "timeout = 0.01", "matrix[1].timeout", "a timeout of at least the period, 0.1 s"),
        ("range = [1.5, 4.5]", "range = [4.5, 1.5]", "matrix[1].range", "low below high"),
        ("sign = -1", "sign = -1\nscale = 0.0", "scalar[1].scale", "other than 0"),
        ("period = 0.1\ntimeout", "period = nan\ntimeout", "matrix[1].period", "finite"),
        (r"'Cell_(\d+)'", r"'Cell_\d+'", "matrix[1].signal", "exactly one group"),
        (r"'Cell_(\d+)'", r"'Cell_(\d+'", "matrix[1].signal", "a regular expression"),
        ("0x3 = 2", "0x0 = 2", "scalar[2].codes", "each code once"),
        ('dbc = "rack.dbc"', 'dbc = "../rack.dbc"', "dbc", "text of the form"),
        ('counter = { signal = "Alive", modulo = 15 }\n', "", "check[1].liveness", "a counter where liveness is true"),
        (
            'counter = { signal = "Alive", modulo = 15 }',
            "counter = { start = 48 }",
            "check[1].counter",
            "either signal or start and length",
        ),
        (
            'counter = { signal = "Alive", modulo = 15 }',
            "counter = { start = 62, length = 4 }",
            "check[1].counter.length",
            "at most 2 after start 62",
        ),
        (
            'counter = { signal = "Alive", modulo = 15 }',
            "counter = { start = 48, length = 3, modulo = 9 }",
            "check[1].counter.modulo",
            "modulo of at most 8",
        ),
        ('point = "Status.ContactorState"', 'point = "Measurements.DcCurrent"', "scalar[2].point", "each point once"),
        (", open = { Desired = 1 }", "", "command[1].safe.open", "Say what is sent while the rack must open"),
        ("open = { Desired = 1 }", "open = {}", "command[1].safe.open", "at least 1 entries"),
        ("open = { Desired = 1 }", "open = { Desird = 1 }", "command[1].safe.open.Desird", "Did you mean Desired?"),
        ("codes = { Desired", "codes = { Wanted", "command[1].codes.Wanted", "Add Wanted to signals"),
        ("version = 1", "version = 2", "version", "This program reads format version 1"),
        ("version = 1", "version = ", "(file)", "TOML 1.0"),
    ],
)
def test_a_contradiction_is_named(
    make_map: Callable[..., DeviceMap], replaced: str, by: str, key: str, message: str
) -> None:
    with pytest.raises(InvalidConfiguration) as caught:
        make_map(RACK_MAP.replace(replaced, by, 1))
    (problem,) = caught.value.problems
    assert problem.key == key
    assert message in str(problem)


def test_what_stands_there_twice_is_told_at_the_second_place(make_map: Callable[..., DeviceMap]) -> None:
    check = RACK_MAP[RACK_MAP.index("[[check]]") : RACK_MAP.index("[[command]]")]
    with pytest.raises(InvalidConfiguration) as caught:
        make_map(RACK_MAP.replace("[[command]]", f"{check}[[command]]").replace("sign = -1", "sign = 2"))
    found = {problem.key: problem.remedy for problem in caught.value.problems}
    assert set(found) == {"scalar[1].sign", "check[2].message", "check[2].liveness"}
    assert "check[1] has it already" in found["check[2].message"]


def test_a_map_without_points_is_refused(make_map: Callable[..., DeviceMap]) -> None:
    with pytest.raises(InvalidConfiguration, match="at least one matrix or scalar"):
        make_map(RACK_MAP[: RACK_MAP.index("[[matrix]]")])


@pytest.mark.parametrize("content", [None, b"\xff\xfe", b"x = " + b"9" * 5000, b"x = " + b"[" * 5000])
def test_a_file_that_cannot_be_read_is_one_clear_problem(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "map.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InvalidConfiguration) as caught:
        load_device_map(path)
    assert [problem.key for problem in caught.value.problems] == ["(file)"]
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("replaced", "by", "message"),
    [
        ("count = 4", "count = 6", "a signal for each of 6 elements; none for 5, 6"),
        ("count = 4", "count = 4\nfirst = 2", "at most the number in Cell_1"),
        ('signal = "Current"', 'signal = "current"', "a signal of rack.dbc. Correct the name, case matters"),
        ('signal = "Current"', 'signal = "Current"\nmessage = "Sttus"', "a message of rack.dbc"),
        ('message = "Status"', 'message = "Stat"', "given 'Stat'"),
        ('signal = "Alive", modulo = 15', 'signal = "Alve"', "a whole-number signal of Status"),
        ("modulo = 15 }\nliveness", "modulo = 17 }\nliveness", "2 to 16"),
        ('Reset = "reset_counter"', 'Rest = "reset_counter"', "a signal of Request"),
        ('dbc = "rack.dbc"', 'dbc = "absent.dbc"', "Put the DBC beside the map"),
        (
            "invalid = [0xFFFF]",
            "invalid = [0x10000]",
            r"matrix CellData.CellVoltages.invalid: given 65536; .*0 to 65535",
        ),
        ("0x3 = 2", "0x10 = 2", r"scalar Status.ContactorState.codes: given 16; expected raw values from 0 to 15"),
        ("0x3 = 2", "-1 = 2", r"scalar Status.ContactorState.codes: given -1"),
    ],
)
def test_a_map_that_does_not_fit_its_database_is_refused_before_anything_opens(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec], replaced: str, by: str, message: str
) -> None:
    bus = make_bus(make_map(RACK_MAP.replace(replaced, by, 1)))
    with pytest.raises(AdapterConfigurationError, match=message):
        DecodeTables(bus.sources)


@pytest.mark.parametrize("dbc", ["BO_ 1 Broken", RACK_DBC + ' SG_ Late : 60|16@1+ (1,0) [0|0] "" Rack\n'])
def test_a_damaged_database_is_refused_with_its_name(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec], dbc: str
) -> None:
    bus = make_bus(make_map(dbc=dbc))
    with pytest.raises(AdapterConfigurationError, match=r"rack|Request"):
        DecodeTables(bus.sources)


def test_two_racks_with_the_same_frame_ids_are_refused(rack_map: DeviceMap, make_bus: Callable[..., BusSpec]) -> None:
    bus = make_bus(rack_map, (3, 3))
    with pytest.raises(
        AdapterConfigurationError, match=r"0x160 for ESS.ARR01.R003, Status; expected ids that occur once"
    ):
        DecodeTables(bus.sources)


def test_a_node_whose_ids_the_bus_cannot_carry_is_refused(
    rack_map: DeviceMap, make_bus: Callable[..., BusSpec]
) -> None:
    bus = make_bus(rack_map, (1000,))
    with pytest.raises(AdapterConfigurationError, match="a frame id the bus can carry"):
        DecodeTables(bus.sources)
