"""The simulated plant in real time: its buses, and faults injected over its socket."""

import asyncio
from pathlib import Path

import pytest

from adapters import back_off
from adapters.simulator.bus import PlantBus
from adapters.simulator.control import FaultClient, FaultClientError
from adapters.simulator.description import PlantDescription, RackDescription
from adapters.simulator.plant import SimulatedPlant
from adapters.simulator.process import PlantServer
from information_model.topology import RackShape

RACK = "ESS.ARR01.R001"


class Beats:
    """Counts what the supervisor would hear."""

    def __init__(self) -> None:
        self.readies = self.beats = 0

    def ready(self) -> None:
        self.readies += 1

    def beat(self) -> None:
        self.beats += 1


@pytest.fixture
async def running(tmp_path: Path):
    rack = RackDescription(RACK, "array1", 1, RackShape(2, 6, 2), 280.0, 140.0, 140.0)
    plant = SimulatedPlant(PlantDescription((rack,), connected=True))
    server = PlantServer(plant, {"array1": tmp_path / "array1.sock"}, tmp_path / "fault.sock")
    await server.open()
    stop, beats = asyncio.Event(), Beats()
    task = asyncio.create_task(server.serve(beats, stop))
    yield server, beats, tmp_path
    stop.set()
    await task
    server.close()
    assert list(tmp_path.iterdir()) == []


async def test_frames_of_the_whole_rack_come_within_a_second(running) -> None:
    _, beats, folder = running
    bus = await asyncio.to_thread(PlantBus, str(folder / "array1.sock"))
    messages = set()
    while len(messages) < 5:
        message = await asyncio.to_thread(bus.recv, 2.0)
        assert message is not None
        messages.add(message.arbitration_id >> 8 & 0xFF)
    assert messages == {1, 2, 3, 4, 5}
    assert beats.readies == 1
    assert beats.beats > 0
    bus.shutdown()


async def test_a_fault_is_injected_seen_and_cleared_over_the_socket(running) -> None:
    server, _, folder = running
    client = FaultClient(folder / "fault.sock")
    await asyncio.to_thread(client.inject, "weld", RACK)
    assert len(server.plant.faults._rows) == 1
    (rack,) = await asyncio.to_thread(client.status)
    assert (rack.element, rack.positions) == (RACK, (2, 2, 1))
    await asyncio.to_thread(client.clear)
    assert server.plant.faults._rows == []


async def test_a_fault_that_does_not_fit_is_refused_with_the_reason(running) -> None:
    _, _, folder = running
    client = FaultClient(folder / "fault.sock")
    with pytest.raises(FaultClientError, match="one of cell_over_voltage"):
        await asyncio.to_thread(client.inject, "earthquake", RACK)
    with pytest.raises(FaultClientError, match="R009"):
        await asyncio.to_thread(client.inject, "weld", "ESS.ARR01.R009")


async def test_a_line_without_end_closes_the_connection_and_nothing_else(running) -> None:
    _, _, folder = running
    reader, writer = await asyncio.open_unix_connection(folder / "fault.sock")
    writer.write(b"x" * 100_000)
    assert await reader.read() == b""
    writer.close()
    assert len(await asyncio.to_thread(FaultClient(folder / "fault.sock").status)) == 1


def test_without_a_plant_the_client_says_so(tmp_path: Path) -> None:
    with pytest.raises(FaultClientError, match="is the simulated plant running"):
        FaultClient(tmp_path / "fault.sock").status()


async def test_a_bus_that_cannot_be_opened_is_told_once_and_tried_until_it_can(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(back_off, "SHORTEST_PAUSE_S", 0.001)
    caplog.set_level("INFO", "gridbms.simulator")
    rack = RackDescription(RACK, "array1", 1, RackShape(2, 6, 2), 280.0, 140.0, 140.0)
    folder = tmp_path / "not" / "there"
    server = PlantServer(SimulatedPlant(PlantDescription((rack,))), {"array1": folder / "array1.sock"})
    stop, beats = asyncio.Event(), Beats()
    opening = asyncio.create_task(server.keep_opening(beats, stop))
    async with asyncio.timeout(10):
        while beats.beats < 3:
            await asyncio.sleep(0)
        assert beats.readies == 0
        folder.mkdir(parents=True)
        assert await opening
    assert [record.levelname for record in caplog.records] == ["ERROR", "INFO"]
    assert str(folder / "array1.sock") in caplog.text
    assert "Traceback" not in caplog.text
    server.close()


async def test_a_plant_that_is_still_opening_its_buses_can_be_stopped(tmp_path: Path) -> None:
    rack = RackDescription(RACK, "array1", 1, RackShape(2, 6, 2), 280.0, 140.0, 140.0)
    server = PlantServer(SimulatedPlant(PlantDescription((rack,))), {"array1": tmp_path / "not" / "there.sock"})
    stop, beats = asyncio.Event(), Beats()
    opening = asyncio.create_task(server.keep_opening(beats, stop))
    async with asyncio.timeout(10):
        while not beats.beats:
            await asyncio.sleep(0)
        stop.set()
        assert not await opening
