"""Errors that the frame of the OPC UA server turns into answers on the wire."""

from __future__ import annotations

from asyncua import ua


def code_name(code: int) -> str:
    """Name of a StatusCode as the standard writes it, without underscores."""
    return str(ua.StatusCode(ua.UInt32(code)).name).replace("_", "")


class ServiceFaultError(Exception):
    """The whole service call is refused: answered as ServiceFault with `code` (OPC 10000-4, 7.35).

    `detail` is for our own log and never travels to the client.
    """

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{code_name(code)}: {detail}" if detail else code_name(code))
        self.code = int(code)
        self.detail = detail


class ChannelError(Exception):
    """The connection is beyond repair: answered by one ERR message with `code`, then closed (OPC 10000-6, 7.1.5)."""

    def __init__(self, code: int, detail: str = "") -> None:
        super().__init__(f"{code_name(code)}: {detail}" if detail else code_name(code))
        self.code = int(code)
        self.detail = detail
