"""Frames in bulk: the columns that readers produce and the pipeline consumes."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

EXTENDED = 0x8000_0000
REMOTE = 0x4000_0000
ERROR = 0x2000_0000
"""Flags in the upper bits of an id, as in struct can_frame of Linux (linux/can.h)."""

STANDARD_IDS = 0x800
EXTENDED_IDS = 0x2000_0000


class Frames(NamedTuple):
    """N frames, in the order of reception."""

    ids: NDArray[np.uint32]
    """u4[N]: identifier with the flags EXTENDED, REMOTE, ERROR."""
    data: NDArray[np.uint8]
    """u1[N, W]: payload; W is at least 8, more only where CAN FD frames are expected."""
    length: NDArray[np.uint8]
    """u1[N]: bytes that were received."""
    mono_ns: NDArray[np.int64]
    """i8[N]: monotonic time of reception (in a capture: its own time)."""

    def part(self, first: int, end: int) -> "Frames":
        """Frames first to end - 1, not copied."""
        span = slice(first, end)
        return Frames(self.ids[span], self.data[span], self.length[span], self.mono_ns[span])


def pack_frames(ids: list[int], payloads: list[bytes], mono_ns: list[int], width: int = 8) -> Frames:
    """Lists of equal length as columns; payloads are padded with zeros, or cut, to `width` bytes."""
    joined = b"".join(payload[:width].ljust(width, b"\0") for payload in payloads)
    return Frames(
        np.array(ids, np.uint32),
        np.frombuffer(joined, np.uint8).reshape(-1, width),
        np.array([min(len(payload), width) for payload in payloads], np.uint8),
        np.array(mono_ns, np.int64),
    )
