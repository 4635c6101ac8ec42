"""What active levels demand of the racks: the strongest action wins, from every level of the plant."""

import numpy as np
import pytest

from server.core.protection.actions import Actions, Demand
from server.core.protection.places import Places, build_places
from tests.unit.core.script import R1, R3, Script, make_site


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> tuple[Places, Actions]:
    site = make_site(tmp_path_factory.mktemp("site"))
    places = build_places(site)
    return places, Actions(places, site.topology)


def demand(bench: tuple[Places, Actions], *levels: tuple[str, str, int]) -> Demand:
    places, actions = bench
    shown = np.zeros(len(places), np.bool_)
    for element, condition, level in levels:
        found = places.conditions[places.by_name[element, condition]]
        shown[[p for p in found.places if places.level[p] == level]] = True
    return actions.demand(shown)


def test_nothing_active_demands_nothing(bench: tuple[Places, Actions]) -> None:
    found = demand(bench)
    assert not found.open.any()
    assert (found.charge_share == 1).all()
    assert (found.discharge_share == 1).all()


def test_a_trip_opens_its_rack_only(bench: tuple[Places, Actions]) -> None:
    assert demand(bench, (R1, "CellOverVoltageTrip", 3)).open.tolist() == [True, False, False, False]


def test_an_over_voltage_limit_stops_charging_and_leaves_discharging(bench: tuple[Places, Actions]) -> None:
    found = demand(bench, (R1, "CellOverVoltage", 2))
    assert found.charge_share.tolist() == [0, 1, 1, 1]
    assert found.discharge_share.tolist() == [1, 1, 1, 1]


def test_a_warning_demands_nothing(bench: tuple[Places, Actions]) -> None:
    assert (demand(bench, (R1, "CellOverVoltage", 1)).charge_share == 1).all()


def test_zero_current_is_stronger_than_half(bench: tuple[Places, Actions]) -> None:
    found = demand(bench, (R1, "VoltageImbalance", 2), (R1, "CommunicationError", 2))
    assert (found.charge_share[0], found.discharge_share[0]) == (0, 0)
    assert demand(bench, (R1, "VoltageImbalance", 2)).charge_share[0] == 0.5


def test_limits_of_an_array_and_of_the_system_reach_their_racks(bench: tuple[Places, Actions]) -> None:
    assert demand(bench, ("ESS.ARR02", "SocHigh", 2)).charge_share.tolist() == [1, 1, 0.2, 0.2]
    assert demand(bench, ("ESS", "SocLow", 2)).discharge_share.tolist() == [0.5] * 4
    both = demand(bench, ("ESS", "SocHigh", 2), (R3, "ChargeOverCurrent", 2))
    assert both.charge_share.tolist() == [0.2, 0.2, 0.2, 0.2]


def test_a_limit_that_opens_does_so_once_and_lets_people_try_again(tmp_path_factory: pytest.TempPathFactory) -> None:
    script = Script(tmp_path_factory.mktemp("site")).at(2.0).given(R1, refuses_to_close=True)
    script.ask("Connect", R1).accepted().later(7.0)
    script.expect(f"{R1}.Alarms.ContactorNotClosing", 1).expect(f"{R1}.Control.LastCommandOutcome", 4)
    script.later(11.0).given(R1, refuses_to_close=False).ask("Connect", R1).accepted().later(1.0)
    script.expect(f"{R1}.State.ContactorsClosed", 1).expect(f"{R1}.State.CloseFailureCount", 0)
