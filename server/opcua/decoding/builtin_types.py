"""Scans of the built-in types (OPC 10000-6, 5.1.2 and 5.2.2)."""

from __future__ import annotations

import functools

from asyncua import ua

from server.opcua.decoding.scan import Operation, Scan
from server.opcua.errors import ServiceFaultError

Codes = ua.StatusCodes

FIXED: dict[str, int] = {
    "Boolean": 1, "SByte": 1, "Byte": 1, "Char": 1, "Int16": 2, "UInt16": 2, "Int32": 4, "UInt32": 4, "Int64": 8,
    "UInt64": 8, "Float": 4, "Double": 8, "DateTime": 8, "UtcTime": 8, "Duration": 8, "Guid": 16, "StatusCode": 4,
}  # fmt: skip
"""Size in bytes of the built-in types that always take the same room."""
TEXT = frozenset({"String", "CharArray", "LocaleId", "NumericRange"})
BYTES = frozenset({"Bytes", "ByteString", "XmlElement", "ApplicationInstanceCertificate"})


VARIANT_TYPES: tuple[str, ...] = (
    "Null", "Boolean", "SByte", "Byte", "Int16", "UInt16", "Int32", "UInt32", "Int64", "UInt64", "Float", "Double",
    "String", "DateTime", "Guid", "ByteString", "XmlElement", "NodeId", "ExpandedNodeId", "StatusCode", "QualifiedName",
    "LocalizedText", "ExtensionObject", "DataValue", "Variant", "DiagnosticInfo",
)  # fmt: skip
"""Variant type number -> built-in type (OPC 10000-6, 5.1.2); 26 to 31 are read as ByteString."""
_VARIANT_BYTE_STRING = range(26, 32)
_MATRIX_ELEMENTS = 1_000_000
"""The decoder stores the dimensions of a matrix as nested lists; more elements than this it refuses itself."""


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
    "LocalizedText": scan_localized_text, "DataValue": scan_data_value, "Variant": scan_variant,
    "DiagnosticInfo": scan_diagnostic_info,
}  # fmt: skip
"""Types with a scan of their own; `structures` adds ExtensionObject, which may hold any structure."""


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
