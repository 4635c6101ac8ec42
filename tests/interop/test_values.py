"""Values as an OPC UA client that is not ours reads them: typed, timed, never a number that nobody measured (F-24)."""

import pytest

from tests.interop.conftest import RACK

VALUE_TYPES = {name: name for name in ("Boolean", "Byte", "UInt16", "UInt32", "Float", "Double", "String", "DateTime")}
VALUE_TYPES["CellAddress"] = "UInt32"
"""Type on the wire by the word of the point list; every other word is an enumeration, which travels as Int32."""

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def test_values_have_the_type_that_the_point_list_says(client, point_list) -> None:
    found = client("read", nodes=[{"id": f"ns=3;s={name}"} for name in point_list])
    for row, value in zip(point_list.values(), found, strict=True):
        if value["value"] is not None:
            assert value["type"] == VALUE_TYPES.get(row["data_type"], "Int32"), row["node_id"]
            assert value["source"] is not None, row["node_id"]
        else:
            assert value["status"] >= 0x8000_0000, row["node_id"]


def test_f24_a_value_that_was_never_measured_is_bad_and_no_number(client) -> None:
    (value,) = client("read", nodes=[{"id": f"{RACK}.Measurements.DcVoltage"}])
    assert value["name"] == "Good"
    (wrong,) = client("read", nodes=[{"id": f"{RACK}.Measurements.NoSuchPoint"}])
    assert (wrong["value"], wrong["name"]) == (None, "BadNodeIdUnknown")


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
