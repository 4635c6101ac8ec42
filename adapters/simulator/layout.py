"""What the simulated rack says and hears on its bus: the numbers that its database, its frames and its ears share.

29-bit identifiers `0x18F00000 | message << 8 | node`, little-endian signals, frames of 8 bytes. The layout is frozen;
`adapters/maps/gridbms_rack.dbc` is the same in the form that other tools read.
"""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from information_model.enumerations import Desired

EXTENDED = 0x8000_0000
REMOTE = 0x4000_0000
ERROR = 0x2000_0000
"""Flags in the upper bits of an id, as in struct can_frame of Linux (linux/can.h)."""

BASE_ID = 0x18F0_0000
NODES = 256
PERIOD_S = 0.1
"""Electrical values, state and command."""
ROUND_TICKS = 10
"""After so many periods every cell, every probe and the thermal values have been sent once: 1 s."""

PER_PAGE = 3
PAGES = 256
INVALID_VOLTAGE = 0xFFFF
INVALID_TEMPERATURE = 0x7FFF

RACK_VOLT, CELL_VOLT, AMPERE, DEGREE = 0.05, 1e-4, 0.1, 0.1
"""Value of one bit: rack and bus voltage, cell voltage, currents and limits, temperatures."""


class Message(IntEnum):
    """Messages of a rack; the number stands in the identifier and is the data id of the check sum."""

    ELECTRICAL = 0x01
    STATE = 0x02
    CELL_VOLTAGES = 0x03
    CELL_TEMPERATURES = 0x04
    THERMAL = 0x05
    COMMAND = 0x10


class RequestWord(IntEnum):
    """Request word of the command, as on the wire; 3 does not exist and makes the frame invalid."""

    NONE = 0
    OPEN = 1
    CLOSE = 2


WORD_OF_DESIRED = {
    Desired.NOTHING: RequestWord.NONE,
    Desired.OPEN: RequestWord.OPEN,
    Desired.CLOSED: RequestWord.CLOSE,
}
"""The wire has codes of its own: what the program desires, and the word that says so."""


class Supervision(IntEnum):
    """What the rack thinks of who commands it."""

    NEVER_COMMANDED = 0
    COMMANDED = 1
    ZERO_CURRENT = 2
    OPENED = 3


ELECTRICAL = np.dtype(
    [("dc", "<u2"), ("bus", "<u2"), ("current", "<i2"), ("counter", "u1"), ("crc", "u1")],
)
STATE = np.dtype(
    [("positions", "<u2"), ("reason", "u1"), ("reset", "u1"), ("spare", "<u2"), ("counter", "u1"), ("crc", "u1")],
)
THERMAL = np.dtype([("ambient", "<i2"), ("inlet", "<i2"), ("outlet", "<i2"), ("spare", "<u2")])
COMMAND = np.dtype(
    [("desired", "u1"), ("charge", "<u2"), ("discharge", "<u2"), ("reset", "u1"), ("alive", "u1"), ("crc", "u1")],
)
"""Bytes of the frames. `positions`: state 0-3, positive 4-5, negative 6-7, precharge 8-9, interlock 10, fuse 11, short
circuit 12; `reason`: failure 0-3, supervision 4-5."""


def frame_id(message: Message, node: int) -> int:
    """Identifier with the flag EXTENDED."""
    return EXTENDED | BASE_ID | message << 8 | node


def _crc_table() -> NDArray[np.uint8]:
    register = np.arange(256)
    for _ in range(8):
        register = np.where(register & 0x80, (register << 1) ^ 0x1D, register << 1) & 0xFF
    return register.astype(np.uint8)


_CRC = _crc_table()


def check_sums(message: Message, frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """CRC-8 SAE J1850 over the data id and the first seven bytes of the rows of u1[N, 8]."""
    register = np.full(len(frames), _CRC[0xFF ^ int(message)], np.uint8)
    for column in range(7):
        register = _CRC[register ^ frames[:, column]]
    return register ^ np.uint8(0xFF)
