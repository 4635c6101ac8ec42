"""A capture in place of a bus: recorded frames at real or chosen speed, through the same path as live ones."""

import asyncio
import logging
import math
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.api import BusSpec, Clock, RackRequest, Sink
from adapters.back_off import BackOff
from adapters.can.frame import Frames
from adapters.can.pipeline import BusCounters, FramePipeline
from adapters.can.watch import SourceWatch
from adapters.errors import AdapterConfigurationError, Problem
from adapters.replay.captures import SUFFIXES, CaptureError, CaptureReport, has_known_format, read_capture
from adapters.replay.play import at_speed, slices

log = logging.getLogger("gridbms.adapters")

ROUND_GAP_NS = 10_000_000
"""Between the last frame of a capture and the first one of its repetition."""

_TICK_S = 0.1
_SHORTEST_SLEEP_S = 0.005
_FASTEST = 10_000.0


@dataclass(frozen=True)
class ReplayOptions:
    """Options of a replayed bus in the site file."""

    file: Path
    """Capture: candump `.log` or GVRET `.csv`, also with `.gz`."""
    speed: float = 1.0
    """1 is real time; 0 is as fast as possible, times then run as in the capture and ahead of the clock."""
    loop: bool = False
    """Begin again at the end."""


class ReplayAdapter:
    """One capture; keeps the contract of `adapters.api.Adapter`. Requests are accepted and have no effect.

    The time of a frame is start of the replay + (t - t0) / speed. At the end nothing is delivered any more, `finished`
    is set, and the sources become lost by their time-outs.
    """

    def __init__(self, bus: BusSpec, *, clock: Clock = time.monotonic_ns, rng: random.Random | None = None) -> None:
        self._spec, self._clock = bus, clock
        self.options = checked_options(bus)
        self._pipeline = FramePipeline(bus)
        self._watch = SourceWatch(self._pipeline)
        self._back_off = BackOff(rng or random.Random())  # noqa: S311 - jitter needs no secrecy
        self._failure = ""
        self._reported = False
        self._end_ns = 0
        self.finished = asyncio.Event()

    @property
    def counters(self) -> BusCounters:
        """Counts of the bus as a whole."""
        return self._pipeline.counters

    def apply(self, requests: Sequence[RackRequest]) -> None:
        """A capture cannot be commanded."""

    async def run(self, sink: Sink) -> None:
        """Plays until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._play_rounds(sink), name=f"bus {self._spec.name}")
            if self.options.speed > 0:
                tasks.create_task(self._keep_time(sink), name=f"bus {self._spec.name}, health")

    async def _play_rounds(self, sink: Sink) -> None:
        start_ns = self._clock()
        while True:
            report = CaptureReport()
            try:
                await self._play_round(start_ns, report, sink)
            except CaptureError as error:
                if not self._failure:
                    log.error("bus %s: %s; trying again until it works", self._spec.name, error)
                self._failure = str(error)
                await asyncio.sleep(self._back_off.next_pause_s())
                start_ns = self._clock()
                continue
            self._tell(report)
            if not self.options.loop:
                break
            if not report.frames:
                await asyncio.sleep(self._back_off.next_pause_s())
            start_ns = max(self._end_ns, start_ns) + ROUND_GAP_NS
        self.finished.set()
        await asyncio.get_running_loop().create_future()

    async def _play_round(self, start_ns: int, report: CaptureReport, sink: Sink) -> None:
        speed = self.options.speed
        for block in read_capture(self.options.file, report, self._pipeline.frame_width):
            if self._failure:
                log.info("bus %s: the capture can be read again", self._spec.name)
                self._failure = ""
            self._back_off.reset()
            frames = at_speed(block, start_ns, speed or 1.0)
            self._end_ns = int(frames.mono_ns.max())
            if speed > 0:
                await self._play_in_time(frames, sink)
            else:
                await self._play_at_once(frames, sink)

    async def _play_in_time(self, frames: Frames, sink: Sink) -> None:
        due = np.maximum.accumulate(frames.mono_ns)
        done = 0
        while done < len(due):
            now = self._clock()
            end = int(np.searchsorted(due, now, side="right"))
            if end > done:
                self._feed(frames.part(done, end), sink)
                done = end
            if done < len(due):
                wait_s = (int(due[done]) - now) / 1e9
                await asyncio.sleep(min(max(wait_s, _SHORTEST_SLEEP_S), _TICK_S))

    async def _play_at_once(self, frames: Frames, sink: Sink) -> None:
        for piece in slices(frames):
            self._feed(piece, sink)
            self._watch.judge(int(piece.mono_ns.max()), 0, self._failure, sink.health)
            await asyncio.sleep(0)

    def _feed(self, frames: Frames, sink: Sink) -> None:
        batch = self._pipeline.feed(*frames)
        if len(batch.slot):
            sink.deliver(batch)

    def _tell(self, report: CaptureReport) -> None:
        """Says once what was wrong with the file, not with every round."""
        if report.malformed and not self._reported:
            log.warning(
                "bus %s: %s: %d of %d lines could not be read, first: %s",
                self._spec.name,
                self.options.file,
                report.malformed,
                report.lines,
                "; ".join(report.examples),
            )
            self._reported = True

    async def _keep_time(self, sink: Sink) -> None:
        while True:
            self._watch.judge(self._clock(), 0, self._failure, sink.health)
            await asyncio.sleep(_TICK_S)


def checked_options(bus: BusSpec) -> ReplayOptions:
    """The options of a replayed bus; raises AdapterConfigurationError with every mistake."""
    wrong: list[Problem] = []

    def refuse(key: str, given: object, expected: str, remedy: str) -> None:
        wrong.append(Problem(f"options.{key}", repr(given), expected, remedy))

    known = ("file", "speed", "loop")
    for key in sorted(set(bus.options) - set(known)):
        refuse(key, bus.options[key], f"one of {', '.join(known)}", "Remove it or correct its spelling.")
    file, speed, loop = bus.options.get("file"), bus.options.get("speed", 1.0), bus.options.get("loop", False)
    if not isinstance(file, str | Path) or not has_known_format(Path(file)):
        refuse("file", file, f"a file name ending in {', '.join(SUFFIXES)}", "Name the capture.")
    if isinstance(speed, bool) or not isinstance(speed, int | float) or not _possible(speed):
        refuse("speed", speed, f"0, or a number up to {_FASTEST:.0f}", "1 is real time, 0 as fast as possible.")
    if not isinstance(loop, bool):
        refuse("loop", loop, "true or false", "Write true or false without quotes.")
    elif loop and speed == 0:
        refuse("loop", loop, "false where speed is 0", "Choose a speed, or play the capture once.")
    if wrong or not isinstance(file, str | Path) or not isinstance(speed, int | float):
        raise AdapterConfigurationError(f"bus {bus.name}", wrong)
    return ReplayOptions(Path(file), float(speed), bool(loop))


def _possible(speed: float) -> bool:
    return math.isfinite(speed) and (speed == 0 or 1e-3 <= speed <= _FASTEST)
