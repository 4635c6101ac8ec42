"""Validation: a bad sample is never shown as good, a missing one is no number, an old one says so."""

import numpy as np
import pytest

from information_model.points.row import Level
from information_model.quality import Quality
from server.core.board import Board
from server.core.validate import Validation
from server.core.working import Working
from tests.measured import measured_or_skip
from tests.unit.core.field_kit import CELLS, OFFSET_NS, Field, make_site, value

GOOD, UNCERTAIN, BAD = 0, 1, 2
CURRENT = "Measurements.DcCurrent"


@pytest.fixture
def field(tmp_path):
    return Field(make_site(tmp_path))


@pytest.fixture
def working(field):
    return Working(field.site.catalogue)


@pytest.fixture
def validation(field):
    return Validation(field.site)


def cells(working, rack=0):
    matrix = working.matrix("CellVoltages")
    return matrix.value[matrix.start[rack] : matrix.start[rack + 1]]


def flags(working, rack=0):
    matrix = working.matrix("CellQuality")
    return matrix.value[matrix.start[rack] : matrix.start[rack + 1]].tolist()


def severity(working, rack=0):
    return int(working.matrix("CellVoltages").status[rack]) >> 30


def test_before_the_first_sample_everything_waits(field, working, validation) -> None:
    validation.step(field.blocks, Board(working), field.tick())
    assert value(working, Level.RACK, CURRENT)[1] == BAD
    assert np.isnan(value(working, Level.RACK, CURRENT)[0])
    assert np.isnan(cells(working)).all()


def test_a_good_sample_shows_with_its_source_time(field, working, validation) -> None:
    field.all_good()
    validation.step(field.blocks, Board(working), field.now)
    assert value(working, Level.RACK, CURRENT) == (0.0, GOOD)
    assert working.scalars(Level.RACK, CURRENT).time[0] == field.ns + OFFSET_NS
    assert cells(working).tolist() == pytest.approx([3.3] * 8)
    assert working.matrix("CellVoltages").time[0] == field.ns + OFFSET_NS


@pytest.mark.parametrize(("seconds", "expected"), [(0.15, GOOD), (0.25, UNCERTAIN), (0.45, UNCERTAIN), (0.55, BAD)])
def test_a_value_ages_by_its_period_and_time_out(field, working, validation, seconds, expected) -> None:
    field.all_good()
    validation.step(field.blocks, Board(working), field.now)
    validation.step(field.blocks, Board(working), field.tick(seconds))
    shown, found = value(working, Level.RACK, CURRENT)
    assert found == expected
    assert np.isnan(shown) == (expected == BAD)


def test_a_dead_field_process_makes_all_its_values_bad_at_once(field, working, validation) -> None:
    field.all_good()
    validation.step(field.blocks, Board(working), field.now)
    field.alive = False
    validation.step(field.blocks, Board(working), field.tick())
    assert value(working, Level.RACK, CURRENT)[1] == BAD
    assert severity(working) == BAD
    assert np.isnan(cells(working)).all()
    assert flags(working) == [2] * 8


@pytest.mark.parametrize("wrong", [66.535, 0.0, -1.0, np.inf, np.nan])
def test_an_implausible_cell_is_withheld_and_its_rack_uncertain(field, working, validation, wrong) -> None:
    field.all_good()
    validation.step(field.blocks, Board(working), field.now)
    field.tick()
    field.put_cell(0, 3, wrong)
    validation.step(field.blocks, Board(working), field.now)
    assert np.isnan(cells(working)[3])
    assert not np.isnan(np.delete(cells(working), 3)).any()
    assert severity(working) == UNCERTAIN
    assert flags(working) == [0, 0, 0, 2, 0, 0, 0, 0]
    assert value(working, Level.RACK, "Protection.InvalidCellCount")[0] == 1
    assert severity(working, 1) == GOOD


def test_a_single_jump_leaves_the_last_good_value_and_says_so(field, working, validation) -> None:
    field.all_good()
    validation.step(field.blocks, Board(working), field.now)
    field.tick()
    field.put_cell(0, 0, 4.2)
    validation.step(field.blocks, Board(working), field.now)
    assert cells(working)[0] == pytest.approx(3.3)
    assert flags(working)[0] == 1
    field.tick()
    field.put_cell(0, 0, 3.31)
    validation.step(field.blocks, Board(working), field.now)
    assert cells(working)[0] == pytest.approx(3.31)
    assert flags(working)[0] == 0


def test_three_samples_that_agree_establish_a_new_value(field, working, validation) -> None:
    field.all_good()
    validation.step(field.blocks, Board(working), field.now)
    shown = []
    for sample in (4.2, 4.21, 4.2, 4.2):
        field.tick()
        field.put_cell(0, 0, sample)
        validation.step(field.blocks, Board(working), field.now)
        shown.append(round(float(cells(working)[0]), 2))
    assert shown == [3.3, 3.3, 4.2, 4.2]


def test_samples_that_jump_about_establish_nothing(field, working, validation) -> None:
    field.all_good()
    validation.step(field.blocks, Board(working), field.now)
    for sample in (4.2, 2.0, 4.2, 2.0, 4.2):
        field.tick()
        field.put_cell(0, 0, sample)
        validation.step(field.blocks, Board(working), field.now)
        assert cells(working)[0] == pytest.approx(3.3)


def test_a_jump_right_after_a_value_out_of_range_is_no_good_value_either(field, working, validation) -> None:
    field.all_good()
    validation.step(field.blocks, Board(working), field.now)
    field.tick()
    field.put_cell(0, 0, 99.0)
    validation.step(field.blocks, Board(working), field.now)
    assert np.isnan(cells(working)[0])
    field.tick()
    field.put_cell(0, 0, 4.2)
    validation.step(field.blocks, Board(working), field.now)
    assert cells(working)[0] == pytest.approx(3.3)
    assert flags(working)[0] == 1
    field.tick()
    field.put_cell(0, 0, 3.31)
    validation.step(field.blocks, Board(working), field.now)
    assert cells(working)[0] == pytest.approx(3.31)
    assert flags(working)[0] == 0


def test_the_quality_of_the_field_wins(field, working, validation) -> None:
    field.all_good()
    field.put_cell(0, 0, 3.3, Quality.E2E)
    field.put(0, CURRENT, 5.0, Quality.INVALID)
    validation.step(field.blocks, Board(working), field.now)
    assert np.isnan(cells(working)[0])
    assert value(working, Level.RACK, CURRENT)[1] == BAD


def test_a_cell_that_stands_still_while_the_current_moves_is_frozen(field, working, validation) -> None:
    for second in range(70):
        field.all_good(cell_v=3.3 + 0.001 * (second % 2), DcCurrent=20.0 * (second % 2))
        field.put_cell(0, 5, 3.3)
        validation.step(field.blocks, Board(working), field.now)
        field.tick(1.0)
    assert value(working, Level.RACK, "Protection.FrozenValueCount")[0] == 1
    assert np.isnan(cells(working)[5])
    assert value(working, Level.RACK, "Protection.FrozenValueCount", 1)[0] == 0


def test_a_cell_that_stands_still_at_rest_is_believed(field, working, validation) -> None:
    for _ in range(70):
        field.all_good()
        validation.step(field.blocks, Board(working), field.now)
        field.tick(1.0)
    assert value(working, Level.RACK, "Protection.FrozenValueCount")[0] == 0


def test_the_oldest_good_cell_gives_the_time_of_its_rack(field, working, validation) -> None:
    field.all_good()
    first = field.ns
    for cell in range(1, 8):
        field.tick(0.01)
        field.put_cell(0, cell, 3.3)
    validation.step(field.blocks, Board(working), field.now)
    assert working.matrix("CellVoltages").time[0] == first + OFFSET_NS


def test_the_constant_difference_of_two_meters_is_learned(field, working, validation) -> None:
    field.period_s = 1.0
    for _ in range(3000):
        field.all_good(cell_v=3.3, DcVoltage=26.3)
        validation.step(field.blocks, Board(working), field.now)
        field.tick(1.0)
    difference = value(working, Level.RACK, "Protection.VoltageSumDifference")[0]
    assert abs(difference) < 0.05
    assert value(working, Level.RACK, "Protection.VoltageSumOffset")[0] == pytest.approx(0.1, abs=0.01)


PACKS = [
    pytest.param("car1", 96, 66.535, id="car1 with samples of 66.535 V"),
    pytest.param("car2", 88, 0.0, id="car2 with samples of 0 V"),
]


@pytest.mark.parametrize(("name", "count", "code"), PACKS)
def test_no_implausible_sample_of_a_real_pack_passes_and_no_good_one_is_lost_for_long(
    tmp_path, name, count, code
) -> None:
    path = measured_or_skip(f"packs/{name}.parquet")
    import pyarrow.parquet as parquet

    table = parquet.read_table(path)
    volts = np.stack([table[f"V_{cell}"].to_numpy() for cell in range(1, count + 1)], axis=1)
    wrong = np.isclose(volts, code) | np.isnan(volts)
    interesting = np.flatnonzero(wrong.any(axis=1))
    keep = np.unique(np.clip((interesting[:, None] + np.arange(-4, 6)).ravel(), 0, len(volts) - 1))
    field = Field(make_site(tmp_path, racks="1", cells=count, modules=1))
    working, validation = Working(field.site.catalogue), Validation(field.site)
    lost = np.zeros(count, int)
    for row in keep:
        field.tick(1.0)
        field.put(0, CELLS, volts[row])
        validation.step(field.blocks, Board(working), field.now)
        shown = cells(working)
        good = np.array(flags(working)) == 0
        assert not (good & wrong[row]).any()
        assert np.allclose(shown[good], volts[row][good], atol=1e-6)
        lost = np.where(~good & ~wrong[row], lost + 1, 0)
        assert lost.max() <= 3
    assert len(interesting) > 10
