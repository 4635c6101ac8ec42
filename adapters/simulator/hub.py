"""The simulated bus itself: whatever one participant sends, all others receive, as on a wire.

Clients are hostile: one that does not read loses frames (whole ones, counted) and costs at most its out-buffer; one
that sends what is no frame is disconnected.
"""

import asyncio
import contextlib
import errno
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from adapters.simulator.wire import READ_BYTES, RECORD, Columns, RecordStream, WireError, hello, listening_socket, pack

log = logging.getLogger("gridbms.simulator")

OUT_BYTES = RECORD.itemsize * 16_384
"""What may wait for one client: 384 kB, about a second of 50 racks."""
CLIENTS = 32
HELLO_S = 2.0
_ACCEPTS_PER_TURN = 64
_BACKLOG = 128
_PAUSE_S = 0.1


@dataclass
class HubCounters:
    """What happened on one bus since it was opened."""

    accepted: int = 0
    refused: int = 0
    malformed: int = 0
    """Clients that were disconnected because they sent no records, or no hello in time."""
    received: int = 0
    dropped: int = 0
    """Frames that a client did not get because its out-buffer was full."""


class _Client:
    """One connection."""

    def __init__(self, hub: "Hub", connection: socket.socket) -> None:
        self.hub, self.socket = hub, connection
        self.loop = asyncio.get_running_loop()
        self.stream = RecordStream()
        self.out = bytearray()
        self.writing = False
        self.loop.add_reader(connection, self.read)
        self.deadline = self.loop.call_later(HELLO_S, self._late)

    def _late(self) -> None:
        if not self.stream.greeted:
            self.hub.counters.malformed += 1
            self.close()

    def read(self) -> None:
        try:
            received = self.socket.recv(READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            received = b""
        if not received:
            self.close()
            return
        try:
            frames = self.stream.feed(received)
        except WireError as error:
            if not self.hub.counters.malformed:
                log.warning("bus %s: a client was disconnected: %s; later ones are counted", self.hub.path, error)
            self.hub.counters.malformed += 1
            self.close()
            return
        if len(frames.ids):
            self.hub.take(frames, self)

    def write(self, records: bytes) -> None:
        room = OUT_BYTES - len(self.out)
        if room < len(records):
            # A record begun stays whole: only complete records are left out, the newest ones.
            kept = max(room, 0) // RECORD.itemsize * RECORD.itemsize
            self.hub.counters.dropped += (len(records) - kept) // RECORD.itemsize
            records = records[:kept]
        self.out += records
        if not self.writing:
            self.flush()

    def flush(self) -> None:
        try:
            while self.out:
                sent = self.socket.send(self.out)
                del self.out[:sent]
        except BlockingIOError:
            if not self.writing:
                self.writing = True
                self.loop.add_writer(self.socket, self.flush)
            return
        except OSError:
            self.close()
            return
        if self.writing:
            self.writing = False
            self.loop.remove_writer(self.socket)

    def close(self) -> None:
        self.deadline.cancel()
        self.loop.remove_reader(self.socket)
        self.loop.remove_writer(self.socket)
        self.socket.close()
        self.out.clear()
        self.hub.clients.discard(self)


class Hub:
    """One bus on the socket `path`; `on_frames` gets what clients send. Lives on the running loop."""

    def __init__(
        self, path: Path, on_frames: Callable[[Columns], None], *, clock: Callable[[], int] = time.monotonic_ns
    ) -> None:
        self.path = path
        self.counters = HubCounters()
        self.clients: set[_Client] = set()
        self._on_frames, self._clock = on_frames, clock
        self._listener: socket.socket | None = None

    def open(self) -> None:
        """Listen; a socket that a dead hub left behind is replaced. OSError when the path cannot be taken."""
        listener = listening_socket(self.path, _BACKLOG)
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener, self._accept)

    def _accept(self) -> None:
        if self._listener is None:
            return
        for _ in range(_ACCEPTS_PER_TURN):
            try:
                connection, _ = self._listener.accept()
            except BlockingIOError:
                return
            except OSError as error:
                if error.errno in (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM):
                    self._pause()
                    return
                continue  # the client went away between connecting and here
            if len(self.clients) >= CLIENTS:
                self.counters.refused += 1
                connection.close()
                continue
            connection.setblocking(False)
            self.counters.accepted += 1
            client = _Client(self, connection)
            self.clients.add(client)
            client.write(hello())

    def _pause(self) -> None:
        """Out of descriptors: a listener that stays readable would turn the loop into a busy one."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listener)  # type: ignore[arg-type]  # only called while it listens
        loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        if self._listener is not None:
            asyncio.get_running_loop().add_reader(self._listener, self._accept)

    def take(self, frames: Columns, sender: _Client) -> None:
        """Frames of a client go to everybody else."""
        self.counters.received += len(frames.ids)
        stamped = frames._replace(mono_ns=np.full(len(frames.ids), self._clock(), np.int64))
        self._spread(stamped, sender)
        self._on_frames(stamped)

    def broadcast(self, frames: Columns) -> None:
        """Frames of the plant go to all clients that have said hello."""
        self._spread(frames, None)

    def _spread(self, frames: Columns, sender: _Client | None) -> None:
        receivers = [client for client in self.clients if client is not sender and client.stream.greeted]
        if receivers:
            records = pack(frames)
            for client in receivers:
                client.write(records)

    def close(self) -> None:
        """Disconnect everybody and give the path back."""
        if self._listener is None:
            return
        asyncio.get_running_loop().remove_reader(self._listener)
        self._listener.close()
        self._listener = None
        for client in list(self.clients):
            client.close()
        with contextlib.suppress(OSError):
            os.unlink(self.path)
