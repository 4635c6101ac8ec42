"""A request between its chunks and its handler: header first, parameters when its turn has come."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary

from server.opcua.decoding import Scan, scan_node_id, scan_structure, structure
from server.opcua.errors import ChannelError, ServiceFaultError
from server.opcua.limits import Limits
from server.opcua.services.service_table import RequestContext, Service
from server.opcua.session import TOKEN_BYTES


@dataclass
class Request:
    """A request that waits; `position` in `body` is behind type id and request header."""

    context: RequestContext
    service: Service | None
    body: bytes
    position: int

    @property
    def name(self) -> str:
        """Name of the service, or the type id where there is none."""
        return self.service.name if self.service else f"request type i={self.context.request_type}"


_USUAL_TYPE = struct.Struct("<HHBHi")
_USUAL_REST = struct.Struct("<qIIiI3s")
_FOUR_BYTES, _BYTE_STRING = 1, 5


def _usual_header(body: bytes) -> tuple[int, ua.RequestHeader, int] | None:
    """The form in which nearly every request comes: a type of namespace 0, a token of ours, no audit entry and no
    additional header. None for any other: a Publish request is read in a fifth of the time so.

    Timestamp and ReturnDiagnostics are dropped, because nobody reads them: the header that is returned has neither.
    """
    end = _USUAL_TYPE.size + TOKEN_BYTES + _USUAL_REST.size
    if len(body) < end:
        return None
    form, number, kind, namespace, length = _USUAL_TYPE.unpack_from(body)
    if (form, kind, namespace, length) != (_FOUR_BYTES, _BYTE_STRING, 0, TOKEN_BYTES):
        return None
    token = body[_USUAL_TYPE.size : _USUAL_TYPE.size + TOKEN_BYTES]
    _, handle, _, audit, hint, additional = _USUAL_REST.unpack_from(body, _USUAL_TYPE.size + TOKEN_BYTES)
    if audit != -1 or additional != bytes(3):
        return None
    header = ua.RequestHeader(
        AuthenticationToken=ua.NodeId(ua.ByteString(token), ua.Int16(0), ua.NodeIdType.ByteString),
        RequestHandle=ua.UInt32(handle),
        TimeoutHint=ua.UInt32(hint),
    )
    return number, header, end


def read_header(body: bytes, limits: Limits) -> tuple[int, ua.RequestHeader, int]:
    """Number of the request type (0: none of namespace 0), request header, position of the parameters.

    Raises:
        ChannelError: a header that does not decode has no handle to answer to.
    """
    found = _usual_header(body)
    if found is not None:
        return found
    try:
        scan = Scan(body, limits)
        scan_node_id(scan)
        header_at = scan.position
        structure(ua.RequestHeader)(scan)
        type_id = nodeid_from_binary(Buffer(body))
        header = struct_from_binary(ua.RequestHeader, Buffer(body, header_at))
    except ServiceFaultError as error:
        raise ChannelError(error.code, f"request header: {error.detail}") from error
    except Exception as error:
        raise ChannelError(ua.StatusCodes.BadDecodingError, f"request header: {type(error).__name__}") from error
    number = type_id.Identifier if type_id.NamespaceIndex == 0 and isinstance(type_id.Identifier, int) else 0
    return number, header, scan.position


def decode_parameters(service: Service, request: Request, limits: Limits, expensive: bool) -> Any:
    """Decoded parameters; None when decoding is too expensive here and `expensive` is False."""
    if service.parameters_class is not None:
        scan = scan_structure(service.parameters_class, request.body, limits, request.position)
        if not expensive and scan.price > limits.decode_inline_price:
            return None
        return struct_from_binary(service.parameters_class, Buffer(request.body, request.position))
    # Requests whose parameters stand in the request itself, such as CloseSession.
    scan = Scan(request.body, limits)
    structure(service.request_class)(scan)
    return struct_from_binary(service.request_class, Buffer(request.body))
