"""Memory ordering between processes that share a mapping.

x86-64 makes stores visible in order and executes loads in order, so "data, then number" needs nothing. Other machines
order neither. Python has no fence, and a system call as such is none; `membarrier(GLOBAL_EXPEDITED)` is a full
barrier in the caller and on every CPU that runs a *registered* process (membarrier(2)). Only the writer pays for it.
"""

import ctypes
import os
import platform

_MACHINE = platform.machine()
_SYSTEM_CALL = {"x86_64": 324, "aarch64": 283}.get(_MACHINE)
_GLOBAL_EXPEDITED = 1 << 1
_REGISTER_GLOBAL_EXPEDITED = 1 << 2

libc = ctypes.CDLL(None, use_errno=True)


def membarrier(command: int) -> None:
    """One membarrier(2) call; OSError where the kernel or a seccomp profile refuses it."""
    if _SYSTEM_CALL is None:
        raise OSError(38, f"shared blocks need the system call membarrier, unknown on {_MACHINE}")
    if libc.syscall(_SYSTEM_CALL, command, 0, 0) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"membarrier refused ({os.strerror(error)}): shared blocks need it on this machine")


def register() -> None:
    """Called by every process that maps a block, after each exec: barriers of a writer then reach it."""
    if _MACHINE != "x86_64":
        membarrier(_REGISTER_GLOBAL_EXPEDITED)


def fence() -> None:
    """Called by writers between data and the number that announces them."""
    if _MACHINE != "x86_64":
        membarrier(_GLOBAL_EXPEDITED)
