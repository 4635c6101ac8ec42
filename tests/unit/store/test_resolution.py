"""How exactly a value comes back: changes and counters as they were, sampled values within half their resolution."""

from pathlib import Path

import numpy as np
import pytest

from information_model.points.row import Aggregation, History
from tests.unit.archive.archive_kit import BASE, VOLTAGE, Archive, S

CLOCK_STEP = "ESS.Server.ClockStep"


@pytest.mark.parametrize("closed", [False, True], ids=["in the tail", "in a chunk"])
def test_a_number_that_is_kept_on_change_comes_back_as_it_was(tmp_path: Path, closed: bool) -> None:
    archive = Archive(tmp_path)
    told = [-0.123_456_789, 1 / 3, 86_400.000_000_1]
    for at, value in enumerate(told):
        archive.put(CLOCK_STEP, value, BASE + at * S)
        archive.put(VOLTAGE, 800 + value, BASE + at * S)
        archive.image(BASE + at * S)
    if closed:
        archive.close_spans()
    archive.stop()
    assert [value for _, value, _ in archive.read(CLOCK_STEP)] == told
    found = archive.site.catalogue.find(VOLTAGE)
    assert found is not None
    half = found[0].point.step / 2
    kept = np.array([value for _, value, _ in archive.read(VOLTAGE)], np.float64)
    exact = np.array([800 + value for value in told])
    assert (np.abs(kept - exact) <= half + np.spacing(exact)).all()
    assert (kept != exact).any()


def test_each_class_has_the_storage_step_of_its_kind(tmp_path: Path) -> None:
    archive = Archive(tmp_path, start=False)
    for group in archive.groups:
        for series in group.scalars:
            found = archive.site.catalogue.find(series.point)
            assert found is not None
            point = found[0].point
            number = point.data_type in ("Float", "Double")
            exact = point.aggregation is Aggregation.TOTAL or (point.history is History.CHANGE and number)
            assert series.step == (0 if exact else point.step), series.point
