"""A start that is refused or broken off: one reason is one line whatever the command, and nothing has been changed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from information_model.roles import Role
from server.exit_codes import ExitCode
from server.runtime.rundir import lock
from server.runtime.state import write_state
from server.users import UserDirectory
from tests.program import ROOT

DEMO = ROOT / "examples" / "demo.toml"
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(60)]

NO_ROOM = """
import os
real = os.statvfs
def full(path):
    found = list(real(path))
    found[4] = 1  # f_bavail: free blocks
    return os.statvfs_result(found)
os.statvfs = full
from server.cli import main
main()
"""


@pytest.mark.parametrize("command", ["run", "simulate"])
def test_a_tmpfs_without_room_is_refused_with_the_same_words_by_every_command(tmp_path, command) -> None:
    found = subprocess.run(
        [sys.executable, "-c", NO_ROOM, command, str(DEMO), "--data", str(tmp_path / "data")],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.returncode == ExitCode.CANNOT_START
    (line,) = found.stderr.splitlines()
    wanted = (
        r"gridbms: run directory (/dev/shm/gridbms-\S+): 0 MB free, \d+ MB needed for image and event log; "
        r"enlarge the tmpfs \(containers: --shm-size\)"
    )
    said = re.fullmatch(wanted, line)
    assert said, line
    assert not Path(said[1]).exists(), "something stayed on tmpfs"
    assert not (tmp_path / "data" / "archive.db").exists()


@pytest.mark.parametrize("command", ["run", "simulate"])
def test_a_data_directory_of_a_newer_version_is_refused_by_every_command_and_stays_as_it_is(tmp_path, command) -> None:
    data, run = tmp_path / "data", tmp_path / "run"
    (data / "log").mkdir(mode=0o700, parents=True)
    data.chmod(0o700)
    segment = data / "log" / "00000000000000000001.seg"
    segment.write_bytes(b"GBELOG02" + bytes(8192))
    write_state(data, b"{}", 1, 1)
    state = bytearray((data / "state.bin").read_bytes())
    state[8] = 2
    (data / "state.bin").write_bytes(state)
    found = subprocess.run(
        [sys.executable, "-m", "server", command, str(DEMO), "--data", str(data)],
        cwd=ROOT,
        env=os.environ | {"RUNTIME_DIRECTORY": str(run)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert found.returncode == ExitCode.CANNOT_START
    first, second = found.stderr.splitlines()
    assert first.startswith(f"gridbms: {data / 'state.bin'}: written by version 2 of the format, this program reads 1")
    assert second.startswith(f"{segment}: written by version 2 of the format, this program reads 1")
    assert (data / "state.bin").read_bytes() == state
    assert sorted(path.name for path in data.iterdir()) == ["lock", "log", "state.bin"]
    assert not run.exists()


STOPPED_AT_THE_LAST_MOMENT = """
import os, signal
real = os.pipe
def pipe():
    os.kill(os.getpid(), signal.SIGINT)
    return real()
os.pipe = pipe  # the first thing of the supervisor, before it takes signals itself
from server.cli import main
main()
"""


def test_ctrl_c_just_before_the_supervisor_listens_is_a_clean_stop(tmp_path) -> None:
    run = Path(f"/dev/shm/gridbms-test-{os.getpid()}-stopped")
    line = ["run", str(DEMO), "--data", str(tmp_path / "data"), "--run", str(run)]
    found = subprocess.run(
        [sys.executable, "-c", STOPPED_AT_THE_LAST_MOMENT, *line],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (found.returncode, found.stderr) == (ExitCode.STOPPED, "")
    assert not run.exists(), "something stayed on tmpfs"


def test_a_second_demo_is_refused_before_it_gives_the_users_another_password(tmp_path) -> None:
    data = tmp_path / "data"
    data.mkdir(mode=0o700)
    UserDirectory(data).add("operator", "the password of the first", [Role.OPERATOR])
    users = (data / "users.toml").read_bytes()
    with lock(data):
        second = subprocess.run(
            [sys.executable, "-m", "server", "demo", "--data", str(data), "--opcua-port", "0"],
            cwd=tmp_path,
            env=os.environ | {"GRIDBMS_DEMO_PASSWORD": "the password of the second"},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert second.returncode == ExitCode.CANNOT_START
    assert second.stdout == ""
    remedy = "stop it or give another data directory"
    assert second.stderr == f"gridbms: data directory {data}: in use by process {os.getpid()}; {remedy}\n"
    assert (data / "users.toml").read_bytes() == users
