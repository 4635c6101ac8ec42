"""What every adapter is: batches of values in, requests out, health beside.

One adapter serves one bus (or one stand-in for it) with one or more *sources*; a source is one rack on that bus.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from information_model.device_map import DeviceMap
from information_model.enumerations import CommunicationState, Desired

Clock = Callable[[], int]
"""Monotonic time in ns."""


class Batch(NamedTuple):
    """Values of one moment or a few ms, columns of equal length N, in the order of reception.

    A slot may occur more than once: the last one holds. `value` is NaN wherever `quality` is not Good.
    """

    slot: NDArray[np.int64]
    """i8[N]: slot of the field process (first slot of the source + slot in its map)."""
    value: NDArray[np.float64]
    """f8[N]: SI base units, percent 0..100, positive current is discharge."""
    mono_ns: NDArray[np.int64]
    """i8[N]: monotonic time of reception, or of the source where it has one."""
    quality: NDArray[np.uint8]
    """u1[N]: information_model.quality.Quality."""


@dataclass(slots=True)
class SourceHealth:
    """What is known about the communication with one source. Counters run since the adapter was made."""

    state: CommunicationState = CommunicationState.NEVER_SEEN
    frames_received: int = 0
    frames_rejected: int = 0
    """Too short, wrong check sum, repeated or old counter: not used."""
    counter_errors: int = 0
    """Steps of the alive counter other than one: repeated, lost or reordered frames."""
    timeouts: int = 0
    """How often the source was lost after it had been seen."""
    reconnects: int = 0
    """How often its bus was opened again."""
    last_frame_mono_ns: int = 0
    """Monotonic time of the newest frame that was used; 0 before the first."""
    counter_advances: int = 0
    """How often its alive counter advanced. Without such a counter in the map: the frames that were used."""
    detail: str = ""
    """One line for people: why the state is not Good."""


@dataclass(frozen=True)
class SourceSpec:
    """One rack on a bus."""

    name: str
    """Element id, for example ESS.ARR01.R001."""
    node: int
    """Number of the device on the bus: shifts its frame ids by node * map.node_offset."""
    map: DeviceMap
    first_slot: int


@dataclass(frozen=True)
class BusSpec:
    """One bus of the site file."""

    name: str
    adapter: str
    """Entry point name in the group gridbms.adapters."""
    options: Mapping[str, object] = field(default_factory=dict)
    sources: tuple[SourceSpec, ...] = ()


class SafeRequest(IntEnum):
    """What to ask of a rack instead of the desired state."""

    NONE = 0
    ZERO_CURRENT = 1
    OPEN = 2


@dataclass(frozen=True)
class RackRequest:
    """What core wants of one rack."""

    desired: Desired
    """OPEN or CLOSED; what is neither means open. The codes of a device map are its own: 0 open, 1 closed."""
    charge_limit_a: float
    discharge_limit_a: float
    """Both limits are magnitudes, >= 0 A."""
    reset_counter: int
    """A step asks the rack to reset its latched faults."""
    alive: int
    """Core's counter."""
    lease_valid: bool
    safe: int = SafeRequest.NONE


class Sink(Protocol):
    """Where an adapter delivers; the host of the adapter implements it."""

    def deliver(self, batch: Batch) -> None:
        """Takes over the batch; must return at once. Called on the loop that runs the adapter."""

    def health(self, source: int) -> SourceHealth:
        """The record of source `source` (index within the bus), to be written into."""


class Adapter(Protocol):
    """One bus. This text is the contract that every adapter keeps.

    Construction checks options, map and database, raises AdapterConfigurationError with all mistakes at once, and
    opens nothing. The key of a mistake in an option is `options.<name>`.

    `run` lasts until it is cancelled. It opens the bus by itself, watches for silence, closes and reopens with a
    back-off of 0.1 s doubling to 10 s with jitter, and never ends because of a bus, a frame or a driver. It logs a
    failure once and the recovery once. After cancellation the bus is closed and no thread or timer remains.

    Timing: a value is delivered within 10 ms of the reception of its frame, on an idle loop. It is stamped with the
    monotonic clock at reception and delivered once: no value is ever repeated with a new time, so its age tells
    how old it is. Nothing is delivered for frames that are missing; whoever holds the values judges their age by the
    time-outs of the map. Health is written at least every 0.2 s.

    Failure: a frame with a wrong check sum, a repeated or old counter, or too few bytes is counted and withheld. A
    value outside its range or marked invalid is delivered as NaN with that quality. When more than a tenth of the
    frames of a message within 10 s had to be rejected (and at least three), all its values are delivered as NaN with
    quality E2E until the share falls again. What arrives is hostile: no byte may raise, block or fill memory.

    `apply` keeps the newest request per source (index within the bus) and returns at once; it must be called on the
    loop that runs the adapter, at least every 0.5 s even when nothing changed. The adapter sends cyclically at the
    map's rate. It sends the device's safe word as soon as `safe` says so or the lease is not valid; when `apply` has
    not been called for 1 s it asks for zero current by itself, after 5 s more for opening. Before the first request
    for a source nothing is sent to it.

    An adapter of real hardware may also have a static method `identity(options: Mapping[str, object]) -> str | None`:
    which bus the options lead to, in words for people. Two buses of one adapter with equal identities are refused,
    because a rack on them would be two. Without it, or where it is None, every bus is one of its own.
    """

    def __init__(self, bus: BusSpec, *, clock: Clock = time.monotonic_ns) -> None: ...

    async def run(self, sink: Sink) -> None:
        """Serves the bus until cancelled."""

    def apply(self, requests: Sequence[RackRequest]) -> None:
        """Keeps one request per source, in the order of `BusSpec.sources`."""
