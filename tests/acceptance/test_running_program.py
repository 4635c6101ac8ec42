"""The whole program, started as a user starts it: what dies takes nothing else with it, what is hostile ends nothing."""

import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import can
import pytest

from adapters.simulator.bus import PlantBus
from adapters.simulator.control import FaultClient
from information_model.enumerations import DoublePoint
from server.config.site import load_site
from server.field.plant import control_path
from server.runtime.link import LinkClient, Request, new_id
from tests.image_probe import ImageProbe
from tests.program import ROOT, Program

SITE = ROOT / "examples" / "demo.toml"
RACK = "ESS.ARR01.R001"
pytestmark = [pytest.mark.acceptance, pytest.mark.timeout(120)]


@pytest.fixture(scope="module")
def site():
    return load_site(SITE)


@pytest.fixture
def program(tmp_path) -> Iterator[Program]:
    running = Program(SITE, tmp_path)
    running.start()
    yield running
    running.kill()


@pytest.fixture
def probe(site, program) -> ImageProbe:
    found = ImageProbe(site, program.run)
    assert found.wait(lambda p: not p.measured().any(), 20)
    return found


async def command(program: Program, name: str, target: str) -> str:
    link = LinkClient(program.run / "link.sock")
    try:
        request = Request(
            id=new_id("test"), kind="command", target=target, command=name, user="test", roles=["Operator"], face="test"
        )
        return (await link.request(request, timeout=5)).result
    finally:
        await link.close()


def closed(rack: str):
    return lambda probe: probe(f"{rack}.Contactors.Position") == (2.0, 0)


def test_ctrl_c_stops_cleanly_and_leaves_nothing(program) -> None:
    pids = list(program.ready["pids"].values())
    assert program.stop() == 0
    assert not program.run.exists()
    assert not (program.data / "ready.json").exists()
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_ready_json_says_where_everything_is_and_no_secret(program) -> None:
    content = program.ready
    assert set(content) == {"version", "opcua", "pids"}
    assert set(content["pids"]) == {"supervisor", "core", "mirror", "plant", "field-field1", "opcua", "archive"}
    assert str(content["opcua"]["port"]) in content["opcua"]["endpoint"]


def test_a_second_program_on_the_same_data_is_refused(program) -> None:
    second = subprocess.run(
        [sys.executable, "-m", "server", "run", str(SITE), "--data", str(program.data)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert second.returncode == 3
    assert f"{program.pid('supervisor')}" in second.stderr


def test_a_dead_field_process_turns_its_values_bad_and_they_come_back(program, probe) -> None:
    os.kill(program.pid("field-field1"), signal.SIGSTOP)
    assert probe.wait(lambda p: (p.measured() == 2).all(), 3.0)
    os.kill(program.pid("field-field1"), signal.SIGKILL)
    assert probe.wait(lambda p: not p.measured().any(), 20)


async def test_a_core_that_is_killed_takes_over_racks_that_are_closed(program, probe) -> None:
    assert await command(program, "Connect", RACK) == "accepted"
    assert probe.wait(closed(RACK))
    os.kill(program.pid("core"), signal.SIGKILL)
    seen = []
    assert probe.wait(
        lambda p: seen.append(p(f"{RACK}.Contactors.Position")) or p("ESS.Server.CoreRestarts")[0] >= 1, 15
    )
    assert (1.0, 0) not in seen
    assert probe.wait(closed(RACK))
    assert probe.wait(lambda p: p(f"{RACK}.State.OperatingState")[0] == 3, 5)


async def test_silence_of_the_core_opens_the_racks(program, probe) -> None:
    assert await command(program, "Connect", RACK) == "accepted"
    assert probe.wait(closed(RACK))
    os.kill(program.pid("supervisor"), signal.SIGSTOP)
    core = program.pid("core")
    try:
        os.kill(core, signal.SIGSTOP)
        # The lease of 1 s, then zero current, then 5 s until the rack opens. The core cannot tell: the plant itself does.
        plant = FaultClient(control_path(program.run))
        assert any(rack.element == RACK and rack.positions[0] == DoublePoint.CLOSED for rack in plant.status())
        deadline = time.monotonic() + 15
        while any(rack.element == RACK and rack.positions[0] == DoublePoint.CLOSED for rack in plant.status()):
            assert time.monotonic() < deadline, "the rack stayed closed without a core"
            time.sleep(0.1)  # the plant answers questions; it does not announce
    finally:
        os.kill(core, signal.SIGCONT)
        os.kill(program.pid("supervisor"), signal.SIGCONT)
    assert probe.wait(lambda p: p(f"{RACK}.Contactors.Position") == (1.0, 0), 15)


@pytest.mark.parametrize("role", ["opcua", "archive", "mirror", "plant"])
def test_a_process_that_dies_takes_nothing_else_with_it(program, probe, role) -> None:
    others = {name: pid for name, pid in program.ready["pids"].items() if name != role}
    cycle = probe("ESS.Server.CycleCount")[0]
    os.kill(program.pid(role), signal.SIGKILL)
    assert probe.wait(lambda p: p("ESS.Server.CycleCount")[0] > cycle + 30, 20)
    assert probe.wait(lambda p: (program.data / "ready.json").exists() and role in program.ready["pids"], 5)
    for pid in others.values():
        os.kill(pid, 0)
    assert probe.wait(lambda p: not p.measured().any(), 20)


def test_random_bytes_and_frames_at_every_door_end_nothing(site, program, probe) -> None:
    noise = random.Random(7)
    pids = program.ready["pids"]
    port = program.ready["opcua"]["port"]
    for _ in range(60):
        with socket.create_connection(("127.0.0.1", port), timeout=5) as peer:
            begin = noise.choice([b"", b"HELF", b"OPNF", b"MSGF", b"HELF\x20\x00\x00\x00"])
            try:
                peer.sendall(begin + noise.randbytes(noise.randrange(1, 4000)))
            except OSError:
                continue
    for path in (program.run / "link.sock", *(program.run / "plant").glob("*.sock")):
        for _ in range(20):
            with socket.socket(socket.AF_UNIX) as peer:
                peer.connect(str(path))
                try:
                    peer.sendall(noise.randbytes(noise.randrange(1, 4000)))
                except OSError:
                    continue
    overruns = probe("ESS.Server.OverrunCount")[0]
    for path in (program.run / "plant").glob("array*.sock"):
        send_noise(path, noise)
    cycle = probe("ESS.Server.CycleCount")[0]
    assert probe.wait(lambda p: p("ESS.Server.CycleCount")[0] > cycle + 20, 15)
    assert program.ready["pids"] == pids
    assert probe("ESS.Server.OverrunCount")[0] == overruns
    assert probe("ESS.Server.CycleLatenessMax")[0] < site.file.core.period_s
    assert probe.wait(lambda p: not p.measured().any(), 20), "the values do not come back"


def send_noise(path: Path, noise: random.Random) -> None:
    """Frames with random bytes on a bus: half of them with the ids of the racks that are there."""
    database = (ROOT / "adapters" / "maps" / "gridbms_rack.dbc").read_text()
    known = [int(number) & 0x1FFF_FFFF for number in re.findall(r"^BO_ (\d+)", database, re.MULTILINE)]
    with PlantBus(str(path)) as bus:
        for _ in range(3_000):
            number = noise.choice(known) + noise.randrange(4) if noise.random() < 0.5 else noise.randrange(1 << 29)
            data = noise.randbytes(noise.randrange(9))
            bus.send(can.Message(arbitration_id=number & 0x1FFF_FFFF, is_extended_id=True, data=data), timeout=5.0)


async def test_what_a_client_was_told_is_in_the_journal_after_kill_9(program, probe) -> None:
    told = []
    for name in ("Disable", "Enable", "Disable", "Enable"):
        told.append((name, await command(program, name, "ESS.ARR02.R003")))
    program.process.kill()
    program.process.wait()
    program.start()
    assert ImageProbe(load_site(SITE), program.run).wait(lambda p: p("ESS.Server.CycleCount")[0] > 5)
    assert program.stop() == 0
    with sqlite3.connect(program.data / "journal.db") as journal:
        rows = [
            json.loads(row[0]) for row in journal.execute("SELECT payload FROM journal WHERE kind = 4 ORDER BY number")
        ]
    assert [row["command"] for row in rows] == [name for name, _ in told]
