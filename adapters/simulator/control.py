"""Faults by hand: a Unix socket beside the buses that takes one line of JSON and answers with one.

{"inject": {"kind": "weld", "rack": "ESS.ARR01.R001"}}   ->  {"ok": true}
{"clear": "ESS.ARR01.R001"}  or  {"clear": "*"}          ->  {"ok": true}
{"status": true}                                         ->  {"ok": true, "racks": [...]}
anything else                                            ->  {"error": "..."}
"""

import asyncio
import contextlib
import socket
from pathlib import Path
from typing import Any

import msgspec
from pydantic import ValidationError

from adapters.simulator.faults import Fault
from adapters.simulator.plant import RackStatus, SimulatedPlant
from adapters.simulator.wire import listening_socket, socket_address
from information_model.validation import problems

SOCKET_NAME = "fault.sock"
LINE_BYTES = 4096
CONNECTIONS = 8
IDLE_S = 30.0
_ANSWER_BYTES = 4 << 20


class Request(msgspec.Struct, forbid_unknown_fields=True):
    """One line; exactly one of the three is given."""

    inject: dict[str, Any] | None = None
    clear: str | None = None
    status: bool = False


class Answer(msgspec.Struct, omit_defaults=True):
    """The line that comes back."""

    ok: bool = False
    error: str = ""
    racks: list[RackStatus] = []


class FaultClientError(Exception):
    """The plant refused the fault, or does not answer."""


def answer(plant: SimulatedPlant, line: bytes) -> Answer:
    """What a line does to the plant. Never raises for what is in the line."""
    try:
        request = msgspec.json.decode(line, type=Request)
        if request.inject is not None:
            plant.inject(Fault.model_validate(request.inject))
        elif request.clear is not None:
            plant.faults.clear(None if request.clear == "*" else request.clear)
        elif request.status:
            return Answer(ok=True, racks=plant.status())
        else:
            return Answer(error="expected inject, clear or status")
    except ValidationError as error:
        rows = problems(error, model=Fault)
        return Answer(error="; ".join(f"{row.key}: {row.given}, expected {row.expected}" for row in rows))
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        return Answer(error=str(error))
    return Answer(ok=True)


class FaultServer:
    """Serves the socket on the running loop."""

    def __init__(self, plant: SimulatedPlant, path: Path) -> None:
        self._plant, self.path = plant, path
        self._server: asyncio.Server | None = None
        self._open = 0

    async def start(self) -> None:
        """Listen; OSError when the path cannot be taken."""
        listener = listening_socket(self.path, CONNECTIONS)
        self._server = await asyncio.start_unix_server(self._serve, sock=listener, limit=LINE_BYTES)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open += 1
        try:
            while self._open <= CONNECTIONS:
                async with asyncio.timeout(IDLE_S):
                    line = await reader.readline()
                    if not line:
                        return
                    writer.write(msgspec.json.encode(answer(self._plant, line)) + b"\n")
                    await writer.drain()
        except (OSError, ValueError, TimeoutError):  # gone, a line without end, idle
            return
        finally:
            self._open -= 1
            writer.close()

    def close(self) -> None:
        """Stop listening and give the path back."""
        if self._server is not None:
            self._server.close()
            self._server = None
            with contextlib.suppress(OSError):
                self.path.unlink()


class FaultClient:
    """The other side, for tests and for whoever operates a demonstration. Blocking; `path` is that of `fault.sock`."""

    def __init__(self, path: Path, timeout_s: float = 5.0) -> None:
        self._path, self._timeout_s = path, timeout_s

    def inject(
        self,
        kind: str,
        rack: str,
        *,
        for_s: float | None = None,
        value: float | None = None,
        cell: int = 1,
        probe: int = 1,
        contactor: str = "positive",
    ) -> None:
        """A fault from now on, for `for_s` seconds or until it is cleared. FaultClientError with the plant's reason."""
        fault: dict[str, Any] = {"kind": kind, "rack": rack, "cell": cell, "probe": probe, "contactor": contactor}
        fault |= {key: given for key, given in (("for", for_s), ("value", value)) if given is not None}
        self._ask({"inject": fault})

    def clear(self, rack: str = "*") -> None:
        """Forget the faults of a rack, or all."""
        self._ask({"clear": rack})

    def status(self) -> list[RackStatus]:
        """Every rack as it truly is."""
        return self._ask({"status": True}).racks

    def _ask(self, request: dict[str, Any]) -> Answer:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as connection:
                connection.settimeout(self._timeout_s)
                with socket_address(self._path) as address:
                    connection.connect(address)
                connection.sendall(msgspec.json.encode(request) + b"\n")
                with connection.makefile("rb") as lines:
                    line = lines.readline(_ANSWER_BYTES)
                found = msgspec.json.decode(line, type=Answer)
        except (OSError, msgspec.MsgspecError) as error:
            raise FaultClientError(f"{self._path}: {error}; is the simulated plant running?") from error
        if not found.ok:
            raise FaultClientError(found.error)
        return found
