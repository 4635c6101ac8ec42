"""HistoryData written in numpy decodes to the same values, statuses and times, whatever their mixture."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import unpack_uatype_array, variant_from_binary

from server.opcua.history.encoding import HISTORY_DATA, data_values, history_data
from server.opcua.wire import Pieces
from server.store.chunk import Samples

TIME_NS = 1_700_000_000_000_000_000
STATUS = [0, 0x8031_0000, 0x4094_0000, 0x809D_0000, 0]
VALUES = {1: [1, 0, 1, 0, 1], 3: [0, 255, 7, 8, 9], 5: [0, 65535, 1, 2, 3], 6: [-5, 4, 3, 2, 2**31 - 1],
          7: [0, 2**32 - 1, 1, 2, 3], 10: [0.5, -1.5, 2.0, 3.0, 4.0], 11: [0.1, -1e300, 2.0, 3.0, 1 / 3]}  # fmt: skip


def samples(values, status) -> Samples:
    count = len(status)
    time = TIME_NS + np.arange(count) * 1_234_567_800
    return Samples(time, np.array(values, np.float64), np.array(status, np.uint32))


whole = b"".join


def decoded(data: Pieces) -> list[ua.DataValue]:
    buffer = Buffer(whole(data))
    found = unpack_uatype_array(ua.VariantType.DataValue, buffer)
    assert len(buffer) == 0
    return found


@pytest.mark.parametrize("built_in", VALUES)
@pytest.mark.parametrize("status", [STATUS, [0] * 5, [0x8031_0000] * 5, [0x4094_0000] * 5])
def test_every_type_and_mixture_of_statuses_decodes(built_in, status) -> None:
    given = samples(VALUES[built_in], status)
    found = decoded(data_values(built_in, given))
    assert len(found) == 5
    for i, value in enumerate(found):
        assert (value.StatusCode.value if value.StatusCode else 0) == status[i]
        since = value.SourceTimestamp.replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)
        assert since // timedelta(microseconds=1) == given.time[i] // 1000
        assert value.ServerTimestamp is None
        if status[i] >= 0x8000_0000:
            assert value.Value is None or value.Value.Value is None
        else:
            assert value.Value.VariantType.value == built_in
            assert value.Value.Value == VALUES[built_in][i]


@pytest.mark.parametrize("built_in", [6, 10, 11])
def test_a_value_that_is_no_number_travels_as_nan_or_zero(built_in) -> None:
    (value,) = decoded(data_values(built_in, samples([np.nan], [0x4094_0000])))
    number = value.Value.Value
    assert number == 0 if built_in == 6 else np.isnan(number)


def test_no_samples_are_an_empty_array() -> None:
    assert whole(data_values(11, samples([], []))) == bytes(4)
    assert whole(data_values(11, samples(np.zeros((0, 6)), []), (2, 3))) == bytes(4)


def test_matrices_keep_shape_status_and_time() -> None:
    given = samples(np.arange(18.0).reshape(3, 6), [0, 0x8031_0000, 0x4094_0000])
    first, second, third = decoded(data_values(10, given, (2, 3)))
    assert (first.Value.Value, first.Value.Dimensions) == ([[0, 1, 2], [3, 4, 5]], [2, 3])
    assert second.Value is None or second.Value.Value is None
    assert second.StatusCode.value == 0x8031_0000
    assert third.StatusCode.value == 0x4094_0000
    assert third.Value.Value == [[12, 13, 14], [15, 16, 17]]


def test_history_data_is_an_extension_object_that_asyncua_knows() -> None:
    body = whole(history_data(data_values(11, samples(VALUES[11], STATUS))))
    data = Buffer(b"\x16" + body)
    variant = variant_from_binary(data)
    assert isinstance(variant.Value, ua.HistoryData)
    assert len(variant.Value.DataValues) == 5
    assert ua.ObjectIds.HistoryData_Encoding_DefaultBinary == HISTORY_DATA
