"""TCP connections: chunk sizes checked at byte 8, limits per address, time-outs, back-pressure (OPC 10000-6, 7.1).

Deadlines are not timers: `Connection.overdue` says what has run out, and the listener sweeps all connections every
two seconds. Bytes that trickle in renew no deadline.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections import deque
from collections.abc import Iterable
from typing import cast

from asyncua import ua

from server.opcua.connection.chunks import error_message
from server.opcua.connection.processor import Processor
from server.opcua.context import ServerContext
from server.opcua.errors import ChannelError, code_name
from server.opcua.wire import Piece

Codes = ua.StatusCodes
MESSAGE_TYPES = frozenset({b"HEL", b"OPN", b"MSG", b"CLO", b"ERR"})
CHUNK_TYPES = b"FCA"
QUEUED_CHUNKS, QUEUED_CHUNKS_UNACTIVATED = 64, 4
"""Complete chunks that wait for the processor before the socket is no longer read: with and without a session."""
CLOSING_TIMEOUT_S = 2.0
SOCKET_OPTIONS = (
    ("SO_KEEPALIVE", socket.SOL_SOCKET, 1),
    ("TCP_KEEPIDLE", socket.IPPROTO_TCP, 10),
    ("TCP_KEEPINTVL", socket.IPPROTO_TCP, 5),
    ("TCP_KEEPCNT", socket.IPPROTO_TCP, 3),
    ("TCP_USER_TIMEOUT", socket.IPPROTO_TCP, 15_000),
)


class Connection(asyncio.Protocol):
    """One TCP connection of one client; `others` are all that the server has, this one among them while it counts."""

    def __init__(self, context: ServerContext, others: set[Connection]) -> None:
        self.context = context
        self._others = others
        self.address = "?"
        self.peer = "?"
        self.local_address = ""
        self.counted = False
        self.closing_since_s: float | None = None
        self.partial_since_s: float | None = None
        self.paused_since_s: float | None = None
        self.connected_s = context.clock()
        self.idle_since_s = self.connected_s
        """Last time at which an activated session was on this connection."""
        self.processor = Processor(context, self)
        self._transport: asyncio.Transport | None = None
        self._buffer = bytearray()
        self._chunks: deque[bytes] = deque()
        self._arrived = asyncio.Event()
        self._writable = asyncio.Event()
        self._writable.set()
        self._reading = True
        self._task: asyncio.Task[None] | None = None

    # -- life of the connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Accept or refuse before anything is allocated for the client."""
        self._transport = cast(asyncio.Transport, transport)
        peer, local = transport.get_extra_info("peername"), transport.get_extra_info("sockname")
        if peer:
            self.address, self.peer = str(peer[0]), f"{peer[0]}:{peer[1]}"
        self.local_address = str(local[0]).partition("%")[0] if local else ""
        refusal = self._refusal()
        if refusal:
            self.context.counters.refused_connections += 1
            self.context.log.complain(self.address, "connection refused", refusal)
            self._transport.abort()
            return
        self._set_options()
        self.counted = True
        self._others.add(self)
        self._task = asyncio.get_running_loop().create_task(self.processor.run())

    def _refusal(self) -> str:
        limits = self.context.limits
        mine = sum(other.address == self.address for other in self._others)
        if mine >= limits.connections_per_address:
            return f"{mine} connections from this address, at most {limits.connections_per_address}"
        idle = [other for other in self._others if not other.processor.activated]
        same = sum(other.address == self.address for other in idle)
        if same >= limits.unactivated_per_address:
            return f"{same} connections from this address without session, at most {limits.unactivated_per_address}"
        if len(self._others) >= limits.connections:
            if not idle:
                return f"{len(self._others)} connections, at most {limits.connections}"
            # The oldest channel without session makes room (OPC 10000-4, 5.6.2).
            min(idle, key=lambda other: other.connected_s).abort("room needed for another client")
        return ""

    def _set_options(self) -> None:
        transport = cast(asyncio.Transport, self._transport)
        limits = self.context.limits
        transport.set_write_buffer_limits(high=limits.write_high_water_bytes)
        raw = transport.get_extra_info("socket")
        if raw is None:
            return
        for name, level, value in SOCKET_OPTIONS:
            # Not every platform and address family knows every option.
            with contextlib.suppress(OSError, AttributeError):
                raw.setsockopt(level, getattr(socket, name), value)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The peer is gone."""
        self._leave()

    def _leave(self) -> None:
        if self.counted:
            self.counted = False
            self._others.discard(self)
            self.processor.lost()
        if self._task is not None:
            self._task.cancel()
        self._writable.set()

    @property
    def open(self) -> bool:
        """True while answers can be sent."""
        return self._transport is not None and not self._transport.is_closing() and self.closing_since_s is None

    async def finished(self) -> None:
        """Wait until the connection's task has ended."""
        if self._task is not None:
            await asyncio.wait([self._task])

    def fail(self, code: int, detail: str = "") -> None:
        """Send one ERR message, log one line (unless the whole server is stopping), close.

        Only our half is closed at first: closing with unread bytes would reset the connection, and the client would
        never see the ERR message. What it still sends is thrown away, and the sweep ends its half.
        """
        if self._transport is None or self.closing_since_s is not None:
            return
        self.closing_since_s = self.context.clock()
        if self.context.accepting:
            self.context.log.complain(self.address, f"connection closed with {code_name(code)}", detail)
        if not self._transport.is_closing():
            self._transport.write(error_message(code, code_name(code)))
            self._transport.write_eof()
            # A paused socket would never tell us that the client has closed its half.
            self._resume_reading()
        self._chunks.clear()
        self.processor.lost()
        if self._task is not None:
            self._task.cancel()

    def close(self) -> None:
        """Close after what is buffered has been sent; the sweep aborts what takes too long."""
        if self.closing_since_s is None:
            self.closing_since_s = self.context.clock()
        if self._transport is not None:
            self._transport.close()

    def abort(self, reason: str) -> None:
        """Close at once, for peers that do not read."""
        self.context.log.complain(self.address, "connection cut", reason)
        self.closing_since_s = self.context.clock()
        if self._transport is not None:
            self._transport.abort()
        self._leave()

    # -- reading

    def data_received(self, data: bytes) -> None:
        """Cut the stream into chunks; sizes are judged from the first eight bytes on."""
        if self.closing_since_s is not None:
            return
        self._buffer += data
        offset = 0
        try:
            while len(self._buffer) - offset >= 8:
                size = self._chunk_size(offset)
                if len(self._buffer) - offset < size:
                    break
                self._chunks.append(bytes(self._buffer[offset : offset + size]))
                offset += size
                self.partial_since_s = None
        except ChannelError as error:
            self._buffer.clear()
            self.fail(error.code, error.detail)
            return
        if offset:
            del self._buffer[:offset]
        if self._buffer and self.partial_since_s is None:
            self.partial_since_s = self.context.clock()
        if self._chunks:
            self._arrived.set()
        allowed = QUEUED_CHUNKS if self.processor.activated else QUEUED_CHUNKS_UNACTIVATED
        if len(self._chunks) > allowed and self._reading and self._transport is not None:
            self._reading = False
            self._transport.pause_reading()

    def _chunk_size(self, offset: int) -> int:
        kind = bytes(self._buffer[offset : offset + 3])
        if kind not in MESSAGE_TYPES or self._buffer[offset + 3] not in CHUNK_TYPES:
            raise ChannelError(Codes.BadTcpMessageTypeInvalid, "not a message of this protocol")
        if self._buffer[offset + 3] != ord("F") and kind != b"MSG":
            raise ChannelError(Codes.BadTcpMessageTypeInvalid, "only MSG may have several chunks")
        size = int.from_bytes(self._buffer[offset + 4 : offset + 8], "little")
        maximum = self.processor.maximum_chunk_bytes(kind)
        if not 8 < size <= maximum:
            raise ChannelError(Codes.BadTcpMessageTooLarge, f"chunk of {size} bytes announced, at most {maximum}")
        return size

    async def next_chunk(self) -> bytes:
        """The next complete chunk."""
        while not self._chunks:
            self._arrived.clear()
            await self._arrived.wait()
        chunk = self._chunks.popleft()
        if len(self._chunks) <= QUEUED_CHUNKS_UNACTIVATED // 2:
            self._resume_reading()
        return chunk

    def _resume_reading(self) -> None:
        if not self._reading and self._transport is not None and not self._transport.is_closing():
            self._reading = True
            self._transport.resume_reading()

    # -- writing

    def write(self, pieces: Iterable[Piece]) -> None:
        """Send; a client that has let too much pile up is cut."""
        if not self.open or self._transport is None:
            return
        self._transport.write(b"".join(pieces))
        if self._transport.get_write_buffer_size() > self.context.limits.write_maximum_bytes:
            self.abort(f"{self._transport.get_write_buffer_size()} bytes unread")

    def pause_writing(self) -> None:
        """Buffer above the high-water mark: no further requests are served for this client."""
        self.paused_since_s = self.context.clock()
        self._writable.clear()

    def resume_writing(self) -> None:
        """Buffer drained."""
        self.paused_since_s = None
        self._writable.set()

    @property
    def congested(self) -> bool:
        """True while the client reads too slowly."""
        return self.paused_since_s is not None

    async def drained(self) -> None:
        """Wait until the client has read enough."""
        await self._writable.wait()

    # -- deadlines

    def overdue(self, now_s: float) -> tuple[int, str] | None:
        """(code, reason) when a deadline has passed at monotonic time `now_s`; None when all is well."""
        limits, processor = self.context.limits, self.processor
        if self.paused_since_s is not None and now_s - self.paused_since_s > limits.write_stuck_timeout_s:
            return Codes.BadTimeout, "does not read"
        if self.partial_since_s is not None and now_s - self.partial_since_s > limits.partial_chunk_timeout_s:
            return Codes.BadTimeout, "chunk not completed in time"
        if processor.hello_s is None:
            return (Codes.BadTimeout, "no Hello") if now_s - self.connected_s > limits.hello_timeout_s else None
        if not processor.channel.is_open:
            late = now_s - processor.hello_s > limits.channel_timeout_s and not processor.opening
            return (Codes.BadTimeout, "no OpenSecureChannel") if late else None
        if now_s > processor.channel.expires_s:
            return Codes.BadSecureChannelClosed, "secure channel not renewed"
        if processor.activated:
            self.idle_since_s = now_s
        elif now_s - self.idle_since_s > limits.session_timeout_s + (
            limits.activation_timeout_s if processor.has_session else 0.0
        ):
            return Codes.BadTimeout, "no activated session"
        return None

    def sweep(self, now_s: float) -> None:
        """Close or abort what is overdue."""
        if self.closing_since_s is not None:
            if now_s - self.closing_since_s > CLOSING_TIMEOUT_S:
                self.abort("does not let the connection close")
            return
        found = self.overdue(now_s)
        if found is None:
            return
        if self.paused_since_s is not None:
            self.abort(found[1])
        else:
            self.fail(*found)
