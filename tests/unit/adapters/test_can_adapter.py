"""The CAN adapter on buses of python-can: reception, sending, loss and return of the bus, clean end."""

import asyncio
import contextlib
import logging
import random
import socket
import threading
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator

import can
import numpy as np
import pytest
from numpy.typing import NDArray

from adapters.api import BusSpec, RackRequest
from adapters.can.adapter import CanAdapter
from adapters.errors import AdapterConfigurationError
from information_model.device_map import DeviceMap
from information_model.enumerations import CommunicationState, Desired

from .conftest import Recorder

MS = 1_000_000
RECORD = np.dtype([("id", "<u4"), ("length", "u1"), ("data", "u1", 8)])
CELLS = bytes.fromhex("E40CE50CE60CE70C")


class SocketBus(can.BusABC):
    """A bus of fixed-size records over a socket: has a descriptor, as socketcan has. `channel` names the far end."""

    far_ends: dict[str, socket.socket] = {}  # noqa: RUF012 - one table for all buses of a test
    opened: list[socket.socket] = []  # noqa: RUF012
    openings: list[str] = []  # noqa: RUF012
    broken: set[str] = set()  # noqa: RUF012

    def __init__(self, channel: str, **_: object) -> None:
        self.openings.append(channel)
        if channel in self.broken:
            raise NameError("name 'canlib' is not defined")  # what kvaser raises without its library
        self._socket, self.far_ends[channel] = socket.socketpair()
        self.opened.append(self.far_ends[channel])
        self._socket.setblocking(False)
        super().__init__(channel)

    def fileno(self) -> int:
        return self._socket.fileno()

    def read(self) -> NDArray[np.void]:
        try:
            content = self._socket.recv(RECORD.itemsize * 100)
        except BlockingIOError:
            return np.empty(0, RECORD)
        if not content:
            raise can.CanOperationError("the far end has closed")
        return np.frombuffer(content, RECORD)

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        self._socket.send(record(msg.arbitration_id, bytes(msg.data)))

    def shutdown(self) -> None:
        super().shutdown()
        self._socket.close()


class MessageBus(SocketBus):
    """One message at a time."""

    def __init__(self, channel: str, **_: object) -> None:
        super().__init__(channel)
        self._pending: list[can.Message] = []

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if not self._pending:
            self._pending = [
                can.Message(arbitration_id=int(row["id"]), is_extended_id=False, data=bytes(row["data"]), check=False)
                for row in self.read()
            ]
        return (self._pending.pop(0) if self._pending else None), False


class BulkBus(SocketBus):
    """Whole columns at a time."""

    def recv_batch(self) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
        rows = self.read()
        return rows["id"], rows["data"], rows["length"], np.full(len(rows), time.monotonic_ns())


def record(ident: int, payload: bytes) -> bytes:
    return np.array([(ident, len(payload), list(payload.ljust(8, b"\0")))], RECORD).tobytes()


@pytest.fixture(autouse=True)
def _interfaces(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    for name, class_name in (("test-message", "MessageBus"), ("test-bulk", "BulkBus")):
        monkeypatch.setitem(can.interfaces.BACKENDS, name, (__name__, class_name))
    yield
    for far in SocketBus.opened:
        far.close()
    SocketBus.opened.clear()
    SocketBus.far_ends.clear()
    SocketBus.openings.clear()
    SocketBus.broken.clear()


class Stage:
    """An adapter at work, its sink, and a hand on its clock: `now` runs with the real one, `ahead_ns` before it."""

    def __init__(self, bus: BusSpec) -> None:
        self.ahead_ns = 0
        self.recorder = Recorder(len(bus.sources))
        self.adapter = CanAdapter(bus, clock=lambda: time.monotonic_ns() + self.ahead_ns, rng=random.Random(1))

    async def until(self, condition: Callable[[], object]) -> None:
        """Waits for a condition of the outside; the time-out of the test run ends what never happens."""
        while not condition():
            await asyncio.sleep(0.001)


@contextlib.asynccontextmanager
async def running(bus: BusSpec) -> AsyncIterator[Stage]:
    stage = Stage(bus)
    task = asyncio.create_task(stage.adapter.run(stage.recorder))
    try:
        yield stage
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def channel(bus: BusSpec) -> str:
    return str(bus.options["channel"])


def far_end(name: str) -> socket.socket:
    return SocketBus.far_ends[name]


@pytest.fixture(params=["test-message", "test-bulk"])
def bus(request: pytest.FixtureRequest, rack_map: DeviceMap, make_bus: Callable[..., BusSpec]) -> BusSpec:
    # Its own channel for every test: a bus that is opened too late, after a cancellation, disturbs no other.
    return make_bus(rack_map, interface=request.param, channel=uuid.uuid4().hex)


async def test_frames_become_values_stamped_at_their_reception(bus: BusSpec) -> None:
    async with running(bus) as stage:
        await stage.until(lambda: channel(bus) in SocketBus.far_ends)
        before = time.monotonic_ns()
        far_end(channel(bus)).send(record(0x101, CELLS) * 3)
        await stage.until(lambda: stage.adapter.counters.frames == 3)
        after = time.monotonic_ns()
    assert [round(stage.recorder.newest[slot][0], 6) for slot in range(4)] == [3.3, 3.301, 3.302, 3.303]
    assert all(before <= stamp <= after for _, _, stamp in stage.recorder.newest.values())


async def test_a_bus_without_a_descriptor_is_read_by_a_thread_that_ends_with_the_adapter(
    rack_map: DeviceMap, make_bus: Callable[..., BusSpec], status: Callable[[int, int, int], bytes]
) -> None:
    wire = uuid.uuid4().hex
    threads = set(threading.enumerate())
    with can.Bus(interface="virtual", channel=wire) as device:
        async with running(make_bus(rack_map, interface="virtual", channel=wire)) as stage:
            await stage.until(lambda: stage.adapter._bus is not None)
            device.send(can.Message(arbitration_id=0x101, is_extended_id=False, data=CELLS))
            device.send(can.Message(arbitration_id=0x101, is_extended_id=True, data=CELLS))
            device.send(can.Message(arbitration_id=0x101, is_extended_id=False, is_remote_frame=True))
            device.send(can.Message(is_error_frame=True))
            device.send(can.Message(arbitration_id=0x100, is_extended_id=False, data=status(-250, 3, 1)))
            await stage.until(lambda: stage.adapter.counters.frames == 5)
            stage.adapter.apply([RackRequest(Desired.CLOSED, 10.0, 20.0, 0, 1, lease_valid=True)])
            request = None
            while request is None:
                request = await asyncio.to_thread(device.recv, 1.0)
    counters = stage.adapter.counters
    assert (counters.error_frames, counters.remote_frames, counters.unknown_ids) == (1, 1, 1)
    assert stage.recorder.newest[4][0] == 25.0
    assert (request.arbitration_id, request.data[0]) == (0x110, 2)
    left = [thread for thread in threading.enumerate() if thread.name.startswith(("can reader", "open", "close"))]
    for thread in set(left) - threads:
        await asyncio.to_thread(thread.join, 5.0)
        assert not thread.is_alive(), thread.name


async def test_requests_are_sent_cyclically_once_one_was_applied(bus: BusSpec) -> None:
    async with running(bus) as stage:
        await stage.until(lambda: channel(bus) in SocketBus.far_ends)
        stage.adapter.apply([RackRequest(Desired.CLOSED, 10.0, 20.0, 0, 1, lease_valid=True)])
        far = far_end(channel(bus))
        far.setblocking(False)
        content = b""
        while len(content) < 3 * RECORD.itemsize:
            content += await asyncio.get_running_loop().sock_recv(far, 3 * RECORD.itemsize - len(content))
    rows = np.frombuffer(content, RECORD)
    assert rows["id"].tolist() == [0x110] * 3
    assert (rows["data"][:, 6] & 15).tolist() == [1, 2, 3]


async def test_a_bus_whose_driver_fails_is_reopened_and_told_once(
    bus: BusSpec, caplog: pytest.LogCaptureFixture
) -> None:
    SocketBus.broken.add(channel(bus))
    with caplog.at_level(logging.INFO, "gridbms.adapters"):
        async with running(bus) as stage:
            await stage.until(lambda: SocketBus.openings.count(channel(bus)) == 2)
            await stage.until(lambda: "canlib" in stage.recorder.healths[0].detail)
            SocketBus.broken.clear()
            await stage.until(lambda: channel(bus) in SocketBus.far_ends)
            far_end(channel(bus)).send(record(0x101, CELLS))
            await stage.until(lambda: stage.recorder.batches)
            far_end(channel(bus)).close()
            del SocketBus.far_ends[channel(bus)]
            await stage.until(lambda: channel(bus) in SocketBus.far_ends)
            far_end(channel(bus)).send(record(0x101, CELLS))
            await stage.until(lambda: len(stage.recorder.batches) == 2)
            await stage.until(lambda: stage.recorder.healths[0].reconnects == 1)
    messages = [r.getMessage() for r in caplog.records]
    assert messages == [
        "bus bus1: cannot open: name 'canlib' is not defined; trying again until it works",
        "bus bus1: frames again",
        "bus bus1: reading failed: the far end has closed; trying again until it works",
        "bus bus1: frames again",
    ]


async def test_a_silent_bus_is_closed_and_opened_again(bus: BusSpec, caplog: pytest.LogCaptureFixture) -> None:
    async with running(bus) as stage:
        await stage.until(lambda: stage.adapter._bus is not None)
        first = far_end(channel(bus))
        stage.ahead_ns += 2100 * MS
        await stage.until(lambda: SocketBus.openings.count(channel(bus)) == 2)
        first.setblocking(False)
        assert await asyncio.get_running_loop().sock_recv(first, 1) == b""  # our end of the first one was closed
    assert "bus bus1: no frame for 2" in caplog.text


async def test_what_the_driver_hands_over_may_be_nonsense(bus: BusSpec) -> None:
    async with running(bus) as stage:
        await stage.until(lambda: channel(bus) in SocketBus.far_ends)
        noise = np.random.default_rng(5).integers(0, 256, RECORD.itemsize * 200, np.uint8)
        far_end(channel(bus)).send(noise.tobytes())
        await stage.until(lambda: stage.adapter.counters.frames == 200)
        far_end(channel(bus)).send(record(0x101, CELLS))
        await stage.until(lambda: stage.adapter.counters.frames == 201)
    assert stage.recorder.newest[3][0] == pytest.approx(3.303)
    assert SocketBus.openings.count(channel(bus)) == 1


async def test_a_driver_that_never_opens_neither_blocks_the_loop_nor_the_end(
    rack_map: DeviceMap, make_bus: Callable[..., BusSpec], monkeypatch: pytest.MonkeyPatch
) -> None:
    release, entered, closed = threading.Event(), threading.Event(), threading.Event()

    class Stuck(MessageBus):
        def __init__(self, channel: str, **_: object) -> None:
            entered.set()
            release.wait(60)
            super().__init__(channel)

        def shutdown(self) -> None:
            super().shutdown()
            closed.set()

    monkeypatch.setitem(globals(), "MessageBus", Stuck)
    async with running(make_bus(rack_map, interface="test-message", channel="stuck")) as stage:
        await stage.until(entered.is_set)
        stage.recorder.healths[0].detail = ""
        await stage.until(lambda: stage.recorder.healths[0].detail)  # health goes on meanwhile
    assert stage.recorder.healths[0].state == CommunicationState.NEVER_SEEN
    release.set()
    assert await asyncio.to_thread(closed.wait, 10)  # opened too late: closed again


def test_options_without_an_interface_are_refused(rack_map: DeviceMap, make_bus: Callable[..., BusSpec]) -> None:
    with pytest.raises(AdapterConfigurationError, match="interface: given None; expected the name of a python-can"):
        CanAdapter(make_bus(rack_map, channel="can0"))
