"""History as an OPC UA client that is not ours reads it: equal to what its own subscription saw (F-41).

One subscription samples every image, without deadband and with each new time stamp, so that nothing which the archive
may have kept can have passed it by. Its span is what the comparison is about; no stamp inside it is left out.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from tests.interop.conftest import RACK, connect, outcome
from tests.interop.node_client import NodeClient

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]

MOVED = "ESS.ARR01.R003"
"""The rack that is connected and disconnected while the subscription listens."""
CELLS = f"{MOVED}.CellData.CellVoltages"
CLOCK = f"{MOVED}.Measurements.CellVoltageSum"
"""A point that is measured all the time: its stamps tell how far subscription and archive have come."""
SAMPLED = ("1s", "10s")
WINDOW_MS = 21_000
"""Long enough for two samples of the class of 10 s and for several pages of that of 1 s."""
PAGE = 5
TICKS_PER_MS = 10_000
"""OPC UA counts time in steps of 100 ns (OPC 10000-6, 5.2.2.5)."""
ARCHIVE_LAG_S = 15.0

Value = dict[str, Any]


def ticks(value: Value) -> int:
    """Source time in steps of 100 ns; 0 for a value that was never measured."""
    return int(value["source"] or 0) * TICKS_PER_MS + value["picoseconds"] // 100_000


@dataclass
class Recording:
    """What the subscription saw of each point, in order, and the client that reads the history of the same span.

    `begin_ms` and `end_ms` are the first and the last stamp that were seen of a value which is measured all the time.
    """

    client: NodeClient
    seen: dict[str, list[Value]]
    begin_ms: int = 0
    end_ms: int = 0

    def stamps(self, point: str) -> list[int]:
        """Source times that were seen (ms)."""
        return [int(value["source"]) for value in self.seen[point] if value["source"] is not None]

    def history(self, point: str, **options: Any) -> Value:
        """History from the first to the last stamp that was seen of the point, both included."""
        span = self.stamps(point) or [self.begin_ms, self.end_ms]
        return self.client("history", id=f"ns=3;s={point}", start=span[0], end=span[-1] + 1, **options)


def points_of(point_list: dict[str, dict[str, str]], *classes: str) -> list[str]:
    """Scalars that are archived in these classes: the whole rack that moves, and the system above it."""
    return [
        name
        for name, row in point_list.items()
        if row["kind"] == "scalar"
        and row["history"] in classes
        and (name.startswith(f"{MOVED}.") or row["level"] == "system")
    ]


@pytest.fixture(scope="module")
def recording(program, client_folder, point_list) -> Iterator[Recording]:
    node = NodeClient(client_folder)
    connect(node, program)
    sampled, changing = [*points_of(point_list, *SAMPLED), CELLS], points_of(point_list, "change")
    assert len(sampled) > 40
    assert len(changing) > 200
    everything = {"sampling": 100, "interval": 200, "queue": 100}
    for name, points, trigger in (("sampled", sampled, "StatusValueTimestamp"), ("changing", changing, "StatusValue")):
        created = node("subscribe", name=name, nodes=[f"ns=3;s={p}" for p in points], trigger=trigger, **everything)
        assert {one["status"] for one in created} == {"Good"}
    seen: dict[str, list[Value]] = {point: [] for point in (*sampled, *changing)}

    def listen(name: str, points: list[str], count: int = 1) -> None:
        for value in node("notifications", name=name, count=count):
            assert value["status"] & 0x480 != 0x480, "the queue was too short for this test"
            seen[points[value["index"]]].append(value)

    rack = f"ns=3;s={MOVED}"
    for command in ("Connect", "Disconnect"):
        assert node("call", object=rack, method=f"{rack}.Control.{command}")["outputs"][0] == 1
        assert outcome(node, rack, 3) == 3
    found = Recording(node, seen)
    while len(stamps := found.stamps(CLOCK)) < 2 or stamps[-1] < stamps[0] + WINDOW_MS:
        listen("sampled", sampled)
    found.begin_ms, found.end_ms = stamps[0], stamps[-1]
    # The archive writes a moment later than it samples. Once it holds a sample behind the span, it holds the span, and
    # what the subscription has to tell of the span has come as well.
    deadline = time.monotonic() + ARCHIVE_LAG_S
    while not node("history", id=f"ns=3;s={CLOCK}", start=found.end_ms + 1, end=found.end_ms + 60_000)["values"]:
        assert time.monotonic() < deadline, "the archive has fallen behind"
        listen("sampled", sampled)
    listen("changing", changing)
    yield found
    node.close()


def tolerance(row: dict[str, str], value: float) -> float:
    """Half a storage step, and the last binary digit of the type in which the value travels."""
    if row["aggregation"] == "total" or row["data_type"] not in ("Float", "Double"):
        return 0.0
    kind = np.float32 if row["data_type"] == "Float" else np.float64
    return float(row["step"]) / 2 + float(np.spacing(kind(abs(value))))


def fits(row: dict[str, str], archived: Value, seen: Value) -> bool:
    """True where an archived sample is one that was seen, at the resolution of the point."""
    if archived["status"] != seen["status"] or archived["dimensions"] != seen["dimensions"]:
        return False
    pairs = list(zip(np.ravel(archived["value"]), np.ravel(seen["value"]), strict=True))
    return all(
        a == b or abs(float(a) - float(b)) <= tolerance(row, float(b)) for a, b in pairs if (a, b) != (None, None)
    )


def test_f41_sampled_history_is_within_half_a_resolution_of_what_the_subscription_saw(recording, point_list) -> None:
    compared = 0
    for point in (*points_of(point_list, *SAMPLED), CELLS):
        row = point_list[point]
        by_stamp: dict[int, list[Value]] = {}
        for value in recording.seen[point]:
            # An average of many cells may change without a newer time than that of its oldest cell.
            by_stamp.setdefault(value["source"], []).append(value)
        archived = recording.history(point)["values"]
        stamps = [value["source"] for value in archived]
        assert stamps == sorted(set(stamps)), point
        for value in archived:
            assert value["picoseconds"] == 0, "sampled classes are stamped to the millisecond"
            assert value["source"] in by_stamp, f"{point}: the subscription did not see the stamp of {value}"
            assert any(fits(row, value, other) for other in by_stamp[value["source"]]), f"{point}: {value}"
        compared += len(stamps)
    assert compared > 15 * 40


def test_f41_sampled_history_has_a_sample_in_each_period_of_its_class(recording, point_list) -> None:
    for point in (CLOCK, f"{MOVED}.Measurements.DcVoltage", CELLS):
        period_ms = 1000 * int(point_list[point]["history"].removesuffix("s"))
        seen = recording.stamps(point)
        kept = [value["source"] for value in recording.history(point)["values"]]
        # A sample bears the time of its measurement, which may lie up to a second before the image it was taken from.
        assert len(kept) >= (seen[-1] - seen[0]) // period_ms - 1, point
        assert max(np.diff(kept)) <= period_ms + 1_500, point


def is_same_change(kept: Value, seen: Value, before: Value) -> bool:
    """True where an archived change is the one that was seen after `before`, to the last tick.

    A status that changes alone has no measurement behind it: the live value keeps the time of its measurement, the
    archive notes the time of the image in which the status had changed.
    """
    if (kept["value"], kept["status"]) != (seen["value"], seen["status"]):
        return False
    if ticks(seen) > ticks(before):
        return ticks(kept) == ticks(seen)
    return seen["value"] == before["value"] and ticks(before) < ticks(kept) and kept["source"] <= seen["server"]


def test_f41_history_of_changes_is_exactly_what_the_subscription_saw(recording, point_list) -> None:
    compared = 0
    for point in points_of(point_list, "change"):
        # The first value is no change: it is what stood when the subscription began, and the archive has had it before.
        seen = recording.seen[point]
        begin = seen[0]["server"]
        kept = recording.client("history", id=f"ns=3;s={point}", start=begin, end=begin + 3_600_000)["values"]
        pairs = list(zip(kept, seen[1:], seen, strict=False))
        for change, other, before in pairs:
            assert is_same_change(change, other, before), f"{point}: {change} was seen as {other}"
        # What one of the two has more came after the span, when the one was read and the other not yet.
        assert all(change["source"] >= recording.end_ms for change in kept[len(pairs) :]), point
        assert all(change["server"] >= recording.end_ms for change in seen[1 + len(pairs) :]), point
        compared += len(pairs)
    assert compared > 20
    states = [value["value"] for value in recording.seen[f"{MOVED}.State.OperatingState"]]
    assert [state for state in states if state in (2, 3)] == [2, 3], "precharge and closed were not seen"


def test_f41_pages_joined_are_the_whole_and_backward_is_forward_reversed(recording) -> None:
    for point in (CLOCK, f"{MOVED}.Measurements.DcCurrent"):
        whole = recording.history(point)
        assert (whole["status"], whole["pages"]) == ("Good", 1)
        values = whole["values"]
        paged = recording.history(point, count=PAGE)
        full, rest = divmod(len(values), PAGE)
        assert paged["values"] == values
        assert paged["sizes"] == [PAGE] * full + [rest] * (rest > 0)
        begin, *_, end = recording.stamps(point)
        backward = recording.client("history", id=f"ns=3;s={point}", start=end, end=begin - 1, count=PAGE)
        assert backward["values"] == values[::-1]
        assert min(paged["pages"], backward["pages"]) >= 4


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
