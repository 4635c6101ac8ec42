"""Opening and closing a bus without holding up the loop, whatever its driver does."""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from typing import TypeVar

import can

T = TypeVar("T")


def start_in_thread(
    function: Callable[[], T], name: str, *, abandoned: Callable[[T], None] | None = None
) -> asyncio.Future[T]:
    """Runs `function` in a daemon thread; a driver that never returns then holds up neither the loop nor the exit.

    The future carries the result or the exception. When it was cancelled meanwhile, `abandoned` gets the result.
    """
    loop = asyncio.get_running_loop()
    future: asyncio.Future[T] = loop.create_future()

    def finish(result: T | None, error: BaseException | None) -> None:
        if future.done():
            if error is None and abandoned is not None:
                threading.Thread(target=abandoned, args=(result,), name=f"{name} late", daemon=True).start()
        elif error is not None:
            future.set_exception(error)
        else:
            future.set_result(result)  # type: ignore[arg-type]  # without an error there is a T

    def work() -> None:
        result, error = None, None
        try:
            result = function()
        except BaseException as raised:  # noqa: BLE001 - drivers raise anything (kvaser: NameError); all goes to the loop
            error = raised
        try:
            loop.call_soon_threadsafe(finish, result, error)
        except RuntimeError:  # the loop has closed: nobody waits any more
            if error is None and abandoned is not None:
                abandoned(result)  # type: ignore[arg-type]  # without an error there is a T

    threading.Thread(target=work, name=name, daemon=True).start()
    return future


def close_bus(bus: can.BusABC) -> None:
    """Closes a bus that may be broken already."""
    with contextlib.suppress(Exception):  # an unplugged slcan adapter raises here, and there is nothing left to do
        bus.shutdown()
