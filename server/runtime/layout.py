"""The bytes of a block: one header page, then slots that hold the same columns.

========== ======== ==========================================================================================
offset     type     meaning
========== ======== ==========================================================================================
0          8 bytes  `GBBLOCK1`
8, 12      u4, u4   version of this page (1), number of slots
16         u8       file size
24         16 bytes hash over version, columns and slots
40, 48, 56 u8       epoch, pid of the writer, bytes per slot
128        u8       head: number of the newest published slot content (slot = number mod slots)
192        u8       0 current; epoch of the successor; 2^64-1 stopped cleanly
4096 + k*s slot     u8 number (0 = in work), cycle, i8 monotonic ns, i8 UTC ns, time epoch, log number; columns
                    from +128, each on 64 bytes
========== ======== ==========================================================================================
"""

import hashlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

MAGIC = b"GBBLOCK1"
VERSION = 1
PAGE = 4096
SLOT_HEAD = 128
CACHE_LINE = 64
EPOCH_WORD, PID_WORD, STRIDE_WORD = 5, 6, 7
HEAD_WORD = 128 // 8  # alone in its cache line: every reader polls it
NEXT_WORD = 192 // 8
STOPPED = 2**64 - 1


class Views(NamedTuple):
    """Arrays over the bytes of one block; they keep the mapping alive."""

    words: NDArray[np.uint64]
    numbers: list[NDArray[np.uint64]]
    stamps: list[NDArray[np.int64]]
    slots: list[dict[str, NDArray[Any]]]


class Layout:
    """Columns `(name, dtype, length)` in the order of their bytes, repeated in `slots` slots.

    The hash over the columns is compared by both sides: a process refuses a block of another configuration. Raises
    ValueError for a column without a name, with a dtype of variable size, a negative length or a name used twice.
    """

    def __init__(self, columns: Sequence[tuple[str, str, int]], slots: int = 4) -> None:
        if slots < 2:
            raise ValueError(f"block layout: slots is {slots}, at least 2 (one is always in work)")
        self.slots = slots
        self.place: dict[str, tuple[int, np.dtype[Any], int]] = {}
        canonical: list[tuple[str, str, int]] = []
        at = SLOT_HEAD
        for name, dtype, length in columns:
            kind = np.dtype(dtype)
            if not name or name in self.place:
                raise ValueError(f"block layout: column name {name!r} is empty or used twice")
            if kind.kind not in "biuf":
                raise ValueError(f"block layout: column {name}: dtype {dtype!r} is not a number of fixed size")
            if length < 0:
                raise ValueError(f"block layout: column {name}: length {length} is negative")
            self.place[name] = (at, kind, length)
            canonical.append((name, kind.newbyteorder("<").str, length))
            at += -(-kind.itemsize * length // CACHE_LINE) * CACHE_LINE
        self.columns = tuple(canonical)
        self.stride = -(-at // PAGE) * PAGE
        self.size = PAGE + slots * self.stride
        self.hash = hashlib.sha256(repr((VERSION, self.columns, slots)).encode()).digest()[:16]

    def header(self, epoch: int, pid: int) -> bytes:
        """The first 64 bytes of a block file."""
        return (
            MAGIC
            + VERSION.to_bytes(4, "little")
            + self.slots.to_bytes(4, "little")
            + self.size.to_bytes(8, "little")
            + self.hash
            + epoch.to_bytes(8, "little")
            + pid.to_bytes(8, "little")
            + self.stride.to_bytes(8, "little")
        )

    def views(self, buffer: Any) -> Views:
        """Arrays over a buffer of `size` bytes (a mapping, bytes): writable when the buffer is."""
        words = np.frombuffer(buffer, np.uint64, PAGE // 8)
        numbers, stamps, slots = [], [], []
        for k in range(self.slots):
            at = PAGE + k * self.stride
            numbers.append(np.frombuffer(buffer, np.uint64, 1, at))
            stamps.append(np.frombuffer(buffer, np.int64, 5, at + 8))
            slots.append(
                {
                    name: np.frombuffer(buffer, kind, length, at + offset) if length else np.empty(0, kind)
                    for name, (offset, kind, length) in self.place.items()
                }
            )
        return Views(words, numbers, stamps, slots)
