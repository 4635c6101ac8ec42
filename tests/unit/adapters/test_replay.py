"""Replay: a recorded bus in place of a live one, in simulated and in real time."""

import asyncio
import contextlib
import itertools
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from adapters.api import BusSpec
from adapters.errors import AdapterConfigurationError
from adapters.replay.adapter import ROUND_GAP_NS, ReplayAdapter
from information_model.device_map import DeviceMap
from information_model.enumerations import CommunicationState

from .conftest import RACK_MAP, Recorder

MS = 1_000_000
START = 10**15


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    """Ten frames of four cells each, 20 ms apart; the first cell counts in mV."""
    path = tmp_path / "cells.log"
    lines = [f"({n * 0.02:.6f}) can0 101#{(3000 + n).to_bytes(2, 'little').hex()}E40CE40CE40C" for n in range(10)]
    path.write_text("\n".join(lines) + "\n")
    return path


@contextlib.asynccontextmanager
async def running(adapter: ReplayAdapter, recorder: Recorder) -> AsyncIterator[None]:
    """The adapter at work; cancelled at the end as its host does it."""
    task = asyncio.create_task(adapter.run(recorder))
    try:
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def first_cell(recorder: Recorder) -> list[tuple[int, float]]:
    rows = []
    for batch in recorder.batches:
        for slot, value, stamp in zip(batch.slot.tolist(), batch.value.tolist(), batch.mono_ns.tolist(), strict=True):
            if slot == 0:
                rows.append((stamp, round(value, 6)))
    return rows


async def test_as_fast_as_possible_the_times_of_the_capture_follow_the_start(
    capture: Path, rack_map: DeviceMap, make_bus: Callable[..., BusSpec], recorder: Recorder
) -> None:
    adapter = ReplayAdapter(make_bus(rack_map, file=str(capture), speed=0), clock=lambda: START)
    async with running(adapter, recorder):
        await adapter.finished.wait()
    assert first_cell(recorder) == [(START + n * 20 * MS, 3.0 + n / 1000) for n in range(10)]
    assert adapter.counters.frames == 10
    assert recorder.healths[0].frames_received == 10


async def test_at_a_chosen_speed_the_source_time_is_start_plus_elapsed_over_speed_and_never_ahead(
    capture: Path, rack_map: DeviceMap, make_bus: Callable[..., BusSpec], recorder: Recorder
) -> None:
    now = START
    late: list[int] = []
    adapter = ReplayAdapter(make_bus(rack_map, file=str(capture), speed=4), clock=lambda: now)
    recorder.on_batch = lambda: late.extend((now - recorder.batches[-1].mono_ns).tolist())
    async with running(adapter, recorder):
        await asyncio.sleep(0)  # the adapter takes the start time now
        while not adapter.finished.is_set():
            await asyncio.sleep(0)
            now += MS // 4
    start = first_cell(recorder)[0][0]
    assert first_cell(recorder) == [(start + n * 5 * MS, 3.0 + n / 1000) for n in range(10)]
    assert START <= start <= START + MS
    assert min(late) >= 0


async def test_a_loop_goes_on_behind_its_end_without_a_step_back(
    capture: Path, rack_map: DeviceMap, make_bus: Callable[..., BusSpec], recorder: Recorder
) -> None:
    now = START
    adapter = ReplayAdapter(make_bus(rack_map, file=str(capture), speed=1000, loop=True), clock=lambda: now)
    enough = asyncio.Event()
    recorder.on_batch = lambda: enough.set() if len(first_cell(recorder)) >= 25 else None
    async with running(adapter, recorder):
        while not enough.is_set():
            await asyncio.sleep(0)
            now += MS
    found = first_cell(recorder)
    assert [value for _, value in found[:20]] == [3.0 + n / 1000 for n in range(10)] * 2
    assert found[10][0] - found[9][0] == ROUND_GAP_NS
    assert all(later > earlier for (earlier, _), (later, _) in itertools.pairwise(found))


async def test_a_missing_capture_is_told_once_and_played_when_it_appears(
    tmp_path: Path,
    capture: Path,
    rack_map: DeviceMap,
    make_bus: Callable[..., BusSpec],
    recorder: Recorder,
    caplog: pytest.LogCaptureFixture,
) -> None:
    later = tmp_path / "later.log"
    adapter = ReplayAdapter(make_bus(rack_map, file=str(later), speed=1000))
    tried = asyncio.Event()
    pauses = adapter._back_off.next_pause_s

    def counted_pause() -> float:
        counted.append(pauses())
        if len(counted) == 3:
            later.write_text("not a frame\n" + capture.read_text())
            tried.set()
        return 0.0

    counted: list[float] = []
    adapter._back_off.next_pause_s = counted_pause  # type: ignore[method-assign]  # the pauses are not waited for
    with caplog.at_level(logging.INFO, "gridbms.adapters"):
        async with running(adapter, recorder):
            await tried.wait()
            await adapter.finished.wait()
    messages = [record.getMessage() for record in caplog.records]
    assert len([text for text in messages if "trying again" in text]) == 1
    assert "bus bus1: the capture can be read again" in messages
    assert any("1 of 11 lines could not be read, first: line 1:" in text for text in messages)
    assert len(first_cell(recorder)) == 10
    assert counted[0] < counted[1] < counted[2] or max(counted) <= 0.4


async def test_at_the_end_the_sources_become_lost(
    capture: Path, rack_map: DeviceMap, make_map: Callable[..., DeviceMap], make_bus: Callable[..., BusSpec]
) -> None:
    toml_without_liveness = make_map(_without_checks())
    recorder = Recorder()
    now = START
    adapter = ReplayAdapter(make_bus(toml_without_liveness, file=str(capture), speed=1), clock=lambda: now)
    async with running(adapter, recorder):
        while not adapter.finished.is_set():
            await asyncio.sleep(0)
            now += MS
        while recorder.healths[0].state != CommunicationState.GOOD:
            await asyncio.sleep(0)
        now += 5000 * MS
        while recorder.healths[0].state == CommunicationState.GOOD:
            await asyncio.sleep(0)
    assert recorder.healths[0].state == CommunicationState.LOST
    assert recorder.healths[0].timeouts == 1


def _without_checks() -> str:
    head, _, rest = RACK_MAP.partition("[[check]]")
    return head + rest[rest.index("[[command]]") :]


def test_all_wrong_options_are_told_at_once(rack_map: DeviceMap, make_bus: Callable[..., BusSpec]) -> None:
    with pytest.raises(AdapterConfigurationError) as caught:
        ReplayAdapter(make_bus(rack_map, file="bus.blf", speed=-1, loop="yes", sped=1))
    keys = [problem.key for problem in caught.value.problems]
    assert keys == ["options.sped", "options.file", "options.speed", "options.loop"]


@pytest.mark.parametrize("options", [{"speed": 0, "loop": True}, {"speed": float("nan")}, {"speed": True}])
def test_options_that_cannot_be_played_are_refused(
    rack_map: DeviceMap, make_bus: Callable[..., BusSpec], options: dict[str, object]
) -> None:
    with pytest.raises(AdapterConfigurationError):
        ReplayAdapter(make_bus(rack_map, file="a.log", **options))
