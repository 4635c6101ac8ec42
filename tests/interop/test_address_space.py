"""What an OPC UA client that is not ours finds when it browses the demo plant: every variable as the point list has it.

Nothing is left out: each point of `points --format csv` is there with its type, shape, access, unit, range and texts,
and nothing is there that the list does not call for (F-21, F-22).
"""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.interop.conftest import connect
from tests.interop.node_client import NodeClient

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

BUILT_IN = {"Boolean": 1, "Byte": 3, "UInt16": 5, "Int32": 6, "UInt32": 7, "Float": 10, "Double": 11, "String": 12,
            "DateTime": 13, "CellAddress": 7}  # fmt: skip
"""Data types of namespace 0 by the word of the list (OPC 10000-6, table 1); every other word is an enumeration of ours."""
BASE_DATA_VARIABLE, PROPERTY, ANALOG_UNIT, ANALOG_UNIT_RANGE = 63, 68, 17497, 17570
VALUE, PROPERTY_OF = 47, 46
"""HasComponent and HasProperty: how a variable hangs on its parent."""
MEMBERS = {
    "EngineeringUnits": ("ns=0;i=887", -1, PROPERTY, PROPERTY_OF),
    "EURange": ("ns=0;i=884", -1, PROPERTY, PROPERTY_OF),
    "Iec61850Ref": ("ns=0;i=12", -1, PROPERTY, PROPERTY_OF),
    "State": ("ns=2;s=AlarmState", -1, BASE_DATA_VARIABLE, VALUE),
    "Count": ("ns=0;i=7", -1, BASE_DATA_VARIABLE, VALUE),
    "LastTime": ("ns=0;i=13", -1, BASE_DATA_VARIABLE, VALUE),
    "InputArguments": ("ns=0;i=296", 1, PROPERTY, PROPERTY_OF),
    "OutputArguments": ("ns=0;i=296", 1, PROPERTY, PROPERTY_OF),
}
"""Variables below points and methods: data type, value rank, type definition, reference from the parent."""
CODES_WITH_BOUNDS = {"CellData.CellQuality"}
"""Codes without a unit whose bounds the list tells: they are no analogue values and have no EURange (OPC 10000-8, 5.3.2)."""
ALARM_MEMBERS = {"State", "Count", "LastTime"}
UNIT_NAMESPACE = "http://www.opcfoundation.org/UA/units/un/cefact"
CURRENT_READ, HISTORY_READ = 1, 4

Row = dict[str, str]


@pytest.fixture(scope="module")
def browsed(program, client_folder) -> Iterator[dict[str, dict[str, Any]]]:
    """Every node of the site's namespace by its id, found with small pages so that BrowseNext takes part."""
    node = NodeClient(client_folder)
    connect(node, program)
    found = node("browseAll", root="ns=3;s=ESS", namespace=3, page=9)
    node.close()
    ids = [one["id"].removeprefix("ns=3;s=") for one in found]
    assert len(ids) == len(set(ids)), "a node was found twice"
    return dict(zip(ids, found, strict=True))


@pytest.fixture(scope="module")
def variables(browsed) -> set[str]:
    return {name for name, node in browsed.items() if node["class"] == 2}


def members_of(row: Row, alarms: set[str]) -> set[str]:
    """What a point of this row has below it."""
    analog = bool(row["unit"])
    ranged = analog and bool(row["range_low"])
    found = {"EngineeringUnits"} if analog else set()
    found |= {"EURange"} if ranged else set()
    found |= {"Iec61850Ref"} if row["iec61850"] else set()
    return found | (ALARM_MEMBERS if row["node_id"] in alarms else set())


def attributes(client: NodeClient, names: list[str], *wanted: str) -> Iterator[tuple[Any, ...]]:
    """Values of some attributes of each node; the name of the code where it is not Good."""
    cells = client("read", nodes=[{"id": f"ns=3;s={name}", "attribute": a} for name in names for a in wanted])
    values = [cell["value"] if cell["name"] == "Good" else cell["name"] for cell in cells]
    for at in range(0, len(values), len(wanted)):
        yield tuple(values[at : at + len(wanted)])


def rank_of(row: Row) -> int:
    return row["array_dimensions"].count("x") + 1 if row["array_dimensions"] else -1


def test_f21_browsing_finds_exactly_the_points_of_the_list(variables, point_list) -> None:
    assert set(point_list) <= variables
    assert {name.rpartition(".")[2] for name in variables - set(point_list)} == set(MEMBERS)


def test_f21_below_a_point_is_what_the_list_calls_for_and_nothing_else(browsed, variables, point_list) -> None:
    below: dict[str, set[str]] = {name: set() for name in point_list}
    for name in variables - set(point_list):
        parent, _, member = name.rpartition(".")
        if parent in below:
            below[parent].add(member)
            assert browsed[name]["parent"] == f"ns=3;s={parent}"
        else:
            assert browsed[parent]["class"] == 4, f"{name} hangs on neither a point nor a method"
    # The list does not say which Boolean mirrors an alarm: all or none of the three members are there.
    alarms = {name for name, found in below.items() if found & ALARM_MEMBERS}
    assert all(".Alarms." in name and point_list[name]["data_type"] == "Boolean" for name in alarms)
    assert len(alarms) > 100
    assert below == {name: members_of(row, alarms) for name, row in point_list.items()}


def test_f21_each_variable_is_of_the_type_that_fits_its_unit_and_range(browsed, variables, point_list) -> None:
    for name in variables:
        if name not in point_list:
            *_, expected, reference = MEMBERS[name.rpartition(".")[2]]
        else:
            found, reference = members_of(point_list[name], set()), VALUE
            ranged = ANALOG_UNIT_RANGE if "EURange" in found else ANALOG_UNIT
            expected = ranged if "EngineeringUnits" in found else BASE_DATA_VARIABLE
        node = browsed[name]
        assert (node["type"], node["reference"]) == (f"ns=0;i={expected}", f"ns=0;i={reference}"), name


def test_f22_each_point_has_the_type_shape_access_and_texts_of_the_list(client, point_list) -> None:
    names = list(point_list)
    found = attributes(
        client, names, "DataType", "ValueRank", "ArrayDimensions", "BrowseName", "DisplayName", "Description"
    )
    for name, (data_type, rank, dimensions, browse_name, display_name, description) in zip(names, found, strict=True):
        row = point_list[name]
        number = BUILT_IN.get(row["data_type"])
        assert data_type == (f"ns=2;s={row['data_type']}" if number is None else f"ns=0;i={number}"), name
        assert rank == rank_of(row), name
        shape = [int(size) for size in row["array_dimensions"].split("x") if size]
        assert dimensions == (shape or "BadAttributeIdInvalid"), name
        last = row["path"].rpartition(".")[2]
        assert (browse_name, display_name) == (f"2:{last}", last), name
        assert description == row["description"] != "", name
    assert {row["data_type"] for row in point_list.values()} > {"Float", "Double", "Boolean", "UInt32"}


def test_f22_each_point_tells_who_may_read_it_and_whether_its_history_is_kept(client, point_list) -> None:
    names = list(point_list)
    found = attributes(client, names, "AccessLevel", "UserAccessLevel", "Historizing", "WriteMask", "UserWriteMask")
    for name, cells in zip(names, found, strict=True):
        kept = point_list[name]["history"] != "none"
        access = CURRENT_READ | (HISTORY_READ if kept else 0)
        assert cells == (access, access, kept, 0, 0), name


def test_f22_a_variable_below_a_point_or_method_has_the_type_of_its_kind(client, variables, point_list) -> None:
    names = sorted(variables - set(point_list))
    found = attributes(client, names, "DataType", "ValueRank", "AccessLevel")
    for name, cells in zip(names, found, strict=True):
        data_type, rank, *_ = MEMBERS[name.rpartition(".")[2]]
        assert cells == (data_type, rank, CURRENT_READ), name


def test_f22_a_point_has_the_unit_of_the_list_or_none(client, point_list) -> None:
    names = list(point_list)
    found = client("read", nodes=[{"id": f"ns=3;s={name}.EngineeringUnits"} for name in names])
    for name, cell in zip(names, found, strict=True):
        row = point_list[name]
        if not row["unit"]:
            assert (cell["name"], row["unece_code"]) == ("BadNodeIdUnknown", ""), name
            continue
        unit = cell["value"]
        assert unit["unitId"] == int.from_bytes(row["unece_code"].encode(), "big"), name
        assert (unit["displayName"], unit["namespaceUri"]) == (row["unit"], UNIT_NAMESPACE), name
        assert unit["description"], name


def test_f22_a_point_has_the_range_of_the_list_or_none(client, point_list) -> None:
    names = list(point_list)
    found = client("read", nodes=[{"id": f"ns=3;s={name}.EURange"} for name in names])
    for name, cell in zip(names, found, strict=True):
        row = point_list[name]
        listed = (row["range_low"], row["range_high"])
        if "EURange" in members_of(row, set()):
            eu_range = cell["value"]
            assert tuple(f"{float(eu_range[side]):.12g}" for side in ("low", "high")) == listed, name
            assert float(eu_range["low"]) < float(eu_range["high"]), name
        else:
            assert cell["name"] == "BadNodeIdUnknown", name
            assert listed == ("", "") or row["path"] in CODES_WITH_BOUNDS, name
    instrument = client("read", nodes=[{"id": f"ns=3;s={name}.InstrumentRange"} for name in names])
    assert {cell["name"] for cell in instrument} == {"BadNodeIdUnknown"}


def test_f22_a_point_names_its_place_on_the_iec_61850_face_or_has_none(client, point_list) -> None:
    names = list(point_list)
    found = client("read", nodes=[{"id": f"ns=3;s={name}.Iec61850Ref"} for name in names])
    for name, cell in zip(names, found, strict=True):
        assert (cell["value"] or "") == point_list[name]["iec61850"], name


def test_f27_paths_and_registered_nodes(client) -> None:
    path = "/3:ESS/2:Arrays/3:ARR02/2:Racks/3:R003/2:Measurements/2:StateOfCharge/0:EURange"
    wrong = "/3:ESS/2:Arrays/3:ARR09"
    found = client("translate", root="ns=0;i=85", paths=[path, wrong])
    assert found[0] == {"status": "Good", "targets": ["ns=3;s=ESS.ARR02.R003.Measurements.StateOfCharge.EURange"]}
    assert found[1]["status"] == "BadNoMatch"
    current = "ns=3;s=ESS.ARR01.R001.Measurements.DcCurrent"
    assert client("registerNodes", nodes=[current]) == [current]
