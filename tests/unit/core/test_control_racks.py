"""A rack from off to closed and back: what is asked of it, and which feedback moves it on."""

from pathlib import Path

import pytest

from information_model.enumerations import ConnectionFailure, DERState, OperatingState
from information_model.quality import UNCERTAIN_LAST_USABLE
from server.runtime.records import ModeRecord, RecordKind
from tests.unit.core.script import CLOSED, OPEN, R1, R2, R3, Script

S = OperatingState


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path).at(2.0)


def test_nothing_is_requested_before_a_racks_counter_has_advanced_twice(tmp_path: Path) -> None:
    script = Script(tmp_path).at(0.2).asked(R1, 0)
    assert script.status(f"{R1}.State.OperatingState") == UNCERTAIN_LAST_USABLE
    script.at(0.5).asked(R1, 1).expect(f"{R1}.State.OperatingState", S.STANDBY)


def test_a_rack_whose_counter_stands_still_is_never_asked_for_anything(tmp_path: Path) -> None:
    Script(tmp_path).given(R1, alive=False).at(5.0).asked(R1, 0).asked(R2, 1)


def test_closing_goes_through_precharge_and_is_done_when_both_contactors_were_seen_closed(script: Script) -> None:
    state = f"{R1}.State.OperatingState"
    script.ask("Connect", R1).accepted().cycle().expect(state, S.PRECHARGE).asked(R1, 2)
    script.expect(f"{R1}.Control.CommandInProgress", 1).expect(f"{R1}.State.OperationalState", DERState.SYNCHRONISING)
    script.later(1.0).expect(state, S.CLOSED).expect(f"{R1}.State.BatteryOn", 1).expect(
        f"{R1}.Control.LastCommandOutcome", 3
    )
    script.expect(f"{R1}.Contactors.Positive.OperationCount", 1).expect("ESS.State.ConnectedRackCount", 1)
    changes = [(r.old, r.new) for r in script.records(RecordKind.MODE) if isinstance(r, ModeRecord)]
    assert changes == [("STANDBY", "PRECHARGE"), ("PRECHARGE", "CLOSED")]


def test_limits_are_zero_until_the_rack_is_closed_and_then_rise_by_a_ramp(script: Script) -> None:
    limit = f"{R1}.Limits.MaxDischargeCurrent"
    script.expect(limit, 0).ask("Connect", R1).later(0.3).expect(limit, 0).later(0.6)
    assert 0 < script.value(limit) < 100
    script.later(6.0).expect(limit, 100)
    assert script.racks[R1].discharge_limit_a == 100


def test_an_ordinary_opening_asks_for_zero_current_first_and_opens_when_it_is_there(script: Script) -> None:
    script.connected(R1).given(R1, current_a=50.0, follows_limits=False).cycle()
    script.ask("Disconnect", R1).accepted().later(2.0)
    script.expect(f"{R1}.State.OperatingState", S.OPENING).asked(R1, 2)  # still carries 50 A
    assert script.racks[R1].discharge_limit_a == 0
    script.given(R1, current_a=0.5).later(0.5).expect(f"{R1}.State.OperatingState", S.STANDBY).asked(R1, 1)
    script.expect(f"{R1}.Control.LastCommandOutcome", 3)


def test_an_ordinary_opening_is_given_up_where_the_current_does_not_fall(script: Script) -> None:
    script.connected(R1).given(R1, current_a=50.0, follows_limits=False).ask("Disconnect", R1).later(9.0)
    script.expect(f"{R1}.State.OperatingState", S.CLOSED).expect(f"{R1}.Control.LastCommandOutcome", 4)
    script.expect(f"{R1}.Alarms.CommandFailed", 1)


def test_a_trip_opens_after_three_seconds_even_if_the_current_stays(script: Script) -> None:
    script.connected(R1).given(R1, current_a=50.0, follows_limits=False, interlock_open=1.0).later(0.4)
    script.expect(f"{R1}.State.OperatingState", S.OPENING).asked(R1, 2)
    script.expect(f"{R1}.State.OperationalState", DERState.EMERGENCY_STOPPING)
    script.later(2.5).asked(R1, 2).later(0.6).asked(R1, 1).later(0.5)
    script.expect(f"{R1}.State.OperatingState", S.FAULT)


def test_an_emergency_disconnection_opens_at_once_where_the_current_allows_it(script: Script) -> None:
    script.connected(R1).ask("EmergencyDisconnect", "ESS").accepted()
    assert not script.waits
    script.cycle().cycle().asked(R1, 1).later(0.5).expect(f"{R1}.State.ContactorsClosed", 0)
    script.expect("ESS.Control.LastCommandOutcome", 3)


def test_a_rack_that_does_not_close_is_opened_again_and_locked_after_the_second_time(script: Script) -> None:
    script.given(R1, refuses_to_close=True).ask("Connect", R1).accepted().later(6.0)
    script.expect(f"{R1}.State.CloseFailureCount", 1).expect(f"{R1}.Control.LastCommandOutcome", 4).asked(R1, 1)
    script.ask("Connect", R1).refused("PERMISSIVE", "rack:PrechargeAvailable")
    script.later(11.0).ask("Connect", R1).accepted().later(6.0)
    script.expect(f"{R1}.Alarms.ContactorNotClosingTrip", 1).expect(f"{R1}.State.OperatingState", S.FAULT)
    script.expect(f"{R1}.State.ConnectionFailureReason", ConnectionFailure.CONTACTOR)


def test_a_precharge_that_does_not_end_counts_as_a_precharge_failure(script: Script) -> None:
    script.given(R1, precharge_only=True).ask("Connect", R1).later(6.0)
    script.expect(f"{R1}.State.PrechargeFailureCount", 1).expect(f"{R1}.State.CloseFailureCount", 0)
    script.expect(f"{R1}.State.ConnectionFailureReason", ConnectionFailure.PRECHARGE)


def test_a_welded_contactor_is_found_alarmed_and_keeps_the_rack_in_fault(script: Script) -> None:
    script.connected(R1).given(R1, welded=True).ask("Disconnect", R1).later(5.0)
    script.expect(f"{R1}.State.WeldDetected", 1).expect(f"{R1}.Contactors.Positive.WeldDetected", 1)
    script.expect(f"{R1}.Alarms.ContactorWelded", 1).expect(f"{R1}.State.OperatingState", S.FAULT)
    script.later(10.0).expect(f"{R1}.Control.LastCommandOutcome", 4)


def test_a_rack_that_opens_by_itself_is_seen_and_not_closed_again(script: Script) -> None:
    script.connected(R1)
    script.racks[R1].main = OPEN
    script.racks[R1].refuses_to_close = True
    script.cycle().expect(f"{R1}.Control.ConnectRequested", 0).later(5.0).asked(R1, 1)


def test_a_rack_that_closes_although_nobody_asked_is_opened(script: Script) -> None:
    script.racks[R1].main, script.racks[R1].welded = CLOSED, False
    script.racks[R1].asked_for_s = -1.0  # the opening request takes effect a second later
    script.cycle().expect(f"{R1}.State.OperatingState", S.OPENING).later(3.0)
    script.expect(f"{R1}.State.OperatingState", S.STANDBY)


def test_a_silent_rack_gets_zero_current_and_is_opened_when_it_is_lost(script: Script) -> None:
    script.connected(R1).given(R1, silent=True).later(4.0)
    script.expect(f"{R1}.Limits.MaxChargeCurrent", 0).later(8.0)
    assert script.outputs is not None
    assert script.outputs["north"]["desired"].tolist() == [1, 1]


def test_the_lease_is_renewed_and_the_alive_counter_advances_in_each_cycle(script: Script) -> None:
    assert script.outputs is not None
    before = script.outputs["north"]["alive"].copy()
    script.cycle()
    block = script.outputs["north"]
    assert (block["alive"] == before + 1).all()
    assert (block["lease_until_mono_ns"] == script.ns + 1_000_000_000).all()
    script.expect(f"{R1}.Control.LeaseRemaining", 1.0)


def test_a_disabled_rack_opens_and_cannot_be_connected_until_it_is_enabled(script: Script) -> None:
    script.connected(R3).ask("Disable", R3).accepted().later(1.0)
    script.expect(f"{R3}.State.Enabled", 0).expect(f"{R3}.State.ContactorsClosed", 0)
    script.ask("Connect", R3).refused("PERMISSIVE", "rack:Enabled")
    script.ask("Enable", R3).accepted().cycle().ask("Connect", R3).accepted()


def test_a_rack_far_from_the_voltage_of_a_live_bus_is_refused_and_an_idle_bus_is_no_matter(script: Script) -> None:
    script.connected(R1).given(R2, cell_v=3.29).given(R1, cell_v=2.9).later(2.0)  # 3.1 V apart, 3 V allowed
    script.ask("Connect", R2).refused("PERMISSIVE", "rack:VoltageDifferenceGood")
    script.ask("Disconnect", R1).later(2.0).ask("Connect", R2).accepted().later(1.0)
    script.expect(f"{R2}.State.ContactorsClosed", 1)
