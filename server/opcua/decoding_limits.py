"""Pre-scan of a request: walks the bytes as the decoder will, counts, and refuses before any object exists.

A 4 MB array of empty Variants costs the decoder seconds and hundreds of megabytes; nested Variants end in a recursion
error; invalid UTF-8 becomes text that no log can store. The scan is compiled from the same dataclasses from which the
decoder is made, so both read every byte alike (OPC 10000-6 5.1 and 5.2).
"""

from __future__ import annotations

import functools
import struct
import typing
from collections.abc import Callable
from dataclasses import fields, is_dataclass
from enum import Enum, IntFlag
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import get_safe_type_hints, resolve_uatype
from asyncua.ua.uatypes import type_from_list, type_from_optional, type_is_list, type_is_optional

from server.opcua.errors import ServiceFaultError
from server.opcua.limits import Limits

Codes = ua.StatusCodes
_INT32 = struct.Struct("<i")

# Size in bytes of the built-in types that always take the same room.
FIXED: dict[str, int] = {
    "Boolean": 1, "SByte": 1, "Byte": 1, "Char": 1, "Int16": 2, "UInt16": 2, "Int32": 4, "UInt32": 4, "Int64": 8,
    "UInt64": 8, "Float": 4, "Double": 8, "DateTime": 8, "UtcTime": 8, "Duration": 8, "Guid": 16, "StatusCode": 4,
}  # fmt: skip
TEXT = frozenset({"String", "CharArray", "LocaleId", "NumericRange"})
BYTES = frozenset({"Bytes", "ByteString", "XmlElement", "ApplicationInstanceCertificate"})

# Service parameters whose unknown enumeration value has a code of its own in OPC 10000-4; all others do not decode.
ENUMERATION_CODE: dict[str, int] = {
    "TimestampsToReturn": Codes.BadTimestampsToReturnInvalid,
    "MonitoringMode": Codes.BadMonitoringModeInvalid,
    "BrowseDirection": Codes.BadBrowseDirectionInvalid,
    "SecurityTokenRequestType": Codes.BadRequestTypeInvalid,
    "MessageSecurityMode": Codes.BadSecurityModeRejected,
}

# Variant type number -> built-in type (OPC 10000-6 5.1.2); 26 to 31 are read as ByteString.
VARIANT_TYPES: tuple[str, ...] = (
    "Null", "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double",
    "String", "DateTime", "Guid", "ByteString", "XmlElement", "NodeId", "ExpandedNodeId", "StatusCode", "QualifiedName",
    "LocalizedText", "ExtensionObject", "DataValue", "Variant", "DiagnosticInfo",
)  # fmt: skip
_VARIANT_BYTE_STRING = range(26, 32)
# The decoder stores the dimensions of a matrix as nested lists; more elements than this it refuses itself.
_MATRIX_ELEMENTS = 1_000_000


class Scan:
    """One pass over one message. ``position`` ends behind the last byte read."""

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
        """Pass over ``size`` bytes that need no check."""
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


def scan_text(scan: Scan) -> None:
    """String: bounded and strictly UTF-8."""
    size = scan.length(scan.limits.string_bytes)
    start = scan.position
    scan.position += size
    try:
        scan.data[start : start + size].decode("utf-8")
    except UnicodeDecodeError:
        raise ServiceFaultError(Codes.BadDecodingError, "text is not UTF-8") from None


def scan_bytes(scan: Scan) -> None:
    """ByteString: bounded."""
    scan.skip(scan.length(scan.limits.byte_string_bytes))


def scan_node_id(scan: Scan) -> None:
    """NodeId and ExpandedNodeId in all encodings."""
    encoding = scan.byte()
    kind = encoding & 0x3F
    if kind in (0, 1, 2):
        scan.skip((1, 3, 6)[kind])
    elif kind == 3:
        scan.skip(2)
        scan_text(scan)
    elif kind == 4:
        scan.skip(18)
    elif kind == 5:
        scan.skip(2)
        scan_bytes(scan)
    else:
        raise ServiceFaultError(Codes.BadDecodingError, f"NodeId encoding {encoding:#04x}")
    if encoding & 0x80:
        scan_text(scan)
    if encoding & 0x40:
        scan.skip(4)


def scan_extension_object(scan: Scan) -> None:
    """ExtensionObject; the body of a type that the decoder knows is scanned as that type."""
    scan.enter()
    start = scan.position
    scan_node_id(scan)
    encoding = scan.byte()
    if encoding not in (0, 1):
        raise ServiceFaultError(
            Codes.BadDataEncodingUnsupported if encoding == 2 else Codes.BadDecodingError,
            f"ExtensionObject encoding {encoding}",
        )
    # The decoder takes a body of length -1 for "the rest of the message": two readings of one message, refused.
    if encoding and scan.int32() == -1:
        raise ServiceFaultError(Codes.BadDecodingError, "ExtensionObject without body length")
    if encoding:
        scan.position -= 4
        size = scan.length(scan.limits.byte_string_bytes)
        end, body_end = scan.end, scan.position + size
        known = _known_type(scan.data, start)
        if known is not None:
            scan.end = body_end
            known(scan)
            scan.end = end
            # Bytes that the scan did not see must not reach the decoder.
            if scan.position != body_end:
                raise ServiceFaultError(Codes.BadDecodingError, "ExtensionObject body has another length than its type")
        scan.position = body_end
    elif _known_type(scan.data, start) is not None:
        raise ServiceFaultError(Codes.BadDecodingError, "ExtensionObject of a known type without body")
    scan.leave()


def _known_type(data: bytes, position: int) -> Operation | None:
    # Registered types have numeric ids or are looked up after decoding; only equal ids matter here.
    node_id = ua.ua_binary.nodeid_from_binary(ua.utils.Buffer(data, position))
    if node_id.Identifier == 0:
        return None
    known = ua.extension_objects_by_typeid.get(node_id)
    return None if known is None else structure(known)


def scan_variant(scan: Scan) -> None:
    """Variant: scalar, array or matrix of any built-in type."""
    scan.enter()
    encoding = scan.byte()
    kind = encoding & 0x3F
    if kind < len(VARIANT_TYPES):
        name = VARIANT_TYPES[kind]
    elif kind in _VARIANT_BYTE_STRING:
        name = "ByteString"
    else:
        raise ServiceFaultError(Codes.BadDecodingError, f"Variant type {kind}")
    count = None
    if encoding & 0x80:
        size = FIXED.get(name)
        if size is not None:
            count = scan.count(size)
            scan.skip(count * size)
        elif name == "Null":
            count = scan.int32()
            # Elements without any byte: the one array that costs the sender nothing.
            if count > 0:
                raise ServiceFaultError(Codes.BadDecodingError, "array of Null")
        else:
            operation = builtin(name)
            count = scan.count(1)
            for _ in range(count):
                operation(scan)
    elif name == "Variant":
        raise ServiceFaultError(Codes.BadDecodingError, "Variant directly inside a Variant")
    elif name != "Null":
        builtin(name)(scan)
    if encoding & 0x40:
        _scan_dimensions(scan, count)
    scan.leave()


def _scan_dimensions(scan: Scan, count: int | None) -> None:
    dimensions = scan.count(4)
    product = 1
    for _ in range(dimensions):
        size = scan.int32()
        if size < 0:
            raise ServiceFaultError(Codes.BadDecodingError, f"dimension {size}")
        product *= size
    if count is None or product != count or product > _MATRIX_ELEMENTS or dimensions > scan.limits.nesting:
        raise ServiceFaultError(Codes.BadDecodingError, "dimensions do not fit the array")


def scan_data_value(scan: Scan) -> None:
    """DataValue, in the order of the standard (value, status, times with their picoseconds)."""
    scan.enter()
    mask = scan.byte()
    if mask & 0xC0:
        raise ServiceFaultError(Codes.BadDecodingError, f"DataValue mask {mask:#04x}")
    if mask & 0x01:
        scan_variant(scan)
    scan.skip(
        4 * bool(mask & 0x02)
        + 8 * bool(mask & 0x04)
        + 8 * bool(mask & 0x08)
        + 2 * bool(mask & 0x10)
        + 2 * bool(mask & 0x20)
    )
    scan.leave()


def scan_diagnostic_info(scan: Scan) -> None:
    """DiagnosticInfo; refused when it is nested, since the decoder reads an inner one wrongly."""
    scan.diagnostics += 1
    if scan.diagnostics > scan.limits.diagnostic_nesting:
        raise ServiceFaultError(Codes.BadEncodingLimitsExceeded, "DiagnosticInfo nested too deep")
    mask = scan.byte()
    for bit in (0x01, 0x02, 0x04, 0x08):
        if mask & bit:
            scan.skip(4)
    if mask & 0x10:
        scan_text(scan)
    if mask & 0x20:
        scan.skip(4)
    if mask & 0x40:
        scan_diagnostic_info(scan)
        raise ServiceFaultError(Codes.BadDecodingError, "DiagnosticInfo inside a DiagnosticInfo")
    if mask & 0x80:
        raise ServiceFaultError(Codes.BadDecodingError, f"DiagnosticInfo mask {mask:#04x}")
    scan.diagnostics -= 1


def scan_localized_text(scan: Scan) -> None:
    """LocalizedText: mask, locale, text."""
    mask = scan.byte()
    if mask & ~0x03:
        raise ServiceFaultError(Codes.BadDecodingError, f"LocalizedText mask {mask:#04x}")
    for bit in (0x01, 0x02):
        if mask & bit:
            scan_text(scan)


def scan_qualified_name(scan: Scan) -> None:
    """QualifiedName: namespace index, name."""
    scan.skip(2)
    scan_text(scan)


SPECIAL: dict[str, Operation] = {
    "NodeId": scan_node_id, "ExpandedNodeId": scan_node_id, "QualifiedName": scan_qualified_name,
    "LocalizedText": scan_localized_text, "ExtensionObject": scan_extension_object, "DataValue": scan_data_value,
    "Variant": scan_variant, "DiagnosticInfo": scan_diagnostic_info,
}  # fmt: skip


@functools.cache
def builtin(name: str) -> Operation:
    """Operation for a built-in type by its name."""
    if name in FIXED:
        size = FIXED[name]
        return lambda scan: scan.skip(size)
    if name in TEXT:
        return scan_text
    if name in BYTES:
        return scan_bytes
    return SPECIAL[name]


def _enumeration(kind: type[Enum]) -> Operation:
    if issubclass(kind, IntFlag):
        datatype = getattr(kind, "datatype", None)
        return builtin(datatype() if datatype else "UInt32")
    allowed = frozenset(int(member.value) for member in kind)
    code = ENUMERATION_CODE.get(kind.__name__, Codes.BadDecodingError)

    def operation(scan: Scan) -> None:
        value = scan.int32()
        if value not in allowed:
            raise ServiceFaultError(code, f"{kind.__name__} = {value}")

    return operation


def _array(element: Any, owner: type) -> Operation:
    resolved: list[tuple[Operation, int, int | None]] = []

    def operation(scan: Scan) -> None:
        # Resolved at the first call: types may contain lists of themselves.
        if not resolved:
            size = fixed_size(element)
            resolved.append((_field(element, owner), size or 1, size))
        each, minimum, size = resolved[0]
        count = scan.count(minimum)
        if size is not None:
            scan.skip(count * size)
            return
        scan.enter()
        for _ in range(count):
            each(scan)
        scan.leave()

    return operation


def fixed_size(kind: Any) -> int | None:
    """Bytes of a type that always takes the same room and needs no check, else None."""
    kind, _ = resolve_uatype(kind)
    if not isinstance(kind, type) or issubclass(kind, Enum):
        return None
    if kind.__name__ in FIXED:
        return FIXED[kind.__name__]
    if kind.__name__ in SPECIAL or kind.__name__ in TEXT or kind.__name__ in BYTES or not is_dataclass(kind):
        return None
    hints = get_safe_type_hints(kind, {"ua": ua})
    sizes = [
        None if type_is_list(hints[item.name]) or type_is_optional(hints[item.name]) else fixed_size(hints[item.name])
        for item in fields(kind)
    ]
    return None if not sizes or None in sizes else sum(size for size in sizes if size is not None)


def _field(kind: Any, owner: type) -> Operation:
    if typing.get_origin(kind) not in (typing.Union, list, None) and not type_is_optional(kind):
        return scan_extension_object  # A field that allows subtypes travels as ExtensionObject.
    kind, _ = resolve_uatype(kind)
    if type_is_list(kind):
        return _array(type_from_list(kind), owner)
    name = kind.__name__
    if name in FIXED or name in TEXT or name in BYTES or name in SPECIAL:
        return builtin(name)
    if issubclass(kind, Enum):
        return _enumeration(kind)

    def later(scan: Scan) -> None:
        # Resolved when it is used, since a structure may contain itself.
        structure(kind)(scan)

    return later


@functools.cache
def structure(kind: Any) -> Operation:
    """Operation for a structure, enumeration or built-in class of the decoder."""
    if kind.__name__ in SPECIAL or kind.__name__ in FIXED:
        return builtin(kind.__name__)
    if issubclass(kind, Enum):
        return _enumeration(kind)
    if issubclass(kind, ua.UaUnion):
        return _union(kind)
    hints = get_safe_type_hints(kind, {"ua": ua})
    steps: list[tuple[int, Operation]] = []
    bits = 0
    mask_size = 0
    for item in fields(kind):
        hint = hints[item.name]
        bit = 0
        if type_is_optional(hint):
            bit = 1 << bits
            bits += 1
            hint = type_from_optional(hint)
        if item.name == "Encoding":
            # Read where it stands, as the decoder does; in most structures that is first.
            mask_size = FIXED[resolve_uatype(hint)[0].__name__]
            steps.append((-1, builtin("Byte")))
            continue
        steps.append((bit, _field(hint, kind)))

    def operation(scan: Scan) -> None:
        mask = 0
        scan.enter()
        for bit, step in steps:
            if bit < 0:
                start = scan.position
                scan.skip(mask_size)
                mask = int.from_bytes(scan.data[start : start + mask_size], "little")
            elif not bit or mask & bit:
                step(scan)
        scan.leave()

    return operation


def _union(kind: type) -> Operation:
    members = [_field(member, kind) for member in getattr(kind, "_union_types")]  # noqa: B009

    def operation(scan: Scan) -> None:
        scan.enter()
        chosen = scan.int32()
        if 0 < chosen <= len(members):
            members[chosen - 1](scan)
        scan.leave()

    return operation


def scan_structure(kind: type, data: bytes, limits: Limits, position: int = 0) -> Scan:
    """Scan one structure of ``data`` from ``position``.

    Returns:
        The finished scan, with ``position`` behind the structure and ``price`` of decoding it.

    Raises:
        ServiceFaultError: BadDecodingError, BadEncodingLimitsExceeded or the code of an unknown enumeration value.
    """
    scan = Scan(data, limits, position)
    structure(kind)(scan)
    return scan
