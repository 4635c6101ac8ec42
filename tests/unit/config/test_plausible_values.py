"""Numbers of the site file that would switch protection off: thresholds out of reach or out of order, wrong cells."""

from pathlib import Path

import pytest

from information_model.alarms import TABLE as ALARMS
from information_model.alarms.mirrors import thresholds
from information_model.points import TABLE as POINTS
from information_model.validation import InvalidConfiguration
from server.cli.check import checked_site

DEMO = (Path(__file__).parents[3] / "examples" / "demo.toml").read_text()
SECOND_TYPE = """[rack_types.nmc]
chemistry = "NMC"
modules = 8
cells_per_module = 52
probes_per_module = 8
rated_capacity_ah = 280.0
max_charge_current_a = 140.0
max_discharge_current_a = 140.0

"""


def told(tmp_path: Path, text: str) -> dict[str, str]:
    """Key -> the whole line; empty for a good file."""
    path = tmp_path / "site.toml"
    path.write_text(text)
    try:
        checked_site(path)
    except InvalidConfiguration as error:
        problems = error.problems
    else:
        return {}
    found = {problem.key: str(problem) for problem in problems}
    assert len(found) == len(problems), "a mistake is told twice"
    return found


def rack_thresholds(**values: float) -> str:
    return DEMO + "\n[thresholds.rack]\n" + "".join(f"{name} = {value}\n" for name, value in values.items())


def test_a_threshold_beyond_the_range_of_its_point_is_refused(tmp_path: Path) -> None:
    values = {"Warning": 360, "Limit": 362, "Trip": 365}
    over = {f"CellOverVoltage{level}": value for level, value in values.items()}
    found = told(tmp_path, rack_thresholds(**over, CellUnderVoltageTrip=-2, CellUnderVoltageLimit=2.7))
    assert set(found) == {f"thresholds.rack.{name}" for name in (*over, "CellUnderVoltageTrip")}
    assert found["thresholds.rack.CellUnderVoltageTrip"].startswith(
        "thresholds.rack.CellUnderVoltageTrip: given -2; "
        "expected 0 to 5 V, the range of Measurements.CellVoltageMin for rack type lfp-280. "
    )


def test_the_range_follows_from_the_rack_type(tmp_path: Path) -> None:
    highest = 1.2 * (8 * 52 * 3.65)
    assert told(tmp_path, rack_thresholds(RackOverVoltageTrip=highest)) == {}
    (line,) = told(tmp_path, rack_thresholds(RackOverVoltageTrip=highest + 1)).values()
    assert f"expected 0 to {highest:g} V" in line


def test_a_magnitude_is_not_negative_although_its_point_may_be(tmp_path: Path) -> None:
    (line,) = told(tmp_path, rack_thresholds(VoltageSumMismatchWarning=-0.5)).values()
    assert "given -0.5; expected 0 to 100 %" in line


@pytest.mark.parametrize(
    ("values", "key", "expected"),
    [
        ({"CellOverVoltageTrip": 3.5}, "CellOverVoltageTrip", "at least 3.6, the limit for rack type lfp-280"),
        ({"CellOverVoltageWarning": 3.62}, "CellOverVoltageWarning", "at most 3.6, the limit for rack type lfp-280"),
        ({"CellUnderVoltageTrip": 2.85}, "CellUnderVoltageTrip", "at most 2.8, the limit for rack type lfp-280"),
        ({"CellUnderVoltageLimit": 2.4}, "CellUnderVoltageLimit", "at least 2.5, the trip for rack type lfp-280"),
        (
            {"CellOverVoltageWarning": 3.55, "CellOverVoltageLimit": 3.5},
            "CellOverVoltageLimit",
            "at least 3.55, the warning for rack type lfp-280",
        ),
        # A level that is out of range is left out of the order.
        (
            {"CellOverVoltageWarning": 3.7, "CellOverVoltageLimit": 36},
            "CellOverVoltageWarning",
            "at most 3.65, the trip",
        ),
    ],
)
def test_the_levels_of_an_alarm_are_in_order_together_with_those_of_the_table(
    tmp_path: Path, values: dict[str, float], key: str, expected: str
) -> None:
    found = told(tmp_path, rack_thresholds(**values))
    assert f"expected {expected}" in found.pop(f"thresholds.rack.{key}")
    assert all("the range of" in line for line in found.values())
    assert len(found) == sum(value == 36 for value in values.values())


def test_levels_that_are_moved_together_are_good(tmp_path: Path) -> None:
    moved = rack_thresholds(CellOverVoltageWarning=3.3, CellOverVoltageLimit=3.4, CellOverVoltageTrip=3.4)
    assert told(tmp_path, moved) == {}


def test_a_threshold_is_judged_for_every_rack_type_and_told_once(tmp_path: Path) -> None:
    text = rack_thresholds(CellOverVoltageTrip=4.0).replace("[buses.array1]", f"{SECOND_TYPE}[buses.array1]")
    assert told(tmp_path, text) == {}, "no rack has the other type"
    head, tail = text.split("number = 2")
    (line,) = told(tmp_path, head + "number = 2" + tail.replace('type = "lfp-280"', 'type = "nmc"')).values()
    assert "at least 4.18, the limit for rack type nmc" in line
    text = rack_thresholds(CellOverVoltageTrip=365).replace("[buses.array1]", f"{SECOND_TYPE}[buses.array1]")
    head, tail = text.split("number = 2")
    assert len(told(tmp_path, head + "number = 2" + tail.replace('type = "lfp-280"', 'type = "nmc"'))) == 1


@pytest.mark.parametrize(("scope", "where"), [("array", "array 1"), ("system", "the system")])
def test_thresholds_of_arrays_and_the_system_are_judged_as_well(tmp_path: Path, scope: str, where: str) -> None:
    text = f"{DEMO}\n[thresholds.{scope}]\nSocHighWarning = 96\nSocLowLimit = 110\n"
    found = told(tmp_path, text)
    assert f"expected at most 95, the limit for {where}" in found[f"thresholds.{scope}.SocHighWarning"]
    low = found[f"thresholds.{scope}.SocLowLimit"]
    assert f"expected 0 to 100 %, the range of Measurements.StateOfCharge for {where}" in low


def test_thresholds_are_judged_beside_every_other_mistake(tmp_path: Path) -> None:
    text = rack_thresholds(CellOverVoltageTrip=365, EarthFaultTrip="nan").replace('"LFP"', '"lead"')
    assert set(told(tmp_path, text.replace("port = 4840", "port = -1"))) == {
        "rack_types.lfp-280.chemistry",
        "opcua.port",
        "thresholds.rack.CellOverVoltageTrip",
        "thresholds.rack.EarthFaultTrip",
    }


def test_every_number_of_the_tables_could_stand_in_a_site_file(tmp_path: Path) -> None:
    path = tmp_path / "site.toml"
    path.write_text(DEMO)
    site = checked_site(path)
    constants, sources = site.catalogue.constants, {(point.level, point.path): point for point in POINTS}
    text = DEMO
    for scope, element in (("rack", "ESS.ARR01.R001"), ("array", "ESS.ARR01"), ("system", "ESS")):
        text += f"\n[thresholds.{scope}]\n"
        for alarm in ALARMS:
            if alarm.level.name.lower() == scope:
                for _, _, point in thresholds(alarm, sources):
                    if (element, point.path) in constants:
                        text += f"{point.name} = {constants[element, point.path]!r}\n"
    assert text.count("Trip = ") > 10
    assert told(tmp_path, text) == {}


@pytest.mark.parametrize(
    ("cell", "keys"),
    [
        ("{ nominal_v = 3.2, max_v = 3.65, min_v = 2.5 }", set()),
        ("{ nominal_v = 32.0, max_v = 3.65, min_v = 2.5 }", {"nominal_v"}),
        ("{ nominal_v = 3.2, max_v = 4.2, min_v = 0.25 }", {"max_v", "min_v"}),
        ("{ nominal_v = 3.2, max_v = 3.1, min_v = 2.5 }", {"max_v"}),
        ("{ nominal_v = 3.2, max_v = 3.65, min_v = 3.3 }", {"nominal_v"}),
        ('{ nominal_v = "3.2", max_v = 2.5, min_v = 2.8 }', {"nominal_v", "max_v"}),
    ],
)
def test_voltages_of_a_cell_are_possible_and_in_order(tmp_path: Path, cell: str, keys: set[str]) -> None:
    found = told(tmp_path, DEMO.replace("modules = 8", f"modules = 8\ncell = {cell}"))
    assert set(found) == {f"rack_types.lfp-280.cell.{key}" for key in keys}


def test_voltages_of_a_cell_are_told_what_is_possible(tmp_path: Path) -> None:
    cell = "{ nominal_v = 3.2, max_v = 3.1, min_v = 1.5 }"
    found = told(tmp_path, DEMO.replace("modules = 8", f'modules = "8"\ncell = {cell}'))
    assert set(found) == {f"rack_types.lfp-280.{key}" for key in ("modules", "cell.max_v", "cell.min_v")}
    assert "given 1.5; expected 2 to 3.8 V, the range of LFP cells" in found["rack_types.lfp-280.cell.min_v"]
    assert "given 3.1; expected more than nominal_v, which is 3.2" in found["rack_types.lfp-280.cell.max_v"]
