"""Start to serving, keys present, with CPU time and memory: the demo and the site of 240 racks."""

import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.benchmarks.child import ROOT
from tests.benchmarks.figure import Figure
from tests.benchmarks.machine import cpu_s, memory_mb
from tests.program import Program

GROUP = "start"
RUNS = 3
SITES = (("demo", 3.0), ("large", 5.0))
MEMORY_MB = 2048.0
MEMORY_AFTER_S = 5.0


class Start(NamedTuple):
    """One start."""

    seconds: float
    cpu_s: dict[str, float]
    rss_mb: float
    pss_mb: float


def start(program: Program) -> Start:
    """Start, look, wait until the memory has settled, stop."""
    began = time.monotonic()
    program.start()
    took = time.monotonic() - began
    try:
        pids = program.ready["pids"]
        cpu = {role: cpu_s(pid) for role, pid in pids.items()}
        time.sleep(MEMORY_AFTER_S)
        memory = [memory_mb(pid) for pid in pids.values()]
        program.stop()
    finally:
        program.kill()
    return Start(took, cpu, sum(rss for rss, _ in memory), sum(pss for _, pss in memory))


def measure(*, long: bool) -> Iterator[Figure]:
    """Three starts of each after one that makes the keys; the long form is the same."""
    for name, target in SITES:
        with tempfile.TemporaryDirectory(prefix="gridbms-bench-") as made:
            program = Program(ROOT / "examples" / f"{name}.toml", Path(made))
            start(program)
            found = [start(program) for _ in range(RUNS)]
        seconds = statistics.median(one.seconds for one in found)
        middle = min(found, key=lambda one: abs(one.seconds - seconds))
        cpu = ", ".join(f"{role} {used:.1f}" for role, used in sorted(middle.cpu_s.items(), key=lambda pair: -pair[1]))
        each = ", ".join(f"{one.seconds:.2f}" for one in found)
        yield Figure(
            GROUP,
            f"{name}: start to serving",
            f"{seconds:.2f} s, {sum(middle.cpu_s.values()):.1f} CPU s",
            f"<= {target:.0f} s",
            seconds <= target,
            f"starts: {each} s; CPU s by process: {cpu}",
        )
        rss, pss = max(one.rss_mb for one in found), max(one.pss_mb for one in found)
        text = f"RSS {rss:.0f} MB, PSS {pss:.0f} MB"
        yield Figure(GROUP, f"{name}: memory of all processes", text, "RSS <= 2 GB", rss <= MEMORY_MB)
