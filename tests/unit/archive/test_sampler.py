"""Which samples are kept: what is new, by class, with the time at which it was measured."""

import numpy as np
import pytest

from information_model.points.row import History as HistoryClass
from server.archive.chunks import Kept
from server.archive.sampler import Sampler
from server.runtime.block import Stamp
from tests.unit.archive.archive_kit import BAD, BASE, CELLS, DAY, MS, RACK, VOLTAGE, Archive, S

STATE = f"{RACK}.Estimation.StateOfChargeSource"
DAILY = f"{RACK}.Protection.VoltageSumOffset"


class Kit(Archive):
    """Samples of one point as the sampler gives them, (ns since BASE, value, status)."""

    def __init__(self, folder) -> None:
        super().__init__(folder, start=False)
        self.sampler = Sampler(self.groups)

    def take(self, point: str, utc_ns: int, epoch: int = 1) -> list[tuple[int, object, int]]:
        group = self.group_of(point)
        stamp = Stamp(1, 1, 0, utc_ns, epoch, 0)
        for history in self.sampler.due(stamp):
            parts = self.sampler.sample(history, stamp, self.columns)
            if history is group.history and self.groups.index(group) in parts:
                part = parts[self.groups.index(group)]
                names = [series.point for series in group.scalars]
                rows = [row for row in part.scalars if names[row["index"]] == point]
                found = [(int(row["time"]) - BASE, float(row["value"]), int(row["status"])) for row in rows]
                return found + [
                    (m.time - BASE, m.value.tolist(), m.status)
                    for m in part.matrices
                    if group.matrices[m.index].point == point
                ]
        return []


@pytest.fixture
def kit(tmp_path):
    return Kit(tmp_path)


def test_a_sampled_value_is_kept_once_a_period_with_its_own_time_to_the_millisecond(kit) -> None:
    kit.put(VOLTAGE, 26.4, BASE + 123_456_789)
    assert kit.take(VOLTAGE, BASE + 200 * MS) == [(123 * MS, 26.4, 0)]
    kit.put(VOLTAGE, 26.5, BASE + 300 * MS)
    assert kit.take(VOLTAGE, BASE + 400 * MS) == []
    assert kit.take(VOLTAGE, BASE + S) == [(300 * MS, 26.5, 0)]
    assert kit.take(VOLTAGE, BASE + 2 * S) == []


def test_a_change_is_kept_with_each_image_and_its_exact_time(kit) -> None:
    kit.put(STATE, 1, BASE + 1)
    assert kit.take(STATE, BASE + 100 * MS) == [(1, 1.0, 0)]
    kit.put(STATE, 1, BASE + 100 * MS)
    assert kit.take(STATE, BASE + 200 * MS) == []
    kit.put(STATE, 2, BASE + 200 * MS + 7)
    assert kit.take(STATE, BASE + 300 * MS) == [(200 * MS + 7, 2.0, 0)]


def test_a_status_that_changes_alone_has_the_time_of_the_image(kit) -> None:
    kit.put(STATE, 1, BASE)
    kit.take(STATE, BASE + 100 * MS)
    kit.put(STATE, np.nan, BASE, BAD)
    ((time, value, status),) = kit.take(STATE, BASE + 5 * S)
    assert (time, status) == (5 * S, BAD)
    assert np.isnan(value)


def test_what_was_never_measured_is_not_kept(kit) -> None:
    kit.put(STATE, np.nan, 0, BAD)
    assert kit.take(STATE, BASE + S) == []


def test_a_matrix_is_kept_when_it_has_a_new_time_or_status(kit) -> None:
    kit.put_cells([3.3] * 8, BASE + S)
    assert kit.take(CELLS, BASE + 10 * S) == [(S, [np.float32(3.3)] * 8, 0)]
    assert kit.take(CELLS, BASE + 20 * S) == []
    kit.put_cells([3.3] * 8, BASE + S, BAD)
    assert [(time, status) for time, _, status in kit.take(CELLS, BASE + 30 * S)] == [(30 * S, BAD)]


def test_a_clock_that_is_set_back_takes_everything_anew_in_the_new_epoch(kit) -> None:
    kit.put(VOLTAGE, 26.4, BASE + 3600 * S)
    kit.put(STATE, 1, BASE + 3600 * S)
    kit.take(VOLTAGE, BASE + 3600 * S)
    kit.put(VOLTAGE, 26.5, BASE + 10 * S)
    assert kit.take(VOLTAGE, BASE + 10 * S, epoch=2) == [(10 * S, 26.5, 0)]
    kit.put(VOLTAGE, 26.6, BASE + 11 * S)
    assert kit.take(VOLTAGE, BASE + 11 * S, epoch=2) == [(11 * S, 26.6, 0)]


def test_a_source_whose_clock_is_ahead_is_stamped_with_the_image(kit) -> None:
    kit.put(VOLTAGE, 26.4, BASE + 3600 * S)
    assert kit.take(VOLTAGE, BASE + 10 * S) == [(10 * S, 26.4, 0)]


def test_a_value_from_long_ago_is_stamped_with_the_image_so_that_chunks_have_ends(kit) -> None:
    kit.put(STATE, 1, BASE - 3 * DAY)
    assert kit.take(STATE, BASE) == [(0, 1.0, 0)]
    assert kit.take(STATE, BASE + S) == []


def test_after_a_restart_only_what_differs_is_kept(kit) -> None:
    kit.put(STATE, 2, BASE)
    kit.sampler.go_on({STATE: Kept(BASE, 2.0, 0)})
    assert kit.take(STATE, BASE + 60 * S) == []
    kit.put(STATE, 2, BASE, BAD)
    assert kit.take(STATE, BASE + 61 * S) == [(61 * S, 2.0, BAD)]


def test_after_a_restart_behind_a_step_back_times_do_not_run_into_the_future(kit) -> None:
    kit.sampler.go_on({STATE: Kept(BASE + 3600 * S, 2.0, 0)})
    kit.put(STATE, 3, BASE + 10 * S)
    assert kit.take(STATE, BASE + 10 * S, epoch=7) == [(10 * S, 3.0, 0)]


def test_a_daily_value_that_was_not_there_at_midnight_is_taken_in_the_first_minute_that_has_it(kit) -> None:
    assert kit.take(DAILY, BASE) == []
    kit.put(DAILY, 0.5, BASE + 30 * S)
    assert kit.take(DAILY, BASE + 30 * S) == []
    assert kit.take(DAILY, BASE + 61 * S) == [(30 * S, 0.5, 0)]
    kit.put(DAILY, 0.6, BASE + 200 * S)
    assert kit.take(DAILY, BASE + 300 * S) == []
    assert kit.take(DAILY, BASE + DAY) == [(200 * S, 0.6, 0)]


def test_matrices_are_asked_for_only_when_a_class_that_has_some_is_due(kit) -> None:
    assert kit.sampler.needs_matrices(BASE)
    kit.sampler.due(Stamp(1, 1, 0, BASE, 1, 0))
    assert not kit.sampler.needs_matrices(BASE + 9 * S)
    assert kit.sampler.needs_matrices(BASE + 10 * S)
    assert HistoryClass.S10 in kit.sampler.due(Stamp(2, 2, 0, BASE + 10 * S, 1, 0))
