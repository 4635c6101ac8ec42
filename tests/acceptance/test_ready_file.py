"""ready.json of a running program while a process is replaced: it never names one that is gone."""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from tests.program import ROOT, Program

pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]
Pids = dict[str, int] | None
LOOK_S = 0.002


@pytest.fixture(scope="module")
def program(tmp_path_factory) -> Iterator[Program]:
    running = Program(ROOT / "examples" / "demo.toml", tmp_path_factory.mktemp("ready"))
    running.start()
    yield running
    running.kill()


def named(program: Program) -> Pids:
    """Processes in the file; None while there is no file."""
    try:
        return json.loads((program.data / "ready.json").read_text())["pids"]
    except FileNotFoundError:
        return None


def contents(program: Program, until: Callable[[Pids], bool], timeout_s: float = 30.0) -> list[Pids]:
    """What the file says, one after the other, up to what is waited for."""
    found = [named(program)]
    deadline = time.monotonic() + timeout_s
    while not until(found[-1]):
        assert time.monotonic() < deadline, f"the file has gone through {found}"
        time.sleep(LOOK_S)  # a reader looks; the file announces nothing
        if (now := named(program)) != found[-1]:
            found.append(now)
    return found


@pytest.mark.parametrize("role", ["archive", "field-field1", "core"])
def test_a_process_that_dies_is_not_named_until_another_serves(program, role) -> None:
    before = program.ready["pids"]
    os.kill(before[role], signal.SIGKILL)
    seen = contents(program, lambda pids: pids is not None and pids.get(role, before[role]) != before[role])
    others = {name: pid for name, pid in before.items() if name != role}
    assert [pids for pids in seen if pids != before] == [others, others | {role: seen[-1][role]}]
    for pid in seen[-1].values():
        os.kill(pid, 0)


def test_there_is_no_file_while_a_face_is_replaced(program) -> None:
    before, endpoint = program.ready["pids"], program.ready["opcua"]["endpoint"]
    os.kill(before["opcua"], signal.SIGKILL)
    seen = contents(program, lambda pids: pids is not None and pids["opcua"] != before["opcua"])
    assert [pids for pids in seen if pids != before] == [None, before | {"opcua": seen[-1]["opcua"]}]
    assert program.ready["opcua"]["endpoint"] == endpoint


def test_a_program_that_is_killed_leaves_a_file_that_the_next_start_takes_away(program) -> None:
    before = program.ready["pids"]
    program.process.kill()
    program.process.wait()
    assert named(program) == before
    program.start()
    assert set(program.ready["pids"]) == set(before)
    assert not set(program.ready["pids"].values()) & set(before.values())
    assert program.stop() == 0
    assert named(program) is None
