"""From chunks to services and back: one processor per connection.

Whatever fails becomes one ServiceFault, or one ERR message and the end of the connection.
"""

from __future__ import annotations

import asyncio
import logging
import traceback
from collections import deque
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import UaStatusCodeError

from server.opcua.connection.channel_opening import ChannelOpener
from server.opcua.connection.hello import acknowledge, parse_hello
from server.opcua.connection.secure_channel import SecureChannel
from server.opcua.context import ServerContext
from server.opcua.errors import ChannelError, ServiceFaultError, code_name
from server.opcua.services import gate
from server.opcua.services.requests import Request, read_header
from server.opcua.services.service_table import RequestContext
from server.opcua.session import Session
from server.opcua.wire import Pieces

if TYPE_CHECKING:
    from server.opcua.connection.transport import Connection

log = logging.getLogger("gridbms.opcua")
Codes = ua.StatusCodes
Ids = ua.ObjectIds
SECURITY_CODES = frozenset(
    {
        Codes.BadSessionIdInvalid,
        Codes.BadSessionNotActivated,
        Codes.BadUserAccessDenied,
        Codes.BadSecurityChecksFailed,
        Codes.BadSecurityModeInsufficient,
    }
)
"""Codes that say "you may not", for SecurityRejectedRequestsCount (OPC 10000-5, 12.9)."""
LOCAL_REQUEST_IDS = frozenset({Ids.CancelRequest_Encoding_DefaultBinary})


class Processor:
    """Protocol state of one connection."""

    def __init__(self, context: ServerContext, connection: Connection) -> None:
        self.context = context
        self.connection = connection
        self.channel = SecureChannel(context.limits, context.clock)
        self.hello_s: float | None = None
        self.opening = False
        """True while a worker thread is busy with this client's OpenSecureChannel."""
        self._opener = ChannelOpener(context, self.channel)
        self._receive_chunk_bytes = context.limits.chunk_bytes
        self._pending: deque[Request] = deque()
        self._work = asyncio.Event()
        self._room = asyncio.Event()
        self._sessions: set[Session] = set()

    # -- what sessions and services see

    @property
    def address(self) -> str:
        """Address of the peer."""
        return self.connection.address

    @property
    def local_address(self) -> str:
        """Address of ours that the peer has reached."""
        return self.connection.local_address

    @property
    def congested(self) -> bool:
        """True while the client does not read fast enough: produce nothing for it."""
        return self.connection.congested

    @property
    def alive(self) -> bool:
        """True while answers can be sent."""
        return self.connection.open

    @property
    def activated(self) -> bool:
        """True while an activated session is on this channel."""
        self._sessions = {item for item in self._sessions if not item.closed and item.channel is self}
        return bool(self._sessions)

    @property
    def has_session(self) -> bool:
        """True while any session, activated or not, is on this channel."""
        return any(session.channel is self for session in self.context.sessions)

    def session_activated(self, session: Session) -> None:
        """A session has moved here; larger messages are accepted from now on."""
        self._sessions.add(session)

    def close(self, code: int, reason: str) -> None:
        """End the connection with an ERR message."""
        self.connection.fail(code, reason)

    async def drained(self) -> None:
        """Wait until the client has read what was sent."""
        await self.connection.drained()

    # -- chunks

    def maximum_chunk_bytes(self, kind: bytes) -> int:
        """Largest chunk of a message type at this moment."""
        if kind in (b"HEL", b"ERR"):
            return self.context.limits.endpoint_url_bytes + 32
        return self._receive_chunk_bytes

    async def run(self) -> None:
        """Serve the connection until it ends."""
        worker = asyncio.get_running_loop().create_task(self._work_loop())
        try:
            while await self._take(await self.connection.next_chunk()):
                pass
            self.connection.close()
        except ChannelError as error:
            self.connection.fail(error.code, error.detail)
        except Exception as error:  # noqa: BLE001 -- no request may end the server
            _log_unexpected("connection", error)
            self.connection.fail(Codes.BadInternalError, type(error).__name__)
        finally:
            worker.cancel()

    def lost(self) -> None:
        """The connection is gone."""
        self._pending.clear()
        self.context.sessions.channel_lost(self)

    async def _take(self, chunk: bytes) -> bool:
        kind = chunk[:3]
        if kind == b"MSG":
            limits = self.context.limits
            large = self.activated
            message = self.channel.receive(
                chunk,
                limits.message_bytes if large else limits.unactivated_message_bytes,
                limits.chunks if large else limits.unactivated_chunks,
            )
            if message is not None:
                await self._accept(message.request_id, message.body)
            return True
        if kind == b"OPN":
            if self.hello_s is None:
                raise ChannelError(Codes.BadTcpMessageTypeInvalid, "OpenSecureChannel before Hello")
            self.opening = True
            try:
                answer = await self._opener.open(chunk, self.connection.address, self.connection.peer)
            finally:
                self.opening = False
            self.connection.write((answer,))
            return True
        if kind == b"HEL":
            self._hello(chunk)
            return True
        if kind == b"CLO":
            self.channel.receive(chunk, self.context.limits.unactivated_message_bytes, 1)
        return False

    def _hello(self, chunk: bytes) -> None:
        if self.hello_s is not None:
            raise ChannelError(Codes.BadTcpMessageTypeInvalid, "second Hello")
        limits = self.context.limits
        hello = parse_hello(chunk, limits)
        self.hello_s = self.context.clock()
        self.channel.send_chunk_bytes = min(hello.receive_bytes, limits.chunk_bytes)
        self._receive_chunk_bytes = min(hello.send_bytes, limits.chunk_bytes)
        self.channel.response_bytes, self.channel.response_chunks = hello.message_bytes, hello.chunks
        self.connection.write((acknowledge(self._receive_chunk_bytes, self.channel.send_chunk_bytes, limits),))

    # -- requests

    async def _accept(self, request_id: int, body: bytes) -> None:
        request = self._request(request_id, body)
        if request.context.request_type in LOCAL_REQUEST_IDS:
            # Cancel overtakes what it cancels.
            await self._execute(request)
            return
        while len(self._pending) >= self.context.limits.queued_requests:
            # Not reading on is the back-pressure that a pipelining client feels.
            self._room.clear()
            await self._room.wait()
        self._pending.append(request)
        self._work.set()

    def _request(self, request_id: int, body: bytes) -> Request:
        number, header, position = read_header(body, self.context.limits)
        hint_s = int(header.TimeoutHint) / 1000
        context = RequestContext(
            request_id,
            number,
            header,
            self,
            self.channel,
            self.connection.peer,
            self.context.clock() + hint_s if hint_s else None,
        )
        return Request(context, self.context.services.find(number), body, position)

    async def _work_loop(self) -> None:
        while True:
            while self._pending:
                await self.connection.drained()
                if not self._pending:
                    break
                request = self._pending.popleft()
                self._room.set()
                await self._execute(request)
            self._work.clear()
            await self._work.wait()

    def cancel_requests(self, session: Session, handle: int) -> int:
        """Answer queued requests of a session with this handle BadRequestCancelledByClient; their number."""
        found = [
            request
            for request in self._pending
            if request.context.request_handle == handle
            and self.context.sessions.find(request.context.header.AuthenticationToken) is session
        ]
        for request in found:
            self._pending.remove(request)
            self.send_fault(request.context, Codes.BadRequestCancelledByClient)
        self._room.set()
        return len(found)

    async def _execute(self, request: Request) -> None:
        context = request.context
        try:
            response = await gate.call(self.context, request)
            if response is None:
                return
            if isinstance(response, bytes | tuple):
                self.send_pieces(context, (response,) if isinstance(response, bytes) else response)
            else:
                self.send_response(context, response)
        except ServiceFaultError as error:
            log.debug("%s refused: %s", request.name, error)
            self.send_fault(context, error.code)
        except (ServiceError, UaStatusCodeError) as error:
            self.send_fault(context, int(error.code))
        except ChannelError as error:
            self.connection.fail(error.code, error.detail)
        except Exception as error:  # noqa: BLE001 -- no request may end the server
            _log_unexpected(request.name, error)
            self.send_fault(context, Codes.BadInternalError)

    # -- answers

    def send_response(self, context: RequestContext, response: Any) -> None:
        """Fill in the response header and send."""
        header = response.ResponseHeader
        header.RequestHandle = context.header.RequestHandle
        header.Timestamp = datetime.now(UTC)
        self.send_pieces(context, (struct_to_binary(response),))

    def send_pieces(self, context: RequestContext, body: Pieces) -> None:
        """Send a complete response body, given in pieces; a second answer to one request is dropped."""
        if context.answered or not self.connection.open:
            return
        data = self.channel.seal(body, context.request_id)
        if data is None:
            self.send_fault(context, Codes.BadResponseTooLarge)
            return
        context.answered = True
        self.connection.write(data)

    def send_fault(self, context: RequestContext, code: int) -> None:
        """Answer with a ServiceFault."""
        if context.answered or not self.connection.open:
            return
        counters = self.context.counters
        counters.rejected_requests += 1
        counters.security_rejected_requests += code in SECURITY_CODES
        response: Any = ua.ServiceFault()
        header = response.ResponseHeader
        header.ServiceResult = ua.StatusCode(ua.UInt32(code))
        header.RequestHandle = context.header.RequestHandle
        header.Timestamp = datetime.now(UTC)
        data = self.channel.seal((struct_to_binary(response),), context.request_id)
        context.answered = True
        if data is None:
            raise ChannelError(Codes.BadResponseTooLarge, f"not even {code_name(code)} fits the client's limits")
        self.connection.write(data)


def _log_unexpected(what: str, error: Exception) -> None:
    # Neither the message of the exception nor arguments: either could hold a secret of the client.
    log.error("OPC UA %s failed: %s\n%s", what, type(error).__name__, "".join(traceback.format_tb(error.__traceback__)))
