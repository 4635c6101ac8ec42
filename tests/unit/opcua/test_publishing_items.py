"""Monitored items as a client sees them: first values, deadbands, queues, modes, ranges, refusals."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from asyncua import ua

from server.config.site import Site
from tests.unit.opcua.publishing_kit import (
    CELLS,
    CURRENT,
    GOOD,
    RACK,
    SOC,
    VOLTAGE,
    Bench,
    Peer,
    deadband,
    demo_site,
    item,
    names,
    parameters,
)

DISABLED, SAMPLING, REPORTING = 0, 1, 2


@pytest.fixture(scope="module")
def site() -> Site:
    return demo_site()


@pytest.fixture
def bench(tmp_path: Path, site: Site) -> Bench:
    return Bench(tmp_path, site)


async def reports(peer: Peer, bench: Bench, point: str, values: list[float]) -> list[float | None]:
    """What is reported while a point takes these values, one per image."""
    found: list[float | None] = []
    await peer.publish()
    for value in values:
        bench.plant.set(point, value)
        bench.tick()
        new = [number for _, number, _ in peer.notified()]
        await peer.publish(len(new))
        found += new
    return found


async def test_the_first_value_comes_at_once_and_then_only_changes(bench: Bench) -> None:
    bench.plant.set(SOC, 50.0)
    bench.plant.publish()
    peer = bench.client()
    number = await peer.subscribe()
    results = await peer.monitor(number, item(SOC, 7))
    assert names([result.StatusCode for result in results]) == [GOOD]
    assert (results[0].RevisedSamplingInterval, results[0].RevisedQueueSize) == (100, 1)
    assert await reports(peer, bench, SOC, [50.0, 50.0, 51.0, 51.0, 52.5]) == [50.0, 51.0, 52.5]


async def test_a_slow_ramp_passes_its_deadband_because_the_last_report_counts(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    bench.plant.set(VOLTAGE, 0.0)
    bench.plant.publish()
    await peer.monitor(number, item(VOLTAGE, 1, filter=deadband(1.0)))
    found = await reports(peer, bench, VOLTAGE, [0.25 * step for step in range(21)])
    assert found == [0.0, 1.25, 2.5, 3.75, 5.0]


async def test_a_percent_deadband_is_a_share_of_the_range(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    bench.plant.set(SOC, 50.0)
    bench.plant.publish()
    await peer.monitor(number, item(SOC, 1, filter=deadband(2.0, kind=2)))
    assert await reports(peer, bench, SOC, [50.0, 52.0, 52.5, 50.5, 50.0]) == [50.0, 52.5, 50.0]


async def test_a_float_is_compared_as_it_travels(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    await peer.monitor(number, item(SOC, 1))
    found = await reports(peer, bench, SOC, [50.1, 50.1 + 1e-9, 50.1 - 1e-9, 50.2])
    assert len(found) == 2


async def test_a_status_always_passes_and_a_bad_value_travels_without_number(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    bench.plant.set(SOC, 50.0)
    bench.plant.publish()
    await peer.monitor(number, item(SOC, 1, filter=deadband(10.0)))
    await peer.publish(5)
    bench.tick()
    for value, status in ((50.0, 0x4090_0000), (math.nan, 0x8031_0000), (math.nan, 0x8031_0000), (51.0, 0)):
        bench.plant.set(SOC, value, status)
        bench.tick()
    assert peer.notified() == [
        (1, 50.0, GOOD),
        (1, 50.0, "UncertainLastUsableValue"),
        (1, None, "BadNoCommunication"),
        (1, 51.0, GOOD),
    ]


@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (0, [(1.0, GOOD), (2.0, "UncertainLastUsableValue")]),
        (1, [(1.0, GOOD), (2.0, GOOD), (2.0, "UncertainLastUsableValue")]),
        (2, [(1.0, GOOD), (1.0, GOOD), (2.0, GOOD), (2.0, GOOD), (2.0, "UncertainLastUsableValue")]),
    ],
    ids=["status", "status and value", "status, value and time"],
)
async def test_the_trigger_says_what_is_a_change(bench: Bench, trigger: int, expected: list[tuple[float, str]]) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    bench.plant.set(VOLTAGE, 1.0)
    bench.plant.publish()
    await peer.monitor(number, item(VOLTAGE, 1, filter=deadband(0, kind=0, trigger=trigger)))
    await peer.publish(9)
    bench.tick()
    for value, status in ((1.0, 0), (2.0, 0), (2.0, 0), (2.0, 0x4090_0000)):
        bench.plant.set(VOLTAGE, value, status)
        bench.tick()
    assert [(value, status) for _, value, status in peer.notified()] == expected


@pytest.mark.parametrize(
    ("oldest", "expected"),
    [(True, [(4.0, GOOD + "+overflow"), (5.0, GOOD), (6.0, GOOD)]),
     (False, [(1.0, GOOD), (2.0, GOOD), (6.0, GOOD + "+overflow")])],
    ids=["oldest", "newest"],
)  # fmt: skip
@pytest.mark.parametrize("point", [VOLTAGE, CELLS], ids=["scalar", "ordinary"])
async def test_a_full_queue_discards_by_policy_and_marks_the_gap(
    bench: Bench, oldest: bool, expected: list[tuple[float, str]], point: str
) -> None:
    peer = bench.client()
    number = await peer.subscribe(1000)
    ranged = None if point == VOLTAGE else "0,0"

    def set_to(value: float) -> None:
        bench.plant.set(VOLTAGE, value)
        bench.plant.columns["CellVoltages"][:] = value

    set_to(1.0)
    bench.plant.publish()
    results = await peer.monitor(number, item(point, 1, queue=3, oldest=oldest, index_range=ranged))
    assert results[0].RevisedQueueSize == 3
    for value in (2.0, 3.0, 4.0, 5.0, 6.0):
        set_to(value)
        bench.tick()
    await peer.publish()
    bench.tick(10)
    found = [(value if ranged is None else value[0][0], status) for _, value, status in peer.notified()]
    assert found == expected


async def test_a_queue_of_one_holds_the_newest_without_a_mark(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe(1000)
    await peer.monitor(number, item(VOLTAGE, 1, queue=0, oldest=False))
    await peer.publish()
    values = iter([1.0, 2.0, 3.0])
    bench.tick(3, lambda: bench.plant.set(VOLTAGE, next(values)))
    bench.tick(9)
    assert peer.notified() == [(1, 3.0, GOOD)]


async def test_a_sampling_interval_is_snapped_and_kept(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe(500)
    asked = [-1, 0, 100, 101, 250, 700, 1500, 1e9, math.nan, math.inf]
    results = await peer.monitor(number, *[item(VOLTAGE, index, interval_ms=ms) for index, ms in enumerate(asked)])
    assert [result.RevisedSamplingInterval for result in results] == [
        500, 100, 100, 200, 500, 1000, 2000, 60_000, 100, 60_000,
    ]  # fmt: skip


async def test_slow_items_are_sampled_every_kth_image(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe(100)
    await peer.monitor(number, item(VOLTAGE, 1), item(VOLTAGE, 2, interval_ms=500), item(CELLS, 3, interval_ms=1000))
    await peer.publish(11)
    step = iter(range(1, 1000))

    def change() -> None:
        value = next(step)
        bench.plant.set(VOLTAGE, value)
        bench.plant.columns["CellVoltages"][:] = value

    bench.tick(10, change)
    peer.notified()
    handles = []
    for _ in range(20):
        await peer.publish()
        bench.tick(1, change)
        handles += [handle for handle, _, _ in peer.notified()]
    assert [handles.count(handle) for handle in (1, 2, 3)] == [20, 4, 2]


async def test_a_disabled_item_is_silent_and_reports_its_first_value_when_enabled(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    bench.plant.set(VOLTAGE, 1.0)
    bench.plant.publish()
    results = await peer.monitor(number, item(VOLTAGE, 1, mode=DISABLED), item(CELLS, 2, mode=DISABLED))
    ids = [int(result.MonitoredItemId) for result in results]
    await peer.publish(9)
    bench.tick(3)
    assert peer.notified() == []
    assert await peer.set_mode(number, REPORTING, *ids, 999) == [GOOD, GOOD, "BadMonitoredItemIdInvalid"]
    bench.tick(3)
    assert [handle for handle, _, _ in peer.notified()] == [1, 2]
    bench.plant.set(VOLTAGE, 2.0)
    await peer.set_mode(number, DISABLED, *ids)
    bench.tick(2)
    await peer.set_mode(number, REPORTING, ids[0])
    bench.tick(1)
    assert peer.notified() == [(1, 2.0, GOOD)]


async def test_a_sampling_item_reports_when_its_trigger_changes(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    for point, value in ((SOC, 50.0), (VOLTAGE, 1.0)):
        bench.plant.set(point, value)
    bench.plant.publish()
    results = await peer.monitor(
        number, item(SOC, 1), item(VOLTAGE, 2, mode=SAMPLING, queue=5), item(CELLS, 3, mode=SAMPLING, index_range="0,0")
    )
    trigger, scalar, matrix = (int(result.MonitoredItemId) for result in results)
    params = ua.SetTriggeringParameters(number, trigger, [scalar, matrix, 999], [77])
    response = await bench.items.set_triggering(peer.session, params, peer.context())
    assert names(response.Parameters.AddResults) == [GOOD, GOOD, "BadMonitoredItemIdInvalid"]
    assert names(response.Parameters.RemoveResults) == ["BadMonitoredItemIdInvalid"]
    await peer.publish(9)
    bench.tick()
    assert [handle for handle, _, _ in peer.notified()] == [1]
    for value in (2.0, 3.0):
        bench.plant.set(VOLTAGE, value)
        bench.tick()
    assert peer.notified() == []
    bench.plant.set(SOC, 51.0)
    bench.tick()
    found = peer.notified()
    assert sorted((handle, value) for handle, value, _ in found if handle < 3) == [
        (1, 51.0),
        (2, 1.0),
        (2, 2.0),
        (2, 3.0),
    ]
    assert [handle for handle, _, _ in found].count(3) == 1
    bench.plant.set(VOLTAGE, 4.0)
    bench.tick()
    assert peer.notified() == []


async def test_a_matrix_is_an_array_item_with_range_and_deadband(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    cells = bench.plant.columns["CellVoltages"]
    cells[:] = 3.25
    bench.plant.publish()
    results = await peer.monitor(
        number,
        item(CELLS, 1),
        item(CELLS, 2, index_range="0:1,2:3"),
        item(CELLS, 3, filter=deadband(0.125)),
        item(CELLS, 4, index_range="1:"),
        item(CELLS, 5, index_range="20,0"),
        item(f"{RACK}.M01.CellData.CellVoltages", 6),
    )
    assert names([result.StatusCode for result in results]) == [GOOD] * 3 + ["BadIndexRangeInvalid", GOOD, GOOD]
    await peer.publish(9)
    bench.tick()
    found = {handle: (value, status) for handle, value, status in peer.notified()}
    assert [len(found[1][0]), len(found[1][0][0])] == [8, 52]
    assert found[2] == ([[3.25, 3.25], [3.25, 3.25]], GOOD)
    assert found[5] == (None, "BadIndexRangeNoData")
    assert found[6][0] == [3.25] * 52
    cells[60] = 3.3125  # second module, ninth cell of the first rack
    bench.tick()
    assert {handle for handle, _, _ in peer.notified()} == {1}
    cells[54] = 3.5
    bench.tick()
    found = {handle: (value, status) for handle, value, status in peer.notified()}
    assert set(found) == {1, 2, 3}
    assert found[2][0] == [[3.25, 3.25], [3.5, 3.25]]


@pytest.mark.parametrize(
    ("request_", "code"),
    [
        (item("ESS.Nothing", 1), "BadNodeIdUnknown"),
        (item(ua.NodeId(99999), 1), "BadNodeIdUnknown"),
        (item(RACK, 1), "BadAttributeIdInvalid"),
        (item(SOC, 1, attribute=12), "BadAttributeIdInvalid"),
        (item(RACK, 1, attribute=12), "BadNotSupported"),
        (item(SOC, 1, filter=ua.EventFilter()), "BadFilterNotAllowed"),
        (item(SOC, 1, filter=ua.AggregateFilter()), "BadMonitoredItemFilterUnsupported"),
        (item(SOC, 1, filter=ua.ReadRequest()), "BadMonitoredItemFilterInvalid"),
        (item(SOC, 1, filter=deadband(-1)), "BadDeadbandFilterInvalid"),
        (item(SOC, 1, filter=deadband(math.nan)), "BadDeadbandFilterInvalid"),
        (item(SOC, 1, filter=deadband(1, kind=9)), "BadDeadbandFilterInvalid"),
        (item(SOC, 1, filter=deadband(101, kind=2)), "BadDeadbandFilterInvalid"),
        (item(f"{RACK}.Alarms.GroupAlarm", 1, filter=deadband(1)), "BadFilterNotAllowed"),
        (item(f"{RACK}.Communication.State", 1, filter=deadband(1)), "BadFilterNotAllowed"),
        (item(SOC, 1, attribute=3, filter=deadband(1)), "BadFilterNotAllowed"),
        (item(f"{RACK}.ExtremeCells.HighestVoltage", 1, filter=deadband(1, kind=2)), "BadMonitoredItemFilterUnsupported"),
    ],
)  # fmt: skip
async def test_what_cannot_be_monitored_is_refused_with_its_code(
    bench: Bench, request_: ua.MonitoredItemCreateRequest, code: str
) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    results = await peer.monitor(number, request_, item(SOC, 2))
    assert names([result.StatusCode for result in results]) == [code, GOOD]


async def test_every_attribute_and_constant_of_a_node_can_be_monitored(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    await peer.monitor(
        number,
        item(SOC, 1, attribute=4),
        item(f"{SOC}.EURange", 2),
        item(f"{RACK}.Identification.SerialNumber", 3),
        item("ESS.Control.EmergencyDisconnect", 4, attribute=22),
    )
    await peer.publish(9)
    bench.tick(5)
    found = {handle: (value, status) for handle, value, status in peer.notified()}
    assert found[1][0].Text == "StateOfCharge"
    assert (found[2][0].Low, found[2][0].High) == (0, 100)
    assert found[3] == ("SIM-A01-R001", GOOD)
    assert found[4] == (True, GOOD)


async def test_alarm_state_count_and_time_are_sampled_with_the_image(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    rows = bench.plant.site.catalogue.rows
    level, row = next((level, row) for level in rows for row in rows[level].values() if row.alarm_base >= 0)
    element = bench.plant.site.topology.of_level(level)[0]
    path = f"{element.name}.{row.point.path}"
    await peer.monitor(
        number, item(f"{path}.State", 1), item(f"{path}.Count", 2), item(f"{path}.LastTime", 3), item(path, 4)
    )
    await peer.publish(9)
    bench.tick()
    peer.notified()
    place = row.alarm_base + element.ordinal
    bench.plant.columns["alarm.count"][place] = 3
    bench.plant.columns["alarm.state"][place] = 1
    bench.plant.set(path, 1)
    bench.tick()
    assert sorted((handle, value) for handle, value, _ in peer.notified()) == [(1, 1), (2, 3), (4, True)]


async def test_a_user_without_role_sees_the_refusal_as_status_until_he_gets_one(bench: Bench) -> None:
    peer = bench.client("", frozenset())
    number = await peer.subscribe()
    bench.plant.set(SOC, 50.0)
    bench.plant.publish()
    results = await peer.monitor(number, item(SOC, 1), item(CELLS, 2, index_range="0,0"), item(SOC, 3, attribute=4))
    assert names([result.StatusCode for result in results]) == [GOOD] * 3
    await peer.publish(9)
    bench.tick()
    found = {handle: status for handle, _, status in peer.notified()}
    assert found == {1: "BadUserAccessDenied", 2: "BadUserAccessDenied", 3: GOOD}
    operator = bench.client()
    bench.sessions.activated(peer.session, peer.line, operator.session.user, ())
    bench.tick()
    assert {handle: status for handle, _, status in peer.notified()} == {1: GOOD, 2: GOOD}


async def test_items_are_modified_without_losing_what_is_queued(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe(1000)
    results = await peer.monitor(number, item(VOLTAGE, 1, queue=10), item(CURRENT, 2))
    first, second = (int(result.MonitoredItemId) for result in results)
    values = iter([1.0, 2.0, 3.0, 4.0])
    bench.tick(4, lambda: bench.plant.set(VOLTAGE, next(values)))
    changed = await peer.modify(
        number,
        ua.MonitoredItemModifyRequest(first, parameters(11, queue=2)),
        ua.MonitoredItemModifyRequest(second, parameters(22, interval_ms=200, queue=3)),
        ua.MonitoredItemModifyRequest(999, parameters(33)),
        ua.MonitoredItemModifyRequest(first, parameters(11, queue=2, filter=deadband(-1))),
        ua.MonitoredItemModifyRequest(first, parameters(12, queue=2)),
    )
    assert names([result.StatusCode for result in changed]) == [
        GOOD, GOOD, "BadMonitoredItemIdInvalid", "BadDeadbandFilterInvalid", GOOD,
    ]  # fmt: skip
    assert (changed[1].RevisedSamplingInterval, changed[1].RevisedQueueSize) == (200, 3)
    await peer.publish(9)
    bench.tick(10)
    assert sorted(peer.notified()) == [(12, 3.0, GOOD + "+overflow"), (12, 4.0, GOOD), (22, 0.0, GOOD)]
    bench.tick(10, lambda: bench.plant.set(VOLTAGE, 4.0))
    assert [value for handle, value, _ in peer.notified() if handle == 12] == []


async def test_deleted_items_report_no_more_and_the_others_go_on(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    paths = [f"{RACK}.Measurements.{name}" for name in ("DcVoltage", "DcCurrent", "StateOfCharge", "BusVoltage")]
    results = await peer.monitor(number, *[item(path, index) for index, path in enumerate(paths)], item(CELLS, 9))
    ids = [int(result.MonitoredItemId) for result in results]
    assert await peer.delete(number, ids[0], ids[2], ids[4], 999) == [GOOD] * 3 + ["BadMonitoredItemIdInvalid"]
    await peer.publish(9)
    bench.tick(2)
    peer.notified()
    for path in paths:
        bench.plant.set(path, 7.0)
    bench.tick()
    assert sorted(peer.notified()) == [(1, 7.0, GOOD), (3, 7.0, GOOD)]
    assert bench.engine.registry.counts()["monitored_items"] == 2
    await peer.delete(number, ids[1], ids[3])
    bench.plant.set(paths[1], 8.0)
    bench.tick(2)
    assert peer.notified() == []


async def test_times_are_those_the_client_wants(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    bench.plant.set(VOLTAGE, 1.0)
    bench.plant.publish()
    for times in (0, 1, 2, 3):
        await peer.monitor(number, item(VOLTAGE, times), item(CELLS, 10 + times, index_range="0,0"), times=times)
    await peer.publish(9)
    bench.tick()
    found = {handle: (source is not None, server is not None) for handle, _, _, source, server in peer.stamped()}
    wanted = {0: (True, False), 1: (False, True), 2: (True, True), 3: (False, False)}
    assert {handle: found[handle] for handle in range(4)} == wanted


async def test_the_number_of_items_is_limited(tmp_path: Path, site: Site) -> None:
    bench = Bench(tmp_path, site, monitored_items_per_subscription=3, monitored_items_per_session=4, monitored_items=5)
    peer, other = bench.client(), bench.client()
    numbers = [await peer.subscribe(), await peer.subscribe(), await other.subscribe()]
    requests = [item(VOLTAGE, index) for index in range(4)]

    async def accepted(one: Peer, number: int) -> int:
        codes = names([result.StatusCode for result in await one.monitor(number, *requests)])
        assert set(codes) <= {GOOD, "BadTooManyMonitoredItems"}
        return codes.count(GOOD)

    assert [await accepted(peer, numbers[0]), await accepted(peer, numbers[1])] == [3, 1]
    assert await accepted(other, numbers[2]) == 1


async def test_everything_turns_bad_when_the_images_stop(bench: Bench) -> None:
    peer = bench.client()
    number = await peer.subscribe()
    bench.plant.set(SOC, 50.0)
    bench.plant.publish()
    await peer.monitor(number, item(SOC, 1, filter=deadband(5.0)), item(CELLS, 2, index_range="0,0"))
    await peer.publish(9)
    bench.tick()
    peer.notified()
    bench.silence(0.9)
    assert peer.notified() == []
    bench.silence(0.5)
    assert sorted(peer.notified()) == [(1, None, "BadNoCommunication"), (2, None, "BadNoCommunication")]
    bench.tick()
    assert [status for _, _, status in peer.notified()] == [GOOD, GOOD]
