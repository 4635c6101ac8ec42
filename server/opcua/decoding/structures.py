"""Scans of structures, enumerations and unions, made from the decoder's own dataclasses."""

from __future__ import annotations

import functools
import typing
from dataclasses import fields, is_dataclass
from enum import Enum, IntFlag
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import get_safe_type_hints, resolve_uatype
from asyncua.ua.uatypes import type_from_list, type_from_optional, type_is_list, type_is_optional

from server.opcua.decoding.builtin_types import BYTES, FIXED, SPECIAL, TEXT, builtin, scan_node_id
from server.opcua.decoding.scan import Operation, Scan
from server.opcua.errors import ServiceFaultError
from server.opcua.limits import Limits

Codes = ua.StatusCodes

ENUMERATION_CODE: dict[str, int] = {
    "TimestampsToReturn": Codes.BadTimestampsToReturnInvalid,
    "MonitoringMode": Codes.BadMonitoringModeInvalid,
    "BrowseDirection": Codes.BadBrowseDirectionInvalid,
    "SecurityTokenRequestType": Codes.BadRequestTypeInvalid,
    "MessageSecurityMode": Codes.BadSecurityModeRejected,
}
"""Service parameters whose unknown enumeration value has a code of its own in OPC 10000-4; all others do not
decode."""


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


SPECIAL["ExtensionObject"] = scan_extension_object


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
    """Scan one structure of `data` from `position`.

    Returns:
        The finished scan, with `position` behind the structure and `price` of decoding it.

    Raises:
        ServiceFaultError: BadDecodingError, BadEncodingLimitsExceeded or the code of an unknown enumeration value.
    """
    scan = Scan(data, limits, position)
    structure(kind)(scan)
    return scan
