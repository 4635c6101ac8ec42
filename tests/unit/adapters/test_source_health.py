"""State of the communication with a rack, step by step on an injected clock."""

from collections.abc import Callable
from pathlib import Path

import pytest

from adapters.api import BusSpec
from adapters.can.frame import pack_frames
from adapters.can.pipeline import FramePipeline
from adapters.can.watch import SourceWatch, bus_silence_ns
from information_model.device_map import DeviceMap
from information_model.enumerations import CommunicationState as State
from server.config.maps import find_map

from .conftest import RACK_MAP, Recorder

HERE = Path(__file__).parent
MS = 1_000_000
Status = Callable[[int, int, int], bytes]


class Bench:
    """A pipeline and its watch on one bus."""

    def __init__(self, bus: BusSpec) -> None:
        self.pipeline = FramePipeline(bus)
        self.watch = SourceWatch(self.pipeline)
        self.recorder = Recorder(len(bus.sources))

    def frame(self, ident: int, payload: bytes, at_ms: int) -> None:
        self.pipeline.feed(*pack_frames([ident], [payload], [at_ms * MS]))

    def state(self, at_ms: int, source: int = 0) -> State:
        self.watch.judge(at_ms * MS, 2, "", self.recorder.health)
        return self.recorder.healths[source].state


@pytest.fixture
def bench(rack_map: DeviceMap, make_bus: Callable[..., BusSpec]) -> Bench:
    return Bench(make_bus(rack_map))


def test_a_rack_is_good_late_and_lost_by_the_age_of_its_alive_counter(bench: Bench, status: Status) -> None:
    assert bench.state(0) == State.NEVER_SEEN
    bench.frame(0x100, status(0, 0, 1), 100)
    assert bench.state(100) == State.NEVER_SEEN  # one frame does not show that the counter runs
    bench.frame(0x100, status(0, 0, 2), 200)
    assert [bench.state(at) for at in (200, 400, 401, 1200, 1201)] == [
        State.GOOD, State.GOOD, State.LATE, State.LATE, State.LOST,
    ]  # fmt: skip
    health = bench.recorder.healths[0]
    assert (health.timeouts, health.reconnects, health.last_frame_mono_ns) == (1, 2, 200 * MS)
    assert health.detail == "no sign of life for 1.0 s"
    bench.frame(0x100, status(0, 0, 3), 5000)
    assert bench.state(5000) == State.GOOD
    assert bench.recorder.healths[0].detail == ""
    assert bench.recorder.healths[0].counter_advances == 2


def test_other_messages_do_not_make_up_for_an_alive_counter_that_is_missing(bench: Bench, status: Status) -> None:
    bench.frame(0x100, status(0, 0, 1), 0)
    bench.frame(0x100, status(0, 0, 2), 100)
    for at in range(200, 2000, 100):
        bench.frame(0x101, bytes(8), at)
    assert bench.state(2000) == State.LOST


def test_a_rack_whose_frames_cannot_be_used_is_rejected(bench: Bench, status: Status) -> None:
    bench.frame(0x100, status(0, 0, 1), 0)
    bench.frame(0x100, status(0, 0, 2), 100)
    for at in range(200, 800, 100):
        bench.frame(0x100, status(0, 0, 2), at)
    assert bench.state(800) == State.REJECTED
    health = bench.recorder.healths[0]
    assert (health.frames_received, health.frames_rejected, health.counter_errors) == (8, 6, 6)
    assert "check sums or counters" in health.detail
    assert bench.state(20_000) == State.LOST


def test_without_an_alive_counter_every_frame_that_was_used_is_a_sign_of_life(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec]
) -> None:
    bench = Bench(make_bus(make_map(RACK_MAP.replace("liveness = true", "")), (1, 2)))
    bench.frame(0x101 + 64, bytes(8), 0)
    assert [bench.state(100, source) for source in (0, 1)] == [State.NEVER_SEEN, State.GOOD]
    assert bench.recorder.healths[1].counter_advances == 1


def test_the_silence_that_closes_a_bus_is_at_least_two_seconds_or_three_periods(
    make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec]
) -> None:
    assert bus_silence_ns(make_bus(find_map("tesla_model_s.toml", HERE))) == 2_000 * MS
    slow = make_map(RACK_MAP.replace("period = 0.1\ntimeout = 1.0", "period = 5\ntimeout = 20"))
    assert bus_silence_ns(make_bus(slow)) == 15_000 * MS
