"""Subscriptions as an OPC UA client that is not ours sees them: first values, deadband, queue, overflow (F-25)."""

import itertools

import pytest

from tests.interop.conftest import RACK

BAND_V = 0.06
"""The voltmeter of a rack resolves 0.05 V and is noisy by more than that: some of its values leave the band, some do not."""

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(180)]


def test_f25_a_thousand_items_get_their_first_value(client, point_list) -> None:
    names = [name for name, row in point_list.items() if row["kind"] == "scalar"][:1000]
    assert len(names) == 1000
    results = client("subscribe", name="many", nodes=[f"ns=3;s={name}" for name in names], sampling=1000, interval=200)
    assert {result["status"] for result in results} == {"Good"}
    received = client("notifications", name="many", count=1000, timeout=10_000)
    assert {n["index"] for n in received} == set(range(1000))
    client("unsubscribe", name="many")


def test_f25_a_deadband_holds_against_the_last_reported_value(client) -> None:
    node = [f"{RACK}.Measurements.DcVoltage"]
    client("subscribe", name="all", nodes=node, sampling=100, interval=200, queue=50)
    (created,) = client("subscribe", name="band", nodes=node, sampling=100, interval=200, queue=50, deadband=BAND_V)
    assert created["status"] == "Good"
    everything = [(n["source"], n["value"]) for n in client("notifications", name="all", count=40, timeout=20_000)]
    reported = [(n["source"], n["value"]) for n in client("notifications", name="band", count=1)]
    # The second subscription began a moment later: from its first value on it has to report what the rule says. That
    # value may have been measured anew meanwhile, which is no change for the first subscription.
    first = max(at for at, (source, _) in enumerate(everything) if source <= reported[0][0])
    assert everything[first][1] == reported[0][1]
    expected = [reported[0]]
    for source, value in everything[first:]:
        if abs(value - expected[-1][1]) > BAND_V:
            expected.append((source, value))
    assert 2 <= len(expected) < len(everything)
    # What was reported after `everything` was taken has no counterpart in it.
    reported = [pair for pair in reported if pair[0] <= everything[-1][0]]
    assert reported == expected[: len(reported)]
    # Its last message, of two samples at most, may still be under way.
    assert len(reported) >= len(expected) - 2
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
