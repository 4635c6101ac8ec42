"""Reading a python-can bus in bulk.

Three kinds of bus, one result. A bus that has `recv_batch() -> (ids u4[N], data u1[N, 8], length u1[N],
mono_ns i8[N])` hands over whole columns; ids carry the flags of `adapters.can.frame`. A bus with a file descriptor is
drained message by message when it is readable. Any other bus gets a thread. After each delivery the bus is left alone
for 5 ms, so that a busy bus costs 200 wake-ups per second and not one per frame; every frame is delivered within that
time.

python-can's own Notifier is not used: on a loop it takes one message per wake-up, and an exception of the driver
ends in the loop's handler, where nobody learns that the bus is gone.
"""

import asyncio
import threading
from collections.abc import Callable

import can
import numpy as np

from adapters.api import Clock
from adapters.can.frame import ERROR, EXTENDED, EXTENDED_IDS, REMOTE, Frames, pack_frames

PACE_S = 0.005
DRAIN_LIMIT = 512
PENDING_LIMIT = 65_536
_POLL_S = 0.1


class BusReader:
    """Delivers what `bus` receives to `on_frames`, on the loop, until `stop`; a failure goes to `on_failure` once."""

    def __init__(
        self,
        bus: can.BusABC,
        *,
        clock: Clock,
        width: int,
        on_frames: Callable[[Frames], None],
        on_failure: Callable[[Exception], None],
        on_overrun: Callable[[int], None],
    ) -> None:
        self._bus, self._clock, self._width = bus, clock, width
        self._on_frames, self._on_failure, self._on_overrun = on_frames, on_failure, on_overrun
        self._loop = asyncio.get_running_loop()
        self._stopped = threading.Event()
        self._timer: asyncio.Handle | None = None
        self._descriptor = -1
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._pending: list[tuple[can.Message, int]] = []
        self._dropped = 0
        self._failure: Exception | None = None
        self._flushing = False
        self._flushed_s = 0.0

    def start(self) -> None:
        """Begins to read; may raise what the driver raises."""
        try:
            self._descriptor = self._bus.fileno()
        except Exception:  # noqa: BLE001 - NotImplementedError by contract, drivers raise others
            self._descriptor = -1
        if self._descriptor >= 0:
            self._loop.add_reader(self._descriptor, self._on_readable)
            return
        self._thread = threading.Thread(target=self._read_in_thread, name="can reader", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the delivery at once; the thread, if there is one, ends within 0.1 s (see `join`)."""
        self._stopped.set()
        if self._descriptor >= 0:
            self._loop.remove_reader(self._descriptor)
        if self._timer is not None:
            self._timer.cancel()

    def join(self, timeout_s: float = 1.0) -> None:
        """Waits for the thread; to be called off the loop, before the bus is closed."""
        if self._thread is not None:
            self._thread.join(timeout_s)

    def _fail(self, error: Exception) -> None:
        if not self._stopped.is_set():
            self.stop()
            self._on_failure(error)

    def _on_readable(self) -> None:
        self._loop.remove_reader(self._descriptor)
        try:
            frames = self._read_batch() if hasattr(self._bus, "recv_batch") else self._drain()
            if len(frames.ids):
                self._on_frames(frames)
        except Exception as error:  # noqa: BLE001 - whatever a driver or plug-in raises, the bus is reopened
            self._fail(error)
            return
        if self._stopped.is_set():
            return
        if len(frames.ids) >= DRAIN_LIMIT:
            # More may lie in the driver's own buffer, of which the descriptor knows nothing.
            self._timer = self._loop.call_soon(self._on_readable)
        else:
            self._timer = self._loop.call_later(PACE_S, self._resume)

    def _resume(self) -> None:
        try:
            self._loop.add_reader(self._descriptor, self._on_readable)
        except (OSError, ValueError) as error:  # the descriptor was closed behind our back
            self._fail(error)

    def _read_batch(self) -> Frames:
        ids, data, length, mono_ns = self._bus.recv_batch()  # type: ignore[attr-defined]  # offered by some plug-ins
        # A stamp from the future would keep its value fresh for ever.
        return Frames(
            np.asarray(ids, np.uint32),
            np.asarray(data, np.uint8),
            np.asarray(length, np.uint8),
            np.minimum(np.asarray(mono_ns, np.int64), self._clock()),
        )

    def _drain(self) -> Frames:
        messages: list[tuple[can.Message, int]] = []
        while len(messages) < DRAIN_LIMIT and (message := self._bus.recv(0)) is not None:
            messages.append((message, self._clock()))
        return self._packed(messages)

    def _packed(self, messages: list[tuple[can.Message, int]]) -> Frames:
        return pack_frames(
            [_flagged_id(message) for message, _ in messages],
            [bytes(message.data) for message, _ in messages],
            [stamp for _, stamp in messages],
            self._width,
        )

    def _read_in_thread(self) -> None:
        while not self._stopped.is_set():
            try:
                message = self._bus.recv(_POLL_S)
            except Exception as error:  # noqa: BLE001 - as above
                self._wake(None, 0, error)
                return
            if message is not None:
                self._wake(message, self._clock(), None)

    def _wake(self, message: can.Message | None, stamp: int, error: Exception | None) -> None:
        with self._lock:
            if message is not None and len(self._pending) < PENDING_LIMIT:
                self._pending.append((message, stamp))
            elif message is not None:
                self._dropped += 1
            self._failure = error or self._failure
            if self._flushing:
                return
            self._flushing = True
        try:
            self._loop.call_soon_threadsafe(self._flush_soon)
        except RuntimeError:  # the loop has closed while the thread was reading
            self._stopped.set()

    def _flush_soon(self) -> None:
        if not self._stopped.is_set():
            self._timer = self._loop.call_at(self._flushed_s + PACE_S, self._flush)

    def _flush(self) -> None:
        self._flushed_s = self._loop.time()
        with self._lock:
            messages, self._pending = self._pending, []
            dropped, self._dropped = self._dropped, 0
            failure, self._flushing = self._failure, False
        try:
            if dropped:
                self._on_overrun(dropped)
            if messages:
                self._on_frames(self._packed(messages))
        except Exception as error:  # noqa: BLE001 - as above
            failure = failure or error
        if failure is not None:
            self._fail(failure)


def _flagged_id(message: can.Message) -> int:
    ident = message.arbitration_id & (EXTENDED_IDS - 1)
    if message.is_extended_id:
        ident |= EXTENDED
    if message.is_remote_frame:
        ident |= REMOTE
    return ident | ERROR if message.is_error_frame else ident
