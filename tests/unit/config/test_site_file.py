"""The site file: whatever is wrong is told at once, with key, value given, what is allowed and how to mend it."""

from pathlib import Path

import pytest

from information_model.points.row import Level
from information_model.validation import InvalidConfiguration
from server.config.model import numbers
from server.config.site import load_site

EXAMPLES = Path(__file__).parents[3] / "examples"

TESLA = (EXAMPLES / "tesla.toml").read_text()


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "site.toml"
    path.write_text(text)
    return path


def problems(tmp_path: Path, text: str) -> dict[str, str]:
    with pytest.raises(InvalidConfiguration) as caught:
        load_site(write(tmp_path, text))
    return {problem.key: str(problem) for problem in caught.value.problems}


def test_a_good_file_gives_a_site(tmp_path) -> None:
    site = load_site(write(tmp_path, TESLA))
    assert site.id == "TESLA01"
    assert site.topology.count(Level.RACK) == 1
    assert site.catalogue.constants["ESS.ARR01.R001", "Nameplate.CellChemistry"] == 2
    assert site.value("ESS.ARR01.R001", "rack.cells_in_series") == 96


def test_all_mistakes_come_at_once(tmp_path) -> None:
    text = (
        TESLA.replace('chemistry = "NMC"', 'chemistry = "XYZ"')
        .replace("port = 4840", "port = 99999")
        .replace("rated_capacity_ah = 233.0", "rated_capacity = 233.0")
    )
    found = problems(tmp_path, text)
    assert "rack_types.model-s.chemistry" in found
    assert "opcua.port" in found
    assert "rack_types.model-s.rated_capacity" in found
    assert "rack_types.model-s.rated_capacity_ah" in found
    for text in found.values():
        assert "given" in text
        assert "expected" in text


def test_a_mistake_of_a_row_that_stands_for_many_racks_is_told_once(tmp_path) -> None:
    text = (EXAMPLES / "demo.toml").read_text()
    wrong = text.replace("[buses.array1]", "[buses.other1]")
    with pytest.raises(InvalidConfiguration) as caught:
        load_site(write(tmp_path, wrong))
    assert len(caught.value.problems) == len({str(problem) for problem in caught.value.problems})
    assert sum("array1" in problem.given for problem in caught.value.problems) == 1


def test_two_racks_with_one_id_are_refused(tmp_path) -> None:
    twice = TESLA.replace('numbers = "1"', 'numbers = "1,1"')
    assert any("twice" in text for text in problems(tmp_path, twice).values())


def test_two_racks_on_one_node_of_a_bus_are_refused(tmp_path) -> None:
    second = '[[arrays]]\nnumber = 2\n[[arrays.racks]]\nnumbers = "1"\ntype = "model-s"\n'
    second += 'bus = "capture"\nmap = "tesla_model_s.toml"\n'
    found = problems(tmp_path, TESLA.replace("[opcua]", second + "[opcua]"))
    assert any("ESS.ARR01.R001 has it already" in text for text in found.values())


@pytest.mark.parametrize(
    ("old", "new", "key", "hint"),
    [
        ('bus = "capture"', 'bus = "can0"', "bus", "one of capture"),
        ('type = "model-s"', 'type = "model-x"', "type", "one of model-s"),
        ('map = "tesla_model_s.toml"', 'map = "other.toml"', "map", "tesla_model_s.toml"),
        ("cells_per_module = 6", "cells_per_module = 7", "CellData.CellVoltages", "112 elements"),
        ("version = 1", "version = 2", "version", "1"),
    ],
)
def test_a_mistake_names_what_is_allowed(tmp_path, old, new, key, hint) -> None:
    found = problems(tmp_path, TESLA.replace(old, new, 1))
    assert any(key in name and hint in text for name, text in found.items()), found


def test_a_threshold_of_the_site_file_wins(tmp_path) -> None:
    site = load_site(write(tmp_path, TESLA + "\n[thresholds.rack]\nCellOverVoltageTrip = 4.19\n"))
    constants = site.catalogue.constants
    assert constants["ESS.ARR01.R001", "Configuration.Thresholds.CellOverVoltageTrip"] == 4.19
    assert constants["ESS.ARR01.R001", "Configuration.Thresholds.CellOverVoltageLimit"] == 4.18


def test_a_threshold_that_does_not_exist_is_refused(tmp_path) -> None:
    found = problems(tmp_path, TESLA + "\n[thresholds.rack]\nCellOverVoltTrip = 4.19\n")
    assert "thresholds.rack.CellOverVoltTrip" in found


def test_the_hash_follows_the_content(tmp_path) -> None:
    one, same = load_site(write(tmp_path, TESLA)), load_site(write(tmp_path, TESLA + "\n# comment\n"))
    other = load_site(write(tmp_path, TESLA.replace("300.0", "301.0")))
    assert one.hash == same.hash != other.hash


@pytest.mark.parametrize("name", ["demo.toml", "tesla.toml", "large.toml"])
def test_the_examples_are_good(name) -> None:
    site = load_site(EXAMPLES / name)
    assert sum(len(plan.sources) for plan in site.inputs) == site.topology.count(Level.RACK)


def test_input_slots_and_image_places_match_one_to_one(tmp_path) -> None:
    site = load_site(write(tmp_path, TESLA))
    (plan,) = site.inputs
    slots = sorted(int(slot) for target in plan.targets for slot in target.slot)
    assert slots == list(range(plan.slot_count))


def test_numbers() -> None:
    assert numbers("1-3, 7") == [1, 2, 3, 7]
    for wrong in ("", "a", "3-1", "1-", "1000"):
        with pytest.raises(ValueError, match=r".+"):
            numbers(wrong)
