"""CPU of the whole program on the site of 240 racks: cells 1 Hz, rack scalars 10 Hz, one client on all scalars."""

import time
from collections.abc import Iterator

from tests.benchmarks.child import Child
from tests.benchmarks.credentials import SIGN_AND_ENCRYPT
from tests.benchmarks.figure import Figure
from tests.benchmarks.lateness import scalars
from tests.benchmarks.machine import cpu_s
from tests.benchmarks.plant import Plant, running

GROUP = "site load"
SECONDS, LONG_SECONDS = 20.0, 300.0
SETTLE_S = 10.0
SOURCE = "field"
"""The field process hosts the batch source, which makes its numbers itself: the simulator of this site."""


def _used(plant: Plant, seconds: float) -> dict[str, float]:
    """CPU cores by process."""
    pids = plant.program.ready["pids"]
    before = {role: cpu_s(pid) for role, pid in pids.items()}
    began = time.monotonic()
    time.sleep(seconds)
    took = time.monotonic() - began
    return {role: (cpu_s(pid) - before[role]) / took for role, pid in pids.items()}


def _figure(what: str, used: dict[str, float], remark: str, *, judged: bool) -> Figure:
    counted = sum(cores for role, cores in used.items() if not role.startswith(SOURCE))
    source = sum(cores for role, cores in used.items() if role.startswith(SOURCE))
    each = ", ".join(
        f"{role} {cores:.3f}"
        for role, cores in sorted(used.items(), key=lambda pair: -pair[1])
        if not role.startswith(SOURCE)
    )
    text = f"{counted:.3f} cores"
    remark = f"{each}; field process with the batch source {source:.3f}, not counted{remark}"
    return Figure(GROUP, what, text, "<= 1 core" if judged else "", counted <= 1.0 if judged else None, remark)


def measure(*, long: bool) -> Iterator[Figure]:
    """Without a client, then with one at 1 s, then with one at 100 ms, which counts."""
    seconds = LONG_SECONDS if long else SECONDS
    with running("large") as plant:
        time.sleep(SETTLE_S)
        yield _figure("no client", _used(plant, seconds), "", judged=False)
        names = scalars(plant.site)
        items = plant.folder / "items"
        items.write_text("\n".join(names))
        for interval in (1000, 100):
            setup = (plant.program.endpoint, 1, SIGN_AND_ENCRYPT, items, 1, interval, interval, plant.credentials)
            with Child.python("counting_client", *setup, log=plant.log) as client:
                client.line()
                time.sleep(SETTLE_S)
                client.say()
                client.line()
                used = _used(plant, seconds)
                client.say()
                seen = client.answer()
            rate = f"; {seen['notifications'] / seen['seconds']:,.0f} notifications/s"
            what = f"one client on all {len(names):,} scalars, sampling and publishing {interval} ms"
            yield _figure(what, used, rate, judged=interval == 100)
