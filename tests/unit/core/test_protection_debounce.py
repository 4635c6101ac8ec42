"""The debounce engine on its own: delays, hysteresis, sides, gates, samples."""

from pathlib import Path

import numpy as np
import pytest

from information_model.alarms.mirrors import mirrors
from information_model.alarms.row import AlarmLevel, Gate
from server.core.protection.debounce import Debounce
from server.core.protection.places import GATES, Places, build_places
from tests.unit.core.script import R1, make_site


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Places:
    return build_places(make_site(tmp_path_factory.mktemp("site")))


class Bench:
    """One place of a rack, driven by hand; each call is one cycle of 0.1 s with a new sample."""

    def __init__(self, places: Places, condition: str, level: AlarmLevel) -> None:
        self.places, self.debounce = places, Debounce(places)
        found = places.conditions[places.by_name[R1, condition]]
        (self.place,) = [p for p in found.places if places.level[p] == level]
        self.value = np.full(int(places.source.max()) + 1, np.nan)
        self.gates = np.ones((len(GATES), len(places)), np.bool_)
        self.sample = 0

    def run(self, value: float, seconds: float, *, new_samples: bool = True) -> bool:
        for _ in range(round(seconds * 10)):
            self.sample += new_samples
            self.value[self.places.source[self.place]] = value
            usable = ~np.isnan(self.value)
            violated = self.debounce.look(self.value, usable, self.gates)
            self.debounce.count(violated, np.full(len(self.places), self.sample), self.gates, 0.1)
        return bool(self.debounce.active[self.place])


def test_a_level_arises_after_its_delay_and_not_before(places: Places) -> None:
    bench = Bench(places, "CellOverVoltage", AlarmLevel.LIMIT)  # 3.6 V for 2 s
    assert not bench.run(3.6, 2.0)
    assert bench.run(3.6, 0.1)


def test_a_low_side_is_active_at_and_below_its_threshold(places: Places) -> None:
    bench = Bench(places, "CellUnderVoltage", AlarmLevel.LIMIT)  # 2.8 V for 2 s, hysteresis 0.15 V
    assert bench.run(2.8, 2.1)
    assert bench.run(2.94, 60)
    assert not bench.run(2.96, 2.1)


def test_the_counter_runs_down_as_slowly_as_up_so_that_a_fluttering_value_does_not_end_an_alarm(places: Places) -> None:
    bench = Bench(places, "CellOverVoltage", AlarmLevel.LIMIT)
    bench.run(3.6, 2.1)
    assert bench.run(3.3, 1.5)
    assert bench.run(3.6, 1.0)
    assert bench.run(3.3, 1.3)


def test_time_alone_is_not_enough_there_must_be_a_second_sample(places: Places) -> None:
    bench = Bench(places, "CellOverVoltageTrip", AlarmLevel.TRIP)
    assert not bench.run(3.7, 30.0, new_samples=False)
    assert bench.run(3.7, 0.1)


def test_a_trip_latches_and_a_limit_does_not(places: Places) -> None:
    trip = Bench(places, "CellOverVoltageTrip", AlarmLevel.TRIP)
    limit = Bench(places, "CellOverVoltage", AlarmLevel.LIMIT)
    for bench in (trip, limit):
        bench.run(3.7, 5.0)
        assert not bench.run(3.3, 10.0)
    assert trip.debounce.latched[trip.place]
    assert not limit.debounce.latched[limit.place]


def test_a_gate_that_is_shut_keeps_a_level_from_arising(places: Places) -> None:
    bench = Bench(places, "ChargeOverTemperatureTrip", AlarmLevel.TRIP)  # only while charging
    bench.gates[GATES.index(Gate.CHARGING)] = False
    assert not bench.run(62.0, 30.0)
    bench.gates[GATES.index(Gate.CHARGING)] = True
    assert bench.run(62.0, 6.0)


def test_a_matter_of_connecting_ends_with_the_wish_to_connect(places: Places) -> None:
    bench = Bench(places, "ClosingVoltageDifference", AlarmLevel.LIMIT)
    assert bench.run(9.0, 2.0)
    bench.gates[GATES.index(Gate.CONNECT_REQUESTED)] = False
    assert not bench.run(9.0, 2.0)


@pytest.mark.parametrize("nothing", [np.nan])
def test_a_bad_value_neither_raises_nor_ends(places: Places, nothing: float) -> None:
    bench = Bench(places, "CellOverVoltage", AlarmLevel.LIMIT)
    bench.run(3.6, 1.5)
    assert not bench.run(nothing, 60.0)
    assert bench.run(3.6, 1.0)
    assert bench.run(nothing, 60.0)


def test_places_stand_in_the_order_of_the_catalogue(tmp_path: Path) -> None:
    site = make_site(tmp_path)
    places = build_places(site)
    assert len(places) == site.catalogue.alarm_count
    for alarm in site.catalogue.alarms:
        for mirror in mirrors(alarm):
            row = site.catalogue.rows[alarm.level][mirror.point.path]
            at = slice(row.alarm_base, row.alarm_base + site.topology.count(alarm.level))
            assert (places.mirror[at] == row.base + np.arange(site.topology.count(alarm.level))).all()
            assert (places.level[at] == mirror.alarm_level).all()
            assert {places.conditions[c].alarm.name for c in places.condition[at]} == {alarm.name}
