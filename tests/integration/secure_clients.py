"""What the tests of the secure frame share: an open server's options, the modes, and how a connect fails."""

from __future__ import annotations

import asyncio
from typing import Any

from asyncua import ua
from asyncua.ua.uaerrors import UaError

from server.opcua.security.endpoints import SecurityOptions

OPEN = SecurityOptions(allow_none=True, allow_anonymous=True)
SIGN, ENCRYPT = ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt


async def refusal(client: Any) -> str:
    """Name of the code with which a connect fails, without trying again."""
    try:
        async with asyncio.timeout(10):
            await client.connect()
    except UaError as error:
        await client.disconnect_socket_only() if hasattr(
            client, "disconnect_socket_only"
        ) else client.disconnect_socket()
        code = getattr(error, "code", None)
        return ua.StatusCode(ua.UInt32(code)).name if code else type(error).__name__
    except ConnectionError:
        return "closed"
    await client.disconnect()
    return "connected"
