"""Alarms as a client sees them: mirrors, states, counts, records. Cell over-voltage: limit 3.6 V 2 s, trip 3.65 V 1 s."""

from pathlib import Path

import pytest

from information_model.enumerations import AlarmState
from information_model.quality import UNCERTAIN_LAST_USABLE
from server.runtime.records import AckRecord, AlarmRecord, RecordKind
from tests.unit.core.script import R1, R2, Script


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path).at(2.0)


def alarm_records(script: Script, condition: str) -> list[AlarmRecord]:
    return [r for r in script.records(RecordKind.ALARM) if isinstance(r, AlarmRecord) and r.condition == condition]


def test_a_cell_above_the_trip_threshold_trips_its_rack_and_no_other(script: Script) -> None:
    script.given(R1, cell=(2, 3, 3.7)).later(4.0)
    script.expect(f"{R1}.Alarms.CellOverVoltageTrip", 1).expect(f"{R2}.Alarms.CellOverVoltageTrip", 0)
    script.expect(f"{R1}.Protection.TripActive", 1).expect(f"{R1}.Permissives.NoTripActive", 0)
    script.expect("ESS.ARR01.Permissives.NoTripActive", 1).expect("ESS.Alarms.ActiveTripCount", 1)
    (record,) = alarm_records(script, "CellOverVoltageTrip")
    assert (record.element, record.level, record.active, record.latched) == (R1, 3, True, True)
    assert record.value == pytest.approx(3.7)
    assert record.location == 2003  # module 2, cell 3


def test_one_bad_sample_never_trips_although_it_stands_for_longer_than_the_delay(script: Script) -> None:
    script.at(2.95).given(R1, cell=(1, 1, 3.75)).at(3.65)  # sampled once, at 3.1 s
    assert script.value(f"{R1}.Measurements.CellVoltageMax") == pytest.approx(3.75)
    script.given(R1, cell=(1, 1, 3.3), cells_silent=True).at(5.0)  # and the next samples are lost
    script.given(R1, cells_silent=False).at(8.0)
    script.expect(f"{R1}.Alarms.CellOverVoltageTrip", 0)
    assert not alarm_records(script, "CellOverVoltageTrip")


def test_two_bad_samples_in_different_cells_of_the_same_second_are_still_one_sample_each(script: Script) -> None:
    script.given(R1, cell=(1, 1, 3.66)).given(R1, cell=(1, 2, 3.66)).later(0.5)
    script.given(R1, cell_v=3.3).later(3.0)
    script.expect(f"{R1}.Alarms.CellOverVoltageTrip", 0)


def test_a_mirror_has_the_time_of_its_record(script: Script) -> None:
    script.given(R1, cell_v=3.7).later(4.0)
    stamped = {
        r.utc_ns for r in script.log.records if r.kind == RecordKind.ALARM and b"CellOverVoltageTrip" in r.payload
    }
    assert stamped == {script.time(f"{R1}.Alarms.CellOverVoltageTrip")}
    assert script.alarm(f"{R1}.Alarms.CellOverVoltageTrip")[2] in stamped


def test_levels_rise_through_warning_and_limit_and_fall_behind_their_hysteresis(script: Script) -> None:
    mirror = f"{R1}.Alarms.CellOverVoltage"
    script.given(R1, cell_v=3.56).later(8.0)
    script.expect(mirror, 1).expect(f"{mirror}Limit", 0).expect("ESS.Alarms.GroupWarning", 1)
    script.given(R1, cell_v=3.62).later(5.0)
    script.expect(mirror, 1).expect(f"{mirror}Limit", 1).expect(f"{mirror}Trip", 0).expect("ESS.Alarms.GroupAlarm", 1)
    script.expect("ESS.Alarms.ActiveLimitCount", 2)  # the rack's own over-voltage reaches its limit too
    script.given(R1, cell_v=3.52).later(20.0)  # between threshold and hysteresis: nothing ends
    script.expect(mirror, 1).expect(f"{mirror}Limit", 1)
    script.given(R1, cell_v=3.47).later(10.0)
    script.expect(mirror, 1).expect(f"{mirror}Limit", 0)
    script.given(R1, cell_v=3.3).later(10.0)
    script.expect(mirror, 0)
    assert [record.level for record in alarm_records(script, "CellOverVoltage")] == [1, 2, 1, 0]


def test_an_alarm_whose_input_turns_bad_stays_and_its_mirror_says_that_it_is_old(script: Script) -> None:
    script.given(R1, cell_v=3.56).later(8.0).expect(f"{R1}.Alarms.CellOverVoltage", 1)
    script.given(R1, silent=True, cell_v=3.3).later(30.0)
    script.expect(f"{R1}.Alarms.CellOverVoltage", 1, UNCERTAIN_LAST_USABLE)
    assert script.status(f"{R1}.Alarms.CellOverVoltage") == UNCERTAIN_LAST_USABLE
    assert script.alarm(f"{R1}.Alarms.CellOverVoltage")[1] == 1


def test_a_timer_stands_still_while_its_input_is_bad(script: Script) -> None:
    script.given(R1, cell_v=3.56).later(1.2)  # 5 s are needed; old values count for 3 s
    script.given(R1, silent=True).later(20.0)
    script.expect(f"{R1}.Alarms.CellOverVoltage", 0, UNCERTAIN_LAST_USABLE)


def test_a_trip_is_acknowledged_then_reset_and_only_when_its_cause_is_gone(script: Script) -> None:
    trip = f"{R1}.Alarms.CellOverVoltageTrip"
    script.given(R1, cell_v=3.7).later(4.0)
    assert script.alarm(trip)[0] == AlarmState.ACTIVE
    script.ask("ResetAlarms", R1).refused("PERMISSIVE", "rack:TripCausesGone", "rack:TripsAcknowledged")
    script.ask("CellOverVoltageTrip", R1, kind="acknowledge", arguments={"Comment": "seen"}).accepted().cycle()
    assert script.alarm(trip)[0] == AlarmState.ACTIVE_ACKNOWLEDGED
    script.given(R1, cell_v=3.3).later(8.0)
    assert script.alarm(trip)[0] == AlarmState.LATCHED_ACKNOWLEDGED
    script.expect(trip, 1).expect(f"{R1}.Protection.LatchedTrip", 1)
    script.ask("AcknowledgeAll", R1, arguments={"Comment": ""}).accepted().cycle()  # the rack's over-voltage as well
    script.ask("ResetAlarms", R1).accepted().cycle()
    script.expect(trip, 0).expect(f"{R1}.Protection.LatchedTrip", 0).expect(f"{R1}.Permissives.NoTripActive", 1)
    assert script.alarm(trip)[0] == AlarmState.NORMAL
    acknowledged = script.records(RecordKind.ACKNOWLEDGE)[0]
    assert isinstance(acknowledged, AckRecord)
    assert (acknowledged.condition, acknowledged.comment, acknowledged.user) == (
        "CellOverVoltageTrip",
        "seen",
        "operator",
    )


def test_a_reset_of_the_plant_names_what_it_leaves_out_and_why(script: Script) -> None:
    script.given(R1, cell_v=3.7).given(R2, cell_v=3.7).later(4.0).given(R1, cell_v=3.3).given(R2, cell_v=3.3).later(8.0)
    script.ask("AcknowledgeAll", R2, arguments={"Comment": ""}).accepted().cycle()
    script.ask("ResetAlarms", "ESS").accepted()
    assert script.answers[-1].message == f"2 trips reset; left out because of rack:TripsAcknowledged: {R1}"


def test_what_returns_before_anybody_has_seen_it_stays_unacknowledged(script: Script) -> None:
    script.given(R1, cell_v=3.56).later(8.0).given(R1, cell_v=3.3).later(8.0)
    script.expect(f"{R1}.Alarms.CellOverVoltage", 0)
    assert script.alarm(f"{R1}.Alarms.CellOverVoltage")[0] == AlarmState.RETURNED
    assert script.value("ESS.Alarms.UnacknowledgedCount") == script.value(f"{R1}.Alarms.UnacknowledgedCount") > 0
    script.ask("AcknowledgeAll", "ESS", arguments={"Comment": ""}).accepted().cycle()
    script.expect("ESS.Alarms.UnacknowledgedCount", 0)
    assert script.alarm(f"{R1}.Alarms.CellOverVoltage")[0] == AlarmState.NORMAL


def test_acknowledging_twice_or_without_the_role_or_an_unknown_condition_is_refused(script: Script) -> None:
    script.given(R1, cell_v=3.56).later(8.0)
    script.ask("CellOverVoltage", R1, kind="acknowledge", roles=["Observer"]).refused("ROLE")
    script.ask("NoSuchCondition", R1, kind="acknowledge").refused("NOT_SUPPORTED")
    script.ask("CellOverVoltage", R1, kind="acknowledge").accepted()
    script.ask("CellOverVoltage", R1, kind="acknowledge").refused("DUPLICATE")


def test_every_occurrence_counts_and_keeps_its_worst_value_and_place(script: Script) -> None:
    for volts in (3.57, 3.58):
        script.given(R1, cell=(1, 2, volts)).later(8.0).given(R1, cell_v=3.3).later(8.0)
    assert script.alarm(f"{R1}.Alarms.CellOverVoltage")[1] == 2
    alarms = script.state.protection.alarms
    place = alarms.places.conditions[alarms.places.by_name[R1, "CellOverVoltage"]].places[0]
    assert alarms.history.extreme[place] == pytest.approx(3.58, abs=1e-4)
    assert alarms.history.location[place] == 1002
    assert alarms.history.first_ns[place] < alarms.history.last_ns[place]


def test_a_threshold_of_the_site_file_is_obeyed(tmp_path: Path) -> None:
    lower = "CellOverVoltageWarning = 3.38\nCellOverVoltageLimit = 3.39\nCellOverVoltageTrip = 3.4\n"
    script = Script(tmp_path, f"[thresholds.rack]\n{lower}").at(2.0)
    script.given(R1, cell_v=3.42).later(4.0).expect(f"{R1}.Alarms.CellOverVoltageTrip", 1)


def test_an_interlock_trips_within_two_samples_and_does_not_latch(script: Script) -> None:
    script.given(R1, interlock_open=1.0).later(0.4).expect(f"{R1}.Alarms.InterlockOpen", 1)
    script.expect(f"{R1}.Protection.LatchedTrip", 0)
    script.given(R1, interlock_open=0.0).later(0.4).expect(f"{R1}.Alarms.InterlockOpen", 0)


def test_a_silent_rack_warns_after_one_second_limits_after_three_and_trips_after_ten(script: Script) -> None:
    mirror = f"{R1}.Alarms.CommunicationError"
    script.given(R1, silent=True).later(0.8).expect(mirror, 0).later(0.6).expect(mirror, 1).expect(f"{mirror}Limit", 0)
    script.later(2.0).expect(f"{mirror}Limit", 1).expect(f"{mirror}Trip", 0).later(7.0).expect(f"{mirror}Trip", 1)
    script.given(R1, silent=False).later(11.0).expect(f"{mirror}Trip", 0)
