"""python-can plug-in for the simulated bus: `can.Bus(interface="gridbms-plant", channel=<socket>)`."""

import contextlib
import select
import socket
import time
from collections import deque
from pathlib import Path
from typing import Any

import can
import numpy as np
from numpy.typing import NDArray

from adapters.simulator.layout import ERROR, EXTENDED, REMOTE
from adapters.simulator.wire import (
    READ_BYTES,
    RECORD,
    Columns,
    RecordStream,
    WireError,
    hello,
    pack,
    socket_address,
)

CONNECT_S, WAIT_STEP_S = 2.0, 0.02
_UNSENT_BYTES = RECORD.itemsize * 1024
_ID = 0x1FFF_FFFF


class PlantBus(can.BusABC):
    """One participant of a simulated bus; `channel` is the path of its socket.

    `wait_s` is how long to wait for a hub that comes up at the same time; whoever opens a bus does so in a thread.
    Frames carry the monotonic time of the hub, `recv_batch` hands over all that are pending. A hub that is gone raises
    CanOperationError on the next call.
    """

    def __init__(self, channel: str, can_filters: Any = None, wait_s: float = 0.0, **kwargs: Any) -> None:
        self._is_shutdown = True  # nothing to shut down until the connection stands
        self.channel_info = f"simulated bus {channel}"
        self._stream = RecordStream()
        self._out = bytearray()
        self._messages: deque[can.Message] = deque()
        self._early: Columns | None = None
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            self._connect(Path(channel), time.monotonic() + float(wait_s))
        except (OSError, WireError) as error:
            self._socket.close()
            reason = getattr(error, "strerror", None) or str(error)
            raise can.CanInitializationError(f"{self.channel_info}: {reason}") from error
        super().__init__(channel=channel, can_filters=can_filters, **kwargs)
        self._is_shutdown = False

    def _connect(self, path: Path, patient_until_s: float) -> None:
        self._socket.settimeout(CONNECT_S)
        while True:
            try:
                with socket_address(path) as address:
                    self._socket.connect(address)
                break
            except (FileNotFoundError, ConnectionRefusedError):
                if time.monotonic() >= patient_until_s:
                    raise
                time.sleep(WAIT_STEP_S)  # a path that appears wakes nobody
        with contextlib.suppress(BrokenPipeError):  # a hub that has closed already may have said why
            self._socket.sendall(hello())
        while not self._stream.greeted:
            received = self._socket.recv(READ_BYTES)
            if not received:
                raise WireError("the hub closed the connection: too many participants, or another version")
            frames = self._stream.feed(received)
            self._early = frames if len(frames.ids) else None
        self._socket.setblocking(False)

    def fileno(self) -> int:
        """Readable when frames are pending."""
        return self._socket.fileno()

    def _read(self) -> Columns:
        """What one call to the socket gives, up to 64 KB; may be empty."""
        if self._early is not None:
            frames, self._early = self._early, None
            return frames
        try:
            received = self._socket.recv(READ_BYTES)
        except BlockingIOError:
            return self._stream.feed(b"")
        except OSError as error:
            raise can.CanOperationError(f"{self.channel_info}: {error.strerror}") from error
        if not received:
            raise can.CanOperationError(f"{self.channel_info}: the hub has closed the connection")
        try:
            return self._stream.feed(received)
        except WireError as error:
            raise can.CanOperationError(f"{self.channel_info}: {error}") from error

    def recv_batch(
        self,
    ) -> tuple[NDArray[np.uint32], NDArray[np.uint8], NDArray[np.uint8], NDArray[np.int64]]:
        """All pending frames: u4[N] ids with flags, u1[N, 8] data, u1[N] lengths, i8[N] monotonic ns.

        Filters of the bus do not apply here: whoever takes frames in bulk chooses in bulk.
        """
        frames = self._read()
        return frames.ids, frames.data, frames.length, frames.mono_ns

    def _recv_internal(self, timeout: float | None) -> tuple[can.Message | None, bool]:
        if not self._messages and self._early is None:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            poll.poll(None if timeout is None else max(timeout, 0.0) * 1e3)
        if not self._messages:
            self._messages.extend(_message(*row) for row in zip(*self._read(), strict=True))
        return (self._messages.popleft() if self._messages else None), False

    def send(self, msg: can.Message, timeout: float | None = None) -> None:
        """Hand a frame to the hub at once; CanOperationError when it has not read for long."""
        size = msg.dlc if msg.is_remote_frame else len(msg.data)
        if msg.is_fd or size > 8:
            raise can.CanOperationError(f"{self.channel_info}: frames have at most 8 bytes")
        if len(self._out) > _UNSENT_BYTES:
            self._flush()
            if len(self._out) > _UNSENT_BYTES:
                raise can.CanOperationError(f"{self.channel_info}: the hub does not read; frame not sent")
        ident = msg.arbitration_id & _ID
        ident |= (EXTENDED if msg.is_extended_id else 0) | (REMOTE if msg.is_remote_frame else 0)
        ident |= ERROR if msg.is_error_frame else 0
        data = np.frombuffer(bytes(msg.data).ljust(8, b"\0"), np.uint8)[None, :]
        length = np.array([size], np.uint8)
        stamp = np.array([time.monotonic_ns()], np.int64)
        self._out += pack(Columns(np.array([ident], np.uint32), data, length, stamp))
        self._flush()

    def _flush(self) -> None:
        try:
            sent = self._socket.send(self._out)
        except BlockingIOError:
            return
        except OSError as error:
            raise can.CanOperationError(f"{self.channel_info}: {error.strerror}") from error
        del self._out[:sent]

    def shutdown(self) -> None:
        """Leave the bus."""
        super().shutdown()
        with contextlib.suppress(OSError):
            self._socket.close()


def _message(ident: int, data: NDArray[np.uint8], length: int, mono_ns: int) -> can.Message:
    return can.Message(
        arbitration_id=int(ident) & (_ID if ident & EXTENDED else 0x7FF),
        is_extended_id=bool(ident & EXTENDED),
        is_remote_frame=bool(ident & REMOTE),
        is_error_frame=bool(ident & ERROR),
        data=b"" if ident & REMOTE else data[: int(length)].tobytes(),
        dlc=int(length),
        timestamp=int(mono_ns) / 1e9,
    )
