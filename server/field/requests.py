"""From the core's output block to the requests of the adapters: leases, and what is asked when they run out."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adapters.api import RackRequest, SafeRequest
from information_model.enumerations import Desired
from server.config.inputs import InputPlan
from server.runtime.block import BLOCK_LIMIT_NS, Layout, Reader, Unavailable

OPEN_AFTER_NS = 5_000_000_000
"""From the end of the lease to the request to open."""
FIRST_WISH_NS = 3_000_000_000
"""How long the racks of a bus wait for each other's first request."""


class OutputBlock:
    """The core's block for a process."""

    def __init__(self, run: Path, plan: InputPlan) -> None:
        columns = plan.output_columns()
        self._reader = Reader(run / f"outputs-{plan.process}", Layout(columns))
        self._columns: dict[str, NDArray[Any]] = {name: np.zeros(length, dtype) for name, dtype, length in columns}

    def read(self) -> tuple[Mapping[str, NDArray[Any]], int] | None:
        """Columns and the monotonic time of their writing; None where there is nothing whole."""
        try:
            stamp = self._reader.read(self._columns)
        except Unavailable:
            return None
        return self._columns, stamp.mono_ns


class Requests:
    """One request per source, judged anew with each look at the block.

    A lease that has run out, or a block that is too old, means zero current at once and opening 5 s later; the wish
    that was last heard stays meanwhile, so a core that comes back finds its racks as it left them. An adapter takes
    the requests of all its racks together, therefore a bus is left alone until the core has a wish for every rack
    that is heard on it, at most 3 s from its first wish for any of them. A rack without a wish is then asked to open.
    """

    def __init__(self, plan: InputPlan) -> None:
        columns = plan.output_columns()
        self._block: dict[str, NDArray[Any]] = {name: np.zeros(length, dtype) for name, dtype, length in columns}
        self._block_ns: int | None = None
        count = len(plan.sources)
        self._wish: NDArray[np.uint8] = np.zeros(count, np.uint8)
        self._lost_ns: NDArray[np.int64] = np.zeros(count, np.int64)
        self._valid: NDArray[np.bool_] = np.zeros(count, np.bool_)
        self._members = {
            bus: np.array([n for n, row in enumerate(plan.sources) if row.rack.bus == bus], np.intp)
            for bus in plan.buses
        }
        self._first_wish_ns: dict[str, int] = {}
        self._begun: set[str] = set()

    def take(self, columns: Mapping[str, NDArray[Any]], written_ns: int) -> None:
        """The newest content of the block and the monotonic time of its writing."""
        for name, column in self._block.items():
            column[:] = columns[name]
        self._block_ns = written_ns

    def judge(self, now: int) -> None:
        """Which leases hold at `now`, monotonic ns."""
        block = self._block
        fresh = self._block_ns is not None and now - self._block_ns <= BLOCK_LIMIT_NS
        wished = (block["desired"] != Desired.NOTHING) & fresh
        self._wish[wished] = block["desired"][wished]
        valid = wished & (now < block["lease_until_mono_ns"])
        self._lost_ns[self._valid & ~valid] = now
        self._lost_ns[(self._lost_ns == 0) & ~valid] = now
        self._valid = valid

    def of_bus(self, bus: str, heard: NDArray[np.bool_], now: int) -> list[RackRequest] | None:
        """Requests for the sources of a bus, in order; None as long as nothing may be said there.

        `heard` [sources of the process]: whether anything has ever come from a source.
        """
        members = self._members[bus]
        if bus not in self._begun:
            known = self._wish[members] != Desired.NOTHING
            if not known.any():
                return None
            first = self._first_wish_ns.setdefault(bus, now)
            if (heard[members] & ~known).any() and now - first < FIRST_WISH_NS:
                return None
            self._begun.add(bus)
        return [self._request(number, now) for number in members.tolist()]

    def _request(self, number: int, now: int) -> RackRequest:
        block, valid = self._block, bool(self._valid[number])
        safe = SafeRequest.NONE
        if not valid:
            lost_for = now - int(self._lost_ns[number])
            safe = SafeRequest.OPEN if lost_for >= OPEN_AFTER_NS else SafeRequest.ZERO_CURRENT
        return RackRequest(
            desired=Desired.CLOSED if self._wish[number] == Desired.CLOSED else Desired.OPEN,
            charge_limit_a=float(block["charge_limit_a"][number]),
            discharge_limit_a=float(block["discharge_limit_a"][number]),
            reset_counter=int(block["reset_counter"][number]),
            alive=int(block["alive"][number]),
            lease_valid=valid,
            safe=safe,
        )

    def at_stop(self, bus: str, heard: NDArray[np.bool_], now: int) -> list[RackRequest] | None:
        """What is asked last, before this process goes: no current; the racks open by themselves when nobody returns."""
        given = self.of_bus(bus, heard, now)
        if given is None:
            return None
        safe = SafeRequest.ZERO_CURRENT
        return [
            RackRequest(row.desired, 0.0, 0.0, row.reset_counter, row.alive, False, max(row.safe, safe))
            for row in given
        ]
