"""A follower calls at each tick, in time without one, and not at all while its user wants to hear nothing."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from server.runtime.follower import Follower, Pause
from server.runtime.tick import Tick, Wake

SOON, NEVER = 0.01, 1_000.0


class Script:
    """What is returned at each call; what came is kept, and may be waited for."""

    def __init__(self, *pauses: Pause) -> None:
        self._pauses = list(pauses)
        self.calls: asyncio.Queue[bool] = asyncio.Queue()

    def __call__(self, ticked: bool) -> Pause:
        self.calls.put_nowait(ticked)
        return self._pauses.pop(0) if self._pauses else Pause(patience_s=NEVER)

    async def next(self) -> bool:
        async with asyncio.timeout(10):
            return await self.calls.get()


class Rig:
    """A sender, and a follower that runs a script."""

    def __init__(self, run: Path, script: Script) -> None:
        self.tick, self.wake, self.script = Tick(run), Wake(run), script
        self.follower = Follower(self.wake, script)
        self.task = asyncio.create_task(self.follower.run())

    async def pulse(self) -> None:
        """One tick, with time for the follower to hear it."""
        self.tick.pulse()
        await asyncio.sleep(SOON)

    async def close(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)
        self.wake.close()
        self.tick.close()


@pytest_asyncio.fixture
async def rigs(tmp_path: Path) -> AsyncIterator[list[Rig]]:
    found: list[Rig] = []
    yield found
    for rig in found:
        await rig.close()


async def started(rigs: list[Rig], run: Path, *pauses: Pause) -> Rig:
    rig = Rig(run, Script(*pauses))
    rigs.append(rig)
    await asyncio.sleep(0)
    return rig


async def test_each_tick_is_one_call_and_silence_is_told_after_the_patience(rigs: list[Rig], tmp_path: Path) -> None:
    rig = await started(rigs, tmp_path, Pause(patience_s=NEVER), Pause(patience_s=SOON))
    await rig.pulse()
    assert await rig.script.next()
    await rig.pulse()
    assert await rig.script.next()
    assert not await rig.script.next()


async def test_ticks_while_deaf_are_not_told_and_the_first_one_afterwards_is(rigs: list[Rig], tmp_path: Path) -> None:
    rig = await started(rigs, tmp_path, Pause(deaf_s=NEVER))
    await rig.pulse()
    assert await rig.script.next()
    for _ in range(3):
        await rig.pulse()
    assert rig.script.calls.empty()
    rig.follower.hear()
    # What was missed is not made up for: it would be taken for the next tick.
    await asyncio.sleep(SOON)
    assert rig.script.calls.empty()
    await rig.pulse()
    assert await rig.script.next()
    assert rig.script.calls.empty()


async def test_hearing_comes_back_by_itself(rigs: list[Rig], tmp_path: Path) -> None:
    rig = await started(rigs, tmp_path, Pause(deaf_s=SOON))
    await rig.pulse()
    assert await rig.script.next()
    # The default patience then tells of the silence.
    assert not await rig.script.next()
    await rig.pulse()
    assert await rig.script.next()


async def test_to_hear_what_is_heard_already_changes_nothing(rigs: list[Rig], tmp_path: Path) -> None:
    rig = await started(rigs, tmp_path)
    rig.follower.hear()
    await rig.pulse()
    assert await rig.script.next()
    assert rig.script.calls.empty()


async def test_an_error_of_the_turn_ends_it_and_is_raised(tmp_path: Path) -> None:
    def turn(ticked: bool) -> Pause:
        raise ValueError("turn")

    tick, wake = Tick(tmp_path), Wake(tmp_path)
    follower = Follower(wake, turn)
    task = asyncio.create_task(follower.run())
    await asyncio.sleep(0)
    tick.pulse()
    with pytest.raises(ValueError, match="turn"):
        await asyncio.wait_for(task, 10)
    wake.close()
    tick.close()
