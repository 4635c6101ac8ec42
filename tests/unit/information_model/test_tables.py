"""The tables: every row is whole, every id is unique, every expression can be read."""

import importlib
import re

import pytest

from information_model.alarms import TABLE as ALARMS
from information_model.alarms.mirrors import mirrors, thresholds
from information_model.alarms.row import AlarmLevel, Side
from information_model.commands import TABLE as COMMANDS
from information_model.expressions import ExpressionError, evaluate
from information_model.points import TABLE as POINTS
from information_model.points.row import BUILT_IN, Kind, Level, Producer
from information_model.producers import TABLE as PRODUCTIONS
from information_model.quality import STATUS, Quality, iec61850_quality
from information_model.quality import TABLE as QUALITIES

NAMES = {
    f"{scope}.{name}": 1.0
    for scope in ("system", "array", "rack")
    for name in (
        "rated_energy_wh",
        "rated_capacity_ah",
        "max_charge_current_a",
        "max_discharge_current_a",
        "max_voltage_v",
    )
} | {
    "system.rated_charge_power_w": 1.0,
    "system.rated_discharge_power_w": 1.0,
    "array.rated_charge_power_w": 1.0,
    "array.rated_discharge_power_w": 1.0,
    "system.grid_voltage_v": 1.0,
    "rack.cells_in_series": 1.0,
    "module.cells": 1.0,
}
BY_ID = {(point.level, point.path): point for point in POINTS}


def test_every_point_has_its_own_id() -> None:
    assert len(BY_ID) == len(POINTS)


@pytest.mark.parametrize("point", POINTS, ids=lambda p: f"{p.level.name}:{p.path}")
def test_a_point_is_whole(point) -> None:
    assert re.fullmatch(r"[A-Z][A-Za-z0-9]*(\.[A-Z][A-Za-z0-9]*){1,3}", point.path)
    assert point.is_enumeration or point.data_type in BUILT_IN
    assert point.text.endswith(".")
    assert point.step > 0
    assert (point.low is None) == (point.high is None)
    if point.low is not None and point.high is not None:
        assert evaluate(point.low, NAMES) < evaluate(point.high, NAMES)
    if point.kind is not Kind.TEXT and point.unit is not None:
        assert len(point.unit.unece) in (2, 3)


def test_no_name_looks_like_an_element() -> None:
    parts = {part for point in POINTS for part in point.path.split(".")}
    assert not [part for part in parts if re.fullmatch(r"ARR\d\d|R\d{3}|M\d\d|ESS", part)]


@pytest.mark.parametrize("alarm", ALARMS, ids=lambda a: f"{a.level.name}:{a.name}")
def test_an_alarm_watches_a_point_and_its_levels_are_ordered(alarm) -> None:
    assert (alarm.level, alarm.source) in BY_ID
    steps = list(alarm.steps())
    assert steps
    for _, step in steps:
        assert 1 <= step.severity <= 1000
    for chemistry in ("lfp", "nmc"):
        values = [evaluate(getattr(step, chemistry), NAMES) for _, step in steps]
        if alarm.side is Side.LOW:
            assert values == sorted(values, reverse=True)
        elif alarm.side is not Side.OFF_NORMAL:
            assert values == sorted(values)
    severities = [step.severity for _, step in steps]
    assert severities == sorted(severities)


def test_a_delay_of_zero_is_only_for_what_is_digital_or_counted() -> None:
    for alarm in ALARMS:
        for _, step in alarm.steps():
            if step.delay_s == 0:
                assert BY_ID[alarm.level, alarm.source].data_type in ("Boolean", "UInt16", "UInt32"), alarm.name


def test_mirrors_follow_from_the_levels_of_an_alarm() -> None:
    alarm = next(a for a in ALARMS if a.name == "CellOverVoltage")
    found = {m.point.name: (m.alarm_level, m.condition) for m in mirrors(alarm)}
    assert found == {
        "CellOverVoltage": (AlarmLevel.WARNING, "CellOverVoltage"),
        "CellOverVoltageLimit": (AlarmLevel.LIMIT, "CellOverVoltage"),
        "CellOverVoltageTrip": (AlarmLevel.TRIP, "CellOverVoltageTrip"),
    }
    only_trip = next(a for a in ALARMS if a.name == "CellDeepDischarge")
    assert [(m.point.name, m.condition) for m in mirrors(only_trip)] == [("CellDeepDischarge", "CellDeepDischarge")]


def test_a_mirror_says_what_is_wrong_and_what_to_do() -> None:
    alarm = next(a for a in ALARMS if a.name == "CellUnderTemperature")
    assert [m.point.text for m in mirrors(alarm)] == [
        f"{state}: a cell is too cold. Remedy: Heat the racks before use."
        for state in ("Warning or limit active", "Limit active", "Trip active or latched")
    ]


def test_thresholds_have_unit_and_range_of_their_source() -> None:
    alarm = next(a for a in ALARMS if a.name == "CellOverVoltage")
    rows = {point.name: point for _, _, point in thresholds(alarm, BY_ID)}
    assert set(rows) == {"CellOverVoltageWarning", "CellOverVoltageLimit", "CellOverVoltageTrip"}
    trip = rows["CellOverVoltageTrip"]
    assert (trip.unit.symbol, trip.low, trip.high, trip.data_type) == ("V", "0", "5", "Float")
    digital = next(a for a in ALARMS if a.side is Side.OFF_NORMAL)
    assert not list(thresholds(digital, BY_ID))


def test_productions_name_points_that_exist() -> None:
    for line in PRODUCTIONS:
        for item in line.points():
            assert item in BY_ID, f"{line.writer} names {item}"
        for need in line.needs:
            assert (Level.RACK, need) in BY_ID


def test_every_writer_is_a_module_of_the_server() -> None:
    for writer in {line.writer for line in PRODUCTIONS}:
        assert importlib.import_module(f"server.{writer}").__doc__


def test_no_point_has_two_producers() -> None:
    outside = {item for item, point in BY_ID.items() if point.producer is not Producer.PROGRAM}
    written = [item for line in PRODUCTIONS for item in line.points()]
    assert len(written) == len(set(written))
    assert not outside & set(written)


def test_every_permissive_of_a_command_is_a_point() -> None:
    for command in COMMANDS:
        for level, names in command.permissives.items():
            for name in names:
                assert (level, f"Permissives.{name}") in BY_ID
        assert set(command.timeout_s) == set(command.levels)


def test_opening_has_no_permissive_and_never_waits() -> None:
    for name in ("Disconnect", "EmergencyDisconnect", "Disable"):
        command = next(c for c in COMMANDS if c.name == name)
        assert not command.permissives
        assert not command.waits_for_disk


def test_every_quality_has_a_status_and_the_severity_fits() -> None:
    assert [row.quality for row in QUALITIES] == list(Quality)
    assert STATUS[Quality.GOOD] == 0
    for quality in (
        Quality.WAITING,
        Quality.STALE,
        Quality.INVALID,
        Quality.RANGE,
        Quality.E2E,
        Quality.NO_COMMUNICATION,
    ):
        assert STATUS[quality] >> 30 == 2
    for quality in (Quality.LAST_USABLE, Quality.SUSPECT, Quality.INCONSISTENT, Quality.RATE):
        assert STATUS[quality] >> 30 == 1


def test_an_unknown_status_is_invalid_on_iec61850() -> None:
    assert iec61850_quality(0) == 0
    assert iec61850_quality(0x1234_0000) & 3 == 2


@pytest.mark.parametrize(
    ("text", "value"), [("1.5", 1.5), ("-1*rack.a", -3.0), ("2*(rack.a+1)/4", 2.0), ("rack.a - 1", 2.0)]
)
def test_expressions(text, value) -> None:
    assert evaluate(text, {"rack.a": 3.0}) == value


@pytest.mark.parametrize("text", ["rack.b", "__import__('os')", "a", "1 if 1 else 2", "1/0", "rack.a(", "True", "'x'"])
def test_an_expression_that_is_more_than_arithmetic_is_refused(text) -> None:
    with pytest.raises(ExpressionError):
        evaluate(text, {"rack.a": 3.0})
