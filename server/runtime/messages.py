"""Messages of the link between a face and the core: 4 bytes big-endian length, then JSON."""

import itertools
import os
from typing import Any, Literal, TypeVar

import msgspec

VERSION = 1
MAX_MESSAGE = 64 * 1024
PREFIX = 4
MAX_ID = 200

M = TypeVar("M", "Request", "Answer")


class Request(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a face asks of the core. `id` is unique per face process (`new_id`); asked twice it is done once.

    `expires_s` 0 means that what is set does not expire. `test` and `interlock_check` are those of IEC 61850 controls.
    """

    id: str
    kind: Literal["command", "acknowledge", "setting", "health", "audit", "note"]
    target: str
    command: str = ""
    arguments: dict[str, Any] = {}
    user: str = ""
    roles: list[str] = []
    origin: str = "remote"
    face: str = ""
    peer: str = ""
    test: bool = False
    interlock_check: bool = True
    expires_s: float = 0.0
    version: int = VERSION


class Answer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What became of a request. `sequence` is its number in the event log, `durable` whether that is on disk."""

    id: str
    result: Literal["accepted", "refused", "error"]
    reason: str = ""
    message: str = ""
    permissives: list[str] = []
    sequence: int = 0
    durable: bool = True
    version: int = VERSION


class MalformedError(ValueError):
    """Bytes that are no message of this version."""


_encoder = msgspec.json.Encoder()
_requests = msgspec.json.Decoder(Request)
_answers = msgspec.json.Decoder(Answer)
_numbers = itertools.count(1)


def new_id(face: str) -> str:
    """An id that no other process and no later request of this one uses."""
    return f"{face}-{os.getpid()}-{next(_numbers)}-{os.urandom(4).hex()}"


def frame(message: Request | Answer) -> bytes:
    """Length and JSON. MalformedError above 64 kB."""
    body = _encoder.encode(message)
    if len(body) > MAX_MESSAGE:
        raise MalformedError(f"link message of {len(body)} bytes, at most {MAX_MESSAGE}")
    return len(body).to_bytes(PREFIX, "big") + body


def split(buffer: bytearray) -> list[bytes]:
    """Take the whole messages off the front of a buffer. MalformedError for a length of 0 or above 64 kB."""
    bodies = []
    at = 0
    while len(buffer) - at >= PREFIX:
        length = int.from_bytes(buffer[at : at + PREFIX], "big")
        if not 0 < length <= MAX_MESSAGE:
            raise MalformedError(f"link message of {length} bytes, allowed 1 to {MAX_MESSAGE}")
        if len(buffer) - at - PREFIX < length:
            break
        bodies.append(bytes(buffer[at + PREFIX : at + PREFIX + length]))
        at += PREFIX + length
    del buffer[:at]
    return bodies


def decode_request(body: bytes) -> Request:
    """MalformedError for anything but a request of this version."""
    request = _decode(_requests, body)
    if not request.id or len(request.id) > MAX_ID:
        raise MalformedError(f"request id of {len(request.id)} characters, allowed 1 to {MAX_ID}")
    return request


def decode_answer(body: bytes) -> Answer:
    """MalformedError for anything but an answer of this version."""
    return _decode(_answers, body)


def _decode(decoder: msgspec.json.Decoder[M], body: bytes) -> M:
    try:
        message = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise MalformedError(f"link message: {error}") from None
    if message.version != VERSION:
        raise MalformedError(f"link message of version {message.version}, this program speaks version {VERSION}")
    return message
