"""The hub of the simulated bus under load and under attack, seen through the python-can plug-in."""

import asyncio
import socket
from pathlib import Path

import can
import numpy as np
import pytest

from adapters.simulator.bus import PlantBus
from adapters.simulator.hub import CLIENTS, OUT_BYTES, Hub
from adapters.simulator.layout import EXTENDED
from adapters.simulator.wire import RECORD, Columns, hello, pack

BATCH = 100


def frames(first: int, count: int = BATCH) -> Columns:
    data = np.arange(first, first + count, dtype="<u8").view(np.uint8).reshape(count, 8)
    ids = np.full(count, EXTENDED | 0x18F00101, np.uint32)
    return Columns(ids, data, np.full(count, 8, np.uint8), np.full(count, 1, np.int64))


class Bus:
    """A hub and what it heard."""

    def __init__(self, path: Path) -> None:
        self.heard: list[int] = []
        self.hub = Hub(path, lambda columns: self.heard.extend(columns.ids.tolist()))
        self.hub.open()

    async def join(self) -> PlantBus:
        """The constructor waits for the hub, which lives on this loop."""
        bus = await asyncio.to_thread(lambda: can.Bus(interface="gridbms-plant", channel=str(self.hub.path)))
        assert isinstance(bus, PlantBus)
        await self.until(lambda: any(client.stream.greeted for client in self.hub.clients))
        return bus

    async def until(self, condition) -> None:
        async with asyncio.timeout(10):
            while not condition():
                await asyncio.sleep(0)


@pytest.fixture
async def bus(tmp_path: Path):
    made = Bus(tmp_path / "bus.sock")
    yield made
    made.hub.close()
    assert not made.hub.path.exists()


async def test_a_reader_loses_none_of_20000_frames(bus: Bus) -> None:
    reader = await bus.join()
    received: list[np.ndarray] = []
    asyncio.get_running_loop().add_reader(reader, lambda: received.append(reader.recv_batch()[1]))
    for number in range(200):
        bus.hub.broadcast(frames(number * BATCH))
        await asyncio.sleep(0)
    await bus.until(lambda: sum(map(len, received)) >= 20_000)
    asyncio.get_running_loop().remove_reader(reader)
    numbers = np.concatenate(received).view("<u8").ravel()
    assert np.array_equal(numbers, np.arange(20_000))
    assert bus.hub.counters.dropped == 0
    reader.shutdown()


async def test_a_client_that_never_reads_costs_a_bounded_buffer_and_only_its_own_frames(bus: Bus) -> None:
    idle, reader = await bus.join(), await bus.join()
    await bus.until(lambda: sum(client.stream.greeted for client in bus.hub.clients) == 2)
    received: list[np.ndarray] = []
    asyncio.get_running_loop().add_reader(reader, lambda: received.append(reader.recv_batch()[1]))
    for number in range(600):
        bus.hub.broadcast(frames(number * BATCH))
        await asyncio.sleep(0)
    await bus.until(lambda: sum(map(len, received)) >= 60_000)
    asyncio.get_running_loop().remove_reader(reader)
    assert max(len(client.out) for client in bus.hub.clients) <= OUT_BYTES
    assert bus.hub.counters.dropped > 10_000
    left = []
    while len(batch := idle.recv_batch()[1]):
        left.append(batch)
        await asyncio.sleep(0)
    numbers = np.concatenate(left).view("<u8").ravel()
    assert (np.diff(numbers.astype(np.int64)) > 0).all()  # whole records, in order, some of them missing
    for client in (idle, reader):
        client.shutdown()


async def test_what_a_client_sends_reaches_the_plant_and_the_others_but_not_itself(bus: Bus) -> None:
    sender, other = await bus.join(), await bus.join()
    await bus.until(lambda: sum(client.stream.greeted for client in bus.hub.clients) == 2)
    sender.send(can.Message(arbitration_id=0x18F01001, is_extended_id=True, data=b"\x01\x02"))
    sender.send(can.Message(arbitration_id=0x7FF, is_extended_id=False, is_remote_frame=True, dlc=3))
    await bus.until(lambda: len(bus.heard) == 2)
    first, second = other.recv(1), other.recv(1)
    assert (first.arbitration_id, first.is_extended_id, bytes(first.data)) == (0x18F01001, True, b"\x01\x02")
    assert (second.arbitration_id, second.is_remote_frame, second.dlc) == (0x7FF, True, 3)
    assert sender.recv(0) is None
    with pytest.raises(can.CanOperationError, match="at most 8 bytes"):
        sender.send(can.Message(arbitration_id=1, is_fd=True, data=bytes(12)))
    for client in (sender, other):
        client.shutdown()


async def test_stamps_are_those_of_the_hub(bus: Bus) -> None:
    sender, other = await bus.join(), await bus.join()
    await bus.until(lambda: sum(client.stream.greeted for client in bus.hub.clients) == 2)
    bus.hub._clock = lambda: 123_000_000_000
    sender.send(can.Message(arbitration_id=5, is_extended_id=False))
    await bus.until(lambda: bus.heard == [5])
    assert other.recv_batch()[3].tolist() == [123_000_000_000]
    for client in (sender, other):
        client.shutdown()


async def test_garbage_half_records_and_silence_end_only_their_own_connection(bus: Bus) -> None:
    good = await bus.join()
    rng = np.random.default_rng(2)
    half = pack(frames(0, 1))[:13]
    wrong = (rng.bytes(5000), hello() + rng.bytes(100), bytes(24), b"GET / HTTP/1.1\r\nHost: plant\r\n\r\n")
    for count, content in enumerate(wrong, 1):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(bus.hub.path))
            connection.sendall(content)
            await bus.until(lambda: bus.hub.counters.malformed == count)  # noqa: B023 - awaited at once
    for count, content in enumerate((b"", hello() + half, hello()[:9]), len(wrong) + 2):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(bus.hub.path))
            connection.sendall(content)
            await bus.until(lambda: bus.hub.counters.accepted == count)  # noqa: B023 - awaited at once
    await bus.until(lambda: len(bus.hub.clients) == 1)
    assert bus.hub.counters.malformed == len(wrong)
    assert bus.heard == []
    bus.hub.broadcast(frames(0, 1))
    assert len(good.recv_batch()[0]) == 1
    good.shutdown()


async def test_thousands_of_connections_leave_no_descriptor_and_no_client(bus: Bus) -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    for number in range(2000):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(bus.hub.path))
            if number % 2:
                connection.sendall(hello())
        if number % 20 == 0:
            await asyncio.sleep(0)
    await bus.until(lambda: bus.hub.counters.accepted + bus.hub.counters.refused == 2000 and not bus.hub.clients)
    assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
    good = await bus.join()
    good.shutdown()


async def test_more_clients_than_places_are_turned_away_with_a_reason(bus: Bus) -> None:
    connections = [socket.socket(socket.AF_UNIX) for _ in range(CLIENTS)]
    for connection in connections:
        connection.connect(str(bus.hub.path))
    await bus.until(lambda: len(bus.hub.clients) == CLIENTS)
    with pytest.raises(can.CanInitializationError):
        await bus.join()
    assert bus.hub.counters.refused == 1
    for connection in connections:
        connection.close()


async def test_a_hub_that_is_gone_is_an_error_and_not_silence(bus: Bus) -> None:
    reader = await bus.join()
    bus.hub.close()
    with pytest.raises(can.CanOperationError):
        reader.recv_batch()
    with pytest.raises(can.CanOperationError):
        reader.send(can.Message(arbitration_id=1))
    reader.shutdown()
    with pytest.raises(can.CanInitializationError, match=r"bus\.sock"):
        PlantBus(str(bus.hub.path))


async def test_a_participant_waits_for_a_hub_that_comes_up_at_the_same_time(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    opening = asyncio.create_task(asyncio.to_thread(PlantBus, str(path), wait_s=10.0))
    await asyncio.to_thread(lambda: None)  # a thread of the pool runs: the other one has begun
    late = Bus(path)
    reader = await opening
    assert late.hub.counters.refused == 0
    reader.shutdown()
    late.hub.close()


async def test_a_hub_replaces_the_socket_of_a_dead_one_but_no_ordinary_file(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"
    with socket.socket(socket.AF_UNIX) as left_behind:
        left_behind.bind(str(path))
    first = Bus(path)
    assert path.stat().st_mode & 0o777 == 0o600
    first.hub.close()
    path.write_text("mine")
    with pytest.raises(OSError, match="choose another path"):
        Bus(path)
    assert path.read_text() == "mine"


async def test_a_server_of_another_version_is_named(tmp_path: Path) -> None:
    path = tmp_path / "bus.sock"

    async def newer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(hello()[:-1] + b"\x02")
        await writer.drain()
        writer.close()

    server = await asyncio.start_unix_server(newer, path)
    with pytest.raises(can.CanInitializationError, match="version 2"):
        await asyncio.to_thread(PlantBus, str(path))
    server.close()
    assert RECORD.itemsize == 24
