"""A child dies with its supervisor and tells it that it lives; real-time priority is asked for and reported."""

import itertools
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from server.exit_codes import ExitCode
from server.runtime.parent import ALIVE, READY, Beat, notify

ROOT = Path(__file__).parents[3]


def python(program: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", program, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )


def test_a_child_dies_when_its_supervisor_is_killed() -> None:
    reading, writing = os.pipe()
    middle = """
import os, signal, subprocess, sys
child = '''
import os, sys
from server.runtime.parent import Beat, bind_to_parent
bind_to_parent(int(sys.argv[1]))
beat = Beat(int(sys.argv[2]))
beat.ready()
input()
'''
fd = int(sys.argv[1])
subprocess.Popen([sys.executable, "-c", child, str(os.getpid()), str(fd)], pass_fds=[fd], stdin=subprocess.PIPE)
os.close(fd)
input()
"""
    with subprocess.Popen(
        [sys.executable, "-c", middle, str(writing)], cwd=ROOT, pass_fds=[writing], stdin=subprocess.PIPE
    ) as supervisor:
        os.close(writing)
        assert os.read(reading, 1) == READY
        supervisor.kill()
    assert os.read(reading, 1) == b""  # end of file: the child is gone as well
    os.close(reading)


def test_a_child_whose_supervisor_is_already_gone_does_not_start() -> None:
    program = "from server.runtime.parent import bind_to_parent; bind_to_parent(1 << 22); print('started')"
    done = python(program)
    assert (done.returncode, done.stdout) == (ExitCode.ORPHANED, "")


def test_beats_arrive_and_a_full_or_closed_pipe_is_no_error() -> None:
    reading, writing = os.pipe()
    seconds = itertools.count()
    beat = Beat(writing, lambda: next(seconds))
    beat.ready()
    beat.beat()
    assert os.read(reading, 10) == READY + ALIVE
    for _ in range(100_000):
        beat.beat()
    os.close(reading)
    beat.beat()
    os.close(writing)


def test_beats_that_come_too_soon_do_not_wake_the_supervisor() -> None:
    reading, writing = os.pipe()
    times = iter([10.0, 10.05, 10.1, 10.2, 10.3])
    beat = Beat(writing, lambda: next(times))
    for _ in range(5):
        beat.beat()
    assert os.read(reading, 10) == ALIVE * 2
    for fd in (reading, writing):
        os.close(fd)


@pytest.mark.parametrize("abstract", [False, True])
def test_the_service_manager_gets_one_datagram(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, abstract: bool) -> None:
    name = f"gridbms-test-{os.getpid()}" if abstract else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(("\0" if abstract else "") + name)
        monkeypatch.setenv("NOTIFY_SOCKET", ("@" if abstract else "") + name)
        assert notify("READY=1\nSTATUS=serving")
        assert manager.recv(100) == b"READY=1\nSTATUS=serving"


def test_without_a_service_manager_nothing_is_sent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    assert not notify("READY=1")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "nobody"))
    assert not notify("READY=1")


def test_what_the_machine_granted_is_what_is_reported() -> None:
    program = """
import itertools
import os
from server.runtime.realtime import freeze_garbage, request_realtime
import gc
granted = request_realtime(1)
freeze_garbage()
policy = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
assert granted.fifo == (policy == os.SCHED_FIFO), (granted, policy)
assert granted.fifo == ("SCHED_FIFO" not in granted.why), granted
assert granted.memlock == ("mlockall" not in granted.why), granted
assert not gc.isenabled() and gc.get_freeze_count() > 0
print("reported")
"""
    done = python(program)
    assert done.stdout == "reported\n", done.stderr
