"""Plant, bus, CAN adapter, field process and the core's blocks, together and in real time."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import can
import numpy as np
import pytest

from adapters.simulator.bus import PlantBus
from adapters.simulator.faults import Fault
from adapters.simulator.layout import Supervision
from adapters.simulator.plant import SimulatedPlant
from adapters.simulator.process import PlantServer
from information_model.enumerations import OperatingState
from information_model.quality import Quality
from server.config.site import Site
from server.field import requests
from server.field.plant import plant_description, plant_sockets
from server.field.process import FieldProcess
from server.runtime.block import Layout, Reader, Unavailable, Writer
from server.runtime.health import HealthReader
from tests.unit.field.conftest import SITE, write_site

ROOT = Path(__file__).parents[2]
LIMIT_S = 15.0


class Beats:
    """A supervisor that is content with everything."""

    def ready(self) -> None:
        """Serving."""

    def beat(self) -> None:
        """Alive."""


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not condition():
            await asyncio.sleep(0.01)


class Whole:
    """A plant and a field process on one loop; the test plays the core."""

    def __init__(self, site: Site, run: Path) -> None:
        self.site, self.run = site, run
        (run / "plant").mkdir(exist_ok=True)
        (self.plan,) = site.inputs
        self.reader = Reader(run / "inputs-field1", Layout(self.plan.columns()))
        self.block = {name: np.zeros(length, dtype) for name, dtype, length in self.plan.columns()}
        self.block["value"][:] = np.nan  # until there is something to read
        self.writer = Writer(run / "outputs-field1", Layout(self.plan.output_columns()), time.monotonic_ns())
        self._cycle = 0
        self._tasks: list[asyncio.Task[None]] = []
        self.stop_plant, self.stop_field = asyncio.Event(), asyncio.Event()

    async def start_plant(self) -> None:
        self.stop_plant = asyncio.Event()
        self.server = PlantServer(SimulatedPlant(plant_description(self.site)), plant_sockets(self.site, self.run))
        await self.server.open()
        self.plant_task = asyncio.create_task(self.server.serve(Beats(), self.stop_plant))
        self._tasks.append(self.plant_task)

    async def end_plant(self) -> None:
        self.stop_plant.set()
        await self.plant_task
        self.server.close()

    def start_field(self) -> None:
        self.field = FieldProcess(self.site, "field1", self.run)
        self.field_task = asyncio.create_task(self.field.serve(Beats(), self.stop_field))
        self._tasks.append(self.field_task)

    def ask(self, desired: int = 2, limit_a: float = 90.0) -> None:
        """What the core does in each of its cycles."""
        self._cycle += 1
        columns, now = self.writer.begin(), time.monotonic_ns()
        columns["desired"][:], columns["alive"][:], columns["reset_counter"][:] = desired, self._cycle, 0
        columns["charge_limit_a"][:] = columns["discharge_limit_a"][:] = limit_a
        columns["lease_until_mono_ns"][:] = now + 10**9
        self.writer.publish(self._cycle, now, time.time_ns())

    async def asking_until(self, condition: Callable[[], bool]) -> None:
        async with asyncio.timeout(LIMIT_S):
            while not condition():
                self.ask()
                await asyncio.sleep(0.05)

    def look(self) -> dict[str, np.ndarray]:
        with contextlib.suppress(Unavailable):
            self.reader.read(self.block)
        return self.block

    def all_good(self) -> bool:
        block = self.look()
        return bool((block["quality"] == Quality.GOOD).all() and not np.isnan(block["value"]).any())

    async def end(self) -> None:
        self.stop_field.set()
        self.stop_plant.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if hasattr(self, "server"):
            self.server.close()
        self.writer.close()


@pytest.fixture
async def whole(tmp_path: Path):
    run = tmp_path / "run"
    run.mkdir()
    made = Whole(write_site(tmp_path), run)
    yield made
    await made.end()


async def test_every_value_of_the_plant_arrives_in_the_input_block(whole: Whole) -> None:
    await whole.start_plant()
    whole.start_field()
    before = time.monotonic_ns()
    await until(whole.all_good)
    await until(lambda: whole.look()["source.state"].tolist() == [1, 1])
    block, cells = whole.block, whole.server.plant.cells
    for rack in range(2):
        values = block["value"][rack * 28 : (rack + 1) * 28]
        assert values[:12] == pytest.approx(cells.voltage[rack * 12 : rack * 12 + 12], abs=0.005)
        assert values[12:16] == pytest.approx(np.full(4, 22.0), abs=2.5)
        assert values[16] == pytest.approx(cells.voltage[rack * 12 : rack * 12 + 12].sum(), abs=0.4)
        assert values[19:22].tolist() == [1, 1, 1]
    assert (block["mono_ns"] >= before - 10**9).all()
    assert (block["mono_ns"] <= time.monotonic_ns()).all()
    assert block["bus.alive"].tolist() == [1]
    assert (block["source.counter_advances"] > 2).all()
    health = HealthReader(whole.run, "field-field1").read()
    assert health.counters["buses"] == health.counters["buses_alive"] == 1
    assert health.counters["frames"] > 30


async def test_a_lease_closes_racks_and_its_end_stops_the_current_and_opens_them(
    whole: Whole, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(requests, "OPEN_AFTER_NS", 500_000_000)
    await whole.start_plant()
    whole.start_field()
    await until(whole.all_good)
    plant = whole.server.plant
    assert plant.commands_accepted + plant.commands_refused == 0  # nothing before the first block
    await whole.asking_until(lambda: all(rack.state == OperatingState.CLOSED for rack in plant.status()))
    await whole.asking_until(lambda: all(rack.current_a < -80 for rack in plant.status()))
    assert plant.status()[0].limits_a == (90.0, 90.0)
    await until(lambda: plant.status()[0].limits_a == (0.0, 0.0))
    rack = plant.status()[0]
    assert (rack.state, rack.supervision) == (OperatingState.CLOSED, Supervision.COMMANDED)
    await until(lambda: all(rack.positions == (1, 1, 1) for rack in plant.status()))
    assert plant.status()[0].supervision == Supervision.COMMANDED  # the safe word was said, not silence


async def test_a_stopped_field_process_says_zero_current_and_closes_its_block(whole: Whole) -> None:
    await whole.start_plant()
    whole.start_field()
    plant = whole.server.plant
    await until(whole.all_good)
    await whole.asking_until(lambda: plant.status()[0].limits_a == (90.0, 90.0))
    accepted = plant.commands_accepted
    whole.stop_field.set()
    await whole.field_task
    await until(lambda: not whole.server.hubs["array1"].clients)
    assert plant.commands_accepted > accepted
    assert plant.status()[0].limits_a == (0.0, 0.0)
    with pytest.raises(Unavailable):
        whole.reader.read(whole.block)


async def test_an_absent_bus_is_waited_for_and_found_again_after_a_loss(
    whole: Whole, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "gridbms")
    whole.start_field()
    await until(lambda: whole.field.inputs.published > 3)
    assert (whole.look()["quality"] == Quality.WAITING).all()
    await whole.start_plant()
    await until(whole.all_good)
    await whole.end_plant()
    lost = time.monotonic_ns()
    await until(lambda: whole.look()["source.state"].tolist() == [3, 3])
    assert whole.block["bus.alive"].tolist() == [0]
    assert (whole.block["mono_ns"] < lost + 10**9).all()  # no old value has got a new time
    await whole.start_plant()
    await until(lambda: whole.look()["source.state"].tolist() == [1, 1])
    assert [record.levelname for record in caplog.records if "bus array1" in record.message] == [
        "ERROR", "INFO", "ERROR", "INFO"
    ]  # fmt: skip


async def test_random_frames_and_bytes_end_nothing(whole: Whole) -> None:
    await whole.start_plant()
    whole.start_field()
    await until(whole.all_good)
    attacker = await asyncio.to_thread(PlantBus, str(whole.run / "plant" / "array1.sock"))
    rng = np.random.default_rng(4)
    published = whole.field.inputs.published
    for _ in range(40):
        for _ in range(50):
            ident = int(rng.integers(0, 1 << 29))
            if rng.integers(2):
                ident = 0x18F00000 | int(rng.integers(0, 8)) << 8 | int(rng.integers(0, 4))
            flags = {"is_remote_frame": bool(rng.integers(8) == 0), "is_error_frame": bool(rng.integers(8) == 0)}
            # Short frames of the racks themselves would put their messages under distrust for ten seconds.
            size = 8 if ident >> 16 == 0x18F0 and ident & 0xFF in (1, 2) else int(rng.integers(0, 9))
            data = b"" if flags["is_remote_frame"] else rng.bytes(size)
            attacker.send(can.Message(arbitration_id=ident, is_extended_id=True, data=data, **flags))
        await asyncio.sleep(0.005)
    with contextlib.suppress(OSError):
        attacker._socket.send(rng.bytes(10_000))
    attacker.shutdown()
    await until(lambda: whole.server.hubs["array1"].counters.malformed == 1)
    await until(lambda: whole.field.inputs.published > published + 3)
    assert not whole.field_task.done()
    assert not whole.plant_task.done()

    def recovered() -> bool:
        # Messages with check sums stay distrusted for ten seconds, everything else comes again within one.
        block = whole.look()
        right = {Quality.GOOD, Quality.E2E}.issuperset(block["quality"].tolist())
        return right and bool((block["value"][:12] < 3.6).all())

    await until(recovered)


async def test_a_silent_rack_is_lost_while_its_neighbour_stays(whole: Whole) -> None:
    await whole.start_plant()
    whole.start_field()
    await until(whole.all_good)
    whole.server.plant.inject(Fault(rack="ESS.ARR01.R002", kind="silence"))
    await until(lambda: whole.look()["source.state"].tolist() == [1, 3])
    assert whole.block["bus.alive"].tolist() == [1]


async def test_a_killed_field_process_leaves_a_block_that_grows_old(whole: Whole, tmp_path: Path) -> None:
    await whole.start_plant()
    reading, writing = os.pipe()
    line = [sys.executable, "-m", "server", "field-field1", "--site", str(tmp_path / "site.toml")]
    line += ["--run", str(whole.run), "--data", str(tmp_path), "--parent", str(os.getpid()), "--beat", str(writing)]
    process = subprocess.Popen(line, pass_fds=(writing,), cwd=ROOT)
    os.close(writing)
    try:
        await until(whole.all_good)
        assert os.read(reading, 1) == b"R"
        process.send_signal(signal.SIGKILL)
        process.wait()
        stamp = whole.reader.read(whole.block)
        await whole.asking_until(lambda: time.monotonic_ns() - stamp.mono_ns > 300_000_000)
        assert whole.reader.read(whole.block) == stamp
        assert whole.server.plant.status()[0].supervision != Supervision.COMMANDED
    finally:
        process.kill()
        process.wait()
        os.close(reading)


async def test_a_field_process_of_another_name_is_refused_with_the_names_there_are(whole: Whole) -> None:
    with pytest.raises(ValueError, match="the site has field1"):
        FieldProcess(whole.site, "field2", whole.run)
    assert 'process = "field2"' not in SITE
