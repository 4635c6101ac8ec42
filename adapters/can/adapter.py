"""CAN through python-can: any of its interfaces, kept open, watched and decoded."""

import asyncio
import logging
import posixpath
import random
import time
from collections.abc import Mapping, Sequence
from typing import Any

import can
import numpy as np
from can.interfaces import BACKENDS

from adapters.api import BusSpec, Clock, RackRequest, Sink
from adapters.back_off import BackOff
from adapters.can.command import CommandFrame, CommandSender
from adapters.can.frame import ERROR, EXTENDED, Frames
from adapters.can.opening import close_bus, start_in_thread
from adapters.can.pipeline import BusCounters, FramePipeline
from adapters.can.reader import BusReader
from adapters.can.watch import SourceWatch, bus_silence_ns
from adapters.errors import AdapterConfigurationError, BusLostError, Problem

log = logging.getLogger("gridbms.adapters")

HEALTH_NS = 100_000_000
_TICK_S = 0.1
_SHORTEST_SLEEP_S = 0.001
_OPENING_S = 10.0
_CLOSING_S = 2.0
_CHOICES = (
    "host",
    "port",
    "serial",
    "device",
    "device_id",
    "unique_hardware_id",
    "app_name",
    "bus",
    "address",
    "index",
)
"""Options of python-can's interfaces that choose among devices with equal channels."""


class CanAdapter:
    """One CAN bus; keeps the contract of `adapters.api.Adapter`.

    Options are the keyword arguments of `can.Bus`; `interface` is required. Configuration files and environment
    variables of python-can are not looked at: the site file says everything.
    """

    def __init__(self, bus: BusSpec, *, clock: Clock = time.monotonic_ns, rng: random.Random | None = None) -> None:
        self._spec, self._clock = bus, clock
        self._options = _checked_options(bus)
        self._pipeline = FramePipeline(bus)
        self._watch = SourceWatch(self._pipeline)
        self._sender = CommandSender(bus.sources, self._pipeline.tables.bound)
        self._silence_ns = bus_silence_ns(bus)
        self._back_off = BackOff(rng or random.Random())  # noqa: S311 - jitter needs no secrecy
        self._bus: can.BusABC | None = None
        self._failure = ""
        self._send_failed = False
        self._opened = 0
        self._last_data_ns = 0

    @staticmethod
    def identity(options: Mapping[str, object]) -> str | None:
        """Interface, channel and what else chooses a device; nothing is opened."""
        if options.get("interface") not in BACKENDS:
            return None
        chosen = [f"{key} {options[key]}" for key in _CHOICES if key in options]
        return " ".join([str(options["interface"]), _channel(options.get("channel", "")), *chosen]).strip()

    @property
    def counters(self) -> BusCounters:
        """Counts of the bus as a whole."""
        return self._pipeline.counters

    def apply(self, requests: Sequence[RackRequest]) -> None:
        """Keeps one request per source."""
        self._sender.apply(requests, self._clock())

    async def run(self, sink: Sink) -> None:
        """Serves the bus until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._keep_open(sink), name=f"bus {self._spec.name}")
            tasks.create_task(self._keep_time(sink), name=f"bus {self._spec.name}, health and commands")

    async def _keep_open(self, sink: Sink) -> None:
        while True:
            try:
                bus = await self._open()
                await self._serve(bus, sink)
            except Exception as error:  # noqa: BLE001 - no bus and no driver may end the adapter
                self._note_failure(str(error) or type(error).__name__)
            await asyncio.sleep(self._back_off.next_pause_s())

    async def _open(self) -> can.BusABC:
        opening = start_in_thread(
            lambda: can.Bus(ignore_config=True, **self._options), f"open {self._spec.name}", abandoned=close_bus
        )
        try:
            await asyncio.wait({opening}, timeout=_OPENING_S)
            if not opening.done():
                # Another attempt would only leave another thread behind: say so, and go on waiting for this one.
                self._note_failure(f"the driver has not opened the bus for {_OPENING_S:.0f} s")
            return await opening
        except asyncio.CancelledError:
            opening.cancel()
            raise
        except Exception as error:
            raise BusLostError(f"cannot open: {error or type(error).__name__}") from error

    async def _serve(self, bus: can.BusABC, sink: Sink) -> None:
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def failed(error: Exception) -> None:
            if not ended.done():
                ended.set_exception(BusLostError(f"reading failed: {error or type(error).__name__}"))

        reader = BusReader(
            bus,
            clock=self._clock,
            width=self._pipeline.frame_width,
            on_frames=lambda frames: self._take(frames, sink),
            on_failure=failed,
            on_overrun=self._count_overrun,
        )
        self._opened += 1
        self._last_data_ns = self._clock()
        self._bus = bus
        try:
            reader.start()
            while True:
                await asyncio.wait({ended}, timeout=_TICK_S)
                if ended.done():
                    ended.result()
                if (silent_ns := self._clock() - self._last_data_ns) > self._silence_ns:
                    raise BusLostError(f"no frame for {silent_ns / 1e9:.1f} s")
        finally:
            self._bus = None
            reader.stop()
            if ended.done():
                ended.exception()  # looked at, even when the cancellation came first
            await self._close(bus, reader)

    async def _close(self, bus: can.BusABC, reader: BusReader) -> None:
        def close() -> None:
            reader.join()
            close_bus(bus)

        await asyncio.wait({start_in_thread(close, f"close {self._spec.name}")}, timeout=_CLOSING_S)

    def _take(self, frames: Frames, sink: Sink) -> None:
        batch = self._pipeline.feed(*frames)
        if ((frames.ids & np.uint32(ERROR)) == 0).any():
            self._last_data_ns = self._clock()
            self._back_off.reset()
            if self._failure:
                log.info("bus %s: frames again", self._spec.name)
                self._failure = ""
        if len(batch.slot):
            sink.deliver(batch)

    def _count_overrun(self, dropped: int) -> None:
        self.counters.overruns += dropped

    def _note_failure(self, reason: str) -> None:
        if not self._failure:
            log.error("bus %s: %s; trying again until it works", self._spec.name, reason)
        self._failure = reason

    async def _keep_time(self, sink: Sink) -> None:
        health_ns = self._clock()
        while True:
            now = self._clock()
            if self._bus is not None:
                self._send_due(now)
            if now >= health_ns:
                self._watch.judge(now, max(self._opened - 1, 0), self._failure, sink.health)
                health_ns = now + HEALTH_NS
            due = self._sender.due_ns() if self._bus is not None else None
            wait_s = (min(health_ns, due if due is not None else health_ns) - self._clock()) / 1e9
            await asyncio.sleep(min(max(wait_s, _SHORTEST_SLEEP_S), _TICK_S))

    def _send_due(self, now_ns: int) -> None:
        try:
            self._sender.send_due(now_ns, self._send)
        except Exception as error:  # noqa: BLE001 - a full queue or a dead driver; the watchdog decides about the bus
            self.counters.send_errors += 1
            if not self._send_failed:
                log.warning("bus %s: command frames are not sent: %s", self._spec.name, error)
            self._send_failed = True

    def _send(self, frame: CommandFrame) -> None:
        if self._bus is None:
            return
        self._bus.send(
            can.Message(
                arbitration_id=frame.ident & ~EXTENDED,
                is_extended_id=bool(frame.ident & EXTENDED),
                data=frame.payload,
            )
        )
        if self._send_failed:
            log.info("bus %s: command frames are sent again", self._spec.name)
        self._send_failed = False


def _channel(channel: object) -> str:
    text = str(channel)
    return posixpath.normpath(text) if text.startswith("/") else text


def _checked_options(bus: BusSpec) -> dict[str, Any]:
    options: Mapping[str, object] = bus.options
    wrong = []
    if options.get("interface") not in BACKENDS:
        given, known = repr(options.get("interface")), ", ".join(sorted(BACKENDS))
        wrong.append(
            Problem(
                "options.interface", given, f"the name of a python-can interface: {known}", "For example socketcan."
            )
        )
    if wrong:
        raise AdapterConfigurationError(f"bus {bus.name}", wrong)
    return dict(options)
