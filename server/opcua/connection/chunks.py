"""Chunks as they stand on the wire: headers, padding, cutting a message into bodies (OPC 10000-6, 6.7.2, 7.1.2)."""

import struct
from collections.abc import Iterator, Sequence

from server.opcua.wire import Piece

HEADER = struct.Struct("<3scI")
"""Message type, chunk type, size."""
CHUNK_HEADER = struct.Struct("<3scII")
"""The same with the id of the secure channel."""
TOKEN = struct.Struct("<I")
SEQUENCE = struct.Struct("<II")
"""Sequence number and request id."""


def cut(pieces: Sequence[Piece], size: int) -> Iterator[list[Piece]]:
    """Parts of `size` bytes, the last one shorter, without a copy; one empty part where there is nothing."""
    part: list[Piece] = []
    room = size
    for piece in pieces:
        rest = memoryview(piece)
        while len(rest) > room:
            yield [*part, rest[:room]]
            rest, part, room = rest[room:], [], size
        part.append(rest)
        room -= len(rest)
    yield part


def strip_padding(plain: bytes, two_bytes: bool) -> bytes:
    """Remove padding and its size field, checking that every padding byte says the same (OPC 10000-6, 6.7.2.5)."""
    if len(plain) < 2:
        raise ValueError("no padding")
    size = plain[-2] | plain[-1] << 8 if two_bytes else plain[-1]
    total = size + (2 if two_bytes else 1)
    if total > len(plain) - 8:
        raise ValueError("padding is longer than the message")
    field = plain[-total : len(plain) - (1 if two_bytes else 0)]
    if field.count(size & 0xFF) != len(field):
        raise ValueError("padding bytes differ")
    return plain[:-total]


def error_message(code: int, reason: str = "") -> bytes:
    """ERR message of the connection protocol (OPC 10000-6, 7.1.2.5); the reason is a name, never a detail."""
    text = reason.encode()[:100]
    body = struct.pack("<Ii", code, len(text)) + text
    return HEADER.pack(b"ERR", b"F", 8 + len(body)) + body
