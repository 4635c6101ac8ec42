"""End-to-end protection: CRC-8 and alive counters of many frames at once.

A counter is judged by its modular distance to the frame before: 0 is a repeated frame, up to half of the range is an
advance (more than one means that frames were lost), beyond half is an old frame. Repeated and old frames are refused.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adapters.can.database import BoundMessage
from information_model.device_map import Crc


def reflect(byte: int) -> int:
    """The byte with its bits in reverse order."""
    return int(f"{byte:08b}"[::-1], 2)


@cache
def crc_table(poly: int, *, reflected: bool) -> NDArray[np.uint8]:
    """u1[256]: what one byte does to the register of a CRC-8."""
    register = np.arange(256)
    step = reflect(poly) if reflected else poly
    for _ in range(8):
        if reflected:
            register = np.where(register & 1, (register >> 1) ^ step, register >> 1)
        else:
            register = np.where(register & 0x80, (register << 1) ^ step, register << 1) & 0xFF
    return register.astype(np.uint8)


def crc8(crc: Crc, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """CRC-8 of the rows of u1[N, >= crc.over]; `crc.byte` is not looked at."""
    table = crc_table(crc.poly, reflected=crc.reflected)
    register = np.full(len(data), reflect(crc.init) if crc.reflected else crc.init, np.uint8)
    if crc.data_id is not None:
        register = table[register ^ np.uint8(crc.data_id)]
    for column in crc.covered:
        register = table[register ^ data[:, column]]
    for _ in range(crc.zeros):
        register = table[register]
    return register ^ np.uint8(crc.xorout)


class Verdict(NamedTuple):
    """Findings per frame, b1[N] each."""

    reject: NDArray[np.bool_]
    counter_error: NDArray[np.bool_]
    advance: NDArray[np.bool_]


@dataclass(frozen=True)
class _CrcGroup:
    """Messages with the same CRC parameters are checked in one pass, whatever racks they come from."""

    crc: Crc
    messages: NDArray[np.bool_]


class EndToEndCheck:
    """The checks of all messages; the state of the counters of all units (unit: one message of one source)."""

    def __init__(self, messages: Sequence[BoundMessage], units: int) -> None:
        groups: dict[Crc, NDArray[np.bool_]] = {}
        shape = len(messages)
        self._big, self._shift = np.zeros(shape, np.intp), np.zeros(shape, np.uint64)
        self._mask, self._modulo = np.zeros(shape, np.uint64), np.zeros(shape, np.int64)
        for number, bound in enumerate(messages):
            if bound.check is not None and bound.check.crc is not None:
                groups.setdefault(bound.check.crc, np.zeros(shape, np.bool_))[number] = True
            if (counter := bound.counter) is not None:
                big = counter.big_endian
                self._big[number] = big
                self._shift[number] = 64 - counter.length - counter.start if big else counter.start
                self._mask[number] = (1 << counter.length) - 1
                self._modulo[number] = counter.modulo
        self._groups = [_CrcGroup(crc, members) for crc, members in groups.items()]
        self._counted = self._modulo > 0
        self._last = np.full(units, -1, np.int64)
        self.any = bool(groups) or bool(self._counted.any())

    def verify(
        self,
        unit: NDArray[np.intp],
        message: NDArray[np.intp],
        data: NDArray[np.uint8],
        words: NDArray[np.uint64],
    ) -> Verdict:
        """Judges N frames in the order of reception.

        unit, message: number per frame; data: u1[N, W]; words: u8[2, N], the first eight bytes read as little-endian
        and as big-endian number.
        """
        reject, error, advance = (np.zeros(len(unit), np.bool_) for _ in range(3))
        if not self.any:
            return Verdict(reject, error, advance)
        for group in self._groups:
            at = np.flatnonzero(group.messages[message])
            if len(at):
                reject[at] = crc8(group.crc, data[at]) != data[at, group.crc.byte]
        # The counter of a frame with a wrong check sum says nothing; it must not move the state either.
        at = np.flatnonzero(self._counted[message] & ~reject)
        if len(at):
            bad, wrong, forward = self._counters(unit[at], message[at], words[:, at])
            reject[at], error[at], advance[at] = bad, wrong, forward
        return Verdict(reject, error, advance)

    def _counters(
        self, unit: NDArray[np.intp], message: NDArray[np.intp], words: NDArray[np.uint64]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_], NDArray[np.bool_]]:
        big, modulo = self._big[message], self._modulo[message]
        counter = (words[big, np.arange(len(unit))] >> self._shift[message] & self._mask[message]).astype(np.int64)
        order = np.argsort(unit, kind="stable")
        sorted_unit, sorted_counter = unit[order], counter[order]
        first = np.ones(len(unit), np.bool_)
        first[1:] = sorted_unit[1:] != sorted_unit[:-1]
        before = np.empty(len(unit), np.int64)
        before[1:] = sorted_counter[:-1]
        before[first] = self._last[sorted_unit[first]]
        last = np.ones(len(unit), np.bool_)
        last[:-1] = first[1:]
        self._last[sorted_unit[last]] = sorted_counter[last]

        sorted_modulo = modulo[order]
        distance = (sorted_counter - before) % sorted_modulo
        known, possible = before >= 0, sorted_counter < sorted_modulo
        forward = known & possible & (distance >= 1) & (distance <= sorted_modulo // 2)
        bad = ~possible | (known & ~forward)
        wrong = ~possible | (known & (distance != 1))
        result = np.empty((3, len(unit)), np.bool_)
        result[:, order] = bad, wrong, forward
        return result[0], result[1], result[2]
