"""A client of raw OPC UA messages with a session on a channel without security, for programs that allow it."""

import contextlib
import itertools
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from asyncua import ua
from asyncua.crypto import uacrypto
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary
from cryptography import x509

from tests.program import PASSWORD, Program
from tests.unit.opcua.security_kit import Raw

CHUNK = 60_000
"""Bytes of a message in one chunk; the server takes 65,535 with header."""


class Line:
    """A connection with an open channel and a session; answers are told apart by their request ids."""

    def __init__(self, raw: Raw) -> None:
        self.raw, self.ended = raw, False
        self.answered: set[int] = set()
        self._ids = itertools.count(100)

    def send(self, body: bytes) -> int:
        """Send a message, in several chunks where it is long; its request id."""
        number = next(self._ids)
        parts = [body[at : at + CHUNK] for at in range(0, len(body), CHUNK)] or [b""]
        for at, part in enumerate(parts):
            final = b"F" if at == len(parts) - 1 else b"C"
            self.raw.send(self.raw.chunk(part, request_id=number, final=final))
        return number

    async def answer(self, number: int) -> Any:
        """The response to a request, the name of its fault, or "" where the connection ended instead."""
        parts = b""
        while not self.ended:
            message = await self.raw.message()
            if message is None or message[:3] == b"ERR":
                self.ended = True
                break
            request_id = int.from_bytes(message[20:24], "little")
            self.answered.add(request_id)
            parts += message[24:] if request_id == number else b""
            if request_id == number and message[3:4] == b"F":
                kind = ua.extension_objects_by_typeid[nodeid_from_binary(ua.utils.Buffer(parts))]
                response = struct_from_binary(kind, ua.utils.Buffer(parts))
                fault = isinstance(response, ua.ServiceFault)
                return response.ResponseHeader.ServiceResult.name if fault else response
        return ""

    async def call(self, request: Any) -> Any:
        """As `answer`, for a request that is sent now."""
        return await self.answer(self.send(self.raw.body(request)))

    async def log_in(self, user: str = "operator") -> None:
        """A session for the user."""
        self.raw.token = ua.NodeId()
        request = ua.CreateSessionRequest()
        request.Parameters.SessionName, request.Parameters.RequestedSessionTimeout = "line", 10_000
        created = await self.call(request)
        assert not isinstance(created, str), created
        result = created.Parameters
        self.raw.token = result.AuthenticationToken
        content = PASSWORD.encode() + result.ServerNonce
        public = x509.load_der_x509_certificate(result.ServerCertificate).public_key()
        token = ua.UserNameIdentityToken(
            "username_Basic256Sha256",
            user,
            uacrypto.encrypt_rsa_oaep(public, struct.pack("<I", len(content)) + content),
            "http://www.w3.org/2001/04/xmlenc#rsa-oaep",
        )
        activated = await self.call(
            ua.ActivateSessionRequest(Parameters=ua.ActivateSessionParameters(UserIdentityToken=token))
        )
        assert not isinstance(activated, str), activated


@asynccontextmanager
async def line_to(program: Program) -> AsyncIterator[Line]:
    """A line with a session; channels above the rate of the server wait their turn."""
    raw = await Raw.connect(program.ready["opcua"]["port"])
    try:
        await raw.hello()
        opened = await raw.open()
        assert not isinstance(opened, bytes | None), opened
        line = Line(raw)
        await line.log_in()
        yield line
    finally:
        Raw.live.remove(raw)
        raw.writer.close()
        with contextlib.suppress(OSError):
            await raw.writer.wait_closed()
