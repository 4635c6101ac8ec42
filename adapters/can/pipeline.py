"""The one path from frames to values: used on the bus, in replay and in tests, with or without an event loop."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adapters.api import Batch, BusSpec
from adapters.can.conversion import Conversion
from adapters.can.e2e import EndToEndCheck
from adapters.can.error_window import ErrorWindow
from adapters.can.frame import ERROR, EXTENDED, REMOTE
from adapters.can.tables import Decoded, DecodeTables, read_words
from information_model.quality import Quality


@dataclass(slots=True)
class BusCounters:
    """What came over a bus and belongs to no source, and what was wrong with the rest."""

    frames: int = 0
    error_frames: int = 0
    remote_frames: int = 0
    unknown_ids: int = 0
    unknown_pages: int = 0
    short_frames: int = 0
    crc_or_counter: int = 0
    undecodable: int = 0
    overruns: int = 0
    """Frames that were dropped because they were not fetched in time."""
    send_errors: int = 0


class FramePipeline:
    """Frames in, values out; keeps the state of counters and error shares, and the counts per source.

    Raises AdapterConfigurationError when maps, databases and nodes do not fit together. `feed` never raises for what
    is in a frame.
    """

    def __init__(self, bus: BusSpec) -> None:
        self.bus = bus
        self.tables = DecodeTables(bus.sources)
        self._convert = Conversion(self.tables.signals)
        self._check = EndToEndCheck(self.tables.messages, len(self.tables.unit_id))
        self.window = ErrorWindow(len(self.tables.unit_id))
        self.counters = BusCounters()
        self.frame_width = 8 if int(self.tables.message_length.max(initial=0)) <= 8 else 64
        sources = len(bus.sources)
        self.received, self.rejected, self.counter_errors, self.advances, self.last_frame_ns = (
            np.zeros(sources, np.int64) for _ in range(5)
        )
        self.last_received_ns, self.last_alive_ns = (np.zeros(sources, np.int64) for _ in range(2))
        liveness = [row.check is not None and row.check.liveness for row in self.tables.messages]
        self._liveness = np.array(liveness, np.bool_)
        self._has_liveness = np.zeros(sources, np.bool_)
        self._has_liveness[self.tables.unit_source[self._liveness[self.tables.unit_message]]] = True

    def feed(
        self,
        ids: NDArray[np.uint32],
        data: NDArray[np.uint8],
        length: NDArray[np.uint8],
        mono_ns: NDArray[np.int64],
    ) -> Batch:
        """Decodes N frames (columns as in `Frames`) in the order of reception; the batch may be empty."""
        self.counters.frames += len(ids)
        unit, kept = self._select(ids)
        data, length, mono_ns = data[kept], length[kept], mono_ns[kept]
        tables, message = self.tables, self.tables.unit_message[unit]
        words = read_words(data)

        short = length < tables.message_length[message]
        whole = np.flatnonzero(~short)
        verdict = self._check.verify(unit[whole], message[whole], data[whole], words[:, whole])
        rejected = short.copy()
        rejected[whole] = verdict.reject
        self.counters.short_frames += int(short.sum())
        self.counters.crc_or_counter += int(verdict.reject.sum())
        self._count(unit, mono_ns, rejected)
        self._count_checks(unit[whole], message[whole], mono_ns[whole], verdict.counter_error, verdict.advance)

        newest = int(mono_ns.max()) if len(mono_ns) else 0
        self.window.advance(newest)
        self.window.add(unit, rejected)
        risen = self.window.judge()

        good = np.flatnonzero(~rejected)
        unit, data, mono_ns, words = unit[good], data[good], mono_ns[good], words[:, good]
        decoded = self._decode(message[good], data, words)
        value, quality = self._convert.judge(decoded.signal, decoded.raw, decoded.physical)
        owner = unit[decoded.frame]
        disturbed = self.window.disturbed[owner]
        value[disturbed], quality[disturbed] = np.nan, Quality.E2E
        slot = tables.unit_first_slot[owner] + tables.signal_slot[decoded.signal]
        batch = Batch(slot, value, mono_ns[decoded.frame], quality)
        return self._with_disturbed(batch, risen, newest) if len(risen) else batch

    def _select(self, ids: NDArray[np.uint32]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Unit numbers of the data frames that somebody wants, and their places in the batch."""
        error = (ids & ERROR) != 0
        remote = ((ids & REMOTE) != 0) & ~error
        unit = self.tables.find_units(ids & np.uint32(EXTENDED | 0x1FFF_FFFF))
        data_frame = ~(error | remote)
        known = data_frame & (unit >= 0)
        counters = self.counters
        counters.error_frames += int(error.sum())
        counters.remote_frames += int(remote.sum())
        counters.unknown_ids += int((data_frame & ~known).sum())
        kept = np.flatnonzero(known)
        return unit[kept], kept

    def _count(self, unit: NDArray[np.intp], mono_ns: NDArray[np.int64], rejected: NDArray[np.bool_]) -> None:
        sources = len(self.received)
        source = self.tables.unit_source[unit]
        used = ~rejected
        self.received += np.bincount(source, minlength=sources)
        self.rejected += np.bincount(source[rejected], minlength=sources)
        np.maximum.at(self.last_received_ns, source, mono_ns)
        np.maximum.at(self.last_frame_ns, source[used], mono_ns[used])
        plain = used & ~self._has_liveness[source]
        self.advances += np.bincount(source[plain], minlength=sources)
        np.maximum.at(self.last_alive_ns, source[plain], mono_ns[plain])

    def _count_checks(
        self,
        unit: NDArray[np.intp],
        message: NDArray[np.intp],
        mono_ns: NDArray[np.int64],
        counter_error: NDArray[np.bool_],
        advance: NDArray[np.bool_],
    ) -> None:
        source = self.tables.unit_source[unit]
        sources = len(self.received)
        alive = advance & self._liveness[message]
        self.counter_errors += np.bincount(source[counter_error], minlength=sources)
        self.advances += np.bincount(source[alive], minlength=sources)
        np.maximum.at(self.last_alive_ns, source[alive], mono_ns[alive])

    def _decode(self, message: NDArray[np.intp], data: NDArray[np.uint8], words: NDArray[np.uint64]) -> Decoded:
        slow = self.tables.by_cantools[message]
        page = self.tables.find_pages(message, words)
        self.counters.unknown_pages += int((page < 0).sum())
        at = np.flatnonzero((page >= 0) & ~slow)
        fast = self.tables.decode(page[at], words[:, at])
        decoded = fast._replace(frame=at[fast.frame])
        if not slow.any():
            return decoded
        parts = (decoded, self._decode_slowly(np.flatnonzero(slow), message, data))
        return Decoded(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))

    def _decode_slowly(self, frames: NDArray[np.intp], message: NDArray[np.intp], data: NDArray[np.uint8]) -> Decoded:
        """Frames of messages that the tables cannot do, one by one through cantools."""
        rows: list[tuple[int, int, int, float]] = []
        for frame in frames.tolist():
            number = int(message[frame])
            row = self.tables.messages[number].message
            payload = data[frame, : row.length].tobytes()
            try:
                signals = row.decode(payload, decode_choices=False, scaling=False)
            except Exception:  # noqa: BLE001 - cantools and bitstruct raise many kinds; the frame is hostile
                self.counters.undecodable += 1
                continue
            for name, places in self.tables.signal_at[number].items():
                raw = signals.get(name) if isinstance(signals, dict) else None
                if isinstance(raw, int | float):
                    rows += [(frame, place, *self._slow_value(place, raw)) for place in places]
        columns = list(zip(*rows, strict=True)) if rows else [(), (), (), ()]
        return Decoded(
            np.array(columns[0], np.intp),
            np.array(columns[1], np.intp),
            np.array(columns[2], np.uint64),
            np.array(columns[3], np.float64),
        )

    def _slow_value(self, place: int, raw: float) -> tuple[int, float]:
        signal = self.tables.signals[place].signal
        pattern = 0 if signal.is_float else int(raw) & ((1 << signal.length) - 1)
        return pattern, raw * signal.scale + signal.offset

    def _with_disturbed(self, batch: Batch, risen: NDArray[np.intp], now_ns: int) -> Batch:
        """The batch and, behind it, every slot of the units that have just become disturbed, as not usable."""
        tables = self.tables
        slots = np.concatenate(
            [
                tables.unit_first_slot[unit] + tables.signal_slot[tables.message_signals[tables.unit_message[unit]]]
                for unit in risen.tolist()
            ]
        )
        return Batch(
            np.concatenate((batch.slot, slots)),
            np.concatenate((batch.value, np.full(len(slots), np.nan))),
            np.concatenate((batch.mono_ns, np.full(len(slots), now_ns, np.int64))),
            np.concatenate((batch.quality, np.full(len(slots), Quality.E2E, np.uint8))),
        )
