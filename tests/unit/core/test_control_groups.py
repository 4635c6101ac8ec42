"""Arrays and the system: racks one after another, what is left out, and what the group shows."""

from pathlib import Path

import pytest

from information_model.enumerations import ChargeStatus, LimitReason, OperatingState
from server.runtime.records import OutcomeRecord, RecordKind
from tests.unit.core.script import R1, R2, R3, R4, RACKS, Script

S = OperatingState


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path).at(2.0)


def last_outcome(script: Script) -> OutcomeRecord:
    record = script.records(RecordKind.OUTCOME)[-1]
    assert isinstance(record, OutcomeRecord)
    return record


def test_the_racks_of_an_array_are_connected_one_after_another(script: Script) -> None:
    script.ask("Connect", "ESS.ARR01").accepted().cycle()
    assert sorted(script.racks[name].desired for name in (R1, R2)) == [1, 2]
    script.later(3.0).expect("ESS.ARR01.State.ConnectedRackCount", 2).expect("ESS.State.ConnectedRackCount", 2)
    assert last_outcome(script).message == "2 of 2 racks connected"


def test_the_arrays_of_a_system_are_connected_side_by_side(script: Script) -> None:
    script.ask("Connect", "ESS").accepted().cycle()
    assert [script.racks[name].desired for name in RACKS].count(2) == 2
    script.later(3.0).expect("ESS.State.ConnectedRackCount", 4).expect("ESS.State.OperatingState", S.CLOSED)


def test_a_rack_that_may_not_be_closed_is_left_out_and_named(script: Script) -> None:
    script.ask("Disable", R2).later(1.0).ask("Connect", "ESS.ARR01").accepted().later(3.0)
    script.expect("ESS.ARR01.State.ConnectedRackCount", 1).expect("ESS.ARR01.Control.LastCommandOutcome", 3)
    assert last_outcome(script).message == f"1 of 2 racks connected; left out: {R2} (not permitted)"


def test_a_group_command_fails_when_no_rack_could_be_connected(script: Script) -> None:
    for rack in (R1, R2):
        script.given(rack, refuses_to_close=True)
    script.ask("Connect", "ESS.ARR01").accepted().later(15.0).expect("ESS.ARR01.Control.LastCommandOutcome", 4)
    script.expect("ESS.ARR01.Control.CommandFailed", 1).expect("ESS.ARR01.Alarms.CommandFailed", 1)


def test_one_tripped_rack_blocks_no_other(script: Script) -> None:
    script.given(R1, interlock_open=1.0).later(1.0).ask("Connect", R1).refused("PERMISSIVE", "rack:NoTripActive")
    script.ask("Connect", "ESS").accepted().later(4.0).expect("ESS.State.ConnectedRackCount", 3)


def test_a_group_without_an_available_rack_is_refused(script: Script) -> None:
    for rack in (R3, R4):
        script.ask("Disable", rack).later(0.3)
    script.ask("Connect", "ESS.ARR02").refused("PERMISSIVE", "array:AnyRackAvailable")
    script.expect("ESS.ARR02.State.AvailableRackCount", 0).expect("ESS.State.AvailableRackCount", 2)


def test_disconnecting_the_system_opens_everything(script: Script) -> None:
    script.ask("Connect", "ESS").later(4.0).ask("Disconnect", "ESS").accepted().later(2.0)
    script.expect("ESS.State.ConnectedRackCount", 0).expect("ESS.Permissives.ContactorsOpen", 1)
    script.expect("ESS.Control.LastCommandOutcome", 3)


def test_an_array_may_carry_what_its_weakest_rack_allows_times_its_share(script: Script) -> None:
    script.ask("Connect", "ESS.ARR01").later(10.0).expect("ESS.ARR01.Limits.MaxChargeCurrent", 200)
    script.expect("ESS.ARR01.Limits.ChargeLimitReason", LimitReason.RATING)
    script.given(R2, cell_v=3.54).later(3.0)  # half-way down the charging curve
    assert script.value(f"{R2}.Limits.MaxChargeCurrent") == pytest.approx(51, abs=1)
    assert script.value("ESS.ARR01.Limits.MaxChargeCurrent") == pytest.approx(2 * 51, abs=2)
    script.expect("ESS.ARR01.Limits.ChargeLimitReason", LimitReason.CELL_VOLTAGE)
    script.expect("ESS.ARR01.Limits.ChargeLimitingRack", 2).expect(f"{R2}.State.OperatingState", S.DERATED)
    script.expect("ESS.ARR01.Limits.MaxDischargeCurrent", 200)
    assert script.value("ESS.Limits.AvailableDischargePower") == pytest.approx(200 * 8 * 3.42, rel=0.02)


def test_a_group_shows_which_way_the_current_goes(script: Script) -> None:
    script.ask("Connect", "ESS.ARR01").later(10.0)
    script.expect("ESS.ARR01.State.ChargeStatus", ChargeStatus.HOLDING).expect("ESS.ARR02.State.ChargeStatus", 1)
    for rack in (R1, R2):
        script.given(rack, current_a=-40.0)
    script.later(0.8).expect("ESS.ARR01.State.ChargeStatus", ChargeStatus.CHARGING).expect(f"{R1}.State.Charging", 1)
    script.expect("ESS.State.ChargeStatus", ChargeStatus.CHARGING)
