"""The core as a process: first image, link, outputs; killed and started again; stopped on purpose."""

import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from server.config.site import Site
from server.runtime.block import Layout, Reader, Unavailable, Writer
from server.runtime.link import Answer, LinkClient, Request, new_id
from server.runtime.records import OutcomeRecord, RecordKind, StartRecord, decode
from server.runtime.state import load_state
from server.runtime.tail import Tail
from tests.unit.core.script import R1, RACKS, Rack, make_site

LIMIT_S = 20.0


class Hardware(threading.Thread):
    """The field processes and the racks behind them, in real time: four racks on two input blocks."""

    def __init__(self, site: Site, run: Path) -> None:
        super().__init__(daemon=True)
        self.site, self.racks = site, {name: Rack() for name in RACKS}
        epoch = time.monotonic_ns()
        self._inputs = [Writer(run / f"inputs-{p.process}", Layout(p.columns()), epoch) for p in site.inputs]
        self._outputs = [Reader(run / f"outputs-{p.process}", Layout(p.output_columns())) for p in site.inputs]
        self._asked = [{n: np.zeros(k, d) for n, d, k in p.output_columns()} for p in site.inputs]
        self._columns = [{n: np.zeros(k, d) for n, d, k in p.columns()} for p in site.inputs]
        self.ended = threading.Event()

    def run(self) -> None:
        cycle = 0
        while not self.ended.wait(0.02):
            cycle += 1
            now_ns = time.monotonic_ns()
            for plan, writer, reader, asked, columns in zip(
                self.site.inputs, self._inputs, self._outputs, self._asked, self._columns, strict=True
            ):
                try:
                    fresh = now_ns - reader.read(asked).mono_ns < 1_000_000_000
                except Unavailable:
                    fresh = False
                columns["bus.alive"][:] = 1
                for source in plan.sources:
                    rack, i = self.racks[source.rack.element], source.index
                    if fresh and asked["desired"][i]:
                        rack.obey(int(asked["desired"][i]), 0.0, 0.0, 0)
                    rack.move(0.02)
                    columns["source.state"][i] = 1
                    columns["source.last_frame_mono_ns"][i] = now_ns
                    columns["source.counter_advances"][i] += 1
                    for row in source.rack.map.slots():
                        at = source.first_slot + row.first + np.arange(row.count)
                        columns["value"][at] = _value(rack, row.point)
                        columns["mono_ns"][at] = now_ns
                slot = writer.begin()
                for name, column in columns.items():
                    np.copyto(slot[name], column)
                writer.publish(cycle, now_ns, time.time_ns())


def _value(rack: Rack, path: str) -> object:
    return {
        "CellData.CellVoltages": rack.cell_v,
        "CellData.CellTemperatures": rack.temperature,
        "Measurements.DcVoltage": rack.cell_v.sum(),
        "Measurements.BusVoltage": rack.cell_v.sum(),
        "Contactors.Positive.Position": rack.main,
        "Contactors.Negative.Position": rack.main,
        "Contactors.Precharge.Position": rack.precharge,
    }.get(path, 0.0)


class Program:
    """Core and mirror as processes, and a client's view of them."""

    def __init__(self, site: Site, run: Path, data: Path) -> None:
        self.site, self.run, self.data = site, run, data
        self.hardware = Hardware(site, run)
        self._pipes: list[int] = []
        self.mirror = self._start("mirror")
        self.core = self._start("core")
        self._reader = Reader(run / "image", Layout(site.catalogue.columns()))
        self._image = {n: np.zeros(k, d) for n, d, k in site.catalogue.columns()}
        self.hardware.start()

    def _start(self, role: str) -> "subprocess.Popen[bytes]":
        read_end, write_end = os.pipe()
        self._pipes.append(read_end)
        places = ["--site", str(self.site.path), "--run", str(self.run), "--data", str(self.data)]
        family = ["--parent", str(os.getpid()), "--beat", str(write_end)]
        line = [sys.executable, "-m", "server", role, *places, *family]
        root = Path(__file__).parents[2]
        process = subprocess.Popen(line, pass_fds=[write_end], cwd=root, stderr=subprocess.DEVNULL)
        os.close(write_end)
        assert os.read(read_end, 1) == b"R", f"{role} did not become ready"
        return process

    def restart(self) -> None:
        """kill -9 of the core, and another one."""
        self.core.kill()
        self.core.wait()
        self.core = self._start("core")

    def value(self, point: str) -> float:
        """A point of the newest image."""
        found = self.site.catalogue.find(point)
        assert found is not None
        row, element = found
        self._reader.read(self._image)
        return float(self._image["value"][row.base + element.ordinal])

    def wait(self, point: str, expected: float) -> None:
        """Until a point has a value."""
        until = time.monotonic() + LIMIT_S
        found = None
        while time.monotonic() < until:
            try:
                found = self.value(point)
            except Unavailable as error:
                found = error
            if found == expected:
                return
            time.sleep(0.02)
        pytest.fail(f"{point} is {found}, expected {expected}")

    def ask(self, command: str, target: str) -> Answer:
        """One command over the link."""

        async def once() -> Answer:
            client = LinkClient(self.run / "link.sock")
            request = Request(new_id("test"), "command", target, command, user="o", roles=["Operator"], face="test")
            try:
                return await client.request(request, timeout=5.0)
            finally:
                await client.close()

        return asyncio.run(once())

    def records(self) -> list[object]:
        """Contents of the log so far."""
        tail = Tail(self.run, self.data)
        found = tail.poll(100_000)
        tail.close()
        return [decode(record) for record in found]

    def end(self) -> None:
        """Stop everything that still runs."""
        self.hardware.ended.set()
        self.hardware.join()
        for process in (self.core, self.mirror):
            if process.poll() is None:
                process.kill()
            process.wait()
        for pipe in self._pipes:
            os.close(pipe)


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Program]:
    data = tmp_path / "data"
    data.mkdir()
    with tempfile.TemporaryDirectory(dir="/dev/shm", prefix="gridbms-test-") as run:
        found = Program(make_site(tmp_path), Path(run), data)
        yield found
        found.end()


def test_a_rack_is_connected_by_command_and_survives_the_death_of_the_core(program: Program) -> None:
    program.wait(f"{R1}.State.OperatingState", 1)
    answer = program.ask("Connect", R1)
    assert (answer.result, answer.durable) == ("accepted", True)
    program.wait(f"{R1}.State.ContactorsClosed", 1)
    program.wait(f"{R1}.Control.LastCommandOutcome", 3)
    program.restart()
    program.wait(f"{R1}.State.OperatingState", 3)
    program.wait("ESS.Server.CoreRestarted", 1)
    assert program.hardware.racks[R1].desired == 2
    assert program.ask("Disconnect", R1).result == "accepted"
    program.wait(f"{R1}.State.ContactorsClosed", 0)
    outcomes = [r.outcome for r in program.records() if isinstance(r, OutcomeRecord)]
    assert outcomes == ["accepted", "done", "accepted", "done"]


def test_a_core_that_is_told_to_stop_says_so_and_leaves_the_racks_as_they_are(program: Program) -> None:
    program.wait(f"{R1}.State.OperatingState", 1)
    program.ask("Connect", R1)
    program.wait(f"{R1}.State.ContactorsClosed", 1)
    program.core.send_signal(signal.SIGTERM)
    assert program.core.wait(timeout=5) == 0
    assert program.hardware.racks[R1].desired == 2
    with pytest.raises(Unavailable, match="stopped"):
        Reader(program.run / "image", Layout(program.site.catalogue.columns())).read({})
    tail = Tail(program.run, program.data)
    last = tail.poll(100_000)[-1]
    tail.close()
    assert (last.kind, isinstance(decode(last), StartRecord)) == (RecordKind.CORE_STOPPED, True)
    until = time.monotonic() + LIMIT_S
    while (state := load_state(program.data)) is None or state.number < last.number:
        assert time.monotonic() < until, "the mirror did not write the last state"
        time.sleep(0.02)


def test_a_damaged_state_latches_every_trip(program: Program) -> None:
    program.wait(f"{R1}.State.OperatingState", 1)
    program.core.send_signal(signal.SIGTERM)
    program.core.wait(timeout=5)
    until = time.monotonic() + LIMIT_S
    while load_state(program.data) is None:
        assert time.monotonic() < until, "the mirror did not write a state"
        time.sleep(0.02)
    for path in program.data.glob("state.bin*"):
        path.write_bytes(path.read_bytes()[:-1] + b"?")
    program.core = program._start("core")
    program.wait(f"{R1}.Protection.LatchedTrip", 1)
    answer = program.ask("Connect", R1)
    assert answer.result == "refused"
    assert "rack:NoTripActive" in answer.permissives
