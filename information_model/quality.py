"""The one quality table: what the program knows about a value, and what each face says about it.

`Quality` travels in the input and output blocks; the image holds the OPC UA StatusCode. The IEC 61850 quality is the
bit pattern of libiec61850 (IEC 61850-7-3, Quality; validity in the two lowest bits: 0 good, 2 invalid, 3 questionable).
"""

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Quality(IntEnum):
    """Why a value may be trusted or not. The first cause that is found for a value wins."""

    GOOD = 0
    WAITING = 1
    STALE = 2
    INVALID = 3
    RANGE = 4
    E2E = 5
    SUBSTITUTED = 6
    NO_COMMUNICATION = 7
    LAST_USABLE = 8
    SUSPECT = 9
    INCONSISTENT = 10
    OUT_OF_SERVICE = 11
    RATE = 12
    FROZEN = 13


class QualityRow(NamedTuple):
    """One line of the table: the OPC UA StatusCode (OPC 10000-4, 7.39) and the IEC 61850 quality bits."""

    quality: Quality
    status: int
    iec61850: int
    meaning: str


_INVALID, _QUESTIONABLE = 2, 3
_OUT_OF_RANGE, _FAILURE, _OLD_DATA, _INCONSISTENT, _INACCURATE, _SUBSTITUTED = 8, 64, 128, 256, 512, 1024

TABLE: tuple[QualityRow, ...] = (
    QualityRow(Quality.GOOD, 0x0000_0000, 0, "fresh and plausible"),
    QualityRow(Quality.WAITING, 0x8032_0000, _INVALID | _FAILURE, "no value since the start"),
    QualityRow(Quality.STALE, 0x8031_0000, _INVALID | _OLD_DATA, "older than its age limit"),
    QualityRow(Quality.INVALID, 0x808C_0000, _INVALID | _FAILURE, "the device marks the value as not available"),
    QualityRow(Quality.RANGE, 0x803C_0000, _INVALID | _OUT_OF_RANGE, "outside the physical range"),
    QualityRow(Quality.E2E, 0x8005_0000, _INVALID | _FAILURE, "check sum or alive counter of the message is wrong"),
    QualityRow(Quality.SUBSTITUTED, 0x0096_0000, _SUBSTITUTED, "set by an operator"),
    QualityRow(Quality.NO_COMMUNICATION, 0x8031_0000, _INVALID | _OLD_DATA, "device or field process does not answer"),
    QualityRow(Quality.LAST_USABLE, 0x4090_0000, _QUESTIONABLE | _OLD_DATA, "older than two periods"),
    QualityRow(Quality.SUSPECT, 0x4094_0000, _QUESTIONABLE | _OUT_OF_RANGE, "outside the usual range"),
    QualityRow(Quality.INCONSISTENT, 0x4095_0000, _QUESTIONABLE | _INCONSISTENT, "contradicts another measurement"),
    QualityRow(Quality.OUT_OF_SERVICE, 0x808D_0000, _INVALID, "the element is out of service"),
    QualityRow(Quality.RATE, 0x4093_0000, _QUESTIONABLE | _INACCURATE, "changed faster than is physically possible"),
    QualityRow(Quality.FROZEN, 0x808C_0000, _INVALID | _FAILURE, "has not moved although it must have"),
)

STATUS: NDArray[np.uint32] = np.array([row.status for row in TABLE], np.uint32)
"""StatusCode by quality: `STATUS[quality]` works on arrays."""

BAD = 0x8000_0000
"""The lowest StatusCode whose two severity bits say Bad (OPC 10000-4, 7.39.1)."""
GOOD, WAITING = int(STATUS[Quality.GOOD]), int(STATUS[Quality.WAITING])
BAD_STALE, BAD_NO_COMMUNICATION = int(STATUS[Quality.STALE]), int(STATUS[Quality.NO_COMMUNICATION])
UNCERTAIN_LAST_USABLE = int(STATUS[Quality.LAST_USABLE])

_IEC_BY_STATUS = {row.status: row.iec61850 for row in reversed(TABLE)}


def is_bad(status: NDArray[np.uint32]) -> NDArray[np.bool_]:
    """True where a StatusCode is Bad."""
    return np.asarray(status >= BAD)


def severity(status: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """0 Good, 1 Uncertain, 2 Bad; what the standard reserves is Bad."""
    return np.asarray(np.minimum(status >> 30, 2), np.uint32)


def iec61850_quality(status: int) -> int:
    """IEC 61850 quality of a StatusCode of the table; an unknown one is invalid (fail closed)."""
    return _IEC_BY_STATUS.get(status, _INVALID | _FAILURE)
