"""Commands as an OPC UA client that is not ours gives them: refused with reasons, then accepted and done (F-53, F-55)."""

import pytest

from tests.interop.conftest import RACK, connect, outcome

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def test_f55_a_command_is_refused_with_its_reasons_then_accepted_and_done(client) -> None:
    rack = "ns=3;s=ESS.ARR02.R002"

    def call(name: str) -> dict:
        return client("call", object=rack, method=f"{rack}.Control.{name}")

    assert call("Disable")["outputs"][0] == 1
    assert outcome(client, rack, 3) == 3
    refused = call("Connect")
    assert refused["status"] == "Good"
    code, message, sequence = refused["outputs"]
    assert code == 2
    assert "Enabled" in message
    assert sequence > 0
    assert outcome(client, rack, 2) == 2
    names = ("LastCommandOutcome", "RefusalReason", "LastCommandSequence")
    state = client("read", nodes=[{"id": f"{rack}.Control.{name}"} for name in names])
    assert [v["value"] for v in state] == [2, 3, sequence]
    assert call("Enable")["outputs"][0] == 1
    assert outcome(client, rack, 3) == 3
    accepted = client("call", object=f"{rack}.Control", method=f"{rack}.Control.Connect")
    assert accepted["outputs"][0] == 1
    assert accepted["outputs"][2] > sequence
    assert outcome(client, rack, 3) == 3
    (position,) = client("read", nodes=[{"id": f"{rack}.Contactors.Position"}])
    assert position["value"] == 2


def test_f53_wrong_arguments_and_roles_are_refused_by_the_service(client, program) -> None:
    method = f"{RACK}.Control.SetAuthority"

    def call(arguments: list) -> dict:
        return client("call", object=RACK, method=method, arguments=arguments)

    assert call([])["status"] == "BadArgumentsMissing"
    assert call([{"type": "Int32", "value": 2}, {"type": "Int32", "value": 2}])["status"] == "BadTooManyArguments"
    wrong = call([{"type": "String", "value": "x"}])
    assert (wrong["status"], wrong["inputs"]) == ("BadInvalidArgument", ["BadTypeMismatch"])
    outside = call([{"type": "Int32", "value": 9}])
    assert (outside["status"], outside["inputs"]) == ("BadInvalidArgument", ["BadOutOfRange"])
    assert client("call", object=RACK, method="ns=3;s=ESS.Control.Connect")["status"] == "BadMethodInvalid"
    client("disconnect")
    connect(client, program, "observer")
    assert client("call", object=RACK, method=f"{RACK}.Control.Connect")["status"] == "BadUserAccessDenied"
