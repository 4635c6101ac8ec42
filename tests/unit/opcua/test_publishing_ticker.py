"""The clock of publishing: images are ticks, time replaces them, long work is done in slices."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from server.opcua.publishing import ticker
from server.opcua.publishing.ticker import Ticker
from tests.unit.opcua.publishing_kit import Clock


class Work:
    """Steps of each tick, counted."""

    def __init__(self, steps: int) -> None:
        self.steps = steps
        self.done: list[tuple[int, int]] = []
        self.rounds = 0
        self.needed = True
        self.finished = asyncio.Event()

    def __call__(self) -> Iterator[None]:
        self.rounds += 1
        mine = self.rounds
        for step in range(self.steps):
            self.done.append((mine, step))
            yield
        self.finished.set()


def test_ticks_follow_the_images_and_count_missed_ones() -> None:
    clock, work = Clock(), Work(1)
    made = Ticker(0.1, clock, work, lambda: True)
    for seconds, tick in ((0.1, 1), (0.12, 2), (0.08, 3), (0.31, 6), (0.01, 7)):
        clock.now += seconds
        made.on_image()
        assert made.tick == tick
    assert work.rounds == 5


def test_time_ticks_when_images_are_missing_but_only_for_somebody() -> None:
    clock, work = Clock(), Work(1)
    made = Ticker(0.1, clock, work, lambda: work.needed)
    assert made.step() == pytest.approx(0.25)
    clock.now += 0.25
    assert made.step() == pytest.approx(0.1)
    assert made.tick == 2
    clock.now += 0.1
    made.step()
    assert (made.tick, work.rounds) == (3, 2)
    work.needed = False
    clock.now += 10
    made.step()
    assert work.rounds == 2
    made.on_image()
    assert made.step() == pytest.approx(0.25)


async def test_long_work_is_sliced_and_an_image_that_comes_meanwhile_is_worked_on_afterwards(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ticker, "SLICE_S", 0.0)
    clock, work = Clock(), Work(3)
    made = Ticker(0.1, clock, work, lambda: False)
    made.on_image()
    assert work.done == [(1, 0)]
    clock.now += 0.1
    made.on_image()
    assert work.done == [(1, 0)]
    between: list[int] = []

    async def other() -> None:
        while work.rounds < 2 or len(work.done) < 6:
            between.append(len(work.done))
            await asyncio.sleep(0)

    task = asyncio.create_task(made.run())
    await asyncio.wait_for(other(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert work.done == [(1, 0), (1, 1), (1, 2), (2, 0), (2, 1), (2, 2)]
    # The other task had its turn after every step.
    assert len(set(between)) >= 4


async def test_run_sleeps_until_a_tick_has_left_something_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticker, "SLICE_S", 0.0)
    clock, work = Clock(), Work(2)
    made = Ticker(0.1, clock, work, lambda: True)
    task = asyncio.create_task(made.run())
    for _ in range(5):
        await asyncio.sleep(0)
    assert work.rounds == 0
    clock.now += 1
    made.step()
    assert work.done == [(1, 0)]
    await asyncio.wait_for(work.finished.wait(), 10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert work.done == [(1, 0), (1, 1)]
