"""From frames to values: what is delivered, with which quality, and what is withheld and counted."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from adapters.api import Batch, BusSpec
from adapters.can.frame import ERROR, EXTENDED, REMOTE, pack_frames
from adapters.can.pipeline import FramePipeline
from information_model.device_map import DeviceMap
from information_model.quality import Quality

from .conftest import RACK_DBC, RACK_MAP

STATUS, CELLS = 0x100, 0x101
CURRENT, STATE = 4, 5
MS = 1_000_000
Status = Callable[[int, int, int], bytes]


@pytest.fixture
def pipeline(rack_map: DeviceMap, make_bus: Callable[..., BusSpec]) -> FramePipeline:
    return FramePipeline(make_bus(rack_map))


def feed(pipeline: FramePipeline, *frames: tuple[int, bytes], at_ns: int = 0, step_ns: int = MS) -> Batch:
    """Frames `step_ns` apart, the first at `at_ns`."""
    stamps = [at_ns + number * step_ns for number in range(len(frames))]
    return pipeline.feed(*pack_frames([row[0] for row in frames], [row[1] for row in frames], stamps))


def seen(batch: Batch) -> dict[int, tuple[float, Quality]]:
    """Slot -> newest value and quality."""
    rows = zip(batch.slot.tolist(), batch.value.tolist(), batch.quality.tolist(), strict=True)
    return {slot: (round(value, 9), Quality(quality)) for slot, value, quality in rows}


def cells(*raw: int) -> bytes:
    return b"".join(value.to_bytes(2, "little") for value in raw)


def test_values_come_in_si_units_with_the_sign_of_the_map_and_the_time_of_their_frame(
    pipeline: FramePipeline, status: Status
) -> None:
    batch = feed(pipeline, (STATUS, status(-250, 3, 1)), (CELLS, cells(3300, 3301, 3302, 3303)), at_ns=5 * MS)
    assert seen(batch) == {
        CURRENT: (25.0, Quality.GOOD),
        STATE: (2.0, Quality.GOOD),
        0: (3.3, Quality.GOOD),
        1: (3.301, Quality.GOOD),
        2: (3.302, Quality.GOOD),
        3: (3.303, Quality.GOOD),
    }
    assert batch.mono_ns.tolist() == [5 * MS] * 2 + [6 * MS] * 4


def test_a_value_that_is_not_good_is_never_a_number(pipeline: FramePipeline, status: Status) -> None:
    batch = feed(pipeline, (CELLS, cells(0xFFFF, 5000, 0, 3300)), (STATUS, status(0, 7, 1)))
    found = seen(batch)
    qualities = {slot: quality for slot, (_, quality) in found.items()}
    assert qualities == {
        0: Quality.INVALID,
        1: Quality.RANGE,
        2: Quality.RANGE,
        3: Quality.GOOD,
        CURRENT: Quality.GOOD,
        STATE: Quality.INVALID,
    }
    assert [slot for slot, (value, _) in found.items() if math.isnan(value)] == [0, 1, 2, STATE]


def test_a_wrong_check_sum_withholds_the_frame_and_is_counted(pipeline: FramePipeline, status: Status) -> None:
    good = status(10, 0, 1)
    flipped = bytes((good[0] ^ 4,)) + good[1:]
    assert len(feed(pipeline, (STATUS, flipped)).slot) == 0
    assert pipeline.rejected.tolist() == [1]
    assert pipeline.last_frame_ns.tolist() == [0]
    assert seen(feed(pipeline, (STATUS, good)))[CURRENT] == (-1.0, Quality.GOOD)


def test_the_counter_of_a_frame_with_a_wrong_check_sum_does_not_count(pipeline: FramePipeline, status: Status) -> None:
    damaged = status(10, 0, 9)[:7] + b"\0"
    feed(pipeline, (STATUS, status(10, 0, 1)), (STATUS, damaged), (STATUS, status(11, 0, 2)))
    assert pipeline.counter_errors.tolist() == [0]
    assert pipeline.advances.tolist() == [1]


@pytest.mark.parametrize("split", [False, True])
def test_repeated_and_old_frames_are_withheld_and_lost_ones_only_counted(
    pipeline: FramePipeline, status: Status, split: bool
) -> None:
    #        first, next, repeated, two lost, old, next after the old one
    alive = [13, 14, 14, 2, 1, 2]
    frames = [(STATUS, status(-number, 0, counter)) for number, counter in enumerate(alive)]
    batches = [feed(pipeline, frame) for frame in frames] if split else [feed(pipeline, *frames)]
    currents = [
        value
        for batch in batches
        for slot, value in zip(batch.slot.tolist(), batch.value.tolist(), strict=True)
        if slot == CURRENT
    ]
    assert currents == pytest.approx([0.0, 0.1, 0.3, 0.5])
    assert pipeline.counter_errors.tolist() == [3]
    assert pipeline.advances.tolist() == [3]
    assert pipeline.rejected.tolist() == [2]


def test_a_counter_beyond_its_range_is_no_counter(pipeline: FramePipeline, status: Status) -> None:
    assert len(feed(pipeline, (STATUS, status(0, 0, 15))).slot) == 0


def test_a_frozen_message_becomes_not_usable_and_stays_so_until_the_errors_are_ten_seconds_old(
    pipeline: FramePipeline, status: Status
) -> None:
    period = 100 * MS
    frozen = [feed(pipeline, (STATUS, status(5, 0, 3)), at_ns=n * period) for n in range(20)]
    told = [n for n, batch in enumerate(frozen) if CURRENT in seen(batch)]
    assert told == [0, 3]  # the good one, then once that three of four had to be rejected
    assert seen(frozen[3])[CURRENT][1] == Quality.E2E
    assert math.isnan(seen(frozen[3])[CURRENT][0])
    qualities = [
        seen(feed(pipeline, (STATUS, status(5, 0, (3 + n) % 15)), at_ns=(20 + n) * period))[CURRENT][1]
        for n in range(1, 130)
    ]
    good_again = qualities.index(Quality.GOOD)
    assert (20 + good_again + 1) * period == 11_000 * MS  # the last wrong frame came at 1.9 s, counted by whole seconds
    assert set(qualities[good_again:]) == {Quality.GOOD}


def test_single_errors_are_dropped_without_harm_to_the_good_frames(pipeline: FramePipeline, status: Status) -> None:
    for n in range(300):
        payload = status(5, 0, n % 15)
        batch = feed(
            pipeline, (STATUS, payload if n % 20 else payload[:7] + bytes((payload[7] ^ 1,))), at_ns=n * 100 * MS
        )
        assert all(quality == Quality.GOOD for _, quality in seen(batch).values())
    assert pipeline.rejected.tolist() == [15]


def test_short_error_remote_and_unknown_frames_are_counted_and_give_nothing(
    pipeline: FramePipeline,
) -> None:
    full = cells(3300, 3300, 3300, 3300)
    batch = feed(
        pipeline,
        (CELLS, full[:7]),
        (CELLS | ERROR, full),
        (CELLS | REMOTE, b""),
        (CELLS | EXTENDED, full),
        (0x7FF, full),
        (CELLS, b""),
    )
    counters = pipeline.counters
    assert len(batch.slot) == 0
    assert (counters.frames, counters.short_frames, counters.error_frames, counters.remote_frames) == (6, 2, 1, 1)
    assert counters.unknown_ids == 2
    assert pipeline.received.tolist() == [2]
    assert pipeline.rejected.tolist() == [2]


def test_an_empty_batch_is_fine(pipeline: FramePipeline) -> None:
    assert len(feed(pipeline).slot) == 0


def test_racks_on_one_bus_are_told_apart_by_their_node_and_do_not_share_counters(
    rack_map: DeviceMap, make_bus: Callable[..., BusSpec], status: Status
) -> None:
    pipeline = FramePipeline(make_bus(rack_map, (1, 2, 5)))
    batch = feed(
        pipeline,
        (STATUS + 5 * 32, status(-50, 0, 7)),
        (STATUS + 1 * 32, status(-10, 0, 7)),
        (STATUS + 2 * 32, status(-20, 0, 7)),
        (STATUS + 5 * 32, status(-51, 0, 8)),
        (STATUS + 1 * 32, status(-11, 0, 7)),
        (STATUS, status(-99, 0, 1)),
    )
    found = {slot: value for slot, (value, _) in seen(batch).items()}
    assert found == {CURRENT: 1.0, STATE: 1.0, 6 + CURRENT: 2.0, 6 + STATE: 1.0, 12 + CURRENT: 5.1, 12 + STATE: 1.0}
    assert pipeline.advances.tolist() == [0, 0, 1]
    assert pipeline.rejected.tolist() == [1, 0, 0]


def test_maps_of_different_kinds_share_a_bus(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec]
) -> None:
    other = make_map(
        'version = 1\nname = "meter"\nkind = "can"\ndbc = "meter.dbc"\n'
        '[[scalar]]\npoint = "Measurements.DcVoltage"\nsignal = "U"\nscale = 1000\nperiod = 1\ntimeout = 3\n',
        'VERSION ""\nBO_ 1024 Meter: 2 Rack\n SG_ U : 7|16@0+ (1,0) [0|0] "kV" Server\n',
        "meter",
    )
    spec = make_bus(make_map())
    meter = make_bus(other).sources[0]
    sources = (*spec.sources, type(meter)("ESS.ARR01.R009", 0, other, 6))
    pipeline = FramePipeline(BusSpec("mixed", "can", {}, sources))
    batch = feed(pipeline, (1024, b"\x00\x02"), (CELLS, cells(3300, 3300, 3300, 3300)))
    assert seen(batch)[6] == (2000.0, Quality.GOOD)
    assert len(batch.slot) == 5
    assert pipeline.received.tolist() == [1, 1]


FLOAT_DBC = RACK_DBC.replace(
    'SG_ Cell_1 : 0|16@1+ (0.001,0) [0|0] "V" Server\n SG_ Cell_2 : 16|16@1+ (0.001,0) [0|0] "V" Server\n',
    'SG_ Cell_1 : 0|32@1- (1,0) [0|0] "V" Server\n',
).replace(
    'SG_ Cell_3 : 32|16@1+ (0.001,0) [0|0] "V" Server\n SG_ Cell_4 : 48|16@1+ (0.001,0) [0|0] "V" Server\n',
    'SG_ Cell_2 : 32|32@1- (1,0) [0|0] "V" Server\n',
) + "SIG_VALTYPE_ 257 Cell_1 : 1;\nSIG_VALTYPE_ 257 Cell_2 : 1;\n"  # fmt: skip


def test_floating_point_signals_are_decoded_too_and_what_is_no_number_is_invalid(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec]
) -> None:
    toml = RACK_MAP.replace("count = 4", "count = 2").replace("invalid = [0xFFFF]\n", "")
    pipeline = FramePipeline(make_bus(make_map(toml, FLOAT_DBC)))
    good = np.array([3.25, 9.0], "<f4").tobytes()
    bad = np.array([np.nan, np.inf], "<f4").tobytes()
    assert seen(feed(pipeline, (CELLS, good)))[0] == (3.25, Quality.GOOD)
    assert [quality for _, quality in seen(feed(pipeline, (CELLS, good))).values()] == [Quality.GOOD, Quality.RANGE]
    assert {quality for _, quality in seen(feed(pipeline, (CELLS, bad))).values()} == {Quality.INVALID}


def test_a_page_that_the_database_does_not_know_is_counted(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec]
) -> None:
    toml = (
        'version = 1\nname = "pages"\nkind = "can"\ndbc = "pages.dbc"\n'
        "[[matrix]]\npoint = \"CellData.CellVoltages\"\nsignal = 'V(\\d+)'\ncount = 2\nperiod = 1\ntimeout = 3\n"
    )
    dbc = (
        'VERSION ""\nBO_ 592 Pages: 4 Rack\n SG_ Page M : 7|4@0+ (1,0) [0|0] "" S\n'
        ' SG_ V1 m0 : 15|16@0+ (0.001,0) [0|0] "V" S\n SG_ V2 m9 : 15|16@0+ (0.001,0) [0|0] "V" S\n'
    )
    pipeline = FramePipeline(make_bus(make_map(toml, dbc, "pages")))
    batch = feed(pipeline, (592, b"\x0f\x0c\xe4\0"), (592, b"\x9f\x0c\xe5\0"), (592, b"\x50\x0c\xe4\0"))
    assert seen(batch) == {0: (3.3, Quality.GOOD), 1: (3.301, Quality.GOOD)}
    assert pipeline.counters.unknown_pages == 1


def test_long_frames_and_nested_pages_take_the_way_through_cantools(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec]
) -> None:
    toml = (
        'version = 1\nname = "long"\nkind = "can"\ndbc = "long.dbc"\n'
        '[[scalar]]\npoint = "Measurements.DcVoltage"\nsignal = "U"\nrange = [0, 10]\nperiod = 1\ntimeout = 3\n'
        '[[scalar]]\npoint = "Measurements.DcCurrent"\nsignal = "I"\ninvalid = [0xFF]\nperiod = 1\ntimeout = 3\n'
        '[[check]]\nmessage = "Long"\ncounter = { start = 0, length = 8 }\n'
    )
    dbc = (
        'VERSION ""\nBO_ 592 Long: 16 Rack\n SG_ U : 96|16@1+ (0.001,0) [0|0] "V" S\n'
        'BO_ 593 Nested: 3 Rack\n SG_ Outer M : 0|4@1+ (1,0) [0|0] "" S\n SG_ Inner m1M : 4|4@1+ (1,0) [0|0] "" S\n'
        ' SG_ I m2 : 8|8@1- (1,0) [0|0] "A" S\nSG_MUL_VAL_ 593 Inner Outer 1-1;\nSG_MUL_VAL_ 593 I Inner 2-2;\n'
    )
    pipeline = FramePipeline(make_bus(make_map(toml, dbc, "long")))
    assert pipeline.tables.by_cantools.tolist() == [True, True]
    assert pipeline.frame_width == 64
    long_frames = [bytes((n, *[0] * 11)) + (3000 + n).to_bytes(2, "little") + b"\0\0" for n in (1, 2, 2)]
    columns = pack_frames(
        [592] * 3 + [593] * 3, [*long_frames, b"\x21\xfe\0", b"\x22\xfe\0", b"\x21\xff\0"], [1] * 6, 64
    )
    batch = pipeline.feed(*columns)
    rows = zip(batch.slot.tolist(), batch.value.tolist(), batch.quality.tolist(), strict=True)
    assert [(slot, value, quality) for slot, value, quality in rows if quality == Quality.GOOD] == [
        (0, pytest.approx(3.001), 0), (0, pytest.approx(3.002), 0), (1, -2.0, 0),
    ]  # fmt: skip
    assert batch.quality.tolist().count(Quality.INVALID) == 1
    assert pipeline.counters.crc_or_counter == 1
    assert pipeline.counters.undecodable == 1
