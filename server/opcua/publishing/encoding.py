"""Notifications and Publish messages as bytes, written and read by hand (OPC 10000-4, 5.14 and 7.21; OPC 10000-6, 5.2).

A scalar notification has a fixed size per data type, so thousands of them are one structured numpy array whose memory
is the message. Messages are tuples of pieces: nothing is put together before the bytes go out.
"""

import functools
import struct
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from asyncua import ua

from information_model.quality import BAD
from server.opcua import wire
from server.opcua.errors import ServiceFaultError
from server.opcua.publishing.columns import Array
from server.opcua.wire import Pieces

OVERFLOW = 0x480
"""InfoType DataValue (0x400) with the Overflow bit (0x80) (OPC 10000-4, 7.39.1)."""
LARGEST_ITEM_BYTES = 34
"""Handle, mask, type, eight bytes of value, status, two times."""

_DATA_CHANGE, _STATUS_CHANGE = b"\x01\x00\x2b\x03\x01", b"\x01\x00\x34\x03\x01"
_Ids = ua.ObjectIds
_WHOLE = slice(None)
_BOUNDS = {
    kind: (float(np.iinfo(name).min), min(float(np.iinfo(name).max), np.nextafter(float(np.iinfo(name).max), 0))
           if np.iinfo(name).bits == 64 else float(np.iinfo(name).max))
    for kind, name in wire.WIRE_TYPE.items() if kind not in (wire.BOOLEAN, *wire.FLOATS)
}  # fmt: skip
"""Bounds of the integer types as doubles that are surely inside."""


@functools.cache
def record(built_in: int, value: bool, status: bool, source_time: bool, server_time: bool) -> tuple[np.dtype[Any], int]:
    """Layout of one MonitoredItemNotification of a scalar, and the encoding mask of its DataValue."""
    fields = [("handle", "<u4"), ("mask", "u1")]
    if value:
        fields += [("type", "u1"), ("value", wire.WIRE_TYPE[built_in])]
    if status:
        fields.append(("status", "<u4"))
    if source_time:
        fields.append(("source_time", "<i8"))
    if server_time:
        fields.append(("server_time", "<i8"))
    return np.dtype(fields), value | status << 1 | source_time << 2 | server_time << 3


def as_type(built_in: int, values: Array) -> Array:
    """Numbers of the image (f8) in the form in which the type travels; what does not fit takes the nearest value."""
    if built_in == wire.DOUBLE:
        return values
    if built_in == wire.FLOAT:
        with np.errstate(over="ignore", invalid="ignore"):
            return np.asarray(values, "<f4")
    if built_in == wire.BOOLEAN:
        return np.asarray(values != 0, "u1")
    low, high = _BOUNDS[built_in]
    return np.asarray(np.clip(np.nan_to_num(values, posinf=high, neginf=low), low, high), wire.WIRE_TYPE[built_in])


def scalars(
    built_in: int, handle: Array, value: Array, status: Array, source_times: Array | None, server_times: Array | None
) -> bytes:
    """MonitoredItemNotifications of scalars of one type, all arrays [items].

    Good ones carry no status, Bad ones no value; a source time of 0 is not known and left out. `source_times`
    and `server_times` are ticks, None where the client does not want them.
    """
    if source_times is not None and not source_times.all():
        known = source_times != 0
        return b"".join(
            scalars(
                built_in,
                handle[part],
                value[part],
                status[part],
                source_times[part] if part is known else None,
                None if server_times is None else server_times[part],
            )
            for part in (known, ~known)
            if part.any()
        )
    parts, number = [], len(handle)
    good, bad = status == 0, status >= BAD
    for chosen, has_value, has_status in ((good, True, False), (~(good | bad), True, True), (bad, False, True)):
        count = int(np.count_nonzero(chosen))
        if not count:
            continue
        rows: Any = _WHOLE if count == number else chosen
        layout, mask = record(built_in, has_value, has_status, source_times is not None, server_times is not None)
        out = np.empty(count, layout)
        out["handle"], out["mask"] = handle[rows], mask
        if has_value:
            out["type"], out["value"] = built_in, as_type(built_in, value[rows])
        if has_status:
            out["status"] = status[rows]
        if source_times is not None:
            out["source_time"] = source_times[rows]
        if server_times is not None:
            out["server_time"] = server_times[rows]
        parts.append(out.tobytes())
        if count == number:
            break
    return b"".join(parts)


def data_change(count: int, items: Pieces) -> Pieces:
    """ExtensionObject of a DataChangeNotification with `count` encoded items."""
    length = 4 + sum(map(len, items)) + len(wire.NULL_STRING)
    return (_DATA_CHANGE + struct.pack("<II", length, count), *items, wire.NULL_STRING)


def status_change(code: int) -> Pieces:
    """ExtensionObject of a StatusChangeNotification."""
    return (_STATUS_CHANGE + struct.pack("<iIB", 5, code, 0),)


def message(sequence: int, publish_ticks: int, notification: Pieces = ()) -> Pieces:
    """NotificationMessage with one notification; a keep-alive has none."""
    return (struct.pack("<Iqi", sequence, publish_ticks, bool(notification)), *notification)


def publish_response(
    handle: int, subscription: int, available: Sequence[int], more: bool, body: Pieces, results: Sequence[int]
) -> Pieces:
    """PublishResponse around a NotificationMessage; `results` are the statuses of the acknowledgements."""
    head = wire.response_head(_Ids.PublishResponse_Encoding_DefaultBinary, handle)
    return (
        head + struct.pack(f"<Ii{len(available)}I?", subscription, len(available), *available, more),
        *body,
        struct.pack(f"<i{len(results)}Ii", len(results), *results, -1),
    )


def republish_response(handle: int, body: Pieces) -> bytes:
    """RepublishResponse around the stored NotificationMessage."""
    return b"".join((wire.response_head(_Ids.RepublishResponse_Encoding_DefaultBinary, handle), *body))


def acknowledgements(data: bytes, maximum: int) -> list[tuple[int, int]]:
    """(subscription, sequence number) of each acknowledgement in the parameters of a PublishRequest.

    Raises:
        ServiceFaultError: BadDecodingError, BadTooManyOperations.
    """
    count = int.from_bytes(data[:4], "little", signed=True) if len(data) >= 4 else -2
    if count < -1 or max(count, 0) * 8 != len(data) - 4:
        raise ServiceFaultError(
            ua.StatusCodes.BadDecodingError, f"{count} acknowledgements announced in {len(data)} bytes"
        )
    if count > maximum:
        raise ServiceFaultError(ua.StatusCodes.BadTooManyOperations, f"{count} acknowledgements, at most {maximum}")
    return list(struct.iter_unpack("<II", data[4:]))


def statuses(codes: Iterable[int]) -> list[ua.StatusCode]:
    """Codes as the response objects want them."""
    return [ua.StatusCode(ua.UInt32(code)) for code in codes]
