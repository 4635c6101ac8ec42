"""One well-formed request of every OPC UA service, and what a hostile client makes of its bytes."""

import random
import struct
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

RACK = "ESS.ARR01.R001"
_VOLTAGE, _CELLS = (ua.NodeId(f"{RACK}.{path}", 3) for path in ("Measurements.DcVoltage", "CellData.CellVoltages"))
_THEN, _NOW = datetime(2025, 1, 1, tzinfo=UTC), datetime(2035, 1, 1, tzinfo=UTC)
MARKER = b"--a value--"
_MARKED = b"\x0f" + struct.pack("<i", len(MARKER)) + MARKER
LENGTHS = (0x7FFF_FFFF, 0xFFFF_FFFF, 0xFFFF_FFFE, 0x8000_0000, 0x00FF_FFFF, 100_001, 65_536, 0)
"""Lengths that a decoder must not believe."""


def _i4(*numbers: int) -> bytes:
    return struct.pack(f"<{len(numbers)}I", *numbers)


def _extension(length: int, body: bytes = b"") -> bytes:
    """Array of one ExtensionObject of type Argument (i=298) whose body claims to have `length` bytes."""
    return b"\x96" + _i4(1) + b"\x01\x00" + struct.pack("<H", 298) + b"\x01" + _i4(length) + body


BOMBS: dict[str, bytes] = {
    "Variants in Variants": (b"\x98" + _i4(1)) * 150 + b"\x00",
    "DataValues in DataValues": b"\x17\x01" * 150 + b"\x00",
    "diagnostics in diagnostics": b"\x19" + b"\x40" * 500 + b"\x00",
    "an array of two thousand million": b"\x8b" + _i4(0x7FFF_FFFF),
    "an array of a negative length": b"\x8b" + _i4(0x8000_0000),
    "more elements than a message may have": b"\x98" + _i4(200_000) + bytes(200_000),
    "dimensions whose product wraps": b"\xcb" + _i4(1) + bytes(8) + _i4(3, 65_536, 65_536, 1),
    "negative dimensions": b"\xcb" + _i4(1) + bytes(8) + _i4(2, 0xFFFF_FFFF, 0xFFFF_FFFF),
    "a text that is longer than the message": b"\x0c" + _i4(0x00FF_FFFF),
    "a text that is no text": b"\x0c" + _i4(4) + b"\xff\xfe\xc0\x80",
    "a NodeId of an unknown form": b"\x11\x3f" + bytes(8),
    "a type that does not exist": b"\x3f" + bytes(8),
    **{f"an ExtensionObject of {length:#x} bytes": _extension(length) for length in LENGTHS},
    "an ExtensionObject that is shorter than its type": _extension(4, bytes(4)),
    "an ExtensionObject that is longer than its type": _extension(60, bytes(60)),
}
"""Encoded Variants, none of which may be taken."""


def _path(*names: tuple[str, int]) -> ua.RelativePath:
    return ua.RelativePath(
        [ua.RelativePathElement(ua.NodeId(33), False, True, ua.QualifiedName(name, number)) for name, number in names]
    )


def _monitored(handle: int, given: Any) -> ua.MonitoringParameters:
    return ua.MonitoringParameters(ua.UInt32(handle), 100.0, given, ua.UInt32(5), True)


def _event_filter() -> ua.EventFilter:
    operand = ua.SimpleAttributeOperand(ua.NodeId(2041), [ua.QualifiedName("Severity", 0)], ua.AttributeIds.Value)
    element = ua.ContentFilterElement(
        ua.FilterOperator.GreaterThan, [operand, ua.LiteralOperand(ua.Variant(500, ua.VariantType.UInt16))]
    )
    return ua.EventFilter([operand], ua.ContentFilter([element]))


def _values() -> list[ua.Variant]:
    kinds = ua.VariantType
    return [
        ua.Variant(MARKER, kinds.ByteString),
        ua.Variant(1.5, kinds.Float),
        ua.Variant(["a", None, "b"], kinds.String),
        ua.Variant([[1.0, 2.0], [3.0, 4.0]], kinds.Double, Dimensions=[2, 2]),
        ua.Variant([ua.Variant(1, kinds.Int32), ua.Variant("x", kinds.String)], kinds.Variant),
        ua.Variant(ua.DataValue(ua.Variant(True, kinds.Boolean)), kinds.DataValue),
        ua.Variant([ua.Range(0.0, 1.0)], kinds.ExtensionObject),
        ua.Variant(ua.LocalizedText("text", "en"), kinds.LocalizedText),
    ]


def requests(subscription: int = 1) -> list[Any]:
    """A request of every service that this server has, each with what its type can hold."""
    rack, control = ua.NodeId(RACK, 3), ua.NodeId(f"{RACK}.Control.SetAuthority", 3)
    one = ua.UInt32(1)
    application = ua.ApplicationDescription(ApplicationUri="urn:noise", ApplicationName=ua.LocalizedText("noise", "en"))
    token = ua.UserNameIdentityToken(PolicyId="username_noise", UserName="noise", Password=bytes(256))
    items = [
        ua.MonitoredItemCreateRequest(
            ua.ReadValueId(node, ua.AttributeIds.Value, index_range), ua.MonitoringMode.Reporting, _monitored(at, given)
        )
        for at, (node, index_range, given) in enumerate(
            (
                (_VOLTAGE, None, ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, one, 0.5)),
                (_CELLS, "0:1,0:3", None),
                (ua.NodeId(2253), None, _event_filter()),
            )
        )
    ]
    raw = ua.ReadRawModifiedDetails(IsReadModified=False, StartTime=_THEN, EndTime=_NOW, NumValuesPerNode=5)
    update = ua.UpdateDataDetails(NodeId=_VOLTAGE, UpdateValues=[ua.DataValue(value) for value in _values()[1:3]])
    found: dict[Any, Any] = {
        ua.GetEndpointsRequest: ua.GetEndpointsParameters("opc.tcp://localhost:4840", ["en"], ["http://none"]),
        ua.FindServersRequest: ua.FindServersParameters("opc.tcp://localhost:4840", ["en"], ["urn:none"]),
        ua.CreateSessionRequest: ua.CreateSessionParameters(
            application, None, "opc.tcp://localhost:4840", "noise", bytes(32), None, 10_000.0
        ),
        ua.ActivateSessionRequest: ua.ActivateSessionParameters(LocaleIds=["en", "de"], UserIdentityToken=token),
        ua.CancelRequest: ua.CancelParameters(7),
        ua.BrowseRequest: ua.BrowseParameters(
            ua.ViewDescription(Timestamp=_THEN),
            ua.UInt32(3),
            [
                ua.BrowseDescription(node, ua.BrowseDirection.Both, ua.NodeId(33), True, 0, 63)
                for node in (rack, _CELLS)
            ],
        ),
        ua.BrowseNextRequest: ua.BrowseNextParameters(False, [bytes(16), b""]),
        ua.TranslateBrowsePathsToNodeIdsRequest: ua.TranslateBrowsePathsToNodeIdsParameters(
            [ua.BrowsePath(ua.NodeId(85), _path(("ESS", 3), ("Measurements", 2), ("StateOfCharge", 2)))]
        ),
        ua.RegisterNodesRequest: ua.RegisterNodesParameters([rack, _CELLS]),
        ua.UnregisterNodesRequest: ua.UnregisterNodesParameters([rack, _CELLS]),
        ua.ReadRequest: ua.ReadParameters(
            0.0,
            ua.TimestampsToReturn.Both,
            [
                ua.ReadValueId(_VOLTAGE, ua.AttributeIds.Value),
                ua.ReadValueId(_CELLS, ua.AttributeIds.Value, "0:1,0", ua.QualifiedName("Default Binary", 0)),
                ua.ReadValueId(ua.NodeId(2256), ua.AttributeIds.Value),
            ],
        ),
        ua.WriteRequest: ua.WriteParameters(
            [ua.WriteValue(_VOLTAGE, ua.AttributeIds.Value, None, ua.DataValue(value)) for value in _values()]
        ),
        ua.HistoryReadRequest: ua.HistoryReadParameters(
            raw,
            ua.TimestampsToReturn.Source,
            False,
            [ua.HistoryReadValueId(_VOLTAGE), ua.HistoryReadValueId(_CELLS, "0,0")],
        ),
        ua.HistoryUpdateRequest: ua.HistoryUpdateParameters([update]),
        ua.CallRequest: ua.CallParameters(
            [
                ua.CallMethodRequest(rack, control, _values()),
                ua.CallMethodRequest(ua.NodeId(2253), ua.NodeId(11492), []),
            ]
        ),
        ua.CreateSubscriptionRequest: ua.CreateSubscriptionParameters(100.0, ua.UInt32(60), ua.UInt32(20)),
        ua.ModifySubscriptionRequest: ua.ModifySubscriptionParameters(
            subscription, 200.0, ua.UInt32(60), ua.UInt32(20)
        ),
        ua.SetPublishingModeRequest: ua.SetPublishingModeParameters(True, [subscription, 9]),
        ua.PublishRequest: ua.PublishParameters([ua.SubscriptionAcknowledgement(subscription, one)]),
        ua.RepublishRequest: ua.RepublishParameters(subscription, one),
        ua.TransferSubscriptionsRequest: ua.TransferSubscriptionsParameters([subscription, 9], True),
        ua.CreateMonitoredItemsRequest: ua.CreateMonitoredItemsParameters(
            subscription, ua.TimestampsToReturn.Both, items
        ),
        ua.ModifyMonitoredItemsRequest: ua.ModifyMonitoredItemsParameters(
            subscription, ua.TimestampsToReturn.Both, [ua.MonitoredItemModifyRequest(1, _monitored(3, None))]
        ),
        ua.SetMonitoringModeRequest: ua.SetMonitoringModeParameters(subscription, ua.MonitoringMode.Sampling, [1, 2]),
        ua.SetTriggeringRequest: ua.SetTriggeringParameters(subscription, 1, [2, 3], [2]),
        ua.DeleteMonitoredItemsRequest: ua.DeleteMonitoredItemsParameters(subscription, [3]),
        ua.DeleteSubscriptionsRequest: ua.DeleteSubscriptionsParameters([subscription, 9]),
    }
    return [
        *(kind(Parameters=given) for kind, given in found.items()),
        ua.CloseSessionRequest(DeleteSubscriptions=True),
    ]


def with_value(encoded: bytes, variant: bytes) -> bytes:
    """An encoded request in which `variant` stands instead of the first of its values."""
    assert _MARKED in encoded
    return encoded.replace(_MARKED, variant, 1)


# -- mutations: (bytes, first byte that may change, chance) -> bytes


def _flip_bits(data: bytearray, start: int, chance: random.Random) -> bytes:
    for _ in range(chance.randint(1, 8)):
        data[chance.randrange(start, len(data))] ^= 1 << chance.randrange(8)
    return bytes(data)


def _cut(data: bytearray, start: int, chance: random.Random) -> bytes:
    return bytes(data[: chance.randrange(start, len(data))])


def _claim_length(data: bytearray, start: int, chance: random.Random) -> bytes:
    at = chance.randrange(start, max(start + 1, len(data) - 3))
    data[at : at + 4] = _i4(chance.choice(LENGTHS))
    return bytes(data)


def _repeat_part(data: bytearray, start: int, chance: random.Random) -> bytes:
    begin = chance.randrange(start, len(data))
    part = data[begin : begin + chance.randint(1, 64)]
    return bytes(data[:begin] + part * chance.randint(2, 50) + data[begin:])


def _randomise(data: bytearray, start: int, chance: random.Random) -> bytes:
    return bytes(data[:start] + chance.randbytes(chance.randint(1, 2 * (len(data) - start) + 1)))


def _append(data: bytearray, start: int, chance: random.Random) -> bytes:
    return bytes(data + chance.randbytes(chance.randint(1, 100)))


MUTATIONS: tuple[Callable[[bytearray, int, random.Random], bytes], ...] = (
    _flip_bits, _cut, _claim_length, _repeat_part, _randomise, _append,
)  # fmt: skip


def mutated(data: bytes, start: int, chance: random.Random) -> bytes:
    """The bytes with one kind of damage from `start` on."""
    if start >= len(data):
        return data + chance.randbytes(4)
    return chance.choice(MUTATIONS)(bytearray(data), start, chance)
