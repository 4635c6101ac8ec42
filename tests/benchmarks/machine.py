"""CPU time, memory, bytes written and the machine, as the kernel tells them."""

import os
import platform
from pathlib import Path

TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """CPU seconds of a process and its ended threads: ticks give the whole, scheduler statistics (ns) the fine part.

    The statistics of a thread vanish with it; a process whose threads live gives the exact figure.
    """
    tasks = list(Path(f"/proc/{pid}/task").glob("*/schedstat"))
    fine = 0.0
    for path in tasks:
        try:
            fine += int(path.read_text().split()[0]) / 1e9
        except (FileNotFoundError, ProcessLookupError, IndexError):
            continue
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    coarse = (int(fields[11]) + int(fields[12])) * TICK_S
    return fine if fine and coarse - fine < 5 * TICK_S else coarse


def memory_mb(pid: int) -> tuple[float, float]:
    """(RSS, PSS) of a process in MB of 2**20 bytes: PSS counts pages that several map only in part."""
    found = {}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]:
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) / 1024
    return found["Rss"], found["Pss"]


def bytes_written() -> int:
    """Bytes that this process has handed to write calls so far."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("wchar:"):
            return int(line.split()[1])
    raise OSError("/proc/self/io tells no wchar")


def machine() -> str:
    """What the figures were measured on."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), platform.machine())
    return f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}"
