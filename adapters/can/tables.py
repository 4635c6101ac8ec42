"""Databases and maps compiled into index, shift, mask and scale tables: one numpy pass decodes frames of many racks.

Three levels of rows:

- a *unit* is one message of one source; its id on the bus finds it,
- a *page* is one message with one multiplexer value; the multiplexer bits of the frame find it,
- a *signal* is one value of a page; pages list them one after the other.

The tables do integer signals of messages up to eight bytes with at most one multiplexer of up to eight bits, in both
byte orders. Messages that need more (floating point, CAN FD, nested multiplexers) are decoded by cantools, frame by
frame; which of the two did it cannot be seen in the result.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from cantools.database.can import Message, Signal
from numpy.typing import NDArray

from adapters.api import SourceSpec
from adapters.can.database import BoundMap, BoundMessage, BoundSignal, bind, first_network_bit
from adapters.can.frame import EXTENDED, EXTENDED_IDS, STANDARD_IDS
from adapters.errors import AdapterConfigurationError, Problem
from information_model.device_map import DeviceMap

_TABLE_BYTES = 8
_PAGES = 256
_LISTED = 4


class Decoded(NamedTuple):
    """Signals in the order of their frames, columns of equal length M."""

    frame: NDArray[np.intp]
    signal: NDArray[np.intp]
    raw: NDArray[np.uint64]
    """Bits of the signal as they came, unsigned."""
    physical: NDArray[np.float64]
    """Value after the conversion of the database."""


def read_words(data: NDArray[np.uint8]) -> NDArray[np.uint64]:
    """u8[2, N]: the first eight bytes of each frame as little-endian and as big-endian number."""
    little = np.ascontiguousarray(data[:, :_TABLE_BYTES]).view("<u8")[:, 0]
    return np.stack((little, little.byteswap())).astype(np.uint64, copy=False)


class DecodeTables:
    """Tables of all sources of one bus. Raises AdapterConfigurationError, with everything that does not fit."""

    def __init__(self, sources: Sequence[SourceSpec]) -> None:
        self.bound = _bind_all(sources)
        self.messages: list[BoundMessage] = []
        self.signals: list[BoundSignal] = []
        first_message: dict[int, int] = {}
        for bound in self.bound:
            if id(bound) not in first_message:
                first_message[id(bound)] = len(self.messages)
                self.messages += bound.messages
        self._build_units(sources, first_message)
        self._build_pages()
        self._build_signals()

    def _build_units(self, sources: Sequence[SourceSpec], first_message: dict[int, int]) -> None:
        rows: list[tuple[int, int, int]] = []
        owners: dict[int, str] = {}
        wrong: list[Problem] = []
        for number, (source, bound) in enumerate(zip(sources, self.bound, strict=True)):
            shift = source.node * source.map.node_offset
            for message_number, row in enumerate(bound.messages):
                ident = _bus_id(row.message, shift)
                name = f"{source.name}, {row.message.name}"
                if ident is None:
                    given = f"0x{row.message.frame_id + shift:X} ({name})"
                    wrong.append(Problem("node", given, "a frame id the bus can carry", "Lower node or node_offset."))
                elif ident in owners:
                    given = f"0x{ident & ~EXTENDED:X} for {name}"
                    expected = f"ids that occur once; {owners[ident]} has it too"
                    wrong.append(
                        Problem("node", given, expected, "Give each rack its node, and the map a node_offset.")
                    )
                else:
                    owners[ident] = name
                    rows.append((ident, first_message[id(bound)] + message_number, number))
        if wrong:
            raise AdapterConfigurationError("sources of the bus", wrong[:_LISTED])
        rows.sort()
        self.unit_id = np.array([row[0] for row in rows], np.uint32)
        self.unit_message = np.array([row[1] for row in rows], np.intp)
        self.unit_source = np.array([row[2] for row in rows], np.intp)
        first_slot = np.array([source.first_slot for source in sources], np.int64)
        self.unit_first_slot = first_slot[self.unit_source]

    def _build_pages(self) -> None:
        count = len(self.messages)
        self.by_cantools = np.array([not _fits_tables(row) for row in self.messages], np.bool_)
        self.message_length = np.array([row.message.length for row in self.messages], np.uint8)
        self._page_big, self._page_shift = np.zeros(count, np.intp), np.zeros(count, np.uint64)
        self._page_mask = np.zeros(count, np.uint64)
        self._page_of = np.full((count, _PAGES), -1, np.intp)
        start: list[int] = []
        self.message_signals: list[NDArray[np.intp]] = []
        self.signal_at: list[dict[str, list[int]]] = []
        for number, row in enumerate(self.messages):
            first = len(self.signals)
            multiplexer = _multiplexer(row.message)
            if multiplexer is None or self.by_cantools[number]:
                self._page_of[number, 0] = len(start)
                start.append(len(self.signals))
                self.signals += row.signals
            else:
                self._page_big[number], self._page_shift[number], self._page_mask[number] = _bits(multiplexer)
                for page in _pages(row.message, multiplexer):
                    self._page_of[number, page] = len(start)
                    start.append(len(self.signals))
                    self.signals += [s for s in row.signals if page in (s.signal.multiplexer_ids or (page,))]
            self.message_signals.append(np.arange(first, len(self.signals)))
            names: dict[str, list[int]] = {}
            for index in range(first, len(self.signals)):
                names.setdefault(self.signals[index].signal.name, []).append(index)
            self.signal_at.append(names)
        self._start = np.array(start, np.intp)
        self._count: NDArray[np.intp] = np.array([*start[1:], len(self.signals)], np.intp) - self._start

    def _build_signals(self) -> None:
        count = len(self.signals)
        self._big, self._shift = np.zeros(count, np.intp), np.zeros(count, np.uint64)
        self._mask, self._sign = np.zeros(count, np.uint64), np.zeros(count, np.uint64)
        self._signed = np.zeros(count, np.bool_)
        for number, row in enumerate(self.signals):
            signal = row.signal
            if _in_first_word(signal):
                self._big[number], self._shift[number], self._mask[number] = _bits(signal)
            if signal.is_signed:
                self._signed[number], self._sign[number] = True, 1 << (signal.length - 1)
        self._scale = np.array([float(row.signal.scale) for row in self.signals])
        self._offset = np.array([float(row.signal.offset) for row in self.signals])
        self.signal_slot = np.array([row.slot for row in self.signals], np.int64)

    def find_units(self, ids: NDArray[np.uint32]) -> NDArray[np.intp]:
        """Number of the unit per frame, -1 for an id that nobody wants; ids carry the flag EXTENDED only."""
        if not len(self.unit_id):
            return np.full(len(ids), -1, np.intp)
        at = np.searchsorted(self.unit_id, ids)
        at[at == len(self.unit_id)] = 0
        return np.where(self.unit_id[at] == ids, at, -1)

    def find_pages(self, message: NDArray[np.intp], words: NDArray[np.uint64]) -> NDArray[np.intp]:
        """Number of the page per frame, -1 for a multiplexer value that the database does not know."""
        word = words[self._page_big[message], np.arange(len(message))]
        page = (word >> self._page_shift[message]) & self._page_mask[message]
        return self._page_of[message, page.astype(np.intp)]

    def decode(self, page: NDArray[np.intp], words: NDArray[np.uint64]) -> Decoded:
        """All signals of N frames with known pages."""
        counts = self._count[page]
        total = int(counts.sum())
        frame = np.repeat(np.arange(len(page)), counts)
        within = np.arange(total) - np.repeat(np.cumsum(counts) - counts, counts)
        signal = np.repeat(self._start[page], counts) + within
        raw = (words[self._big[signal], frame] >> self._shift[signal]) & self._mask[signal]
        sign = self._sign[signal]
        # Unsigned signals of 64 bits do not fit the signed type, so each kind goes its own way to floating point.
        number = np.where(
            self._signed[signal], ((raw ^ sign) - sign).view(np.int64).astype(np.float64), raw.astype(np.float64)
        )
        return Decoded(frame, signal, raw, number * self._scale[signal] + self._offset[signal])


def _bind_all(sources: Sequence[SourceSpec]) -> list[BoundMap]:
    """One BoundMap per source; sources with equal maps share it."""
    done: list[tuple[DeviceMap, BoundMap]] = []
    result = []
    for source in sources:
        bound = next((b for m, b in done if m is source.map or m == source.map), None)
        if bound is None:
            bound = bind(source.map)
            done.append((source.map, bound))
        result.append(bound)
    return result


def _bus_id(message: Message, shift: int) -> int | None:
    """Id on the bus, with the flag EXTENDED; None when the shifted id does not exist."""
    ident = message.frame_id + shift
    if not 0 <= ident < (EXTENDED_IDS if message.is_extended_frame else STANDARD_IDS):
        return None
    return ident | (EXTENDED if message.is_extended_frame else 0)


def _multiplexer(message: Message) -> Signal | None:
    return next((signal for signal in message.signals if signal.is_multiplexer), None)


def _pages(message: Message, multiplexer: Signal) -> list[int]:
    """Multiplexer values that the database knows: those of its signals, and those that its value table names."""
    named = {int(value) for value in multiplexer.choices or ()}
    used = {page for signal in message.signals for page in signal.multiplexer_ids or ()}
    return sorted(page for page in named | used if 0 <= page < _PAGES)


def _fits_tables(row: BoundMessage) -> bool:
    message = row.message
    multiplexers = [signal for signal in message.signals if signal.is_multiplexer]
    simple = not multiplexers or (
        len(multiplexers) == 1
        and not multiplexers[0].multiplexer_ids
        and not multiplexers[0].is_signed
        and not multiplexers[0].is_float
        and multiplexers[0].length <= 8
    )
    whole = all(not bound.signal.is_float for bound in row.signals)
    return message.length <= _TABLE_BYTES and simple and whole


def _in_first_word(signal: Signal) -> bool:
    if signal.byte_order == "big_endian":
        return first_network_bit(signal) + signal.length <= 64
    return signal.start + signal.length <= 64


def _bits(signal: Signal) -> tuple[int, int, int]:
    """Which of the two words, shift, mask. A DBC gives the lowest bit (little-endian) or the highest (big-endian)."""
    mask = (1 << signal.length) - 1
    if signal.byte_order == "big_endian":
        return 1, 64 - signal.length - first_network_bit(signal), mask
    return 0, signal.start, mask
