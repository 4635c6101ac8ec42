"""Mistakes of every kind in one file: one run tells all of them, each once, nothing else, and starts nothing."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from information_model.validation import InvalidConfiguration
from server.cli.check import checked_site

ROOT = Path(__file__).parents[3]
DEMO = (ROOT / "examples" / "demo.toml").read_text()
MAPS = ROOT / "adapters" / "maps"

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes the demo site with replacements; those named `map` go into its device map, which then lies beside it."""

    def make(*site: tuple[str, str], device: tuple[tuple[str, str], ...] = ()) -> Path:
        for name, changes in (("gridbms_rack.toml", device), ("gridbms_rack.dbc", ())):
            (tmp_path / name).write_text(_replaced((MAPS / name).read_text(), changes))
        path = tmp_path / "site.toml"
        path.write_text(_replaced(DEMO, site))
        return path

    return make


def _replaced(text: str, changes: tuple[tuple[str, str], ...]) -> str:
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    return text


def told(path: Path) -> dict[str, str]:
    """Key -> the whole line."""
    with pytest.raises(InvalidConfiguration) as caught:
        checked_site(path)
    keys = [problem.key for problem in caught.value.problems]
    assert len(keys) == len(set(keys)), "a mistake is told twice"
    return {problem.key: str(problem) for problem in caught.value.problems}


MIXED = (
    ("version = 1", "version = 7"),
    ("port = 4840", "port = 4840\nprot = 4841"),
    ('bus = "array{array}"', 'bus = "aray{array}"'),
    ('interface = "gridbms-plant", channel = "{run}/plant/array2.sock"', 'interface = "nosuchdriver"'),
    ("[simulator]", "[thresholds.rack]\nCellOverVoltTrip = 3.7\n\n[simulator]"),
    ('chemistry = "LFP"', 'chemistry = "lead"'),
)
MIXED_MAP = (
    ('signal = "DcVoltage"', 'signal = "NoSuchSignal"'),
    ('point = "Measurements.BusVoltage"', 'point = "Measurements.BusVolts"'),
)
MIXED_SAID = {
    "version": "This program reads site files of version 1.",
    "opcua.prot": "Did you mean port?",
    "rack_types.lfp-280.chemistry": "given 'lead'; expected 'LFP' or 'NMC'",
    "arrays[1].racks[1].bus": "given 'aray1'; expected one of array1, array2. Did you mean array1?",
    "map gridbms_rack.toml: point Measurements.BusVolts": "Did you mean Measurements.BusVoltage?",
    "thresholds.rack.CellOverVoltTrip": "Did you mean CellOverVoltageTrip?",
    "buses.array2.options.interface": "given 'nosuchdriver'",
    "map gridbms_rack.toml: scalar Measurements.DcVoltage.signal": "given 'NoSuchSignal'",
}


def test_all_mistakes_of_every_stage_come_at_once(write: Write) -> None:
    found = told(write(*MIXED, device=MIXED_MAP))
    assert set(found) == set(MIXED_SAID)
    for key, part in MIXED_SAID.items():
        assert part in found[key]


@pytest.mark.parametrize("command", ["check", "run", "simulate"])
def test_on_the_command_line_they_are_exit_code_2_and_nothing_is_started(
    write: Write, tmp_path: Path, command: str
) -> None:
    line = [command, write(*MIXED, device=MIXED_MAP)]
    if command != "check":
        line += ["--data", tmp_path / "data"]
    if command == "run":
        line += ["--run", tmp_path / "run"]
    found = subprocess.run(
        [sys.executable, "-m", "server", *map(str, line)],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert found.returncode == 2
    assert found.stdout == ""
    for key in MIXED_SAID:
        assert found.stderr.count(f"site.toml: {key}: given ") == 1
    assert len(found.stderr.splitlines()) == len(MIXED_SAID), "something else is said"
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("old", "new", "keys"),
    [
        # What is wrong inside a table does not make its name unknown.
        ('adapter = "can"', "adapter = 1", {"buses.array1.adapter"}),
        ('adapter = "can"', 'adaptor = "can"', {"buses.array1.adapter", "buses.array1.adaptor"}),
        ("options = { interface", "option = { interface", {"buses.array1.option"}),
        ("wait_s = 5.0", "wait_s = [5.0]", {"buses.array1.options.wait_s"}),
        ("modules = 8", 'modules = "8"', {"rack_types.lfp-280.modules"}),
        ("rated_capacity_ah = 280.0", "", {"rack_types.lfp-280.rated_capacity_ah"}),
        # A misspelt table may hold the names that seem to be missing.
        ("[buses.array1]", "[busses.array1]", {"busses"}),
        # Options, and what they lead to.
        ("{run}/plant/array1.sock", "{rn}/plant/array1.sock", {"buses.array1.options.channel"}),
        ("{run}/plant/array1.sock", "{run/plant/array1.sock", {"buses.array1.options.channel"}),
        ("{run}/plant/array2.sock", "{run}/plant/array1.sock", {"buses.array2.options"}),
        ("{run}/plant/array2.sock", "{run}/plant/../plant/array1.sock", {"buses.array2.options"}),
        ('host = "127.0.0.1"', 'host = ""', {"opcua.host"}),
        ('host = "127.0.0.1"', 'host = "no such host"', {"opcua.host"}),
        ('host = "127.0.0.1"', 'host = "127.0.0.256"', {"opcua.host"}),
        ('host = "127.0.0.1"', 'host = "::1"\nhost_names = ["plant.example", "a_b", "-x"]', {"opcua.host_names[3]"}),
        # A rack that is told once has no node that could be taken, no bus that could be unknown.
        ("number = 2", "number = 1", {"arrays[2].number"}),
        ("number = 2", 'number = "2"', {"arrays[2].number"}),
        ('numbers = "1-3"', 'numbers = "1-3,2"', {"arrays[1].racks[1].numbers"}),
        ('numbers = "1-3"', 'numbers = "0-3"', {"arrays[1].racks[1].numbers"}),
        ('bus = "array{array}"', 'bus = "array2"', {"arrays[2].racks[1].node"}),
        ('bus = "array{array}"', 'bus = "bus{rack}"', {"arrays[1].racks[1].bus"}),
        ('bus = "array{array}"', "bus = 1", {"arrays[1].racks[1].bus"}),
        ('bus = "array{array}"', 'bus = "array{array}"\nnode = 1', {"arrays[1].racks[1].node"}),
        ('bus = "array{array}"', 'bus = "array{array}"\nnode = -1', {"arrays[1].racks[1].node"}),
        ('map = "gridbms_rack.toml"', 'map = "other.toml"', {"arrays[1].racks[1].map"}),
        ('map = "gridbms_rack.toml"', f'map = "{"x" * 300}"', {"arrays[1].racks[1].map"}),
        ('map = "gridbms_rack.toml"', 'map = "a\\u0000b"', {"arrays[1].racks[1].map"}),
        ("[simulator]", '[simulator]\nfaults = "a\\u0000b"', {"simulator.faults (%s): (file)"}),
        # Values that would be taken for good.
        ("[simulator]", "[thresholds.rack]\nCellOverVoltageTrip = nan\n[simulator]", {"thresholds.rack.CellOverVoltageTrip"}),
        ("[simulator]", "[thresholds.cell]\nCellOverVoltageTrip = 3.7\n[simulator]", {"thresholds.cell"}),
        ('model = "Simulated storage"', 'commissioning_date = "2026-13-01"', {"site.commissioning_date"}),
        ("version = 1", "", {"version"}),
        ("version = 1", 'version = "1"', {"version"}),
    ],
)  # fmt: skip
def test_a_mistake_is_told_alone_without_what_only_follows_from_it(write: Write, old: str, new: str, keys) -> None:
    path = write((old, new))
    assert set(told(path)) == {key.replace("%s", str(path.parent / "a\0b")) for key in keys}


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("count = 416", "count = 416\nkount = 1", "map gridbms_rack.toml: matrix[1].kount"),
        ("count = 416", "count = 0", "map gridbms_rack.toml: matrix[1].count"),
        ("version = 1", "version = 2", "map gridbms_rack.toml: version"),
        ("count = 416", "count = 415", "map gridbms_rack.toml: point CellData.CellVoltages"),
        ('unit = "V"', 'unit = "mV"', "map gridbms_rack.toml: point CellData.CellVoltages"),
    ],
)
def test_what_a_wrong_map_still_holds_is_checked_as_well(write: Write, old: str, new: str, key: str) -> None:
    site = (("[simulator]", "[thresholds.rack]\nCellOverVoltTrip = 3.7\n[simulator]"), ("port = 4840", "port = -1"))
    device = ((old, new), ('signal = "DcVoltage"', 'signal = "NoSuchSignal"'))
    assert set(told(write(*site, device=device))) == {
        "opcua.port",
        "thresholds.rack.CellOverVoltTrip",
        key,
        "map gridbms_rack.toml: scalar Measurements.DcVoltage.signal",
    }


@pytest.mark.parametrize(
    ("device", "keys"),
    [
        (
            (
                ('point = "Measurements.BusVoltage"\nsignal = "BusVoltage"\nunit = "V"',
                 'point = "Measurements.DcVoltage"\nsignal = "NoSuchSignal"\nunit = "kA"'),
            ),
            {"scalar[2].point", "point Measurements.DcVoltage", "scalar Measurements.DcVoltage.signal"},
        ),
        (
            (("timeout = 3.0", "timeout = 0.5"), ("range = [0.0, 5.0]", "range = [5.0, 0.0]"), ('unit = "V"', 'unit = "mV"')),
            {"matrix[1].timeout", "matrix[1].range", "point CellData.CellVoltages"},
        ),
        (
            (('Alive = "alive"', 'Alive = "alve"'), ('Reset = "reset_counter"', 'Rest = "reset_counter"')),
            {"command[1].signals.Alive", "command RackCommand.signals"},
        ),
        ((('dbc = "gridbms_rack.dbc"', ""), ("count = 416", "count = 415")), {"dbc", "point CellData.CellVoltages"}),
        ((("node_offset = 1", "node_ofset = 1"),), {"node_ofset"}),
        ((("node_offset = 1", "node_offset = -1"), ('"BusVoltage"', '"X"')),
         {"node_offset", "scalar Measurements.BusVoltage.signal"}),
        ((("[[scalar]]", "[[scalr]]"),), {"scalr"}),
        ((("invalid = [0xFFFF]", "invalid = [99999999]"),), {"matrix CellData.CellVoltages.invalid"}),
    ],
)  # fmt: skip
def test_every_mistake_of_a_map_has_its_own_key(write: Write, device, keys: set[str]) -> None:
    assert set(told(write(device=device))) == {f"map gridbms_rack.toml: {key}" for key in keys}


def test_a_threshold_is_not_called_unknown_while_a_map_is_wrong(write: Write) -> None:
    site = ("[simulator]", "[thresholds.rack]\nCellOverVoltageTrip = 3.7\n[simulator]")
    device = (('point = "CellData.CellVoltages"', 'point = "CellData.CellVoltage"'),)
    assert set(told(write(site, device=device))) == {"map gridbms_rack.toml: point CellData.CellVoltage"}


def test_a_map_whose_file_is_no_map_at_all_is_told_once_for_all_its_racks(write: Write) -> None:
    path = write(("port = 4840", "port = -1"))
    (path.parent / "gridbms_rack.toml").write_text("[[[")
    assert set(told(path)) == {"opcua.port", "map gridbms_rack.toml: (file)"}
