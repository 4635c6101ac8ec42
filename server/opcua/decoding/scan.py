"""One pass over one message: where it stands, what it has counted, what it may still cost."""

from __future__ import annotations

import struct
from collections.abc import Callable

from asyncua import ua

from server.opcua.errors import ServiceFaultError
from server.opcua.limits import Limits

Codes = ua.StatusCodes
_INT32 = struct.Struct("<i")


class Scan:
    """One pass over one message. `position` ends behind the last byte read."""

    __slots__ = ("data", "diagnostics", "elements", "end", "limits", "nesting", "position")

    def __init__(self, data: bytes, limits: Limits, position: int = 0) -> None:
        self.data = data
        self.position = position
        self.end = len(data)
        self.limits = limits
        self.elements = 0
        self.nesting = 0
        self.diagnostics = 0

    @property
    def price(self) -> int:
        """What decoding will cost, in bytes plus a surcharge per element."""
        return self.position + self.elements * self.limits.element_price

    def skip(self, size: int) -> None:
        """Pass over `size` bytes that need no check."""
        self.position += size
        if self.position > self.end:
            raise _cut()

    def byte(self) -> int:
        """Read one byte."""
        if self.position >= self.end:
            raise _cut()
        value = self.data[self.position]
        self.position += 1
        return value

    def int32(self) -> int:
        """Read one Int32."""
        if self.position + 4 > self.end:
            raise _cut()
        value: int = _INT32.unpack_from(self.data, self.position)[0]
        self.position += 4
        return value

    def length(self, maximum: int) -> int:
        """Read a length; -1 (null) counts as 0, other negative ones do not decode."""
        value = self.int32()
        if value < -1:
            raise ServiceFaultError(Codes.BadDecodingError, f"length {value}")
        if value > self.end - self.position:
            raise _cut()
        if value > maximum:
            raise ServiceFaultError(Codes.BadEncodingLimitsExceeded, f"length {value}, at most {maximum}")
        return max(value, 0)

    def count(self, minimum_element_bytes: int) -> int:
        """Read an array length and charge for its elements."""
        value = self.int32()
        if value < -1:
            raise ServiceFaultError(Codes.BadDecodingError, f"array length {value}")
        value = max(value, 0)
        if value * minimum_element_bytes > self.end - self.position:
            raise _cut()
        self.elements += value
        if value > self.limits.array_length or self.elements > self.limits.elements_per_message:
            raise ServiceFaultError(Codes.BadEncodingLimitsExceeded, f"{value} array elements, {self.elements} in all")
        if self.price > self.limits.decode_price:
            raise ServiceFaultError(Codes.BadEncodingLimitsExceeded, f"decoding price {self.price}")
        return value

    def enter(self) -> None:
        """One level deeper in Variant, DataValue or ExtensionObject."""
        self.nesting += 1
        if self.nesting > self.limits.nesting:
            raise ServiceFaultError(Codes.BadEncodingLimitsExceeded, f"nested deeper than {self.limits.nesting}")

    def leave(self) -> None:
        """Back up one level."""
        self.nesting -= 1


Operation = Callable[[Scan], None]


def _cut() -> ServiceFaultError:
    return ServiceFaultError(Codes.BadDecodingError, "message ends in the middle of a field")
