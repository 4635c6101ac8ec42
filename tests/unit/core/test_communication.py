"""Communication: counters, ages and what may be believed, per rack."""

import pytest

from information_model.enumerations import CommunicationState
from information_model.points.row import Level
from server.core.board import Board
from server.core.communication import Communication
from server.core.validate import Validation
from server.core.working import Working
from tests.unit.core.field_kit import Field, make_site, value


@pytest.fixture
def field(tmp_path):
    return Field(make_site(tmp_path))


@pytest.fixture
def working(field):
    return Working(field.site.catalogue)


@pytest.fixture
def step(field, working):
    validation, communication = Validation(field.site), Communication(field.site)

    def run(seconds: float = 0.1) -> None:
        validation.step(field.blocks, Board(working), field.now)
        communication.step(field.blocks, Board(working), field.now)
        field.tick(seconds)

    return run


def shown(working, path, level=Level.RACK, ordinal=0):
    return value(working, level, path, ordinal)[0]


def test_a_device_is_believed_after_its_counter_advanced_twice(field, working, step) -> None:
    seen = []
    for _ in range(4):
        field.all_good()
        step()
        seen.append(shown(working, "Permissives.FirstFrameSeen"))
    assert seen == [0, 0, 1, 1]


def test_a_counter_that_stands_still_is_never_believed(field, working, step) -> None:
    for _ in range(5):
        field.all_good()
        field.columns["source.counter_advances"][:] = 7
        step()
    assert shown(working, "Permissives.FirstFrameSeen") == 0


def test_a_new_field_process_has_to_be_believed_anew(field, working, step) -> None:
    for _ in range(4):
        field.all_good()
        step()
    field.columns["source.counter_advances"][:] = 0
    step()
    assert shown(working, "Permissives.FirstFrameSeen") == 0


def test_the_age_of_the_newest_frame_grows_in_silence(field, working, step) -> None:
    field.all_good()
    step(2.0)
    step()
    assert shown(working, "Communication.LastUpdateAge") == pytest.approx(2.0)
    assert shown(working, "Communication.CurrentAge") == pytest.approx(2.0)


def test_a_lost_field_process_is_a_lost_device(field, working, step) -> None:
    field.all_good()
    step()
    field.alive = False
    step()
    assert shown(working, "Communication.State") == CommunicationState.LOST
    assert shown(working, "Permissives.CommunicationGood") == 0
    assert shown(working, "Permissives.CommunicationGood", Level.ARRAY) == 0
    assert shown(working, "Communication.AliveBusCount", Level.SYSTEM) == 0
    assert shown(working, "Communication.BusCount", Level.SYSTEM) == 2


def test_one_silent_rack_leaves_its_array_in_communication(field, working, step) -> None:
    field.all_good()
    field.columns["source.state"][0] = CommunicationState.LOST
    step()
    assert shown(working, "Permissives.CommunicationGood", ordinal=0) == 0
    assert shown(working, "Permissives.CommunicationGood", ordinal=1) == 1
    assert shown(working, "Permissives.CommunicationGood", Level.ARRAY) == 1


def test_rejected_frames_count_over_ten_seconds(field, working, step) -> None:
    for _ in range(30):
        field.all_good()
        field.columns["source.frames_rejected"][0] += 1
        step(1.0)
    assert shown(working, "Communication.RejectedShare") == pytest.approx(100 / 11, abs=0.5)
    for _ in range(15):
        field.all_good()
        step(1.0)
    assert shown(working, "Communication.RejectedShare") == 0


def test_old_feedback_is_not_fresh(field, working, step) -> None:
    field.all_good()
    step(0.1)
    assert shown(working, "Permissives.FeedbackFresh") == 1
    field.tick(1.2)
    step()
    assert shown(working, "Permissives.FeedbackFresh") == 0


def test_points_are_counted_with_those_of_the_elements_below(field, working, step) -> None:
    field.all_good()
    step()
    rack, array = "Communication.GoodPointCount", "Communication.GoodPointCount"
    total = sum(shown(working, rack, Level.RACK, i) for i in (0, 1))
    assert shown(working, array, Level.ARRAY) >= total > 0
    assert shown(working, array, Level.SYSTEM) >= 2 * total


def test_the_heartbeat_counts_seconds(field, working, step) -> None:
    field.all_good()
    step(3.0)
    step()
    assert shown(working, "Communication.Heartbeat", Level.SYSTEM) == 3
