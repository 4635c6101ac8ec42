"""What an OPC UA client that is not ours sees of the running demo plant (acceptance F-01, F-1x, F-2x, F-4x, F-5x)."""

import csv
import io
import itertools
import json
import os
import signal
import subprocess
import time
from pathlib import Path

import pytest

from information_model.exports import as_csv
from information_model.points.row import BUILT_IN
from server.config.site import load_site
from tests.interop.conftest import connect, trust_all
from tests.interop.node_client import ClientError, NodeClient
from tests.program import PASSWORD, ROOT

RACK = "ns=3;s=ESS.ARR01.R001"
BAND_V = 0.02
RASTER_WINDOW_MS = 8_000.0
HERE = Path(__file__).parent
TYPE_NAMES = {
    1: "Boolean",
    3: "Byte",
    5: "UInt16",
    6: "Int32",
    7: "UInt32",
    10: "Float",
    11: "Double",
    12: "String",
    13: "DateTime",
}
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def point_list() -> dict[str, dict[str, str]]:
    site = load_site(ROOT / "examples" / "demo.toml")
    return {row["node_id"]: row for row in csv.DictReader(io.StringIO(as_csv(site.catalogue, site.names, site.id)))}


def test_f11_offered_policies_are_those_of_the_configuration(client, program) -> None:
    found = client("endpoints", endpoint=program.endpoint)
    assert {(e["mode"], e["policy"].partition("#")[2]) for e in found} == {
        (mode, policy)
        for mode in ("Sign", "SignAndEncrypt")
        for policy in ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
    }
    assert all(e["url"].startswith("opc.tcp://127.0.0.1:") for e in found)
    assert all(e["tokens"] == ["UserName"] for e in found)


def test_f12_an_unknown_certificate_is_refused_then_trusted_without_restart(program, tmp_path) -> None:
    node = NodeClient(tmp_path)
    try:
        with pytest.raises(ClientError):
            node.connect(program.endpoint, "observer", PASSWORD)
        (thumbprint,) = trust_all(program.data)
        assert f"gridbms certs trust {thumbprint}" in program.log.read_text()
        pid = program.pid("opcua")
        connect(node, program, "observer", policy="Aes256_Sha256_RsaPss")
        assert program.pid("opcua") == pid
    finally:
        node.close()


def test_f15_a_wrong_password_is_refused(client_folder, program, client) -> None:
    client("disconnect")
    for user, password in (("observer", "wrong"), ("admin", "admin"), ("nobody", PASSWORD)):
        with pytest.raises(ClientError, match=r"BadUserAccessDenied|BadIdentityTokenRejected"):
            client.connect(program.endpoint, user, password)
    assert PASSWORD not in program.log.read_text()


def test_f21_browsing_finds_exactly_the_point_list(client, point_list) -> None:
    nodes = client("browseAll", root="ns=3;s=ESS", namespace=3, page=9)
    variables = {node["id"].removeprefix("ns=3;s=") for node in nodes if node["class"] == 2}
    assert set(point_list) <= variables
    members = (
        "EURange",
        "EngineeringUnits",
        "Iec61850Ref",
        "State",
        "Count",
        "LastTime",
        "InputArguments",
        "OutputArguments",
    )
    others = {name for name in variables - set(point_list) if name.rpartition(".")[2] not in members}
    assert others == set()
    ids = [node["id"] for node in nodes]
    assert len(ids) == len(set(ids))


def test_f22_every_variable_has_type_unit_range_and_description(client, point_list) -> None:
    ids = list(point_list)
    site = load_site(ROOT / "examples" / "demo.toml")
    wanted = [
        {"id": f"ns=3;s={name}", "attribute": attribute}
        for name in ids
        for attribute in ("DataType", "Description", "ValueRank", "AccessLevel")
    ]
    found = client("read", nodes=wanted)
    for i, name in enumerate(ids):
        row = point_list[name]
        data_type, description, rank, access = (cell["value"] for cell in found[4 * i : 4 * i + 4])
        place = site.catalogue.find(name)
        assert place is not None
        if place[0].point.is_enumeration:
            assert data_type == f"ns=2;s={row['data_type']}"
        else:
            assert data_type == f"ns=0;i={BUILT_IN[row['data_type']]}"
        assert description == row["description"]
        assert rank == {"": -1}.get(row["array_dimensions"], row["array_dimensions"].count("x") + 1)
        assert (access & 4 == 4) == (row["history"] != "none")
    ranged = [name for name in ids if point_list[name]["range_low"] and point_list[name]["unit"]]
    units = client("read", nodes=[{"id": f"ns=3;s={name}.EngineeringUnits"} for name in ranged])
    ranges = client("read", nodes=[{"id": f"ns=3;s={name}.EURange"} for name in ranged])
    for name, unit, eu_range in zip(ranged, units, ranges, strict=True):
        row = point_list[name]
        assert unit["value"]["unitId"] == int.from_bytes(row["unece_code"].encode(), "big")
        assert unit["value"]["displayName"] == row["unit"]
        assert float(eu_range["value"]["low"]) == pytest.approx(float(row["range_low"]))
        assert float(eu_range["value"]["high"]) == pytest.approx(float(row["range_high"]))


def test_values_have_the_type_that_the_point_list_says(client, point_list) -> None:
    found = client("read", nodes=[{"id": f"ns=3;s={name}"} for name in point_list])
    site = load_site(ROOT / "examples" / "demo.toml")
    for name, value in zip(point_list, found, strict=True):
        place = site.catalogue.find(name)
        assert place is not None
        if value["value"] is not None:
            assert value["type"] == TYPE_NAMES[place[0].point.built_in], name
            assert value["source"] is not None, name
        else:
            assert value["status"] >= 0x8000_0000, name


def test_f24_a_value_that_was_never_measured_is_bad_and_no_number(client) -> None:
    (value,) = client("read", nodes=[{"id": f"{RACK}.Measurements.DcVoltage"}])
    assert value["name"] == "Good"
    (wrong,) = client("read", nodes=[{"id": f"{RACK}.Measurements.NoSuchPoint"}])
    assert (wrong["value"], wrong["name"]) == (None, "BadNodeIdUnknown")


def test_f25_a_thousand_items_get_their_first_value(client, point_list) -> None:
    names = [name for name, row in point_list.items() if row["kind"] == "scalar"][:1000]
    assert len(names) == 1000
    results = client("subscribe", name="many", nodes=[f"ns=3;s={name}" for name in names], sampling=1000, interval=200)
    assert {result["status"] for result in results} == {"Good"}
    received = client("notifications", name="many", count=1000, timeout=10_000)
    assert {n["index"] for n in received} == set(range(1000))
    client("unsubscribe", name="many")


def test_f25_a_deadband_holds_against_the_last_reported_value(client) -> None:
    node = [f"{RACK}.Measurements.CellVoltageSum"]
    client("subscribe", name="all", nodes=node, sampling=100, interval=200, queue=50)
    (created,) = client("subscribe", name="band", nodes=node, sampling=100, interval=200, queue=50, deadband=BAND_V)
    assert created["status"] == "Good"
    everything = [(n["source"], n["value"]) for n in client("notifications", name="all", count=40, timeout=20_000)]
    reported = [(n["source"], n["value"]) for n in client("notifications", name="band", count=1)]
    # The second subscription began a moment later: from its first value on it has to report what the rule says.
    expected = [reported[0]]
    for source, value in everything[everything.index(reported[0]) :]:
        if abs(value - expected[-1][1]) > BAND_V:
            expected.append((source, value))
    assert 2 <= len(expected) < len(everything)
    # What was reported after `everything` was taken has no counterpart in it.
    reported = [pair for pair in reported if pair[0] <= everything[-1][0]]
    assert reported in (expected, expected[:-1])
    client("unsubscribe", name="all")
    client("unsubscribe", name="band")


def test_f25_a_queue_keeps_order_and_says_when_it_overflowed(client) -> None:
    node = ["ns=3;s=ESS.Server.CycleCount"]
    client("subscribe", name="deep", nodes=node, sampling=100, interval=1000, queue=20)
    client("subscribe", name="oldest", nodes=node, sampling=100, interval=1000, queue=3, discardOldest=True)
    client("subscribe", name="newest", nodes=node, sampling=100, interval=1000, queue=3, discardOldest=False)
    deep = client("notifications", name="deep", count=25, timeout=8000)
    values = [n["value"] for n in deep]
    assert values == sorted(values)
    assert max(b - a for a, b in itertools.pairwise(values)) <= 3
    assert all(n["status"] == 0 for n in deep)
    oldest = client("notifications", name="oldest", count=7, timeout=8000)
    assert any(n["status"] & 0x480 == 0x480 for n in oldest)
    newest = client("notifications", name="newest", count=7, timeout=8000)
    assert any(n["status"] & 0x480 == 0x480 for n in newest)
    for name in ("deep", "oldest", "newest"):
        client("unsubscribe", name=name)


def test_a_matrix_is_read_and_subscribed_whole_and_in_parts(client) -> None:
    node = f"{RACK}.CellData.CellVoltages"
    whole, part = client("read", nodes=[{"id": node}, {"id": node, "range": "1:2,0:3"}])
    assert whole["dimensions"] == [8, 52]
    assert part["dimensions"] == [2, 4]
    bad, behind = client("read", nodes=[{"id": node, "range": "3:1,0"}, {"id": node, "range": "8,0"}])
    assert behind["name"] == "BadIndexRangeNoData"
    assert bad["name"] in ("BadIndexRangeInvalid", "BadIndexRangeNoData")
    client("subscribe", name="cells", nodes=[{"id": node, "range": "0:1,0:1"}], sampling=1000, interval=500)
    received = client("notifications", name="cells", count=2, timeout=8000)
    assert received[0]["dimensions"] == [2, 2]
    assert len(received[0]["value"]) == 4
    client("unsubscribe", name="cells")


def test_f27_paths_and_registered_nodes(client) -> None:
    path = "/3:ESS/2:Arrays/3:ARR02/2:Racks/3:R003/2:Measurements/2:StateOfCharge/0:EURange"
    wrong = "/3:ESS/2:Arrays/3:ARR09"
    found = client("translate", root="ns=0;i=85", paths=[path, wrong])
    assert found[0] == {"status": "Good", "targets": ["ns=3;s=ESS.ARR02.R003.Measurements.StateOfCharge.EURange"]}
    assert found[1]["status"] == "BadNoMatch"
    assert client("registerNodes", nodes=[f"{RACK}.Measurements.DcCurrent"]) == [f"{RACK}.Measurements.DcCurrent"]


def test_writes_are_refused_with_the_code_that_says_why(client) -> None:
    codes = client(
        "write",
        nodes=[
            {"id": f"{RACK}.Measurements.DcCurrent", "type": "Float", "value": 1.0},
            {"id": f"{RACK}.Configuration.Thresholds.CellOverVoltageTrip", "type": "Float", "value": 9.0},
            {"id": f"{RACK}.No.Such.Node", "type": "Float", "value": 1.0},
        ],
    )
    assert codes == ["BadNotWritable", "BadNotWritable", "BadNodeIdUnknown"]


def outcome(client, element: str, wanted: int, timeout_s: float = 20.0) -> int:
    """Wait for the outcome of the last command of an element by a subscription; returns what came."""
    client("subscribe", name="outcome", nodes=[f"{element}.Control.LastCommandOutcome"], sampling=100, interval=100)
    deadline, value = time.monotonic() + timeout_s, -1
    while value != wanted and time.monotonic() < deadline:
        received = client("notifications", name="outcome", count=1, timeout=1000)
        value = received[-1]["value"] if received else value
    client("unsubscribe", name="outcome")
    return value


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


def test_f41_history_equals_what_the_subscription_saw(client, point_list) -> None:
    raster, change = f"{RACK}.Measurements.CellVoltageSum", "ns=3;s=ESS.ARR01.R003.State.OperatingState"
    client("subscribe", name="raster", nodes=[raster], sampling=100, interval=200, queue=100)
    client("subscribe", name="change", nodes=[change], sampling=100, interval=200, queue=100)
    begin = time.time() * 1000
    client("call", object="ns=3;s=ESS.ARR01.R003", method="ns=3;s=ESS.ARR01.R003.Control.Connect")
    assert outcome(client, "ns=3;s=ESS.ARR01.R003", 3) == 3
    client("call", object="ns=3;s=ESS.ARR01.R003", method="ns=3;s=ESS.ARR01.R003.Control.Disconnect")
    assert outcome(client, "ns=3;s=ESS.ARR01.R003", 3) == 3
    seen: dict[float, float] = {}
    while not seen or max(seen) < begin + RASTER_WINDOW_MS:
        news = client("notifications", name="raster", count=1)
        assert news, "the subscription fell silent"
        seen |= {n["source"]: n["value"] for n in news}
    changes = [(n["source"], n["value"]) for n in client("notifications", name="change", count=1)]
    end = max(seen)
    found = client("history", id=raster, start=begin, end=end, count=3)
    assert found["status"] == "Good"
    assert found["pages"] >= 2
    step = float(point_list[raster.removeprefix("ns=3;s=")]["step"])
    stamps = [v["source"] for v in found["values"]]
    assert len(stamps) >= 6
    assert stamps == sorted(set(stamps))
    matched = [v for v in found["values"] if v["source"] in seen]
    assert len(matched) >= len(stamps) - 2
    assert all(abs(v["value"] - seen[v["source"]]) <= step / 2 + 1e-3 for v in matched)
    kept = client("history", id=change, start=begin, end=time.time() * 1000, count=2)
    archived = [(v["source"], v["value"]) for v in kept["values"]]
    assert archived == [(source, value) for source, value in changes if source >= begin]
    backward = client("history", id=change, start=time.time() * 1000, end=begin, count=0)
    assert [(v["source"], v["value"]) for v in backward["values"]] == archived[::-1]
    client("unsubscribe", name="raster")
    client("unsubscribe", name="change")


def test_f41_history_refuses_what_it_does_not_have(client) -> None:
    now = time.time() * 1000
    not_kept = client("history", id="ns=3;s=ESS.Server.CycleCount", start=now - 1000, end=now)
    assert not_kept["status"] == "BadHistoryOperationUnsupported"
    empty = client("history", id=f"{RACK}.Measurements.DcVoltage", start=1000, end=2000)
    assert (empty["status"], empty["values"]) == ("GoodNoData", [])
    bounds = client("history", id=f"{RACK}.Measurements.DcVoltage", start=1000, end=2000, bounds=True)
    assert bounds["values"][0]["name"] == "BadBoundNotFound"
    neither = client("history", id=f"{RACK}.Measurements.DcVoltage", start=now, end=None, count=0)
    assert neither["status"] == "BadInvalidTimestampArgument"


def test_the_nodeset_file_equals_the_live_types(client) -> None:
    output = subprocess.run(
        ["node", "--no-warnings", str(HERE / "nodeset.mjs"), str(ROOT / "information_model/nodeset/gridbms.types.xml")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    nodes = json.loads(output)
    assert len(nodes) > 2000
    attributes = ("NodeClass", "BrowseName", "DisplayName", "Description")
    found = client("read", nodes=[{"id": f"ns=2;s={n['id']}", "attribute": a} for n in nodes for a in attributes])
    classes = {"Object": 1, "Variable": 2, "Method": 4, "ObjectType": 8, "DataType": 64}
    for i, node in enumerate(nodes):
        node_class, name, display, description = (cell["value"] for cell in found[4 * i : 4 * i + 4])
        assert node_class == classes[node["class"]], node["id"]
        assert name == node["name"]
        assert display == node["display"]
        if node["class"] != "Method":  # node-opcua does not load the description of a method
            assert (description or "") == node["description"]
    variables = [n for n in nodes if n["class"] == "Variable"]
    types = client(
        "read",
        nodes=[{"id": f"ns=2;s={n['id']}", "attribute": a} for n in variables for a in ("DataType", "ValueRank")],
    )
    for i, node in enumerate(variables):
        assert types[2 * i]["value"].replace("ns=0;", "") == node["dataType"].replace("ns=0;", "")
        assert types[2 * i + 1]["value"] == node["rank"]
    live = client("browseAll", root="ns=0;i=58", namespace=2)
    types = ("BessSystemType.", "BatteryArrayType.", "BatteryRackType.", "BatteryModuleType.")
    members = {n["id"] for n in nodes if n["id"].startswith(types) and "<" not in n["id"]}
    assert members <= {n["id"].removeprefix("ns=2;s=") for n in live}


def test_a_subscribed_client_survives_a_restart_of_the_face(program, client_folder, client) -> None:
    client("disconnect")
    connect(client, program, "observer", retry=100)
    client("subscribe", name="on", nodes=["ns=3;s=ESS.Server.CycleCount"], sampling=100, interval=200)
    before = client("notifications", name="on", count=3)[-1]["value"]
    old = program.pid("opcua")
    os.kill(old, signal.SIGKILL)
    deadline = time.monotonic() + 40
    value = before
    while value < before + 50 and time.monotonic() < deadline:
        received = client("notifications", name="on", count=1, timeout=1000)
        value = received[-1]["value"] if received else value
    assert value >= before + 50
    assert "connection_lost" in client("events")
    (count,) = client("read", nodes=[{"id": "ns=3;s=ESS.Server.FaceRestarts"}])
    assert count["value"] == 1


def test_a_subscribed_client_survives_a_restart_of_the_whole_server(program, client_folder, client) -> None:
    client("disconnect")
    connect(client, program, "observer", retry=100)
    client("subscribe", name="on", nodes=["ns=3;s=ESS.Server.CycleCount"], sampling=100, interval=200)
    assert client("notifications", name="on", count=3)
    port = program.ready["opcua"]["port"]
    assert program.stop() == 0
    stopped = time.time() * 1000
    program.start(port=port)
    deadline = time.monotonic() + 40
    newest = 0.0
    while newest < stopped and time.monotonic() < deadline:
        received = client("notifications", name="on", count=1, timeout=1000)
        newest = max([newest, *(n["source"] for n in received if n["status"] == 0)])
    assert newest > stopped, "the subscription tells nothing of the new server"
    assert "connection_lost" in client("events")
