"""HistoryRead of raw values as a client sees it (OPC 10000-11, 6.5.3)."""

import sqlite3
from datetime import UTC, datetime

import pytest
from asyncua import ua

from server.opcua.services import history_services
from server.opcua.services.service_table import ServiceTable
from tests.unit.archive.archive_kit import BAD, BASE, CELLS, MS, RACK, VOLTAGE, S
from tests.unit.opcua.history_kit import Bench, at

SOME = [10, 11, 12, 13, 14, 15]
"""Seconds at which there is a voltage: of i volts, Bad at 13, Uncertain at 14."""
CELL_TIMES = [20, 30, 40, 50]
"""Seconds at which there are cell voltages: i, i + 0.1 ... volts, Bad at 40."""
UNCERTAIN = 0x4094_0000
STATE = f"{RACK}.Estimation.StateOfChargeSource"


@pytest.fixture(scope="module")
def bench(tmp_path_factory):
    bench = Bench(tmp_path_factory.mktemp("history"))
    for i in SOME:
        bench.archive.put(VOLTAGE, i, BASE + i * S, {13: BAD, 14: UNCERTAIN}.get(i, 0))
        bench.archive.image(BASE + i * S + MS)
    for i in CELL_TIMES:
        bench.archive.put_cells([i + k / 10 for k in range(8)], BASE + i * S, BAD if i == 40 else 0)
        bench.archive.image(BASE + i * S + MS)
    bench.archive.stop()
    return bench


@pytest.fixture
def reader(bench):
    return bench.reader()


NONE = None
RANGES = [
    # start, end, number, bounds -> times of all pages one after the other
    (10, 13, 0, False, [10, 11, 12]),
    (9, 99, 0, False, SOME),
    (10.5, 12.5, 0, False, [11, 12]),
    (13, 10, 0, False, [13, 12, 11]),
    (99, 9, 0, False, SOME[::-1]),
    (12.5, 10.5, 0, False, [12, 11]),
    (12, 12, 0, False, [12]),
    (12, 12, 1, True, [12]),
    (12.5, 12.5, 0, False, []),
    (16, 99, 0, False, []),
    (1, 9, 5, False, []),
    # a number with both times is the size of a page: the range goes on
    (10, 13, 2, False, [10, 11, 12]),
    (13, 10, 1, False, [13, 12, 11]),
    # with one time only it ends the range
    (11, NONE, 3, False, [11, 12, 13]),
    (14, NONE, 9, False, [14, 15]),
    (NONE, 13, 2, False, [13, 12]),
    (NONE, 12.5, 9, False, [12, 11, 10]),
    (16, NONE, 3, False, []),
    # bounds: the value at the time, else the nearest outside
    (10, 12, 0, True, [10, 11, 12]),
    (10.5, 12.5, 0, True, [10, 11, 12, 13]),
    (12.5, 10.5, 0, True, [13, 12, 11, 10]),
    (12, 10, 0, True, [12, 11, 10]),
    (11.2, 11.8, 0, True, [11, 12]),
    (10.5, 12.5, 2, True, [10, 11, 12, 13]),
    (10.5, 12.5, 3, True, [10, 11, 12, 13]),
    (10.5, 12.5, 1, True, [10, 11, 12, 13]),
    (12.5, 10.5, 1, True, [13, 12, 11, 10]),
    (10.5, NONE, 3, True, [10, 11, 12]),
    (10.5, NONE, 1, True, [10]),
    (NONE, 12.5, 2, True, [13, 12]),
    # a bound that does not exist stands at the time that was asked for
    (9, 11, 0, True, [9, 10, 11]),
    (14, 20, 0, True, [14, 15, 20]),
    (20, 14.5, 0, True, [20, 15, 14]),
    (1, 2, 0, True, [1, 10]),
]


@pytest.mark.parametrize(("start", "end", "number", "bounds", "expected"), RANGES)
async def test_a_range_gives_its_values_in_its_order(reader, start, end, number, bounds, expected) -> None:
    pages = await reader.pages(start, end, number, bounds=bounds)
    assert [time for page in pages for time in page.times] == expected
    assert [page.status for page in pages] == ["Good" if page.data else "GoodNoData" for page in pages]
    if number:
        assert all(len(page.times) == number for page in pages[:-1])
        assert len(pages[-1].times) <= number
    assert reader.session.storage["history.continuation"].rest == {}


async def test_values_come_with_their_status_and_bad_ones_without_a_value(reader) -> None:
    assert (await reader.read(12, 16)).rows == [
        (12, 12.0, "Good"),
        (13, None, "BadNoCommunication"),
        (14, 14.0, "UncertainEngineeringUnitsExceeded"),
        (15, 15.0, "Good"),
    ]


async def test_a_bound_that_does_not_exist_says_so(reader) -> None:
    rows = (await reader.read(9, 20, bounds=True)).rows
    assert rows[0] == (9, None, "BadBoundNotFound")
    assert rows[-1] == (20, None, "BadBoundNotFound")


async def test_a_value_is_found_at_the_time_that_the_client_was_given(tmp_path) -> None:
    bench = Bench(tmp_path)
    bench.archive.put(STATE, 1, BASE + 1_234_567_891)  # 100 ns travel, asyncua reads microseconds
    bench.archive.image(BASE + 2 * S)
    bench.archive.stop()
    reader = bench.reader()
    (row,) = (await reader.read(0, 99, point=STATE)).rows
    assert row == (1.234567, 1, "Good")
    assert (await reader.read(row[0], row[0], point=STATE)).rows == [row]
    assert (await reader.read(row[0], 99, point=STATE)).rows == [row]
    assert (await reader.read(0, row[0], point=STATE)).rows == []
    assert (await reader.read(row[0], 0, point=STATE)).rows == [row]
    assert (await reader.read(99, row[0], point=STATE)).rows == []
    assert (await reader.read(0, row[0], point=STATE, bounds=True)).rows[1:] == [row]


@pytest.mark.parametrize(("start", "end", "number"), [(None, None, 5), (10, None, 0), (None, 10, 0), (None, None, 0)])
async def test_two_of_start_end_and_number_are_needed(reader, start, end, number) -> None:
    answer = await reader.read(start, end, number)
    assert (answer.status, answer.data) == ("BadInvalidTimestampArgument", None)


async def test_matrices_come_in_their_shape(reader) -> None:
    answer = await reader.read(0, 99, point=CELLS)
    assert answer.times == CELL_TIMES
    for time, value, status in answer.rows:
        expected = [[pytest.approx(time + (4 * row + k) / 10) for k in range(4)] for row in range(2)]
        assert (value, status) == ((None, "BadNoCommunication") if time == 40 else (expected, "Good"))


async def test_an_index_range_cuts_matrices_and_their_bounds_alike(reader) -> None:
    answer = await reader.read(25, 55, point=CELLS, index_range="1,0:1", bounds=True)
    assert answer.times == [20, 30, 40, 50, 55]
    assert [answer.data[i].Value.Dimensions for i in (0, 1, 3)] == [[1, 2]] * 3
    assert answer.rows[0][1] == [[pytest.approx(20.4), pytest.approx(20.5)]]
    assert answer.rows[4] == (55, None, "BadBoundNotFound")


REFUSED = [
    ({"point": CELLS, "index_range": "9,0"}, "BadIndexRangeNoData"),
    ({"point": CELLS, "index_range": "0"}, "BadIndexRangeNoData"),
    ({"point": VOLTAGE, "index_range": "0"}, "BadIndexRangeNoData"),
    ({"point": CELLS, "index_range": "2:1"}, "BadIndexRangeInvalid"),
    ({"point": CELLS, "index_range": "x"}, "BadIndexRangeInvalid"),
    ({"encoding": "Default XML"}, "BadDataEncodingUnsupported"),
    ({"point": "ESS.ARR99.Measurements.X"}, "BadNodeIdUnknown"),
    ({"point": f"{RACK}.Nameplate.RatedCapacity"}, "BadHistoryOperationUnsupported"),
    ({"point": RACK}, "BadHistoryOperationUnsupported"),
    ({"point": f"{RACK}.M01.CellData.CellVoltages"}, "BadHistoryOperationUnsupported"),
    ({"continuation": b"x" * 16}, "BadContinuationPointInvalid"),
]


@pytest.mark.parametrize(("options", "status"), REFUSED)
async def test_a_node_that_cannot_be_read_is_refused_with_its_reason(reader, options, status) -> None:
    answer = await reader.read(0, 99, **options)
    assert (answer.status, answer.point, answer.data) == (status, None, None)


async def test_a_standard_encoding_may_be_named(reader) -> None:
    assert (await reader.read(10, 12, encoding="Default Binary")).times == [10, 11]


async def test_a_user_without_a_role_reads_nothing(bench) -> None:
    assert (await bench.reader(frozenset()).read(0, 99)).status == "BadUserAccessDenied"


async def test_one_bad_node_does_not_spoil_the_others(reader) -> None:
    details = ua.ReadRawModifiedDetails(False, at(10), at(12), ua.UInt32(0), False)
    nodes = [ua.HistoryReadValueId(ua.NodeId(point, 3)) for point in (VOLTAGE, "nothing", VOLTAGE)]
    answers = await reader.call(details, nodes)
    assert [answer.status for answer in answers] == ["Good", "BadNodeIdUnknown", "Good"]
    assert answers[2].times == [10, 11]


RAW = ua.ReadRawModifiedDetails(False, at(10), at(12), ua.UInt32(0), False)
FAULTS = [
    (RAW, 3, "BadTimestampsToReturnInvalid"),
    (RAW, 1, "BadTimestampNotSupported"),
    (None, 0, "BadHistoryOperationInvalid"),
    (ua.ReadRawModifiedDetails(True, at(10), at(12)), 0, "BadHistoryOperationUnsupported"),
    (ua.ReadProcessedDetails(), 0, "BadHistoryOperationUnsupported"),
    (ua.ReadAtTimeDetails(), 0, "BadHistoryOperationUnsupported"),
    (ua.ReadEventDetails(), 0, "BadHistoryOperationUnsupported"),
]


@pytest.mark.parametrize(("details", "times", "fault"), FAULTS)
async def test_a_call_that_is_not_offered_is_refused_as_a_whole(reader, details, times, fault) -> None:
    assert await reader.call(details, [ua.HistoryReadValueId(ua.NodeId(VOLTAGE, 3))], times=times) == fault


async def test_both_timestamps_may_be_asked_for_and_the_source_time_comes(reader) -> None:
    (answer,) = await reader.call(RAW, [ua.HistoryReadValueId(ua.NodeId(VOLTAGE, 3))], times=2)
    assert answer.times == [10, 11]
    assert all(value.ServerTimestamp is None for value in answer.data)


async def test_a_continuation_point_is_secret_and_good_once(reader) -> None:
    first = await reader.read(10, 16, 2)
    assert len(first.point) == 16
    second = await reader.read(10, 16, 2, continuation=first.point)
    assert second.times == [12, 13]
    assert (await reader.read(10, 16, 2, continuation=first.point)).status == "BadContinuationPointInvalid"
    assert second.point != first.point


async def test_a_continuation_point_belongs_to_its_session(bench, reader) -> None:
    point = (await reader.read(10, 16, 2)).point
    assert (await bench.reader().read(10, 16, 2, continuation=point)).status == "BadContinuationPointInvalid"
    assert (await reader.read(10, 16, 2, continuation=point)).times == [12, 13]


async def test_a_continuation_point_belongs_to_its_node_and_survives_a_wrong_one(reader) -> None:
    point = (await reader.read(10, 16, 2)).point
    assert (await reader.read(10, 16, 2, continuation=point, point=CELLS)).status == "BadContinuationPointInvalid"
    assert (await reader.read(10, 16, 2, continuation=point)).times == [12, 13]


async def test_released_continuation_points_are_gone_and_give_no_data(reader) -> None:
    point = (await reader.read(10, 16, 2)).point
    answer = await reader.read(continuation=point, release=True)
    assert (answer.status, answer.data) == ("Good", None)
    assert (await reader.read(continuation=point, release=True)).status == "BadContinuationPointInvalid"
    assert (await reader.read(10, 16, 2, continuation=point)).status == "BadContinuationPointInvalid"


async def test_too_many_continuation_points_are_refused_and_the_old_ones_stay(tmp_path) -> None:
    bench = Bench(tmp_path, history_continuation_points=2)
    for i in range(4):
        bench.archive.put(VOLTAGE, i, BASE + i * S)
        bench.archive.image(BASE + i * S)
    bench.archive.stop()
    reader = bench.reader()
    points = [(await reader.read(0, 9, 1)).point for _ in range(2)]
    assert (await reader.read(0, 9, 1)).status == "BadNoContinuationPoints"
    assert (await reader.read(0, 9)).times == [0, 1, 2, 3]
    assert [(await reader.read(0, 9, 1, continuation=point)).times for point in points] == [[1], [1]]


@pytest.mark.parametrize("number", [1, 2, 3, 7])
@pytest.mark.parametrize("backward", [False, True])
async def test_samples_of_one_time_are_all_given_however_pages_fall(tmp_path, number, backward) -> None:
    bench = Bench(tmp_path)
    for epoch in (1, 2, 3):  # a clock that was set back twice
        for i in range(3):
            bench.archive.put(VOLTAGE, 10 * epoch + i, BASE + i * S)
            bench.archive.image(BASE + i * S + MS, epoch)
    bench.archive.stop()
    pages = await bench.reader().pages(*((9, -1) if backward else (0, 9)), number)
    rows = [row for page in pages for row in page.rows]
    assert [time for time, _, _ in rows] == sorted([0, 0, 0, 1, 1, 1, 2, 2, 2], reverse=backward)
    assert sorted(value for _, value, _ in rows) == [10, 11, 12, 20, 21, 22, 30, 31, 32]


async def test_the_pages_of_the_server_are_bounded_and_go_on(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(history_services, "PAGE_VALUES", 100)
    bench = Bench(tmp_path)
    for i in range(450):
        bench.archive.put(VOLTAGE, i % 50, BASE + i * S)
        bench.archive.image(BASE + i * S)
    bench.archive.stop()
    pages = await bench.reader().pages(0, 10_000)
    assert [len(page.times) for page in pages] == [100, 100, 100, 100, 50]
    assert [time for page in pages for time in page.times] == list(range(450))
    limited = await bench.reader().pages(0, None, 250)
    assert [len(page.times) for page in limited] == [100, 100, 50]


async def test_a_damaged_chunk_is_told_once_and_reading_goes_on_behind_it(tmp_path) -> None:
    bench = Bench(tmp_path)
    for i in range(310):
        bench.archive.put(VOLTAGE, i % 50, BASE + i * S)
        bench.archive.image(BASE + i * S)
    bench.archive.stop()
    with sqlite3.connect(bench.archive.data / "archive.db") as database:
        database.execute("UPDATE chunk SET data=zeroblob(length(data))")
    lost = (None, "BadDataLost")
    for start, end, expected in [
        (0, 999, [0, *range(300, 310)]),
        (50, 302, [50, 300, 301]),
        (302, 50, [302, 301, 300, 299]),
    ]:
        pages = await bench.reader().pages(start, end, 1)
        rows = [row for page in pages for row in page.rows]
        assert [time for time, _, _ in rows] == expected
        assert [(value, status) for time, value, status in rows if time < 300] == [lost]


async def test_a_database_that_cannot_be_read_is_told_and_the_continuation_point_stays(tmp_path) -> None:
    bench = Bench(tmp_path)
    for i in range(400):
        bench.archive.put(VOLTAGE, i % 50, BASE + i * S)
        bench.archive.image(BASE + i * S)
    bench.archive.stop()
    reader, path = bench.reader(), bench.archive.data / "archive.db"
    point = (await reader.read(0, 999, 5)).point
    content = path.read_bytes()
    path.write_bytes(b"x" * 9000)
    assert (await reader.read(0, 999, 5)).status == "BadDataUnavailable"
    assert (await reader.read(0, 999, 5, continuation=point)).status == "BadDataUnavailable"
    path.write_bytes(content)
    assert (await reader.read(0, 999, 5, continuation=point)).times == [5, 6, 7, 8, 9]


async def test_history_cannot_be_changed(bench, reader) -> None:
    params = ua.HistoryUpdateParameters([ua.ExtensionObject(), ua.ExtensionObject()])
    response = await bench.services.update(reader.session, params, None)
    assert [result.StatusCode.name for result in response.Results] == ["BadHistoryOperationUnsupported"] * 2


def test_the_numbers_of_nodes_are_bounded_by_the_table_of_services(bench) -> None:
    table = ServiceTable()
    bench.services.register(table)
    for kind, limit in [
        (ua.ObjectIds.HistoryReadRequest_Encoding_DefaultBinary, "nodes_per_history_read"),
        (ua.ObjectIds.HistoryUpdateRequest_Encoding_DefaultBinary, "nodes_per_history_update"),
    ]:
        service = table.find(kind)
        assert service is not None
        assert service.maximum == limit
        assert service.session


@pytest.mark.parametrize("bounds", [False, True])
async def test_times_of_any_year_are_understood(reader, bounds) -> None:
    low, high = datetime(1700, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)
    for start, end, expected in [(low, high, SOME), (high, low, SOME[::-1]), (high, high, []), (low, low, [])]:
        details = ua.ReadRawModifiedDetails(False, start, end, ua.UInt32(0), bounds)
        (answer,) = await reader.call(details, [ua.HistoryReadValueId(ua.NodeId(VOLTAGE, 3))])
        assert [value.Value.Value for value in answer.data if value.StatusCode.is_good()] == [
            float(i) for i in expected if i not in (13, 14)
        ]
