"""The pre-scan reads what the decoder reads, and refuses what would hurt it."""

from __future__ import annotations

import struct
import tracemalloc
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from server.opcua.decoding import Scan, scan_structure, scan_variant, structure
from server.opcua.errors import ServiceFaultError, code_name
from server.opcua.limits import Limits

LIMITS = Limits()
# Types whose own encoding by the library its decoder cannot read back; they never occur in requests of our services.
UNREADABLE = {
    "DataSetWriterDataType", "LogRecord", "PublishedDataSetDataType", "StandaloneSubscribedDataSetDataType",
    "WriterGroupDataType", "DataSetReaderDataType", "ReaderGroupDataType", "PubSubConnectionDataType",
}  # fmt: skip


def refusal(kind: Any, data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(ServiceFaultError) as caught:
        scan_structure(kind, data, limits)
    return code_name(caught.value.code)


def variant(data: bytes, limits: Limits = LIMITS) -> str:
    scan = Scan(data, limits)
    try:
        scan_variant(scan)
    except ServiceFaultError as error:
        return code_name(error.code)
    return "Good" if scan.position == len(data) else "left over"


def encodable() -> list[Any]:
    found = []
    for kind in ua.extension_objects_by_typeid.values():
        if kind.__name__ not in UNREADABLE:
            try:
                found.append((kind, struct_to_binary(kind())))
            except Exception:  # noqa: BLE001 -- types that the library cannot encode empty say nothing here
                continue
    return found


def test_the_scan_ends_where_the_decoder_ends_for_every_type_that_the_library_knows() -> None:
    pairs = encodable()
    assert len(pairs) > 300
    for kind, data in pairs:
        assert scan_structure(kind, data, LIMITS).position == len(data), kind.__name__


def test_a_full_request_is_scanned_to_its_last_byte() -> None:
    params = ua.CreateMonitoredItemsParameters()
    for number in range(5):
        item = ua.MonitoredItemCreateRequest()
        item.ItemToMonitor.NodeId = ua.NodeId(f"ESS.ARR01.R00{number}", 3)
        item.RequestedParameters.Filter = ua.DataChangeFilter()
        params.ItemsToCreate.append(item)
    data = struct_to_binary(params)
    scan = scan_structure(ua.CreateMonitoredItemsParameters, data, LIMITS)
    assert scan.position == len(data)
    assert scan.elements == 5
    assert len(struct_from_binary(ua.CreateMonitoredItemsParameters, ua.utils.Buffer(data)).ItemsToCreate) == 5


def test_a_message_cut_anywhere_does_not_decode() -> None:
    params = ua.ReadParameters()
    params.NodesToRead = [ua.ReadValueId(NodeId=ua.NodeId("text", 1), AttributeId=13)]
    data = struct_to_binary(params)
    for end in range(len(data)):
        assert refusal(ua.ReadParameters, data[:end]) == "BadDecodingError"


def test_four_million_empty_variants_are_refused_without_making_one() -> None:
    data = b"\x98" + struct.pack("<i", 4_000_000) + bytes(4_000_000)
    tracemalloc.start()
    assert variant(data) == "BadEncodingLimitsExceeded"
    assert tracemalloc.get_traced_memory()[1] < 1_000_000
    tracemalloc.stop()


def test_many_arrays_together_count_like_one() -> None:
    inner = b"\x98" + struct.pack("<i", 50_000) + bytes(50_000)
    assert variant(b"\x98" + struct.pack("<i", 3) + inner * 3) == "BadEncodingLimitsExceeded"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"\x00", "Good"),
        (b"\x06" + bytes(4), "Good"),
        (b"\x86" + struct.pack("<i", -1), "Good"),
        (b"\x86" + struct.pack("<i", -2), "BadDecodingError"),
        (b"\x86" + struct.pack("<i", 2**31 - 1), "BadDecodingError"),
        (b"\x80" + struct.pack("<i", 4_000_000), "BadDecodingError"),
        (b"\x20", "BadDecodingError"),
        (b"\x18\x00", "BadDecodingError"),
        (b"\x0c" + struct.pack("<i", 2) + b"\xc3\xa4", "Good"),
        (b"\x0c" + struct.pack("<i", 2) + b"\xc3\x28", "BadDecodingError"),
        (b"\x0c" + struct.pack("<i", 3) + b"\xed\xa0\x80", "BadDecodingError"),
        (b"\x0c" + struct.pack("<i", 70_000) + b"a" * 70_000, "BadEncodingLimitsExceeded"),
        (b"\xc6" + struct.pack("<i6iiii", 6, *range(6), 2, 2, 3), "Good"),
        (b"\xc6" + struct.pack("<i6iiii", 6, *range(6), 2, 2, 4), "BadDecodingError"),
        (b"\xc6" + struct.pack("<i6iiii", 6, *range(6), 2, -2, -3), "BadDecodingError"),
        (b"\xc6" + struct.pack("<iiiii", 0, 3, 0, 2**31 - 1, 2**31 - 1), "Good"),
        (b"\x46" + bytes(4) + struct.pack("<ii", 1, 1), "BadDecodingError"),
        (b"\x16\x00\x00\x02", "BadDataEncodingUnsupported"),
        (b"\x16\x01\x00\xd5\x02\x01" + struct.pack("<i", -1), "BadDecodingError"),
    ],
)
def test_variants_are_judged_by_their_bytes(data: bytes, code: str) -> None:
    assert variant(data) == code


@pytest.mark.parametrize(
    ("depth", "code"), [(100, "Good"), (101, "BadEncodingLimitsExceeded"), (5_000, "BadEncodingLimitsExceeded")]
)
def test_variants_nest_a_hundred_deep_and_no_deeper(depth: int, code: str) -> None:
    nested = (b"\x98" + struct.pack("<i", 1)) * (depth - 1) + b"\x00"
    assert variant(nested) == code


def test_what_passes_the_nesting_limit_also_decodes() -> None:
    nested = (b"\x98" + struct.pack("<i", 1)) * 99 + b"\x00"
    assert ua.ua_binary.variant_from_binary(ua.utils.Buffer(nested)).is_array


def test_diagnostic_infos_do_not_nest() -> None:
    assert refusal(ua.DiagnosticInfo, b"\x40" * 5 + b"\x00") == "BadDecodingError"
    assert refusal(ua.DiagnosticInfo, b"\x40" * 5_000 + b"\x00") == "BadEncodingLimitsExceeded"


def test_extension_objects_of_known_types_are_scanned_inside() -> None:
    bad = ua.ExtensionObject(TypeId=ua.NodeId(724), Body=b"\xff" * 4)
    assert (
        refusal(ua.ExtensionObject, struct_to_binary(ua.ExtensionObject(TypeId=bad.TypeId, Body=bytes(200))))
        == "BadDecodingError"
    )
    opaque = struct_to_binary(ua.ExtensionObject(TypeId=ua.NodeId(999_999, 5), Body=bytes(200)))
    assert scan_structure(ua.ExtensionObject, opaque, LIMITS).position == len(opaque)


@pytest.mark.parametrize(
    ("kind", "build", "code"),
    [
        (ua.ReadParameters, lambda: struct.pack("<dii", 0.0, 9, -1), "BadTimestampsToReturnInvalid"),
        (ua.SetMonitoringModeParameters, lambda: struct.pack("<Iii", 1, 7, -1), "BadMonitoringModeInvalid"),
    ],
)
def test_an_unknown_enumeration_value_has_the_code_of_its_service(kind: Any, build: Any, code: str) -> None:
    assert refusal(kind, build()) == code


def test_a_price_above_the_limit_is_refused() -> None:
    data = struct.pack("<dii", 0.0, 0, 100) + bytes(100 * 16)
    assert refusal(ua.ReadParameters, data, Limits(decode_price=1_000)) == "BadEncodingLimitsExceeded"


def test_every_request_that_a_client_may_send_has_a_scan() -> None:
    for name in dir(ua):
        kind = getattr(ua, name)
        if name.endswith("Request") and "RequestHeader" in getattr(kind, "__dataclass_fields__", {}):
            data = struct_to_binary(kind())
            assert scan_structure(kind, data, LIMITS).position == len(data), name
            assert callable(structure(kind))
