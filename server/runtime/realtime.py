"""What the core asks of the scheduler. Each thing is asked for, nothing is required, the result is reported."""

import ctypes
import gc
import os
import resource
from dataclasses import dataclass

from server.runtime.ordering import libc

PRIORITY = 10
RUNAWAY_US = (300_000, 400_000)
_MCL_CURRENT_AND_FUTURE = 3


@dataclass(frozen=True, slots=True)
class Granted:
    """What the machine gave: real-time priority, memory that is never paged; `why` says what was refused."""

    fifo: bool
    memlock: bool
    why: str


def freeze_garbage() -> None:
    """After everything is built: what exists now is never walked again, and no collection comes inside a cycle.

    The core must then make no reference cycles; it calls `gc.collect(0)` in the slack of a cycle.
    """
    gc.collect()
    gc.freeze()
    gc.disable()


def request_realtime(priority: int = PRIORITY) -> Granted:
    """SCHED_FIFO with reset on fork, a limit for a runaway cycle (SIGXCPU after 0.3 s without sleep), locked memory."""
    refused: list[str] = []
    fifo = False
    try:
        # before FIFO: a loop that never sleeps would otherwise take its processor for good
        resource.setrlimit(resource.RLIMIT_RTTIME, RUNAWAY_US)
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
        fifo = True
    except (OSError, ValueError) as error:
        refused.append(f"SCHED_FIFO {priority}: {error} (systemd: LimitRTPRIO={priority}; containers: --ulimit rtprio)")
    memlock = libc.mlockall(_MCL_CURRENT_AND_FUTURE) == 0
    if not memlock:
        refused.append(f"mlockall: {os.strerror(ctypes.get_errno())} (systemd: LimitMEMLOCK=infinity)")
    return Granted(fifo, memlock, "; ".join(refused))
