"""The gate that every request passes when its turn has come.

Token of an activated session on this very channel, deadline, decoding within limits, operation counts: in this order,
and only then the handler.
"""

from __future__ import annotations

from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer

from server.opcua.context import ServerContext
from server.opcua.errors import ServiceFaultError
from server.opcua.services.requests import Request, decode_parameters
from server.opcua.services.service_table import Service

Codes = ua.StatusCodes


async def call(server: ServerContext, request: Request) -> Any:
    """What the handler answers (see `Handler`).

    Raises:
        ServiceFaultError: refused on the way; besides, whatever the handler raises.
    """
    service, context = request.service, request.context
    if service is None:
        raise ServiceFaultError(Codes.BadServiceUnsupported, f"request type i={context.request_type}")
    token = context.header.AuthenticationToken
    session = server.sessions.authorise(token, context.connection) if service.session else None
    if not server.accepting and service.name != "CloseSession":
        raise ServiceFaultError(Codes.BadServerHalted, "server is stopping")
    if context.deadline_s is not None and server.clock() > context.deadline_s:
        raise ServiceFaultError(Codes.BadTimeout, "waited longer than TimeoutHint")
    if service.raw:
        return await service.handler(session, Buffer(request.body, request.position), context)
    params = await _decode(server, service, request)
    if service.operations is not None:
        count = service.operations(params)
        if count == 0:
            raise ServiceFaultError(Codes.BadNothingToDo, "empty list")
        if service.maximum is not None and count > getattr(server.limits, service.maximum):
            raise ServiceFaultError(Codes.BadTooManyOperations, f"{count} operations")
    return await service.handler(session, params, context)


async def _decode(server: ServerContext, service: Service, request: Request) -> Any:
    """Scan, then decode; what is expensive does both in the worker pool."""
    limits = server.limits
    try:
        if len(request.body) <= limits.decode_inline_price:
            decoded = decode_parameters(service, request, limits, False)
            if decoded is not None:
                return decoded
        return await server.in_pool(decode_parameters, service, request, limits, True)
    except ServiceFaultError:
        raise
    except Exception as error:
        raise ServiceFaultError(Codes.BadDecodingError, type(error).__name__) from error
