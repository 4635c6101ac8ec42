"""Lateness of the control cycle while ten clients are subscribed and one browses and reads history without pause."""

import contextlib
import select
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from information_model.points.row import Level
from server.config.site import Site
from server.runtime.block import Layout, Reader, Unavailable
from server.runtime.tick import Wake
from tests.benchmarks.child import Child
from tests.benchmarks.credentials import SIGN_AND_ENCRYPT
from tests.benchmarks.figure import Figure
from tests.benchmarks.plant import Plant, running
from tests.benchmarks.spread import Spread, verdict

GROUP = "lateness"
CYCLES, LONG_CYCLES = 600, 20_000
CLIENTS, ITEMS = 10, 1_000
SETTLE_S = 5.0
TARGET_MS, LONGEST_CYCLE_MS = 5.0, 40.0
WAIT_MS = 1000


class Cycles(NamedTuple):
    """What the images told: lateness and duration of each cycle (s), cycles left out, images not seen."""

    lateness_s: list[float]
    duration_s: list[float]
    overruns: int
    unseen: int
    real_time: bool


class Follower:
    """Wakes with each image and takes what it says of the cycle before."""

    def __init__(self, site: Site, run: Path) -> None:
        self._slot = {
            name: site.catalogue.slots(Level.SYSTEM, f"Server.{name}").start
            for name in ("CycleLateness", "CycleTime", "CycleCount", "OverrunCount", "RealTimePriority")
        }
        columns = site.catalogue.columns()
        length = next(length for name, _, length in columns if name == "value")
        self._value = np.zeros(length)
        self._reader = Reader(run / "image", Layout(columns))
        self._wake = Wake(run)

    def follow(self, cycles: int) -> Cycles:
        """The next `cycles` images."""
        poll = select.poll()
        poll.register(self._wake.fileno(), select.POLLIN)
        lateness: list[float] = []
        duration: list[float] = []
        first = last = unseen = overruns = 0
        while len(lateness) < cycles:
            if not poll.poll(WAIT_MS):
                raise RuntimeError("no image for a second: the core has stopped")
            self._wake.drain()
            with contextlib.suppress(Unavailable):
                self._reader.read({"value": self._value})
            count = int(self._read("CycleCount"))
            if count == last:
                continue
            if not last:
                first = int(self._read("OverrunCount"))
            else:
                unseen += count - last - 1
            overruns = int(self._read("OverrunCount")) - first
            last = count
            lateness.append(self._read("CycleLateness"))
            duration.append(self._read("CycleTime"))
        return Cycles(lateness, duration, overruns, unseen, bool(self._read("RealTimePriority")))

    def _read(self, name: str) -> float:
        return float(self._value[self._slot[name]])

    def close(self) -> None:
        """Let go of the tick."""
        self._wake.close()


def scalars(site: Site, count: int | None = None) -> list[str]:
    """NodeIds of the scalars of a site, the lower levels first."""
    found = [
        (element.level.value, f"ns=3;s={element.name}.{row.point.path}")
        for element, row in site.catalogue.points()
        if row.base >= 0
    ]
    return [name for _, name in sorted(found, key=lambda pair: -pair[0])][:count]


@contextlib.contextmanager
def load(plant: Plant) -> Iterator[Child]:
    """Ten subscribed clients and the busy one."""
    items = plant.folder / "items"
    items.write_text("\n".join(scalars(plant.site, ITEMS)))
    racks = [element.name for element in plant.site.topology.of_level(Level.RACK)]
    points = [f"ns=3;s={rack}.Measurements.{name}" for rack in racks for name in ("DcVoltage", "CellVoltageMax")]
    endpoint, folder, log = plant.program.endpoint, plant.credentials, plant.log
    subscribed = ("counting_client", endpoint, CLIENTS, SIGN_AND_ENCRYPT, items, 1, 100, 100, folder)
    with Child.python(*subscribed, log=log) as counting:
        counting.line()
        with Child.python("busy_client", endpoint, folder, *points, log=log) as busy:
            busy.line()
            yield busy


def measure(*, long: bool) -> Iterator[Figure]:
    """Short form 600 cycles (a minute), long form 20,000 (34 minutes)."""
    cycles = LONG_CYCLES if long else CYCLES
    with running("demo") as plant, load(plant) as busy:
        follower = Follower(plant.site, plant.program.run)
        with Child.python("empty_loop", plant.site.file.core.period_s, log=plant.log) as empty:
            priority = empty.line()
            time.sleep(SETTLE_S)
            seen = follower.follow(cycles)
            empty.say()
            beside = Spread.of(empty.answer())
        follower.close()
        busy.say()
        done = busy.answer()
    yield from lines(
        seen, beside, priority, f"{done['references']:,} references browsed, {done['reads']:,} histories read"
    )


def lines(seen: Cycles, beside: Spread, priority: str, busy: str) -> Iterator[Figure]:
    """The figures of a run."""
    late, cycle = Spread.of(seen.lateness_s), Spread.of(seen.duration_s)
    granted = "SCHED_FIFO granted" if seen.real_time else "SCHED_FIFO refused"
    remark = f"{granted}; {seen.overruns} cycles left out; {seen.unseen} images not seen; {busy}"
    if not seen.real_time:
        yield Figure(GROUP, f"cycle lateness, {late.number:,} cycles", str(late), remark=remark)
    else:
        met = verdict(late.p999 <= TARGET_MS and not seen.overruns, beside)
        yield Figure(GROUP, f"cycle lateness, {late.number:,} cycles", str(late), "p99.9 <= 5 ms", met, remark)
    yield Figure(
        GROUP, f"empty loop, {priority}, {beside.number:,} turns", str(beside), remark="counts below 1 ms at p99.9"
    )
    yield Figure(
        GROUP,
        "duration of a cycle",
        str(cycle),
        "longest <= 40 ms",
        verdict(cycle.greatest <= LONGEST_CYCLE_MS, beside),
    )
