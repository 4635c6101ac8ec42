"""Coding of one column: numbers in time order -> few bytes, and back.

Values are kept as whole multiples of their storage step, counters bit by bit. What is left is differenced in time, made
unsigned, split into byte planes and deflated: planes of small differences are mostly zero.
"""

import struct
import zlib
from enum import IntEnum
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

NOT_A_NUMBER = np.int64(-(2**62))
"""Code of NaN among the multiples of a step."""
LEVEL = 6
REGULAR_BYTES = 64
"""A column of no more bytes holds differences that hardly vary."""
_HEAD = struct.Struct("<BBBxI")


class Coding(IntEnum):
    """How the numbers of a column are coded."""

    CONSTANT = 0
    DIFFERENCE = 1


class DamagedColumnError(ValueError):
    """The bytes are no column of this version."""


def encode_integers(values: NDArray[np.int64]) -> bytes:
    """Whole numbers [n] or [n, width] -> bytes. Differences run along the first axis."""
    flat = values.reshape(len(values), -1)
    width = flat.shape[1] if len(values) else 1
    if len(flat) and (flat == flat[0]).all():
        return _HEAD.pack(Coding.CONSTANT, 8, 0, width) + _pack(flat[:1])
    differences = np.diff(flat, axis=0, prepend=flat[:1])
    differences[0] = 0
    return _HEAD.pack(Coding.DIFFERENCE, 8, 0, width) + _framed(_pack(flat[:1])) + _pack(differences)


def _framed(data: bytes) -> bytes:
    return len(data).to_bytes(4, "little") + data


def _pack(values: NDArray[np.int64]) -> bytes:
    """Zigzag, narrowest width, byte planes, deflate."""
    zigzag = ((values << 1) ^ (values >> 63)).view(np.uint64)
    highest = int(zigzag.max()) if zigzag.size else 0
    width = next(size for size in (1, 2, 4, 8) if highest < 1 << 8 * size)
    narrow = zigzag.astype(f"<u{width}").reshape(-1)
    planes = narrow.view(np.uint8).reshape(-1, width).T if width > 1 else narrow.view(np.uint8)
    return bytes((width,)) + zlib.compress(np.ascontiguousarray(planes).tobytes(), LEVEL)


def _inflate(data: bytes, count: int) -> tuple[int, bytes]:
    """Width of a number and the byte planes of `count` numbers."""
    if not data:
        raise DamagedColumnError("no data")
    width = data[0]
    if width not in (1, 2, 4, 8):
        raise DamagedColumnError(f"width {width}")
    try:
        raw = zlib.decompress(data[1:], bufsize=max(1, count * width))
    except zlib.error as error:
        raise DamagedColumnError(str(error)) from None
    if len(raw) != count * width:
        raise DamagedColumnError(f"{len(raw)} bytes, expected {count * width}")
    return width, raw


def _unpack_one(data: bytes) -> int:
    """As `_unpack` for a single number, without the cost of an array."""
    zigzag = int.from_bytes(_inflate(data, 1)[1], "little")
    return (zigzag >> 1) ^ -(zigzag & 1)


def _unpack(data: bytes, count: int) -> NDArray[np.int64]:
    width, raw = _inflate(data, count)
    planes = np.frombuffer(raw, np.uint8)
    if width > 1:
        planes = np.ascontiguousarray(planes.reshape(width, count).T)
    zigzag = planes.reshape(-1).view(f"<u{width}").astype(np.uint64)
    return (zigzag >> np.uint64(1)).view(np.int64) ^ -(zigzag & np.uint64(1)).view(np.int64)


def _sums(data: bytes, count: int) -> NDArray[np.int64]:
    """Differences, added up."""
    return np.cumsum(_unpack(data, count))


@lru_cache(maxsize=64)
def _regular_sums(data: bytes, count: int) -> NDArray[np.int64]:
    """As `_sums`: chunk after chunk has the same few bytes where something is sampled regularly."""
    found = _sums(data, count)
    found.flags.writeable = False
    return found


def decode_integers(data: bytes, count: int) -> NDArray[np.int64]:
    """The inverse: [count] for a width of 1, else [count, width]."""
    try:
        coding, _, _, width = _HEAD.unpack_from(data)
    except struct.error as error:
        raise DamagedColumnError(str(error)) from None
    body = data[_HEAD.size :]
    if not 1 <= width <= 1_000_000:
        raise DamagedColumnError(f"width {width}")
    if coding == Coding.CONSTANT:
        values = np.repeat(_unpack(body, width).reshape(1, width), count, axis=0)
    elif coding == Coding.DIFFERENCE:
        length = int.from_bytes(body[:4], "little")
        if width == 1:
            differences = body[4 + length :]
            sums = _regular_sums if len(differences) <= REGULAR_BYTES else _sums
            return sums(differences, count) + np.int64(_unpack_one(body[4 : 4 + length]))
        first = _unpack(body[4 : 4 + length], width).reshape(1, width)
        values = first + np.cumsum(_unpack(body[4 + length :], count * width).reshape(count, width), axis=0)
    else:
        raise DamagedColumnError(f"coding {coding}")
    return values[:, 0] if width == 1 else values


def to_integers(values: NDArray[np.floating], step: float) -> NDArray[np.int64]:
    """Numbers as multiples of `step`; step 0: the bits of the f8, which come back exactly."""
    exact = np.ascontiguousarray(values, np.float64)
    if step == 0:
        return exact.view(np.int64)
    with np.errstate(invalid="ignore"):
        scaled = np.rint(exact / step)
    lost = ~np.isfinite(scaled) | (np.abs(scaled) >= 2**61)
    return np.where(lost, NOT_A_NUMBER, np.where(lost, 0, scaled).astype(np.int64))


def to_numbers(codes: NDArray[np.int64], step: float) -> NDArray[np.float64]:
    """The inverse of `to_integers`."""
    if step == 0:
        return np.ascontiguousarray(codes).view(np.float64)
    # A step such as 0.001 is no binary fraction: dividing by its inverse gives the number that a person expects.
    inverse = round(1 / step) if step < 1 else 0
    exact = inverse and abs(inverse * step - 1) < 1e-9
    numbers = np.asarray(codes / inverse if exact else codes * step, np.float64)
    lost = codes == NOT_A_NUMBER
    if lost.any():
        numbers[lost] = np.nan
    return numbers


def as_stored(values: NDArray[np.floating], step: float) -> NDArray[np.float64]:
    """What a chunk gives back for these values: a tail is read so too, or a value would change when its span ends."""
    return to_numbers(to_integers(values, step), step)
