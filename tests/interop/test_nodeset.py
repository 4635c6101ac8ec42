"""The NodeSet file of the types, loaded by software that is not ours, beside the types that the server serves."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.program import ROOT

HERE = Path(__file__).parent

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


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
