"""What a terminal does to the running program: Ctrl-Z and `fg`, and being closed."""

import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from server.runtime.health import HealthReader
from tests.program import ROOT, Program

SITE = ROOT / "examples" / "demo.toml"
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]
STOPPED_S = 3.0
"""Longer than the core may be silent, and the field processes."""
ON_THIS_TERMINAL = """
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""


def test_a_supervisor_that_was_stopped_and_goes_on_kills_nobody(tmp_path) -> None:
    program = Program(SITE, tmp_path)
    try:
        program.start()
        before = program.ready["pids"]
        supervisor = HealthReader(program.run, "supervisor")
        os.kill(before["supervisor"], signal.SIGSTOP)
        time.sleep(STOPPED_S)
        beat = supervisor.read().beat
        os.kill(before["supervisor"], signal.SIGCONT)
        deadline = time.monotonic() + 20.0
        while supervisor.read().beat < beat + 4:  # two seconds: every process has been judged many times
            assert time.monotonic() < deadline, "the supervisor does not go on"
            time.sleep(0.05)
        assert program.ready["pids"] == before
        assert "killed" not in program.log.read_text()
        assert program.stop() == 0
    finally:
        program.kill()


def test_a_terminal_that_is_closed_stops_it_in_order(tmp_path) -> None:
    data, run = tmp_path / "data", Path(f"/dev/shm/gridbms-test-{os.getpid()}-terminal")
    ours, theirs = pty.openpty()
    line = ["-m", "server", "demo", "--data", data, "--run", run, "--opcua-port", "0", "--opcua-host", "127.0.0.1"]
    process = subprocess.Popen(
        [sys.executable, "-c", ON_THIS_TERMINAL, *map(str, line)],
        cwd=ROOT,
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        said = b""
        while b"Ctrl-C stops" not in said:
            said += os.read(ours, 4096)  # OSError where it ends before it serves
        pids = json.loads((data / "ready.json").read_text())["pids"]
        assert "core" in pids
        os.close(ours)
        assert process.wait(20) == 0
        assert not run.exists()
        assert not (data / "ready.json").exists()
    finally:
        process.kill()
        process.wait()
        shutil.rmtree(run, ignore_errors=True)
    for pid in pids.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
