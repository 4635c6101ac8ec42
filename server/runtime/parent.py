"""A child's ties to the supervisor: it dies with it, says when it serves and that it lives; and sd_notify."""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable

from server.exit_codes import ExitCode
from server.runtime.ordering import libc

_PR_SET_PDEATHSIG = 1
READY = b"R"
ALIVE = b"."
INTERVAL_S = 0.15


def bind_to_parent(pid: int) -> None:
    """First thing in a child's main: die when the supervisor dies, also when it already has. prctl(2).

    The kernel means the *thread* that forked: the supervisor starts children from its main thread only.
    """
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != pid:
        os._exit(ExitCode.ORPHANED)


class Beat:
    """The inherited write end of a pipe: one byte when the process serves, then one per `INTERVAL_S` at most.

    End of file tells the supervisor of a death, silence of a hang. A full or closed pipe is no error of the child.
    """

    def __init__(self, fd: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._fd, self._clock = fd, clock
        self._last_s = -INTERVAL_S
        os.set_blocking(fd, False)
        os.set_inheritable(fd, False)

    def ready(self) -> None:
        """Once, when the process really serves."""
        self._write(READY)

    def beat(self) -> None:
        """To be called more often than the duty's silence; every byte wakes the supervisor, so most calls write none."""
        now_s = self._clock()
        if now_s - self._last_s >= INTERVAL_S:
            self._last_s = now_s
            self._write(ALIVE)

    def _write(self, byte: bytes) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):
            os.write(self._fd, byte)


def notify(text: str) -> bool:
    """One datagram of the sd_notify(3) protocol; False without a service manager or when it does not listen."""
    path = os.environ.get("NOTIFY_SOCKET")
    if not path:
        return False
    address = "\0" + path[1:] if path[0] == "@" else path
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK) as sender:
        try:
            sender.sendto(text.encode(), address)
        except OSError:
            return False
    return True
