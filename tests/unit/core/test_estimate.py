"""Estimates have the quality of their inputs, name where an extreme sits, and survive a restart."""

import json

import numpy as np
import pytest

from information_model.points.row import Level
from server.core.board import Board
from server.core.estimation.estimation import Estimation
from server.core.validate import Validation
from server.core.working import Working
from tests.unit.core.field_kit import OFFSET_NS, Field, make_site, value

BAD = 2


@pytest.fixture
def field(tmp_path):
    return Field(make_site(tmp_path))


class Chain:
    def __init__(self, field: Field) -> None:
        self.field, self.working = field, Working(field.site.catalogue)
        self.validation, self.estimation = Validation(field.site), Estimation(field.site)

    def step(self, seconds: float = 0.1) -> None:
        self.validation.step(self.field.blocks, Board(self.working), self.field.now)
        self.estimation.step(Board(self.working), self.field.now)
        self.field.tick(seconds)

    def get(self, path, level=Level.RACK, ordinal=0):
        return value(self.working, level, path, ordinal)


@pytest.fixture
def chain(field):
    return Chain(field)


def test_extremes_name_their_cell(field, chain) -> None:
    field.all_good()
    field.put_cell(2, 6, 3.4)
    chain.step()
    assert chain.get("Measurements.CellVoltageMax", ordinal=2)[0] == pytest.approx(3.4)
    assert chain.get("ExtremeCells.HighestVoltage", ordinal=2)[0] == 2003
    assert chain.get("ExtremeCells.HighestVoltage", Level.ARRAY, 1)[0] == 1_002_003
    assert chain.get("ExtremeCells.HighestVoltage", Level.SYSTEM)[0] == 1_002_003
    assert chain.get("Measurements.CellVoltageMax", Level.SYSTEM)[0] == pytest.approx(3.4)
    assert chain.get("Measurements.CellVoltageMax", Level.MODULE, 5)[0] == pytest.approx(3.4)


def test_an_estimate_has_the_time_of_its_oldest_input(field, chain) -> None:
    field.all_good()
    early = field.ns
    field.tick(0.05)
    field.put(0, "Measurements.DcVoltage", 26.4)
    chain.step()
    assert chain.working.scalars(Level.RACK, "Measurements.DcActivePower").time[0] == early + OFFSET_NS


def test_a_rack_without_data_is_left_out_and_the_group_says_so(field, chain) -> None:
    field.all_good(DcCurrent=10.0)
    chain.step()
    assert chain.get("Measurements.DcCurrent", Level.ARRAY)[0] == pytest.approx(20.0)
    field.tick(1.0)
    field.all_good(DcCurrent=10.0)
    at = field.slots(0, "Measurements.DcCurrent")
    field.columns["mono_ns"][at] -= 1_100_000_000
    chain.step()
    assert chain.get("Measurements.DcActivePower")[1] == BAD
    assert chain.get("Measurements.DcCurrent", Level.ARRAY)[0] == pytest.approx(10.0)
    assert chain.get("Estimation.IncludedRackCount", Level.ARRAY)[0] == 1
    assert chain.get("Estimation.IncludedEnergyShare", Level.ARRAY)[0] == pytest.approx(50.0)
    assert chain.get("Estimation.IncludedRackCount", Level.SYSTEM)[0] == 3


def test_a_sum_with_a_missing_cell_is_no_sum(field, chain) -> None:
    field.all_good()
    field.put_cell(0, 0, 66.535)
    chain.step()
    assert chain.get("Measurements.CellVoltageSum")[1] == BAD
    assert chain.get("Measurements.CellVoltageAvg")[0] == pytest.approx(3.3)


def test_charge_starts_from_the_open_circuit_voltage_and_counts(field, chain) -> None:
    field.all_good(cell_v=3.2602)
    chain.step()
    assert chain.get("Measurements.StateOfCharge")[0] == pytest.approx(25.0, abs=0.1)
    start = chain.get("Measurements.StateOfChargeSigma")[0]
    assert start >= 2.0
    for _ in range(720):
        field.all_good(cell_v=3.2602, DcCurrent=50.0)
        chain.step(1.0)
    assert chain.get("Measurements.StateOfCharge")[0] == pytest.approx(25 - 10, abs=0.1)
    assert chain.get("Counters.DischargeThroughput")[0] == pytest.approx(10.0, abs=0.05)
    assert chain.get("Counters.ChargeThroughput")[0] == 0
    assert chain.get("Counters.EquivalentFullCycles")[0] == pytest.approx(0.05, abs=0.001)
    assert chain.get("Measurements.StateOfChargeSigma")[0] > start
    assert chain.get("Measurements.StateOfCharge", Level.SYSTEM)[0] == pytest.approx(15, abs=0.1)


def test_on_the_plateau_the_start_says_that_it_knows_little(field, chain) -> None:
    field.all_good(cell_v=3.298)
    chain.step()
    assert chain.get("Measurements.StateOfChargeSigma")[0] > 10


def test_a_start_under_load_is_doubtful_until_the_first_rest(field, chain) -> None:
    field.all_good(cell_v=3.2602, DcCurrent=50.0)
    chain.step()
    loaded = chain.get("Measurements.StateOfChargeSigma")[0]
    for second in range(70):
        field.all_good(cell_v=3.2602 + 0.0001 * (second % 2), DcCurrent=0.0)
        chain.step(1.0)
    assert chain.get("Measurements.StateOfCharge")[0] == pytest.approx(25.0, abs=0.2)
    assert chain.get("Measurements.StateOfChargeSigma")[0] < loaded / 3


def test_nothing_is_estimated_before_anything_was_measured(field, chain) -> None:
    chain.step()
    for path in ("Measurements.StateOfCharge", "Measurements.DcActivePower", "Measurements.CellVoltageMax"):
        shown, severity = chain.get(path)
        assert np.isnan(shown)
        assert severity == BAD


def test_a_gap_is_not_integrated(field, chain) -> None:
    field.all_good(DcCurrent=100.0)
    chain.step(0.1)
    field.tick(3600)
    field.all_good(DcCurrent=100.0)
    chain.step()
    assert chain.get("Counters.DischargeThroughput")[0] == 0


def test_the_spread_at_rest_stands_between_two_rests(field, chain) -> None:
    for _ in range(70):
        field.all_good()
        field.put_cell(0, 0, 3.32)
        chain.step(1.0)
    assert chain.get("Measurements.CellVoltageSpreadAtRest")[0] == pytest.approx(0.02, abs=1e-6)
    field.all_good(DcCurrent=50.0)
    field.put_cell(0, 0, 3.45)
    chain.step()
    assert chain.get("Measurements.CellVoltageSpreadAtRest")[0] == pytest.approx(0.02, abs=1e-6)


def test_counters_and_charge_survive_a_restart(field, chain) -> None:
    for _ in range(20):
        field.all_good(cell_v=3.2602, DcCurrent=-50.0)
        chain.step()
    body = json.loads(json.dumps(chain.estimation.retained()))
    second = Chain(field)
    second.estimation.restore(body, down_s=3600.0)
    field.all_good(cell_v=3.33)
    second.step()
    assert second.get("Counters.ChargeThroughput")[0] == pytest.approx(chain.get("Counters.ChargeThroughput")[0])
    assert second.get("Measurements.StateOfCharge")[0] == pytest.approx(chain.get("Measurements.StateOfCharge")[0])
    assert second.get("Measurements.StateOfChargeSigma")[0] > chain.get("Measurements.StateOfChargeSigma")[0]
    assert second.get("ExtremeCells.RecordedVoltageMin")[0] == pytest.approx(3.2602, abs=1e-6)


def test_a_state_of_another_version_or_site_is_refused(field, chain) -> None:
    body = chain.estimation.retained()
    with pytest.raises(ValueError, match=r"version 99"):
        chain.estimation.restore(body | {"version": 99}, 0.0)
    body["charge"]["soc"] = [1.0]
    with pytest.raises(ValueError, match=r"racks"):
        chain.estimation.restore(body, 0.0)
