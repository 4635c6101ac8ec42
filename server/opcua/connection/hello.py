"""The first exchange of a connection: Hello and Acknowledge (OPC 10000-6, 7.1.2.3, 7.1.2.4)."""

import struct
from typing import NamedTuple

from asyncua import ua

from server.opcua.errors import ChannelError
from server.opcua.limits import Limits

Codes = ua.StatusCodes
_HELLO = struct.Struct("<IIIIIi")


class Hello(NamedTuple):
    """What a client can take: sizes of chunks that it receives and sends, of a response, and its chunks (0: any)."""

    receive_bytes: int
    send_bytes: int
    message_bytes: int
    chunks: int


def parse_hello(chunk: bytes, limits: Limits) -> Hello:
    """A Hello chunk. A newer protocol version is accepted: the answer says which one is spoken.

    Raises:
        ChannelError: BadDecodingError, BadTcpEndpointUrlInvalid, BadConnectionRejected.
    """
    if len(chunk) < 8 + _HELLO.size:
        raise ChannelError(Codes.BadDecodingError, "Hello is cut off")
    _, receive, send, message_bytes, chunks, url_size = _HELLO.unpack_from(chunk, 8)
    url = chunk[8 + _HELLO.size :]
    if url_size > limits.endpoint_url_bytes or url_size < -1 or max(url_size, 0) != len(url):
        raise ChannelError(Codes.BadTcpEndpointUrlInvalid, f"endpoint URL of {url_size} bytes")
    try:
        url.decode("utf-8")
    except UnicodeDecodeError:
        raise ChannelError(Codes.BadTcpEndpointUrlInvalid, "endpoint URL is not UTF-8") from None
    if min(receive, send) < limits.minimum_chunk_bytes:
        raise ChannelError(
            Codes.BadConnectionRejected,
            f"buffers of {receive} and {send} bytes, at least {limits.minimum_chunk_bytes}",
        )
    return Hello(receive, send, message_bytes, chunks)


def acknowledge(receive_bytes: int, send_bytes: int, limits: Limits) -> bytes:
    """The answer: protocol version 0, our chunk sizes, the largest request."""
    body = struct.pack("<IIIII", 0, receive_bytes, send_bytes, limits.message_bytes, limits.chunks)
    return struct.pack("<4sI", b"ACKF", 8 + len(body)) + body
