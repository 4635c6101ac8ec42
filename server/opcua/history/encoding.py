"""HistoryData in numpy: many samples of one point as encoded DataValues (OPC 10000-6, 5.2.2.17; OPC 10000-11, 6.6.2)."""

import struct

import numpy as np
from numpy.typing import NDArray

from information_model.quality import BAD
from server.opcua import wire
from server.opcua.wire import Pieces
from server.store.chunk import Samples

HISTORY_DATA = 658


def data_values(built_in: int, samples: Samples, shape: tuple[int, ...] = ()) -> Pieces:
    """Array of DataValues with source times. Bad samples carry no value; Good ones no status.

    `shape` is the shape of one value where it is a matrix (then samples.value is [n, width]).
    """
    if shape:
        return _matrices(built_in, samples, shape)
    kind = wire.WIRE_TYPE[built_in]
    n, status = len(samples.time), samples.status
    ticks = wire.ticks_array(samples.time)
    values = np.nan_to_num(samples.value) if built_in not in wire.FLOATS else samples.value
    if not status.any():
        good = np.empty(n, np.dtype([("m", "u1"), ("t", "u1"), ("v", kind), ("src", "<i8")]))
        good["m"], good["t"], good["v"], good["src"] = 5, built_in, values, ticks
        return n.to_bytes(4, "little"), good.view("u1").data
    # Full records first, then the fields that are absent are cut out: the order of time stays.
    row = np.empty(n, np.dtype([("m", "u1"), ("t", "u1"), ("v", kind), ("s", "<u4"), ("src", "<i8")]))
    bad, has_status = status >= BAD, status != 0
    row["m"] = 4 | ~bad | has_status.astype("u1") << 1
    row["t"], row["v"], row["s"], row["src"] = built_in, np.where(bad, 0, values), status, ticks
    width = np.dtype(kind).itemsize
    flat = row.view("u1").reshape(n, row.dtype.itemsize)
    keep = np.ones(flat.shape, bool)
    keep[:, 1 : 2 + width] = ~bad[:, None]
    keep[:, 2 + width : 6 + width] = has_status[:, None]
    return n.to_bytes(4, "little"), flat[keep].data


def _matrices(built_in: int, samples: Samples, shape: tuple[int, ...]) -> Pieces:
    rows = []
    for value, status, time in zip(samples.value, samples.status, samples.time, strict=True):
        variant = b"" if status >= BAD else wire.matrix(built_in, _cast(built_in, value).reshape(shape))
        rows.append(wire.data_value(variant, int(status), wire.ticks(int(time))))
    return len(rows).to_bytes(4, "little"), *rows


def _cast(built_in: int, value: NDArray[np.float64]) -> NDArray[np.float64]:
    return value if built_in in wire.FLOATS else np.nan_to_num(value)


def history_data(values: Pieces) -> Pieces:
    """HistoryData as an ExtensionObject around an encoded array."""
    return (wire.numeric_node_id(HISTORY_DATA) + b"\x01" + struct.pack("<i", sum(map(len, values))), *values)
