"""A restart: what was latched, acknowledged, disabled and counted is so again; closed racks are taken over."""

from pathlib import Path

import msgspec
import pytest

from information_model.enumerations import AlarmState, Authority, OperatingState, StateOfChargeSource
from server.runtime.records import AlarmRecord, CommandRecord, OutcomeRecord, RecordKind, encode
from tests.unit.core.script import R1, R2, R3, MemoryLog, Script

S = OperatingState
FROZEN = Path(__file__).parents[2] / "data" / "formats" / "state-body-1.json"
"""Body of a retained state of version 1: R1 closed, R2 disabled, R3 tripped twice, array 2 in maintenance."""


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path).at(2.0)


def fold(script: Script) -> dict[str, object]:
    """The retained state now, without the times of writing."""
    content: dict[str, object] = msgspec.json.decode(script.state.retained.body(script.now))
    return {name: content[name] for name in ("alarms", "racks", "authority")}


def live(script: Script) -> Script:
    """Something of everything that is retained."""
    script.connected(R1).given(R3, cell_v=3.7).later(4.0)
    script.ask("Disable", R2).ask("SetAuthority", "ESS.ARR02", arguments={"Authority": 3}).later(0.5)
    script.ask("AcknowledgeAll", R3, arguments={"Comment": "seen"}, roles=["Engineer"]).accepted()
    return script.given(R3, cell_v=3.3).later(8.0).ask("ResetAlarms", R3, roles=["Engineer"]).accepted().cycle()


@pytest.mark.parametrize("keep_state", [True, False])
def test_a_new_core_knows_what_the_old_one_knew_from_state_or_from_the_log_alone(
    script: Script, keep_state: bool
) -> None:
    live(script).given(R3, cell_v=3.7).later(4.0)
    before, records = fold(script), len(script.log.records)
    script.restart(keep_state=keep_state)
    after = fold(script)
    assert len(script.log.records) == records  # a replay writes nothing
    assert after["authority"] == before["authority"]
    assert {n: r["enabled"] for n, r in after["racks"].items()} == {n: r["enabled"] for n, r in before["racks"].items()}  # type: ignore[attr-defined]
    flags = [{name: entry[:4] for name, entry in found["alarms"].items()} for found in (before, after)]  # type: ignore[attr-defined]
    assert flags[0] == flags[1]


def test_state_and_replay_give_the_same_whatever_moment_the_state_is_of(script: Script) -> None:
    script.connected(R1).given(R3, cell_v=3.7).later(1.0)
    body, number = script.state.retained.body(script.now), script.log.head
    script.later(3.0).ask("AcknowledgeAll", "ESS", arguments={"Comment": ""}).later(0.3)
    before = fold(script)["alarms"]
    script.start_from(body, number)
    after = fold(script)["alarms"]
    assert {n: e[:4] for n, e in after.items()} == {n: e[:4] for n, e in before.items()}  # type: ignore[attr-defined]


def test_a_closed_rack_is_taken_over_and_never_opened_by_a_restart(script: Script) -> None:
    script.connected(R1, ramp_s=6.0).given(R1, current_a=30.0).later(0.2).restart()
    script.cycle()  # nothing is requested yet
    assert script.outputs is not None
    assert script.outputs["north"]["desired"].tolist() == [0, 0]
    script.later(1.0).expect(f"{R1}.State.OperatingState", S.CLOSED).expect(f"{R1}.Control.ConnectRequested", 1)
    assert script.racks[R1].desired == 2
    script.asked(R2, 1)


def test_an_opening_that_was_under_way_is_finished_and_its_command_has_failed(script: Script) -> None:
    script.connected(R1).given(R1, current_a=30.0, follows_limits=False).ask("Disconnect", R1).later(1.0)
    sequence = script.answers[-1].sequence
    script.restart().given(R1, follows_limits=True).later(2.0).expect(f"{R1}.State.ContactorsClosed", 0)
    outcome = script.records(RecordKind.OUTCOME)[-1]
    assert isinstance(outcome, OutcomeRecord)
    assert (outcome.sequence, outcome.outcome) == (sequence, "failed")
    assert "restarted" in outcome.message


def test_a_disconnection_accepted_in_the_last_moment_is_not_forgotten(script: Script) -> None:
    script.connected(R1).ask("Disconnect", R1).accepted()  # killed before the next cycle
    script.restart(keep_state=False).later(2.0).expect(f"{R1}.State.ContactorsClosed", 0)


def test_a_connection_is_not_begun_again_by_a_restart(script: Script) -> None:
    script.ask("Connect", R1).accepted().restart(keep_state=False).later(2.0)
    script.expect(f"{R1}.State.ContactorsClosed", 0).expect(f"{R1}.Control.CommandFailed", 1)


def test_a_latched_trip_stays_latched_and_its_rack_open(script: Script) -> None:
    script.connected(R1).given(R1, cell_v=3.7).later(4.0).given(R1, cell_v=3.3).later(5.0).restart().later(2.0)
    script.expect(f"{R1}.Alarms.CellOverVoltageTrip", 1).expect(f"{R1}.State.OperatingState", S.FAULT)
    script.ask("Connect", R1).refused("PERMISSIVE", "rack:NoTripActive")
    assert script.alarm(f"{R1}.Alarms.CellOverVoltageTrip")[:2] == (AlarmState.LATCHED, 1)
    script.expect(f"{R1}.Counters.TripCount", 2)  # the rack's own over-voltage trips too


def test_a_lost_state_latches_every_trip_until_somebody_has_looked(script: Script) -> None:
    script.later(1.0)
    script.state.protection.alarms.latch_everything(script.now)
    script.later(1.0).ask("Connect", "ESS").refused("PERMISSIVE", "system:AnyRackAvailable")
    texts = {r.text for r in script.records(RecordKind.ALARM) if isinstance(r, AlarmRecord)}
    assert texts == {"state lost"}
    script.ask("AcknowledgeAll", "ESS", arguments={"Comment": "looked"}).accepted().cycle()
    script.ask("ResetAlarms", "ESS").accepted().later(0.5).ask("Connect", "ESS").accepted()


def test_counters_and_the_charge_go_on(script: Script) -> None:
    script.connected(R1, ramp_s=6.0).given(R1, current_a=50.0).later(20.0)
    counted, charge = (
        script.value(f"{R1}.{name}") for name in ("Counters.DischargeThroughput", "Measurements.StateOfCharge")
    )
    assert counted > 0.2
    script.restart().cycle()
    assert script.value(f"{R1}.Counters.DischargeThroughput") == pytest.approx(counted, abs=0.01)
    assert script.value(f"{R1}.Measurements.StateOfCharge") == pytest.approx(charge, abs=0.1)
    script.expect(f"{R1}.Estimation.StateOfChargeSource", StateOfChargeSource.COUNTING)
    script.expect(f"{R1}.Contactors.Positive.OperationCount", 1)


@pytest.mark.parametrize("body", [b"", b"{}", b"[]", b"\xff", b'{"version": 2}', b'{"version": 1, "alarms": {"a": 3}}'])
def test_a_body_that_cannot_be_read_is_refused_with_a_reason(script: Script, body: bytes) -> None:
    with pytest.raises(ValueError, match="retained state"):
        script.state.retained.restore(body, script.now)


def test_records_of_another_site_or_of_a_newer_program_are_passed_over(
    script: Script, caplog: pytest.LogCaptureFixture
) -> None:
    log = MemoryLog()
    for content in (
        AlarmRecord("ESS.ARR09.R001", "CellOverVoltage", 1, "CellOverVoltage", active=True),
        AlarmRecord(R1, "NoSuchAlarm", 3, "NoSuchAlarm", active=True, latched=True),
    ):
        log.append(RecordKind.ALARM, encode(RecordKind.ALARM, content), 0, 0)
    command = CommandRecord("1", 4, "Explode", "ESS")
    log.append(RecordKind.COMMAND, encode(RecordKind.COMMAND, command), 0, 0)
    log.append(
        RecordKind.OUTCOME, encode(RecordKind.OUTCOME, OutcomeRecord("1", 4, "Explode", "ESS", "accepted")), 0, 0
    )
    log.append(99, b"{}", 0, 0)
    log.append(RecordKind.ALARM, b"not json", 0, 0)
    script.state.retained.replay(log.records, script.now)
    assert len(caplog.messages) == 2  # a kind of a newer program, and one that is no record
    script.cycle().expect("ESS.Alarms.ActiveTripCount", 0)


def test_a_body_as_the_first_version_wrote_it_is_read(script: Script) -> None:
    script.state.retained.restore(FROZEN.read_bytes(), script.now)
    script.state.retained.finish(script.now)
    script.cycle().expect(f"{R3}.Alarms.CellOverVoltageTrip", 1).expect(f"{R2}.State.Enabled", 0)
    script.expect("ESS.ARR02.Control.Authority", Authority.MAINTENANCE).expect(
        f"{R1}.Contactors.Positive.OperationCount", 1
    )
    assert script.alarm(f"{R3}.Alarms.CellOverVoltageTrip")[1] == 2


def test_authority_survives(script: Script) -> None:
    script.ask("SetAuthority", "ESS.ARR01", arguments={"Authority": 1}, origin="local").accepted()
    script.restart(keep_state=False).later(0.5).expect("ESS.ARR01.Control.Authority", Authority.LOCAL)
    script.ask("Connect", R1).refused("AUTHORITY")
