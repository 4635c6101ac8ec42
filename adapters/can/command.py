"""Cyclic command frames: the newest request per source, its safe word, frame counter and check sum.

Nothing here touches a bus or a clock, so timing and supervision can be tested step by step.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from cantools.database.can import Message, Signal

from adapters.api import RackRequest, SafeRequest, SourceSpec
from adapters.can.database import BoundMap
from adapters.can.e2e import crc8
from adapters.can.frame import EXTENDED
from information_model.device_map import CommandMessage
from information_model.enumerations import Desired

SILENCE_ZERO_NS = 1_000_000_000
SILENCE_OPEN_NS = 6_000_000_000
"""Without `apply` for so long the sender asks for zero current, then for opening, by itself."""

_ROUNDING = 1e-9


class CommandFrame(NamedTuple):
    """A frame to be sent: identifier with the flag EXTENDED, payload."""

    ident: int
    payload: bytes


def effective_safe(request: RackRequest, age_ns: int) -> SafeRequest:
    """What to ask for instead of the request, from the request itself and the time since it was renewed."""
    asked = SafeRequest(request.safe) if request.safe in tuple(SafeRequest) else SafeRequest.OPEN
    if not request.lease_valid:
        asked = max(asked, SafeRequest.ZERO_CURRENT)
    if age_ns > SILENCE_OPEN_NS:
        return SafeRequest.OPEN
    return max(asked, SafeRequest.ZERO_CURRENT) if age_ns > SILENCE_ZERO_NS else asked


@dataclass
class _CyclicFrame:
    """One command message to one source."""

    command: CommandMessage
    message: Message
    source: int
    ident: int
    due_ns: int = 0
    counter: int = 0
    signals: dict[str, Signal] = field(default_factory=dict)
    codes: dict[str, dict[int, float]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.signals = {signal.name: signal for signal in self.message.signals}
        self.codes = {name: self.command.code_table(name) for name in self.command.codes}

    def payload(self, request: RackRequest, safe: SafeRequest) -> bytes:
        """The frame for this request; counts the frame counter up."""
        values = {name: self._requested(name, request, safe) for name in self.command.signals}
        if safe >= SafeRequest.ZERO_CURRENT:
            values.update(self.command.safe.zero_current)
        if safe >= SafeRequest.OPEN:
            values.update(self.command.safe.open)
        raw: dict[str, int] = {}
        for name, signal in self.signals.items():
            # Counters go onto the wire as they are and wrap; everything else is a physical value and is confined.
            if self.command.signals.get(name) in ("alive", "reset_counter"):
                raw[name] = int(values[name])
            else:
                raw[name] = physical_to_raw(signal, values.get(name, 0.0))
        content = bytearray(self.message.encode(raw, scaling=False, padding=False, strict=False))
        if (crc := self.command.crc) is not None:
            content[crc.byte] = 0
            padded = np.frombuffer(bytes(content).ljust(8, b"\0"), np.uint8)[None, :]
            content[crc.byte] = int(crc8(crc, padded)[0])
        return bytes(content)

    def _requested(self, name: str, request: RackRequest, safe: SafeRequest) -> float:
        source = self.command.signals[name]
        if not isinstance(source, str):
            return source
        codes = 1 << (self.signals[name].length - self.signals[name].is_signed)
        if source == "alive":
            self.counter = (self.counter + 1) % min(self.command.modulo or codes, codes)
            return self.counter
        if source == "reset_counter":
            return request.reset_counter % codes
        if source == "desired":
            # Opening is what an unknown wish means.
            closed = int(request.desired == Desired.CLOSED and safe < SafeRequest.OPEN)
            return self.codes.get(name, {}).get(closed, float(closed))
        limit = request.charge_limit_a if source == "charge_limit_a" else request.discharge_limit_a
        return 0.0 if safe >= SafeRequest.ZERO_CURRENT or math.isnan(limit) else max(limit, 0.0)


def physical_to_raw(signal: Signal, value: float) -> int:
    """Bits of a physical value: rounded towards zero of the physical value, confined to what the signal can carry."""
    low = -(1 << (signal.length - 1)) if signal.is_signed else 0
    high = (1 << (signal.length - signal.is_signed)) - 1
    exact = (value - signal.offset) / signal.scale
    if math.isnan(exact):
        return min(max(0, low), high)
    if math.isinf(exact):
        return high if exact > 0 else low
    nearest = round(exact)
    if abs(exact - nearest) > _ROUNDING * max(1.0, abs(exact)):
        upwards = (value >= 0) != (signal.scale > 0)
        nearest = math.ceil(exact) if upwards else math.floor(exact)
    return min(max(nearest, low), high)


class CommandSender:
    """All command frames of one bus. Before the first request for a source it sends nothing to it."""

    def __init__(self, sources: Sequence[SourceSpec], bound: Sequence[BoundMap]) -> None:
        self._sources = len(sources)
        self._requests: list[RackRequest] = []
        self._applied_ns = 0
        self._frames = [
            _CyclicFrame(command, message, number, _ident(message, source))
            for number, (source, row) in enumerate(zip(sources, bound, strict=True))
            for command, message in row.commands
        ]

    def apply(self, requests: Sequence[RackRequest], now_ns: int) -> None:
        """Keeps one request per source. Raises ValueError when their number is another."""
        if len(requests) != self._sources:
            raise ValueError(f"{len(requests)} requests for {self._sources} sources: give one per source, in order")
        if not self._requests:
            for row in self._frames:
                row.due_ns = now_ns
        self._requests = list(requests)
        self._applied_ns = now_ns

    def due_ns(self) -> int | None:
        """When the next frame is due; None when nothing is to be sent."""
        return min((row.due_ns for row in self._frames), default=None) if self._requests else None

    def send_due(self, now_ns: int, send: Callable[[CommandFrame], None]) -> None:
        """Sends every frame that is due. Periods that were missed are left out, never made up for in a burst."""
        if not self._requests:
            return
        age = now_ns - self._applied_ns
        for row in self._frames:
            if row.due_ns > now_ns:
                continue
            period = round(row.command.period * 1e9)
            row.due_ns += period * ((now_ns - row.due_ns) // period + 1)
            request = self._requests[row.source]
            send(CommandFrame(row.ident, row.payload(request, effective_safe(request, age))))


def _ident(message: Message, source: SourceSpec) -> int:
    ident = message.frame_id + source.node * source.map.node_offset
    return ident | EXTENDED if message.is_extended_frame else ident
