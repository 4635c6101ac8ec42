"""Topology and catalogue: ids are written, slots follow, nothing is instantiated that nothing produces."""

import numpy as np
import pytest

from information_model import catalogue as catalogues
from information_model import topology as topologies
from information_model.cell_address import CellAddress, pack, unpack, within_rack
from information_model.points.row import Level
from information_model.topology import RackShape

SMALL, LARGE = RackShape(2, 4, 1), RackShape(3, 5, 2)
FIELD = frozenset({"CellData.CellVoltages", "Measurements.DcCurrent", "Measurements.DcVoltage"})


@pytest.fixture
def topology():
    return topologies.build([(1, [(1, SMALL), (7, LARGE)]), (3, [(2, SMALL)])])


def test_ids_hold_the_numbers_of_the_site_file(topology) -> None:
    assert [e.name for e in topology.of_level(Level.RACK)] == ["ESS.ARR01.R001", "ESS.ARR01.R007", "ESS.ARR03.R002"]
    assert topology.by_name["ESS.ARR01.R007.M03"].number == 3


def test_removing_a_rack_shifts_no_id(topology) -> None:
    fewer = topologies.build([(1, [(7, LARGE)]), (3, [(2, SMALL)])])
    assert set(fewer.by_name) < set(topology.by_name)


@pytest.mark.parametrize(
    "arrays",
    [
        [(1, [(1, SMALL), (1, SMALL)])],
        [(1, [(1, SMALL)]), (1, [(1, SMALL)])],
        [(0, [(1, SMALL)])],
        [(1, [(1000, SMALL)])],
    ],
)
def test_numbers_are_unique_and_in_range(arrays) -> None:
    with pytest.raises(ValueError, match=r"number"):
        topologies.build(arrays)


def test_children_and_parents_agree(topology) -> None:
    for element in topology.elements:
        for child in topology.children[element.index]:
            assert topology.elements[child].parent == element.index
    assert [e.name for e in topology.ancestors(topology.by_name["ESS.ARR03.R002.M01"])] == [
        "ESS.ARR03.R002",
        "ESS.ARR03",
        "ESS",
    ]


def test_cells_of_ragged_racks_lie_one_behind_another(topology) -> None:
    assert topology.cell_start.tolist() == [0, 8, 23, 31]
    assert topology.probe_start.tolist() == [0, 2, 8, 10]
    assert topology.rack_array.tolist() == [0, 0, 1]


def test_one_quantity_over_all_racks_is_one_slice(topology) -> None:
    catalogue = catalogues.build(topology, FIELD, {})
    at = catalogue.slots(Level.RACK, "Measurements.DcCurrent")
    assert at.stop - at.start == 3
    taken = np.zeros(catalogue.scalar_count, int)
    for level, rows in catalogue.rows.items():
        for path, row in rows.items():
            if row.base >= 0:
                taken[catalogue.slots(level, path)] += 1
    assert (taken == 1).all()


def test_what_nothing_produces_is_not_there(topology) -> None:
    catalogue = catalogues.build(topology, FIELD, {})
    assert not catalogue.has(Level.RACK, "CellData.CellTemperatures")
    assert not catalogue.has(Level.RACK, "Measurements.CellTemperatureMax")
    assert not catalogue.has(Level.RACK, "Alarms.CellOverTemperature")
    assert catalogue.has(Level.RACK, "Alarms.CellOverVoltageTrip")
    assert not catalogue.has(Level.RACK, "Health.RemainingUsefulLife")


def test_find_names_row_and_element(topology) -> None:
    catalogue = catalogues.build(topology, FIELD, {})
    found = catalogue.find("ESS.ARR01.R007.Measurements.DcCurrent")
    assert found is not None
    assert (found[0].point.path, found[1].ordinal) == ("Measurements.DcCurrent", 1)
    for wrong in ("", "ESS.", "ESS.ARR02", "ESS.ARR01.R007.Measurements", "ESS.ARR01.R007.M01.Measurements.DcCurrent"):
        assert catalogue.find(wrong) is None


def test_the_hash_changes_with_what_the_site_has(topology) -> None:
    one = catalogues.build(topology, FIELD, {})
    same = catalogues.build(topologies.build([(1, [(1, SMALL), (7, LARGE)]), (3, [(2, SMALL)])]), FIELD, {})
    other = catalogues.build(topology, FIELD | {"CellData.CellTemperatures"}, {})
    assert one.hash == same.hash != other.hash


def test_cell_addresses() -> None:
    assert pack(7, 3, 12) == 7_003_012
    assert unpack(7_003_012) == CellAddress(7, 3, 12)
    assert str(unpack(0)) == "not known"
    assert within_rack(np.array([0, 51, 52, -1]), np.array([52, 52, 52, 52])).tolist() == [1001, 1052, 2001, 0]
