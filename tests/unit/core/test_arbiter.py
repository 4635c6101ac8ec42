"""Who may command what, and why not: every reason of refusal, what is recorded, what waits for the disk."""

from pathlib import Path

import pytest

from information_model.enumerations import Authority, CommandOutcome, RefusalReason
from server.runtime.records import AuditRecord, CommandRecord, OutcomeRecord, RecordKind
from tests.unit.core.script import R1, R2, Script


@pytest.fixture
def script(tmp_path: Path) -> Script:
    return Script(tmp_path).at(2.0)


def test_an_accepted_command_is_recorded_with_who_and_where_before_it_is_answered(script: Script) -> None:
    script.ask("Connect", R1, peer="10.0.0.7:4711").accepted()
    answer = script.answers[-1]
    command, outcome = script.records(RecordKind.COMMAND)[-1], script.records(RecordKind.OUTCOME)[-1]
    assert isinstance(command, CommandRecord)
    assert isinstance(outcome, OutcomeRecord)
    assert (command.user, command.face, command.peer, command.target) == ("operator", "test", "10.0.0.7:4711", R1)
    assert command.sequence == outcome.sequence == answer.sequence == script.log.head
    assert outcome.outcome == "accepted"
    assert script.waits


def test_a_refused_command_has_a_number_and_a_record_too(script: Script) -> None:
    script.ask("Connect", R1, roles=["Observer"]).refused("ROLE").cycle()
    assert script.answers[-1].sequence == script.value(f"{R1}.Control.LastCommandSequence") > 0
    script.expect(f"{R1}.Control.LastCommandOutcome", CommandOutcome.REFUSED)
    script.expect(f"{R1}.Control.RefusalReason", RefusalReason.ROLE)
    outcome = script.records(RecordKind.OUTCOME)[-1]
    assert isinstance(outcome, OutcomeRecord)
    assert (outcome.outcome, outcome.reason) == ("refused", "ROLE")
    assert not script.waits


@pytest.mark.parametrize("roles", [[], ["Observer"], ["SecurityAdmin"], ["operator"], ["Root"]])
def test_without_a_role_that_the_command_names_nothing_happens(script: Script, roles: list[str]) -> None:
    script.ask("Connect", R1, roles=roles).refused("ROLE").later(1.0).asked(R1, 1)


def test_what_does_not_exist_is_not_supported(script: Script) -> None:
    script.ask("Explode", R1).refused("NOT_SUPPORTED")
    script.ask("Connect", "ESS.ARR09").refused("NOT_SUPPORTED")
    script.ask("Enable", "ESS.ARR01").refused("NOT_SUPPORTED")  # racks only
    script.ask("Connect", f"{R1}.M01").refused("NOT_SUPPORTED")


@pytest.mark.parametrize(
    "arguments",
    [{}, {"Authority": 4}, {"Authority": 0}, {"Authority": float("nan")}, {"Authority": float("inf")},
     {"Authority": "2"}, {"Authority": True}, {"Authority": 2.5}, {"Authority": 2, "Other": 1}],
)  # fmt: skip
def test_arguments_out_of_range_missing_or_of_another_type_are_refused(script: Script, arguments: dict) -> None:
    script.ask("SetAuthority", "ESS", arguments=arguments).refused("RANGE")


def test_the_false_permissives_are_named_with_their_level(script: Script) -> None:
    script.ask("Disable", R1).later(0.3).given(R1, interlock_open=1.0).later(1.0)
    script.ask("Connect", R1).refused("PERMISSIVE", "rack:NoTripActive", "rack:Enabled")


def test_the_same_command_twice_within_a_second_is_a_duplicate(script: Script) -> None:
    script.ask("Enable", R1).accepted().ask("Enable", R1).refused("DUPLICATE").ask("Enable", R2).accepted()
    script.later(1.1).ask("Enable", R1).accepted()


def test_an_element_that_is_being_switched_is_busy_for_its_parents_and_children(script: Script) -> None:
    script.ask("Connect", "ESS.ARR01").accepted().cycle()
    script.ask("Connect", R1).refused("BUSY").ask("Connect", "ESS").refused("BUSY").ask(
        "Connect", "ESS.ARR02"
    ).accepted()


def test_opening_overtakes_connecting_and_an_emergency_overtakes_everything(script: Script) -> None:
    script.ask("Connect", "ESS").accepted().cycle().ask("Disconnect", R1).accepted().cycle()
    script.ask("Disconnect", R1, user="another").refused("BUSY").later(3.0)
    script.expect("ESS.State.ConnectedRackCount", 3).expect("ESS.Control.LastCommandOutcome", CommandOutcome.DONE)
    script.ask("Connect", R1).accepted().cycle()
    script.ask("EmergencyDisconnect", "ESS").accepted().ask("EmergencyDisconnect", "ESS").accepted().cycle()
    script.expect(f"{R1}.Control.LastCommandOutcome", CommandOutcome.FAILED).expect(f"{R1}.Control.CommandFailed", 0)
    script.later(3.0).expect("ESS.State.ConnectedRackCount", 0)


def test_remote_commands_are_refused_while_the_authority_is_local_and_say_so(script: Script) -> None:
    script.ask("SetAuthority", "ESS.ARR01", arguments={"Authority": 1}).refused("AUTHORITY")  # not from remote
    script.ask("SetAuthority", "ESS.ARR01", arguments={"Authority": 1}, origin="local").accepted().cycle()
    script.expect("ESS.ARR01.Control.Authority", Authority.LOCAL).expect(f"{R1}.State.LocalControl", 1)
    script.expect("ESS.ARR02.State.LocalControl", 0)
    script.ask("Connect", R1).refused("AUTHORITY")
    assert "on site" in script.answers[-1].message
    script.ask("Connect", R1, origin="local").accepted()
    script.ask("SetAuthority", "ESS.ARR01", arguments={"Authority": 2}).refused("AUTHORITY")  # never back remotely


def test_an_emergency_disconnection_is_refused_to_nobody_with_the_role(script: Script) -> None:
    script.ask("SetAuthority", "ESS", arguments={"Authority": 1}, origin="local").accepted()
    script.ask("EmergencyDisconnect", "ESS", origin="remote").accepted()


def test_people_on_site_may_open_but_not_close_while_the_authority_is_remote(script: Script) -> None:
    script.connected(R1).ask("Connect", R2, origin="local").refused("AUTHORITY")
    script.ask("Disconnect", R1, origin="local").accepted()


def test_an_unknown_origin_is_refused(script: Script) -> None:
    script.ask("Connect", R1, origin="elsewhere").refused("AUTHORITY")


def test_in_maintenance_nothing_is_closed_and_only_an_engineer_opens_from_afar(script: Script) -> None:
    script.connected(R1).ask("SetAuthority", R1, arguments={"Authority": 3}).accepted().cycle()
    script.ask("Connect", R1).refused("AUTHORITY").ask("Disconnect", R1).refused("AUTHORITY")
    script.ask("Disconnect", R1, roles=["Engineer"]).accepted()


def test_a_test_command_is_judged_and_recorded_and_does_nothing(script: Script) -> None:
    script.ask("Connect", R1, test=True).accepted().later(1.0).asked(R1, 1)
    outcome = script.records(RecordKind.OUTCOME)[-1]
    assert isinstance(outcome, OutcomeRecord)
    assert outcome.message == "test: nothing was done"


def test_without_a_durable_journal_nothing_is_closed_and_everything_opens(script: Script) -> None:
    script.connected(R1)
    script.log.disk = False
    script.ask("Enable", R2).later(3.0).expect("ESS.Permissives.JournalWritable", 0)
    script.ask("Connect", R2).refused(
        "PERMISSIVE", "rack:JournalWritable", "array:JournalWritable", "system:JournalWritable"
    )
    script.ask("Disconnect", R1).accepted().later(1.0).expect(f"{R1}.State.ContactorsClosed", 0)
    script.log.disk = True
    script.later(0.3).ask("Connect", R2).accepted()


def test_opening_works_even_when_nothing_can_be_recorded_any_more(script: Script) -> None:
    script.connected(R1)
    script.log.full = True
    script.ask("EmergencyDisconnect", R1).accepted().later(1.0).expect(f"{R1}.State.ContactorsClosed", 0)
    assert script.pen.lost > 0


def test_the_outcome_follows_the_feedback_and_carries_the_number_of_the_command(script: Script) -> None:
    script.ask("Connect", R1).accepted()
    sequence = script.answers[-1].sequence
    script.later(1.0)
    outcome = script.records(RecordKind.OUTCOME)[-1]
    assert isinstance(outcome, OutcomeRecord)
    assert (outcome.outcome, outcome.sequence, outcome.id) == ("done", sequence, script.answers[-1].id)
    script.expect(f"{R1}.Control.LastCommandSequence", sequence).expect(f"{R1}.Control.CommandInProgress", 0)


def test_audit_entries_of_a_face_go_to_the_log_and_settings_are_refused(script: Script) -> None:
    arguments = {"event": "Login", "ok": False, "detail": "wrong password"}
    script.ask("", "ESS", kind="audit", user="mallory", face="opcua", arguments=arguments).accepted()
    record = script.records(RecordKind.AUDIT)[-1]
    assert record == AuditRecord("opcua", "Login", "mallory", "", ok=False, detail="wrong password")
    script.ask("", "ESS", kind="setting").refused("NOT_SUPPORTED")


def test_texts_of_any_length_are_recorded_cut_and_hurt_nobody(script: Script) -> None:
    script.ask("x" * 60_000, "y" * 60_000, user="z" * 60_000).refused("NOT_SUPPORTED")
    script.ask("AcknowledgeAll", "ESS", arguments={"Comment": "c" * 1000}).accepted()
    script.ask("AcknowledgeAll", "ESS", arguments={"Comment": "c" * 1001}, user="u").refused("RANGE")
    assert script.pen.lost == 0
